# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# slab.sh - is there a leak? Counts the objects of the file system's slab caches
# and the journal's, before something and after it.

# Active objects in slabs of this name, once the free ones are given back.
slab_objects() {
	echo 1 >/sys/kernel/slab/"$1"/shrink 2>/dev/null
	awk -v s="$1" '$1 == s { print $2 }' /proc/slabinfo
}

declare -A before

# Which caches there are: $slabs; and what they hold now.
slabs_before() {
	local slab
	slabs=$(awk -v f="$FSTYP" '$1 ~ f || /^jbd2_/ { print $1 }' /proc/slabinfo)
	echo 3 >/proc/sys/vm/drop_caches
	for slab in $slabs; do
		before[$slab]=$(slab_objects "$slab")
	done
}

slabs_settled() {
	local slab
	for slab in $slabs; do
		[[ $(slab_objects "$slab") -le ${before[$slab]} ]] || return
	done
}

# Do they hold no more than before? If not, says which do.
slabs_after() {
	local slab
	echo 3 >/proc/sys/vm/drop_caches
	poll slabs_settled && return
	for slab in $slabs; do
		echo "# $slab: ${before[$slab]} before, $(slab_objects "$slab") after"
	done
	return 1
}
