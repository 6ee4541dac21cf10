//! `kvtool load`: puts everything that the input holds.
//!
//! In one transaction, or with a durable commit every so many pairs. A transaction begins only when
//! its first pair has been read, so that slow input holds up no other writer between batches. With
//! `--sort` it begins when the first table of the input has been read to its end.
//! Whatever ends the command, what was committed is there and nothing else.

use super::Status;
use crate::database::{NewArg, TableArg, WaitArg};
use crate::failure::{Failure, Outcome};
use crate::input::{Input, InputArgs, Next, Pair};
use crate::output::{HexArg, JsonArg, Output};
use crate::pairs::{PairsMut, asked};
use crate::progress::Progress;
use crate::say;
use crate::signals::Interrupt;
use crate::text::grouped;
use recto::{Database, Error, LoadOptions, Loader, Order, TableKind, TableOptions, WriteTxn};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kvtool load files.recto ~/files --batch 1000
  sort lines.tsv | kvtool load lines.recto -
  mdb_dump other.mdb | kvtool load copy.recto -
  kvtool create tags.recto -t tags --set && kvtool load tags.recto tags.tsv -t tags
  kvtool load words.recto words.tsv --sort --sort-memory 1G --temp-dir /var/tmp

A table of sets takes every value of a key; what a dump says to have several values (dupsort=1)
becomes such a table.

Ctrl-C (or SIGTERM) ends it after the pair at hand, a second one at once: what was committed
stays, and a message says how to go on. Sorted input is loaded fastest; --sort sorts what is not,
in memory and in temporary files, which takes room for all pairs once more, and twice where memory
is very small for them. It is one transaction, which begins when the first table has been read.")]
pub struct Load {
    #[command(flatten)]
    file: NewArg,
    #[command(flatten)]
    input: InputArgs,
    /// A durable commit every N pairs (default: one for all)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    batch: Option<u64>,
    /// Leave out the first N pairs of INPUT: goes on where an interrupted load ended
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    skip_pairs: u64,
    /// Sort the pairs before they are put: for large input in no order
    #[arg(long, conflicts_with = "batch")]
    sort: bool,
    /// Memory to sort in; K, M or G behind it for KiB, MiB or GiB (default: 256M)
    #[arg(long, value_name = "BYTES", requires = "sort", value_parser = bytes)]
    sort_memory: Option<usize>,
    /// Where temporary files are made (default: the directory of FILE)
    #[arg(long, value_name = "DIR", requires = "sort")]
    temp_dir: Option<PathBuf>,
    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    hex: HexArg,
    #[command(flatten)]
    json: JsonArg,
    #[command(flatten)]
    wait: WaitArg,
}

impl Load {
    pub fn run(self) -> Outcome<Status> {
        let file = self.file.path();
        let start = Instant::now();
        let interrupt = Interrupt::default();
        let input = Input::open(&self.input, self.hex, &self.table, Some(&interrupt))?;
        interrupt.listen()?;
        let mut work = Work {
            file,
            progress: Progress::bytes(if self.sort { "read" } else { "load" }, input.total()),
            input,
            pair: Pair::default(),
            table: String::new(),
            options: TableOptions::default(),
            sequence: 0,
            size_of_first: None,
            batch: self.batch.unwrap_or(u64::MAX),
            done: Done::default(),
            interrupt,
        };
        work.set_last_words();
        work.input.leave_out_database(file);
        // The first pair is read before a file is made: input that is wrong from the start leaves
        // nothing behind.
        let mut event = work.next()?;
        event = work.take_table(event)?;
        event = work.skip(event, self.skip_pairs)?;
        let pair = (&work.pair.key[..], &work.pair.value[..]);
        let pair = matches!(event, Next::Pair).then_some(pair);
        let tried = self.file.try_first(&work.table, &work.made_with(), pair);
        tried.map_err(|e| work.with_committed(work.with_place(e)))?;
        let db = self.file.open()?;
        work.input.leave_out_database(file);
        if self.sort {
            let sorted = work.load_sorted(&self.wait, &db, &self.sorting(), event);
            sorted.map_err(|e| work.with_committed(e))?;
        } else {
            work.load_batches(&self.wait, &db, event)?;
        }
        drop(work.progress);
        for note in work.input.notes() {
            say(note);
        }
        let report = self.report(&work.done, work.input.skipped(), start.elapsed());
        Status::Fine.done("all of this input is loaded and committed", report)
    }

