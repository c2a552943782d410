// SPDX-License-Identifier: GPL-2.0

//! Hostile volumes: metadata changed as a string of bytes says, with all checksums right, so that what
//! is wrong is found by those who look at the values, or by nobody.
//!
//! ```text
//!   input:  | block u16 | place u16 | how u8 | value u8 | ...     six bytes for each change
//!   block:  one of the metadata blocks, the superblock, the journal's superblock and first blocks
//! ```
//!
//! The fuzzer of fsck and the tests in the guest use it.
#![forbid(unsafe_code)]

mod random;

use std::collections::BTreeMap;

use cowfs_core::ondisk::{header, superblock, Geometry, Kind};
use cowfs_core::platform::crc32c;
use cowfs_core::units::FsBlock;

/// Bytes of one change.
const CHANGE: usize = 6;
/// Most changes made.
const MOST: usize = 8 * 5;
/// Blocks of the journal that may be changed, its superblock being the first.
const LOG: u64 = 8;

/// The blocks of a volume that can be damaged.
pub struct Targets {
    journal: FsBlock,
    size: usize,
    /// Number of blocks of the volume.
    end: u64,
    blocks: Vec<FsBlock>,
}

impl Targets {
    /// Looks for them in the bytes of a volume with this layout.
    pub fn find(geometry: &Geometry, bytes: &[u8]) -> Self {
        let journal = geometry.journal_start;
        let size = geometry.block_size();
        let mut blocks = vec![FsBlock(0)];
        blocks.extend((0..LOG).map(|n| journal.add(n)));
        let has_magic = |block: &[u8]| {
            let magic = block.first_chunk().copied().map(u32::from_le_bytes);
            magic.and_then(Kind::from_magic).is_some()
        };
        // What the journal holds of the others is not read again.
        let log = journal.0..journal.add(u64::from(geometry.journal_blocks)).0;
        let found = bytes.chunks_exact(size).enumerate();
        blocks.extend(
            found
                .filter(|(at, block)| !log.contains(&(*at as u64)) && has_magic(block))
                .map(|(at, _)| FsBlock(at as u64)),
        );
        Targets {
            journal,
            size,
            end: geometry.blocks,
            blocks,
        }
    }

    /// Makes the changes of `input` to the volume with these `bytes`: the blocks that are changed, as they
    /// are then.
    pub fn damage(&self, bytes: &[u8], input: &[u8]) -> BTreeMap<FsBlock, Vec<u8>> {
        let mut changed = BTreeMap::new();
        for change in input.chunks_exact(CHANGE).take(MOST) {
            let number = |at| usize::from(u16::from_le_bytes([change[at], change[at + 1]]));
            let (how, value) = (change[4], change[5]);
            let at = self.blocks[number(0) % self.blocks.len()];
            let block: &mut Vec<u8> = changed.entry(at).or_insert_with(|| {
                let from = at.0 as usize * self.size;
                bytes[from..from + self.size].to_vec()
            });
            let byte = &mut block[number(2) % self.size];
            *byte = match how % 4 {
                0 => value,
                1 => byte.wrapping_add(value),
                2 => *byte ^ value,
                _ => !*byte,
            };
        }
        for (&at, block) in &mut changed {
            self.seal(at, block);
        }
        changed
    }

    /// Puts `values` from byte `from` of the volume with these `bytes` on: the block, as it is then; `None` if that
    /// is not in a block of metadata.
    pub fn put(&self, bytes: &[u8], from: u64, values: &[u8]) -> Option<(FsBlock, Vec<u8>)> {
        let size = self.size as u64;
        let at = self.blocks.iter().copied().find(|at| at.0 == from / size)?;
        let start = at.0 as usize * self.size;
        let mut block = bytes.get(start..start + self.size)?.to_vec();
        let place = (from % size) as usize;
        block
            .get_mut(place..place + values.len())?
            .copy_from_slice(values);
        self.seal(at, &mut block);
        Some((at, block))
    }

    /// Makes the checksum right, whichever this block has.
    fn seal(&self, at: FsBlock, block: &mut [u8]) {
        if at.0 == 0 {
            block[8..12].fill(0);
            let sum = crc32c(!0, &block[..superblock::SIZE]);
            block[8..12].copy_from_slice(&sum.to_le_bytes());
        } else if at == self.journal {
            // Of jbd2: big-endian, at byte 252.
            block[252..256].fill(0);
            let sum = crc32c(!0, &block[..1024]);
            block[252..256].copy_from_slice(&sum.to_be_bytes());
        } else if at < self.journal || at.0 >= self.journal.0 + LOG {
            header::seal(block);
        }
    }
}
