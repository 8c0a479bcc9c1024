# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: zsh -f completion.zsh FUNCTION_FILE VIADUCT WORD...
# What cli/_viaduct would offer for the last word: compadd and its kin are replaced by printers.
file=$1 viaduct=$2
shift 2
words=($viaduct "${@:2}")
CURRENT=${#words}
PREFIX=${words[CURRENT]}

offer()
{
	local w

	for w; do
		[[ $w != $PREFIX* ]] || print -r -- $w
	done
}

compadd()
{
	local -a given
	local array=

	while [[ ${1:-} = -* ]]; do
		case $1 in
		-S) shift 2 ;;
		-a) array=$2; shift 2 ;;
		--) shift; break ;;
		*) shift ;;
		esac
	done
	[[ -z $array ]] || given=(${(P)array})
	offer $given "$@"
}

# _describe [-o] [-t TAG] DESCRIPTION ARRAY: "name:what", a colon in a name escaped.
_describe()
{
	local -a given
	local w

	while [[ ${1:-} = -* ]]; do
		[[ $1 = -t ]] && shift
		shift
	done
	given=(${(P)2})
	for w in $given; do
		w=${w//\\:/$'\1'}
		w=${w%%:*}
		offer ${w//$'\1'/:}
	done
}

compset()
{
	PREFIX=${PREFIX##${~2}}
}

_files() { print -r -- "<files>" }
_normal() { print -r -- "<command ${words[*]}>" }
_message() { : }

source $file
