//! What goes wrong in a life, and who is left then.

use super::{Change, Content, Life, PAGE, Trouble};
use recto::harness::make_durable;
use recto::harness::sim::{Action, Ending, EventKind, run};
use recto::{Database, Durability, Error, Sink, WriteTxn};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

impl Life {
    /// Who is left afterwards, perhaps with a transaction that was begun before.
    pub(super) fn inject(
        &mut self,
        trouble: Trouble,
        one: Database,
        other: Database,
    ) -> Result<(Option<Database>, Option<WriteTxn>), String> {
        let failed = |e: Error| e.to_string();
        match trouble {
            Trouble::Untold => {
                self.refuse();
                self.disk.evict();
                let (writes, idle) = if self.rng.bool() { (one, other) } else { (other, one) };
                self.idle.push(idle);
                Ok((Some(writes), None))
            }
            Trouble::StrangerTold => {
                self.refuse();
                self.disk.foreign_sync();
                let newcomer = self.enter()?;
                self.disk.evict();
                self.idle.push(one);
                let (writes, idle) =
                    if self.rng.bool() { (newcomer, other) } else { (other, newcomer) };
                self.idle.push(idle);
                Ok((Some(writes), None))
            }
            Trouble::ToldAndDies => {
                let begun = self.rng.bool().then(|| other.write()).transpose().map_err(failed)?;
                self.dies_at(&one, |kind| matches!(kind, EventKind::SyncBegin { .. }), true);
                self.disk.evict();
                Ok((Some(other), begun))
            }
            Trouble::DiesInFlush => {
                let step = self.rng.usize(..40);
                // Now and then nobody is left: what it has stored may be in the page cache alone.
                let left = (step < 32).then_some(other);
                let begun = left.as_ref().map(Database::write).transpose().map_err(failed)?;
                let count = Arc::new(AtomicUsize::new(0));
                self.dies_at(
                    &one,
                    move |kind| {
                        let is_step =
                            matches!(kind, EventKind::Step(step) if step.starts_with("flush"));
                        is_step && count.fetch_add(1, Ordering::Relaxed) == step % 8
                    },
                    false,
                );
                if left.is_none() {
                    drop(one);
                }
                Ok((left, begun))
            }
            Trouble::DiesInRepair => {
                drop(other);
                self.refuse();
                let _ = one.flush();
                self.disk.evict();
                let step = self.rng.usize(..12);
                let count = Arc::new(AtomicUsize::new(0));
                self.disk.set_hook(move |_, event| match event.kind {
                    EventKind::Step(_) if count.fetch_add(1, Ordering::Relaxed) == step => {
                        Action::Kill
                    }
                    _ => Action::Continue,
                });
                self.deaths +=
                    u64::from(matches!(run(|| one.write().map(drop).is_ok()), Ending::Killed(_)));
                self.disk.clear_hook();
                drop(one);
                Ok((None, None))
            }
            Trouble::OpenedBesideWriter => {
                one.flush().map_err(failed)?;
                self.may_hold = BTreeSet::from([self.content(&one)?]);
                let newcomer = self.opened_beside(&one)?;
                self.idle.extend([one, other]);
                Ok((Some(newcomer), None))
            }
            Trouble::ReadsOwn => {
                if self.rng.bool() {
                    one.flush().map_err(failed)?;
                    self.may_hold = BTreeSet::from([self.content(&one)?]);
                }
                self.reads_own(&one)?;
                self.idle.push(other);
                Ok((Some(one), None))
            }
            Trouble::Rots => {
                drop((one, other));
                // A close makes everything durable, and no opening takes that back.
                let db = self.enter()?;
                let last = db.info().map_err(failed)?.visible;
                drop(db);
                self.rots(last)?;
                Ok((None, None))
            }
            Trouble::BetweenLooks => {
                self.between_looks(&one, other)?;
                Ok((Some(one), None))
            }
        }
    }

    /// A transaction that reads nothing of its own, and whoever comes beside it.
    pub(super) fn opened_beside(&mut self, db: &Database) -> Result<Database, String> {
        self.commits += 1;
        let mut value = vec![9; self.rng.usize(2_500..20_000)];
        value[..4].copy_from_slice(&self.commits.to_le_bytes());
        let put = [Change::Put(1_002, self.commits)];
        let mut txn = db.write().map_err(|e| e.to_string())?;
        txn.set_durability(Durability::Deferred);
        let table = txn.open_table("main");
        table
            .and_then(|mut table| table.put(&1_002u32.to_be_bytes(), &value))
            .map_err(|e| format!("a put without trouble: {e}"))?;
        self.refuse();
        self.disk.foreign_sync();
        let newcomer = self.enter()?;
        let outcome = txn.commit();
        self.note(&put, Durability::Deferred, &outcome)?;
        if outcome.is_ok() && newcomer.flush().is_ok() {
            let has = |content: &Content| content.contains_key(&1_002);
            self.may_hold.retain(has);
        }
        self.disk.evict();
        Ok(newcomer)
    }

