//! What a handle does, told to people and their instruments: counters, which [`Info`](crate::Info)
//! hands out, spans and events of the crate `tracing`, and the metrics of the crate `metrics`, each
//! of these two behind the feature of its name. Nothing is decided by what stands here.
//!
//! One call for each thing that happens, from where it happens. `docs/observing.md` has all names
//! and fields; `tests/observing.rs` compares them.
//!
//! Thread rules: everything from any thread. A subscriber or a recorder of the program runs on the
//! thread that works, mostly with the writer lock or the flush lock held: it must not use the
//! database. The callback for slow readers ([`slow_readers`]) runs without locks, and may.
#![forbid(unsafe_code)]

mod counters;
mod reader;
pub mod slow_readers;

pub use counters::Counters;
pub use reader::Reader;
pub use slow_readers::ReaderLimit;

use crate::types::TxnId;
use counters::Totals;
use parking_lot::Mutex;
use slow_readers::Told;
use std::path::Path;
#[cfg(any(feature = "tracing", feature = "metrics"))]
use std::sync::Arc;
#[cfg(feature = "metrics")]
use std::time::Instant;

/// What one handle tells of itself.
pub struct Observer {
    /// Path of the file, or `memory`.
    #[cfg(any(feature = "tracing", feature = "metrics"))]
    database: Arc<str>,
    totals: Totals,
    /// Slow readers that the callback was told of.
    pub(crate) told: Mutex<Told>,
}

/// How a write transaction has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum End {
    /// It was dropped, or its commit has failed before it was built.
    #[default]
    Aborted,
    /// It was committed, and had changed nothing.
    Unchanged,
    /// It was built.
    Built {
        /// Its commit did not ask for the device.
        deferred: bool,
        /// Free pages that it has left.
        free_pages: u64,
    },
}

/// What a write transaction has done to pages.
#[derive(Clone, Copy, Default, Debug)]
pub struct PageFigures {
    /// Brought into the page cache.
    pub written: u64,
    /// Of these, those that had to make room before the end of the transaction.
    pub spilled: u64,
    /// Copied to be changed.
    pub copied: u64,
    /// Taken from what was free.
    pub reused: u64,
    /// Taken behind the last page.
    pub added: u64,
    /// Pages below the high-water mark in the end.
    pub page_count: u64,
    /// Bytes of a page.
    pub page_size: u64,
    /// Bytes by which the file has grown.
    pub grown_bytes: u64,
    /// Bytes of the file in the end, as far as it is mapped.
    pub file_bytes: u64,
    /// Snapshots that were being read when the transaction began.
    pub snapshots_read: u64,
}

/// Work that takes a while. It has failed if it ends without [`Work::done`].
pub struct Work<'a> {
    observer: &'a Observer,
    kind: Kind,
    done: bool,
    #[cfg(feature = "tracing")]
    _span: tracing::span::EnteredSpan,
    #[cfg(feature = "metrics")]
    began: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Commit,
    Flush,
    Repair,
    /// A repair that ends an opening.
    Opening,
}

/// An event of `tracing`; nothing without the feature.
macro_rules! event {
    ($of:ident, $level:ident, $($rest:tt)+) => {{
        #[cfg(feature = "tracing")]
        tracing::event!(
            target: "recto", tracing::Level::$level, database = &*$of.database, $($rest)+
        );
    }};
}

/// Work, in a span of `tracing`.
macro_rules! work {
    ($of:ident, $kind:ident, $level:ident, $name:literal, $($fields:tt)*) => {
        Work {
            observer: $of,
            kind: Kind::$kind,
            done: false,
            #[cfg(feature = "tracing")]
            _span: tracing::span!(
                target: "recto", tracing::Level::$level, $name, database = &*$of.database,
                $($fields)*
            )
            .entered(),
            #[cfg(feature = "metrics")]
            began: Instant::now(),
        }
    };
}

// What nobody listens to is not looked at.
#[cfg_attr(not(all(feature = "tracing", feature = "metrics")), allow(unused_variables))]
impl Observer {
    /// Of a handle on this file; none in memory.
    pub fn new(path: Option<&Path>) -> Observer {
        Observer {
            #[cfg(any(feature = "tracing", feature = "metrics"))]
            database: path.map_or("memory".into(), |path| path.to_string_lossy().into()),
            totals: Totals::default(),
            told: Mutex::default(),
        }
    }

    /// The handle is open.
    pub fn opened(&self, page_size: usize, pages_read: u64, visible: TxnId) {
        event!(self, INFO, page_size, pages_read, txn = visible.0, "opened");
    }

    /// The handle is closed.
    pub fn closed(&self) {
        event!(self, DEBUG, "closed");
    }

