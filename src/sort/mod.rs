//! Pairs in the order of their keys, in bounded memory: what does not fit goes to files without a
//! name as sorted runs, which are merged.
//!
//! [`Sorter`] takes pairs in any order. One half of its memory is filled while the other half is
//! sorted and written by a thread ([`record`] says how a pair stands there, [`spill`] how a run
//! stands in its file). [`Sorted`] hands them out: [`merge`] reads all runs side by side; where
//! they are more than memory has blocks for, some are merged into longer ones first.
//!
//! - M1: of several values of a key the one that came last stays, within a buffer and between runs.
//! - M2: pairs are compared as a whole; where values are sets each stays once.
//! - M3: no run is left out: one that cannot be written is an error.
//! - M4: an error that has lost pairs comes again at every later call.
//! - M5: nothing that a file gives is believed: each block, and each large value, is read with the
//!   checksum and the length that memory has kept; what cannot be read is an error, and no end.
//! - M6: a load that ends half-way breaks its transaction (`src/txn/load.rs`).
//! - M7: whether a table takes pairs of these lengths is asked before the first is put
//!   (`src/api/load.rs`).
//! - Files have no names: they are gone with their last descriptor, however the process ends.
//!
//! Thread rules: a sorter belongs to one thread at a time; dropping it ends its thread, and waits
//! for it, but for a forked child, which has no such thread.
#![forbid(unsafe_code)]

mod merge;
mod record;
mod sorted;
mod spill;

pub use sorted::Sorted;

use crate::error::{Error, Result};
use crate::format::order::KeyOrder;
use crate::os::ForkMark;
use merge::{Entry, Rule};
use parking_lot::Mutex;
use record::{Record, Span};
use spill::{Output, Run, RunWriter, Values};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::{cmp, io, mem};

/// Less memory than this is not worth the name; so much is used in any case.
pub const LEAST_MEMORY: usize = 64 << 10;

/// Bytes that a buffer has at first.
const FIRST_BYTES: usize = 16 << 10;

/// What is told how far the work is, pairs moved of pairs to be moved; false ends it.
pub type Step<'s> = dyn FnMut(u64, u64) -> bool + 's;

/// What a sorter does and may use.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A key has several values: they are sorted too, and each stays.
    pub sets: bool,
    /// How keys are ordered.
    pub order: KeyOrder,
    /// Bytes of memory.
    pub memory: usize,
    /// Where its files are made.
    pub directory: PathBuf,
    /// No key is longer, and no value where values are sets.
    pub max_key_len: usize,
}

impl Settings {
    /// Bytes that are filled before they are sorted.
    fn half(&self) -> usize {
        self.memory.max(LEAST_MEMORY) / 2
    }

    /// Bytes of a block of a run, about.
    fn block(&self) -> usize {
        (self.half() / 32).clamp(1 << 10, 256 << 10)
    }

    /// Values above this stand beside the runs, and do not move with their keys.
    fn large(&self) -> usize {
        if self.sets { usize::MAX } else { self.block() }
    }

    /// Runs that are read side by side at most.
    fn fan_in(&self) -> usize {
        let value = if self.sets { self.max_key_len } else { self.block() };
        let longest = self.block() + self.max_key_len + value + record::MOST_LENGTHS;
        (self.half() / longest).max(2)
    }
}

/// Pairs in the order in which they came.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    pairs: usize,
    /// There is a value that will stand beside the runs.
    has_large: bool,
}

impl Buffer {
    /// Where its pairs stand, in their order.
    fn sorted(&self, rule: Rule) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        if entries.try_reserve_exact(self.pairs).is_err() {
            return Err(no_memory("get memory to sort in"));
        }
        let mut at = 0;
        while at < self.bytes.len() {
            let span = Span::at(&self.bytes, at).ok_or_else(not_ours)?;
            let record = span.of(&self.bytes);
            entries.push(Entry { head: rule.head(record.key), at });
            at = span.end;
        }
        let of = |entry: &Entry| {
            let span = Span::at(&self.bytes, entry.at).unwrap_or_default();
            span.of(&self.bytes)
        };
        let compare = |a: &Entry, b: &Entry| {
            a.head.cmp(&b.head).then_with(|| {
                // Of those that are equal the last one first: it stays.
                rule.compare(&of(a), &of(b)).then_with(|| b.at.cmp(&a.at))
            })
        };
        match rule.order.is_custom() {
            true => sort_by_function(&mut entries, compare).map_err(|NoOrder| no_order(rule))?,
            false => entries.sort_unstable_by(compare),
        }
        Ok(entries)
    }
}

/// What is no total order of what was sorted by it.
struct NoOrder;

