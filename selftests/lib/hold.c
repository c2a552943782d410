// SPDX-License-Identifier: GPL-2.0
/*
 * hold.c - holding I/O in flight below the file system.
 */
#include <stddef.h>

#include "dm.h"
#include "hold.h"

#define SECTOR 512

int hold_heal(const char *device)
{
	struct dm_target all = dm_linear(0, dm_sectors(), NULL);

	return dm_load(device, &all, 1);
}

int hold_fail(const char *device)
{
	struct dm_target all = { .sectors = dm_sectors(), .type = "error" };

	return dm_load(device, &all, 1);
}

int hold_create(void)
{
	struct dm_target all;

	if (dm_create("area") || dm_create("rest") || hold_heal("area") || hold_heal("rest"))
		return -1;
	all = dm_linear(0, dm_sectors(), "rest");
	return dm_load("scratch", &all, 1);
}

int hold_place(uint64_t at, uint64_t len)
{
	const uint64_t from = at / SECTOR, to = (at + len) / SECTOR;
	const struct dm_target targets[] = {
		dm_linear(0, from, "rest"),
		dm_linear(from, to - from, "area"),
		dm_linear(to, dm_sectors() - to, "rest"),
	};

	return dm_load("scratch", targets, 3);
}

int hold_remove(void)
{
	int ret = dm_resume("area") | dm_resume("rest") | hold_heal("scratch");

	return ret | dm_remove("area") | dm_remove("rest");
}
