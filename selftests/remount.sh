#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Mounting read-only and read-write, remounting, and what must survive all that.

. "$HERE/lib/fs.sh"
. "$HERE/lib/tap.sh"

cd / || exit
file=$TEST_DIR/file

remount() { mount -o "remount,$1" "$TEST_DIR"; }
has() { [[ $(cat "$file") == "$1" ]]; }
put() { echo "$1" >"$file"; }
again() { umount "$TEST_DIR" && fs_mount $scratch "$TEST_DIR" "$@"; }
is_ro() { grep -q " $TEST_DIR $FSTYP ro[, ]" /proc/mounts; }

# A file open for writing stands in the way of remounting read-only.
busy() {
	local status
	exec 9>"$file.open"
	fails busy remount ro
	status=$?
	exec 9>&-
	rm "$file.open"
	return $status
}

plan 16
check 'write' put one
check 'a file open for writing prevents read-only' busy
check 'remount read-only' remount ro
check 'shown as read-only' is_ro
check 'writing is refused' fails 'Read-only' put two
check 'creating is refused' fails 'Read-only' mkdir "$TEST_DIR/d"
check 'reading is not' has one
check 'remount read-write' remount rw
check 'writing again' put two
check 'mount again' again
check 'all is there' has two
check 'mount read-only' again -o ro
check 'readable' has two
check 'not writable' fails 'Read-only' put three
check 'and back' remount rw
check 'writing once more' put three
