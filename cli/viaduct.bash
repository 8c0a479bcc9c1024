# bash completion for viaduct                                              -*- shell-script -*-
# SPDX-License-Identifier: GPL-2.0-or-later
# Commands, options and arguments are what --help says, so that new ones need nothing here; below is
# only what stands behind the names of arguments: PF, VF, DRIVER, ...

# _viaduct_help WORD...: what --help prints for them, nothing when it fails.
_viaduct_help()
{
	ARGP_HELP_FMT=rmargin=1000 "${COMP_WORDS[0]}" "$@" --help 2>/dev/null
}

_viaduct_commands()
{
	sed -nE 's/^  ([a-z]+) .*/\1/p'
}

# _viaduct_functions KIND...: addresses of pf, vf or other functions, and names of their interfaces.
_viaduct_functions()
{
	local kinds=" $* " line bdf='' kind=''

	while IFS= read -r line; do
		case $line in
		*'"bdf": "'*) bdf=${line#*: \"} bdf=${bdf%%\"*} kind='' ;;
		*'"kind": "'*)
			kind=${line#*: \"} kind=${kind%%\"*}
			[[ $kinds != *" $kind "* ]] || echo "$bdf"
			;;
		*'"netdev": "'*)
			line=${line#*: \"}
			[[ $kinds != *" $kind "* ]] || echo "${line%%\"*}"
			;;
		esac
	done < <("${COMP_WORDS[0]}" vf list --json 2>/dev/null)
}

_viaduct_ports()
{
	"${COMP_WORDS[0]}" switch --json port list 2>/dev/null | sed -n 's/^ *"name": "\(.*\)",$/\1/p'
}

_viaduct_guests()
{
	"${COMP_WORDS[0]}" info 2>/dev/null | sed '1d; s/ .*//'
}

# Where `vf apply` notes them.
_viaduct_pools()
{
	cat "${_viaduct_run:-/run/viaduct/vf}"/*.pool 2>/dev/null | sed -n 's/^value //p' | sort -u
}

_viaduct_drivers()
{
	local d

	for d in /sys/bus/pci/drivers/*; do
		[ ! -d "$d" ] || echo "${d##*/}"
	done
	printf '%s\n' vfio-pci none default
}

# _viaduct_settings WORD: KEY= or, once there is one, its values.
_viaduct_settings()
{
	case $1 in
	*=*) ;;
	*)
		printf '%s\n' mac= vlan= qos= proto= min-rate= max-rate= spoofchk= link-state= rss-query= \
			trust= node-guid= port-guid=
		return
		;;
	esac
	case ${1%%=*} in
	spoofchk | trust | rss-query) printf "${1%%=*}=%s\n" on off ;;
	link-state) printf 'link-state=%s\n' auto enable disable ;;
	proto) printf 'proto=%s\n' 802.1q 802.1ad ;;
	mac | vlan) echo "${1%%=*}=none" ;;
	esac
}

# _viaduct_argument NAME WORD: what an argument of that name may be. Files are answered as -f or -d.
_viaduct_argument()
{
	local name=${1%]} before=

	name=${name%...} name=${name#[}
	case $name in
	PF) _viaduct_functions pf ;;
	VF) _viaduct_functions vf ;;
	BDF | FUNCTION | SELECTOR | DEVICE) _viaduct_functions pf vf other ;;
	'BDF[,BDF'*)
		[[ $2 != *,* ]] || before=${2%,*},
		_viaduct_functions vf other | sed "s/^/$before/"
		[ -n "$before" ] || _viaduct_pools | sed 's/^/pool=/'
		;;
	[A-Z]*\|[A-Z]*)
		_viaduct_argument "${name%%|*}" "$2"
		_viaduct_argument "${name#*|}" "$2"
		;;
	DRIVER) _viaduct_drivers ;;
	POOL) _viaduct_pools ;;
	FORMAT) printf '%s\n' device-plugin cdi libvirt nova ;;
	NAME)
		case ${_viaduct_path[0]} in
		switch) _viaduct_ports ;;
		info) _viaduct_guests ;;
		esac
		;;
	PORT*) [ "${_viaduct_path[0]}" != switch ] || _viaduct_ports ;;
	'KEY=VALUE')
		if [ "${_viaduct_path[0]}" = switch ]; then
			printf '%s\n' mtu= vlan.access= vlan.trunk= vlan.native= isolated= client= vhost-user= \
				tap= af-packet= pci= police.kbit= shape.rate=
		else
			_viaduct_settings "$2"
		fi
		;;
	KIND=ARG*) printf '%s\n' tap= vhost-user= loop= ;;
	KIND) printf '%s\n' vtd vtd-eim vtd-noir amd none ;;
	MODEL) printf '%s\n' igb e1000 e1000e ;;
	FILE* | PATH) echo -f ;;
	DIR) echo -d ;;
	COMMAND | ARGUMENT) echo -c ;;
	[a-z]*=*\|*) tr '|' '\n' <<<"${name#*=}" | sed "s/^/${name%%=*}=/" ;;
	[a-z]*) tr '|' '\n' <<<"$name" ;;
	esac
}

# _viaduct_options: what --help (on standard input) lists, NAME and its argument or "-".
_viaduct_options()
{
	sed -nE -e 's/^ +(-[a-zA-Z]), (--[a-z0-9-]+)=([^ ]+).*/\1 \3\n\2 \3/p;t' \
		-e 's/^ +(-[a-zA-Z]), (--[a-z0-9-]+).*/\1 -\n\2 -/p;t' \
		-e 's/^ +(--[a-z0-9-]+)=([^ ]+).*/\1 \2/p;t' -e 's/^ +(--[a-z0-9-]+).*/\1 -/p'
}

