// SPDX-License-Identifier: GPL-2.0

//! What was measured: samples as the guest writes them, and their medians.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{anyhow, bail, Context, Result};
use serde_json::Value;

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// CPU cost: guest time counted instructions.
    Cost,
    /// Speed on several CPUs that run freely.
    Concurrency,
    /// Memory taken.
    Memory,
}

impl Kind {
    /// All of them, in the order of the report.
    pub const ALL: [Kind; 3] = [Kind::Cost, Kind::Concurrency, Kind::Memory];

    /// Its name in samples and in `bench.json`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Cost => "cost",
            Kind::Concurrency => "concurrency",
            Kind::Memory => "memory",
        }
    }

    fn named(name: &str) -> Option<Kind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

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
    /// What kind of thing it is.
    pub kind: Kind,
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

    /// How many times better the first file system is than the second; nothing to nothing is no ratio.
    pub fn ratio(&self, filesystem: &str, other: &str) -> Option<f64> {
        let (ours, theirs) = (self.median(filesystem)?, self.median(other)?);
        let ratio = if self.more_is_better {
            ours / theirs
        } else {
            theirs / ours
        };
        (ratio.is_finite() && ratio > 0.0).then_some(ratio)
    }

    /// The best of the others.
    pub fn best_peer(&self, filesystem: &str) -> Option<&str> {
        self.filesystems()
            .filter(|&other| other != filesystem)
            .filter_map(|other| Some((other, self.ratio(filesystem, other)?)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(other, _)| other)
    }

    /// How often everything was measured: at least once, where it was at all.
    pub fn rounds(&self) -> usize {
        self.values.values().map(Vec::len).min().unwrap_or(0)
    }

    /// All values of a file system, in the order they were measured.
    pub fn values(&self, filesystem: &str) -> &[f64] {
        self.values.get(filesystem).map_or(&[], Vec::as_slice)
    }
}

/// Reads what `selftests/bench/run` printed; rows come in the order of their first sample. Anything but
/// samples is skipped, and a run that ended early is as good as it got.
pub fn read(files: &[impl AsRef<Path>]) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for file in files {
        let file = file.as_ref();
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        for line in text.lines() {
            if let Some(sample) = line.strip_prefix("sample ") {
                add(&mut rows, sample).with_context(|| format!("{}: {line}", file.display()))?;
            }
        }
    }
    Ok(rows)
}

/// Adds a sample: `KIND ROUND FS ROW VALUE UNIT more|less TITLE...`.
fn add(rows: &mut Vec<Row>, sample: &str) -> Result<()> {
    let mut words = sample.split_whitespace();
    let mut word = |what: &'static str| words.next().context(what);
    let kind = Kind::named(word("no kind")?).context("unknown kind")?;
    let _round: u32 = word("no round")?.parse()?;
    let (filesystem, name) = (word("no file system")?, word("no row")?);
    let value: f64 = word("no value")?.parse()?;
    let (unit, better) = (word("no unit")?, word("no direction")?);
    let title: Vec<&str> = words.collect();
    let i = match rows
        .iter()
        .position(|row| row.name == name && row.kind == kind)
    {
        Some(i) => i,
        None => {
            rows.push(Row {
                name: name.to_owned(),
                title: title.join(" "),
                unit: unit.to_owned(),
                more_is_better: better == "more",
                kind,
                values: BTreeMap::new(),
            });
            rows.len() - 1
        }
    };
    let row = rows.get_mut(i).context("no row")?;
    row.values
        .entry(filesystem.to_owned())
        .or_default()
        .push(value);
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
            let line = format!("cost 1 {fs} {better} {value} s {better} a title");
            add(&mut rows, &line).unwrap();
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
    fn zero_is_no_ratio() {
        let rows = rows(&[("less", "a", 8.0), ("less", "b", 0.0)]);
        assert_eq!(rows[0].ratio("a", "b"), None);
        assert_eq!(rows[0].ratio("b", "a"), None);
        assert_eq!(rows[0].best_peer("a"), None);
    }

    #[test]
    fn kinds_are_rows_of_their_own() {
        let mut rows = Vec::new();
        for sample in [
            "cost 1 xfs a 2.5 IOPS more what it is",
            "concurrency 1 xfs a 3 IOPS more what it is",
            "cost 2 xfs a 3.5 IOPS more what it is",
            "cost 1 btrfs a 4 IOPS more what it is",
        ] {
            add(&mut rows, sample).unwrap();
        }
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].title, "what it is");
        assert_eq!(rows[0].values("xfs"), [2.5, 3.5]);
        assert_eq!(rows[0].rounds(), 1);
        assert_eq!(rows[1].kind, Kind::Concurrency);
    }

    #[test]
    fn a_broken_sample_is_an_error() {
        for sample in [
            "",
            "cost 1 xfs a",
            "size 1 xfs a 1 s more t",
            "cost 1 xfs a b s more t",
        ] {
            assert!(add(&mut Vec::new(), sample).is_err(), "{sample}");
        }
    }
}
