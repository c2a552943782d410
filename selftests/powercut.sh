#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# powercut.sh - in the guest, between two power cuts (qemu/powercut).
#
#	powercut.sh make|check|storm SEED ...	these steps, in this order
#
# make makes the file system. check looks at what the last cut left: fsck, the
# mount, which replays the journal, and everything that is in acks. storm writes
# until the power goes, and does not come back.

export HERE FSTYP=cowfs MODULE=${MODULE:-/cowfs/cowfs.ko}
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/lib/fs.sh"
disk=/dev/cowfs/disk0 dir=/mnt/scratch

module_load || exit
while [[ $# -gt 0 ]]; do
	case $1 in
	make)
		"$HERE/poison" $disk && fs_mkfs $disk && fs_mount $disk $dir || exit;;
	check)
		fs_check $disk && fs_mount $disk $dir &&
			( cd $dir && "$HERE/powercut" verify /cowfs/acks ) || exit;;
	storm)
		shift
		cd $dir && exec "$HERE/powercut" storm "$1";;
	esac
	shift
done
umount $dir && fs_check $disk && module_unload
