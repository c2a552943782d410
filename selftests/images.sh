#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Mounting what is not (or no longer) a file system of ours: garbage, other
# file systems, truncated and damaged images. Each is refused with an errno and
# one line in the kernel log that names the device; nothing worse.

# What check evaluates is in single quotes.
# shellcheck disable=SC2016,SC2034

. "$HERE/lib/fs.sh"
. "$HERE/lib/damaged.sh"
. "$HERE/lib/tap.sh"

cd / || exit
image=/tmp/image
umount "$TEST_DIR"

# A good image, with something of everything in it.
good=/tmp/good
make_good() {
	local dev i
	truncate -s "$(($(fs_minimum) + 16))M" $good
	fs_mkfs $good
	dev=$(losetup -f --show $good) && fs_mount "$dev" "$TEST_DIR" || return
	mkdir -p "$TEST_DIR"/{a,b}/c/d
	for i in {1..80}; do
		echo "$i" >"$TEST_DIR/a/$i"
	done
	head -c 300K /dev/urandom >"$TEST_DIR/big"
	for i in {1..40}; do
		printf x | dd of="$TEST_DIR/sparse" bs=8k seek="$i" conv=notrunc status=none
	done
	cp --reflink=always "$TEST_DIR/sparse" "$TEST_DIR/clone"
	printf x >>"$TEST_DIR/clone"
	ln -s "$(printf '%0900d' 0)" "$TEST_DIR/link"
	stat -c '%n %i' "$TEST_DIR" "$TEST_DIR"/{a,big} >/tmp/inodes
	umount "$TEST_DIR" && losetup -d "$dev"
}
make_image() { rm -f $image; cp --sparse=always $good $image; }

# refused TEXT: cannot be mounted, for that reason, with one line of explanation.
refused() {
	local dev mark lines status=0
	dev=$(losetup -f --show $image) || return
	mark=$(dmesg | wc -l)
	fails "$1" fs_mount "$dev" "$TEST_DIR" || status=1
	lines=$(dmesg | tail -n +$((mark + 1)) | grep -v 'loop[0-9]*: detected capacity')
	if [[ $FSTYP == cowfs ]]; then
		if [[ $(grep -c . <<<"$lines") != 1 || $lines != *"${dev#/dev/}"* ]]; then
			printf 'kernel log, wanted one line naming %s:\n%s\n' "$dev" "$lines"
			status=1
		fi
	fi
	! mountpoint -q "$TEST_DIR" || { umount "$TEST_DIR"; status=1; }
	losetup -d "$dev"
	return $status
}

