// SPDX-License-Identifier: GPL-2.0
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dm.h"
#include "power.h"
#include "system.h"

int power_cycle(const char *options)
{
	struct dm_target drop = { .sectors = dm_sectors(), .type = "flakey" };
	struct dm_target all = dm_linear(0, drop.sectors, NULL);
	const char *dir = getenv("TEST_DIR");
	char here[PATH_MAX];

	if (!getcwd(here, sizeof(here)))
		return -1;
	snprintf(drop.params, sizeof(drop.params), "%s 0 0 3600 1 drop_writes", dm_number(NULL));
	if (dm_load("scratch", &drop, 1) || chdir("/") || sh("umount %s", dir) ||
	    dm_load("scratch", &all, 1) ||
	    sh("mount -t $FSTYP -o %s${MOUNT_OPTIONS:+,$MOUNT_OPTIONS} /dev/mapper/scratch %s",
	       options, dir))
		return -1;
	return chdir(here);
}
