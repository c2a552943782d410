#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# bindgen.sh - generate Rust bindings for what the kernel's own bindings lack.
#
#	rust/bindgen.sh OBJTREE OUTDIR
#
# OBJTREE is a prepared kernel build tree. The flags are those with which it
# generated its own bindings, as kbuild recorded them. Only items of headers that
# the kernel's bindings do not include are generated, so that every type exists
# once: `struct inode` here is `kernel::bindings::inode`. Writes to OUTDIR
#
#	bindings_generated.rs		types, constants and functions
#	bindings_helpers_generated.rs	the wrappers of inline functions, helpers.c

set -euo pipefail

objtree=$(readlink -e "$1")
out=$(readlink -m "$2")
here=$(dirname "$(readlink -e "$0")")
: "${BINDGEN:=bindgen}" "${CLANG:=clang}"

cd "$objtree"

# recorded NAME: the recorded command that generated rust/bindings/NAME.rs, up to
# its sed step, as kbuild's make would have expanded it.
recorded() {
	# shellcheck disable=SC2016 # make's syntax, not the shell's
	sed -n "s@^savedcmd_rust/bindings/$1.rs := @@p" "rust/bindings/.$1.rs.cmd" |
		sed 's/\$(pound)/#/g; s/ ; sed -Ei .*//'
}

# run NAME SOURCE FLAG...: run that command for our SOURCE, with FLAGs added.
run() {
	local name=$1 source=$2 cmd
	shift 2
	cmd=$(recorded "$name")
	[[ $cmd == "${BINDGEN##*/} "*" -- "* ]] || {
		echo "$0: $objtree has no usable rust/bindings/.$name.rs.cmd" >&2
		exit 1
	}
	cflags=${cmd#* -- }
	local flags=${cmd%% -- *}
	flags=${flags#* * }
	flags=${flags% -o *}
	eval "cflags=(${cflags//-Wp,-MMD,*.d / })"
	eval "flags=($flags)"
	"$BINDGEN" "$source" "${flags[@]}" "$@" -o "$out/$name.rs.tmp" -- "${cflags[@]}"
}

headers() {
	tr ' ' '\n' | sed -nE 's@^(\./)?([^ ]+\.h)\)?$@\2@p' | xargs readlink -m | sort -u
}

# The headers our bindings include and the kernel's do not. bindgen knows a
# header by the name clang opened it with.
eval "cflags=($(recorded bindings_generated | sed 's/.* -- //; s/-Wp,-MMD,[^ ]* / /'))"
ours=$("$CLANG" "${cflags[@]}" -M -x c "$here/bindings_helper.h")
theirs=$(<rust/bindings/.bindings_generated.rs.cmd)
files=(--allowlist-file "$here/bindings_helper.h")
while read -r header; do
	pattern=${header#"$objtree"/}
	files+=(--allowlist-file "(.*/)?${pattern//./\\.}")
done < <(comm -23 <(headers <<<"$ours") <(headers <<<"$theirs"))

# Types that the kernel's bindings know by a forward declaration, and whose
# contents are not needed here.
run bindings_generated "$here/bindings_helper.h" --no-recursive-allowlist "${files[@]}" \
	--blocklist-type file_lease
sed -Ei 's/pub const RUST_CONST_HELPER_([a-zA-Z0-9_]*)/pub const \1/g' "$out/bindings_generated.rs.tmp"

run bindings_helpers_generated "$here/helpers.c"
sed -Ei 's/pub fn rust_helper_([a-zA-Z0-9_]*)/#[link_name="rust_helper_\1"]\n    pub fn \1/g' \
	"$out/bindings_helpers_generated.rs.tmp"

for name in bindings_generated bindings_helpers_generated; do
	mv "$out/$name.rs.tmp" "$out/$name.rs"
done
