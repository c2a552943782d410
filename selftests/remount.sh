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
is_empty() { cowfs info $scratch | tee /dev/stderr | grep -q '^journal state *clean'; }
is_ro() { grep -q " $TEST_DIR $FSTYP ro[, ]" /proc/mounts; }

# Names what is there already, or mount(8) would add the options of before.
set_option() { mount -o "remount,$1" $scratch "$TEST_DIR"; }
shown() { grep -q " $TEST_DIR $FSTYP [^ ]*$1[, ]" /proc/mounts; }
is_default() { ! shown cowextsize && ! shown cowlifetime && ! shown errors; }

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

plan 24
check 'write' put one
check 'a file open for writing prevents read-only' busy
check 'remount read-only' remount ro
check 'shown as read-only' is_ro
check 'nothing is left to be replayed' is_empty
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
check 'options are those of the mount' eval 'again -o cowextsize=64 && shown cowextsize=64'
check 'a remount changes them' eval 'set_option cowlifetime=60 && shown cowlifetime=60'
check 'but those that it does not name' shown cowextsize=64
check 'it may set them all' eval 'set_option cowextsize=32,cowlifetime=300,errors=continue && shown errors=continue'
check 'a bad one is refused' fails cowextsize set_option cowlifetime=50,cowextsize=0
check 'and nothing changed by it' eval 'shown errors=continue && ! shown cowlifetime'
check 'a new mount begins anew' eval 'again && is_default'
