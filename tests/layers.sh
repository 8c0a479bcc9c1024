#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The table of modules in ARCHITECTURE.md, enforced on the sources: who may include whom, who may
# speak to the kernel's VFIO and KVM interrupt interfaces, who prints, who keeps variables at file
# scope.
# Usage: layers.sh SOURCE_DIR [BUILD_DIR]
set -euo pipefail
source=$(cd "$1" && pwd)
build=$(cd "${2:-$1/build}" 2>/dev/null && pwd) || build=
cd "$source"
broken=0

complain()
{
	printf '%s\n' "$*"
	broken=1
}

# sources DIR...: the C files below them
sources()
{
	find "$@" -name '*.[chS]' 2>/dev/null | sort
}

# includes FILE: quoted includes, "LINE:PATH" each
includes()
{
	sed -nE '/^[ \t]*#[ \t]*include[ \t]*"/{s/^[^"]*"([^"]*)".*/\1/;=;p}' "$1" | paste -d : - -
}

# What each module may include besides itself.
declare -A uses=(
	[common]=""
	[vfio]="common"
	[irqremap]="common"
	[vmm]="common irqremap"
	[devices]="common irqremap vmm"
	[passthrough]="common vfio irqremap vmm"
	[vf-manager]="common"
	[vswitch]="common"
	[lab]="common"
	[cli]="common vfio irqremap vmm devices passthrough vf-manager vswitch lab"
)

# check_dir DIR ALLOWED...: every include in it begins with one of those
check_dir()
{
	local dir=$1 file line path top

	shift
	while read -r file; do
		while IFS=: read -r line path; do
			top=${path%%/*}
			if [ "$top" = "$path" ]; then
				# Generated and included as an array.
				[[ $path == *.hex ]] ||
					complain "$file:$line: \"$path\": paths begin at the root of the tree"
			elif [[ " $* " != *" $top "* ]]; then
				complain "$file:$line: \"$path\": $dir may include only from: $*"
			elif [[ $path == */internal.h && $file != "$top"/* && $file != tests/* ]]; then
				complain "$file:$line: \"$path\" is private to $top"
			fi
		done < <(includes "$file")
	done < <(sources "$dir")
}

for module in "${!uses[@]}"; do
	# shellcheck disable=SC2086
	check_dir "$module" "$module" ${uses[$module]}
	# shellcheck disable=SC2086
	[ ! -d "tests/unit/$module" ] || check_dir "tests/unit/$module" tests "$module" ${uses[$module]}
done
for dir in tests/unit/*/; do
	dir=${dir%/}
	[ -v "uses[${dir##*/}]" ] || complain "$dir: no module has this name"
done

# only WHERE PATTERN WHAT: lines that match are found below WHERE, in tests and in examples only
only()
{
	local where=$1 pattern=$2 what=$3 dirs=() dir hit

	for dir in "${!uses[@]}"; do
		[[ " $where " == *" $dir "* ]] || dirs+=("$dir")
	done
	while read -r hit; do
		complain "$hit: $what only in: $where"
	done < <(sources "${dirs[@]}" | grep -v /examples/ | xargs -r grep -nHE "$pattern" | cut -d : -f 1,2)
}

only vfio '<linux/(vfio|iommufd)\.h>|\b(VFIO_(GET|SET|CHECK|GROUP|DEVICE|IOMMU)|IOMMU_IOAS)_[A-Z]' \
	"the kernel's VFIO and iommufd interfaces"
only "irqremap vmm" '<linux/kvm\.h>|<linux/kvm_para\.h>' "the kernel's KVM interface"
only irqremap '\bKVM_(SET_GSI_ROUTING|IRQFD|SIGNAL_MSI|IRQ_LINE)\b' "ioctls that deliver interrupts"
only "cli lab" '(^|[^a-z_])(printf|puts|putchar|perror|vprintf)\(|printf\((stdout|stderr)|fputs\([^;]*, *(stdout|stderr)\)' \
	"printing"

# Variables that outlive a call and are no constants, seen in what was built. Allowed:
#   log_level      one level per process, set before any thread starts
#   dsdt_aml_code  iasl writes its array without const
#   bus_guards     a signal handler is given no context, vswitch/bus_guard.c
if [ -n "$build" ] && command -v objdump >/dev/null; then
	for module in "${!uses[@]}"; do
		lib=$(find "$build/$module" -maxdepth 1 -name 'lib*.a' 2>/dev/null)
		[ -n "$lib" ] || continue
		while read -r name; do
			complain "$module: '$name' is a variable at file scope or a static one: state belongs in structs"
		done < <(printf '%s\n' "$lib" | xargs -d '\n' objdump -t 2>/dev/null |
			awk '$0 ~ / O \.t?(data|bss)/ && $0 !~ / \.data\.rel\.ro/ { print $NF }' |
			grep -vE '^(log_level|dsdt_aml_code|bus_guards|__.*|\.L.*)$')
	done
	# Every `viaduct vf` would start with it and its seven libraries: two thirds of a start.
	if [ -f "$build/cli/viaduct-vf" ] && objdump -p "$build/cli/viaduct-vf" | grep -q 'NEEDED.*libsystemd'; then
		complain "viaduct-vf: linked with libsystemd, which every command would load"
	fi
fi

[ "$broken" = 0 ] && echo "the layers hold"
exit "$broken"
