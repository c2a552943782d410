// SPDX-License-Identifier: GPL-2.0

//! What the blocks of a file may hold, and its size.
//!
//! ```text
//!   block   durable | later, in the order in which they began        may be found
//!     7     w12     | w19 (returned)   w31 (under way)               w12, w19, w31
//!     8     zeroes  | c20: w12 or w19                                zeroes, w12, w19
//! ```
//!
//! A clone of a file that is written meanwhile gets one of several values; later writers of the
//! source add to them until the clone returns. When an operation becomes durable, what was there before it is
//! impossible.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::RangeInclusive;

use super::OpNumber;
use crate::files::Contents;
use crate::stamp::Verdict;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Zeroes, or nothing.
    Zero,
    /// What this operation wrote, to this block of the file.
    Written {
        /// The operation.
        op: OpNumber,
        /// The block.
        block: u64,
    },
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Zero => f.write_str("zeroes"),
            Value::Written { op, block } => write!(f, "write {op} (made for block {block})"),
        }
    }
}

/// The number of no operation: nothing ever makes it durable.
const NEVER: OpNumber = OpNumber::MAX;

/// What one operation put into a block, one of these.
#[derive(Clone, Debug)]
struct Later {
    op: OpNumber,
    values: Vec<Value>,
    returned: bool,
}

/// A block.
#[derive(Clone, Debug)]
struct Cell {
    durable: Vec<Value>,
    later: Vec<Later>,
}

impl Default for Cell {
    fn default() -> Self {
        Cell {
            durable: vec![Value::Zero],
            later: Vec::new(),
        }
    }
}

fn merge(values: &mut Vec<Value>, more: &[Value]) {
    for value in more {
        if !values.contains(value) {
            values.push(*value);
        }
    }
}

impl Cell {
    /// What others may see now.
    fn now(&self) -> Vec<Value> {
        let last = self.later.iter().rposition(|later| later.returned);
        let mut values = match last {
            Some(last) => self.later[last].values.clone(),
            None => self.durable.clone(),
        };
        for later in &self.later[last.map_or(0, |last| last + 1)..] {
            merge(&mut values, &later.values);
        }
        values
    }

    /// Whether something after the first write made zeroes of it.
    fn may_be_cleared(&self) -> bool {
        self.later
            .iter()
            .any(|later| later.values.contains(&Value::Zero))
    }

    fn allows(&self, value: &Value) -> bool {
        self.durable.contains(value) || self.later.iter().any(|later| later.values.contains(value))
    }
}

/// The size, in bytes.
#[derive(Clone, Debug, Default)]
pub struct Size {
    durable: u64,
    later: Vec<(OpNumber, Change)>,
    now: u64,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    /// By data that ends there.
    Written(u64),
    /// By blocks of another file, among which may be holes.
    Cloned(u64),
    To(u64),
}

impl Change {
    fn of(self, size: u64) -> u64 {
        match self {
            Change::Written(other) | Change::Cloned(other) => size.max(other),
            Change::To(other) => other,
        }
    }
}

impl Size {
    /// An operation writes up to `size`; all that comes of it is `real`.
    pub fn write(&mut self, op: OpNumber, size: u64, real: u64) {
        self.now = self.now.max(real);
        self.later.push((op, Change::Written(size)));
    }

    /// The same for blocks of another file.
    pub fn clone_to(&mut self, op: OpNumber, size: u64, real: u64) {
        self.now = self.now.max(real);
        self.later.push((op, Change::Cloned(size)));
    }

    /// An operation sets it.
    pub fn set(&mut self, op: OpNumber, size: u64) {
        self.now = size;
        self.later.push((op, Change::To(size)));
    }

    /// An operation makes it no larger than `size`.
    fn fall_short(&mut self, op: OpNumber, size: u64) {
        for (_, change) in self.later.iter_mut().filter(|(later, _)| *later == op) {
            if let Change::Written(wanted) | Change::Cloned(wanted) = change {
                *wanted = size.min(*wanted);
            }
        }
    }

    /// What it is for those who look, if all that began returns.
    pub fn now(&self) -> u64 {
        self.now
    }

    fn settle(&mut self, op: OpNumber) {
        let Some(at) = self.later.iter().position(|(later, _)| *later == op) else {
            return;
        };
        let (_, change) = self.later.remove(at);
        self.durable = change.of(self.durable);
        if matches!(change, Change::To(_)) {
            // Nobody else was at work on the file: what began before returned before.
            self.later.drain(..at);
        }
    }

