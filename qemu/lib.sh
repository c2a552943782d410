# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# qemu/lib.sh - what the set-up scripts share: the cache, its locks, progress.
#
# The cache ($COWFS_CACHE, ~/.cache/cowfs) holds items called NAME-KEY, where KEY
# is a hash of everything the item is made from; $COWFS_CACHE/NAME is a link to
# the current one.  An item is built as NAME-KEY.tmp and renamed when complete,
# so whatever bears the final name is whole.  Mounts only ever happen in private
# mount namespaces: they end with the process that made them, and an interrupted
# build leaves nothing but a .tmp directory, which the next one removes.

set -euo pipefail
shopt -s inherit_errexit

# shellcheck disable=SC2034 # for the scripts that source this
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cache=${COWFS_CACHE:-$HOME/.cache/cowfs}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
umask 022

# pause SECONDS: on a descriptor from which nothing ever comes. It is opened once, as long as there are no other
# children: bash waits for the end of a process substitution, and finding it gone, for that of any other child.
exec {never}<> <(:)
pause() {
	read -rt "$1" -u "$never" || :
}

die() {
	printf 'cowfs: %s\n' "$@" >&2
	exit 1
}

# progress TEXT: one line for the user, with the seconds since it all began.
# Descriptor 3 is the terminal even where output goes to a log.
exec 3>&2
export COWFS_START=${COWFS_START:-$EPOCHSECONDS}
progress() {
	printf '  [%4ds] %s\n' $((EPOCHSECONDS - COWFS_START)) "$*" >&3
}

# hash_of FILE-OR-STRING...: the key of an item made from these.
hash_of() {
	local x
	for x; do
		if [[ -f $x ]]; then cat "$x"; else printf '%s\n' "$x"; fi
	done | sha256sum | cut -c1-12
}

# item NAME: the path of the finished item NAME, or fail.
item() {
	readlink -e "$cache/$1" || die "$1 is not set up: run 'make setup'"
}

# explain LOG: say what a failed step probably lacked.
explain() {
	tail -n 25 "$1" | sed 's/^/    | /' >&2
	local missing
	missing=$(sed -nE 's/^E: (Unable to locate package|Package .?)([^ ]+).*/\2/p' "$1" | sort -u | tr '\n' ' ')
	if [[ $missing ]]; then
		die "Debian package(s) not found at $mirror: $missing" \
		    "Is the mirror complete and current? DEBIAN_MIRROR=URL names another."
	fi
	if grep -qE 'Could not resolve|Temporary failure|Failed to fetch|Could not connect|Network is unreachable|Connection (timed out|refused)|download of .* failed|failed to download' "$1"; then
		die "a download failed: needed are $mirror and (for cargo) https://crates.io." \
		    "Check the network or proxy settings (http_proxy, https_proxy) and run again; DEBIAN_MIRROR=URL names another mirror."
	fi
	if grep -q 'No space left on device' "$1"; then
		die "no space left in $cache: about 8 GB are needed. COWFS_CACHE=DIR names another place."
	fi
	die "full log: $1"
}

# cached NAME KEY TITLE BUILDER: have item NAME-KEY, calling 'BUILDER DIR' to fill
# the new directory DIR if it does not exist, and point the link NAME at it.
# Items of other keys, say of another branch, stay for a week after their last use.
cached() {
	local name=$1 key=$2 title=$3 builder=$4
	local dir=$cache/$name-$key log=$cache/log/$name.log lock status
	mkdir -p "$cache/log"

	# What the builder starts inherits the lock: should it outlive a killed make,
	# the next one waits for its end.
	exec {lock}>"$cache/$name.lock"
	if [[ ! -d $dir ]] && ! flock -n "$lock"; then
		progress "$title: another make is at it, waiting"
		flock "$lock"
	fi
	if [[ ! -d $dir ]]; then
		[[ $EUID == 0 ]] || die "setting up the $title needs root"
		progress "$title: start"
		local any='????????????'
		find "$cache" -maxdepth 1 \( -name "$name-$any.tmp" -o -name "$name-$any" -mtime +7 \) \
			-exec rm -rf --one-file-system {} +
		mkdir "$dir.tmp"
		# No condition around it, or errexit would not hold in the builder.
		set +e
		( set -e; "$builder" "$dir.tmp" ) >"$log" 2>&1 </dev/null
		status=$?
		set -e
		if [[ $status != 0 ]]; then
			progress "$title: FAILED"
			explain "$log"
		fi
		mv -T "$dir.tmp" "$dir"
		progress "$title: done"
	fi
	touch "$dir"
	ln -sfnT "$name-$key" "$cache/$name"
	exec {lock}>&-
}
