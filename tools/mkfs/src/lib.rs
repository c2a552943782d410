// SPDX-License-Identifier: GPL-2.0

//! What mkfs.cowfs does, as a library for the tests of the other tools.
//!
//! The layout and the initial metadata come from the core ([`mod@format`]); they are made in memory and
//! then written in an order that leaves no half-made volume behind: whatever was there is made
//! unrecognisable first, and the primary superblock is written last.
#![forbid(unsafe_code)]

use std::fmt;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{bail, Context, Result};
use cowfs_core::mem::MemStore;
use cowfs_core::ondisk::superblock::{INCOMPAT_META_UUID, LABEL_SIZE};
use cowfs_core::ondisk::{Geometry, Superblock};
use cowfs_core::store::Reader;
use cowfs_core::units::FsBlock;
use cowfs_core::{format, space};
use cowfs_image::device::{user_of, Device};
use cowfs_image::journal::JournalSuperblock;
use cowfs_image::size;

/// What to make.
#[derive(Clone, Debug)]
pub struct Options {
    /// The volume's label.
    pub label: String,
    /// The volume's UUID; `None` for a random one.
    pub uuid: Option<[u8; 16]>,
    /// Block size in bytes.
    pub block_size: u32,
    /// Size of the journal in bytes; `None` for one that suits the volume's size.
    pub journal: Option<u64>,
    /// Overwrite whatever the device holds.
    pub force: bool,
    /// Do not discard the device's contents.
    pub keep: bool,
    /// Write nothing.
    pub dry_run: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            label: String::new(),
            uuid: None,
            block_size: 4096,
            journal: None,
            force: false,
            keep: false,
            dry_run: false,
        }
    }
}

/// What was made, or would be.
#[derive(Clone, Debug)]
pub struct Made {
    /// The volume's superblock.
    pub superblock: Superblock,
    /// Its layout.
    pub geometry: Geometry,
    /// Blocks free for files.
    pub free: u64,
}

/// Makes a volume on the block device or in the regular file at `path`.
///
/// # Errors
///
/// Whatever forbids or prevents it, in words for the user.
pub fn make(path: &Path, options: &Options) -> Result<Made> {
    if let Some(user) = user_of(path) {
        bail!("{user}; refusing to overwrite it");
    }
    let device = if options.dry_run {
        Device::open(path)
    } else {
        Device::open_exclusively(path)
    };
    let device = match device {
        Ok(device) => device,
        Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
            bail!("in use by the system; refusing to overwrite it")
        }
        Err(error) => return Err(error).context("cannot open"),
    };
    if let Some(found) = cowfs_image::signature::find(&device).context("cannot read")? {
        if !options.force {
            bail!("holds something already ({found}); use -f to overwrite it");
        }
    }
    let sector = device.sector_size().context("cannot get sector size")?;
    if options.block_size < sector {
        bail!(
            "block size {} is below the device's sector size of {sector} bytes",
            options.block_size
        );
    }

    let superblock = plan(device.bytes(), options)?;
    let geometry = superblock.geometry()?;
    let store = MemStore::new(geometry.clone())?;
    store.run(|tx| format::write(tx, superblock.made))?;
    let made = Made {
        free: store.volume(|volume| volume.free)? - space::total_reserve(&geometry),
        geometry,
        superblock,
    };
    if !options.dry_run {
        write(&device, &store, &made.superblock, options.keep)?;
    }
    Ok(made)
}

/// Decides on everything that does not depend on what the device holds.
fn plan(bytes: u64, options: &Options) -> Result<Superblock> {
    let journal = match options.journal {
        None => None,
        Some(journal) => Some(
            u32::try_from(journal / u64::from(options.block_size)).context("journal too large")?,
        ),
    };
    let mut superblock = format::plan(bytes, options.block_size, journal)?;
    let label = options.label.as_bytes();
    if label.len() > LABEL_SIZE || label.contains(&0) {
        bail!("a label has at most {LABEL_SIZE} bytes, and no NUL");
    }
    superblock.label[..label.len()].copy_from_slice(label);
    superblock.uuid = match options.uuid {
        Some(uuid) => uuid,
        None => uuid::Builder::from_random_bytes(random()?)
            .into_uuid()
            .into_bytes(),
    };
    superblock.meta_uuid = random()?;
    superblock.incompat |= INCOMPAT_META_UUID;
    superblock.hash_seed = random()?;
    superblock.made = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs())?,
        Err(before) => i64::try_from(before.duration().as_secs())?.wrapping_neg(),
    };
    Ok(superblock)
}

