// SPDX-License-Identifier: GPL-2.0

//! Targets of symbolic links.
//!
//! ```text
//!   up to 128 bytes    inode: | ... | target                  |
//!
//!   up to 4095         inode: | ... | block 0 | block 1 | ... |
//!                                        |         +--> | header | rest of target   |
//!                                        +------------> | header | start of target  |
//! ```

use super::super::block::Block;
use super::super::error::{Error, Result};
use super::super::ondisk::geometry::MIN_BLOCK_SIZE;
use super::super::ondisk::inode::{Format, BLOCKS, COUNT, FORMAT, INLINE, INLINE_SIZE, SIZE_BYTES};
use super::super::ondisk::{header, Kind};
use super::super::space::{self, credits, Purpose};
use super::super::store::{Reader, Transaction};
use super::super::units::{div_up, FsBlock, Ino};

/// Longest target, in bytes.
pub const MAX_TARGET: usize = 4095;
/// Most blocks a target takes.
pub const MAX_BLOCKS: usize = MAX_TARGET.div_ceil(MIN_BLOCK_SIZE as usize - header::SIZE);
/// Most blocks that [`write()`] or [`free`] makes part of a transaction.
pub const CREDITS: u32 = 1 + MAX_BLOCKS as u32 * (1 + credits::COMMIT);

const _: () = assert!(MAX_BLOCKS * 8 <= INLINE_SIZE);

/// Where a link's target is.
struct Place {
    block: FsBlock,
    format: Format,
    len: usize,
    count: usize,
}

impl Place {
    /// Looks at the slot at byte `at` of `buf`.
    fn load<R: Reader>(reader: &R, buf: &R::Buf, at: usize) -> Result<Place> {
        let block = FsBlock(buf.u64(header::ADDRESS));
        let format = Format::from_u8(buf.u8(at + FORMAT));
        let len = usize::try_from(buf.u64(at + SIZE_BYTES)).unwrap_or(usize::MAX);
        let count = usize::from(buf.u16(at + COUNT));
        match format {
            Some(format @ Format::Symlink) if (1..=INLINE_SIZE).contains(&len) && count == len => {
                Ok(Place {
                    block,
                    format,
                    len,
                    count: 0,
                })
            }
            Some(format @ Format::LongSymlink)
                if len <= MAX_TARGET
                    && count > 0
                    && count as u64 == div_up(len as u64, piece(reader) as u64) =>
            {
                Ok(Place {
                    block,
                    format,
                    len,
                    count,
                })
            }
            _ => Err(Error::Corrupt(block, "symbolic link of impossible length")),
        }
    }
}

/// Bytes of a target that one block holds.
fn piece<R: Reader>(reader: &R) -> usize {
    reader.geometry().block_size() - header::SIZE
}

/// The address of block `index` of a long target.
fn address(buf: &impl Block, at: usize, index: usize) -> FsBlock {
    FsBlock(buf.u64(at + INLINE + index * 8))
}

/// Reads the target of the link in the slot at byte `at` of `buf` to the start of `to`, and
/// returns its length.
///
/// # Errors
///
/// `Invalid` if `to` is too short, `Corrupt` or `Io`.
pub fn read<R: Reader>(reader: &R, buf: &R::Buf, at: usize, to: &mut [u8]) -> Result<usize> {
    let place = Place::load(reader, buf, at)?;
    let to = to.get_mut(..place.len).ok_or(Error::Invalid)?;
    if place.format == Format::Symlink {
        buf.load(at + INLINE, to);
    } else {
        for (index, part) in to.chunks_mut(piece(reader)).enumerate() {
            let buf = reader.read(address(buf, at, index), Kind::Symlink)?;
            buf.load(header::SIZE, part);
        }
    }
    if to.contains(&0) {
        let what = "symbolic link with a zero byte in its target";
        return Err(Error::Corrupt(place.block, what));
    }
    Ok(place.len)
}

/// Gives the new link `ino`, whose slot at byte `at` of `buf` is part of the transaction, its
/// target and the size that goes with it.
///
/// # Errors
///
/// `Invalid` for a target that is empty or has a zero byte, `TooBig`, `NoSpace`: nothing is
/// changed then. `Corrupt` or `Io`: the transaction is lost.
pub fn write<T: Transaction>(
    tx: &mut T,
    ino: Ino,
    buf: &T::Buf,
    at: usize,
    target: &[u8],
) -> Result {
    if target.is_empty() || target.contains(&0) {
        return Err(Error::Invalid);
    }
    if target.len() > MAX_TARGET {
        return Err(Error::TooBig);
    }
    let (format, count, blocks) = if target.len() <= INLINE_SIZE {
        buf.store(at + INLINE, target);
        (Format::Symlink, target.len(), 0)
    } else {
        let blocks = write_blocks(tx, ino, buf, at, target)?;
        (Format::LongSymlink, blocks, blocks)
    };
    buf.set_u8(at + FORMAT, format as u8);
    buf.set_u16(at + COUNT, count as u16);
    buf.set_u64(at + BLOCKS, blocks as u64);
    buf.set_u64(at + SIZE_BYTES, target.len() as u64);
    Ok(())
}

/// Writes a long target; returns the number of its blocks.
fn write_blocks<T: Transaction>(
    tx: &mut T,
    ino: Ino,
    buf: &T::Buf,
    at: usize,
    target: &[u8],
) -> Result<usize> {
    let near = FsBlock(buf.u64(header::ADDRESS));
    let size = piece(tx);
    let mut blocks = [FsBlock::NULL; MAX_BLOCKS];
    let count = div_up(target.len() as u64, size as u64) as usize;
    for index in 0..count {
        match space::alloc(tx, near, 1, Purpose::Tree) {
            Ok((block, _)) => {
                if let Some(slot) = blocks.get_mut(index) {
                    *slot = block;
                }
            }
            Err(error) => {
                for &block in blocks.iter().take(index) {
                    space::free(tx, block, 1)?;
                }
                return Err(error);
            }
        }
    }
    for (index, (part, &block)) in target.chunks(size).zip(&blocks).enumerate() {
        let new = tx.create(block, Kind::Symlink, ino.0)?;
        new.store(header::SIZE, part);
        buf.set_u64(at + INLINE + index * 8, block.0);
    }
    Ok(count)
}

/// Frees the blocks of the target of a link that is going away, whose slot is at byte `at` of `buf`; there is no
/// target in it then.
///
/// # Errors
///
/// `Corrupt` or `Io`: the transaction is lost, unless it was the target that could not be read.
pub fn free<T: Transaction>(tx: &mut T, buf: &T::Buf, at: usize) -> Result {
    let place = Place::load(tx, buf, at)?;
    for index in 0..place.count {
        // So that nothing but a target is freed, whatever the inode says; before anything is changed.
        tx.read(address(buf, at, index), Kind::Symlink)?;
    }
    tx.modify(buf)?;
    for index in 0..place.count {
        let block = address(buf, at, index);
        space::free(tx, block, 1)?;
        tx.forget(block)?;
    }
    buf.clear(at + INLINE, INLINE_SIZE);
    buf.set_u16(at + COUNT, 0);
    buf.set_u64(at + BLOCKS, 0);
    Ok(())
}
