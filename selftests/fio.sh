#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# fio storms with verification (crc32c in each block), into clones: direct by
# libaio, io_uring and synchronously, and buffered, of mixed sizes. Whatever they
# do, the source stays as it was.
#
# FIO_SIZE bytes for each job (8M).

. "$HERE/lib/fs.sh"
. "$HERE/lib/tap.sh"

size=${FIO_SIZE:-8M}
cd / || exit

unchanged() { (cd "$TEST_DIR" && sha256sum -c --quiet sum); }

storm() {
	local name=$1
	shift
	rm -f "$TEST_DIR/target"
	cp --reflink=always "$TEST_DIR/source" "$TEST_DIR/target" || return
	fio --name="$name" --filename="$TEST_DIR/target" --size="$size" --offset_increment="$size" \
		--numjobs=3 --group_reporting --output-format=terse --verify=crc32c \
		--verify_fatal=1 --do_verify=1 --fallocate=none \
		--aux-path=/tmp "$@" || return
	unchanged
}

# The verification reads back what other jobs wrote, through a new mount.
later() {
	storm later --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=8 --do_verify=0 || return
	umount "$TEST_DIR" && fs_mount $scratch "$TEST_DIR" || return
	fio --name=later --filename="$TEST_DIR/target" --size="$size" --offset_increment="$size" --numjobs=3 \
		--group_reporting --output-format=terse --verify=crc32c --verify_fatal=1 \
		--verify_only --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=8 \
		--aux-path=/tmp
}

head -c "$((${size%M} * 3))M" /dev/urandom >"$TEST_DIR/source"
(cd "$TEST_DIR" && sha256sum source >sum)
plan 7
check 'direct, libaio, 4 KiB' storm a --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=16
check 'direct, io_uring, mixed sizes' storm b --rw=randwrite --bsrange=4k-128k --direct=1 --ioengine=io_uring --iodepth=8
check 'direct, synchronous, mixed reads and writes' storm c --rw=randrw --bs=16k --direct=1 --ioengine=psync
check 'direct, O_DSYNC' storm d --rw=randwrite --bs=32k --direct=1 --sync=dsync --ioengine=libaio --iodepth=4
check 'buffered, mixed sizes, unaligned' storm e --rw=randwrite --bsrange=1k-64k --bs_unaligned=1 --ioengine=psync --fsync=64
# One job: with several in one file, fio takes its own mapped writes for wrong, on XFS too.
check 'mapped' storm f --rw=randwrite --bs=4k --ioengine=mmap --numjobs=1
check 'direct, verified after a new mount' later