    fn sorting(&self) -> LoadOptions {
        let mut options = LoadOptions::default();
        if let Some(bytes) = self.sort_memory {
            options = options.memory(bytes);
        }
        match &self.temp_dir {
            Some(directory) => options.temp_dir(directory),
            None => options,
        }
    }

    fn report(&self, done: &Done, skipped: u64, time: Duration) -> Outcome<()> {
        let mut out = Output::plain(self.json)?;
        let seconds = time.as_secs_f64();
        let rate = done.bytes as f64 / 1e6 / seconds.max(1e-9);
        if out.is_json() {
            out.object(&json!({
                "pairs": done.pairs,
                "already_there": done.already,
                "bytes": done.bytes,
                "seconds": seconds,
                "mb_per_second": rate,
                "commits": done.commits,
                "skipped": skipped,
                "runs": done.runs,
            }))?;
        } else {
            out.fields(&[
                (
                    "pairs",
                    format!("{} ({} already there)", grouped(done.pairs), grouped(done.already)),
                ),
                ("bytes", grouped(done.bytes)),
                ("seconds", format!("{seconds:.3}")),
                ("MB/s", format!("{rate:.1}")),
                ("commits", grouped(done.commits)),
            ])?;
            if done.runs > 0 {
                out.fields(&[("sorted", format!("{} runs", grouped(done.runs)))])?;
            }
            if skipped > 0 {
                out.fields(&[("skipped", format!("{} (no regular files)", grouped(skipped)))])?;
            }
        }
        out.finish()
    }
}

/// What has been done so far.
#[derive(Default)]
struct Done {
    pairs: u64,
    /// Of them those whose key, or in a table of sets which themselves, were there before.
    already: u64,
    bytes: u64,
    commits: u64,
    /// Runs in temporary files that it took to sort them.
    runs: u64,
    /// Pairs of the input that were left out at its start, as asked for.
    left_out: u64,
    /// Pairs in transactions that are committed.
    committed: u64,
}

struct Work<'a> {
    file: &'a Path,
    input: Input,
    pair: Pair,
    /// The table that pairs go to now, and what it is made with.
    table: String,
    options: TableOptions,
    /// The last number that it has given out at least.
    sequence: u64,
    /// Bytes of its first value, where the input says that all have as many, and not how many.
    size_of_first: Option<u16>,
    batch: u64,
    done: Done,
    progress: Progress,
    interrupt: Interrupt,
}

