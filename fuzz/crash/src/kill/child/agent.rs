//! Does one thing after the other as it is told, and answers each with a line: the eyes and hands
//! of the campaign, which never opens a database itself and so survives whatever happens to those
//! who do.

use super::{Child, Seen, look, lost, say, show_all, take_over, told};
use crate::kill::acks::{self, LaneLog};
use crate::kill::content::{self, Row};
use fastrand::Rng;
use recto::{Database, Durability, Error, ReadTxn, WriteTxn};
use std::time::Duration;

/// Commits after which what the dead left of the reader table must be gone: a writer looks once in
/// 32.
const SETTLED: u64 = 40;

struct Agent<'a> {
    child: &'a Child,
    db: Database,
    rng: Rng,
    seen: Seen,
    held: Option<(ReadTxn, Vec<Row>)>,
    writing: Option<WriteTxn>,
    /// What the last writer of its lane left is known.
    taken_over: bool,
}

pub fn run(child: &Child) -> Result<(), String> {
    let db = match child.open() {
        Ok(db) => db,
        Err(e) => {
            // Whether this is as it should be is for the campaign to know.
            say(&format!("refused {e}"));
            return Ok(());
        }
    };
    let rng = Rng::with_seed(child.seed);
    let mut agent = Agent {
        child,
        db,
        rng,
        seen: Seen::default(),
        held: None,
        writing: None,
        taken_over: false,
    };
    say("open");
    for line in std::io::stdin().lines() {
        let line = line.map_err(|e| e.to_string())?;
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        if word == "end" {
            agent.held = None;
            agent.writing = None;
            break;
        }
        say(&agent.act(word, rest)?);
    }
    Ok(())
}

