// SPDX-License-Identifier: GPL-2.0

//! What the workload did, from the marks that `selftests/crash/trace.c` put into the log:
//!
//! ```text
//!   b:OPERATION:ACTOR:KIND:...         it begins: none of its writes is in the log before
//!   e:OPERATION:RESULT:INODE           it returned: all it promised must be durable from here on
//! ```
//!
//! Operations are numbered from 1 on, as are the files ("objects") they are about; object 0 is the root
//! directory. The number of an operation is in all blocks it wrote. An actor does one thing after the other, and
//! names in a directory are changed by one actor only. Positions and lengths are in blocks of the file system.

use std::collections::HashMap;

use anyhow::{bail, Context, Result};

use crate::log::{Action, WriteLog};

/// The number of an operation.
pub type OpNumber = u64;
/// The number of a file or directory, never used again.
pub type Object = u32;
/// The root directory.
pub const ROOT: Object = 0;
/// The number of a process.
pub type Actor = u32;

/// A name: directory and entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// The directory.
    pub dir: Object,
    /// The name in it.
    pub name: String,
}

/// A range of blocks of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// The first.
    pub first: u64,
    /// How many.
    pub len: u64,
}

impl Blocks {
    /// The block behind the last.
    pub fn end(&self) -> u64 {
        self.first.saturating_add(self.len)
    }
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Checks may begin: a file system is there.
    Start,
    /// A file or directory gets its first name, or a file another one.
    Link(Name, Object),
    /// A name goes away.
    Unlink(Name),
    /// A name becomes another, which may have been there.
    Rename(Name, Name),
    /// Two names change places.
    Exchange(Name, Name),
    /// Blocks are written; when it returns they are durable, if so asked.
    Write(Object, Blocks, bool),
    /// Blocks become zeroes; the size stays.
    Zero(Object, Blocks),
    /// The size is set, in blocks.
    Truncate(Object, u64),
    /// A file gets the contents of another one, all at once.
    Clone(Object, Object),
    /// Blocks of a file become those of another one, from a block of it on.
    Range(Object, Blocks, Object, u64),
    /// What was done to a file is durable when this returns: its data, and all else if so asked.
    Sync(Object, bool),
    /// The same for all files.
    SyncAll,
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// Its number.
    pub number: OpNumber,
    /// Who did it.
    pub actor: Actor,
    /// What.
    pub kind: Kind,
    /// Where in the log it began.
    pub began: usize,
    /// Where it ended and what it returned: blocks done, or an errno below zero.
    pub ended: Option<(usize, i64)>,
    /// The inode that it made.
    pub inode: u64,
}

impl Op {
    /// The block behind the last of those of `blocks` that it did; 0 if it did none.
    pub fn extends_to(&self, blocks: Blocks) -> u64 {
        let done = self
            .ended
            .map_or(0, |(_, result)| result.max(0).unsigned_abs());
        match done {
            0 => 0,
            done => blocks.first.saturating_add(done.min(blocks.len)),
        }
    }

    /// Whether it failed and changed nothing.
    pub fn failed(&self) -> bool {
        self.ended.is_some_and(|(_, result)| result < 0)
    }
}

/// Something that happens to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It begins.
    Begin(OpNumber),
    /// It ends.
    End(OpNumber),
}

/// All that a workload did.
#[derive(Debug, Default)]
pub struct Trace {
    /// By number.
    pub ops: HashMap<OpNumber, Op>,
    /// In the order of the log: the entry, and what it says.
    pub events: Vec<(usize, Event)>,
    /// The inodes of objects.
    pub inodes: HashMap<Object, u64>,
    /// The entry from which on there is something to check.
    pub start: usize,
}

impl Trace {
    /// Reads the marks of a log.
    ///
    /// # Errors
    ///
    /// A mark that makes no sense, or no mark to start at.
    pub fn read(log: &WriteLog) -> Result<Trace> {
        let mut trace = Trace::default();
        let mut started = false;
        for (n, entry) in log.entries().iter().enumerate() {
            let Action::Mark(text) = &entry.action else {
                continue;
            };
            trace
                .mark(n, text, &mut started)
                .with_context(|| format!("entry {n}, mark {text:?}"))?;
        }
        if !started {
            bail!("the workload never said that it starts");
        }
        for op in trace.ops.values() {
            if op.ended.is_none() {
                bail!("operation {} never ended: {:?}", op.number, op.kind);
            }
        }
        Ok(trace)
    }

