# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# fs.sh - making, mounting and checking the file system under test, and the
# device-mapper device it lives on. For the runner and for tests in bash.
#
# /dev/mapper/scratch maps the start of $SCRATCH_DEV one to one, so the disk can
# be checked directly once that device is gone.

scratch=/dev/mapper/scratch

module_load() {
	modprobe -a loop dm-mod dm-flakey 2>/dev/null
	case $FSTYP in
	cowfs)
		grep -qw cowfs /proc/filesystems && return
		modprobe -a libcrc32c jbd2 2>/dev/null
		insmod "$MODULE";;
	*)	modprobe "$FSTYP";;
	esac
}

module_unload() {
	[[ $FSTYP != cowfs ]] || rmmod "$(basename "$MODULE" .ko)"
}

fs_mkfs() {
	local dev=$1
	shift
	# Discard would wipe the poison out of blocks never used.
	# shellcheck disable=SC2086 # options
	case $FSTYP in
	xfs)	mkfs.xfs -q -f -K -m reflink=1 $MKFS_OPTIONS "$@" "$dev";;
	*)	"mkfs.$FSTYP" -q -f -K $MKFS_OPTIONS "$@" "$dev";;
	esac
}

# fs_mount DEVICE DIR [OPTION...]
fs_mount() {
	local dev=$1 dir=$2
	shift 2
	mkdir -p "$dir"
	# shellcheck disable=SC2086 # options
	mount -t "$FSTYP" ${MOUNT_OPTIONS:+-o $MOUNT_OPTIONS} "$@" "$dev" "$dir"
}

fs_check() {
	case $FSTYP in
	xfs)	xfs_repair -n "$1";;
	*)	"fsck.$FSTYP" -n "$1";;
	esac
}

# The smallest file system this type can make, in MiB.
fs_minimum() {
	case $FSTYP in
	xfs) echo 320;;
	*) echo 16;;
	esac
}

# scratch_create MIB [poison] [small] [unmounted]: the device, a file system, the mount.
scratch_create() {
	local mib=$1 small=()
	shift
	if [[ " $* " == *' small '* ]]; then
		small=(-b "$([[ $FSTYP != xfs ]] || echo size=)1024")
	fi
	[[ $mib -ge $(fs_minimum) ]] || mib=$(fs_minimum)
	dmsetup create scratch --table "0 $((mib * 2048)) linear $SCRATCH_DEV 0" &&
	dmsetup mknodes &&
	if [[ " $* " == *' poison '* ]]; then
		"$HERE/poison" $scratch
	else
		# Nothing of the last test's file system.
		blkdiscard -f "$scratch" 2>/dev/null || dd if=/dev/zero of="$scratch" bs=1M count=1 status=none
	fi &&
	fs_mkfs "$scratch" "${small[@]}" &&
	if [[ " $* " != *' unmounted '* ]]; then
		fs_mount "$scratch" "$TEST_DIR"
	fi
}

# Let go of everything that a test held up.
dm_resume_all() {
	local name
	for name in $(dmsetup ls 2>/dev/null | grep -v '^No devices' | cut -f1); do
		dmsetup resume "$name"
	done
}

# Nothing ever comes from it. Not opened again for each pause: see qemu/lib.sh.
exec {never}<> <(:)

# poll COMMAND...: until it succeeds, for 20 seconds at most.
poll() {
	local end=$((EPOCHSECONDS + 20))
	until "$@"; do
		[[ $EPOCHSECONDS -lt $end ]] || return 1
		read -rt 0.05 -u "$never"
	done
	return 0
}

# scratch_release: unmount and take the device-mapper devices away.
scratch_release() {
	local name
	if mountpoint -q "$TEST_DIR"; then
		poll umount "$TEST_DIR" || return
	fi
	for name in scratch $(dmsetup ls 2>/dev/null | grep -v '^No devices' | cut -f1 | grep -vx scratch); do
		poll dmsetup remove "$name" || return
	done
}
