#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# fsx, the file system exerciser: random operations on one file, every read
# verified. Buffered and mapped on a clone; fsx itself knows no direct I/O, so it
# also works on a loop device whose driver does direct I/O to a clone.
#
# FSX_OPS operations altogether (10^5), seed FSX_SEED.

. "$HERE/lib/fs.sh"
. "$HERE/lib/tap.sh"

total=${FSX_OPS:-100000} seed=${FSX_SEED:-$RANDOM}
cd "$TEST_DIR" || exit
config=/tmp/fsx.toml

# A file with content, and its clone, which fsx works on.
prepare() {
	head -c 512K /dev/urandom >source && sha256sum source >sum &&
	rm -f target && cp --reflink=always source target
}

exercise() {
	local file=$1
	shift
	# When it fails, its log and what the file should have held are of use.
	fsx -N "$ops" -S "$seed" -f $config -P /results "$@" "$file"
}

# Nothing is allocated for no bytes, which fsx takes for "not supported": hence the minimum.
buffered() {
	prepare
	cat >$config <<-'END'
		flen = 524288
		[opsize]
		min = 1
		max = 16384
		[weights]
		read = 10
		write = 10
		mapread = 0.01
		mapwrite = 0.01
		truncate = 2
		fsync = 0.2
		fdatasync = 0.2
		close_open = 1
		posix_fadvise = 1
		copy_file_range = 2
		sendfile = 1
	END
	supported punch_hole posix_fallocate
	exercise target
}

mapped() {
	prepare
	cat >$config <<-'END'
		flen = 524288
		nomsyncafterwrite = true
		[opsize]
		max = 16384
		[weights]
		read = 3
		write = 3
		mapread = 10
		mapwrite = 10
		truncate = 2
		invalidate = 0.5
		fsync = 0.1
		close_open = 0.5
	END
	supported punch_hole
	exercise target
}

# Aligned to blocks, as the loop device is of 4096 byte sectors.
direct() {
	local loop status
	prepare
	cat >$config <<-'END'
		flen = 524288
		blockmode = true
		[opsize]
		max = 16384
		align = 4096
		[weights]
		read = 10
		write = 10
		mapread = 0.01
		mapwrite = 0.01
		truncate = 0
		fsync = 2
		posix_fadvise = 5
	END
	loop=$(losetup -f --show --direct-io=on --sector-size 4096 target) || return
	[[ $(cat "/sys/block/${loop#/dev/}/loop/dio") == 1 ]] || { losetup -d "$loop"; return 1; }
	exercise "$loop"
	status=$?
	losetup -d "$loop"
	return $status
}

# Operations that the file system may not have.
supported() {
	local op
	for op; do
		case $op in
		punch_hole) fallocate -p -o 0 -l 4096 target 2>/dev/null || continue;;
		posix_fallocate) fallocate -l 4096 target 2>/dev/null || continue;;
		esac
		echo "$op = 1" >>$config
	done
	rm target
	cp --reflink=always source target
}

plan 6
echo "# FSX_OPS=$total FSX_SEED=$seed"
# Mapping takes the most time, and direct I/O next.
declare -A share=([buffered]=60 [mapped]=20 [direct]=20)
for how in buffered mapped direct; do
	ops=$((total * share[$how] / 100)) start=$EPOCHSECONDS
	check "$how, $ops operations" $how
	echo "# $((EPOCHSECONDS - start)) s"
	check "$how: the source of the clone is unchanged" sha256sum -c --quiet sum
done
