# SPDX-License-Identifier: GPL-2.0
#
# cowfs: build it, try it and test it.  'make help' lists the targets.
#
# By default everything is compiled in a toolchain root and runs in a virtual
# machine, both set up in $COWFS_CACHE (~/.cache/cowfs) from Debian's packages by
# the scripts in qemu/.  With KDIR=, the module is built against that kernel tree
# instead, by the machine's own compilers, and nothing is set up.

ifndef KBUILD_EXTMOD	# kbuild reads Kbuild, not this file

MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c

COWFS_CACHE ?= $(HOME)/.cache/cowfs
export COWFS_CACHE
export COWFS_START ?= $(shell date +%s)

# What the guest gets: see qemu/boot.
DISKS ?= 4G 4G
MEMORY ?= 3072
CPUS ?= 2

# For kbuild: WERROR=0 lets warnings pass, V=1 shows the commands.
WERROR ?= 1
V ?= 0

# DEBUG=1: a kernel with KASAN, lockdep and more; DEBUG=kcsan: one that finds data
# races.  Everything there takes several times as long.
override DEBUG := $(patsubst 1,kasan,$(DEBUG))
export DEBUG

series := 7.2 7.3
build := $(CURDIR)/build$(DEBUG:%=/%)

# The virtual machine boots its own kernel, which no module for another one can enter.
ifdef KDIR
in_guest := $(filter guest-files vm demo selftests selftests-precure selftests-panic \
	check-crash check-crash-sample bench check,$(MAKECMDGOALS))
ifneq ($(in_guest),)
$(error KDIR=$(KDIR) is for building the module and the tools: use 'make KDIR=$(KDIR)' and insmod \
	build/module/cowfs.ko in that kernel, or 'make $(in_guest)' without KDIR, in the virtual machine)
endif
in_toolchain :=
else
override KDIR := $(COWFS_CACHE)/kernel$(DEBUG:%=-%)/linux
in_toolchain := qemu/in-toolchain
need_kernel := kernel$(if $(DEBUG),-debug)
need_toolchain := toolchain
endif

# How much longer tests may take, in percent, and what memory they need.
ifdef DEBUG
time := 600
MEMORY := 5120
else
time := 100
endif
timeout = $(shell echo $$(($(1) * $(time) / 100)))

cargo := $(in_toolchain) cargo
workspace := --manifest-path tools/Cargo.toml --workspace --locked
guest := qemu/boot --memory $(MEMORY) --cpus $(CPUS) $(addprefix --disk ,$(DISKS)) \
	$(build)/module/cowfs.ko $(build)/bin
tests := $(build)/precure/cowfs_precure.ko $(build)/selftests
# Merged with build/bin in the guest.
test_programs = $(COWFS_CACHE)/test-programs/bin

.PHONY: all
all: module tools

# --- set-up ---------------------------------------------------------------

# Two at a time, whatever -j says: neither fills a machine on its own.
.PHONY: setup setup-tests toolchain kernel kernel-debug guest-root test-programs guest
setup:
	+@$(MAKE) -j2 guest

setup-tests:
	+@$(MAKE) -j2 guest test-programs

toolchain:
	@qemu/toolchain

kernel guest-root test-programs: toolchain
	@qemu/$@

kernel-debug: kernel
	@qemu/kernel-debug $(DEBUG)

guest: kernel $(if $(DEBUG),kernel-debug) guest-root
	@qemu/guest

# --- the module -----------------------------------------------------------

# kbuild DIRECTORY,ARGUMENTS: let kbuild make ARGUMENTS in build/DIRECTORY, with the
# compiler that the kernel was built with.
define kbuild
	@mkdir -p $(build)/$(1)
	@$(in_toolchain) make -C $(KDIR) M=$(CURDIR) MO=$(build)/$(1) -j$$(nproc) \
		--no-print-directory $(shell sed -n \
			-e 's/^CONFIG_CC_IS_CLANG=y/LLVM=1/p' \
			-e 's/^CONFIG_CC_VERSION_TEXT="\([^ ]*gcc[^ ]*\).*/CC=\1/p' $(KDIR)/.config) \
		WERROR=$(WERROR) V=$(V) $(2)
