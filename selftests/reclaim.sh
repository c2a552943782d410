#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What is given back without being asked for: staged blocks of a writer that went
# quiet, and what is in memory of groups when memory is short.

. "$HERE/lib/fs.sh"
. "$HERE/lib/tap.sh"

cd / || exit
file=$TEST_DIR/file copy=$TEST_DIR/copy
if [[ $FSTYP != cowfs ]]; then
	plan 1
	skip 'nothing to compare' 'only cowfs has these options'
	exit
fi

again() { umount "$TEST_DIR" && fs_mount $scratch "$TEST_DIR" "$@"; }
available() { sync; stat -f -c %a "$TEST_DIR"; }
# groups: how many groups are in memory.
groups() { sed -n "s@.* $TEST_DIR with fstype cowfs groups=@@p" /proc/self/mountstats; }

# A clone, of which one block in every 32 was written, by a writer that keeps it
# open and does nothing more. 8 MiB; left to him, 7.75 MiB more stay staged.
windows=64
quiet_writer() {
	local i
	cp --reflink=always "$file" "$copy" && exec 9<>"$copy" || return
	for ((i = 0; i < windows; i++)); do
		dd if=/dev/zero of="$copy" bs=4096 seek=$((i * 32)) count=1 \
			oflag=direct conv=notrunc status=none || return
	done
}
leave() { exec 9>&- && rm -f "$copy"; }
# Blocks that became unavailable since there were $before.
taken() { echo $((before - $(available))); }
holds_back() { [[ $(taken) -ge $((windows * 31)) ]]; }
# The blocks written, and some for trees.
gave_back() {
	local taken
	taken=$(taken)
	echo "$taken blocks are taken"
	[[ $taken -le $((windows * 3)) ]]
}

# A large file in every group; then a clone of which parts are taken, so that the
# groups get reference counts, and lose them when it goes.
use_groups() {
	local at
	fallocate -l 200M "$TEST_DIR/large" &&
		cp --reflink=always "$TEST_DIR/large" "$TEST_DIR/clone" || return
	for ((at = 0; at < 200; at += 8)); do
		fallocate -p -o ${at}M -l 4K "$TEST_DIR/clone" || return
	done
	sync
	rm "$TEST_DIR/clone"
}
many_groups() { [[ $(groups) -ge 25 ]]; }
few_groups() {
	# A commit notices what was written in place since the last.
	touch "$file"
	sync
	echo 2 >/proc/sys/vm/drop_caches
	echo "$(groups) groups are in memory"
	[[ $(groups) -le 8 ]]
}

plan 14
check 'a file' dd if=/dev/urandom of="$file" bs=1M count=8 status=none
before=$(available)
quiet_writer
check 'a writer goes quiet' test $? = 0
check 'keeping what was staged for him' holds_back
leave

check 'mount with a short lifetime' again -o cowlifetime=1
check 'the option is shown' grep -q " $TEST_DIR cowfs .*cowlifetime=1" /proc/mounts
check 'not one of nothing' fails 'Bad value' mount -t cowfs -o cowlifetime=0 $scratch /mnt/test
before=$(available)
quiet_writer
check 'a writer goes quiet again' test $? = 0
check 'what nobody wrote is given back' poll gave_back
check 'and what was written stays' cmp -n 4096 "$copy" /dev/zero
leave

umount "$TEST_DIR"
fs_mkfs $scratch -b 1024 && fs_mount $scratch "$TEST_DIR"
check 'files in all groups' use_groups
check 'which are in memory' many_groups
check 'until it is needed' poll few_groups
check 'they are loaded again' rm "$TEST_DIR/large"
check 'and again used' dd if=/dev/zero of="$file" bs=1M count=64 status=none
