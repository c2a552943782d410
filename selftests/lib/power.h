/* SPDX-License-Identifier: GPL-2.0 */
/*
 * power.h - cutting the power of the file system under test, which is on the device
 * "scratch" (dm.h).
 */
#ifndef SELFTEST_POWER_H
#define SELFTEST_POWER_H

/*
 * From here on every write is dropped, as if it had never left the machine. Then the
 * machine comes up again, and it is mounted with these options. The current directory
 * stays. Returns 0, or -1.
 */
int power_cycle(const char *options);

#endif
