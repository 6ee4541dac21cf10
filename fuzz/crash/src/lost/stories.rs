//! Stories with a script of their own, behind the life of every so many.

use super::{Change, Content, Life, PAGE};
use parking_lot::Mutex;
use recto::harness::sim::{Action, Ending, EventKind, PARTS, ProcessOptions, run};
use recto::harness::{is_log_page, log_heads, open};
use recto::{Database, Durability, Error};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

impl Life {
    /// More roll-backs in a row than the shared memory tells apart, by flushes that are refused;
    /// then a deferred commit, and the death of all. The device takes everything by then.
    pub(super) fn many_roll_backs(&mut self) -> Result<(), String> {
        self.begin_anew();
        let db = self.enter()?;
        for round in 0..self.rng.u32(6..14) {
            if round == 1 || self.rng.u32(..6) == 0 {
                self.must(&db, Durability::Durable)?;
            }
            // One that changes something: else nobody is told of the refusal before the end.
            let mut put = || {
                let mut txn = db.write()?;
                txn.set_durability(Durability::Deferred);
                self.put_new(&mut txn)?;
                txn.commit()
            };
            put().map_err(|e: Error| format!("a deferred commit: {e}"))?;
            self.refuse();
            let _ = db.flush();
            self.disk.evict();
            // The first may still be told; the next repairs.
            let repaired = (0..3).any(|_| db.write().is_ok());
            if !repaired {
                return Err("nobody repairs".into());
            }
            self.refused = false;
            self.may_hold = BTreeSet::from([self.content(&db)?]);
        }
        self.must(&db, Durability::Deferred)?;
        self.disk.restart_os_alive(true).map_err(|e| e.to_string())?;
        let next = self.enter()?;
        self.judge(&next, "after the death of all, no device having failed since,")?;
        next.flush().map_err(|e| format!("a flush of what is sound: {e}"))
    }

    /// Large values come and go, so that what is free stands in log pages. Then a transaction
    /// begins on deferred commits, and the device refuses one log page, in the place of which an
    /// older one was durable: that names pages which are in use. Whether the transaction ends or is
    /// dropped, nothing durable is touched.
    pub(super) fn log_refused(&mut self) -> Result<(), String> {
        self.begin_anew();
        self.builder = Database::builder();
        self.builder.sink(self.sink);
        self.builder.free_limit(self.rng.usize(75..90));
        let db = self.enter()?;
        for _ in 0..100 {
            self.churn(&db, Durability::Durable, 40)?;
        }
        for _ in 0..60 {
            self.churn(&db, Durability::Durable, 40)?;
            db.flush().map_err(|e| format!("a flush without trouble: {e}"))?;
            let durable = self.disk.bytes();
            let mut may_hold = self.may_hold.clone();
            let is_log = |page: u64| {
                let bytes = durable.get(page as usize * PAGE..).unwrap_or_default();
                is_log_page(bytes)
            };
            let mut log = None;
            for _ in 0..self.rng.u32(1..6) {
                let puts = self.rng.u32(1..40);
                self.churn(&db, Durability::Deferred, puts)?;
                may_hold.extend(self.may_hold.iter().cloned());
                log = log_heads(&db).into_iter().rfind(|&page| is_log(page));
                if log.is_some_and(|page| self.disk.is_dirty(page)) {
                    break;
                }
            }
            let mut txn = db.write().map_err(|e| e.to_string())?;
            if !log.is_some_and(|page| self.disk.refuse_page(page)) {
                continue;
            }
            (self.refused, self.lost) = (true, true);
            // Somebody may be told, and say so, before the page leaves the cache.
            if self.rng.bool() {
                let _ = db.flush();
            }
            self.disk.write_back_all(false);
            self.disk.evict();
            self.may_hold = may_hold;
            let mut put = Vec::new();
            let puts = self.rng.u32(1..200);
            let outcome = self.put_large(&mut txn, puts).and_then(|all| {
                put = all;
                if self.rng.bool() {
                    Err(Error::TransactionBroken { path: None })
                } else {
                    txn.commit()
                }
            });
            self.note(&put, Durability::Durable, &outcome)?;
            if !(0..3).any(|_| db.write().is_ok()) {
                return Err("nobody repairs".into());
            }
            // What was deferred may be gone, which it says once.
            let _ = db.flush();
            self.judge(&db, "after the refusal it holds")?;
            (self.refused, self.may_hold) = (false, BTreeSet::from([self.content(&db)?]));
        }
        Ok(())
    }

