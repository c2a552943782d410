// SPDX-License-Identifier: GPL-2.0

//! A writer of logs, for tests.

use std::io::{self, Write};

/// Builds a log as dm-log-writes writes it, for a device with sectors of 512 bytes.
#[derive(Debug, Default)]
pub struct Builder {
    body: Vec<u8>,
    entries: u64,
}

impl Builder {
    fn entry(&mut self, to: u64, sectors: u64, flags: u64, text: &str) {
        let mut sector = vec![0; 512];
        for (word, value) in [to, sectors, flags, text.len() as u64].iter().enumerate() {
            sector[word * 8..][..8].copy_from_slice(&value.to_le_bytes());
        }
        sector[32..][..text.len()].copy_from_slice(text.as_bytes());
        self.body.extend(sector);
        self.entries += 1;
    }

    /// Records a write of `data` at sector `to`; flags are 1 for a flush before it, 2 for FUA.
    pub fn write(&mut self, to: u64, data: &[u8], flags: u64) -> &mut Self {
        self.entry(to, data.len() as u64 / 512, flags, "");
        self.body.extend(data);
        self
    }

    /// Records a discard.
    pub fn discard(&mut self, to: u64, sectors: u64) -> &mut Self {
        self.entry(to, sectors, 4, "");
        self
    }

    /// Records a flush.
    pub fn flush(&mut self) -> &mut Self {
        self.entry(0, 0, 1, "");
        self
    }

    /// Records a mark.
    pub fn mark(&mut self, text: &str) -> &mut Self {
        self.entry(0, 0, 8, text);
        self
    }

    /// The log so far, with the recorder's last mark unless it is to be an incomplete one.
    pub fn bytes(&mut self, complete: bool) -> Vec<u8> {
        if complete {
            self.mark(crate::log::END);
        }
        let mut log = vec![0; 512];
        let words = [0x006a_7366_7773_6872, 1, self.entries, 512u64];
        for (word, value) in words.iter().enumerate() {
            log[word * 8..][..8].copy_from_slice(&value.to_le_bytes());
        }
        log.extend(&self.body);
        log
    }

    /// Writes the complete log to `to`.
    ///
    /// # Errors
    ///
    /// Those of write(2).
    pub fn finish(&mut self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.bytes(true))
    }
}
