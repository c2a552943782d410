#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The device fails under the journal: the file system turns read-only and says so,
# what is on it stays readable, and a new mount of the healthy device recovers it.

# What check evaluates is in single quotes.
# shellcheck disable=SC2016,SC2034

. "$HERE/lib/fs.sh"
. "$HERE/lib/tap.sh"

sectors=$(blockdev --getsz $scratch)
cd / || exit

table() {
	dmsetup load scratch --table "$1" &&
	dmsetup suspend --noflush --nolockfs scratch &&
	dmsetup resume scratch
}
failing() { table "0 $sectors flakey $SCRATCH_DEV 0 0 3600 1 error_writes"; }
healthy() { table "0 $sectors linear $SCRATCH_DEV 0"; }

# A change that must reach the journal.
change() {
	mkdir "$TEST_DIR/$1" && sync -f "$TEST_DIR/$1"
}

no_more_changes() {
	local i
	# The journal may be found broken only by the commit after this one.
	for i in $(seq 200); do
		mkdir "$TEST_DIR/late$i" 2>/tmp/error || break
		sync -f "$TEST_DIR" 2>/dev/null
	done
	cat /tmp/error
	grep -qE 'Read-only file system|Input/output error' /tmp/error
}

readable() {
	[[ $(cat "$TEST_DIR/file") == content ]] && [[ -d $TEST_DIR/before ]]
}

plan 9
echo content >"$TEST_DIR/file"
check 'a change before' change before
check 'the device fails' failing
check 'the change is refused, to whom waits for it' fails '' change during
check 'and then every change' no_more_changes
if [[ $FSTYP == cowfs ]]; then
	check 'what was there is readable' readable
else
	skip 'what was there is readable' 'not promised by others'
fi
check 'unmounts' umount "$TEST_DIR"
check 'the device is well again' healthy
check 'mounts again, with what was acknowledged' eval 'fs_mount $scratch $TEST_DIR && readable'
check 'and takes changes' change after