    /// The last operation before `op` that cut the file, if `op` made it larger than that: cut it was before it
    /// grew.
    fn cut_before(&self, op: OpNumber) -> Option<OpNumber> {
        let at = self.later.iter().position(|(later, _)| *later == op)?;
        let (before, rest) = self.later.split_at(at);
        let (_, Change::Written(end) | Change::Cloned(end)) = *rest.first()? else {
            return None;
        };
        let cut = |(_, change): &&(_, Change)| matches!(change, Change::To(size) if *size < end);
        before.iter().rfind(cut).map(|(cut, _)| *cut)
    }

    /// Whether only a write can have made it so large, whose data then ends there.
    fn is_written(&self, size: u64) -> bool {
        let written = |(_, change): &(_, Change)| matches!(change, Change::Written(_));
        size > self.durable && self.later.iter().all(written)
    }

    /// The smallest and the largest that it may be.
    fn range(&self) -> (u64, u64) {
        let (mut low, mut high) = (self.durable, self.durable);
        for (_, change) in &self.later {
            high = high.max(change.of(high));
            if let Change::To(size) = change {
                low = low.min(*size);
            }
        }
        (low, high)
    }
}

/// A file.
#[derive(Clone, Debug, Default)]
pub struct File {
    blocks: BTreeMap<u64, Cell>,
    /// Its size.
    pub size: Size,
    /// Operations that change all or nothing, and may not be durable.
    atomic: Vec<OpNumber>,
    /// Where operations that are not durable changed something: within these blocks.
    spans: HashMap<OpNumber, Span>,
}

/// The first and the last block of an operation.
type Span = RangeInclusive<u64>;

impl File {
    /// An operation begins that puts one of `values` into a block.
    pub fn put(&mut self, op: OpNumber, block: u64, values: &[Value]) {
        self.widen(op, block);
        let cell = self.blocks.entry(block).or_default();
        cell.later.push(Later {
            op,
            values: values.to_vec(),
            returned: false,
        });
    }

    fn widen(&mut self, op: OpNumber, block: u64) {
        let span = self.spans.entry(op).or_insert(block..=block);
        *span = block.min(*span.start())..=block.max(*span.end());
    }

    /// An operation under way may put `value` there, too.
    pub fn add(&mut self, op: OpNumber, block: u64, value: Value) {
        self.widen(op, block);
        let cell = self.blocks.entry(block).or_default();
        match cell.later.iter_mut().find(|later| later.op == op) {
            Some(later) => merge(&mut later.values, &[value]),
            // It began when there was no such block yet.
            None => cell.later.push(Later {
                op,
                values: vec![Value::Zero, value],
                returned: false,
            }),
        }
    }

    /// An operation changes all of the file or nothing.
    pub fn atomic(&mut self, op: OpNumber) {
        self.atomic.push(op);
    }

    /// An operation returned. If it failed, what it was to put there may be there or not.
    pub fn returned(&mut self, op: OpNumber, failed: bool) {
        let Some(span) = self.spans.get(&op) else {
            return;
        };
        for (_, cell) in self.blocks.range_mut(span.clone()) {
            for later in cell.later.iter_mut().filter(|later| later.op == op) {
                later.returned = !failed;
            }
        }
    }

    /// An operation ends at block `end`, which is byte `size`. What it was to put there and behind may be there or
    /// not, for ever.
    pub fn fall_short(&mut self, op: OpNumber, end: u64, size: u64) {
        self.size.fall_short(op, size);
        let Some(span) = self.spans.remove(&op) else {
            return;
        };
        let (first, last) = span.into_inner();
        for (_, cell) in self
            .blocks
            .range_mut(end.max(first)..last.saturating_add(1).max(end))
        {
            for later in cell.later.iter_mut().filter(|later| later.op == op) {
                later.op = NEVER;
            }
        }
        if first < end {
            self.spans.insert(op, first..=last.min(end - 1));
        }
    }

    /// An operation is durable.
    pub fn settle(&mut self, op: OpNumber) {
        if let Some(cut) = self.size.cut_before(op) {
            self.settle(cut);
        }
        if let Some(span) = self.spans.remove(&op) {
            for (_, cell) in self.blocks.range_mut(span) {
                if let Some(at) = cell.later.iter().position(|later| later.op == op) {
                    let done = cell.later.drain(..=at).last();
                    cell.durable = done.map(|later| later.values).unwrap_or_default();
                }
            }
        }
        self.size.settle(op);
        self.atomic.retain(|atomic| *atomic != op);
    }

