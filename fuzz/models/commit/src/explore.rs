//! The search: breadth first, every state once, so that what it finds is found by a shortest way.

use crate::config::Config;
use crate::state::{GHOSTS, State};
use crate::step::Step;
use crate::world;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::{Duration, Instant};

/// What the steps of one state have found.
#[derive(Default)]
pub struct Found {
    next: Vec<(State, Step)>,
    /// The first thing that may not happen.
    pub wrong: Option<(String, Step)>,
    /// Images that power cuts may leave.
    pub images: u64,
    /// Allocations that could take pages that had died.
    pub reuses: u64,
}

impl Found {
    pub fn next(&mut self, state: State, step: Step) {
        self.next.push((state, step));
    }

    pub fn wrong(&mut self, what: String, step: Step) {
        self.wrong.get_or_insert((what, step));
    }
}

/// How a search ended.
pub struct Outcome {
    pub name: String,
    pub states: usize,
    pub transitions: u64,
    pub images: u64,
    pub reuses: u64,
    pub depth: u16,
    /// All states were seen, none left out for the limit.
    pub complete: bool,
    pub time: Duration,
    pub wrong: Option<Wrong>,
}

/// Something that may not happen, and a shortest way to it.
pub struct Wrong {
    pub what: String,
    pub trace: Vec<Step>,
    last: State,
}

/// Hashes are their own hash.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("only numbers are hashed")
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// Goes through all states of a configuration until something is wrong.
pub fn explore(c: &Config) -> Outcome {
    let begun = Instant::now();
    let mut seen: HashSet<u64, BuildHasherDefault<Same>> = HashSet::default();
    let mut came_from: Vec<(u32, Option<Step>)> = vec![(0, None)];
    let mut queue: VecDeque<(State, u32, u16)> = VecDeque::new();
    let mut first = State::begin(c);
    first.canonical(c);
    seen.insert(first.hash());
    queue.push_back((first, 0, 0));
    let mut found = Found::default();
    let mut outcome = Outcome {
        name: c.name.clone(),
        states: 1,
        transitions: 0,
        images: 0,
        reuses: 0,
        depth: 0,
        complete: true,
        time: Duration::ZERO,
        wrong: None,
    };
    while let Some((state, number, depth)) = queue.pop_front() {
        outcome.depth = outcome.depth.max(depth);
        world::next(c, &state, &mut found);
        if let Some((what, step)) = found.wrong.take() {
            let mut trace = vec![step];
            let mut at = number as usize;
            while let (from, Some(step)) = came_from[at] {
                trace.push(step);
                at = from as usize;
            }
            trace.reverse();
            outcome.wrong = Some(Wrong { what, trace, last: state });
            break;
        }
        outcome.transitions += found.next.len() as u64;
        for (mut next, step) in found.next.drain(..) {
            next.canonical(c);
            if seen.insert(next.hash()) {
                came_from.push((number, Some(step)));
                queue.push_back((next, came_from.len() as u32 - 1, depth + 1));
            }
        }
        if seen.len() > c.limit {
            outcome.complete = false;
            break;
        }
    }
    outcome.states = seen.len();
    (outcome.images, outcome.reuses, outcome.time) = (found.images, found.reuses, begun.elapsed());
    outcome
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match (&self.wrong, self.complete) {
            (Some(_), _) => "WRONG",
            (None, true) => "complete",
            (None, false) => "ended at the limit",
        };
        let Outcome { name, states, transitions, images, reuses, depth, time, .. } = self;
        let seconds = time.as_secs_f32();
        write!(
            f,
            "{name}: {end}, {states} states, {transitions} transitions, {images} crash images, \
             {reuses} reuses, depth {depth}, {seconds:.1} s"
        )
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} steps: {}", self.trace.len(), self.what)?;
        for (i, step) in self.trace.iter().enumerate() {
            writeln!(f, "  {:2}. {step}", i + 1)?;
        }
        for (g, t) in self.last.txn.iter().enumerate().filter(|(_, t)| t.id != 0).take(GHOSTS) {
            let mode = ["no meta", "sealed", "two-phase"][usize::from(t.mode)];
            writeln!(
                f,
                "      g{g}: id {}, {mode}, pages {:?} by {:?}, manifest {:?}, birth {:?}, death {:?}",
                t.id, t.page, t.writer, t.manifest, t.birth, t.death
            )?;
        }
        Ok(())
    }
}
