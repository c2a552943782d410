// SPDX-License-Identifier: GPL-2.0

//! The CoW fork against a model that keeps the state of every block in an array.

use cowfs_core::cow::{AllStaged, CowFork, FileRange, Rule, Staged, State, WrittenOnly};
use cowfs_core::error::Error;
use cowfs_core::units::{FileBlock, FsBlock};
use proptest::prelude::*;

const BLOCKS: u64 = 48;

fn range(start: u64, len: u64) -> FileRange {
    FileRange::new(FileBlock(start), len)
}

fn staged(file: u64, disk: u64, len: u32) -> Staged {
    Staged {
        file: FileBlock(file),
        disk: FsBlock(disk),
        len,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Hole,
    Delalloc,
    Unwritten(u64),
    Real(u64, u32),
}

/// The state of each block of the file as the fork tells it, checked for consistency on the way.
fn cells<R: Rule>(fork: &CowFork<R>) -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut at = 0;
    while at < BLOCKS {
        let (state, len) = fork.lookup(FileBlock(at), BLOCKS - at);
        assert!(len > 0);
        let next = fork.next(FileBlock(at));
        for i in 0..len {
            cells.push(match state {
                None => Cell::Hole,
                Some(State::Delalloc) => Cell::Delalloc,
                Some(state @ State::Unwritten(_)) => Cell::Unwritten(state.disk().unwrap().0 + i),
                Some(state @ State::Real(real)) => {
                    Cell::Real(state.disk().unwrap().0 + i, real.writers())
                }
            });
        }
        match (state, next) {
            (Some(state), Some(piece)) => {
                assert_eq!((piece.file.0, piece.state), (at, state));
            }
            (None, Some(piece)) => assert!(piece.file.0 >= at + len),
            (None, None) => assert_eq!(at + len, BLOCKS),
            (Some(_), None) => panic!("next() misses the piece at {at}"),
        }
        at += len;
    }
    let count = |f: fn(&Cell) -> bool| cells.iter().filter(|c| f(c)).count() as u64;
    assert_eq!(fork.delalloc(), count(|c| *c == Cell::Delalloc));
    assert_eq!(fork.unwritten(), count(|c| matches!(c, Cell::Unwritten(_))));
    assert_eq!(fork.real(), count(|c| matches!(c, Cell::Real(..))));
    assert_eq!(fork.staged(), fork.unwritten() + fork.real());
    let runs = cells.chunk_by(|a, b| (*a == Cell::Hole) == (*b == Cell::Hole));
    assert_eq!(
        fork.runs(),
        runs.filter(|run| run[0] != Cell::Hole).count() as u64
    );
    assert_eq!(fork.is_empty(), fork.staged() + fork.delalloc() == 0);
    cells
}

/// What the fork ought to be: an array, changed block by block.
struct Model {
    cells: Vec<Cell>,
}

impl Model {
    fn each(&mut self, range: FileRange) -> impl Iterator<Item = (u64, &mut Cell)> {
        let (start, end) = (range.start.0, range.end().0);
        (0..)
            .zip(&mut self.cells)
            .filter(move |(at, _)| (start..end).contains(at))
    }

    fn reserve(&mut self, range: FileRange) -> u64 {
        let mut n = 0;
        for (_, cell) in self.each(range) {
            if *cell == Cell::Hole {
                *cell = Cell::Delalloc;
                n += 1;
            }
        }
        n
    }

    fn allocate(&mut self, new: Staged) -> Result<u64, Error> {
        let blocked = |c: &Cell| matches!(c, Cell::Unwritten(_) | Cell::Real(..));
        if self.each(new.range()).any(|(_, cell)| blocked(cell)) {
            return Err(Error::Exists);
        }
        let mut delalloc = 0;
        for (at, cell) in self.each(new.range()) {
            delalloc += u64::from(*cell == Cell::Delalloc);
            *cell = Cell::Unwritten(new.disk.0 + at - new.file.0);
        }
        Ok(delalloc)
    }

