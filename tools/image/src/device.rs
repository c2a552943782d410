// SPDX-License-Identifier: GPL-2.0

//! A block device or a regular file that holds a volume, or is to hold one.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, Mode, OFlags};

/// Something that is put together when it is read, and looks like a device; see
/// [`Device::of_image`].
pub trait Image: fmt::Debug {
    /// Fills `to` with the bytes at `at`, which lie inside the device.
    ///
    /// # Errors
    ///
    /// Those of whatever it reads.
    fn read_at(&self, at: u64, to: &mut [u8]) -> io::Result<()>;

    /// Writes `from` at `at`, inside the device.
    ///
    /// # Errors
    ///
    /// `ReadOnlyFilesystem`, unless it can.
    fn write_at(&self, _at: u64, _from: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    /// Makes what was written last.
    ///
    /// # Errors
    ///
    /// As [`Image::write_at`].
    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// An open block device or image file.
#[derive(Debug)]
pub struct Device {
    backing: Backing,
    bytes: u64,
}

#[derive(Debug)]
enum Backing {
    BlockDevice(File),
    File(File),
    Image(Box<dyn Image>),
}

impl Device {
    /// Opens `path` for reading.
    ///
    /// # Errors
    ///
    /// Those of open(2), and `InvalidInput` if `path` is neither block device nor regular file.
    pub fn open(path: &Path) -> io::Result<Device> {
        Device::with_flags(path, OFlags::RDONLY)
    }

    /// Opens `path` for reading and writing. A block device is opened exclusively: this fails with
    /// `ResourceBusy` while it is mounted, or part of a device that is in use.
    ///
    /// # Errors
    ///
    /// As [`Device::open`].
    pub fn open_exclusively(path: &Path) -> io::Result<Device> {
        let mut flags = OFlags::RDWR;
        if fs::metadata(path)?.file_type().is_block_device() {
            flags |= OFlags::EXCL;
        }
        Device::with_flags(path, flags)
    }

    fn with_flags(path: &Path, flags: OFlags) -> io::Result<Device> {
        // Neither wait for the other end of a pipe nor make a terminal ours.
        let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let mut file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        let kind = file.metadata()?.file_type();
        if !kind.is_block_device() && !kind.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "neither a block device nor a regular file",
            ));
        }
        let bytes = file.seek(SeekFrom::End(0))?;
        let backing = match kind.is_block_device() {
            true => Backing::BlockDevice(file),
            false => Backing::File(file),
        };
        Ok(Device { backing, bytes })
    }

    /// `image` as a device of `bytes` bytes.
    pub fn of_image(image: Box<dyn Image>, bytes: u64) -> Device {
        Device {
            backing: Backing::Image(image),
            bytes,
        }
    }

    /// The size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether this is a block device, not a regular file.
    pub fn is_block_device(&self) -> bool {
        matches!(self.backing, Backing::BlockDevice(_))
    }

    /// The smallest unit the device can read and write, in bytes; 512 for a regular file.
    ///
    /// # Errors
    ///
    /// Those of the ioctl.
    pub fn sector_size(&self) -> io::Result<u32> {
        match &self.backing {
            Backing::BlockDevice(file) => Ok(rustix::fs::ioctl_blksszget(file)?),
            Backing::File(_) | Backing::Image(_) => Ok(512),
        }
    }

    /// Fills `to` with the bytes at `at`.
    ///
    /// # Errors
    ///
    /// Those of read(2), and `UnexpectedEof` beyond the end.
    pub fn read_at(&self, at: u64, to: &mut [u8]) -> io::Result<()> {
        match &self.backing {
            Backing::BlockDevice(file) | Backing::File(file) => file.read_exact_at(to, at),
            Backing::Image(image) => match at.checked_add(to.len() as u64) {
                Some(end) if end <= self.bytes => image.read_at(at, to),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            },
        }
    }

    /// Writes `from` at `at`.
    ///
    /// # Errors
    ///
    /// Those of write(2), and `ReadOnlyFilesystem` for most images.
    pub fn write_at(&self, at: u64, from: &[u8]) -> io::Result<()> {
        match &self.backing {
            Backing::BlockDevice(file) | Backing::File(file) => file.write_all_at(from, at),
            Backing::Image(image) => image.write_at(at, from),
        }
    }

    /// Tells the device, or the file system below a regular file, that nothing in `[at, at + len)`
    /// matters. False if it does not want to know.
    pub fn discard(&self, at: u64, len: u64) -> bool {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let (Backing::BlockDevice(file) | Backing::File(file)) = &self.backing else {
            return false;
        };
        rustix::fs::fallocate(file, hole, at, len).is_ok()
    }

    /// Waits until everything written is on the medium.
    ///
    /// # Errors
    ///
    /// Those of fsync(2): data written earlier may be lost.
    pub fn sync(&self) -> io::Result<()> {
        match &self.backing {
            Backing::BlockDevice(file) | Backing::File(file) => file.sync_all(),
            Backing::Image(image) => image.sync(),
        }
    }
}