/// Sorts by a function of the user's. Where the sort of the standard library sees that it is no
/// order it panics, which is an error here; a panic of the function itself goes on.
fn sort_by_function(
    entries: &mut [Entry],
    compare: impl Fn(&Entry, &Entry) -> cmp::Ordering,
) -> std::result::Result<(), NoOrder> {
    let in_function = Cell::new(false);
    let sort = || {
        entries.sort_unstable_by(|a, b| {
            in_function.set(true);
            let order = compare(a, b);
            in_function.set(false);
            order
        });
    };
    match catch_unwind(AssertUnwindSafe(sort)) {
        Ok(()) => Ok(()),
        Err(panic) if in_function.get() => resume_unwind(panic),
        Err(_) => Err(NoOrder),
    }
}

#[cold]
fn no_order(rule: Rule) -> Error {
    Error::InvalidArgument(format!("a function that is no total order: {:?}", rule.order.public()))
}

/// Memory has not what was put there.
#[cold]
fn not_ours() -> Error {
    let why = "a sorted run is not what was written";
    Error::Io {
        what: "sorting",
        path: None,
        source: io::Error::new(io::ErrorKind::InvalidData, why),
    }
}

/// A panic has come in between.
#[cold]
fn lost() -> Error {
    let source = io::Error::other("a panic has lost pairs");
    Error::Io { what: "sorting", path: None, source }
}

#[cold]
fn no_memory(what: &'static str) -> Error {
    Error::Io { what, path: None, source: io::ErrorKind::OutOfMemory.into() }
}

/// Takes pairs, and sorts them.
pub struct Sorter {
    settings: Settings,
    filling: Buffer,
    /// What all keys so far begin with.
    prefix: Option<Vec<u8>>,
    /// What the thread works with, while it does not.
    idle: Option<Tools>,
    worker: Option<JoinHandle<Worked>>,
    runs: Vec<Run>,
    values: Arc<Values>,
    /// The thread is to end.
    cancel: Arc<AtomicBool>,
    pushed: u64,
    /// An error that has lost pairs.
    failed: Option<Error>,
    /// The mark of the process that has its thread.
    process: Option<&'static AtomicU64>,
}

/// A buffer to be filled next, and where runs are appended.
#[derive(Default)]
struct Tools {
    buffer: Buffer,
    output: Option<Output>,
}

type Worked = (Tools, Result<Run>);

/// A full buffer, and what it takes to make a run of it.
struct Job {
    tools: Tools,
    settings: Settings,
    rule: Rule,
    values: Arc<Values>,
    cancel: Arc<AtomicBool>,
}

impl Job {
    fn work(mut self) -> Worked {
        let run = self.run();
        self.tools.buffer.bytes.clear();
        (self.tools.buffer.pairs, self.tools.buffer.has_large) = (0, false);
        (self.tools, run)
    }

    fn run(&mut self) -> Result<Run> {
        let Tools { buffer, output } = &mut self.tools;
        let entries = buffer.sorted(self.rule)?;
        let output = match output {
            Some(output) => output,
            None => output.insert(Output::create(&self.settings.directory)?),
        };
        let mut writer = RunWriter::new(output, &self.values, &self.settings);
        let mut last: Option<Record<'_>> = None;
        for entry in &entries {
            let span = Span::at(&buffer.bytes, entry.at).ok_or_else(not_ours)?;
            let record = span.of(&buffer.bytes);
            if last.is_some_and(|last| self.rule.compare(&record, &last).is_eq()) {
                continue;
            }
            last = Some(record);
            let full = writer.add(&record)?;
            if full && self.cancel.load(Ordering::Relaxed) {
                break;
            }
        }
        writer.finish()
    }
}

impl Sorter {
    /// Takes nothing before its first pair.
    pub fn new(settings: Settings) -> Sorter {
        Sorter {
            values: Arc::new(Values::new(&settings.directory)),
            settings,
            filling: Buffer::default(),
            prefix: None,
            idle: None,
            worker: None,
            runs: Vec::new(),
            cancel: Arc::default(),
            pushed: 0,
            failed: None,
            process: ForkMark::get().ok(),
        }
    }

