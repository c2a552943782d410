// SPDX-License-Identifier: GPL-2.0

//! Telling a trace in the words of `protocol.md`.

use crate::config::Config;
use crate::model::{Action, Model};
use crate::world::{Content, World};
use crate::write::Write;
use cowfs_core::cow::{Rule, State};
use cowfs_core::units::FileBlock;
use stateright::{Checker, HasDiscoveries, Model as _, Path};
use std::fmt::{Debug, Write as _};
use std::hash::Hash;

/// What exploring a setting found.
pub struct Outcome {
    /// How many different states there are; of those that may be before a violation, if there is
    /// one.
    pub states: usize,
    /// How many events it takes to get to the last of them.
    pub depth: usize,
    /// The shortest way to a violation: the property, and the trace told.
    pub violation: Option<(&'static str, String)>,
}

/// Explores a setting under rule `R`: all of it, or up to a violation.
pub fn explore<R>(config: Config) -> Outcome
where
    R: Rule + Clone + Debug + Eq + Hash + Send + Sync + 'static,
{
    let model = Model::<R>::new(config);
    let mut outcome = Outcome {
        states: 0,
        depth: 0,
        violation: None,
    };
    let mut limit = None;
    loop {
        let mut checker = model
            .clone()
            .checker()
            .finish_when(HasDiscoveries::AnyFailures);
        if let Some(limit) = limit {
            checker = checker.target_max_depth(limit);
        }
        let checker = checker.spawn_bfs().join();
        outcome.states = checker.unique_state_count();
        outcome.depth = checker.max_depth();
        let found = checker.discoveries().into_iter();
        let found = found.map(|(property, path)| (path.clone().into_vec().len(), property, path));
        // The checker looks at many states at once and tells the last violation it saw: a shorter
        // way to one may be left to find.
        let Some((len, property, path)) = found.min_by_key(|(len, ..)| *len) else {
            return outcome;
        };
        outcome.violation = Some((property, tell(&model, path)));
        limit = Some(len);
    }
}

/// Tells a trace: for each event what happens, and the forks after it.
pub fn tell<R>(model: &Model<R>, path: Path<World<R>, Action>) -> String
where
    R: Rule + Clone + Debug + Eq + Hash + 'static,
{
    let mut text = picture(&model.init_states()[0]);
    let mut last: Option<(World<R>, Action)> = None;
    for (step, (world, action)) in path.into_vec().into_iter().enumerate() {
        if let Some((before, action)) = last.take() {
            let _ = writeln!(text, "{step:2}. {}", event(&before, &world, action));
            text += &picture(&world);
        }
        last = action.map(|action| (world, action));
    }
    text
}

/// The data fork and the CoW fork, a letter for each block, as `protocol.md` draws them.
fn picture<R: Rule>(world: &World<R>) -> String {
    let blocks = 0..world.data.len() as u8;
    let contents = world.contents(&world.data);
    let data: String = blocks
        .clone()
        .map(
            |at| match (contents[at as usize], world.data[at as usize]) {
                (Content::Foreign, _) => '!',
                (_, None) => '-',
                _ if world.is_exclusive(at) => 'R',
                _ => 'S',
            },
        )
        .collect();
    let cow: String = blocks
        .map(|at| match world.cow.lookup(FileBlock(at.into()), 1).0 {
            None => '-',
            Some(State::Delalloc) => 'D',
            Some(State::Unwritten(_)) => 'U',
            Some(State::Real(_)) => 'R',
        })
        .collect();
    format!("        D: {data}    C: {cow}\n")
}

fn blocks(start: u8, end: u8) -> String {
    match end - start {
        0 => "no block".to_owned(),
        1 => format!("block {start}"),
        _ => format!("blocks {start}-{}", end - 1),
    }
}

fn event<R: Rule>(before: &World<R>, after: &World<R>, action: Action) -> String {
    match action {
        Action::Begin { writer, start, len } => {
            format!(
                "Writer {} begins to write {}.",
                writer + 1,
                blocks(start, start + len)
            )
        }
        Action::Map { writer } | Action::MapShort { writer, .. } => {
            let mut text = mapped(before, after, writer);
            if matches!(action, Action::MapShort { .. }) {
                text += " The rest of its memory is not there: the write becomes short.";
            }
            text
        }
        Action::Written { writer, part } => {
            let part = before.writers[writer].parts[part];
            let place = blocks(part.file, part.file + part.len);
            format!("The device has written writer {}'s {place}.", writer + 1)
        }
        Action::Failed { writer, part } => {
            let part = before.writers[writer].parts[part];
            let place = blocks(part.file, part.file + part.len);
            format!("The device fails to write writer {}'s {place}.", writer + 1)
        }
        Action::End { writer } => ended(before, after, writer),
        Action::Cancel => "Whatever is staged and unwritten is given back.".to_owned(),
        Action::Delete => "The clone is deleted.".to_owned(),
        Action::Clone => "A clone is made.".to_owned(),
        Action::Truncate(len) => format!("The file is truncated to {len} blocks."),
    }
}

/// What mapping the next part of a write did.
fn mapped<R: Rule>(before: &World<R>, after: &World<R>, writer: usize) -> String {
    let mut text = format!("Writer {}: ", writer + 1);
    let staged = after.cow.staged().saturating_sub(before.cow.staged());
    if staged > 0 {
        let at = |world: &World<R>, at: &u8| {
            let state = world.cow.lookup(FileBlock((*at).into()), 1).0;
            state.and_then(|state| state.disk()).is_some()
        };
        let new: Vec<u8> = (0..after.data.len() as u8)
            .filter(|block| at(after, block) && !at(before, block))
            .collect();
        let window = blocks(new[0], new[new.len() - 1] + 1);
        let _ = write!(
            text,
            "{window} allocated unwritten (as far as the window goes); "
        );
    }
    let parts = |write: &Write| write.parts.len();
    let write = &after.writers[writer];
    match write.parts.last() {
        Some(part) if parts(write) > parts(&before.writers[writer]) => {
            let place = blocks(part.file, part.file + part.len);
            let how = if part.cow {
                "marked real"
            } else {
                "written in place"
            };
            let _ = write!(text, "{place} {how}; I/O in flight.");
        }
        _ => text += "nothing submitted.",
    }
    text
}

/// What a step of `end_io` did.
fn ended<R: Rule>(before: &World<R>, after: &World<R>, writer: usize) -> String {
    let moved: Vec<usize> = (0..after.data.len())
        .filter(|at| after.data[*at] != before.data[*at])
        .collect();
    let who = format!("Writer {}'s end_io", writer + 1);
    match (moved.first(), moved.last()) {
        (Some(first), Some(last)) => {
            let place = blocks(*first as u8, *last as u8 + 1);
            format!("{who} moves {place} from C to D.")
        }
        _ if before.writers[writer].failed => {
            format!("{who} leaves what it staged to others: the write has failed.")
        }
        _ => format!("{who} is done: the write is acknowledged."),
    }
}