    /// Two handles commit, flush, begin and repair in any order, and the device refuses pages now
    /// and then. A flush that is fine says that every deferred commit of its handle is there, and
    /// was since the last flush that said that some may not be; such a one has a reason.
    pub(super) fn flush_answers(&mut self) -> Result<(), String> {
        self.begin_anew();
        let dbs = [self.enter()?, self.enter()?];
        // What each handle has acknowledged last, under a key that nobody else puts.
        let (mut owed, mut refused) = ([0; 2], false);
        for n in 1..self.rng.u32(10..40) {
            let one = self.rng.usize(..2);
            let (db, key) = (&dbs[one], one as u32);
            let commit = |key: u32, durability| {
                let mut txn = db.write()?;
                txn.set_durability(durability);
                txn.open_table("main")?.put(&key.to_be_bytes(), &n.to_le_bytes())?;
                txn.commit()
            };
            match self.rng.u32(..10) {
                0..3 => {
                    if commit(key, Durability::Deferred).is_ok() {
                        owed[one] = n;
                    }
                }
                3..5 => drop(commit(100 + n % 7, Durability::Durable)),
                5 => drop(db.write()),
                6 => {
                    self.disk.write_back_all(true);
                    refused = true;
                    if self.rng.bool() {
                        self.disk.foreign_sync();
                    }
                    self.disk.evict();
                }
                _ => match db.flush() {
                    Ok(()) if self.value_of(db, key)? < owed[one] => {
                        let there = self.value_of(db, key)?;
                        let owed = owed[one];
                        return Err(format!("{owed} was acknowledged, {there} is there"));
                    }
                    Ok(()) => {}
                    Err(Error::OutcomeUnknown { .. }) if refused => owed[one] = 0,
                    Err(Error::Io { .. } | Error::Corrupt { .. }) if refused => {}
                    Err(e) => return Err(format!("an error that has no cause: {e}")),
                },
            }
        }
        // It is said once: behind a commit that is durable the second flush is fine.
        for db in &dbs {
            let mut durable = || {
                let mut txn = db.write()?;
                self.put_new(&mut txn)?;
                txn.commit()
            };
            let done = (0..8).any(|_| durable().is_ok());
            let _ = db.flush();
            if !done || db.flush().is_err() {
                return Err("there is no end of errors".into());
            }
        }
        match dbs[0].check(None).map_err(|e| e.to_string())?.fault_count {
            0 => Ok(()),
            n => Err(format!("{n} faults")),
        }
    }

    /// A transaction on deferred commits has put values on pages of their own, and not read them,
    /// when the device refuses everything and it is told, or somebody else. It repairs its base
    /// before it is built; the sync that failed took its own pages along.
    pub(super) fn own_refused(&mut self) -> Result<(), String> {
        self.begin_anew();
        let (db, other) = (self.enter()?, self.enter()?);
        self.must(&db, Durability::Durable)?;
        let durable = self.may_hold.clone();
        for _ in 0..self.rng.u32(..4) {
            self.must(&db, Durability::Deferred)?;
        }
        self.may_hold.extend(durable);
        let durability = [Durability::Durable, Durability::Deferred][self.rng.usize(..2)];
        let mut txn = db.write().map_err(|e| e.to_string())?;
        txn.set_durability(durability);
        let mut put = Vec::new();
        let (puts, told) = (self.rng.u32(1..20), self.rng.bool());
        let outcome = self.put_large(&mut txn, puts).and_then(|all| {
            put = all;
            self.refuse();
            let _ = if told { db.flush() } else { other.flush() };
            txn.commit()
        });
        self.note(&put, durability, &outcome)?;
        self.disk.evict();
        self.go_on((Some(db), None))
    }

