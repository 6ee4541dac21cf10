//! Loaders with little memory: their temporary files are damaged, cannot be made, or are not read
//! to the end. What a load says is done is done, pair by pair; what it refuses leaves nothing.

use super::{Tally, Told, bytes_of};
use fastrand::Rng;
use recto::{
    Database, Error, LoadOptions, LoadProgress, Loader, TableId, TableKind, TableOptions, WriteTxn,
};
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tempfile::TempDir;

/// Pairs of a table, those of sets too.
type Pairs = BTreeSet<(Vec<u8>, Vec<u8>)>;

const TABLE: &str = "table";

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trouble {
    Nothing,
    /// A temporary file gives other bytes than it got.
    Damaged,
    /// The directory of the temporary files comes too late.
    NoDirectory,
    /// Who loads ends it.
    Stopped,
    /// The table is of a database that takes no keys of these lengths.
    TooLong,
}

const TROUBLES: [Trouble; 6] = [
    Trouble::Nothing,
    Trouble::Damaged,
    Trouble::Damaged,
    Trouble::NoDirectory,
    Trouble::Stopped,
    Trouble::TooLong,
];

struct Story<'a> {
    rng: &'a mut Rng,
    dir: TempDir,
    db: Database,
    sets: bool,
    before: Pairs,
    /// What is there behind the load.
    after: Pairs,
}

pub(super) fn live(rng: &mut Rng, tally: &mut Tally) -> Told {
    let mut make = || {
        let dir = tempfile::Builder::new().prefix("recto-load-").tempdir()?;
        let page_size = [4096, 4096, 8192, 65_536][rng.usize(..4)];
        let db = Database::builder().page_size(page_size).in_memory().map_err(told)?;
        Ok::<_, std::io::Error>((dir, db))
    };
    let (dir, db) = make().map_err(|e| e.to_string())?;
    let sets = rng.u32(..3) == 0;
    let (before, after) = Default::default();
    let mut story = Story { rng, dir, db, sets, before, after };
    story.fill()?;
    let trouble = TROUBLES[story.rng.usize(..TROUBLES.len())];
    let done = match trouble {
        Trouble::NoDirectory => story.no_directory(),
        Trouble::TooLong => story.too_long(),
        _ => story.load(trouble),
    };
    match done.map_err(|what| format!("{trouble:?}: {what}"))? {
        true => tally.whole_loads += 1,
        false => tally.refused_loads += 1,
    }
    story.judge().map_err(|what| format!("{trouble:?}: {what}"))
}

fn told(e: Error) -> std::io::Error {
    std::io::Error::other(e)
}

fn failed(e: Error) -> String {
    e.to_string()
}

