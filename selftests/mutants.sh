#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# mutants.sh COUNT SEED - in the guest: mount hostile volumes and use them (mutants.c).
# COUNT images of a small volume, each with other changes to its metadata and the
# right checksums (cowfs-mutate). The kernel may refuse what it is asked for, and
# nothing worse.

export HERE FSTYP=cowfs MODULE=${MODULE:-/cowfs/cowfs.ko}
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/lib/fs.sh"
. "$HERE/lib/tap.sh"
count=$1 seed=$2 dir=/mnt/scratch mounted=0 refused=0 silent=0 complained=0

# Something of everything: extents in the inode and in trees, shared and not;
# directories small and large; preallocated space; symbolic links of both kinds.
populate() {
	local i
	mkdir -p $dir/d/e/f $dir/many || return
	# Long names, and few of them: each is looked at every time.
	for i in {1..30}; do echo "$i" >"$dir/many/entry $(printf '%0120d' "$i")"; done
	for i in {0..90}; do
		dd if=/dev/urandom of=$dir/tree bs=1k count=1 seek=$((i * 2)) conv=notrunc status=none
	done
	cp --reflink=always $dir/tree $dir/clone && cp --reflink=always $dir/tree $dir/twin &&
		dd if=/dev/urandom of=$dir/clone bs=1k count=1 seek=50 conv=notrunc status=none &&
		dd if=/dev/urandom of=$dir/plain bs=1k count=40 status=none &&
		cp --reflink=always $dir/plain $dir/d/copy && fallocate -l 100K $dir/d/e/space &&
		ln -s plain $dir/short && ln -s "$(printf '%0300d' 0)" $dir/long &&
		mkfifo $dir/pipe && ln $dir/plain $dir/d/e/f/link && sync
}

one() {
	cowfs-mutate /tmp/base /tmp/image "$1" >/tmp/changes || return
	# Whoever goes on after an error sees more.
	if mount -t cowfs -o "loop,errors=continue" /tmp/image $dir 2>/dev/null; then
		mounted=$((mounted + 1))
		"$HERE/mutants" $dir 2>/dev/null || { echo "# image $1 keeps it busy without end"; return 1; }
		poll umount $dir
	else
		refused=$((refused + 1))
		dmesg --raw | sed -n "/image $1\$/,\$p" | grep -q 'cowfs (' || silent=$((silent + 1))
	fi
}

# What the kernel said of the last images; fails if it was more than that they are damaged. What is sent beyond the
# device is an address that nobody checked.
look() {
	complained=$((complained + $(dmesg --raw | grep -c 'cowfs (')))
	! dmesg --raw | grep -E 'WARNING: |BUG|Oops|Call Trace|blocked for more|beyond end of device' || return
	dmesg --clear
	echo "# $survived images: $mounted mounted, $refused refused, $complained lines in the log"
}

plan 6
module_load && truncate -s 8M /tmp/base && fs_mkfs /tmp/base -b 1024 -U 6d757461-6e74-4000-8000-000000000000 &&
	fs_mount /tmp/base $dir -o loop && populate && umount $dir || exit
cp /tmp/base /tmp/image
check 'the volume is sound' fs_check /tmp/base
dmesg --clear
survived=0
for ((n = 0; n < count; n++)); do
	echo "image $((seed + n))" >/dev/kmsg
	one $((seed + n)) || break
	survived=$((survived + 1))
	[[ $((survived % 100)) != 0 ]] || look || break
done
# Not by check, which would count in a shell of its own.
sound=true
look || sound=false
check 'the kernel says of them that they are damaged, and no more' $sound
check 'of each that it refused' test $silent = 0
check 'it does not refuse them all' test $mounted -gt 0
check "$count images are survived" test $survived = "$count"
check 'the module can be unloaded' module_unload
tap_passed