    fn mark(&mut self, marked: Staged) {
        for (at, cell) in self.each(marked.range()) {
            let expected = marked.disk.0 + at - marked.file.0;
            *cell = match *cell {
                Cell::Unwritten(disk) => Cell::Real(disk, 1),
                Cell::Real(disk, writers) => Cell::Real(disk, writers + 1),
                other => panic!("marked {other:?} at {at}"),
            };
            assert!(matches!(*cell, Cell::Real(disk, _) if disk == expected));
        }
    }

    /// Removes what `gone` says; returns (file, disk) pairs.
    fn remove(&mut self, range: FileRange, gone: impl Fn(Cell) -> Option<u64>) -> Vec<(u64, u64)> {
        let mut out = Vec::new();
        for (at, cell) in self.each(range) {
            if let Some(disk) = gone(*cell) {
                *cell = Cell::Hole;
                out.push((at, disk));
            }
        }
        out
    }

    fn fail(&mut self, range: FileRange) {
        for (_, cell) in self.each(range) {
            *cell = match *cell {
                Cell::Real(disk, 1) => Cell::Unwritten(disk),
                Cell::Real(disk, writers) => Cell::Real(disk, writers - 1),
                other => other,
            };
        }
    }
}

/// Calls `next` until it is done; all that it returned, as (file, disk) pairs.
fn drain(
    mut range: FileRange,
    mut next: impl FnMut(&mut FileRange) -> Result<Option<Staged>, Error>,
) -> Vec<(u64, u64)> {
    let mut out = Vec::new();
    let end = range.end();
    while let Some(run) = next(&mut range).unwrap() {
        assert!(range.end() == end && range.start == run.range().end());
        out.extend((0..u64::from(run.len)).map(|i| (run.file.0 + i, run.disk.0 + i)));
    }
    out
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Reserve,
    /// Stages the window of the first gap, at most so many blocks of it.
    Stage(u32, u32),
    /// Stages just here, whatever is there.
    Allocate,
    Mark,
    Take,
    Fail,
    CancelUnwritten,
    CancelDelalloc,
}

fn op() -> impl Strategy<Value = (Op, u64, u64)> {
    let op = prop_oneof![
        Just(Op::Reserve),
        (1u32..=16, 1u32..=40).prop_map(|(hint, most)| Op::Stage(hint, most)),
        Just(Op::Allocate),
        Just(Op::Mark),
        Just(Op::Mark),
        Just(Op::Take),
        Just(Op::Fail),
        Just(Op::CancelUnwritten),
        Just(Op::CancelDelalloc),
    ];
    (op, 0..BLOCKS, 1..=BLOCKS).prop_map(|(op, start, len)| (op, start, len.min(BLOCKS - start)))
}

/// What gap() ought to say, from the array.
fn expected_gap(cells: &[Cell], write: FileRange) -> Option<(u64, u64)> {
    let free = |at: &u64| matches!(cells[*at as usize], Cell::Hole | Cell::Delalloc);
    let start = (write.start.0..write.end().0).find(free)?;
    let end = (start..write.end().0)
        .find(|at| !free(at))
        .unwrap_or(write.end().0);
    Some((start, end))
}

