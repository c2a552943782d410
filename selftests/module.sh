#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Loading and unloading the module, mounting and unmounting, many times over: no
# object, no reference and no file system type is left behind.

# What check evaluates is in single quotes.
# shellcheck disable=SC2016,SC2034

. "$HERE/lib/fs.sh"
. "$HERE/lib/tap.sh"

cd / || exit
module=$(basename "$MODULE" .ko)
[[ $FSTYP == cowfs ]] || module=$FSTYP

refcount() { lsmod | awk -v m="$module" '$1 == m { print $3 }'; }

# Some of everything that has objects of its own.
use() {
	local i
	for i in {1..50}; do
		echo "$i" >"$TEST_DIR/f$i"
	done
	mkdir -p "$TEST_DIR/d/e" && ln -s f1 "$TEST_DIR/l" &&
	cp --reflink=always "$TEST_DIR/f1" "$TEST_DIR/clone" && echo x >>"$TEST_DIR/clone" &&
	rm -r "$TEST_DIR"/f1? "$TEST_DIR/d" "$TEST_DIR/l"
}

mount_cycles() {
	local i
	for i in {1..10}; do
		fs_mount $scratch "$TEST_DIR" && use && umount "$TEST_DIR" || return
	done
}

# Active objects in slabs of this name, once the free ones are given back.
slab_objects() {
	echo 1 >/sys/kernel/slab/"$1"/shrink 2>/dev/null
	awk -v s="$1" '$1 == s { print $2 }' /proc/slabinfo
}

declare -A before
settled() {
	local slab
	for slab in $slabs; do
		[[ $(slab_objects "$slab") -le ${before[$slab]} ]] || return
	done
}

no_growth() {
	local slab
	echo 3 >/proc/sys/vm/drop_caches
	for slab in $slabs; do
		before[$slab]=$(slab_objects "$slab")
	done
	mount_cycles || return
	echo 3 >/proc/sys/vm/drop_caches
	poll settled || {
		for slab in $slabs; do
			echo "$slab: ${before[$slab]} before, $(slab_objects "$slab") after"
		done
		return 1
	}
}

load_cycles() {
	local i
	for i in {1..5}; do
		module_unload || return
		! grep -qw "$FSTYP" /proc/filesystems || return
		module_load && fs_mount $scratch "$TEST_DIR" && use || return
		fails "in use" rmmod "$module" || return
		umount "$TEST_DIR" || return
	done
}

plan 5
umount "$TEST_DIR"
check 'unused module has no references' test "$(refcount)" = 0
slabs=$(awk -v f="$FSTYP" '$1 ~ f || /^jbd2_/ { print $1 }' /proc/slabinfo)
check "mounting ten times, without growth of ${slabs//$'\n'/ }" no_growth
check 'still no references' test "$(refcount)" = 0
if [[ $FSTYP == cowfs ]]; then
	check 'loading five times' load_cycles
else
	skip 'loading five times' 'not our module'
fi
check 'and it mounts' eval 'fs_mount $scratch $TEST_DIR && use'