    /// One transaction with its trouble.
    pub(super) fn reads_own(&mut self, db: &Database) -> Result<(), String> {
        let durability = [Durability::Durable, Durability::Deferred][self.rng.usize(..2)];
        let early = self.rng.bool();
        let mut value = vec![9; self.rng.usize(2_500..20_000)];
        self.commits += 1;
        value[..4].copy_from_slice(&self.commits.to_le_bytes());
        let put = [Change::Put(1_001, self.commits)];
        let mut wrong = false;
        let mut work = || {
            let mut txn = db.write()?;
            txn.set_durability(durability);
            let (from, to) = (1_000u32.to_be_bytes(), 1_001u32.to_be_bytes());
            txn.open_table("main")?.put(&from, &value)?;
            if early {
                self.refuse();
                self.disk.evict();
            }
            let read = {
                let table = txn.table("main")?;
                let read = table.get(&from)?.unwrap_or_default();
                wrong = read != value;
                if !early {
                    self.refuse();
                    self.disk.evict();
                }
                read.to_vec()
            };
            let mut table = txn.open_table("main")?;
            table.delete(&from)?;
            table.put(&to, &read)?;
            txn.commit()
        };
        let outcome = work();
        // The pages of a direct sink have no checksum before the end; whoever has read such pages
        // cannot commit.
        if wrong && (self.sink == Sink::Staged || outcome.is_ok()) {
            return Err(format!(
                "{:?}, {durability:?}, early {early}: a transaction reads what it has not put, and ends with {outcome:?}",
                self.sink
            ));
        }
        self.note(&put, durability, &outcome)
    }

    /// What the first opening shows and tells all show and tell, until somebody writes: the last
    /// transaction, if no meta page has rotted.
    pub(super) fn rots(&mut self, last: u64) -> Result<(), String> {
        let bytes = self.disk.bytes();
        let page = match self.rng.u32(..3) {
            0 => self.rng.usize(..2),
            _ => self.rng.usize(2..bytes.len() / PAGE),
        };
        let at = (page * PAGE + self.rng.usize(..512)) as u64;
        let byte = bytes[at as usize] ^ 1 << self.rng.u32(..8);
        self.disk.damage(at, &[byte]).map_err(|e| e.to_string())?;
        self.refused = true;
        let mut first = None;
        for _ in 0..self.rng.u32(2..5) {
            let told = self.enter().and_then(|db| {
                let info = db.info().map_err(|e| e.to_string())?;
                Ok((info.visible, info.refused))
            });
            let is_last = matches!(told, Ok((visible, None)) if visible == last);
            if page >= 2 && !is_last {
                return Err(format!(
                    "page {page} rots, and in place of {last} an opening gives {told:?}"
                ));
            }
            match &first {
                None => first = Some(told),
                Some(first) if *first != told => {
                    return Err(format!("after {first:?} an opening gives {told:?}"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// A flush of `db`, at one event of which its process dies; its pages have been refused by
    /// then, or not.
    pub(super) fn dies_at(
        &mut self,
        db: &Database,
        at: impl Fn(&EventKind) -> bool + Send + Sync + 'static,
        refused: bool,
    ) {
        self.disk.set_hook(move |disk, event| {
            if !at(&event.kind) {
                return Action::Continue;
            }
            if refused {
                disk.write_back_all(true);
            }
            Action::Kill
        });
        let ending = run(|| db.flush());
        self.disk.clear_hook();
        self.deaths += u64::from(matches!(ending, Ending::Killed(_)));
        self.refused |= refused;
        self.lost |= !self.disk.lost_pages().is_empty();
    }

    /// Somebody builds and waits; when it has looked once the pages are refused and gone, and
    /// others repair and commit.
    pub(super) fn between_looks(&mut self, one: &Database, other: Database) -> Result<(), String> {
        let failed = |e: Error| e.to_string();
        let mut txn = one.write().map_err(failed)?;
        let put = self.put_new(&mut txn).map_err(failed)?;
        let built = recto::harness::build(txn, Durability::Durable).map_err(failed)?;
        let Some((id, _)) = built else { return Err("nothing was built".into()) };
        let news = self.commits + 1;
        self.commits += 1;
        let (done, result) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (to, ok) = (Arc::clone(&done), Arc::clone(&result));
        self.disk.set_hook(move |disk, event| {
            let here = matches!(event.kind, EventKind::Step("settled: durable seen"));
            if here && !to.swap(true, Ordering::Relaxed) {
                disk.write_back_all(true);
                disk.evict();
                for _ in 0..4 {
                    let work = || {
                        let mut txn = other.write()?;
                        let value = [&news.to_le_bytes()[..], &[7; 60]].concat();
                        txn.open_table("main")?.put(&500u32.to_be_bytes(), &value)?;
                        txn.commit()
                    };
                    if work().is_ok() {
                        ok.store(true, Ordering::Relaxed);
                        break;
                    }
                }
            }
            Action::Continue
        });
        let outcome = make_durable(one, id);
        self.disk.clear_hook();
        (self.refused, self.lost) = (true, true);
        let before = self.may_hold.clone();
        self.note(&put, Durability::Deferred, &Ok(()))?;
        if result.load(Ordering::Relaxed) {
            self.note(&[Change::Put(500, news)], Durability::Durable, &Ok(()))?;
        }
        if outcome.is_ok() {
            // Acknowledged: it is there, whatever else is.
            let has = |content: &Content| {
                let mut same = content.clone();
                put.iter().for_each(|change| change.apply(&mut same));
                same == *content
            };
            self.may_hold.retain(|content| has(content) && !before.contains(content));
        }
        Ok(())
    }
}