fn check_gap(
    cells: &[Cell],
    write: FileRange,
    hint: u32,
    within: FileRange,
    fork: &CowFork<WrittenOnly>,
) {
    let gap = fork.gap(write, hint, within);
    let expected = expected_gap(cells, write);
    assert_eq!(gap.map(|g| (g.need.start.0, g.need.end().0)), expected);
    let Some(gap) = gap else { return };
    let (first, last) = (gap.window.start.0, gap.window.end().0);
    let (need, end) = (gap.need.start.0, gap.need.end().0);
    assert!(first <= need && end <= last);
    let hint = u64::from(hint);
    // Nothing of the window is staged.
    for at in first..last {
        assert!(matches!(
            cells.get(at as usize),
            None | Some(Cell::Hole | Cell::Delalloc)
        ));
    }
    // It goes as far as it may, and further than the hint only over the delalloc it would cut.
    let staged = |at: u64| {
        matches!(
            cells.get(at as usize),
            Some(Cell::Unwritten(_) | Cell::Real(..))
        )
    };
    let delalloc = |at: u64| matches!(cells.get(at as usize), Some(Cell::Delalloc));
    let low = need - need % hint;
    let high = end.next_multiple_of(hint);
    if first > low.max(within.start.0) {
        assert!(staged(first - 1), "window begins early at {first}");
    }
    if last < high.min(within.end().0) {
        assert!(staged(last), "window ends early at {last}");
    }
    assert!(first >= within.start.0.min(need) && last <= within.end().0.max(end));
    assert!(
        (first..low.min(need)).all(delalloc),
        "window over a hole beyond the hint"
    );
    assert!(
        (high..last).all(delalloc),
        "window over a hole beyond the hint"
    );
    if let Some(goal) = gap.goal {
        let left = (0..first)
            .rev()
            .find(|at| staged(*at))
            .expect("a goal without a neighbour");
        let (Cell::Unwritten(disk) | Cell::Real(disk, _)) = cells[left as usize] else {
            unreachable!()
        };
        assert_eq!(goal.0, disk + first - left);
        assert!(first - left - 1 < hint);
    } else if first > 0 {
        assert!(!staged(first - 1), "no goal at {first}");
    }
    // Whatever number of blocks comes back, as much of the need as possible is covered.
    for len in 1..=gap.window.len {
        let place = gap.place(len as u32);
        assert_eq!(place.len, len);
        assert_eq!(place.intersect(gap.window), place);
        assert_eq!(place.intersect(gap.need).len, len.min(gap.need.len));
        assert!(place.contains(gap.need.start));
    }
}