fn random() -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    Ok(bytes)
}

/// Bytes at the device's end where partition tables and RAID superblocks are.
const END: u64 = 128 << 10;

/// Writes the metadata in `store`, the superblock and an empty journal to `device`, of which
/// everything else is lost; it is discarded unless `keep` says otherwise.
///
/// # Errors
///
/// Those of the device.
pub fn write(device: &Device, store: &MemStore, superblock: &Superblock, keep: bool) -> Result<()> {
    let geometry = store.geometry();
    let offset = |at: FsBlock| at.0 << geometry.block_shift;
    let block = vec![0; geometry.block_size()];
    device.write_at(0, &block).context("cannot write")?;
    device.sync().context("cannot write")?;

    if keep || !device.discard(0, device.bytes()) {
        // An old journal must not look like a part of the new one.
        let journal = u64::from(geometry.journal_blocks) << geometry.block_shift;
        zero(device, offset(geometry.journal_start), journal)?;
        let end = device.bytes().saturating_sub(END);
        zero(device, end, device.bytes() - end)?;
    }

    let mut metadata = store.metadata();
    metadata.sort_unstable();
    for at in metadata {
        if let Some(done) = store.with_bytes(at, |bytes| device.write_at(offset(at), bytes)) {
            done.with_context(|| format!("cannot write block {at}"))?;
        }
    }
    let journal = JournalSuperblock::new(
        superblock.block_size,
        geometry.journal_blocks,
        geometry.uuid,
    );
    device
        .write_at(offset(geometry.journal_start), &journal.encode())
        .context("cannot write journal")?;
    for at in Superblock::backups(geometry) {
        write_superblock(device, superblock, at)?;
    }
    device.sync().context("cannot write")?;
    write_superblock(device, superblock, FsBlock(0))?;
    device.sync().context("cannot write")
}

fn write_superblock(device: &Device, superblock: &Superblock, at: FsBlock) -> Result<()> {
    let mut copy = superblock.clone();
    copy.address = at;
    let mut block = vec![0; superblock.block_size as usize];
    let bytes = copy.encode();
    block[..bytes.len()].copy_from_slice(&bytes);
    device
        .write_at(at.0 * u64::from(superblock.block_size), &block)
        .with_context(|| format!("cannot write superblock {at}"))
}

fn zero(device: &Device, from: u64, len: u64) -> Result<()> {
    let zeroes = vec![0; 1 << 20];
    let end = from + len;
    let mut at = from;
    while at < end {
        let part = (end - at).min(zeroes.len() as u64);
        device
            .write_at(at, &zeroes[..part as usize])
            .context("cannot write")?;
        at += part;
    }
    Ok(())
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sb, geometry) = (&self.superblock, &self.geometry);
        let size = |blocks: u64| size::human(blocks << geometry.block_shift);
        let label = sb.label.split(|byte| *byte == 0).next().unwrap_or(&[]);
        writeln!(f, "uuid     {}", uuid::Uuid::from_bytes(sb.uuid))?;
        writeln!(f, "label    \"{}\"", String::from_utf8_lossy(label))?;
        writeln!(
            f,
            "data     bsize={:<8} blocks={:<12} {}",
            sb.block_size,
            sb.blocks,
            size(sb.blocks)
        )?;
        writeln!(
            f,
            "groups   agcount={:<6} agsize={:<12} {} each",
            sb.ag_count,
            sb.ag_blocks,
            size(u64::from(sb.ag_blocks))
        )?;
        writeln!(
            f,
            "journal  start={:<8} blocks={:<12} {}",
            sb.journal_start,
            sb.journal_blocks,
            size(u64::from(sb.journal_blocks))
        )?;
        writeln!(
            f,
            "free     {:<14} blocks={:<12} {}",
            "",
            self.free,
            size(self.free)
        )
    }
}