/// Where the device at `path` is mounted, or, for a regular file, the loop device it backs; `None`
/// if neither is known.
pub fn user_of(path: &Path) -> Option<String> {
    let meta = fs::metadata(path).ok()?;
    if meta.file_type().is_block_device() {
        let id = meta.rdev();
        let number = format!("{}:{}", rustix::fs::major(id), rustix::fs::minor(id));
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let point = mount_point(&mounts, &number)?;
        return Some(format!("mounted on {point}"));
    }
    fs::read_dir("/sys/block")
        .ok()?
        .flatten()
        .find_map(|entry| {
            let backing = fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
            is_at(&meta, Path::new(backing.trim_end_matches('\n')))
                .then(|| format!("in use by /dev/{}", entry.file_name().to_string_lossy()))
        })
}

/// Whether the file of `meta` is the one at `path`, by whatever names it is known.
fn is_at(meta: &fs::Metadata, path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|other| (meta.dev(), meta.ino()) == (other.dev(), other.ino()))
}

/// The first mount point of device `number` ("major:minor") in the text of mountinfo, see
/// proc_pid_mountinfo(5): the third field is the device, the fifth the mount point.
fn mount_point(mountinfo: &str, number: &str) -> Option<String> {
    mountinfo.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let device = fields.nth(2)?;
        let point = fields.nth(1)?;
        (device == number).then(|| point.replace("\\040", " "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_mount_point_by_device_number() {
        let text = "22 1 0:21 / /proc rw - proc proc rw\n\
                    30 1 8:16 /sub /mnt/two\\040words rw,relatime - cowfs /dev/sdb rw\n";
        assert_eq!(mount_point(text, "8:16").as_deref(), Some("/mnt/two words"));
        assert_eq!(mount_point(text, "8:17"), None);
    }

    #[test]
    fn a_file_is_known_by_all_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        fs::write(path("image"), "").unwrap();
        fs::write(path("other"), "").unwrap();
        fs::hard_link(path("image"), path("link")).unwrap();
        std::os::unix::fs::symlink(path("image"), path("symlink")).unwrap();
        let meta = fs::metadata(path("link")).unwrap();
        assert!(is_at(&meta, &path("image")));
        assert!(is_at(&meta, &path("symlink")));
        assert!(!is_at(&meta, &path("other")));
        assert!(!is_at(&meta, &path("image (deleted)")));
    }

    #[test]
    fn refuses_what_cannot_hold_a_volume() {
        let error = Device::open(Path::new("/dev/null")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = Device::open(Path::new("/")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[derive(Debug)]
    struct Counting;

    impl Image for Counting {
        fn read_at(&self, at: u64, to: &mut [u8]) -> io::Result<()> {
            to.iter_mut()
                .enumerate()
                .for_each(|(n, byte)| *byte = (at + n as u64) as u8);
            Ok(())
        }
    }

    #[test]
    fn an_image_is_read_up_to_its_end_and_never_written() {
        let device = Device::of_image(Box::new(Counting), 10);
        let mut bytes = [0; 4];
        device.read_at(6, &mut bytes).unwrap();
        assert_eq!(bytes, [6, 7, 8, 9]);
        for at in [7, 10, u64::MAX] {
            let error = device.read_at(at, &mut bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        assert!(device.write_at(0, &bytes).is_err());
        assert!(!device.discard(0, 10));
    }

    #[test]
    fn discarding_a_file_makes_a_hole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let device = {
            file.as_file().set_len(1 << 20).unwrap();
            Device::open_exclusively(file.path()).unwrap()
        };
        device.write_at(4096, &[7; 8192]).unwrap();
        let before = file.as_file().metadata().unwrap().blocks();
        // Not every file system has holes; where it has none there is nothing to see.
        if device.discard(0, 1 << 20) {
            let mut back = [1; 8192];
            device.read_at(4096, &mut back).unwrap();
            assert!(back.iter().all(|byte| *byte == 0));
            assert!(file.as_file().metadata().unwrap().blocks() < before);
        }
    }
}
