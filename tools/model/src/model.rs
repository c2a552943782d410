// SPDX-License-Identifier: GPL-2.0

//! All that can happen, for stateright to try in every order.

use crate::config::Config;
use crate::world::World;
use crate::write::Phase;
use cowfs_core::cow::{FileRange, Rule};
use stateright::Property;
use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;

/// Something that happens. Writers are named by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A write of `len` blocks from `start` on begins.
    Begin {
        /// The writer.
        writer: usize,
        /// The first block.
        start: u8,
        /// How many.
        len: u8,
    },
    /// The next part of a write is mapped, marked and submitted.
    Map {
        /// The writer.
        writer: usize,
    },
    /// The same, but only the first `most` blocks can be submitted: the write becomes short.
    MapShort {
        /// The writer.
        writer: usize,
        /// How many blocks are submitted.
        most: u8,
    },
    /// The device has written a part.
    Written {
        /// The writer.
        writer: usize,
        /// Which of the parts in flight.
        part: usize,
    },
    /// The device has failed to write a part.
    Failed {
        /// The writer.
        writer: usize,
        /// Which of the parts in flight.
        part: usize,
    },
    /// `end_io` makes a step.
    End {
        /// The writer.
        writer: usize,
    },
    /// Everything unwritten in the CoW fork is given back.
    Cancel,
    /// The clone is deleted.
    Delete,
    /// A clone is made.
    Clone,
    /// The file is truncated to so many blocks.
    Truncate(u8),
}

/// The protocol under one rule, in one setting.
#[derive(Clone, Debug)]
pub struct Model<R> {
    /// The setting.
    pub config: Config,
    rule: PhantomData<R>,
}

impl<R> Model<R> {
    /// The protocol in this setting.
    pub fn new(config: Config) -> Self {
        Model {
            config,
            rule: PhantomData,
        }
    }

    fn is_buffered(&self, writer: usize) -> bool {
        writer >= self.config.direct
    }
}

impl<R> stateright::Model for Model<R>
where
    R: Rule + Clone + Debug + Eq + Hash + 'static,
{
    type State = World<R>;
    type Action = Action;

    fn init_states(&self) -> Vec<World<R>> {
        vec![World::new(&self.config)]
    }

    fn actions(&self, world: &World<R>, actions: &mut Vec<Action>) {
        let events = &self.config.events;
        for (writer, write) in world.writers.iter().enumerate() {
            match write.phase {
                Phase::Idle => {
                    // Of writers that are alike, the first begins first.
                    let waits = writer.checked_sub(1).is_some_and(|before| {
                        self.config.alike(before, writer)
                            && world.writers[before].phase == Phase::Idle
                    });
                    if waits {
                        continue;
                    }
                    for (start, len) in self.config.ranges(writer) {
                        actions.push(Action::Begin { writer, start, len });
                    }
                }
                Phase::Mapping => {
                    actions.push(Action::Map { writer });
                    let most = write.end - write.next;
                    for most in (0..most).filter(|_| events.short && !self.is_buffered(writer)) {
                        actions.push(Action::MapShort { writer, most });
                    }
                }
                Phase::InFlight | Phase::Ending if write.parts.is_empty() => {
                    actions.push(Action::End { writer });
                }
                _ => {}
            }
            for part in 0..write.parts.len() {
                actions.push(Action::Written { writer, part });
                if events.failure {
                    actions.push(Action::Failed { writer, part });
                }
            }
        }
        if events.cancel && world.cow.unwritten() > 0 {
            actions.push(Action::Cancel);
        }
        if events.delete && !world.clone.is_empty() {
            actions.push(Action::Delete);
        }
        if world.is_quiet() {
            if events.clone && world.clone != world.data {
                actions.push(Action::Clone);
            }
            if events.truncate {
                let mapped = world.data.iter().rposition(Option::is_some);
                let len = mapped.map_or(0, |last| last as u8 + 1);
                actions.extend((0..len).map(Action::Truncate));
            }
        }
    }

    fn next_state(&self, last: &World<R>, action: Action) -> Option<World<R>> {
        let (hint, policy) = (self.config.hint, self.config.policy);
        let mut world = last.clone();
        match action {
            Action::Begin { writer, start, len } => {
                world.begin(writer, start, len, self.is_buffered(writer));
            }
            Action::Map { writer } => {
                world.map_next(writer, hint, policy, None);
            }
            Action::MapShort { writer, most } => {
                let mapped = world.map_next(writer, hint, policy, Some(most));
                // More than was mapped: that would not be short.
                if most >= mapped {
                    return None;
                }
            }
            Action::Written { writer, part } => world.complete(writer, part, false),
            Action::Failed { writer, part } => world.complete(writer, part, true),
            Action::End { writer } => world.end(writer, self.is_buffered(writer)),
            Action::Cancel => world.cancel(FileRange::ALL),
            Action::Delete => world.delete_clone(),
            Action::Clone => world.make_clone(),
            Action::Truncate(len) => world.truncate(len),
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "I1: no unwritten block is ever reachable through D",
                |_, world: &World<R>| world.no_unwritten_block_is_mapped(),
            ),
            Property::always(
                "I2: a write that was acknowledged is read back until something newer replaces it",
                |_, world: &World<R>| world.acknowledged_writes_are_seen(),
            ),
            Property::always(
                "I2: a clone never changes because its source was written",
                |_, world: &World<R>| world.the_clone_is_as_it_was(),
            ),
            Property::always(
                "I3: every block is free, mapped or staged, and in one way only",
                |_, world: &World<R>| world.every_block_has_one_owner(),
            ),
            Property::always(
                "I3: an I/O in flight writes a block that is the file's own, in that place",
                |_, world: &World<R>| world.writes_go_to_the_files_own_blocks(),
            ),
            Property::always(
                "I3: nothing is real or reserved when all writes have ended",
                |_, world: &World<R>| world.nothing_is_left_behind(),
            ),
        ]
    }
}
