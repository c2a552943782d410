// SPDX-License-Identifier: GPL-2.0

//! Mount options.
//!
//! | option                                   | meaning                                                |
//! |------------------------------------------|--------------------------------------------------------|
//! | `cowextsize=`N                           | blocks staged at a time for copy on write, default 32  |
//! | `cowlifetime=`N                          | seconds until those nobody wrote go back, default 300  |
//! | `errors=remount-ro`, `continue`, `panic` | what to do when the volume is found to be corrupt      |
//!
//! `Documentation/man/cowfs.5` has them for users.

use crate::error::OnError;
use crate::linux::fs::{MountOptions, Parameter, ParameterType, Value};
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::seq_print;
use kernel::sync::atomic::{Atomic, Relaxed};

/// Blocks staged at a time if nothing else is said.
const COW_EXTENT_SIZE: u32 = 32;
/// Most blocks that may be staged at a time.
const MAX_COW_EXTENT_SIZE: u32 = 4096;

/// Seconds that a quiet file keeps what is staged for it if nothing else is said.
const COW_LIFETIME: u32 = 300;
/// The most that may be said.
const MAX_COW_LIFETIME: u32 = 86_400;

/// Shown, as by ext4, of a volume that was found to be corrupt and is not changed any more.
pub(crate) const GIVEN_UP: &CStr = c"emergency_ro";

/// The options that a mount or a remount names.
pub(crate) struct Options {
    cow_extent_size: Option<u32>,
    cow_lifetime: Option<u32>,
    on_error: Option<OnError>,
}

/// By what the options are told apart.
#[derive(Clone, Copy)]
pub(crate) enum Key {
    /// `cowextsize`
    CowExtentSize,
    /// `cowlifetime`
    CowLifetime,
    /// `errors`
    Errors,
    /// [`GIVEN_UP`]
    GivenUp,
}

impl MountOptions for Options {
    type Key = Key;

    const PARAMETERS: &'static [Parameter<Key>] = &[
        Parameter::new(c"cowextsize", ParameterType::U32, Key::CowExtentSize),
        Parameter::new(c"cowlifetime", ParameterType::U32, Key::CowLifetime),
        Parameter::new(
            c"errors",
            ParameterType::Enum(&[
                (c"remount-ro", OnError::RemountRo as u32),
                (c"continue", OnError::Continue as u32),
                (c"panic", OnError::Panic as u32),
            ]),
            Key::Errors,
        ),
        Parameter::new(GIVEN_UP, ParameterType::Flag, Key::GivenUp),
    ];

    fn new() -> Self {
        Self {
            cow_extent_size: None,
            cow_lifetime: None,
            on_error: None,
        }
    }

    fn parse(&mut self, key: Key, value: Value<'_>) -> Result {
        match (key, value) {
            (Key::CowExtentSize, Value::U32(blocks @ 1..=MAX_COW_EXTENT_SIZE)) => {
                self.cow_extent_size = Some(blocks);
            }
            (Key::CowLifetime, Value::U32(seconds @ 1..=MAX_COW_LIFETIME)) => {
                self.cow_lifetime = Some(seconds);
            }
            (Key::Errors, Value::U32(number)) => {
                self.on_error = Some(OnError::from_number(number).ok_or(EINVAL)?);
            }
            // A remount names whatever is shown.
            (Key::GivenUp, Value::Flag(true)) => {}
            _ => return Err(EINVAL),
        }
        Ok(())
    }
}

/// The options of a volume that is mounted.
pub(crate) struct CurrentOptions {
    cow_extent_size: Atomic<u32>,
    cow_lifetime: Atomic<u32>,
    on_error: Atomic<u32>,
}

impl CurrentOptions {
    /// Those that are named, and the defaults of the others.
    pub(crate) fn new(options: Options) -> Self {
        let new = Self {
            cow_extent_size: Atomic::new(COW_EXTENT_SIZE),
            cow_lifetime: Atomic::new(COW_LIFETIME),
            on_error: Atomic::new(OnError::default() as u32),
        };
        new.set(options);
        new
    }

    /// Changes those that are named. Returns whether `cowlifetime` was.
    pub(crate) fn set(&self, options: Options) -> bool {
        if let Some(blocks) = options.cow_extent_size {
            self.cow_extent_size.store(blocks, Relaxed);
        }
        if let Some(seconds) = options.cow_lifetime {
            self.cow_lifetime.store(seconds, Relaxed);
        }
        if let Some(on_error) = options.on_error {
            self.on_error.store(on_error as u32, Relaxed);
        }
        options.cow_lifetime.is_some()
    }

    /// Blocks staged at a time for copy on write, from 1 to 4096.
    pub(crate) fn cow_extent_size(&self) -> u32 {
        self.cow_extent_size.load(Relaxed)
    }

    /// Seconds between visits of the worker that takes from quiet files what is staged for them, from 1 to a day's.
    pub(crate) fn cow_lifetime(&self) -> u32 {
        self.cow_lifetime.load(Relaxed)
    }

    /// What to do when the volume is found to be corrupt.
    pub(crate) fn on_error(&self) -> OnError {
        OnError::from_number(self.on_error.load(Relaxed)).unwrap_or_default()
    }

    /// Prints the options that differ from the default.
    pub(crate) fn show(&self, seq: &SeqFile) {
        if self.cow_extent_size() != COW_EXTENT_SIZE {
            seq_print!(seq, ",cowextsize={}", self.cow_extent_size());
        }
        if self.cow_lifetime() != COW_LIFETIME {
            seq_print!(seq, ",cowlifetime={}", self.cow_lifetime());
        }
        match self.on_error() {
            OnError::RemountRo => {}
            OnError::Continue => seq_print!(seq, ",errors=continue"),
            OnError::Panic => seq_print!(seq, ",errors=panic"),
        }
    }
}
