# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# tap.sh - TAP for tests in bash: plan N, then N times check.

tap_number=0 tap_failed=0 tap_planned=

plan() {
	tap_planned=$1
	echo "TAP version 13"
	echo "1..$1"
}

# check TITLE COMMAND...: one test, which COMMAND decides; its output is shown if it fails.
check() {
	local title=$1 output
	shift
	tap_number=$((tap_number + 1))
	if output=$("$@" 2>&1); then
		echo "ok $tap_number - $title"
	else
		printf '%s\n' "$output" "failed: $*" | grep . | sed 's/^/# /'
		echo "not ok $tap_number - $title"
		tap_failed=$((tap_failed + 1))
	fi
}

# tap_passed: all that was planned was done, and nothing failed.
tap_passed() {
	[[ $tap_number == "$tap_planned" && $tap_failed == 0 ]]
}

# skip TITLE REASON
skip() {
	tap_number=$((tap_number + 1))
	echo "ok $tap_number - $1 # SKIP $2"
}

# fails ERRNO-TEXT COMMAND...: it fails, and says so with this text.
fails() {
	local text=$1 output
	shift
	if output=$("$@" 2>&1); then
		echo "succeeded: $*"
		return 1
	fi
	printf '%s\n' "$output"
	[[ $output == *"$text"* ]]
}
