//! The acknowledgement log: what each writer was told, kept outside the database.
//!
//! A *lane* is a thread that writes, with keys of its own and numbered transactions. Its log is a
//! file to which a whole record is appended before a transaction is begun and again when its
//! outcome is known, so the last record says it all:
//!
//! - `begun`: number of the newest transaction begun. Numbers are never used twice, whatever became
//!   of them.
//! - `acked`, `acked_txn`: number and id of the newest one known to be in the database.
//! - `durable_txn`: the newest id this lane knows to be durable, and with it every transaction
//!   before.
//! - `open`: what became of `begun` is not known. It is so when the writer was killed in between.
//!
//! A kill takes nothing from the page cache, so a log needs no sync. Thread rules: one appender for
//! each log; anybody may read.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const WORDS: usize = 5;
const RECORD: u64 = 8 * WORDS as u64;

/// What is known of a lane.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Lane {
    /// Newest transaction begun.
    pub begun: u64,
    /// Newest transaction known to be there.
    pub acked: u64,
    /// Its id.
    pub acked_txn: u64,
    /// Newest id known to be durable.
    pub durable_txn: u64,
    /// The outcome of `begun` is not known.
    pub open: bool,
}

impl Lane {
    fn words(&self) -> [u64; WORDS] {
        [self.begun, self.acked, self.acked_txn, self.durable_txn, self.open.into()]
    }

    fn from_words(w: [u64; WORDS]) -> Lane {
        Lane { begun: w[0], acked: w[1], acked_txn: w[2], durable_txn: w[3], open: w[4] != 0 }
    }

    /// Whether the database may have the lane at `seq` while nobody writes it: acknowledged, or
    /// begun and cut off. Anything else is lost, half done or risen from the dead.
    pub fn allows(&self, seq: u64) -> bool {
        seq == self.acked || (self.open && seq == self.begun)
    }
}

/// The log of one lane, to be appended to.
pub struct LaneLog {
    file: File,
    /// What the last record says.
    pub lane: Lane,
}

impl LaneLog {
    /// Opens or makes it.
    pub fn open(dir: &Path, lane: u64) -> io::Result<LaneLog> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path(dir, lane))?;
        let lane = last(&file)?;
        Ok(LaneLog { file, lane })
    }

    fn append(&mut self, lane: Lane) -> io::Result<()> {
        let bytes: Vec<u8> = lane.words().iter().flat_map(|w| w.to_le_bytes()).collect();
        // One write of a few bytes at the end of a file is there or is not when its process is
        // killed.
        let n = io::Write::write(&mut self.file, &bytes)?;
        assert_eq!(n as u64, RECORD, "the log took a part of a record");
        self.lane = lane;
        Ok(())
    }

    /// A transaction is about to begin; returns its number.
    pub fn begin(&mut self) -> io::Result<u64> {
        let begun = self.lane.begun + 1;
        self.append(Lane { begun, open: true, ..self.lane })?;
        Ok(begun)
    }

    /// It was acknowledged.
    pub fn acked(&mut self, txn: u64, durable: bool) -> io::Result<()> {
        let durable_txn = if durable { txn } else { self.lane.durable_txn };
        let acked = self.lane.begun;
        self.append(Lane { acked, acked_txn: txn, durable_txn, open: false, ..self.lane })
    }

    /// It was given up, or is known not to be there.
    pub fn given_up(&mut self) -> io::Result<()> {
        self.append(Lane { open: false, ..self.lane })
    }

    /// Everything acknowledged so far was made durable.
    pub fn flushed(&mut self) -> io::Result<()> {
        let durable_txn = self.lane.durable_txn.max(self.lane.acked_txn);
        self.append(Lane { durable_txn, ..self.lane })
    }

    /// What was found in the database, durable there, after the lane's last writer was killed.
    pub fn adopt(&mut self, seq: u64, txn: u64) -> io::Result<()> {
        let begun = self.lane.begun;
        self.append(Lane { begun, acked: seq, acked_txn: txn, durable_txn: txn, open: false })
    }
}

fn path(dir: &Path, lane: u64) -> PathBuf {
    dir.join(format!("acks-{lane}"))
}

fn record(file: &File, index: u64) -> io::Result<Lane> {
    let mut bytes = [0; RECORD as usize];
    file.read_exact_at(&mut bytes, index * RECORD)?;
    let mut words = [0; WORDS];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = chunk.iter().rev().fold(0, |w, &b| w << 8 | u64::from(b));
    }
    Ok(Lane::from_words(words))
}

fn last(file: &File) -> io::Result<Lane> {
    match file.metadata()?.len() / RECORD {
        0 => Ok(Lane::default()),
        n => record(file, n - 1),
    }
}

/// What the log of a lane says now; nothing if it has none yet.
pub fn tail(dir: &Path, lane: u64) -> io::Result<Lane> {
    match File::open(path(dir, lane)) {
        Ok(file) => last(&file),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Lane::default()),
        Err(e) => Err(e),
    }
}

/// The logs of all lanes.
pub fn tails(dir: &Path, lanes: u64) -> io::Result<Vec<Lane>> {
    (0..lanes).map(|lane| tail(dir, lane)).collect()
}

/// For each lane the newest acknowledged transaction that was durable: what must be there even when
/// everything that was not flushed is gone.
pub fn durable_floor(dir: &Path, lanes: u64) -> io::Result<Vec<u64>> {
    let durable = tails(dir, lanes)?.iter().map(|l| l.durable_txn).max().unwrap_or(0);
    let floor = |lane| match File::open(path(dir, lane)) {
        Ok(file) => {
            let mut n = file.metadata()?.len() / RECORD;
            while n > 0 {
                n -= 1;
                let found = record(&file, n)?;
                if found.acked_txn <= durable {
                    return Ok(found.acked);
                }
            }
            Ok(0)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(e),
    };
    (0..lanes).map(floor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_record_and_the_floor() {
        let dir = tempfile::tempdir().unwrap();
        let (mut a, mut b) =
            (LaneLog::open(dir.path(), 0).unwrap(), LaneLog::open(dir.path(), 1).unwrap());
        assert_eq!(tails(dir.path(), 3).unwrap(), [Lane::default(); 3]);
        for txn in [10, 20, 30] {
            a.begin().unwrap();
            a.acked(txn, false).unwrap();
        }
        // Durable at 25 by another lane: the first two went with it.
        b.begin().unwrap();
        b.acked(25, true).unwrap();
        assert_eq!(durable_floor(dir.path(), 3).unwrap(), [2, 1, 0]);
        assert_eq!(a.begin().unwrap(), 4);
        let found = LaneLog::open(dir.path(), 0).unwrap().lane;
        assert_eq!(found, tail(dir.path(), 0).unwrap());
        assert!(found.allows(3) && found.allows(4) && !found.allows(2) && !found.allows(5));
        a.given_up().unwrap();
        assert!(!a.lane.allows(4));
        a.flushed().unwrap();
        assert_eq!(durable_floor(dir.path(), 1).unwrap(), [3]);
        a.adopt(3, 31).unwrap();
        assert_eq!(tail(dir.path(), 0).unwrap().durable_txn, 31);
    }
}
