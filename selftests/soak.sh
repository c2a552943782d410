#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# soak.sh SECONDS - in the guest: a volume as full as can be under load for so long
# (soak.c). Nothing of it is left in memory, and the volume is clean.

export HERE FSTYP=cowfs MODULE=${MODULE:-/cowfs/cowfs.ko}
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/lib/fs.sh"
. "$HERE/lib/slab.sh"
. "$HERE/lib/tap.sh"
disk=/dev/cowfs/disk0 dir=/mnt/scratch

quiet_log() {
	! dmesg --raw | grep -v 'out-of-tree module taints' |
		grep -E 'WARNING: |BUG|Oops|Call Trace|blocked for more|^<[0-4]>.*(cowfs|JBD2|I/O error|writeback error)'
}

plan 5
module_load && "$HERE/poison" $disk && fs_mkfs $disk || exit
slabs_before
fs_mount $disk $dir || exit
# Not by check, which would keep the progress to itself.
if ( cd $dir && exec "$HERE/soak" "$1" ); then
	check "$1 seconds of load" true
else
	check "$1 seconds of load" false
fi
check 'unmounts' umount $dir
check "nothing is left in the slab caches ${slabs//$'\n'/ }" slabs_after
check 'fsck finds nothing' fs_check $disk
check 'nothing in the kernel log' quiet_log
tap_passed