endef

.PHONY: module precure check-kdir
module: check-kdir
	$(call kbuild,module,modules)

precure: module
	$(call kbuild,precure,COWFS_PRECURE=1 modules)

check-kdir: $(need_kernel)
	@test -f $(KDIR)/.config || { \
		echo "cowfs: KDIR=$(KDIR) is not a configured kernel tree" >&2; exit 1; }
	@version=$$($(in_toolchain) make -s -C $(KDIR) kernelversion) || exit; \
	case " $(series) " in \
	*" $$(cut -d. -f1,2 <<<"$${version%%-*}") "*) ;; \
	*) echo "cowfs: KDIR=$(KDIR) is Linux $$version; supported are $(series:=.x)" >&2; exit 1;; \
	esac
	@grep -q '^CONFIG_RUST=y' $(KDIR)/.config || { \
		echo "cowfs: KDIR=$(KDIR) is configured without CONFIG_RUST=y, which cowfs needs" >&2; exit 1; }
	@test -f $(KDIR)/rust/libkernel.rmeta || { \
		echo "cowfs: KDIR=$(KDIR) has no Rust metadata: run 'make modules_prepare' in it" >&2; exit 1; }

# --- the tools ------------------------------------------------------------

# Under a lock, for several makes may be at it. Cargo allows no dot in the name of a
# program.
.PHONY: tools
tools: $(need_toolchain)
	@mkdir -p $(build)/bin
	@exec {lock}>$(build)/tools.lock; flock $$lock; set -o pipefail; \
	$(cargo) build $(workspace) --release --message-format=json-render-diagnostics | \
		sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | \
		while read -r program; do \
			name=$${program##*/}; \
			install "$$program" "$(build)/bin/$${name/-cowfs/.cowfs}"; \
		done

# --- in the virtual machine -----------------------------------------------

.PHONY: guest-files vm demo selftests selftests-precure selftests-panic check-crash check-crash-sample \
	check-powercut check-soak check-mutants bench
guest-files: setup module precure tools
	@$(in_toolchain) make -s -C selftests KDIR=$(KDIR) BUILD=$(build)/selftests

vm selftests selftests-precure selftests-panic bench: guest-files
selftests: test-programs
demo: setup module tools

vm:
	@$(guest) $(tests) --shell

demo:
	@$(guest) qemu/demo --timeout 600 --log $(build)/log/demo -- ./demo

selftests:
	@$(guest) $(tests) $(test_programs) --timeout $(call timeout,2700) --log $(build)/log/selftests -- \
		env TIME=$(time) selftests/run $(TESTS)

# The proof that cow_race bites: it must find poison under the old rule.
selftests-precure:
	@$(guest) $(tests) --timeout $(call timeout,600) --log $(build)/log/precure -- \
		env TIME=$(time) MODULE=/cowfs/cowfs_precure.ko selftests/run --expect-poison cow_race

# The proof that errors=panic stops the machine, and says why.
selftests-panic:
	@printf '%s\n' 'TAP version 13' 1..1; \
	$(guest) $(tests) --timeout $(call timeout,300) --log $(build)/log/panic -- \
		selftests/on_error.sh --panic >/dev/null 2>&1; \
	if [[ $$? == 126 ]] && grep 'not syncing: loop0: .*errors=panic' $(build)/log/panic/console.log; then \
		echo 'ok 1 - errors=panic stops the machine'; \
	else \
		echo '# logs: $(build)/log/panic'; \
		echo 'not ok 1 - errors=panic stops the machine'; exit 1; \
	fi

# Crash consistency: what is left when the power goes, at every point of workloads
# that are recorded in the guest. A sample of them is part of the checks. LOSSES=N
# points with lost writes between any two flushes, SEED=N chooses them and the workloads.
LOSSES ?= 2
SEED ?= 1
crash_points = $(if $(TESTS),1,$(points))
check-crash: points := 2000
check-crash-sample: points := 500
check-crash-sample: crash_env := CRASH_SHORT=1
check-crash check-crash-sample: guest-files
	@mkdir -p $(build)/crash
	@qemu/boot --memory $(MEMORY) --cpus $(CPUS) --disk 1G --disk 16G:$(build)/crash/$@.img \
		$(build)/module/cowfs.ko $(build)/bin $(build)/selftests --timeout $(call timeout,2400) \
		--log $(build)/log/$@ -- env CRASH_SEED=$(SEED) $(crash_env) selftests/crash/run $(TESTS)
	@$(in_toolchain) $(build)/bin/cowfs-crash check --losses $(LOSSES) --seed $(SEED) \
		--least $(crash_points) --runs $(build)/log/$@/results/runs $(build)/crash/$@.img

# What is on the disk when QEMU is killed while the guest writes, CUTS=50 times.
CUTS ?= 50
check-powercut: guest-files
	@SEED=$(SEED) TIMEOUT=$(call timeout,300) qemu/powercut $(CUTS) $(build)/powercut \
		$(build)/module/cowfs.ko $(build)/bin $(build)/selftests

# A volume as full as can be, under load for SOAK_SECONDS, in little memory.
SOAK_SECONDS ?= 3600
check-soak: guest-files
	@qemu/boot --memory 512 --cpus $(CPUS) --disk 1G $(build)/module/cowfs.ko $(build)/bin \
		$(build)/selftests --timeout $$(($(SOAK_SECONDS) + $(call timeout,600))) \
		--log $(build)/log/soak -- selftests/soak.sh $(SOAK_SECONDS)

# MUTANTS hostile volumes, mounted and used. In a debug kernel KASAN, which finds what is
# wrong here, is left alone with lockdep: that is twice as fast.
MUTANTS ?= 2000
check-mutants: guest-files
	@$(guest) $(build)/selftests --append 'kmemleak=off slub_debug=- no_debug_objects' \
		--timeout $(call timeout,$$((300 + 2 * $(MUTANTS)))) \
		--log $(build)/log/mutants -- selftests/mutants.sh $(MUTANTS) $(SEED)

# CPU cost needs ICOUNT=1, concurrency must not have it. For ROWS=, ROUNDS= and
# the like see selftests/bench/run. What was measured before a failure is reported.
bench_command = env $(foreach v,ROWS ROUNDS FSTYPES SIZE FILES,$(if $($(v)),$(v)="$($(v))")) bench/run
bench_log := $(build)/log/bench
bench:
	@rm -rf $(bench_log); status=0; \
	ICOUNT=1 $(guest) selftests/bench --timeout 4500 --log $(bench_log)/cost -- \
		$(bench_command) cost || status=$$?; \
	$(guest) selftests/bench --timeout 1500 --log $(bench_log)/smp -- \
		$(bench_command) concurrency memory || status=$$?; \
	$(in_toolchain) $(build)/bin/cowfs-bench report --out $(build)/bench \
		$(bench_log)/{cost,smp}/output && exit $$status

# --- checks ---------------------------------------------------------------

.PHONY: check test lint lint-format lint-unsafe lint-shell lint-man lint-tools lint-module
check:
	+@.ci/check

test: $(need_toolchain)
	$(cargo) test $(workspace) --no-fail-fast

# libFuzzer on damaged volumes, guided by what code they reach, FUZZ_SECONDS long. What
# it finds is left in tools/fsck, to be put into tests/fuzz/corpus.
FUZZ_SECONDS ?= 300
coverage := -Cpasses=sancov-module $(addprefix -Cllvm-args=-sanitizer-coverage-, \
	level=3 inline-8bit-counters pc-table trace-compares)
# Cargo also builds the program for its tests, which has no fuzzer to call.
coverage += -Clink-arg=-Wl,--unresolved-symbols=ignore-all
.PHONY: fuzz
fuzz: $(need_toolchain)
	@mkdir -p $(build)/fuzz
	$(in_toolchain) env CXX=clang++ RUSTFLAGS='$(coverage)' cargo test \
		--manifest-path tools/Cargo.toml --locked --profile fuzz -p cowfs-fsck --features fuzz \
		--target x86_64-unknown-linux-gnu --test fuzz -- -max_total_time=$(FUZZ_SECONDS) -max_len=144 \
		-timeout=20 $(build)/fuzz tests/fuzz/corpus

lint: lint-format lint-unsafe lint-shell lint-man lint-tools lint-module doc

lint-format: $(need_toolchain)
	git ls-files -z '*.rs' | xargs -0r $(in_toolchain) rustfmt --check --edition 2021

lint-unsafe:
	files=$$(git ls-files -- src tools ':!*.md') && [[ $$files ]] && \
		! grep -nw unsafe $$files | grep -v 'forbid(unsafe_code)'

lint-shell: $(need_toolchain)
	git grep -lzE '^#!/bin/(ba)?sh' | xargs -0r $(in_toolchain) shellcheck -x -P SCRIPTDIR

lint-man: $(need_toolchain)
	git ls-files -z '*.[1-9]' | xargs -0r $(in_toolchain) mandoc -T lint -W warning

lint-tools: $(need_toolchain)
	$(cargo) clippy $(workspace) --all-targets -- -Dwarnings

lint-module: check-kdir
	$(call kbuild,clippy,CLIPPY=1 src/main.o)

.PHONY: doc
doc: check-kdir
	$(call kbuild,doc,COWFS_RUSTDOC=1 modules)
	RUSTDOCFLAGS=-Dwarnings $(cargo) doc $(workspace) --no-deps --document-private-items

# --- the rest -------------------------------------------------------------

.PHONY: clean distclean help
clean:
	rm -rf $(build)

distclean: clean
	rm -rf --one-file-system $(COWFS_CACHE)

help:
	@echo 'make            build cowfs.ko and the tools into build/'
	@echo 'make KDIR=DIR   the same against your own kernel tree ($(series:=.x), CONFIG_RUST=y)'
	@echo 'make demo       see cowfs at work in a virtual machine'
	@echo 'make check      run every test; ends with "N passed, N failed"'
	@echo 'make vm         a shell in the virtual machine, module and tools in place'
	@echo 'make selftests  the tests that need a kernel (TESTS="name..." for some of them)'
	@echo 'make test       the tests that need none'
	@echo 'make check-crash        what thousands of power cuts leave (TESTS="workload..." for some of them)'
	@echo 'make check-powercut     QEMU killed CUTS=50 times while the guest writes'
	@echo 'make check-soak         a full volume under load for SOAK_SECONDS=3600, in 512 MiB'
	@echo 'make check-mutants      MUTANTS=2000 hostile volumes are mounted and used'
	@echo 'make fuzz       damage volumes at random for FUZZ_SECONDS=300: nothing may panic'
	@echo 'make bench      compare with xfs, btrfs and ext4'
	@echo 'make lint       formatting, clippy, shellcheck, rustdoc'
	@echo 'make doc        the documentation of the source'
	@echo 'make setup      fetch and prepare all that the above needs (they do it themselves)'
	@echo 'make clean      remove build/; make distclean removes $(COWFS_CACHE), too'
	@echo
	@echo 'DEBUG=1         with check, selftests, vm: in a kernel with KASAN and lockdep; DEBUG=kcsan: data races'
	@echo 'DISKS="4G 4G", MEMORY=MiB, CPUS=N: the virtual machine; ACCEL=kvm|tcg, ICOUNT=1: see qemu/boot'

endif
