/* SPDX-License-Identifier: GPL-2.0 */
/*
 * hold.h - holding I/O in flight below the file system.
 *
 *	scratch		what the file system is on
 *	|  |  |
 *    rest | rest	two devices, each may be suspended or made to fail
 *	 area
 *	   |
 *	the disk
 *
 * The area is a range of the disk; everything else is the rest. What is sent to
 * a suspended device stays in flight, as seen from above, until it is resumed.
 * The calls return 0 or -1.
 */
#ifndef SELFTEST_HOLD_H
#define SELFTEST_HOLD_H

#include <stdint.h>

/* Create both devices below scratch. */
int hold_create(void);
/* Put the area at this place: bytes of the disk. */
int hold_place(uint64_t at, uint64_t len);
/* Map scratch to the disk again and remove the devices. */
int hold_remove(void);

/* What the device ("area" or "rest") holds and gets fails with EIO, until healed. */
int hold_fail(const char *device);
int hold_heal(const char *device);

#endif
