// SPDX-License-Identifier: GPL-2.0
/*
 * Rust can neither expand macros nor call inline functions: the functions here
 * wrap those that the abstractions need. bindgen.sh makes bindings for all that
 * are called rust_helper_*, without that prefix.
 */

#include <linux/compiler_types.h>

#define __rust_helper

#include "helpers/storage.c"
#include "helpers/vfs.c"
