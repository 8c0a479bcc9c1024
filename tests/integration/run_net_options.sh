#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `viaduct run --net`: what cannot be is refused with the word that is wrong and what would be right,
# before anything is opened; what can be gets as far as the kernel's file, which is not there.
#   run_net_options.sh VIADUCT
set -u
viaduct=$1
failed=0
said() { # STATUS TEXT NET
	local out status=0

	out=$(timeout 20 "$viaduct" run --kernel /nonexistent/kernel --net "$3" 2>&1 </dev/null) || status=$?
	if [ "$status" != "$1" ] || [[ $out != *"$2"* ]]; then
		echo "FAILED: --net $3: status $status, not $1, or no '$2': $out"
		failed=1
	else
		echo "ok: --net $3"
	fi
}
refused() { said 2 "$@"; }
taken() { said 1 "/nonexistent/kernel" "$1"; }

refused "write tap=NAME or vhost-user=PATH" ""
refused "no kind of network; there are: tap=NAME" "nat=x"
refused "write vhost-user=PATH" "vhost-user"
refused "write vhost-user=PATH" "vhost-user="
refused "write tap=NAME" "tap="
for kind in tap=x vhost-user=/tmp/x; do
	refused "mac=1:2: write it as" "$kind,mac=1:2"
	refused "no address of one interface" "$kind,mac=01:00:00:00:00:00"
	refused "no address of one interface" "$kind,mac=00:00:00:00:00:00"
	refused "a number from 1 to 64" "$kind,queues=0"
	refused "a number from 1 to 64" "$kind,queues=65"
	refused "a number from 1 to 64" "$kind,queues=-1"
	refused "a number from 68 to 65535" "$kind,mtu=67"
	refused "a number from 68 to 65535" "$kind,mtu=65536"
	refused "a number from 68 to 65535" "$kind,mtu=1500x"
	refused "'foo' is no setting" "$kind,foo=1"
	refused "'foo' is no setting" "$kind,foo"
	for key in csum tso mrg packed in_order indirect event_idx; do
		refused "write $key=on or $key=off" "$kind,$key=maybe"
		refused "write $key=on or $key=off" "$kind,$key"
		taken "$kind,$key=off"
		taken "$kind,$key=on"
	done
	taken "$kind,mac=52:54:00:12:34:56,queues=64,mtu=9000,packed=off,csum=off"
done
refused "'mode' is no setting of tap" "tap=x,mode=client"
refused "mode=server or mode=client" "vhost-user=/tmp/x,mode=both"
taken "vhost-user=/tmp/x,mode=server"
taken "vhost-user=/tmp/x,mode=client"
for model in e1000 e1000,mac=52:54:00:12:34:56 virtio virtio,queues=2,packed=off; do
	taken "tap=x,model=$model"
done
taken "vhost-user=/tmp/x,model=virtio"
refused "model=rtl8139: write model=virtio or model=e1000" "tap=x,model=rtl8139"
refused "write model=virtio or model=e1000" "tap=x,model"
for more in queues=2 mtu=1400 csum=off packed=off; do
	refused "it takes only mac=" "tap=x,model=e1000,$more"
	refused "it takes only mac=" "tap=x,$more,model=e1000"
done
refused "not those of vhost-user; use tap=NAME" "vhost-user=/tmp/x,model=e1000"
exit $failed
