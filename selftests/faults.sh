#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Memory that cannot be had, and a device that fails, in the middle of whatever the
# writers of soak.c do. Callers are told, blocks are old or new, and the volume is
# sound; for want of memory it does not stop, either. Only kernels made for
# that can do it (make DEBUG=1).

# What check evaluates is in single quotes.
# shellcheck disable=SC2016,SC2034

. "$HERE/lib/fs.sh"
. "$HERE/lib/tap.sh"

knobs=/sys/kernel/debug

# arm KNOB PERCENT: from now on so many fail, in processes that expose themselves.
arm() {
	echo Y >$knobs/"$1"/task-filter &&
	echo "$2" >$knobs/"$1"/probability &&
	echo 1 >$knobs/"$1"/interval &&
	echo -1 >$knobs/"$1"/times &&
	echo 0 >$knobs/"$1"/verbose
}

disarm() {
	echo 0 >$knobs/"$1"/probability
}

# load DIR FAULTS: not by check, which would keep the progress to itself.
load() {
	if mkdir "$TEST_DIR/$1" && cd "$TEST_DIR/$1" && "$HERE/soak" 120 "$2"; then
		check "load: $1" true
	else
		check "load: $1" false
	fi
	cd / || exit
	rm -rf "${TEST_DIR:?}/$1" 2>/dev/null
}

unharmed() {
	umount "$TEST_DIR" && fs_check $scratch && fs_mount $scratch "$TEST_DIR"
}

# A read that fails in the middle of an operation stops the journal, which fsck tells and mends; nothing else
# may be wrong.
sound() {
	local output
	output=$(fs_check $scratch 2>&1) && return
	printf '%s\n' "$output"
	[[ $output == *'journal: aborted by the kernel'*': 1 error found and left'* ]] || return
	"fsck.$FSTYP" -p $scratch
	[[ $? == 1 ]]
}

mountpoint -q $knobs || mount -t debugfs debugfs $knobs
if [[ ! -d $knobs/failslab || ! -d $knobs/fail_make_request ]]; then
	plan 1
	skip 'memory and device fail' 'not in this kernel'
	exit
fi
plan 9
check 'allocations of objects fail' eval 'arm failslab 1 && echo N >$knobs/failslab/ignore-gfp-wait'
load objects memory
disarm failslab
check 'allocations of pages fail' eval 'arm fail_page_alloc 10 &&
	echo N >$knobs/fail_page_alloc/ignore-gfp-wait &&
	echo N >$knobs/fail_page_alloc/ignore-gfp-highmem && echo 0 >$knobs/fail_page_alloc/min-order'
load pages memory
disarm fail_page_alloc
check 'the volume did not stop' touch "$TEST_DIR/on"
check 'nothing is wrong with it' unharmed
disk=$(dmsetup info -c --noheadings -o blkdevname scratch)
check 'requests fail' eval 'arm fail_make_request 1 && echo 1 >/sys/block/$disk/make-it-fail'
load requests io
disarm fail_make_request
umount "$TEST_DIR"
check 'nothing is wrong with it but that it may have stopped' sound
