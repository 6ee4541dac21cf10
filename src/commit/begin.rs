//! The begin of a write transaction (rules 1 to 5).

use super::deadline::end_of;
use super::draft::Draft;
use super::durability::Durability;
use super::engine::Engine;
use super::image::BuiltImage;
use super::locks::{FlushLock, WriterLock};
use super::named;
use crate::error::{Error, Result};
use crate::format::meta::Meta;
use crate::format::snapshot::NamedSnapshot;
use crate::pager::store::{PageStore, Proof};
use crate::pager::view::PageView;
use crate::pager::workspace::Workspace;
use crate::shared::words::WriterHeld;
use crate::space::allocator::{Allocator, Start};
use crate::space::pins::Pins;
use crate::tree::ListedSnapshot;
use crate::types::TxnId;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a write transaction stands on.
struct Base {
    image: BuiltImage,
    /// Length of the file.
    len: u64,
    listed: Vec<ListedSnapshot>,
}

/// Times that a base is repaired because a write-back failed while it was looked at.
const LOOKS: u32 = 4;

/// Rule 23, for what the base names as free: a transaction writes there, and what it has written it
/// cannot take back.
struct BaseProof(Arc<Engine>);

impl Proof for BaseProof {
    fn proved(&self) -> Result<()> {
        self.0.prove_base()
    }
}

impl Engine {
    /// Rules 1 to 3. Repairs first if a sync failed or a process died in the middle.
    pub fn begin_write(
        self: &Arc<Engine>,
        timeout: Option<Duration>,
        durability: Durability,
    ) -> Result<Draft> {
        self.check_writable()?;
        let end = end_of(timeout);
        let mut lock = WriterLock::take(Arc::clone(self), end)?;
        let Base { image, len, listed } = self.base_of_write(&lock, end)?;
        let base = &image.meta;
        let (pins, on_dead, settled) = self.collect_pins(base, &listed)?;
        self.shrink(base, len, &pins)?;
        let page_high = self.page_high(&lock, base, on_dead);
        let txn = self.next_id(base.txn)?;
        let durable = self.durable().txn;
        let base_is_durable = base.txn <= durable;
        let buffers = lock.cache().map(|c| std::mem::take(&mut c.buffers));
        let alloc = Allocator::new(Start {
            base,
            txn,
            pins,
            durable,
            page_high,
            dead_from: self.words().dead_ids().lowest(),
            limit: self.options.free_limit,
        })?;
        // Shrinking leaves what the base has; the map may be another one.
        let view = PageView::new(self.platform.storage().view(), self.page_size, base.page_count);
        let (platform, options) = (Arc::clone(&self.platform), self.options.pages);
        let buffers = buffers.unwrap_or_default();
        let checks = self.read_checks.are_on().then(|| Arc::clone(&self.read_checks));
        let mut store = PageStore::new(platform, options, txn, view, buffers, checks);
        store.set_eager(durability == Durability::Durable);
        if !base_is_durable {
            store.set_proof(Box::new(BaseProof(Arc::clone(self))));
        }
        store.make_room(alloc.page_count())?;
        let pages = Box::new(Workspace::new(store, alloc));
        Ok(Draft::new(lock, pages, image, base_is_durable, durability, settled))
    }

    /// W, once it is repaired, and the named snapshots that it lists. What it does not list is used
    /// again: so these are pages that the kernel has been asked about (rule 23).
    fn base_of_write(
        self: &Arc<Engine>,
        lock: &WriterLock<Arc<Engine>>,
        end: Option<Instant>,
    ) -> Result<Base> {
        for _ in 0..LOOKS {
            self.repair_if_marked(lock, end)?;
            let image = self.settled_base(lock, end)?;
            let (base, map) = (&image.meta, self.platform.storage().refresh()?);
            let view = PageView::new(map, self.page_size, base.page_count);
            if !view.is_covered() {
                return Err(view.too_short());
            }
            let durable = base.txn <= self.durable().txn;
            let listed = named::listed(base, &view, &*self.platform);
            if durable || base.system.root.is_none() || self.prove_base().is_ok() {
                return Ok(Base { listed: listed?, image, len: map.len as u64 });
            }
        }
        Err(Error::TransactionBroken { path: None })
    }

    /// W, with the writer lock held. Whoever builds what the list does not name keeps that lock
    /// until it is durable (rule 8): if it is not, its builder has died or could not go on, and it
    /// is flushed or taken back now. Nothing is ever built on it.
    fn settled_base(&self, writer: &impl WriterHeld, end: Option<Instant>) -> Result<BuiltImage> {
        let mut image = self.load_known_image()?;
        if image.unlisted > self.durable().txn {
            let flush = FlushLock::take(self, end)?;
            if image.unlisted > self.durable().txn {
                self.repair_or_lead(writer, &flush)?;
            }
            drop(flush);
            image = self.load_known_image()?;
        }
        if self.durable().txn == image.meta.txn {
            self.knows_all_above(image.meta.txn);
        }
        Ok(image)
    }

    /// Rule 2, B6: visible before the readers, the flush target before the durable snapshot. True
    /// if somebody reads a snapshot that was rolled back, or may be about to. Rule 36: of the named
    /// snapshots in `listed` those that were dropped and need not be waited for any more.
    fn collect_pins(
        &self,
        base: &Meta,
        listed: &[ListedSnapshot],
    ) -> Result<(Pins, bool, Vec<NamedSnapshot>)> {
        let mut scan = self.shared.scan()?;
        // The dead cost system calls to find: now and then, and when somebody stops all reuse.
        // Commits are counted for it: ids have gaps where transactions have savepoints.
        let (commits, base) = (base.commits, base.txn);
        let due = scan.pending || (!scan.readers.is_empty() && commits.is_multiple_of(32));
        if due && self.shared.clear_dead()? > 0 {
            scan = self.shared.scan()?;
        }
        let words = self.words();
        let seen = || self.platform.step("begin: flush target seen");
        let [flushing, durable, a, b] = words.protected(seen);
        let commits = [flushing, durable, a, b, base];
        let dead = words.dead_ids();
        let on_dead = scan.readers.iter().any(|&r| dead.have(r));
        let no_reuse = scan.pending || on_dead;
        // Who has not said yet what it reads may have chosen before the roll-back.
        let rolled_back = dead.lowest() != TxnId::NONE;
        let on_dead = on_dead || (scan.pending && rolled_back);
        let states = || commits.iter().chain(&scan.readers).copied();
        let (named, settled): (Vec<_>, Vec<_>) = listed
            .iter()
            .map(|listed| listed.snapshot)
            .partition(|s| no_reuse || named::is_protected(s, scan.visible, states()));
        let named: Vec<TxnId> = named.iter().map(|s| s.txn).collect();
        let pins = Pins::new(scan.visible, &commits, &scan.readers, no_reuse).with_named(&named);
        Ok((pins, on_dead, settled))
    }

    /// Rule 5: pages from here on have not been used by a snapshot that was rolled back and is
    /// still read.
    fn page_high(&self, lock: &impl WriterHeld, base: &Meta, on_dead: bool) -> u64 {
        let words = self.words();
        // All that can be rolled back now is still to be built, and raises the word.
        let settled = !on_dead && self.durable().txn == base.txn;
        if settled {
            words.set_page_high(lock, base.page_count);
        }
        if on_dead { words.page_high() } else { base.page_count }
    }
}
