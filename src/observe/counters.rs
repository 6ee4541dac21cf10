//! What is counted.

use super::Observer;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A field of [`Counters`] is a word of [`Totals`], and with the feature `metrics` a counter of the
/// name `recto_FIELD_total`.
macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What one handle has done since it was opened: it, its clones and their transactions, in
        /// this process. They only rise. Each was true at some moment of the call that gave them;
        /// two of them need not have been at the same one.
        ///
        /// ```
        /// # fn main() -> recto::Result<()> {
        /// let db = recto::Database::in_memory()?;
        /// let mut txn = db.write()?;
        /// txn.open_table("main")?.put(b"key", b"value")?;
        /// txn.commit()?;
        /// let counters = db.info()?.counters;
        /// assert_eq!((counters.durable_commits, counters.flushes), (1, 1));
        /// assert!(counters.pages_written >= 2); // a leaf of the table, one of the list of tables
        /// # Ok(()) }
        /// ```
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        /// The same as words that all threads of the handle add to, once a transaction or less
        /// often.
        #[derive(Default)]
        pub(super) struct Totals {
            $($name: AtomicU64,)+
        }

        impl Observer {
            /// What this handle has done so far.
            pub fn counters(&self) -> Counters {
                Counters { $($name: self.totals.$name.load(Relaxed),)+ }
            }

            pub(super) fn add(&self, more: Counters) {
                $(if more.$name > 0 {
                    self.totals.$name.fetch_add(more.$name, Relaxed);
                    #[cfg(feature = "metrics")]
                    metrics::counter!(
                        concat!("recto_", stringify!($name), "_total"),
                        "database" => std::sync::Arc::clone(&self.database)
                    )
                    .increment(more.$name);
                })+
            }
        }
    };
}

counters! {
    /// Write transactions that were built and whose commit asked for the device.
    durable_commits,
    /// Write transactions that were built and whose commit did not
    /// ([`Durability::Deferred`](crate::Durability::Deferred)).
    deferred_commits,
    /// Commits that had to be durable before they returned, and were made so by a flush that
    /// another thread or process led. The rest has led one itself.
    grouped_commits,
    /// Write transactions that were committed and had changed nothing.
    unchanged_commits,
    /// Write transactions that were dropped, or whose commit failed and never happened.
    aborts,
    /// Flushes that this handle has led and that have ended well: each makes durable all that is
    /// built. One `msync` each, or two for more than about 130 pages;
    /// [`Info::flushes`](crate::Info::flushes) counts these.
    flushes,
    /// Flushes that the device has refused.
    failed_flushes,
    /// Pages brought into the page cache, in committed transactions and in others; of overflow
    /// values too. One that was spilled and changed again counts twice.
    pages_written,
    /// Bytes of these. A flush writes one meta page beside them.
    bytes_written,
    /// Pages copied because a transaction changed what older snapshots see.
    pages_copied,
    /// Pages that were written before the end of their transaction, since
    /// [`Builder::stage_bytes`](crate::Builder::stage_bytes) was reached.
    pages_spilled,
    /// Pages taken that had been free.
    pages_reused,
    /// Pages taken behind all that were in use.
    pages_added,
    /// Bytes by which write transactions of this handle have made the file longer.
    bytes_grown,
    /// Bytes by which they have made it shorter.
    bytes_cut,
    /// Times that this handle has made durable what an opening had found, before its first write:
    /// 1 in the first handle of a session that writes, as a rule.
    ended_openings,
    /// Repairs that this handle has led: after a flush that failed, or a process that died in one.
    repairs,
    /// Repairs, or ends of openings, that have failed: the next writer tries again.
    failed_repairs,
    /// Repairs that took commits back which were not durable.
    roll_backs,
    /// Readers that were above the limit of
    /// [`Builder::on_slow_reader`](crate::Builder::on_slow_reader), each once for a snapshot.
    slow_readers,
}
