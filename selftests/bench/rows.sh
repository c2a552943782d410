# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# rows.sh - what is measured. Each row is a function that prints a number, on the
# file system mounted at $mnt; it leaves nothing behind that changes another row.

# shellcheck disable=SC2034 # some are for the script that sources this
device=/dev/ram0 mnt=/mnt/test
SIZE=${SIZE:-16} FILES=${FILES:-20000}

# shellcheck disable=SC2034
declare -A row_function row_title row_unit row_better row_kinds row_clones row_slow
row_names=()

# row NAME UNIT more|less KINDS clones|"" FUNCTION TITLE: KINDS is what it tells
# something about, cost, concurrency or memory; clones: file systems without them
# have no such row.
row() {
	local name=$1
	row_names+=("$name")
	# shellcheck disable=SC2034
	row_unit[$name]=$2 row_better[$name]=$3 row_kinds[$name]=$4 row_clones[$name]=$5 \
		row_function[$name]=$6 row_title[$name]=$7
}

# slow NAME...: these take so long on some file system that one round must do.
slow() {
	local name
	for name; do
		# shellcheck disable=SC2034
		row_slow[$name]=1
	done
}

# fio_on FILE ARG...: run fio on a file, once over the whole of it unless told otherwise.
fio_on() {
	local file=$1
	shift
	fio --name=bench --filename="$file" --size="${SIZE}M" --direct=1 --bs=4k --randseed=1 \
		--ioengine=libaio --group_reporting --output-format=json "$@" >/tmp/fio.json 2>&1 ||
		{ cat /tmp/fio.json >&2; return 1; }
}

iops() { fio_on "$@" && cowfs-bench fio /tmp/fio.json; }
throughput() { fio_on "$@" && cowfs-bench fio --throughput /tmp/fio.json; }

# A file written whole, of few extents; later rows share it.
base() {
	[[ ! -e $mnt/base ]] || return 0
	dd if=/dev/zero of=$mnt/base bs=1M count="$SIZE" oflag=direct status=none && sync
}

# overwrite inplace|clone FIO-ARG...: overwrite the base file or a fresh clone of it.
overwrite() {
	local how=$1 file=$mnt/base
	shift
	base || return
	if [[ $how == clone ]]; then
		file=$mnt/clone
		cp --reflink=always $mnt/base "$file" && sync || return
	fi
	iops "$file" --rw=randwrite "$@" || return
	[[ $how == inplace ]] || removed "$file"
}

# A quarter of the file, for what is slow.
part="--io_size=$((SIZE / 4))M"
four_jobs="--numjobs=4 --size=25% --offset_increment=25% --filesize=${SIZE}M --iodepth=4"

for how in clone inplace; do
	case $how in
	clone) words='of a fresh clone' clones=clones;;
	inplace) words='in place' clones='';;
	esac
	row $how-overwrite-qd1 IOPS more cost "$clones" "overwrite_${how}_qd1" "4 KiB random overwrite $words, QD 1"
	row $how-overwrite-qd16 IOPS more 'cost concurrency' "$clones" "overwrite_${how}_qd16" "4 KiB random overwrite $words, QD 16"
	row $how-overwrite-4jobs IOPS more 'cost concurrency' "$clones" "overwrite_${how}_4jobs" "4 KiB random overwrite $words, 4 jobs"
	row $how-overwrite-64k IOPS more cost "$clones" "overwrite_${how}_64k" "64 KiB random overwrite $words, QD 4"
	row $how-dsync IOPS more cost "$clones" "overwrite_${how}_dsync" "O_DSYNC 4 KiB random overwrite $words"
	# shellcheck disable=SC2086 # several arguments
	eval "
	overwrite_${how}_qd1() { overwrite $how --iodepth=1 $part; }
	overwrite_${how}_qd16() { overwrite $how --iodepth=16; }
	overwrite_${how}_4jobs() { overwrite $how $four_jobs; }
	overwrite_${how}_64k() { overwrite $how --bs=64k --iodepth=4; }
	overwrite_${how}_dsync() { overwrite $how --ioengine=psync --sync=dsync --io_size=$((SIZE / 8))M; }"
