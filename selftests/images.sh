#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Mounting what is not (or no longer) a file system of ours: garbage, other
# file systems, truncated and damaged images. Each is refused with an errno and
# one line in the kernel log that names the device; nothing worse.

# What check evaluates is in single quotes.
# shellcheck disable=SC2016,SC2034

. "$HERE/lib/fs.sh"
. "$HERE/lib/tap.sh"

cd / || exit
image=/tmp/image
umount "$TEST_DIR"

# Minimal good image to damage: the scratch device's, without holes filled.
make_image() {
	rm -f $image
	truncate -s "$(($(fs_minimum) + 16))M" $image
	fs_mkfs $image
}

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

# damage OFFSET BYTES: overwrite with garbage.
damage() {
	dd if=/dev/urandom of=$image bs=1 seek="$1" count="$2" conv=notrunc status=none
}

# Refused or mountable, but alive: mounts if it can, looks around, unmounts.
survives() {
	local dev
	dev=$(losetup -f --show $image) || return
	if fs_mount "$dev" "$TEST_DIR" -o ro 2>/dev/null; then
		ls -lR "$TEST_DIR" >/dev/null 2>&1
		cat "$TEST_DIR"/* >/dev/null 2>&1
		umount "$TEST_DIR" || return
	fi
	losetup -d "$dev"
}

garbage() { rm -f $image; head -c 32M /dev/urandom >$image; }
zeros() { rm -f $image; truncate -s 32M $image; }
foreign() { rm -f $image; truncate -s 128M $image; "mkfs.$1" -q $image || "mkfs.$1" $image >/dev/null; }
short() { make_image && truncate -s "$1" $image; }
wiped() { make_image && dd if=/dev/zero of=$image bs=1k count=4 conv=notrunc status=none; }
flipped() { make_image && damage "$1" "$2"; }

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

plan 11
check 'random garbage' eval 'garbage && refused "$bad"'
check 'zeros' eval 'zeros && refused "$bad"'
check 'an ext4 file system' eval 'foreign ext4 && refused "$bad"'
check 'an empty device' eval 'short 0 && refused "."'
check 'cut off after the superblock' eval 'short 64K && refused "."'
check 'cut off in the middle' eval 'short $(($(fs_minimum) / 2))M && refused "."'
check 'without its first blocks' eval 'wiped && refused "$bad"'
check 'damaged in the superblock' eval 'flipped 1100 64 && survives'
for i in 1 2; do
	RANDOM=$i
	check "damaged in 200 places, $i" eval 'make_image && for n in {1..200}; do
		damage $((RANDOM * RANDOM % (8 << 20))) 16; done; survives'
done
check 'an undamaged one mounts' eval 'make_image && dev=$(losetup -f --show $image) &&
	fs_mount $dev $TEST_DIR && umount $TEST_DIR && losetup -d $dev'
rm -f $image