impl Agent<'_> {
    fn act(&mut self, word: &str, rest: &str) -> Result<String, String> {
        match word {
            "look" => self.look(),
            "write" => self.write(rest.parse().unwrap_or(1)),
            "try" => self.try_write(),
            "check" => self.check(),
            "settle" => self.settle(),
            "found" => self.found(),
            "hold" => self.hold(),
            "same" => self.same(),
            "release" => {
                self.held = None;
                Ok("ok".into())
            }
            "inside" => self.inside(),
            "outside" => {
                self.writing = None;
                Ok("ok".into())
            }
            "fork" => self.fork(),
            other => Err(format!("no such order: {other}")),
        }
    }

    /// Everything that was acknowledged is there, and nothing else.
    fn look(&mut self) -> Result<String, String> {
        let (txn, rows) = look(self.child, &self.db)?;
        self.seen.check(&txn, &rows)?;
        let sum: u64 = rows.iter().map(|row| row.seq).sum();
        Ok(format!("ok {} {sum}", txn.id()))
    }

    /// Transactions in the agent's own lane, the last of them durable: nobody keeps it from
    /// writing.
    fn write(&mut self, n: u64) -> Result<String, String> {
        let lane = *self.child.own.first().ok_or("no lane of its own")?;
        let logged = |e: std::io::Error| format!("the log: {e}");
        let mut log = LaneLog::open(&self.child.dir, lane).map_err(logged)?;
        if !self.taken_over {
            take_over(self.child, &self.db, &mut log, lane)?;
            self.taken_over = true;
        }
        for i in 1..=n {
            let seq = log.begin().map_err(logged)?;
            let mut txn = told(self.db.write(), "begin")?;
            let before = content::row_in(&mut txn, lane)?;
            let habit = self.child.habit();
            let row = content::change(&mut txn, lane, &before, seq, habit, &mut self.rng);
            let row = told(row, "change")?;
            let durable = i == n;
            let durability = if durable { Durability::Durable } else { Durability::Deferred };
            txn.set_durability(durability);
            told(txn.commit(), "commit")?;
            log.acked(row.txn, durable).map_err(logged)?;
        }
        self.look()
    }

    /// Whether the write transaction can be had, in a time that is bounded whoever stands in the
    /// way.
    fn try_write(&mut self) -> Result<String, String> {
        match self.db.write_timeout(Duration::from_millis(15)) {
            Ok(_) => Ok("free".into()),
            Err(Error::Busy { .. }) => Ok("busy".into()),
            Err(e) => Err(format!("begin with a timeout: {e}")),
        }
    }

    /// The full check of the newest transaction, with nobody building another.
    fn check(&mut self) -> Result<String, String> {
        for _ in 0..20 {
            told(self.db.flush(), "flush")?;
            let writing = told(self.db.write(), "begin")?;
            let report = match self.db.check(None) {
                // Somebody built in between, and has not flushed yet, or died before: the next
                // writer repairs.
                Err(Error::Busy { .. } | Error::WriterOnThisThread { .. }) => continue,
                other => told(other, "check")?,
            };
            drop(writing);
            if !report.is_clean() || report.pages.leaked != 0 {
                let faults: Vec<String> =
                    report.faults.iter().take(5).map(ToString::to_string).collect();
                return Err(format!("the check finds {} faults: {faults:?}", report.fault_count));
            }
            let info = told(self.db.info(), "info")?;
            return Ok(format!("ok {} {}", info.file_bytes, info.free_pages));
        }
        Ok("busy".into())
    }

    /// After a few dozen transactions nothing is left in the reader table of processes that are
    /// dead.
    fn settle(&mut self) -> Result<String, String> {
        let dead = |db: &Database| -> Result<Vec<recto::ReaderInfo>, String> {
            let readers = told(db.info(), "info")?.readers;
            Ok(readers.into_iter().filter(|r| !r.alive).collect())
        };
        let before = dead(&self.db)?;
        for i in 0..SETTLED {
            let mut txn = told(self.db.write(), "begin")?;
            txn.set_durability(Durability::Deferred);
            let mut table = told(txn.open_table("notes"), "open a table")?;
            told(table.put(b"settled", &i.to_le_bytes()), "put")?;
            told(txn.commit(), "commit")?;
        }
        let same = |a: &recto::ReaderInfo, b: &recto::ReaderInfo| {
            (a.slot, a.handle, a.txn, a.pending) == (b.slot, b.handle, b.txn, b.pending)
        };
        let was_there = |r: &recto::ReaderInfo| before.iter().any(|b| same(b, r));
        let left: Vec<_> = dead(&self.db)?.into_iter().filter(was_there).collect();
        if !left.is_empty() {
            return Err(format!("readers that are dead are still in the table: {left:?}"));
        }
        Ok(format!("ok {}", before.len()))
    }

    /// After the lock file was lost or a page was damaged while everybody was dead: what was
    /// durable is there. Deferred commits may be gone; the logs are set to what was found.
    fn found(&mut self) -> Result<String, String> {
        let Child { dir, lanes, .. } = self.child;
        let logged = |e: std::io::Error| format!("the logs: {e}");
        // The first writer repairs; what is left is durable then.
        show_all(&self.db)?;
        let floor = acks::durable_floor(dir, *lanes).map_err(logged)?;
        let txn = told(self.db.read(), "read")?;
        let rows = content::verify(&txn, *lanes)?;
        let mut gone = 0;
        for (lane, row) in (0..).zip(&rows) {
            let mut log = LaneLog::open(dir, lane).map_err(logged)?;
            let (least, known) = (floor[lane as usize], log.lane);
            let found = row.seq >= least && row.seq <= known.begun;
            if !found || (row.seq > known.acked && !known.allows(row.seq)) {
                return Err(format!("lane {lane}: {row:?}, durable was {least}, {known:?}"));
            }
            gone += known.acked.saturating_sub(row.seq);
            log.adopt(row.seq, row.txn).map_err(logged)?;
        }
        self.seen = Seen::default();
        self.seen.check(&txn, &rows)?;
        Ok(format!("ok {gone}"))
    }

    /// Keeps a snapshot.
    fn hold(&mut self) -> Result<String, String> {
        self.held = Some(look(self.child, &self.db)?);
        Ok("ok".into())
    }

    /// It is the same still.
    fn same(&mut self) -> Result<String, String> {
        let Some((txn, rows)) = &self.held else { return Ok("none".into()) };
        let now = content::verify(txn, self.child.lanes)?;
        if &now != rows {
            return Err(format!("snapshot {} was {rows:?} and is {now:?}", txn.id()));
        }
        Ok("ok".into())
    }

    /// Begins a write transaction, changes something, and stays inside.
    fn inside(&mut self) -> Result<String, String> {
        let mut txn = told(self.db.write(), "begin")?;
        let mut table = told(txn.open_table("notes"), "open a table")?;
        for i in 0..2_000u64 {
            told(table.put(&i.to_be_bytes(), b"never committed"), "put")?;
        }
        self.writing = Some(txn);
        Ok("ok".into())
    }

    /// Forks a child that keeps what it has inherited, and lives on after this process is dead.
    fn fork(&mut self) -> Result<String, String> {
        // SAFETY: this process has one thread. The child uses what it has, which is refused, and
        // sleeps.
        let pid = unsafe { libc::fork() };
        match pid {
            -1 => Err("fork failed".into()),
            0 => {
                let refused = self.refused_everything();
                // An answer of the child's own, before its parent's.
                match refused {
                    Ok(()) => say("child refused"),
                    Err(why) => lost(format!("in a forked child: {why}")),
                }
                // Until the campaign ends it; never for ever.
                std::thread::sleep(Duration::from_secs(60));
                // SAFETY: ends without destructors; nothing here is the child's.
                unsafe { libc::_exit(0) }
            }
            pid => Ok(format!("forked {pid}")),
        }
    }

    fn refused_everything(&mut self) -> Result<(), String> {
        fn forked<T>(result: recto::Result<T>, what: &str) -> Result<(), String> {
            match result {
                Err(Error::Forked { .. }) => Ok(()),
                Err(e) => Err(format!("{what}: {e}")),
                Ok(_) => Err(format!("{what}: works")),
            }
        }
        forked(self.db.read(), "read")?;
        forked(self.db.write(), "write")?;
        forked(self.db.flush(), "flush")?;
        forked(self.db.info(), "info")?;
        if let Some((txn, _)) = self.held.take() {
            forked(txn.table("lanes").map(drop), "an inherited read")?;
        }
        if let Some(txn) = self.writing.take() {
            forked(txn.commit(), "an inherited write")?;
        }
        Ok(())
    }
}