# _viaduct_usages: the lines of usage in --help (on standard input), without command and options of them:
# a token is a word to be typed, several with "|" between them, or the NAME of an argument.
_viaduct_usages()
{
	local path=${_viaduct_path[*]} line token skip out

	sed -nE 's/^(Usage:|  or:|      ) +viaduct +//p' | while IFS= read -r line; do
		[[ "$line " = "$path "* ]] || [[ $line = "${path%% *} [OPTION"* ]] || continue
		skip='' out=''
		if [[ "$line " = "$path "* ]]; then
			line=${line#"$path"}
		else
			# "switch [OPTION...] mirror add NAME"
			line=${line#*]}
			line=${line#" ${path#* }"}
		fi
		for token in $line; do
			case $token in
			'[OPTION...]' | --) skip= ;;
			'...' | '(see') break ;;
			-* | '[-'*) skip=${token##*]} ;;
			*)
				[ -n "$skip" ] || out+=" $token"
				skip=
				;;
			esac
		done
		echo "$out"
	done
}

# _viaduct_next WORD...: of the usages on standard input those that go with the words typed; what comes next.
_viaduct_next()
{
	local -a tokens
	local i token

	while read -ra tokens; do
		for ((i = 0; i < $#; i++)); do
			token=${tokens[i]:-}
			if [ -z "$token" ]; then
				# The last argument may be given again.
				[ ${#tokens[@]} -gt 0 ] && [[ ${tokens[-1]} = *...?(]) ]] || continue 2
				continue
			fi
			[[ $token != [a-z]* || $token = *=* || "|$token|" = *"|${*:i+1:1}|"* ]] || continue 2
		done
		token=${tokens[$#]:-}
		[ -n "$token" ] || [ ${#tokens[@]} = 0 ] || [[ ${tokens[-1]} != *...?(]) ]] || token=${tokens[-1]}
		[ -z "$token" ] || echo "$token"
	done
}

_viaduct()
{
	local line=${COMP_LINE:0:COMP_POINT} cur='' prev help option argument w broken
	local -a words typed=() _viaduct_path=() answers=()
	local -A options=() seen=()
	local IFS=$' \t\n'

	# bash would cut addresses at their colons: words are what blanks separate.
	read -ra words <<<"$line"
	[[ $line = *[[:space:]] ]] || { cur=${words[-1]} && unset 'words[-1]'; }
	COMPREPLY=()
	if [ ${#words[@]} -le 1 ]; then
		mapfile -t answers < <(printf '%s\n' --help --version && _viaduct_help | _viaduct_commands)
	else
		_viaduct_path=("${words[1]}")
		help=$(_viaduct_help "${words[1]}")
		for w in "${words[@]:2}"; do
			[[ $w != -* ]] || break
			# One with a --help of its own.
			[[ $help =~ (^|$'\n')"  $w "|"(see $w --help)"|"viaduct ${words[1]} $w " ]] || break
			[ "${words[1]}" != switch ] || [[ $help = *"(see $w --help)"* ]] || break
			_viaduct_path+=("$w")
			help=$(_viaduct_help "${_viaduct_path[@]}")
			break
		done
		while read -r option argument; do
			options[$option]=$argument
		done < <(_viaduct_options <<<"$help")
		prev='' argument=
		for w in "${words[@]:1 + ${#_viaduct_path[@]}}"; do
			argument=
			if [ "$w" = -- ]; then
				typed=(--)
				break
			elif [[ $w = -* ]]; then
				prev=$w
				[ "${options[$w]:--}" = - ] || argument=${options[$w]}
				continue
			fi
			[[ $prev = -* && ${options[$prev]:--} != - ]] || typed+=("$w")
			prev=$w
		done
		if [ "${typed[0]:-}" = -- ]; then
			answers=(-c)
		elif [ -n "$argument" ]; then
			mapfile -t answers < <(_viaduct_argument "$argument" "$cur")
		elif [[ $cur = --*=* ]]; then
			option=${cur%%=*}
			mapfile -t answers < <(_viaduct_argument "${options[$option]:-}" "${cur#*=}" |
				sed "/^-[fdc]\$/!s/^/$option=/")
			[[ ${answers[0]:-} != -[fdc] ]] || cur=${cur#*=}
		elif [[ $cur = -* ]]; then
			for option in "${!options[@]}" --help; do
				w=
				[ "${options[$option]:--}" = - ] || w='='
				[[ $option != --* ]] || answers+=("$option$w")
			done
		elif [ "${_viaduct_path[*]}" = vf ] && [ ${#typed[@]} = 0 ]; then
			mapfile -t answers < <(_viaduct_commands <<<"$help")
		else
			while read -r w; do
				mapfile -t -O ${#answers[@]} answers < <(_viaduct_argument "$w" "$cur")
			done < <(_viaduct_usages <<<"$help" | _viaduct_next "${typed[@]}")
		fi
	fi
	for w in "${answers[@]}"; do
		case $w in
		'') ;;
		-[fdc])
			[ "$w" = -c ] || compopt -o filenames 2>/dev/null
			mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen "$w" -- "$cur")
			;;
		"$cur"*)
			[ -n "${seen[$w]:-}" ] || COMPREPLY+=("$w")
			seen[$w]=1
			;;
		esac
	done
	[[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2>/dev/null
	# What readline replaces begins behind the last of its own separators.
	broken=${cur%"${cur##*[=:]}"}
	[[ $broken = *[$COMP_WORDBREAKS] ]] || broken=
	for w in "${!COMPREPLY[@]}"; do
		COMPREPLY[w]=${COMPREPLY[w]#"$broken"}
	done
}
complete -F _viaduct viaduct