impl Work<'_> {
    /// A transaction for each batch.
    fn load_batches(&mut self, wait: &WaitArg, db: &Database, first: Next) -> Outcome<()> {
        let mut event = first;
        loop {
            let mut txn = self.begin(wait, db)?;
            let more = self.fill(&mut txn, event).map_err(|e| self.with_committed(e))?;
            self.commit(txn).map_err(|e| self.with_committed(e))?;
            if !more {
                return Ok(());
            }
            event = self.next()?;
            if matches!(event, Next::End) {
                return Ok(());
            }
            event = self.take_table(event)?;
        }
    }

    fn commit(&mut self, txn: WriteTxn) -> Outcome<()> {
        txn.commit().map_err(|e| Failure::engine(self.file, e))?;
        self.done.committed = self.done.pairs;
        self.done.commits += 1;
        self.set_last_words();
        Ok(())
    }

    /// All tables in one transaction, each when it has been read to its end.
    fn load_sorted(
        &mut self,
        wait: &WaitArg,
        db: &Database,
        options: &LoadOptions,
        first: Next,
    ) -> Outcome<()> {
        let (mut txn, mut event) = (None, first);
        loop {
            let kind = self.kind(db, txn.as_ref());
            let (kind, order) = kind.map_err(|e| self.with_place(Failure::engine(self.file, e)))?;
            let mut loader = db.loader(kind, &options.clone().order(order));
            while matches!(event, Next::Pair) {
                let pushed = loader.push(&self.pair.key, &self.pair.value);
                pushed.map_err(|e| self.put_failed(e))?;
                self.done.pairs += 1;
                self.done.bytes += self.pair.len();
                event = self.next()?;
            }
            let txn = match &mut txn {
                Some(txn) => txn,
                none => none.insert(self.begin(wait, db)?),
            };
            self.merge(txn, loader)?;
            if matches!(event, Next::End) {
                break;
            }
            event = self.take_table(event)?;
        }
        match txn {
            Some(txn) => self.commit(txn),
            None => Ok(()),
        }
    }

    /// What the table that pairs go to now is, or is to be.
    fn kind(&self, db: &Database, txn: Option<&WriteTxn>) -> recto::Result<(TableKind, Order)> {
        let there = match txn {
            Some(txn) => txn.table_options(&self.table)?,
            None => db.read()?.table_options(&self.table)?,
        };
        match there {
            None => {
                let made_with = self.made_with();
                Ok((made_with.kind, made_with.order))
            }
            Some(there) => {
                let is = (there.kind, there.order.clone());
                asked(&self.table, Some(there), &self.options).map(|_| is)
            }
        }
    }

    /// Puts what was read of a table.
    fn merge(&mut self, txn: &mut WriteTxn, loader: Loader) -> Outcome<()> {
        let fail = |e| Failure::engine(self.file, e);
        let table = self.open(txn).map_err(|e| self.with_place(fail(e)))?.id();
        // One bar at a time.
        self.progress = Progress::items("merge", 0);
        let (progress, interrupt) = (&mut self.progress, &self.interrupt);
        let merged = loader.finish_with(txn, table, |done| {
            progress.set(done.merged, done.of);
            if interrupt.is_set() { Err(Ended::Interrupted) } else { Ok(()) }
        });
        let loaded = merged.map_err(|ended| match ended {
            Ended::Interrupted => self.interrupted(),
            Ended::Engine(e) => fail(e),
        })?;
        self.done.already += loaded.pushed - loaded.new;
        self.done.runs += loaded.runs as u64;
        self.progress = Progress::bytes("read", self.input.total());
        self.progress.add(self.input.bytes_read());
        Ok(())
    }

    /// Puts the pair just read and those after it, until the batch is full; false when there are no
    /// more.
    fn fill(&mut self, txn: &mut WriteTxn, first: Next) -> Outcome<bool> {
        let mut left = self.batch;
        let mut event = first;
        loop {
            let opened = self.open(txn);
            let mut table = opened.map_err(|e| self.with_place(Failure::engine(self.file, e)))?;
            while matches!(event, Next::Pair) {
                self.put(&mut table)?;
                left -= 1;
                if left == 0 {
                    return Ok(true);
                }
                event = self.next()?;
            }
            if matches!(event, Next::End) {
                return Ok(false);
            }
            event = self.take_table(event)?;
        }
    }

    /// What the table is made with if there is none of its name.
    fn made_with(&self) -> TableOptions {
        let mut options = self.options.clone();
        if let Some(size) = self.size_of_first {
            options.kind = TableKind::Set { value_size: size };
        }
        options
    }

    fn open<'t>(&self, txn: &'t mut WriteTxn) -> recto::Result<PairsMut<'t>> {
        // One that is there has a size of its own.
        let is_new = txn.table_options(&self.table)?.is_none();
        let options = if is_new { self.made_with() } else { self.options.clone() };
        let mut table = PairsMut::open(txn, &self.table, &options)?;
        table.raise_sequence(self.sequence)?;
        Ok(table)
    }

    /// Changes to the table that `event` names, if it names one, and reads on.
    fn take_table(&mut self, event: Next) -> Outcome<Next> {
        match event {
            Next::Table(name) => {
                // Now: what is read next may be another table.
                self.options = self.input.options().clone();
                self.sequence = self.input.sequence();
                self.table = name;
                let of_one_size = self.input.is_of_one_size();
                let event = self.next()?;
                let size = u16::try_from(self.pair.value.len()).ok();
                self.size_of_first = size.filter(|_| of_one_size && matches!(event, Next::Pair));
                Ok(event)
            }
            other => Ok(other),
        }
    }

    /// Leaves out the first `count` pairs, whatever their tables; answers what comes behind them.
    fn skip(&mut self, mut event: Next, count: u64) -> Outcome<Next> {
        while self.done.left_out < count && !matches!(event, Next::End) {
            self.done.left_out += u64::from(matches!(event, Next::Pair));
            event = self.next()?;
            event = self.take_table(event)?;
        }
        Ok(event)
    }

    fn put(&mut self, table: &mut PairsMut<'_>) -> Outcome<()> {
        let put = table.put(&self.pair.key, &self.pair.value);
        let already = put.map_err(|e| self.put_failed(e))?;
        self.done.pairs += 1;
        self.done.already += u64::from(already);
        self.done.bytes += self.pair.len();
        Ok(())
    }

    /// Why the pair at hand was not taken.
    fn put_failed(&self, e: Error) -> Failure {
        let other_size = self.size_of_first.is_some_and(|size| {
            usize::from(size) != self.pair.value.len() && matches!(e, Error::InvalidArgument(_))
        });
        match (self.with_place(Failure::engine(self.file, e)), other_size) {
            (Failure::Said(m), true) => Failure::Said(format!("{m}; {OTHER_SIZE}")),
            (failure, _) => failure,
        }
    }

    /// The failure, and where in the input it is.
    fn with_place(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Said(m) => Failure::Said(format!("{}: {m}", self.input.place())),
            other => other,
        }
    }

    /// Begins a transaction, when no other writer is at work.
    fn begin(&self, wait: &WaitArg, db: &Database) -> Outcome<WriteTxn> {
        let waiting = self.interrupt.waiting().ok_or_else(|| self.interrupted())?;
        let txn = wait.begin(db, self.file).map_err(|e| self.with_committed(e));
        drop(waiting);
        txn
    }

    fn interrupted(&self) -> Failure {
        self.with_committed(Failure::said("interrupted"))
    }

    fn set_last_words(&self) {
        self.interrupt.set_last_words(self.interrupted());
    }

    fn next(&mut self) -> Outcome<Next> {
        if self.interrupt.is_set() {
            return Err(self.interrupted());
        }
        let before = self.input.bytes_read();
        let event = self.input.next(&mut self.pair).map_err(|e| self.with_committed(e))?;
        self.progress.add(self.input.bytes_read() - before);
        Ok(event)
    }

    /// The failure, and what is in the database all the same.
    fn with_committed(&self, failure: Failure) -> Failure {
        let (pairs, commits) = (self.done.committed, self.done.commits);
        let (message, least) = match failure {
            // Nothing is known of the commit that failed.
            Failure::Unknown(_) if pairs == 0 => return failure,
            Failure::Unknown(message) => (message, "at least "),
            Failure::Said(message) if !message.contains(LOADED) => (message, ""),
            other => return other,
        };
        let loaded = match pairs {
            0 => "nothing".to_string(),
            _ => format!("{least}{} pairs in {} commits", grouped(pairs), grouped(commits)),
        };
        let on = self.done.left_out + pairs;
        let on =
            if on > 0 { format!("; --skip-pairs {on} goes on from there") } else { String::new() };
        Failure::Said(format!("{message} ({loaded} {LOADED}{on})"))
    }
}

/// What ends a merge early.
enum Ended {
    Interrupted,
    Engine(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Ended {
        Ended::Engine(error)
    }
}

/// A number of bytes, with a unit or without.
fn bytes(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.char_indices().next_back() {
        Some((at, 'K' | 'k')) => (&text[..at], 1 << 10),
        Some((at, 'M' | 'm')) => (&text[..at], 1 << 20),
        Some((at, 'G' | 'g')) => (&text[..at], 1 << 30),
        _ => (text, 1usize),
    };
    let number: Option<usize> = digits.parse().ok();
    let bytes = number.and_then(|number| number.checked_mul(unit));
    bytes.ok_or_else(|| "a number of bytes, or of KiB, MiB or GiB with K, M or G behind it".into())
}

const OTHER_SIZE: &str = "the dump says that all have one size (dupfixed=1), and the first has \
    another; `kvtool create -t NAME --set` makes a table that takes any";
const LOADED: &str = "of this input loaded";