done

row first-write us less cost clones first_write 'first 4 KiB direct write after each clone'
first_write() {
	local seconds
	base && seconds=$(cowfs-bench time first-write $mnt/base 100) &&
		scaled "$seconds" 1e6 100
}

row write-seq-direct MiB/s more cost '' write_direct 'sequential 1 MiB direct write of a new file'
write_direct() {
	throughput $mnt/new --rw=write --bs=1M --iodepth=4 --fallocate=none && rm $mnt/new
}

row write-seq-buffered MiB/s more cost '' write_buffered 'sequential 1 MiB buffered write of a new file, synced'
write_buffered() {
	throughput $mnt/new --rw=write --bs=1M --direct=0 --ioengine=psync --end_fsync=1 \
		--fallocate=none && rm $mnt/new
}

row read-random IOPS more 'cost concurrency' '' read_random '4 KiB random direct read, QD 16'
read_random() { base && iops $mnt/base --rw=randread --iodepth=16; }

row read-seq MiB/s more cost '' read_direct 'sequential 1 MiB direct read'
read_direct() { base && throughput $mnt/base --rw=read --bs=1M --iodepth=4; }

row read-seq-buffered MiB/s more cost '' read_buffered 'sequential 1 MiB buffered read, not cached'
read_buffered() {
	base && echo 1 >/proc/sys/vm/drop_caches &&
		throughput $mnt/base --rw=read --bs=1M --direct=0 --ioengine=psync
}

# scaled SECONDS FACTOR [COUNT]
scaled() {
	awk -v s="$1" -v f="$2" -v n="${3:-1}" 'BEGIN { printf "%.3f\n", s * f / n }'
}

# removed FILE...: nothing of their removal is left to be done behind other rows' back.
removed() {
	local file
	for file; do
		cowfs-bench time unlink "$file" >/dev/null || return
	done
}

# cloned EXTENTS WHAT: clone a file of so many extents, delete the clone, make
# another and write to it; print how long WHAT of that took. Once for all who ask.
cloned() {
	local file=$mnt/extents-$1 times=/tmp/cloned-$1
	if [[ ! -e $times ]]; then
		{ cowfs-bench time fragment "$file" "$1" >/dev/null && sync &&
			echo "clone $(cowfs-bench time clone "$file" $mnt/clone)" && sync &&
			echo "unlink $(cowfs-bench time unlink $mnt/clone)" &&
			cp --reflink=always "$file" $mnt/clone && sync &&
			echo "write $(cowfs-bench time overwrite $mnt/clone)" &&
			removed $mnt/clone "$file"; } >$times ||
			{ rm -f $times $mnt/clone "$file"; return 1; }
	fi
	scaled "$(sed -n "s/^$2 //p" "$times")" 1e6
}
for extents in 1 1000 50000; do
	of="a file of $extents extents"
	row clone-$extents us less cost clones cloned_${extents}_clone "clone of $of"
	row first-write-$extents us less cost clones cloned_${extents}_write "first 4 KiB direct write to a clone of $of"
	row unlink-clone-$extents us less cost clones cloned_${extents}_unlink "deletion of a clone of $of, synced"
	for what in clone write unlink; do
		eval "cloned_${extents}_$what() { cloned $extents $what; }"
	done
done
slow clone-50000 first-write-50000 unlink-clone-50000

row unlink-clones us less cost clones unlink_clones 'deletion of 100 clones of a file of 1 extent, synced once, each'
unlink_clones() {
	local seconds
	cowfs-bench time fragment $mnt/one 1 >/dev/null &&
		cowfs-bench time clones $mnt/one $mnt/clones 100 >/dev/null &&
		seconds=$(cowfs-bench time unlink-all $mnt/clones 100) &&
		rmdir $mnt/clones && removed $mnt/one && scaled "$seconds" 1e6 100
}

