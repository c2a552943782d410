// SPDX-License-Identifier: GPL-2.0

//! Which staged blocks the end of a write may move to the data fork.

use super::super::units::FsBlock;
use super::state::State;

/// Which staged blocks the end of a write may move to the data fork.
pub trait Rule {
    /// The block to be mapped if a block of this state may be, `None` if it has to stay staged.
    fn remap(state: State) -> Option<FsBlock>;
}

/// The cure: only blocks that an I/O has written.
#[cfg(any(not(cowfs_remap_all_staged), not(MODULE)))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WrittenOnly;

#[cfg(any(not(cowfs_remap_all_staged), not(MODULE)))]
impl Rule for WrittenOnly {
    fn remap(state: State) -> Option<FsBlock> {
        match state {
            State::Real(real) => Some(real.take()),
            State::Unwritten(_) | State::Delalloc => None,
        }
    }
}

/// The behaviour before the cure: whatever is staged. It exists to prove that the tests see the
/// harm it does, and is in no build that anybody installs.
#[cfg(any(cowfs_remap_all_staged, not(MODULE)))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AllStaged;

#[cfg(any(cowfs_remap_all_staged, not(MODULE)))]
impl Rule for AllStaged {
    fn remap(state: State) -> Option<FsBlock> {
        match state {
            State::Real(real) => Some(real.take()),
            State::Unwritten(unwritten) => Some(unwritten.cancel()),
            State::Delalloc => None,
        }
    }
}

/// The rule of this build.
#[cfg(not(cowfs_remap_all_staged))]
pub type Selected = WrittenOnly;
/// The rule of this build.
#[cfg(cowfs_remap_all_staged)]
pub type Selected = AllStaged;
