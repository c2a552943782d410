// SPDX-License-Identifier: GPL-2.0

//! What can go wrong in the core, and the errno a caller is told.

use super::units::FsBlock;
use core::fmt;

/// The result of an operation of the core.
pub type Result<T = ()> = core::result::Result<T, Error>;

/// Why an operation of the core failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The device failed to read or write the block.
    Io(FsBlock),
    /// What the disk holds is not what a cowfs volume can hold. The block, and what is wrong.
    Corrupt(FsBlock, &'static str),
    /// The volume has no block left for this.
    NoSpace,
    /// Memory is short.
    NoMemory,
    /// The name or record is not there.
    NotFound,
    /// The name or record is there already.
    Exists,
    /// An argument is out of range.
    Invalid,
    /// A limit of the format is reached (file size, links, reference count, name length).
    TooBig,
    /// The transaction has too few credits to go on. What was done before it was asked for them stands.
    NeedCredits,
    /// The journal is aborted or the volume read-only.
    ReadOnly,
}

impl Error {
    /// Whether it is the request that cannot be met, not the volume that failed. A step that ends with this leaves
    /// all consistent and what it was to change as it was, and what was done before it in the same transaction
    /// stands. It may have copied shared nodes, though, which must then be committed.
    pub fn is_refusal(self) -> bool {
        matches!(
            self,
            Error::NoSpace
                | Error::NotFound
                | Error::Exists
                | Error::Invalid
                | Error::TooBig
                | Error::NeedCredits
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(at) => write!(f, "block {at}: I/O error"),
            Error::Corrupt(at, what) => write!(f, "block {at}: {what}"),
            Error::NoSpace => f.write_str("no space left"),
            Error::NoMemory => f.write_str("out of memory"),
            Error::NotFound => f.write_str("not found"),
            Error::Exists => f.write_str("exists already"),
            Error::Invalid => f.write_str("invalid argument"),
            Error::TooBig => f.write_str("limit of the format reached"),
            Error::NeedCredits => f.write_str("transaction too small"),
            Error::ReadOnly => f.write_str("read-only"),
        }
    }
}

impl core::error::Error for Error {}
