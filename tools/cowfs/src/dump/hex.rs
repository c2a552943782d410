// SPDX-License-Identifier: GPL-2.0

//! Bytes as hexdump -C shows them.

use std::io::Write;

use anyhow::Result;

/// Prints `bytes`, a line of 16 at a time; lines like the one before become one `*`.
pub fn show(bytes: &[u8], out: &mut dyn Write) -> Result<()> {
    let mut last = None;
    let mut skipped = false;
    for (n, line) in bytes.chunks(16).enumerate() {
        if last == Some(line) {
            if !skipped {
                writeln!(out, "*")?;
            }
            skipped = true;
            continue;
        }
        (last, skipped) = (Some(line), false);
        let mut hex = String::new();
        for byte in line {
            hex += &format!("{byte:02x} ");
        }
        let text: String = line
            .iter()
            .map(|byte| match byte {
                b' '..=b'~' => char::from(*byte),
                _ => '.',
            })
            .collect();
        writeln!(out, "{:08x}  {hex:<48} |{text}|", n * 16)?;
    }
    writeln!(out, "{:08x}", bytes.len())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn repeated_lines_are_left_out() {
        let mut bytes = vec![0; 64];
        bytes.extend_from_slice(b"abc");
        let mut out = Vec::new();
        super::show(&bytes, &mut out).unwrap();
        let zeroes = "00 ".repeat(16);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(
                "00000000  {zeroes} |................|\n*\n00000040  {:<48} |abc|\n00000043\n",
                "61 62 63 "
            )
        );
    }
}