    /// A commit begins: it is done when it returns without an error.
    pub fn commit(&self, txn: TxnId, deferred: bool) -> Work<'_> {
        work!(self, Commit, DEBUG, "commit", txn = txn.0, deferred)
    }

    /// The commit that this thread waits for was made durable by a flush that another one led.
    pub fn grouped(&self) {
        self.add(Counters { grouped_commits: 1, ..Counters::default() });
    }

    /// A write transaction has ended, and still has the writer lock.
    pub fn ended(&self, txn: TxnId, end: End, pages: &PageFigures) {
        let mut counters = Counters {
            pages_written: pages.written,
            bytes_written: pages.written * pages.page_size,
            pages_copied: pages.copied,
            pages_spilled: pages.spilled,
            pages_reused: pages.reused,
            pages_added: pages.added,
            bytes_grown: pages.grown_bytes,
            ..Counters::default()
        };
        match end {
            End::Aborted => counters.aborts = 1,
            End::Unchanged => counters.unchanged_commits = 1,
            End::Built { deferred: true, .. } => counters.deferred_commits = 1,
            End::Built { .. } => counters.durable_commits = 1,
        }
        self.add(counters);
        if pages.grown_bytes > 0 {
            let (bytes, file_bytes) = (pages.grown_bytes, pages.file_bytes);
            event!(self, DEBUG, bytes, file_bytes, "file grown");
        }
        match end {
            End::Aborted => event!(self, DEBUG, txn = txn.0, "transaction dropped"),
            End::Unchanged => {}
            End::Built { deferred, free_pages } => {
                event!(
                    self,
                    DEBUG,
                    txn = txn.0,
                    deferred,
                    pages_written = pages.written,
                    pages_copied = pages.copied,
                    pages_spilled = pages.spilled,
                    pages_reused = pages.reused,
                    pages_added = pages.added,
                    "transaction built"
                );
                self.gauge("recto_file_bytes", pages.file_bytes);
                self.gauge("recto_pages", pages.page_count);
                self.gauge("recto_free_pages", free_pages);
                self.gauge("recto_snapshots_read", pages.snapshots_read);
            }
        }
    }

    /// This thread leads a flush.
    pub fn flush(&self, txn: TxnId, two_phase: bool) -> Work<'_> {
        work!(self, Flush, DEBUG, "flush", txn = txn.0, two_phase)
    }

    /// This thread repairs, and ends an opening if one is to be ended.
    pub fn repair(&self, built: TxnId, durable: TxnId, opening: bool) -> Work<'_> {
        let (built, durable) = (built.0, durable.0);
        let mut work = work!(self, Repair, INFO, "repair", built, durable, opening);
        if opening {
            work.kind = Kind::Opening;
        }
        work
    }

    /// Everything above transaction `durable`, up to `built`, was rolled back.
    pub fn rolled_back(&self, built: TxnId, durable: TxnId) {
        self.add(Counters { roll_backs: 1, ..Counters::default() });
        event!(self, WARN, built = built.0, durable = durable.0, "commits rolled back");
    }

    /// The file was cut.
    pub fn cut(&self, from_bytes: u64, to_bytes: u64) {
        let bytes_cut = from_bytes.saturating_sub(to_bytes);
        self.add(Counters { bytes_cut, ..Counters::default() });
        event!(self, DEBUG, bytes = bytes_cut, file_bytes = to_bytes, "file cut");
        self.gauge("recto_file_bytes", to_bytes);
    }

    /// A reader is above the limit.
    pub fn slow_reader(&self, reader: &Reader) {
        self.add(Counters { slow_readers: 1, ..Counters::default() });
        event!(
            self,
            WARN,
            txn = reader.txn,
            pid = reader.slot.map(|slot| slot.pid),
            command = reader.command,
            behind = reader.behind,
            outdated_seconds = reader.outdated.map(|time| time.as_secs()),
            pages_held = reader.pages_held,
            "slow reader"
        );
    }

    fn gauge(&self, name: &'static str, value: u64) {
        #[cfg(feature = "metrics")]
        metrics::gauge!(name, "database" => Arc::clone(&self.database)).set(value as f64);
    }
}

impl Work<'_> {
    /// It has ended well.
    pub fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        let (observer, none) = (self.observer, Counters::default());
        observer.add(match (self.kind, self.done) {
            (Kind::Commit, _) => none,
            (Kind::Flush, true) => Counters { flushes: 1, ..none },
            (Kind::Flush, false) => Counters { failed_flushes: 1, ..none },
            (Kind::Repair, true) => Counters { repairs: 1, ..none },
            (Kind::Opening, true) => Counters { ended_openings: 1, ..none },
            (Kind::Repair | Kind::Opening, false) => Counters { failed_repairs: 1, ..none },
        });
        if !self.done {
            event!(observer, WARN, "failed");
        }
        #[cfg(feature = "metrics")]
        {
            let name = match self.kind {
                Kind::Commit => "recto_commit_seconds",
                Kind::Flush => "recto_flush_seconds",
                Kind::Repair | Kind::Opening => "recto_repair_seconds",
            };
            let outcome = if self.done { "ok" } else { "error" };
            let database = Arc::clone(&observer.database);
            metrics::histogram!(name, "database" => database, "outcome" => outcome)
                .record(self.began.elapsed());
        }
    }
}
