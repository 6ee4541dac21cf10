//! What becomes visible, as it does: to wait for by a thread or a task.

use super::db::Database;
use super::diff::TableChange;
use super::transaction::ReadTxn;
use super::watch::WaitingPlace;
use crate::error::{Error, Result};
use crate::types::TxnId;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

impl Database {
    /// Follows the commits of all processes from now on, as they become visible: one walk for a
    /// thread ([`Changes::wait`]) or a task ([`Changes::next_async`], [`Changes::poll_next`]).
    ///
    /// Holds back no page, unless it is asked to keep snapshots ([`Changes::with_snapshots`]).
    ///
    /// O(1). A read-only handle that may not write to the lock file looks 200 times a second while
    /// somebody waits; other handles sleep in the kernel.
    ///
    /// Errors: those of [`Database::wait_for_commit`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut changes = db.changes()?;
    /// let mut txn = db.write()?;
    /// txn.open_table("main")?.put(b"news", b"")?;
    /// txn.commit()?; // of any thread or process
    /// let commits = changes.wait(None)?.unwrap();
    /// assert!(commits.to() > commits.from());
    /// # Ok(()) }
    /// ```
    pub fn changes(&self) -> Result<Changes> {
        Ok(self.changes_since(self.wait_for_commit(0, Some(Duration::ZERO))?))
    }

    /// The same for what is newer than this transaction: where somebody has left off, be it before
    /// a restart. Ids only rise, and none that was shown is given to a second transaction, but for
    /// that of a commit whose process died before it was durable: whoever opens the database next
    /// may see it, and behind a power cut another one may have its id.
    ///
    /// What was seen may be lost since: a power cut takes back what was visible and not yet durable
    /// ([`Durability::Deferred`](crate::Durability::Deferred)), and where one process has the
    /// database alone ([`Builder::exclusive`](crate::Builder::exclusive)) so does its death. An id
    /// above those of all transactions that are committed is told of at once, as a step to what is
    /// visible: [`NewCommits::to`] is less than [`NewCommits::from`] then. Where others have
    /// committed since, their commits are told, and nothing says that they stand on an older state.
    /// So whoever keeps what it has derived from a transaction across a restart keeps it for one
    /// that was durable ([`Info::durable`](crate::Info::durable)).
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// # txn.open_table("main")?.put(b"key", b"value")?;
    /// # txn.commit()?;
    /// # let lost = db.info()?.visible + 1;
    /// let mut changes = db.changes_since(lost);
    /// let news = changes.wait(None)?.unwrap();
    /// if news.to() < news.from() {
    ///     println!("{} is gone, {} is what there is", news.from(), news.to());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn changes_since(&self, id: u64) -> Changes {
        Changes { db: self.clone(), seen: id, older: None, place: None }
    }
}

/// Commits as they become visible, of all processes: [`Database::changes`] gives it. Those that
/// come faster than they are asked for are told together. A roll-back after a failed write to the
/// device is told as well: it makes an older state visible, under a new id.
///
/// Tasks are woken by one thread of the handle, which starts with the first that waits, sleeps in
/// the kernel, and ends with the handle; any number of them share it. It keeps the handle open, as
/// a clone of it does.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// let db = recto::Database::in_memory()?;
/// let mut changes = db.changes()?;
/// let mut txn = db.write()?;
/// txn.open_table("main")?.put(b"news", b"")?;
/// txn.commit()?;
/// let commits = changes.wait(None)?.unwrap();
/// assert_eq!(commits.to(), db.read()?.id());
/// assert!(changes.wait(Some(std::time::Duration::ZERO))?.is_none());
/// # Ok(()) }
/// ```
pub struct Changes {
    db: Database,
    /// What was told last.
    seen: u64,
    /// That snapshot, where snapshots are kept.
    older: Option<Arc<ReadTxn>>,
    place: Option<WaitingPlace>,
}

impl Changes {
    /// From now on each [`NewCommits`] has the snapshots before and after it, and can say which
    /// tables have changed. It begins anew with what is visible now.
    ///
    /// What it has told last stays pinned until it tells more: pages that were changed since are
    /// not used again, and the file may grow by them. That is what one reader costs which stays
    /// where it is; so take what it tells without delay, and drop [`NewCommits`] when they have
    /// been dealt with.
    ///
    /// Errors: those of [`Database::read`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut changes = db.changes()?.with_snapshots()?;
    /// let mut txn = db.write()?;
    /// txn.open_table("stock")?.put(b"apple", b"5")?;
    /// txn.commit()?;
    ///
    /// let commits = changes.wait(None)?.unwrap();
    /// for table in commits.tables()? {
    ///     let name = table.new.or(table.old).unwrap().name;
    ///     let [old, new] = commits.snapshots().unwrap();
    ///     for change in new.diff(old, &name, ..)? {
    ///         let (key, change) = change?;
    ///         println!("{name}: {key} is {:?}", change.new());
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn with_snapshots(mut self) -> Result<Changes> {
        let now = self.db.read()?;
        self.seen = now.id();
        self.older = Some(Arc::new(now));
        Ok(self)
    }

    /// The transaction that was told last: what [`Database::changes_since`] goes on from.
    pub fn id(&self) -> u64 {
        self.seen
    }