impl Story<'_> {
    fn kind(&self) -> TableKind {
        if self.sets { TableKind::Set { value_size: 0 } } else { TableKind::Map }
    }

    fn open(&self, txn: &mut WriteTxn) -> Result<TableId, Error> {
        match self.sets {
            true => Ok(txn.open_set_with(TABLE, &TableOptions::set())?.id()),
            false => txn.open(TABLE),
        }
    }

    /// What is there before.
    fn fill(&mut self) -> Told {
        let mut txn = self.db.write().map_err(failed)?;
        self.open(&mut txn).map_err(failed)?;
        for _ in 0..self.rng.usize(..60) {
            let (key, value) = self.pair();
            match self.sets {
                true => txn.open_set(TABLE).and_then(|mut t| t.insert(&key, &value)),
                false => txn.open_table(TABLE).and_then(|mut t| t.put(&key, &value)),
            }
            .map_err(failed)?;
            Self::put(&mut self.before, self.sets, key, value);
        }
        self.after = self.before.clone();
        txn.commit().map_err(failed)
    }

    fn put(pairs: &mut Pairs, sets: bool, key: Vec<u8>, value: Vec<u8>) {
        if !sets {
            let old = pairs.range((key.clone(), Vec::new())..).next().cloned();
            if let Some(old) = old.filter(|old| old.0 == key) {
                pairs.remove(&old);
            }
        }
        pairs.insert((key, value));
    }

    /// Keys of which many begin alike, and some come again.
    fn pair(&mut self) -> (Vec<u8>, Vec<u8>) {
        let number = self.rng.u32(..3_000).to_be_bytes();
        let key = match self.rng.u32(..3) {
            0 => number.to_vec(),
            _ => [b"a long prefix of keys ", &number[..]].concat(),
        };
        let len = match self.rng.u32(..40) {
            0 if !self.sets => self.rng.usize(..40_000),
            1 if !self.sets => self.rng.usize(..3_000),
            _ => self.rng.usize(..60),
        };
        (key, bytes_of(self.rng.u64(..), len))
    }

    /// A loader that has taken many pairs.
    fn filled(&mut self, options: &LoadOptions) -> Result<Loader, String> {
        let mut loader = self.db.loader(self.kind(), options);
        for _ in 0..self.rng.usize(600..4_000) {
            let (key, value) = self.pair();
            loader.push(&key, &value).map_err(failed)?;
            Self::put(&mut self.after, self.sets, key, value);
        }
        Ok(loader)
    }

    fn options(&self, directory: &Path) -> LoadOptions {
        LoadOptions::default().memory(LoadOptions::LEAST_MEMORY).temp_dir(directory)
    }

    /// A load that somebody damages, or ends, or nobody. Whether it was done.
    fn load(&mut self, trouble: Trouble) -> Result<bool, String> {
        let options = self.options(self.dir.path());
        let loader = self.filled(&options)?;
        // Where all of it is in memory there is no file.
        if trouble == Trouble::Damaged {
            self.damage()?;
        }
        let mut txn = self.db.write().map_err(failed)?;
        let table = self.open(&mut txn).map_err(failed)?;
        let savepoint = self.rng.bool().then(|| txn.savepoint()).transpose().map_err(failed)?;
        let stop_at = match trouble {
            Trouble::Stopped => self.rng.u64(..9),
            _ => u64::MAX,
        };
        let mut step = 0;
        let stopping = |_: LoadProgress| {
            step += 1;
            if step > stop_at { Err(Ended::Stopped) } else { Ok(()) }
        };
        let expected = self.after.len() - self.before.len();
        match loader.finish_with(&mut txn, table, stopping) {
            Ok(loaded) if loaded.new != expected as u64 => {
                Err(format!("{} pairs are new, and not {expected}", loaded.new))
            }
            Ok(_) => txn.commit().map(|()| true).map_err(failed),
            Err(e) => {
                let right = match (&e, trouble) {
                    (Ended::Stopped, Trouble::Stopped) => true,
                    (Ended::By(Error::Io { path, .. }), Trouble::Damaged) => {
                        path.as_deref() == Some(self.dir.path())
                    }
                    _ => false,
                };
                if !right {
                    return Err(format!("it ends with {e:?}"));
                }
                self.undone(txn, savepoint).map(|()| false)
            }
        }
    }

    /// Behind a load that was not done the transaction is broken, or as it was.
    fn undone(&mut self, mut txn: WriteTxn, savepoint: Option<recto::Savepoint>) -> Told {
        self.after = self.before.clone();
        if let Some(savepoint) = savepoint {
            txn.rollback_to(&savepoint).map_err(|e| format!("to the savepoint: {e}"))?;
            return txn.commit().map_err(|e| format!("behind the savepoint: {e}"));
        }
        match txn.commit() {
            Ok(()) | Err(Error::TransactionBroken { .. }) => Ok(()),
            Err(e) => Err(format!("a commit behind it: {e}")),
        }
    }

    /// Some bytes of a temporary file become others. The files have no names: they are found among
    /// those that this process has open.
    fn damage(&mut self) -> Told {
        let there = self.dir.path().to_owned();
        let mut files = Vec::new();
        for entry in std::fs::read_dir("/proc/self/fd").map_err(|e| e.to_string())? {
            let path = entry.map_err(|e| e.to_string())?.path();
            let leads_there = std::fs::read_link(&path).is_ok_and(|to| to.starts_with(&there));
            if leads_there && path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() > 0) {
                files.push(path);
            }
        }
        if files.is_empty() {
            return Ok(());
        }
        files.sort();
        let path = &files[self.rng.usize(..files.len())];
        let mut change = || {
            let file = File::options().read(true).write(true).open(path)?;
            let len = file.metadata()?.len();
            let at = self.rng.u64(..len);
            match self.rng.u32(..3) {
                0 => file.set_len(at),
                _ => {
                    let mut byte = [0];
                    file.read_exact_at(&mut byte, at)?;
                    file.write_all_at(&[byte[0] ^ 1 << self.rng.u32(..8)], at)
                }
            }
        };
        change().map_err(|e: std::io::Error| format!("damaging {path:?}: {e}"))
    }

    /// The first run cannot be written: from then on every call says so, also where the directory
    /// is there by then.
    fn no_directory(&mut self) -> Result<bool, String> {
        let directory = self.dir.path().join("later");
        let options = self.options(&directory);
        let mut loader = self.db.loader(self.kind(), &options);
        let mut told = false;
        for n in 0..4_000 {
            let (key, value) = self.pair();
            match loader.push(&key, &value) {
                Ok(()) if told => return Err("a push goes on behind an error".into()),
                Ok(()) => {}
                Err(Error::Io { .. }) if !told => {
                    told = true;
                    std::fs::create_dir(&directory).map_err(|e| e.to_string())?;
                }
                Err(Error::Io { .. }) => {}
                Err(e) => return Err(format!("a push gives {e}")),
            }
            if n > 3_000 && told && self.rng.u32(..100) == 0 {
                break;
            }
        }
        if !told {
            return Err("nobody was told".into());
        }
        let mut txn = self.db.write().map_err(failed)?;
        let table = self.open(&mut txn).map_err(failed)?;
        match loader.finish(&mut txn, table) {
            Err(Error::Io { .. }) => self.undone(txn, None).map(|()| false),
            other => Err(format!("pairs were lost, and finishing gives {other:?}")),
        }
    }

    /// Pairs of a database with larger pages: nothing is put, and the transaction is as it was.
    fn too_long(&mut self) -> Result<bool, String> {
        let larger = Database::builder().page_size(65_536).in_memory().map_err(failed)?;
        let smaller = Database::in_memory().map_err(failed)?;
        let options = self.options(self.dir.path());
        let mut loader = larger.loader(self.kind(), &options);
        for n in 0..self.rng.u32(1..200) {
            loader.push(&n.to_be_bytes(), b"short").map_err(failed)?;
        }
        let long = vec![0xff; self.rng.usize(smaller.max_key_len() + 1..larger.max_key_len())];
        loader.push(&long, b"short").map_err(failed)?;
        let mut txn = smaller.write().map_err(failed)?;
        let table = self.open(&mut txn).map_err(failed)?;
        match loader.finish(&mut txn, table) {
            Err(Error::KeyTooLong { .. }) => {}
            other => return Err(format!("a key that is too long: {other:?}")),
        }
        let entries = txn.tables().map_err(|e| format!("behind it: {e}"))?[0].stats.entries;
        if entries > 0 {
            return Err(format!("{entries} keys are put"));
        }
        txn.commit().map_err(|e| format!("behind it: {e}"))?;
        Ok(false)
    }

    /// What the database holds, and that it is whole.
    fn judge(&self) -> Told {
        let txn = self.db.read().map_err(failed)?;
        let mut found = Vec::new();
        let read = match self.sets {
            true => txn.set(TABLE).and_then(|set| {
                set.pairs(..)?.try_for_each(|pair| {
                    pair.map(|(key, value)| found.push((key.to_vec(), value.to_vec())))
                })
            }),
            false => txn.table(TABLE).and_then(|table| {
                table.iter()?.try_for_each(|pair| {
                    pair.map(|(key, value)| found.push((key.to_vec(), value.to_vec())))
                })
            }),
        };
        read.map_err(failed)?;
        if !found.iter().eq(self.after.iter()) {
            return Err(format!("{} pairs, {} expected", found.len(), self.after.len()));
        }
        let report = self.db.check(None).map_err(failed)?;
        match report.fault_count {
            0 => Ok(()),
            _ => Err(format!("the check finds {:?}", report.faults.first())),
        }
    }
}

/// How a load ends that is not done.
#[derive(Debug)]
enum Ended {
    Stopped,
    By(Error),
}

impl From<Error> for Ended {
    fn from(e: Error) -> Ended {
        Ended::By(e)
    }
}
