#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: completion.sh SOURCE_DIR VIADUCT
# What bash and zsh offer for lines as they are typed, with the real commands on a made-up PCI tree.
# COMP_WORDS and the like are bash's, which the functions read.
# shellcheck disable=SC2034,SC2317
set -uo pipefail
source_dir=$1
real=$(readlink -f "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
lines=0

devices=$work/tree/sys/bus/pci/devices
mkdir -p "$devices/0000:01:00.0/net/lan0" "$devices/0000:01:10.0" "$devices/0000:01:10.2"
for f in 00.0 10.0 10.2; do
	echo 0x8086 >"$devices/0000:01:$f/vendor"
	echo 0x10c9 >"$devices/0000:01:$f/device"
	echo 0x020000 >"$devices/0000:01:$f/class"
done
echo 7 >"$devices/0000:01:00.0/sriov_totalvfs"
for i in 0 1; do
	ln -s ../0000:01:00.0 "$devices/0000:01:10.$((2 * i))/physfn"
	ln -s "../0000:01:10.$((2 * i))" "$devices/0000:01:00.0/virtfn$i"
done

# The command as it is typed; what it lists is of the tree.
cat >"$work/viaduct" <<END
#!/bin/bash
[ "\$1 \${2:-} \${3:-}" != "vf list --json" ] || exec "$real" "\$@" --root "$work/tree"
exec "$real" "\$@"
END
chmod +x "$work/viaduct"
mkdir "$work/run"
printf 'device x\nvalue fast\nend\n' >"$work/run/0000:01:00.0.pool"
export _viaduct_run=$work/run
touch "$work/file.img"
mkdir "$work/folder"

# shellcheck source=/dev/null
source "$source_dir/cli/viaduct.bash"
compopt()
{
	:
}

bash_offers()
{
	COMP_LINE=$1 COMP_POINT=${#1}
	COMP_WORDS=("$work/viaduct")
	_viaduct
	printf '%s\n' "${COMPREPLY[@]}" | sort | paste -sd ' '
}

zsh_offers()
{
	local -a words

	IFS=' ' read -ra words <<<"$1"
	[[ $1 != *' ' ]] || words+=('')
	zsh -f "$source_dir/tests/docs/completion.zsh" "$source_dir/cli/_viaduct" "$work/viaduct" \
		"${words[@]}" 2>&1 | sort -u | paste -sd ' '
}

# offers SHELL LINE WANTED: exactly these, or with "..." at the end these among others.
offers()
{
	local got word

	got=$("$1_offers" "$2")
	lines=$((lines + 1))
	if [[ $3 = *... ]]; then
		for word in ${3%...}; do
			[[ " $got " = *" $word "* ]] || {
				printf "%s: '%s' offers '%s', without '%s'\n" "$1" "$2" "$got" "$word"
				failed=1
			}
		done
	elif [ "$got" != "$3" ]; then
		printf "%s: '%s' offers '%s', not '%s'\n" "$1" "$2" "$got" "$3"
		failed=1
	fi
}

shells=bash
if command -v zsh >/dev/null; then
	shells="bash zsh"
else
	echo "zsh is not installed: its part is not tried"
fi
for shell in $shells; do
	offers "$shell" "viaduct " "doctor lab run switch vf ..."
	offers "$shell" "viaduct s" "switch"
	offers "$shell" "viaduct vf " "apply bind carve diff export isolate lease list monitor plan release set show stats ..."
	offers "$shell" "viaduct vf carv" "carve"
	offers "$shell" "viaduct vf carve " "0000:01:00.0 lan0"
	offers "$shell" "viaduct vf bind x vfio" "vfio-pci"
	offers "$shell" "viaduct vf bind x --w" "--whole"
	offers "$shell" "viaduct vf set x " "mac= vlan= trust= eswitch=legacy ..."
	offers "$shell" "viaduct vf set x trust=on sp" "spoofchk="
	offers "$shell" "viaduct vf export " "cdi device-plugin libvirt nova"
	offers "$shell" "viaduct vf monitor --t" "--text --timeout="
	offers "$shell" "viaduct vf -t 5 " ""
	offers "$shell" "viaduct vf list -t " ""
	offers "$shell" "viaduct switch port " "add del list set show"
	offers "$shell" "viaduct switch m" "mcast mirror"
	offers "$shell" "viaduct switch mirror " "add del list"
	offers "$shell" "viaduct switch port set x mt" "mtu="
	offers "$shell" "viaduct lab " "image run shell ..."
	offers "$shell" "viaduct lab run --nic " "e1000 e1000e igb"
	offers "$shell" "viaduct lab run --iommu a" "amd"
	offers "$shell" "viaduct run --net ta" "tap="
	offers "$shell" "viaduct vf export cdi --pool " "fast"
	offers "$shell" "viaduct run --assign " "0000:01:10.0 0000:01:10.2 pool=fast"
	offers "$shell" "viaduct vf lease " "free gc list take"
	offers "$shell" "viaduct vf lease take " "0000:01:10.0 0000:01:10.2"
	offers "$shell" "viaduct vf apply --dry" "--dry-run"
	offers "$shell" "viaduct vf stats l" "lan0"
	offers "$shell" "viaduct vf stats lan0 0000:01:10.2 l" "lan0"
	offers "$shell" "viaduct doctor --for l" "lan0"
	offers "$shell" "viaduct none " ""
	offers "$shell" "viaduct vf none " ""
done
# bash replaces what is behind its separators, zsh the word.
offers bash "viaduct vf bind 0000:01:1" "10.0 10.2"
offers bash "viaduct vf release " "0000:01:00.0 0000:01:10.0 0000:01:10.2 lan0"
offers bash "viaduct vf monitor --for=lan" "lan0"
offers bash "viaduct vf set x trust=" "off on"
offers bash "viaduct vf set x eswitch=s" "switchdev"
offers bash "viaduct run --kernel $work/f" "$work/file.img $work/folder"
offers bash "viaduct run --kernel=$work/fi" "$work/file.img"
offers bash "viaduct vf list --root $work/fo" "$work/folder"
offers bash "viaduct lab run --nic igb -- $work/fi" ""
if [ "$shells" != bash ]; then
	offers zsh "viaduct vf release 0000:01:1" "0000:01:10.0 0000:01:10.2"
	offers zsh "viaduct vf monitor --for=lan" "lan0"
	offers zsh "viaduct vf set x trust=" "trust=off trust=on"
	offers zsh "viaduct run --kernel f" "<files>"
	offers zsh "viaduct lab run -- ls x" "<command ls x>"
fi

# The keys of `vf set` are written down in both: are they all of settings.h?
keys=$(sed -nE 's/^\tX\([A-Z_]+, "([a-z-]+)".*/\1=/p' "$source_dir/vf-manager/settings.h")
for key in $keys; do
	for shell in $shells; do
		offers "$shell" "viaduct vf set x $key" "..."
		offers "$shell" "viaduct vf set x ${key%=}" "$key"
	done
done
[ -n "$keys" ] || failed=1
echo "$lines lines typed"
exit $failed