row create-files us less cost '' create_files "creation of $FILES small files, each"
row stat-files us less cost '' stat_files "stat of $FILES small files, each, not cached"
row unlink-files us less cost '' unlink_files "deletion of $FILES small files, each"

# files OPERATION: microseconds per file
files() {
	local seconds
	seconds=$(cowfs-bench time "$1" $mnt/files "$FILES") && scaled "$seconds" 1e6 "$FILES"
}
slow create-files stat-files unlink-files
have_files() { [[ -d $mnt/files ]] || files create >/dev/null; }
create_files() { remove_files && files create; }
remove_files() { [[ ! -d $mnt/files ]] || rm -r $mnt/files; }
stat_files() { have_files && sync && echo 3 >/proc/sys/vm/drop_caches && files stat; }
unlink_files() { have_files && files unlink-all && rmdir $mnt/files; }
row mount us less cost '' mount_again 'mount'
mount_again() {
	local seconds fs
	fs=$(findmnt -n -o FSTYPE $mnt) && umount $mnt &&
		seconds=$(cowfs-bench time mount "$fs" $device $mnt) && scaled "$seconds" 1e6
}

row inode-slab bytes less memory '' inode_slab 'slab memory of a cached inode and dentry'
slab() { awk '$1 == "Slab:" { print $2 * 1024 }' /proc/meminfo; }
inode_slab() {
	local before
	have_files && sync && echo 3 >/proc/sys/vm/drop_caches && before=$(slab) &&
		files stat >/dev/null && echo $((($(slab) - before) / FILES)) && remove_files
}

row mount-memory KiB less memory '' mount_memory 'memory taken by mounting an empty volume of 16 TiB'
slow inode-slab mount-memory
# taken: KiB of memory in use, but for the pages of files in memory, the volume among them.
taken() {
	awk '{ m[$1] = $2 } END { print m["MemTotal:"] - m["MemFree:"] - m["Shmem:"] }' /proc/meminfo
}
# settled: the same when all that can go has gone; some of it goes late.
settled() {
	local before now
	now=$(taken)
	for ((;;)); do
		sync && echo 3 >/proc/sys/vm/drop_caches && sleep 0.2 || return
		before=$now now=$(taken)
		((now < before - 256)) || break
	done
	echo "$now"
}
mount_memory() {
	local fs volume=/tmp/volume loop before after
	fs=$(findmnt -n -o FSTYPE $mnt) && umount $mnt && modprobe loop && truncate -s 16T $volume &&
		loop=$(losetup --find --show $volume) && fs_make "$fs" "$loop" large &&
		before=$(settled) && fs_mount "$fs" "$loop" && after=$(taken) && umount $mnt &&
		losetup --detach "$loop" && rm $volume && fs_mount "$fs" $device &&
		echo $((after > before ? after - before : 0))
}

# storm TIMES: four jobs overwrite as much of a clone as SIZE, which is TIMES as large.
for times in 1 8; do
	row storm-memory-${times}x KiB less memory clones storm_${times}x \
		"peak of slab memory while 4 jobs overwrite $SIZE MiB of a clone of $((SIZE * times)) MiB"
	eval "storm_${times}x() { storm $times; }"
done
slow storm-memory-1x storm-memory-8x
storm() {
	local size=$((SIZE * $1)) file=$mnt/storm
	dd if=/dev/zero of=$file bs=1M count=$size oflag=direct status=none &&
		cp --reflink=always $file $file-clone && sync && echo 3 >/proc/sys/vm/drop_caches &&
		cowfs-bench watch fio --name=storm --filename=$file-clone --rw=randwrite --direct=1 \
			--bs=4k --randseed=1 --ioengine=libaio --iodepth=16 --numjobs=4 --size=25% \
			--offset_increment=25% --filesize=${size}M --io_size=$((SIZE / 4))M --output=/tmp/fio.json &&
		rm $file $file-clone && sync
}
