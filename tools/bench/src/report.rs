// SPDX-License-Identifier: GPL-2.0

//! The report: a table for the reader, `bench.json` for programs, `bench.svg` for the eye.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{json, Map, Value};

use crate::picture;
use crate::samples::{self, Kind, Row};

/// The file system that the others are compared with.
pub const OURS: &str = "cowfs";
/// The order of columns; any others follow.
const ORDER: [&str; 4] = [OURS, "xfs", "btrfs", "ext4"];

/// Prints the table and writes the files.
pub fn make(files: &[PathBuf], out: &Path) -> Result<()> {
    let rows = samples::read(files)?;
    fs::create_dir_all(out)?;
    fs::write(out.join("bench.json"), format!("{:#}\n", as_json(&rows)))?;
    fs::write(out.join("bench.svg"), picture::draw(&rows))?;
    print!("{}{}", table(&rows), verdict(&rows));
    println!("\nbench.json and bench.svg are in {}", out.display());
    Ok(())
}

/// The table, readable as text and as Markdown: medians, and how many times better cowfs is.
fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for kind in Kind::ALL {
        let rows: Vec<_> = rows.iter().filter(|row| row.kind == kind).collect();
        if rows.is_empty() {
            continue;
        }
        text += match kind {
            Kind::Cost => "\nCPU cost (one CPU, time counts instructions)\n\n",
            Kind::Concurrency => "\nConcurrency (free-running CPUs)\n\n",
            Kind::Memory => "\nMemory\n\n",
        };
        let mut lines = vec![header()];
        lines.extend(rows.iter().map(|row| line(row)));
        text += &aligned(&lines);
    }
    text
}

/// Which rows are behind xfs, and by how much.
fn verdict(rows: &[Row]) -> String {
    let behind: Vec<_> = rows
        .iter()
        .filter_map(|row| Some((row, row.ratio(OURS, "xfs")?)))
        .filter(|&(_, ratio)| ratio < 1.0)
        .map(|(row, ratio)| format!("{} ({}) {}x", row.name, row.kind.name(), short(ratio)))
        .collect();
    match behind.is_empty() {
        true => "\nNo row is behind xfs.\n".into(),
        false => format!("\nBehind xfs: {}.\n", behind.join(", ")),
    }
}

fn header() -> Vec<String> {
    let words = ["row", "unit"]
        .into_iter()
        .chain(ORDER)
        .chain(["/ best peer", "/ xfs", "rounds"]);
    words.map(str::to_owned).collect()
}

fn line(row: &Row) -> Vec<String> {
    let mut cells = vec![row.name.clone(), row.unit.clone()];
    cells.extend(ORDER.map(|fs| row.median(fs).map_or("-".into(), short)));
    let ratio = |other| Some(format!("{}x", short(row.ratio(OURS, other)?)));
    let best = row
        .best_peer(OURS)
        .and_then(|peer| Some(format!("{} {peer}", ratio(peer)?)));
    cells.extend([best, ratio("xfs")].map(|cell| cell.unwrap_or("-".into())));
    cells.push(row.rounds().to_string());
    cells
}

/// Three significant digits, or all of the whole number.
fn short(value: f64) -> String {
    let decimals = match value {
        ..1.0 => 3,
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// Lines of cells as columns; names to the left, numbers to the right.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|i| {
            lines
                .iter()
                .filter_map(|line| line.get(i))
                .map(String::len)
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for (n, line) in lines.iter().enumerate() {
        for (i, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            text += &if i < 2 {
                format!("| {cell:<width$} ")
            } else {
                format!("| {cell:>width$} ")
            };
        }
        text += "|\n";
        if n == 0 {
            for (i, &width) in widths.iter().enumerate() {
                let dashes = "-".repeat(width + 1);
                text += &if i < 2 {
                    format!("|{dashes}-")
                } else {
                    format!("|{dashes}:")
                };
            }
            text += "|\n";
        }
    }
    text
}

fn as_json(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        let results: Map<String, Value> = row
            .filesystems()
            .map(|fs| {
                let result = json!({ "median": row.median(fs), "values": row.values(fs) });
                (fs.to_owned(), result)
            })
            .collect();
        let best = row.best_peer(OURS);
        json!({
            "row": row.name,
            "title": row.title,
            "unit": row.unit,
            "better": if row.more_is_better { "more" } else { "less" },
            "kind": row.kind.name(),
            "results": results,
            "best_peer": best,
            "ratio_to_best_peer": best.and_then(|peer| row.ratio(OURS, peer)),
            "ratio_to_xfs": row.ratio(OURS, "xfs"),
        })
    };
    Value::Array(rows.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let cells = |words: [&str; 3]| words.map(str::to_owned).to_vec();
        let text = aligned(&[cells(["row", "unit", "xfs"]), cells(["a", "IOPS", "12345"])]);
        assert_eq!(
            text,
            "| row | unit |   xfs |\n|-----|------|------:|\n| a   | IOPS | 12345 |\n"
        );
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(short(0.98765), "0.988");
        assert_eq!(short(5.416), "5.42");
        assert_eq!(short(28998.23), "28998");
    }
}
