# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# nvme.sh - a block device on top of another that takes writes with FUA: the kernel's
# NVMe target, connected to the kernel's NVMe host. With one queue there is one flush
# on its way at a time, and the flush before a write is a request of its own.

nvme_nqn=nqn.2014-08.org.nvmexpress:selftests
nvme_port=/sys/kernel/config/nvmet/ports/1
nvme_subsystem=/sys/kernel/config/nvmet/subsystems/$nvme_nqn
nvme_namespace=$nvme_subsystem/namespaces/1

nvme_find() {
	local subsystem
	for subsystem in /sys/class/nvme-subsystem/*; do
		[[ $(cat "$subsystem/subsysnqn" 2>/dev/null) == "$nvme_nqn" ]] || continue
		nvme=$(find "$subsystem/" -maxdepth 1 -name 'nvme*n1' ! -name 'nvme*c*' -printf '/dev/%f')
		[[ ! -b $nvme ]] || return 0
	done
	return 1
}

# nvme_create DEVICE: sets $nvme to the new device.
nvme_create() {
	modprobe -a nvmet nvme-loop || return
	mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config || return
	mkdir "$nvme_subsystem" "$nvme_namespace" "$nvme_port" &&
	echo 1 >"$nvme_subsystem/attr_allow_any_host" &&
	echo -n "$1" >"$nvme_namespace/device_path" &&
	echo 1 >"$nvme_namespace/enable" &&
	echo loop >"$nvme_port/addr_trtype" &&
	ln -s "$nvme_subsystem" "$nvme_port/subsystems/" &&
	echo "transport=loop,nqn=$nvme_nqn,nr_io_queues=1" >/dev/nvme-fabrics &&
	poll nvme_find && [[ $(cat "/sys/block/${nvme#/dev/}/queue/fua") == 1 ]]
}

# Takes away what nvme_create made, all of it or the part that it came to.
nvme_remove() {
	local controller
	for controller in /sys/class/nvme/*; do
		[[ $(cat "$controller/subsysnqn" 2>/dev/null) != "$nvme_nqn" ]] ||
			echo 1 >"$controller/delete_controller" || return
	done
	if [[ -e $nvme_port ]]; then
		rm -f "$nvme_port/subsystems/$nvme_nqn"
		poll rmdir "$nvme_port" || return
	fi
	if [[ -e $nvme_namespace ]]; then
		echo 0 >"$nvme_namespace/enable"
		poll rmdir "$nvme_namespace" || return
	fi
	[[ ! -e $nvme_subsystem ]] || poll rmdir "$nvme_subsystem"
}
