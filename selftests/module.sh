#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Loading and unloading the module, mounting and unmounting, many times over: no
# object, no reference and no file system type is left behind.

# What check evaluates is in single quotes.
# shellcheck disable=SC2016,SC2034

. "$HERE/lib/fs.sh"
. "$HERE/lib/slab.sh"
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

no_growth() {
	slabs_before
	mount_cycles && slabs_after
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
check 'mounting ten times, without growth of slab caches' no_growth
check 'still no references' test "$(refcount)" = 0
if [[ $FSTYP == cowfs ]]; then
	check 'loading five times' load_cycles
else
	skip 'loading five times' 'not our module'
fi
check 'and it mounts' eval 'fs_mount $scratch $TEST_DIR && use'
