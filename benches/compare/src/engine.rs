//! What an engine must do to be compared. Each engine is one file in `engines/` that implements
//! these two traits.
//!
//! Everything is generic over the engine, so that closures are compiled into its loops; nothing is
//! called through a pointer for each key.

use crate::outcome::Outcome;
use std::path::Path;

/// How an engine is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// A commit is on the device when it returns.
    Durable,
    /// A commit may be lost with the power, but the database is then as it was after some earlier
    /// one.
    Deferred,
}

/// What an engine can do; a workload that wants more leaves it out.
#[derive(Clone, Copy)]
pub struct Abilities {
    /// Write calls may come from several threads at a time (the engine may put them into a row).
    pub writer_threads: bool,
    /// Several processes may have the database open.
    pub processes: bool,
    /// And may write.
    pub writer_processes: bool,
    /// Name of the mode for [`Mode::Deferred`].
    pub deferred: Option<&'static str>,
    /// Name of the call behind [`Engine::append_all`].
    pub append: Option<&'static str>,
    /// Name of the call behind [`Reader::get_many`], if it is more than a loop.
    pub get_many: Option<&'static str>,
    /// Writes go on while a reader is kept open.
    pub long_reader: bool,
    /// Longest value.
    pub max_value: usize,
}

/// Most engines.
pub const ABLE: Abilities = Abilities {
    writer_threads: true,
    processes: false,
    writer_processes: false,
    deferred: None,
    append: None,
    get_many: None,
    long_reader: true,
    max_value: usize::MAX,
};

/// One line of `compare settings`.
pub struct Settings {
    /// Its packages; Cargo.lock has their versions.
    pub packages: &'static [&'static str],
    /// What makes a commit durable.
    pub durable: &'static str,
    /// Everything else that is set.
    pub other: &'static str,
}

/// One open database of some engine. Shared between threads.
pub trait Engine: Sized + Send + Sync + 'static {
    const NAME: &'static str;
    const ABILITIES: Abilities;
    const SETTINGS: Settings;

    type Reader<'a>: Reader;

    /// Opens or makes the database in a directory of its own, which is there.
    fn open(dir: &Path, mode: Mode) -> Outcome<Self>;

    /// Closes it; everything is on the device when it returns.
    fn close(self) -> Outcome<()> {
        drop(self);
        Ok(())
    }

    /// Works with one read transaction, or with what is nearest to it.
    fn read<R>(&self, work: impl FnOnce(&mut Self::Reader<'_>) -> Outcome<R>) -> Outcome<R>;

    /// Begins and ends a read transaction, and nothing else.
    fn begin_end(&self) -> Outcome<()> {
        self.read(|_| Ok(()))
    }

    /// Puts all pairs in one transaction.
    fn put_all<'a>(&self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Outcome<()>;

    /// The same for pairs in the order of their keys, all behind those that are there, by the call
    /// that `ABILITIES.append` names.
    fn append_all<'a>(&self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Outcome<()> {
        self.put_all(pairs)
    }

    /// Levels of the tree, where it is one and the engine tells.
    fn depth(&self) -> Outcome<Option<u32>> {
        Ok(None)
    }

    /// Removes all keys in one transaction.
    fn delete_all<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Outcome<()>;
}

/// One snapshot.
pub trait Reader {
    /// Looks a key up and shows its value to `found`, if it is there.
    fn get<R>(&mut self, key: &[u8], found: impl FnOnce(&[u8]) -> R) -> Outcome<Option<R>>;

    /// Looks up many keys; `found` gets the values of those that are there, in any order.
    fn get_many(&mut self, keys: &[&[u8]], mut found: impl FnMut(&[u8])) -> Outcome<()> {
        for key in keys {
            self.get(key, &mut found)?;
        }
        Ok(())
    }

    /// Shows pairs in order, from `from` on (from the first, if None), at most `limit`; gives their
    /// number.
    fn scan(
        &mut self,
        from: Option<&[u8]>,
        limit: u64,
        seen: impl FnMut(&[u8], &[u8]),
    ) -> Outcome<u64>;

    /// Shows all pairs in reverse order; gives their number.
    fn scan_back(&mut self, seen: impl FnMut(&[u8], &[u8])) -> Outcome<u64>;
}