    fn mark(&mut self, at: usize, text: &str, started: &mut bool) -> Result<()> {
        let mut words = text.split(':');
        match words.next() {
            Some("b") => {
                let number = number(&mut words)?;
                let actor = number_u32(&mut words)?;
                let kind = kind(&mut words)?;
                if kind == Kind::Start {
                    (self.start, *started) = (at, true);
                }
                let op = Op {
                    number,
                    actor,
                    kind,
                    began: at,
                    ended: None,
                    inode: 0,
                };
                self.events.push((at, Event::Begin(number)));
                if self.ops.insert(number, op).is_some() {
                    bail!("the number was used before");
                }
            }
            Some("e") => {
                let op = number(&mut words)?;
                let result = words.next().context("no result")?.parse()?;
                let inode = number(&mut words)?;
                let op = self.ops.get_mut(&op).context("it never began")?;
                if op.ended.replace((at, result)).is_some() {
                    bail!("it ended before");
                }
                op.inode = inode;
                self.events.push((at, Event::End(op.number)));
                if let (Kind::Link(_, object), true) = (&op.kind, inode != 0) {
                    self.inodes.insert(*object, inode);
                }
            }
            // Somebody else's.
            _ => {}
        }
        Ok(())
    }
}

type Words<'a> = std::str::Split<'a, char>;

fn number(words: &mut Words<'_>) -> Result<u64> {
    Ok(words.next().context("a number is missing")?.parse()?)
}

fn number_u32(words: &mut Words<'_>) -> Result<u32> {
    Ok(words.next().context("a number is missing")?.parse()?)
}

fn name(words: &mut Words<'_>) -> Result<Name> {
    Ok(Name {
        dir: number_u32(words)?,
        name: words.next().context("a name is missing")?.to_owned(),
    })
}

fn blocks(words: &mut Words<'_>) -> Result<Blocks> {
    Ok(Blocks {
        first: number(words)?,
        len: number(words)?,
    })
}

fn kind(words: &mut Words<'_>) -> Result<Kind> {
    Ok(match words.next().context("no kind")? {
        "start" => Kind::Start,
        "link" => Kind::Link(name(words)?, number_u32(words)?),
        "unlink" => Kind::Unlink(name(words)?),
        "rename" => Kind::Rename(name(words)?, name(words)?),
        "exchange" => Kind::Exchange(name(words)?, name(words)?),
        "write" => Kind::Write(number_u32(words)?, blocks(words)?, number(words)? != 0),
        "zero" => Kind::Zero(number_u32(words)?, blocks(words)?),
        "truncate" => Kind::Truncate(number_u32(words)?, number(words)?),
        "clone" => Kind::Clone(number_u32(words)?, number_u32(words)?),
        "range" => Kind::Range(
            number_u32(words)?,
            blocks(words)?,
            number_u32(words)?,
            number(words)?,
        ),
        "sync" => Kind::Sync(number_u32(words)?, number(words)? != 0),
        "syncall" => Kind::SyncAll,
        other => bail!("unknown kind {other:?}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(marks: &[&str]) -> Result<()> {
        let mut trace = Trace::default();
        let mut started = false;
        for (n, mark) in marks.iter().enumerate() {
            trace.mark(n, mark, &mut started)?;
        }
        Ok(())
    }

    #[test]
    fn reads_operations() {
        let mut trace = Trace::default();
        let mut started = false;
        for (n, mark) in ["b:1:0:start", "e:1:0:0", "b:2:3:link:0:a b:7", "e:2:0:99"]
            .iter()
            .enumerate()
        {
            trace.mark(n + 5, mark, &mut started).unwrap();
        }
        assert!(started);
        assert_eq!(trace.start, 5);
        let name = Name {
            dir: 0,
            name: "a b".to_owned(),
        };
        assert_eq!(trace.ops[&2].kind, Kind::Link(name, 7));
        assert_eq!(trace.ops[&2].ended, Some((8, 0)));
        assert_eq!(trace.inodes[&7], 99);
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for marks in [
            &["e:1:0:0"][..],
            &["b:1:0:start", "b:1:0:start"],
            &["b:1:0:start", "e:1:0:0", "e:1:0:0"],
            &["b:1:0:fly:1"],
            &["b:1:0:write:1:2"],
            &["b:x"],
        ] {
            assert!(read(marks).is_err(), "{marks:?}");
        }
        assert!(read(&["something", "else:2"]).is_ok());
    }
}
