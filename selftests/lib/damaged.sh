# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# damaged.sh - volumes with known damage, for tests in bash. Wants fs.sh.

# damaged_directory IMAGE: a volume in that file whose directory `many` lacks its last
# block; $TEST_DIR is free to be mounted at.
damaged_directory() {
	local image=$1 last at
	rm -f "$image"
	truncate -s "$(($(fs_minimum) + 16))M" "$image" && fs_mkfs "$image" &&
	fs_mount "$image" "$TEST_DIR" -o loop && mkdir "$TEST_DIR/many" || return
	( cd "$TEST_DIR/many" && printf '%0120d\n' {1..200} | xargs touch ) || return
	last=$(find "$TEST_DIR/many" -type f -printf '%f\n' | tail -n 1)
	umount "$TEST_DIR" || return
	while IFS=: read -r at _; do
		dd if=/dev/zero of="$image" bs=4k seek=$((at / 4096)) count=1 conv=notrunc status=none
	done < <(grep -abo "$last" "$image")
}
