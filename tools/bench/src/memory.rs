// SPDX-License-Identifier: GPL-2.0

//! How much memory the kernel's slabs take while a command runs.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{bail, Context, Result};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(10);

/// Runs a command with its output discarded; returns by how many KiB the slabs grew at most.
pub fn peak(command: &[OsString]) -> Result<u64> {
    let (program, arguments) = command.split_first().context("no command")?;
    let before = slab()?;
    let mut most = before;
    let mut child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()?;
    let status = loop {
        most = most.max(slab()?);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        thread::sleep(INTERVAL);
    };
    if !status.success() {
        bail!("{}: {status}", Path::new(program).display());
    }
    Ok(most - before)
}

fn slab() -> Result<u64> {
    of_meminfo(&fs::read_to_string("/proc/meminfo")?).context("no Slab in /proc/meminfo")
}

fn of_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Slab:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo() {
        let text = "MemTotal:  3000 kB\nSlab:     1234 kB\nSReclaimable:  7 kB\n";
        assert_eq!(of_meminfo(text), Some(1234));
        assert_eq!(of_meminfo("MemTotal: 1 kB\n"), None);
    }
}
