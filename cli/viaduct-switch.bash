# bash completion for `viaduct switch`                                     -*- shell-script -*-
# SPDX-License-Identifier: GPL-2.0-or-later

_viaduct_switch_ports()
{
	viaduct switch --json port list 2>/dev/null | sed -n 's/^    "name": "\(.*\)",$/\1/p'
}

_viaduct()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words=
	local IFS=$' \t\n'

	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		words="lab run switch vf"
	elif [ "${COMP_WORDS[1]}" != switch ]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	else
		case $prev in
		switch) words="run show apply port fdb stats mirror capture --socket --json --help" ;;
		apply | --config | --socket)
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			return
			;;
		port) words="list show add set del" ;;
		fdb) words="show add del flush" ;;
		mirror) words="add del list" ;;
		run) words="--config" ;;
		show | set | del | stats | --port | --from | --to) words=$(_viaduct_switch_ports) ;;
		*) words="--json --socket --dry-run --port --vlan --prometheus mtu= vlan.access= vlan.trunk= \
			vlan.native= isolated= client= vhost-user= tap= af-packet= pci= police.kbit= shape.rate=" ;;
		esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	[[ ${COMPREPLY[0]:-} != *= ]] || compopt -o nospace
}
complete -F _viaduct viaduct
