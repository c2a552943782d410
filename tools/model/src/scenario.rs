// SPDX-License-Identifier: GPL-2.0

//! Settings worth exploring.

use crate::config::{Config, Events, Policy, Writes};

/// The race of `protocol.md`:
///
/// ```text
///     file offset        A   B       c   p
///     D                  S   R   S   S             p: multiples of the CoW extent size
///     writer 1               |-------|             direct write B..c; its I/O is in flight
///     writer 2           |---|                     direct write A..B, a little later
/// ```
pub fn race() -> Config {
    Config {
        file: "SRSS",
        hint: 2,
        direct: 2,
        buffered: 0,
        writes: Writes::Fixed(&[(1, 2), (0, 1)]),
        events: Events::default(),
        policy: Policy::Ours,
    }
}

/// Two writers, who write whatever they like.
pub fn any_writes() -> Config {
    Config {
        file: "SRS-",
        hint: 4,
        writes: Writes::UpTo(4),
        ..race()
    }
}

/// The same, and the clone may be deleted meanwhile.
pub fn with_deletion() -> Config {
    Config {
        events: Events {
            delete: true,
            ..Events::default()
        },
        ..any_writes()
    }
}

/// Two writers, and all that can go wrong or happen meanwhile.
pub fn everything() -> Config {
    Config {
        file: "SR-",
        hint: 3,
        writes: Writes::UpTo(3),
        events: Events {
            failure: true,
            short: true,
            cancel: true,
            delete: true,
            clone: true,
            truncate: true,
        },
        ..race()
    }
}

/// Two writers over two windows, whose writes fail or become short.
pub fn failures() -> Config {
    Config {
        file: "SRS-",
        hint: 2,
        writes: Writes::UpTo(3),
        events: Events {
            failure: true,
            short: true,
            cancel: true,
            ..Events::default()
        },
        ..race()
    }
}

/// Three writers, of up to two blocks each.
pub fn three_writers() -> Config {
    Config {
        file: "SR-",
        hint: 3,
        direct: 3,
        writes: Writes::UpTo(2),
        events: Events {
            delete: true,
            ..Events::default()
        },
        ..race()
    }
}

/// Three writers of one or two blocks, whose writes fail.
pub fn three_writers_fail() -> Config {
    Config {
        file: "SS",
        hint: 2,
        direct: 3,
        writes: Writes::UpTo(2),
        events: Events {
            failure: true,
            cancel: true,
            delete: true,
            clone: true,
            ..Events::default()
        },
        ..race()
    }
}

/// A buffered writer, which reserves first, beside a direct one.
pub fn buffered() -> Config {
    Config {
        file: "SR-",
        hint: 3,
        direct: 1,
        buffered: 1,
        writes: Writes::UpTo(3),
        events: Events {
            failure: true,
            short: true,
            delete: true,
            clone: true,
            truncate: true,
            ..Events::default()
        },
        ..race()
    }
}