# Refused or mountable, but alive: uses it as far as it goes, and unmounts.
survives() {
	local dev mode
	for mode in ro rw; do
		dev=$(losetup -f --show $image) || return
		if fs_mount "$dev" "$TEST_DIR" -o $mode 2>/dev/null; then
			{
				ls -lR "$TEST_DIR"
				cat "$TEST_DIR"/{a/*,big,sparse,clone}
				filefrag -v "$TEST_DIR"/{big,sparse,clone}
				if [[ $mode == rw ]]; then
					echo more >>"$TEST_DIR/clone"
					cp --reflink=always "$TEST_DIR/big" "$TEST_DIR/new"
					mv "$TEST_DIR/a/1" "$TEST_DIR/b/c/1"
					rm -r "$TEST_DIR"/{a,sparse}
					sync -f "$TEST_DIR"
				fi
			} &>/dev/null
			poll umount "$TEST_DIR" || return
		fi
		losetup -d "$dev"
	done
}

garbage() { rm -f $image; head -c 32M /dev/urandom >$image; }
zeros() { rm -f $image; truncate -s 32M $image; }
foreign() { rm -f $image; truncate -s 128M $image; "mkfs.$1" -q $image || "mkfs.$1" $image >/dev/null; }
short() { make_image && truncate -s "$1" $image; }
wiped() { make_image && dd if=/dev/zero of=$image bs=1k count=4 conv=notrunc status=none; }
flipped() { make_image && dd if=/dev/urandom of=$image bs=1 seek="$1" count="$2" conv=notrunc status=none; }

# A directory whose last block is gone is listed up to there, and no further.
cut_directory() {
	local status
	damaged_directory $image && fs_mount $image "$TEST_DIR" -o loop || return
	timeout 60 ls -U "$TEST_DIR/many" >/tmp/listed
	status=$?
	umount "$TEST_DIR"
	echo "ls: $status, $(wc -l </tmp/listed) names"
	[[ $status != 0 && $status != 124 && -s /tmp/listed && ! $(sort /tmp/listed | uniq -d) ]]
}

# Where its first block cannot be read, a backup of the superblock serves for the check.
unreadable() {
	local dev sectors status
	make_image && dev=$(losetup -f --show $image) || return
	sectors=$(blockdev --getsz "$dev")
	dmsetup create bad --table "0 8 error
		8 $((sectors - 8)) linear $dev 8" && dmsetup mknodes || return
	fsck.cowfs -n /dev/mapper/bad >/tmp/found 2>&1
	status=$?
	cat /tmp/found
	poll dmsetup remove bad
	losetup -d "$dev"
	[[ $status == 4 ]] && grep -q 'going on with the backup' /tmp/found
}

# What follows has the right checksums.
# crafted BYTE HEX: these bytes are there in the image.
crafted() { cowfs-mutate $image $image --put "$1=$2" >/dev/null; }

# links NAME NUMBER: so many links has what the good image has by this name, by its inode.
links() {
	local slot
	slot=$(awk -v name="$TEST_DIR$1" '$1 == name { print $2 * 256 }' /tmp/inodes)
	crafted $((slot + 4)) "$(printf %02x "$2")"
}

# The journal's log begins later than where it can.
late_log() {
	local start
	start=$(cowfs info $image | sed -n 's/^journal  *blocks \([0-9]*\)-.*/\1/p')
	crafted $((start * 4096 + 20)) 00000002
}

# All that is wrong afterwards is that the volume was found to be.
no_root() {
	make_image && links '' 0 && fails 'Structure needs cleaning' fs_mount $image "$TEST_DIR" -o loop || return
	links '' 4 || return
	fsck.cowfs -p $image
	[[ $? == 1 ]] && holds_all
}

# As many inodes and blocks are in use as in the good one.
holds_all() {
	local what='[0-9]* inodes.*'
	fs_check $image && [[ $(fs_check $image 2>&1 | grep -o "$what") == "$(fs_check $good 2>&1 | grep -o "$what")" ]]
}

# Who goes on after an error does not delete what has a name but no links: NAME has them back.
kept() {
	make_image && links "$1" 0 && fs_mount $image "$TEST_DIR" -o loop,errors=continue || return
	fails 'Structure needs cleaning' stat "$TEST_DIR$1" &&
		fails 'Structure needs cleaning' ls -lR "$TEST_DIR$1" &&
		fails 'Structure needs cleaning' rm -r "${TEST_DIR:?}$1"
	local status=$?
	poll umount "$TEST_DIR" && links "$1" "$2" && holds_all && return $status
}

bad='wrong fs type\|bad superblock\|Invalid argument\|Structure needs cleaning'
fails() {
	local text=$1 output
	shift
	if output=$("$@" 2>&1); then
		echo "succeeded: $*"
		return 1
	fi
	printf '%s\n' "$output"
	grep -qi "$text" <<<"$output"
}

plan 20
check 'making a good one' make_good
check 'random garbage' eval 'garbage && refused "$bad"'
check 'zeros' eval 'zeros && refused "$bad"'
check 'an ext4 file system' eval 'foreign ext4 && refused "$bad"'
check 'an empty device' eval 'short 0 && refused "."'
check 'cut off after the superblock' eval 'short 64K && refused "."'
check 'cut off in the middle' eval 'short $(($(fs_minimum) / 2))M && refused "."'
check 'without its first blocks' eval 'wiped && refused "$bad"'
check 'damaged in the superblock' eval 'flipped 1100 64 && survives'
for i in {1..4}; do
	check "damaged in $((i * i * 8)) places" eval "make_image && $HERE/damage $image $i $((i * i * 8)) && survives"
done
check 'a directory without its last block' cut_directory
if [[ $FSTYP == cowfs ]]; then
	check 'its first block unreadable' unreadable
	check 'a root without links keeps what it has' no_root
	check 'a file without links keeps what it has' kept /big 1
	check 'so does a directory' kept /a 3
	check 'a log that begins late' eval 'make_image && late_log && refused "."'
else
	for i in 'its first block unreadable' 'without links: '{root,file,directory} 'a log that begins late'; do
		skip "$i" 'only for cowfs'
	done
fi
check 'an undamaged one mounts' eval 'make_image && dev=$(losetup -f --show $image) &&
	fs_mount $dev $TEST_DIR && umount $TEST_DIR && losetup -d $dev'
rm -f $image $good