    /// Pages that were refused stay in the cache until a repair has verified some of them, and
    /// leave it just then (rule 20).
    pub(super) fn leave_while_repaired(&mut self) -> Result<(), String> {
        self.begin_anew();
        let db = self.enter()?;
        self.must(&db, Durability::Durable)?;
        let durable = self.may_hold.clone();
        for _ in 0..self.rng.u32(1..5) {
            self.must(&db, Durability::Deferred)?;
        }
        self.may_hold.extend(durable);
        self.refuse();
        let (seen, wanted) = (AtomicUsize::new(0), self.rng.usize(..8));
        self.disk.set_hook(move |disk, event| {
            let verified = event.kind == EventKind::Step("repair: page verified");
            if verified && seen.fetch_add(1, Ordering::Relaxed) == wanted {
                disk.evict();
            }
            Action::Continue
        });
        // Its own sync tells it, and the commits behind that repair.
        let _ = db.flush();
        let outcome = self.go_on((Some(db), None));
        self.disk.clear_hook();
        outcome
    }

    /// A large durable commit has stored its meta, with all it needs on the device, when somebody
    /// builds on it and the device refuses that: both are rolled back. Once that was seen, the meta
    /// is not to be found again (rule 22).
    pub(super) fn erased(&mut self) -> Result<(), String> {
        self.begin_anew();
        self.builder = Database::builder();
        self.builder.manifest_limit(1);
        let (db, other) = (self.enter()?, self.enter()?);
        for _ in 0..self.rng.u32(1..4) {
            self.must(&db, Durability::Durable)?;
        }
        let durable = self.may_hold.clone();
        self.commits += 1;
        let (mark, news) = (self.commits, self.commits + 1);
        self.commits += 1;
        let syncs = AtomicUsize::new(0);
        self.disk.set_hook(move |disk, event| {
            let begins = matches!(event.kind, EventKind::SyncBegin { .. });
            if begins && syncs.fetch_add(1, Ordering::Relaxed) == 1 {
                disk.write_back_all(false);
                let build = || {
                    let mut txn = other.write()?;
                    txn.set_durability(Durability::Deferred);
                    txn.open_table("main")?.put(&1_004u32.to_be_bytes(), &news.to_le_bytes())?;
                    txn.commit()
                };
                let _ = build();
                disk.write_back_all(true);
                disk.evict();
            }
            Action::Continue
        });
        let large = || {
            let mut txn = db.write()?;
            let mut table = txn.open_table("main")?;
            table.put(&1_003u32.to_be_bytes(), &mark.to_le_bytes())?;
            for key in 2_000..2_040u32 {
                table.put(&key.to_be_bytes(), &[mark.to_le_bytes(); 50].concat())?;
            }
            txn.commit()
        };
        let outcome: Result<(), Error> = large();
        self.disk.clear_hook();
        if outcome.is_ok() {
            return Ok(());
        }
        // Whoever builds next repairs first.
        self.commits += 1;
        let number = self.commits;
        let again = || {
            let mut txn = db.write()?;
            txn.set_durability(Durability::Deferred);
            txn.open_table("main")?.put(&1_005u32.to_be_bytes(), &number.to_le_bytes())?;
            txn.commit()
        };
        let built: Result<(), Error> = again();
        let seen = self.content(&db)?;
        if built.is_err() || seen.contains_key(&1_003) {
            return Ok(());
        }
        self.may_hold = durable;
        self.may_hold.insert(seen);
        let cut = self.disk.cut_point().boot(self.rng.u64(..)).map_err(|e| e.to_string())?;
        let process = cut.process(ProcessOptions::default());
        let db = open(process, &Database::builder()).map_err(|e| format!("after a cut: {e}"))?;
        self.judge(&db, "what was seen to be rolled back is there after a power cut:")
    }

    /// A deferred commit of one handle is durable between two roll-backs: it belongs to neither,
    /// and a flush of that handle has nothing to tell.
    pub(super) fn between_roll_backs(&mut self) -> Result<(), String> {
        self.begin_anew();
        let (one, other) = (self.enter()?, self.enter()?);
        self.must(&other, Durability::Durable)?;
        for last in [false, true] {
            self.commit(&other, Durability::Deferred)?;
            self.refuse();
            self.disk.evict();
            let _ = other.flush();
            let mut tries = 0;
            while !self.commit(&other, Durability::Durable)? {
                tries += 1;
                if tries == 6 {
                    return Err("no commit succeeds any more".into());
                }
            }
            if !last {
                // It is told of what was refused, and repairs for itself first.
                let mut built = false;
                for _ in 0..4 {
                    built = built || self.commit(&one, Durability::Deferred)?;
                }
                if !built || !self.commit(&other, Durability::Durable)? {
                    return Err("no commit succeeds behind a repair".into());
                }
            }
        }
        one.flush().map_err(|e| format!("a flush of a handle that has lost nothing: {e}"))
    }