    /// Pairs taken so far.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Takes a pair. An error has lost some: it comes again from then on.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if let Some(e) = &self.failed {
            return Err(again(e));
        }
        let taken = self.take(key, value);
        match &taken {
            Ok(()) => self.pushed += 1,
            Err(e) => self.failed = Some(again(e)),
        }
        taken
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match &mut self.prefix {
            None => self.prefix = Some(key.to_vec()),
            Some(prefix) if key.starts_with(prefix) => {}
            Some(prefix) => {
                let common = prefix.iter().zip(key).take_while(|(a, b)| a == b).count();
                prefix.truncate(common);
            }
        }
        let half = self.settings.half();
        let reference;
        // What is half of the buffer would leave the thread nothing to do beside it.
        let (value, stored) = match !self.settings.sets && value.len() > half / 2 {
            true => {
                reference = self.values.put(value)?;
                (&reference[..], true)
            }
            false => (value, false),
        };
        let more = record::len(key, value) + size_of::<Entry>();
        let Buffer { bytes, pairs, .. } = &self.filling;
        if *pairs > 0 && bytes.len() + pairs * size_of::<Entry>() + more > half {
            self.spill()?;
        }
        let Buffer { bytes, pairs, has_large } = &mut self.filling;
        if bytes.capacity() - bytes.len() < more {
            // Twice as much each time, but no more than it may be in the end.
            let wanted = (2 * bytes.capacity()).max(FIRST_BYTES).min(half).max(bytes.len() + more);
            if bytes.try_reserve_exact(wanted - bytes.len()).is_err() {
                return Err(no_memory("get memory to sort in"));
            }
        }
        record::put(bytes, key, value, stored);
        *pairs += 1;
        *has_large |= !stored && value.len() > self.settings.large();
        Ok(())
    }

    fn rule(&self) -> Rule {
        let prefix_len = self.prefix.as_ref().map_or(0, Vec::len);
        Rule { order: self.settings.order, prefix_len, sets: self.settings.sets }
    }

    /// Has the buffer made a run, by the thread. A panic, of the user's order, has lost the run: it
    /// leaves an error behind (M4).
    fn spill(&mut self) -> Result<()> {
        self.failed = Some(lost());
        let spilled = self.try_spill();
        self.failed = None;
        spilled
    }

    fn try_spill(&mut self) -> Result<()> {
        self.wait()?;
        let mut tools = self.idle.take().unwrap_or_default();
        mem::swap(&mut tools.buffer, &mut self.filling);
        let job = Job {
            tools,
            settings: self.settings.clone(),
            rule: self.rule(),
            values: Arc::clone(&self.values),
            cancel: Arc::clone(&self.cancel),
        };
        // Where there is no thread to be had the job is still here.
        let job = Arc::new(Mutex::new(Some(job)));
        let theirs = Arc::clone(&job);
        let work = move || theirs.lock().take().map(Job::work).unwrap_or_else(no_job);
        match std::thread::Builder::new().name("recto-sort".into()).spawn(work) {
            Ok(worker) => self.worker = Some(worker),
            Err(_) => {
                let job = job.lock().take();
                self.take_run(job.map(Job::work).unwrap_or_else(no_job))?;
            }
        }
        Ok(())
    }

    /// Waits for the thread, and takes its run.
    fn wait(&mut self) -> Result<()> {
        match self.worker.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(worked)) => self.take_run(worked),
            Some(Err(panic)) => resume_unwind(panic),
        }
    }

    fn take_run(&mut self, (tools, run): Worked) -> Result<()> {
        self.idle = Some(tools);
        self.runs.push(run?);
        Ok(())
    }

    /// No more pairs come. Merges runs, where they are too many to be read side by side.
    pub fn sort(mut self, step: &mut Step<'_>) -> Result<Sorted> {
        if let Some(e) = self.failed.take() {
            return Err(e);
        }
        if self.filling.has_large && (self.worker.is_some() || !self.runs.is_empty()) {
            self.spill()?;
        }
        // Beside the thread.
        let entries = self.filling.sorted(self.rule())?;
        self.wait()?;
        self.idle = None;
        let mut sorted = Sorted {
            settings: self.settings.clone(),
            rule: self.rule(),
            buffer: mem::take(&mut self.filling),
            entries,
            runs: mem::take(&mut self.runs),
            values: Arc::clone(&self.values),
            first_runs: 0,
            passes: 0,
            written: 0,
            moved: 0,
            to_move: 0,
        };
        sorted.shorten(step)?;
        Ok(sorted)
    }
}

#[cold]
fn no_job() -> Worked {
    (Tools::default(), Err(not_ours()))
}

impl Drop for Sorter {
    fn drop(&mut self) {
        self.cancel.store(true, Ordering::Relaxed);
        // A number would not do: in another namespace a child may have that of its parent. Without
        // a mark the thread is left to its end.
        if self.process.is_some_and(|process| process.load(Ordering::Acquire) == 1) {
            // Whatever it had to say is of no use any more.
            let _ = self.worker.take().map(JoinHandle::join);
        }
    }
}

/// The same error, which is no value that can be copied.
fn again(error: &Error) -> Error {
    let (what, path, source) = match error {
        Error::Io { what, path, source } => (what, path, source),
        Error::InvalidArgument(why) => return Error::InvalidArgument(why.clone()),
        _ => return not_ours(),
    };
    let source = match source.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(source.kind(), source.to_string()),
    };
    Error::Io { what, path: path.clone(), source }
}
