// SPDX-License-Identifier: GPL-2.0

//! Mount options.
//!
//! | option                          | meaning                                                    |
//! |---------------------------------|------------------------------------------------------------|
//! | `cowextsize=`N                  | blocks staged at a time for copy on write, default 32      |
//! | `errors=remount-ro`, `continue` | what to do when the volume is found to be corrupt          |

use crate::error::OnError;
use crate::linux::fs::{MountOptions, Parameter, ParameterType, Value};
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::seq_print;

/// Blocks staged at a time if nothing else is said.
const COW_EXTENT_SIZE: u32 = 32;
/// Most blocks that may be staged at a time.
const MAX_COW_EXTENT_SIZE: u32 = 4096;

/// The options of a mount.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    /// Blocks staged at a time for copy on write, from 1 to 4096.
    pub(crate) cow_extent_size: u32,
    /// What to do when the volume is found to be corrupt.
    pub(crate) on_error: OnError,
}

impl Options {
    /// Prints the options that differ from the default.
    pub(crate) fn show(&self, seq: &SeqFile) {
        if self.cow_extent_size != COW_EXTENT_SIZE {
            seq_print!(seq, ",cowextsize={}", self.cow_extent_size);
        }
        if self.on_error == OnError::Continue {
            seq_print!(seq, ",errors=continue");
        }
    }
}

/// By what the options are told apart.
#[derive(Clone, Copy)]
pub(crate) enum Key {
    /// `cowextsize`
    CowExtentSize,
    /// `errors`
    Errors,
}

impl MountOptions for Options {
    type Key = Key;

    const PARAMETERS: &'static [Parameter<Key>] = &[
        Parameter::new(c"cowextsize", ParameterType::U32, Key::CowExtentSize),
        Parameter::new(
            c"errors",
            ParameterType::Enum(&[(c"remount-ro", 0), (c"continue", 1)]),
            Key::Errors,
        ),
    ];

    fn new() -> Self {
        Self {
            cow_extent_size: COW_EXTENT_SIZE,
            on_error: OnError::default(),
        }
    }

    fn parse(&mut self, key: Key, value: Value<'_>) -> Result {
        match (key, value) {
            (Key::CowExtentSize, Value::U32(blocks @ 1..=MAX_COW_EXTENT_SIZE)) => {
                self.cow_extent_size = blocks;
            }
            (Key::Errors, Value::U32(0)) => self.on_error = OnError::RemountRo,
            (Key::Errors, Value::U32(1)) => self.on_error = OnError::Continue,
            _ => return Err(EINVAL),
        }
        Ok(())
    }
}