    /// A large transaction has spilled pages, which are refused and leave the cache: what it reads
    /// is what it has put, or an error (T4).
    pub(super) fn spilled(&mut self) -> Result<(), String> {
        self.begin_anew();
        self.builder = Database::builder();
        self.builder.stage_bytes(16 * PAGE);
        let db = self.enter()?;
        self.must(&db, Durability::Durable)?;
        let mut txn = db.write().map_err(|e| e.to_string())?;
        let table = txn.open("main").map_err(|e| e.to_string())?;
        let keys = self.rng.u32(100..900);
        let value = |key: u32| [key.to_le_bytes(); 40].concat();
        for key in 3_000..3_000 + keys {
            txn.put(table, &key.to_be_bytes(), &value(key)).map_err(|e| format!("a put: {e}"))?;
        }
        self.refuse();
        self.disk.evict();
        for key in 3_000..3_000 + keys {
            match txn.get(table, &key.to_be_bytes()) {
                Ok(found) if found == Some(&value(key)[..]) => {}
                Ok(found) => return Err(format!("{key} is read as {found:?}")),
                Err(_) => break,
            }
        }
        drop(txn);
        self.go_on((Some(db), None))
    }

    /// A flush fails while its meta is stored, and everybody dies: who comes finds it in the page
    /// cache, and its pages leave that before anybody writes (rule 26).
    pub(super) fn chosen_and_gone(&mut self) -> Result<(), String> {
        self.begin_anew();
        let db = self.enter()?;
        for _ in 0..self.rng.u32(1..5) {
            self.must(&db, Durability::Durable)?;
        }
        let direct = self.rng.bool();
        self.disk.set_hook(move |disk, event| {
            let here = match direct {
                true => event.kind == EventKind::Step("flush: meta stored"),
                false => event.kind == EventKind::Step("flush: synced"),
            };
            if !here {
                return Action::Continue;
            }
            disk.write_back_all(true);
            Action::Kill
        });
        let mut put = Vec::new();
        let ending = run(|| {
            let mut txn = db.write()?;
            put = self.fill(&mut txn, 3)?;
            txn.commit()
        });
        self.disk.clear_hook();
        if !matches!(ending, Ending::Killed(_)) {
            return Ok(());
        }
        let unknown = Err(Error::OutcomeUnknown { path: None, detail: String::new() });
        self.note(&put, Durability::Durable, &unknown)?;
        let newcomer = self.enter()?;
        self.judge(&newcomer, "who comes finds")?;
        self.refused = true;
        self.disk.evict();
        self.go_on((Some(newcomer), None))
    }

    /// The device goes away and comes back within one boot, and of the lock file any page is as it
    /// was at some earlier time: beside commits that follow each other, overtake each other's
    /// flushes, and die while they are built (rules 28, 30 and 32).
    pub(super) fn remounted(&mut self) -> Result<(), String> {
        self.begin_anew();
        self.disk.remember_lock_file(1);
        let (mut db, other) = (self.enter()?, self.enter()?);
        // All that was built since the last durable commit that was acknowledged, and that.
        let mut built = self.may_hold.clone();
        let rounds = self.rng.u32(3..12);
        for round in 1..=rounds {
            if round == rounds && self.rng.bool() {
                // The images of the lock file are those of the last one.
                self.disk.remember_lock_file(1);
            }
            match self.rng.u32(..6) {
                0 => {
                    self.dies_while_building(&db)?;
                    db = self.enter()?;
                    self.judge(&db, "behind a death there is")?;
                }
                1 | 2 => built = self.overtaken(&db, &other)?,
                3 => {
                    self.must(&db, Durability::Durable)?;
                    built.clear();
                }
                _ => self.must(&other, Durability::Deferred)?,
            }
            built.extend(self.may_hold.iter().cloned());
        }
        let cut = self.disk.cut_point_with_lock_file();
        drop((db, other));
        for _ in 0..4 {
            let seed = PARTS | self.rng.u64(..) >> 8;
            self.disk = cut.remount(seed).map_err(|e| e.to_string())?;
            self.may_hold = built.clone();
            let db = self.enter()?;
            self.judge(&db, "behind a remount there is")?;
            if self.rng.u32(..3) == 0 {
                self.refused_while_repaired(db)?;
                continue;
            }
            // What was built and not shown may come with the next commit.
            for durability in [Durability::Deferred, Durability::Durable] {
                self.must(&db, durability)?;
                self.judge(&db, "behind a commit on that there is")?;
            }
            let cut = self.disk.cut_point().boot(self.rng.u64(..)).map_err(|e| e.to_string())?;
            let process = cut.process(ProcessOptions::default());
            let db =
                open(process, &Database::builder()).map_err(|e| format!("after a cut: {e}"))?;
            self.judge(&db, "after a remount and a cut there is")?;
        }
        Ok(())
    }