    /// The blocks from `first` on that something was done to.
    pub fn known_from(&self, first: u64) -> Vec<u64> {
        self.blocks
            .range(first..)
            .map(|(block, _)| *block)
            .collect()
    }

    /// What others may see now in the blocks that something was done to.
    pub fn now(&self) -> BTreeMap<u64, Vec<Value>> {
        let cells = self.blocks.iter();
        cells.map(|(block, cell)| (*block, cell.now())).collect()
    }

    /// The same of one block.
    pub fn now_at(&self, block: u64) -> Vec<Value> {
        self.blocks
            .get(&block)
            .map_or_else(|| vec![Value::Zero], Cell::now)
    }

    /// Holds what was found against what may be, and returns what is wrong.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be.
    pub fn check(&self, found: &Contents, block_size: u64) -> Result<(), String> {
        let (low, high) = self.size.range();
        if !(low..=high).contains(&found.size) {
            return Err(match low == high {
                true => format!("size {} instead of {low}", found.size),
                false => format!("size {} instead of {low} to {high}", found.size),
            });
        }
        if found.size % block_size != 0 {
            return Err(format!(
                "size {}: nobody wrote a part of a block",
                found.size
            ));
        }
        let other = Cell::default();
        let last = (found.size / block_size).saturating_sub(1);
        let cell = self.blocks.get(&last).unwrap_or(&other);
        if self.size.is_written(found.size)
            && !found.blocks.contains_key(&last)
            && !cell.may_be_cleared()
        {
            return Err(format!(
                "size {}: nothing is written in front of it",
                found.size
            ));
        }
        let blocks = found.blocks.keys().chain(self.blocks.keys());
        let mut sides = vec![Sides::default(); self.atomic.len()];
        for block in blocks {
            let cell = self.blocks.get(block).unwrap_or(&other);
            let value = match found.blocks.get(block) {
                None | Some(Verdict::Zero) => Value::Zero,
                Some(Verdict::Good { write, offset }) => Value::Written {
                    op: *write,
                    block: offset / block_size,
                },
                Some(Verdict::Poison) => {
                    return Err(format!("block {block}: POISON, what was never written"))
                }
                Some(Verdict::Torn) => return Err(format!("block {block}: torn")),
                Some(Verdict::Garbage) => return Err(format!("block {block}: garbage")),
            };
            if !cell.allows(&value) {
                return Err(format!("block {block}: {value}, but {}", Told(cell)));
            }
            for (op, sides) in self.atomic.iter().zip(&mut sides) {
                sides.see(*op, *block, cell, &value);
            }
        }
        for (op, sides) in self.atomic.iter().zip(&sides) {
            if let (Some(old), Some(new)) = (sides.only_before, sides.only_after) {
                return Err(format!(
                    "clone {op} happened in part: block {old} is as before, block {new} as after"
                ));
            }
        }
        Ok(())
    }
}

/// Blocks that tell that an operation happened, or did not.
#[derive(Clone, Copy, Debug, Default)]
struct Sides {
    only_before: Option<u64>,
    only_after: Option<u64>,
}

impl Sides {
    fn see(&mut self, op: OpNumber, block: u64, cell: &Cell, value: &Value) {
        let Some(at) = cell.later.iter().position(|later| later.op == op) else {
            return;
        };
        let (before, after) = cell.later.split_at(at);
        let has = |later: &[Later]| later.iter().any(|later| later.values.contains(value));
        match (cell.durable.contains(value) || has(before), has(after)) {
            (true, false) => self.only_before = Some(block),
            (false, true) => self.only_after = Some(block),
            _ => {}
        }
    }
}

/// A block, as told in a message.
struct Told<'a>(&'a Cell);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &[Value]| {
            let values: Vec<String> = values.iter().map(Value::to_string).collect();
            values.join(" or ")
        };
        write!(f, "durable is {}", list(&self.0.durable))?;
        for later in &self.0.later {
            let state = if later.returned {
                "returned"
            } else {
                "under way or failed"
            };
            write!(
                f,
                "; operation {} ({state}): {}",
                later.op,
                list(&later.values)
            )?;
        }
        Ok(())
    }
}
