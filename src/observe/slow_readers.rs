//! Readers that cost too much, and whom to tell.

use super::Reader;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// When a reader is slow ([`Builder::on_slow_reader`](crate::Builder::on_slow_reader)): above any
/// of the limits that are set. The default is none.
///
/// ```
/// use recto::ReaderLimit;
/// use std::time::Duration;
///
/// // 100,000 pages held back, or a newer snapshot there for a minute.
/// let limit = ReaderLimit::new().pages(100_000).outdated(Duration::from_secs(60));
/// # let _ = limit;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReaderLimit {
    pages: Option<u64>,
    outdated: Option<Duration>,
}

impl ReaderLimit {
    /// No limit.
    pub fn new() -> ReaderLimit {
        ReaderLimit::default()
    }

    /// It holds back more than so many pages ([`Reader::pages_held`]).
    pub fn pages(self, pages: u64) -> ReaderLimit {
        ReaderLimit { pages: Some(pages), ..self }
    }

    /// There has been a newer snapshot for this long or longer ([`Reader::outdated`]): to the
    /// second, and to about an eighth of the time.
    pub fn outdated(self, time: Duration) -> ReaderLimit {
        ReaderLimit { outdated: Some(time), ..self }
    }

    /// Whether somebody who reads anything can hold back so many pages, if so many are free.
    pub(crate) fn can_hold(&self, free_pages: u64) -> bool {
        self.pages.is_some_and(|pages| free_pages > pages)
    }

    /// Whether the reader is above the limit of age.
    pub(crate) fn is_outdated(&self, reader: &Reader) -> bool {
        self.outdated.is_some_and(|most| reader.outdated.is_some_and(|time| time >= most))
    }

    /// Whether the reader is above the limit of pages.
    pub(crate) fn holds_too_many(&self, reader: &Reader) -> bool {
        self.pages.is_some_and(|most| reader.pages_held.is_some_and(|pages| pages > most))
    }
}

/// Whom to tell, and of what.
#[derive(Clone)]
pub struct SlowReaders {
    pub limit: ReaderLimit,
    callback: Arc<dyn Fn(&Reader) + Send + Sync>,
}

impl SlowReaders {
    pub fn new(limit: ReaderLimit, callback: impl Fn(&Reader) + Send + Sync + 'static) -> Self {
        SlowReaders { limit, callback: Arc::new(callback) }
    }

    /// Runs the callback. What a panic in it would end is a commit that has happened: it ends here.
    pub fn tell(&self, reader: &Reader) {
        let told = AssertUnwindSafe(|| (self.callback)(reader));
        let _ = catch_unwind(told);
    }
}

impl fmt::Debug for SlowReaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlowReaders").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// When a handle has looked last, and which readers it has told of since: each once for a snapshot.
#[derive(Default)]
pub struct Told {
    looked: Option<u32>,
    /// Slots, or none, and snapshots.
    readers: Vec<(Option<u32>, u64)>,
}

impl Told {
    /// Whether it is time to look again, at `now` seconds: then it has looked.
    pub fn is_due(&mut self, now: u32) -> bool {
        let due = self.looked != Some(now);
        self.looked = Some(now);
        due
    }

    /// Forgets those who are not among `readers` any more.
    pub fn keep(&mut self, readers: &[Reader]) {
        self.readers.retain(|&told| readers.iter().any(|reader| key_of(reader) == told));
    }

    /// Whether this one has been told of.
    pub fn has(&self, reader: &Reader) -> bool {
        self.readers.contains(&key_of(reader))
    }

    /// It is told of now.
    pub fn note(&mut self, reader: &Reader) {
        self.readers.push(key_of(reader));
    }
}

fn key_of(reader: &Reader) -> (Option<u32>, u64) {
    (reader.slot.map(|slot| slot.slot), reader.txn)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn reader(txn: u64, outdated: u64, pages_held: u64) -> Reader {
        Reader {
            txn,
            slot: None,
            command: None,
            behind: 1,
            outdated: Some(Duration::from_secs(outdated)),
            pages_held: Some(pages_held),
        }
    }

    #[test]
    fn limits_are_kept_apart() {
        let (none, by_pages) = (ReaderLimit::new(), ReaderLimit::new().pages(5));
        let by_age = ReaderLimit::new().outdated(Duration::from_secs(60));
        let (young, old) = (reader(7, 59, 6), reader(7, 60, 5));
        assert!(
            !none.is_outdated(&old) && !none.holds_too_many(&young) && !none.can_hold(u64::MAX)
        );
        assert!(by_pages.holds_too_many(&young) && !by_pages.holds_too_many(&old));
        assert!(by_pages.can_hold(6) && !by_pages.can_hold(5) && !by_pages.is_outdated(&old));
        assert!(by_age.is_outdated(&old) && !by_age.is_outdated(&young));
        assert!(!by_age.holds_too_many(&young) && !by_age.can_hold(u64::MAX));
        assert!(!by_pages.holds_too_many(&Reader { pages_held: None, ..young.clone() }));
        assert!(!by_age.is_outdated(&Reader { outdated: None, ..old }));
    }

    #[test]
    fn each_is_told_of_once_for_a_snapshot() {
        let mut told = Told::default();
        assert!(told.is_due(100) && !told.is_due(100) && told.is_due(101));
        let (one, other) = (reader(7, 1, 1), reader(8, 1, 1));
        assert!(!told.has(&one));
        told.note(&one);
        assert!(told.has(&one) && !told.has(&other));
        told.keep(&[one.clone(), other.clone()]);
        assert!(told.has(&one));
        told.keep(&[other]);
        assert!(!told.has(&one), "it has ended, and may come again");
    }
}