fn run<R: Rule>(ops: &[(Op, u64, u64)], remap: impl Fn(Cell) -> Option<u64>) {
    let mut fork = CowFork::<R>::new();
    let mut model = Model {
        cells: vec![Cell::Hole; BLOCKS as usize],
    };
    // Blocks from here on were never given to the fork. Runs are made to continue one another now
    // and then, so that pieces merge.
    let mut disk = 1000;
    for &(op, start, len) in ops {
        let todo = range(start, len);
        let (before, sequence) = (model.cells.clone(), fork.sequence());
        match op {
            Op::Reserve => {
                let mut n = 0;
                while let Some(new) = fork.reserve(todo).unwrap() {
                    assert!(!new.is_empty() && new.intersect(todo) == new);
                    n += new.len;
                }
                assert_eq!(n, model.reserve(todo));
            }
            Op::Stage(hint, most) => {
                if let Some(gap) = fork.gap(todo, hint, FileRange::new(FileBlock(0), BLOCKS)) {
                    let len = most.min(gap.window.len as u32);
                    let place = gap.place(len);
                    let new = staged(place.start.0, disk, len);
                    assert_eq!(fork.allocate(new), model.allocate(new));
                    disk += u64::from(len) + (disk % 3) * 7;
                }
            }
            Op::Allocate => {
                let new = staged(start, disk, len as u32);
                assert_eq!(fork.allocate(new), model.allocate(new));
                disk += len + (disk % 3) * 7;
            }
            Op::Mark => {
                let mut todo = todo;
                while !todo.is_empty() {
                    let there = model.cells[todo.start.0 as usize];
                    match fork.mark(todo) {
                        Ok(marked) => {
                            assert_eq!(marked.file, todo.start);
                            assert!(marked.range().intersect(todo) == marked.range());
                            model.mark(marked);
                            todo.skip_to(marked.range().end());
                        }
                        Err(error) => {
                            assert_eq!(error, Error::NotFound);
                            assert!(matches!(there, Cell::Hole | Cell::Delalloc));
                            todo.skip_to(FileBlock(todo.start.0 + 1));
                        }
                    }
                }
            }
            Op::Take => {
                let first = fork.next_real(todo);
                let got = drain(todo, |todo| fork.take(todo));
                assert_eq!(first.map(|s| (s.file.0, s.disk.0)), got.first().copied());
                assert_eq!(got, model.remove(todo, &remap));
                assert_eq!(fork.next_real(todo), None);
            }
            Op::Fail => {
                fork.fail(todo).unwrap();
                model.fail(todo);
            }
            Op::CancelUnwritten => {
                let got = drain(todo, |todo| fork.cancel_unwritten(todo));
                let gone = model.remove(todo, |cell| match cell {
                    Cell::Unwritten(disk) => Some(disk),
                    _ => None,
                });
                assert_eq!(got, gone);
            }
            Op::CancelDelalloc => {
                let got = fork.cancel_delalloc(todo).unwrap();
                let gone = model.remove(todo, |cell| (cell == Cell::Delalloc).then_some(0));
                assert_eq!(got, gone.len() as u64);
            }
        }
        let now = cells(&fork);
        if now != model.cells {
            panic!(
                "after {op:?} {todo:?}:\n{now:?}\nought to be\n{:?}",
                model.cells
            );
        }
        assert!(now == before || fork.sequence() != sequence);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_the_array(ops in prop::collection::vec(op(), 1..60)) {
        run::<WrittenOnly>(&ops, |cell| match cell {
            Cell::Real(disk, _) => Some(disk),
            _ => None,
        });
    }

    #[test]
    fn agrees_with_the_array_under_the_old_rule(ops in prop::collection::vec(op(), 1..60)) {
        run::<AllStaged>(&ops, |cell| match cell {
            Cell::Real(disk, _) | Cell::Unwritten(disk) => Some(disk),
            _ => None,
        });
    }

    #[test]
    fn gaps(
        ops in prop::collection::vec(op(), 1..20),
        write in (0..BLOCKS, 1..=BLOCKS),
        hint in 1u32..20,
        within in (0..BLOCKS, 1..=BLOCKS),
    ) {
        let mut fork = CowFork::<WrittenOnly>::new();
        let mut disk = 1000;
        for (op, start, len) in ops {
            let mut todo = range(start, len);
            match op {
                Op::Reserve | Op::CancelUnwritten => {
                    fork.reserve(todo).unwrap();
                }
                Op::Mark => {
                    let _ = fork.mark(todo);
                }
                Op::Take | Op::Fail => {
                    fork.take(&mut todo).unwrap();
                }
                _ => {
                    let _ = fork.allocate(staged(start, disk, (len as u32).div_ceil(4)));
                    disk += 100;
                }
            }
        }
        let write = range(write.0, write.1.min(BLOCKS - write.0));
        let within = FileRange::between(
            write.start.min(FileBlock(within.0)),
            write.end().max(FileBlock(within.0 + within.1)),
        );
        check_gap(&cells(&fork), write, hint, within, &fork);
        check_gap(&cells(&fork), write, hint, FileRange::ALL, &fork);
    }
}

/// The story of `protocol.md`, step by step.
#[test]
fn the_protocol() {
    let mut fork = CowFork::<WrittenOnly>::new();
    assert_eq!(fork.reserve(range(6, 7)), Ok(Some(range(6, 7))));
    assert_eq!(fork.reserve(range(6, 7)), Ok(None));
    assert_eq!(fork.delalloc(), 7);

    let gap = fork.gap(range(8, 2), 8, FileRange::ALL).unwrap();
    assert_eq!(
        (gap.need, gap.window, gap.goal),
        (range(8, 2), range(6, 10), None)
    );
    assert_eq!(fork.allocate(staged(6, 100, 10)), Ok(7));
    assert_eq!((fork.delalloc(), fork.unwritten()), (0, 10));

    assert_eq!(fork.mark(range(8, 2)), Ok(staged(8, 102, 2)));
    assert_eq!((fork.unwritten(), fork.real()), (8, 2));

    // The range of the I/O is wider than what it wrote: its unwritten neighbours stay.
    let mut todo = range(0, 20);
    assert_eq!(fork.take(&mut todo), Ok(Some(staged(8, 102, 2))));
    assert_eq!(fork.take(&mut todo), Ok(None));
    assert_eq!((fork.unwritten(), fork.real()), (8, 0));
    assert_eq!(fork.lookup(FileBlock(8), 9), (None, 2));
}

#[test]
fn a_block_is_unwritten_again_when_its_last_writer_failed() {
    let mut fork = CowFork::<WrittenOnly>::new();
    fork.allocate(staged(0, 50, 8)).unwrap();
    assert_eq!(fork.mark(range(0, 6)), Ok(staged(0, 50, 6)));
    // The second write joins the part it shares with the first.
    assert_eq!(fork.mark(range(4, 4)), Ok(staged(4, 54, 2)));
    assert_eq!(fork.mark(range(6, 2)), Ok(staged(6, 56, 2)));

    assert_eq!(fork.fail(range(0, 6)), Ok(()));
    assert_eq!((fork.unwritten(), fork.real()), (4, 4));

    let mut second = range(4, 4);
    assert_eq!(fork.take(&mut second), Ok(Some(staged(4, 54, 2))));
    assert_eq!(fork.take(&mut second), Ok(Some(staged(6, 56, 2))));
    // Who writes there next finds it staged.
    assert_eq!(fork.mark(range(1, 2)), Ok(staged(1, 51, 2)));
}

#[test]
fn the_end_of_a_write_that_others_took_finds_nothing() {
    let mut fork = CowFork::<WrittenOnly>::new();
    fork.allocate(staged(0, 50, 1)).unwrap();
    fork.mark(range(0, 1)).unwrap();
    fork.mark(range(0, 1)).unwrap();
    assert_eq!(fork.take(&mut range(0, 1)), Ok(Some(staged(0, 50, 1))));
    assert_eq!(fork.take(&mut range(0, 1)), Ok(None));
    assert_eq!(fork.fail(range(0, 1)), Ok(()));
    assert!(fork.is_empty());
}

#[test]
fn ranges_at_the_end_of_the_largest_file() {
    let mut fork = CowFork::<WrittenOnly>::new();
    let last = u64::MAX - 4;
    assert_eq!(fork.allocate(staged(last, 9, 5)), Err(Error::Invalid));
    assert_eq!(fork.allocate(staged(0, 9, 0)), Err(Error::Invalid));
    assert_eq!(fork.allocate(staged(last, 9, 4)), Ok(0));
    assert_eq!(fork.mark(range(last, 100)), Ok(staged(last, 9, 4)));
    assert_eq!(
        fork.gap(range(last - 1, 100), u32::MAX, FileRange::ALL)
            .unwrap()
            .need,
        range(last - 1, 1)
    );
    assert_eq!(
        fork.take(&mut FileRange::ALL.clone()),
        Ok(Some(staged(last, 9, 4)))
    );
    assert_eq!(fork.mark(range(3, 0)), Err(Error::NotFound));
}

#[test]
fn more_blocks_than_a_piece_can_count() {
    let mut fork = CowFork::<WrittenOnly>::new();
    let huge = range(0, 3 << 32);
    let mut n = 0;
    while let Some(new) = fork.reserve(huge).unwrap() {
        n += new.len;
    }
    assert_eq!((n, fork.delalloc()), (3 << 32, 3 << 32));
    let gap = fork.gap(huge, 32, FileRange::ALL).unwrap();
    assert_eq!(
        (gap.need, gap.window),
        (range(0, u64::from(u32::MAX)), range(0, u64::from(u32::MAX)))
    );
    assert_eq!(
        fork.allocate(staged(5, 9, u32::MAX)),
        Ok(u64::from(u32::MAX))
    );
    assert_eq!(
        fork.cancel_delalloc(FileRange::ALL),
        Ok((3 << 32) - u64::from(u32::MAX))
    );
}
