#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What happens when a mounted volume turns out to be corrupt, as the option errors=
# says: nothing is written any more, or one goes on, or the machine stops. For the
# last: on_error.sh --panic, which whoever started the machine has to notice.

# What check evaluates is in single quotes.
# shellcheck disable=SC2016

export HERE FSTYP=${FSTYP:-cowfs} TEST_DIR=${TEST_DIR:-/mnt/scratch} MODULE=${MODULE:-/cowfs/cowfs.ko}
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/lib/fs.sh"
. "$HERE/lib/damaged.sh"
. "$HERE/lib/tap.sh"

image=/tmp/damaged
cd / || exit

# with OPTIONS [REMOUNT]: the damaged volume is mounted with them, remounted, and the damage is met.
with() {
	damaged_directory $image && fs_mount $image "$TEST_DIR" -o "loop${1:+,$1}" || return
	[[ ! ${2:-} ]] || mount -o "remount,$2" "$TEST_DIR" || return
	echo before >"$TEST_DIR/file" && sync -f "$TEST_DIR" || return
	echo "on_error: mounted with ${*:-no options}" >/dev/kmsg
	fails 'Structure needs cleaning' ls "$TEST_DIR/many"
}

# One line says what is wrong, and where.
told() {
	local log
	log=$(dmesg --raw | tac | sed '/on_error: mounted/q')
	printf '%s\n' "$log"
	grep -qE 'cowfs \(loop[0-9]+\): block [0-9]+: .' <<<"$log"
}

# Mounting it again says so.
recorded() {
	dmesg --raw | tac | sed '/on_error: mounted/q' | grep 'an error was recorded when last mounted'
}

if [[ ${1:-} == --panic ]]; then
	module_load && with errors=panic
	echo "the machine did not stop"
	exit 1
fi

umount "$TEST_DIR"
plan 15
check 'by default: the damage is met' with ''
check 'by default: and told' told
check 'by default: nothing is written any more' fails 'Read-only file system' touch "$TEST_DIR/new"
check 'by default: what is sound can be read' eval '[[ $(cat "$TEST_DIR/file") == before ]] && umount "$TEST_DIR"'
check 'met while frozen: thawed all the same' eval 'damaged_directory $image && fs_mount $image "$TEST_DIR" -o loop &&
	fsfreeze -f "$TEST_DIR" && fails "Structure needs cleaning" ls "$TEST_DIR/many" && fsfreeze -u "$TEST_DIR"'
check 'met while frozen: who changes something does not wait' fails 'Read-only file system' touch "$TEST_DIR/new"
check 'shown' eval '[[ $(findmnt -no FS-OPTIONS "$TEST_DIR") == *,emergency_ro* ]]'
check 'it can only be mounted read-only now' eval 'fails "write-protected" mount -o remount,rw "$TEST_DIR" &&
	mount -o remount,ro "$TEST_DIR" && umount "$TEST_DIR"'
check 'a shutdown leaves it recorded' eval 'with "" && xfs_io -x -c shutdown "$TEST_DIR" && umount "$TEST_DIR" &&
	fs_mount $image "$TEST_DIR" -o loop && recorded && umount "$TEST_DIR"'
check 'errors=remount-ro is the default' eval 'with errors=remount-ro &&
	fails "Read-only file system" touch "$TEST_DIR/new" && umount "$TEST_DIR"'
check 'errors=continue: the damage is met' with errors=continue
check 'errors=continue: and told' told
check 'errors=continue: what is sound can be written' eval 'echo after >"$TEST_DIR/file" &&
	sync -f "$TEST_DIR" && [[ $(cat "$TEST_DIR/file") == after ]] && umount "$TEST_DIR"'
check 'it can be chosen by a remount' with errors=remount-ro errors=continue
check 'remounted: what is sound can be written' eval 'echo after >"$TEST_DIR/file" && umount "$TEST_DIR"'
rm -f $image
