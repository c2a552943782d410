# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# rows.sh - what is measured. Each row is a function that prints a number, on the
# file system mounted at $mnt; it leaves nothing behind that changes another row.

# shellcheck disable=SC2034 # some are for the script that sources this
device=/dev/ram0 mnt=/mnt/test
SIZE=${SIZE:-64} FILES=${FILES:-20000}

# shellcheck disable=SC2034
declare -A row_function row_title row_unit row_better row_modes row_clones
row_names=()

# row NAME UNIT more|less MODES clones|"" FUNCTION TITLE
row() {
	local name=$1
	row_names+=("$name")
	# shellcheck disable=SC2034
	row_unit[$name]=$2 row_better[$name]=$3 row_modes[$name]=$4 row_clones[$name]=$5 \
		row_function[$name]=$6 row_title[$name]=$7
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
	[[ $how == inplace ]] || rm "$file"
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

# clone_of EXTENTS, removal_of EXTENTS: a file of so many extents.
fragmented() {
	[[ -e $mnt/extents-$1 ]] || cowfs-bench time fragment "$mnt/extents-$1" "$1" >/dev/null && sync
}
clone_of() {
	local seconds
	fragmented "$1" && seconds=$(cowfs-bench time clone "$mnt/extents-$1" $mnt/clone) &&
		rm $mnt/clone && sync && scaled "$seconds" 1e6
}
removal_of() {
	local seconds
	fragmented "$1" && cowfs-bench time clone "$mnt/extents-$1" $mnt/clone >/dev/null && sync &&
		seconds=$(cowfs-bench time unlink $mnt/clone) && scaled "$seconds" 1e6
}
for extents in 1 1000 50000; do
	row clone-$extents us less cost clones clone_of_$extents "clone of a file of $extents extents"
	row unlink-clone-$extents us less cost clones removal_of_$extents "deletion of a clone of $extents extents"
	eval "
	clone_of_$extents() { clone_of $extents; }
	removal_of_$extents() { removal_of $extents; }"
done

row create-files us less cost '' create_files "creation of $FILES small files, each"
row stat-files us less cost '' stat_files "stat of $FILES small files, each, not cached"
row inode-slab bytes less cost '' inode_slab 'slab memory of a cached inode and dentry'
row unlink-files us less cost '' unlink_files "deletion of $FILES small files, each"

# files OPERATION: microseconds per file
files() {
	local seconds
	seconds=$(cowfs-bench time "$1" $mnt/files "$FILES") && scaled "$seconds" 1e6 "$FILES"
}
have_files() { [[ -d $mnt/files ]] || files create >/dev/null; }
create_files() { remove_files && files create; }
remove_files() { [[ ! -d $mnt/files ]] || rm -r $mnt/files; }
stat_files() { have_files && sync && echo 3 >/proc/sys/vm/drop_caches && files stat; }
unlink_files() { have_files && files unlink-all && rmdir $mnt/files; }
slab() { awk '$1 == "Slab:" { print $2 * 1024 }' /proc/meminfo; }
inode_slab() {
	local before
	have_files && sync && echo 3 >/proc/sys/vm/drop_caches && before=$(slab) &&
		files stat >/dev/null && echo $((($(slab) - before) / FILES))
}

row mount us less cost '' mount_again 'mount'
mount_again() {
	local seconds fs
	fs=$(findmnt -n -o FSTYPE $mnt) && umount $mnt &&
		seconds=$(cowfs-bench time mount "$fs" $device $mnt) && scaled "$seconds" 1e6
}