    /// Who came repairs; at one of the syncs for that the device refuses everything, which leaves
    /// the page cache.
    fn refused_while_repaired(&mut self, db: Database) -> Result<(), String> {
        let (syncs, wanted) = (AtomicUsize::new(0), self.rng.usize(..5));
        self.disk.set_hook(move |disk, event| {
            let begins = matches!(event.kind, EventKind::SyncBegin { .. });
            if begins && syncs.fetch_add(1, Ordering::Relaxed) == wanted {
                disk.write_back_all(true);
                disk.evict();
            }
            Action::Continue
        });
        self.refused = true;
        let outcome = self.go_on((Some(db), None));
        self.disk.clear_hook();
        self.refused = false;
        outcome
    }

    /// A commit whose process dies at one of its steps.
    fn dies_while_building(&mut self, db: &Database) -> Result<(), String> {
        let steps = [
            "build: pages in place",
            "build: image stored",
            "build: built moved",
            "build: visible",
        ];
        let step = steps[self.rng.usize(..steps.len())];
        self.disk.set_hook(move |_, event| match event.kind == EventKind::Step(step) {
            true => Action::Kill,
            false => Action::Continue,
        });
        let mut put = Vec::new();
        let ending = run(|| {
            let mut txn = db.write()?;
            txn.set_durability(Durability::Deferred);
            put = self.fill(&mut txn, 3)?;
            txn.commit()
        });
        self.disk.clear_hook();
        match ending {
            Ending::Killed(_) => {
                let unknown = Err(Error::OutcomeUnknown { path: None, detail: String::new() });
                self.note(&put, Durability::Deferred, &unknown)
            }
            Ending::Done(outcome) => self.note(&put, Durability::Deferred, &outcome),
            Ending::PowerLost => Err("the power is on".into()),
        }
    }

    /// A durable commit, beside whose flush somebody builds another one; what is acknowledged as
    /// durable then.
    fn overtaken(&mut self, db: &Database, other: &Database) -> Result<BTreeSet<Content>, String> {
        let news = self.commits + 2;
        let (told, beside) = (Arc::new(Mutex::new(None)), other.clone());
        let to = Arc::clone(&told);
        let begun = AtomicBool::new(false);
        self.disk.set_hook(move |_, event| {
            let here = event.kind == EventKind::Step("flush: target marked");
            if here && !begun.swap(true, Ordering::Relaxed) {
                let build = || {
                    let mut txn = beside.write()?;
                    txn.set_durability(Durability::Deferred);
                    txn.open_table("main")?.put(&1_006u32.to_be_bytes(), &news.to_le_bytes())?;
                    txn.commit()
                };
                *to.lock() = Some(build());
            }
            Action::Continue
        });
        let outcome = self.must(db, Durability::Durable);
        self.disk.clear_hook();
        outcome?;
        self.commits = self.commits.max(news);
        let acknowledged = self.may_hold.clone();
        let told = told.lock().take();
        if let Some(outcome) = told {
            self.note(&[Change::Put(1_006, news)], Durability::Deferred, &outcome)?;
        }
        Ok(acknowledged)
    }
}
