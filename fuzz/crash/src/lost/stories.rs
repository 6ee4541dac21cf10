//! Stories with a script of their own, behind the life of every so many.

use super::{Life, PAGE};
use recto::harness::{is_log_page, log_heads};
use recto::{Database, Durability, Error};
use std::collections::BTreeSet;

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
                if self.rng.bool() { Err(Error::TransactionBroken) } else { txn.commit() }
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
}
