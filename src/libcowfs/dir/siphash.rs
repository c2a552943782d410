// SPDX-License-Identifier: GPL-2.0

//! SipHash-2-4 (Aumasson and Bernstein, 2012), a keyed hash: nobody who does not know the volume's
//! key can make up names that collide.

/// The hash of `bytes` under `key`.
pub(super) fn siphash(key: &[u8; 16], bytes: &[u8]) -> u64 {
    let (low, high) = key.split_at(8);
    let mut state = State::new(word(low), word(high));
    let mut words = bytes.chunks_exact(8);
    for chunk in &mut words {
        state.absorb(word(chunk));
    }
    // The last word holds the bytes that are left and, on top, the length.
    state.absorb(word(words.remainder()) | ((bytes.len() as u64) << 56));
    state.finish()
}

/// Up to eight bytes as a little-endian number.
fn word(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, &byte| (word << 8) | u64::from(byte))
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    fn new(k0: u64, k1: u64) -> Self {
        State {
            v0: k0 ^ u64::from_be_bytes(*b"somepseu"),
            v1: k1 ^ u64::from_be_bytes(*b"dorandom"),
            v2: k0 ^ u64::from_be_bytes(*b"lygenera"),
            v3: k1 ^ u64::from_be_bytes(*b"tedbytes"),
        }
    }

    fn absorb(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.round();
        self.v0 ^= word;
    }

    fn finish(mut self) -> u64 {
        self.v2 ^= 0xff;
        for _ in 0..4 {
            self.round();
        }
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }
}
