// SPDX-License-Identifier: GPL-2.0

//! What was measured: samples as the guest writes them, and their medians.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{anyhow, bail, Context, Result};
use serde_json::Value;

/// One row of the table: something measured on every file system that can do it.
pub struct Row {
    /// Its short name, as `ROWS=` takes it.
    pub name: String,
    /// What it is, in words.
    pub title: String,
    /// The unit of its values.
    pub unit: String,
    /// Whether larger values are better.
    pub more_is_better: bool,
    /// Whether guest time counted instructions.
    pub cost: bool,
    /// By file system, all that was measured.
    values: BTreeMap<String, Vec<f64>>,
}

impl Row {
    /// The file systems that were measured.
    pub fn filesystems(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// The median of what was measured on this file system.
    pub fn median(&self, filesystem: &str) -> Option<f64> {
        let mut values = self.values.get(filesystem)?.clone();
        values.sort_by(f64::total_cmp);
        let upper = *values.get(values.len() / 2)?;
        let lower = *values.get((values.len() - 1) / 2)?;
        Some((lower + upper) / 2.0)
    }

    /// How many times better the first file system is than the second.
    pub fn ratio(&self, filesystem: &str, other: &str) -> Option<f64> {
        let (ours, theirs) = (self.median(filesystem)?, self.median(other)?);
        let ratio = if self.more_is_better {
            ours / theirs
        } else {
            theirs / ours
        };
        ratio.is_finite().then_some(ratio)
    }

    /// The best of the others.
    pub fn best_peer(&self, filesystem: &str) -> Option<&str> {
        self.filesystems()
            .filter(|&other| other != filesystem)
            .filter_map(|other| Some((other, self.ratio(filesystem, other)?)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(other, _)| other)
    }

    /// All values of a file system, in the order they were measured.
    pub fn values(&self, filesystem: &str) -> &[f64] {
        self.values.get(filesystem).map_or(&[], Vec::as_slice)
    }
}

/// Reads files of samples; rows come in the order of their first sample.
pub fn read(files: &[impl AsRef<Path>]) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for file in files {
        let file = file.as_ref();
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        for line in text.lines() {
            add(&mut rows, line).with_context(|| format!("{}: {line}", file.display()))?;
        }
    }
    Ok(rows)
}

fn add(rows: &mut Vec<Row>, line: &str) -> Result<()> {
    let sample: Value = serde_json::from_str(line)?;
    let text = |key: &str| {
        let value = sample.get(key).and_then(Value::as_str);
        Ok::<_, anyhow::Error>(value.with_context(|| format!("no {key}"))?.to_owned())
    };
    let value = sample
        .get("value")
        .and_then(Value::as_f64)
        .context("no value")?;
    let (name, cost) = (text("row")?, text("mode")? == "cost");
    let i = match rows
        .iter()
        .position(|row| row.name == name && row.cost == cost)
    {
        Some(i) => i,
        None => {
            rows.push(Row {
                name,
                title: text("title")?,
                unit: text("unit")?,
                more_is_better: text("better")? == "more",
                cost,
                values: BTreeMap::new(),
            });
            rows.len() - 1
        }
    };
    let row = rows.get_mut(i).context("no row")?;
    row.values.entry(text("fs")?).or_default().push(value);
    Ok(())
}

/// What fio measured, over all its jobs: I/Os a second, or MiB a second.
pub fn of_fio(file: &Path, throughput: bool) -> Result<f64> {
    let text = fs::read_to_string(file)?;
    // fio may print notes before the JSON.
    let start = text
        .find('{')
        .ok_or_else(|| anyhow!("fio failed: {text}"))?;
    let output: Value = serde_json::from_str(text.get(start..).unwrap_or_default())?;
    let jobs = output
        .get("jobs")
        .and_then(Value::as_array)
        .context("no jobs")?;
    let mut sum = 0.0;
    for job in jobs {
        if job.get("error").and_then(Value::as_i64) != Some(0) {
            bail!("fio reports an error: {text}");
        }
        for direction in ["read", "write"] {
            let (key, scale) = if throughput {
                ("bw", 1024.0)
            } else {
                ("iops", 1.0)
            };
            let value = job
                .get(direction)
                .and_then(|d| d.get(key))
                .and_then(Value::as_f64);
            sum += value.context("no result")? / scale;
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(samples: &[(&str, &str, f64)]) -> Vec<Row> {
        let mut rows = Vec::new();
        for (better, fs, value) in samples {
            let line = serde_json::json!({
                "mode": "cost", "row": better, "title": "", "unit": "s", "better": better,
                "fs": fs, "round": 1, "value": value,
            });
            add(&mut rows, &line.to_string()).unwrap();
        }
        rows
    }

    #[test]
    fn medians() {
        let three = rows(&[("more", "a", 9.0), ("more", "a", 1.0), ("more", "a", 2.0)]);
        assert_eq!(three[0].median("a"), Some(2.0));
        let two = rows(&[("more", "a", 9.0), ("more", "a", 1.0)]);
        assert_eq!(two[0].median("a"), Some(5.0));
        assert_eq!(two[0].median("b"), None);
    }

    #[test]
    fn better_is_above_one() {
        let rows = rows(&[
            ("more", "a", 8.0),
            ("more", "b", 2.0),
            ("more", "c", 4.0),
            ("less", "a", 8.0),
            ("less", "b", 2.0),
        ]);
        assert_eq!(rows[0].ratio("a", "b"), Some(4.0));
        assert_eq!(rows[0].best_peer("a"), Some("c"));
        assert_eq!(rows[1].ratio("a", "b"), Some(0.25));
        assert_eq!(rows[1].best_peer("a"), Some("b"));
    }

    #[test]
    fn a_line_without_value_is_an_error() {
        assert!(add(&mut Vec::new(), r#"{"row":"x","mode":"cost"}"#).is_err());
    }
}