    /// Waits until something newer is visible; None when the time is over. As
    /// [`Database::wait_for_commit`] does. With the time zero it does not wait; nor where what it
    /// has begun from is lost ([`Database::changes_since`]).
    ///
    /// Errors: those of [`Database::read`], where snapshots are kept. Nothing is lost by one: the
    /// next call tells the same, and more.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<NewCommits>> {
        // Nobody has what was seen any more: it was lost before the session that is now, whose ids
        // are greater.
        let is_lost = self.db.is_not_built(self.seen)?;
        let timeout = if is_lost { Some(Duration::ZERO) } else { timeout };
        let visible = self.db.wait_for_commit(self.seen, timeout)?;
        if visible > self.seen || is_lost { self.advance(visible).map(Some) } else { Ok(None) }
    }

    /// A future of what is told next. Errors as from [`Changes::wait`], and
    /// [`Error::Io`] if the thread that wakes tasks cannot be started.
    ///
    /// Nothing is lost when it is dropped before it is ready, as by a timeout of the runtime.
    ///
    /// ```
    /// async fn follow(db: recto::Database) -> recto::Result<()> {
    ///     let mut changes = db.changes()?;
    ///     loop {
    ///         let commits = changes.next_async().await?;
    ///         println!("{} is visible, behind {}", commits.to(), commits.from());
    ///     }
    /// }
    /// ```
    pub fn next_async(&mut self) -> NextCommits<'_> {
        NextCommits { changes: self }
    }

    /// What [`Changes::next_async`] does, without a future to keep: for streams of one's own
    /// (`futures::stream::poll_fn(|context| changes.poll_next(context).map(Some))`). Only the
    /// task that has polled last is woken.
    ///
    /// Errors as from [`Changes::next_async`]. It never blocks.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// use std::task::{Context, Poll, Waker};
    /// let mut changes = db.changes()?;
    /// let mut context = Context::from_waker(Waker::noop()); // a runtime's
    /// assert!(changes.poll_next(&mut context).is_pending());
    /// let mut txn = db.write()?;
    /// txn.open_table("main")?.put(b"news", b"")?;
    /// txn.commit()?;
    /// assert!(matches!(changes.poll_next(&mut context), Poll::Ready(Ok(_))));
    /// # Ok(()) }
    /// ```
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<NewCommits>> {
        let now = Some(Duration::ZERO);
        if let Some(told) = self.wait(now).transpose() {
            self.leave();
            return Poll::Ready(told);
        }
        match self.db.watch.wait(self.place, TxnId(self.seen), context.waker()) {
            Ok(place) => self.place = Some(place),
            Err(e) => return Poll::Ready(Err(e)),
        }
        // What has come before it was in the list.
        match self.wait(now).transpose() {
            None => Poll::Pending,
            Some(told) => {
                self.leave();
                Poll::Ready(told)
            }
        }
    }

    fn advance(&mut self, visible: u64) -> Result<NewCommits> {
        let from = self.seen;
        let snapshots = match &mut self.older {
            None => None,
            Some(older) => {
                let new = Arc::new(self.db.read()?);
                Some([std::mem::replace(older, Arc::clone(&new)), new])
            }
        };
        self.seen = snapshots.as_ref().map_or(visible, |[_, new]| new.id());
        Ok(NewCommits { from, to: self.seen, snapshots })
    }

    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            self.db.watch.leave(place);
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("id", &self.seen).finish_non_exhaustive()
    }
}

/// A future of what [`Changes`] tells next.
#[must_use = "a future does nothing unless it is polled"]
pub struct NextCommits<'c> {
    changes: &'c mut Changes,
}

impl Future for NextCommits<'_> {
    type Output = Result<NewCommits>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<NewCommits>> {
        self.changes.poll_next(context)
    }
}

impl Drop for NextCommits<'_> {
    fn drop(&mut self) {
        self.changes.leave();
    }
}

impl fmt::Debug for NextCommits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NextCommits").field(&self.changes).finish()
    }
}

/// One or more commits that have become visible.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let mut changes = db.changes()?.with_snapshots()?;
/// let mut txn = db.write()?;
/// txn.open_table("main")?.put(b"key", b"value")?;
/// txn.commit()?;
/// let new = changes.wait(None)?.unwrap();
/// assert!(new.from() < new.to());
/// assert_eq!(new.tables()?[0].new.as_ref().unwrap().name, "main");
/// let [old, now] = new.snapshots().unwrap();
/// assert!(old.table_opt("main")?.is_none() && now.table("main")?.contains_key(b"key")?);
/// # Ok(()) }
/// ```
///
/// Threads may share it.
#[derive(Debug)]
pub struct NewCommits {
    from: u64,
    to: u64,
    snapshots: Option<[Arc<ReadTxn>; 2]>,
}

impl NewCommits {
    /// What was told before. Greater than [`NewCommits::to`] if it is lost, which is told once
    /// ([`Database::changes_since`]).
    pub fn from(&self) -> u64 {
        self.from
    }

    /// What is visible now, or was when this was told.
    pub fn to(&self) -> u64 {
        self.to
    }

    /// The snapshots of these two; None if [`Changes::with_snapshots`] has not asked for them. They
    /// are pinned while this lives.
    pub fn snapshots(&self) -> Option<[&Arc<ReadTxn>; 2]> {
        self.snapshots.as_ref().map(|snapshots| snapshots.each_ref())
    }

    /// The tables that have changed, as [`ReadTxn::diff_tables`] tells them: in time of the pages
    /// of the list of tables that were written since, however much was changed in the tables.
    /// [`Error::InvalidArgument`] if [`Changes::with_snapshots`] has not asked for the snapshots:
    /// the older list of tables may have been overwritten.
    pub fn tables(&self) -> Result<Vec<TableChange>> {
        match &self.snapshots {
            Some([old, new]) => new.diff_tables(old),
            None => Err(Error::InvalidArgument("no snapshots are kept: `with_snapshots`".into())),
        }
    }
}
