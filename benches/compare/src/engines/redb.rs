//! redb as it comes, and in its two modes for several processes, which its feature
//! `experimental-multiprocess` has.

use crate::engine::{ABLE, Abilities, Engine, Mode, Reader, Settings};
use crate::outcome::{Failure, Outcome};
use redb::{
    Builder, ConcurrencyMode, Database, DatabaseError, Durability, ReadOnlyDatabase, ReadOnlyTable,
    ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};
use std::marker::PhantomData;
use std::path::Path;

type Bytes = &'static [u8];

const TABLE: TableDefinition<Bytes, Bytes> = TableDefinition::new("main");

/// How processes share the file.
pub trait Sharing: Send + Sync + 'static {
    const NAME: &'static str;
    const MODE: ConcurrencyMode;
    const ABILITIES: Abilities;
    const OTHER: &'static str;
}

/// One process: the default.
pub struct Exclusive;
/// One process that writes, others that read.
pub struct OneWriter;
/// Any process may write.
pub struct ManyWriters;

impl Sharing for Exclusive {
    const NAME: &'static str = "redb";
    const MODE: ConcurrencyMode = ConcurrencyMode::ExclusiveWriter;
    const ABILITIES: Abilities = Abilities { deferred: Some("Durability::None"), ..ABLE };
    const OTHER: &'static str = "defaults (cache of 1 GiB)";
}

impl Sharing for OneWriter {
    const NAME: &'static str = "redb-1-writer";
    const MODE: ConcurrencyMode = ConcurrencyMode::SingleWriter;
    /// Commits that are not durable are refused in this mode and the next.
    const ABILITIES: Abilities = Abilities { processes: true, ..ABLE };
    const OTHER: &'static str = "ConcurrencyMode::SingleWriter, else defaults";
}

impl Sharing for ManyWriters {
    const NAME: &'static str = "redb-n-writers";
    const MODE: ConcurrencyMode = ConcurrencyMode::MultiWriter;
    const ABILITIES: Abilities = Abilities { processes: true, writer_processes: true, ..ABLE };
    const OTHER: &'static str = "ConcurrencyMode::MultiWriter, else defaults";
}

enum Handle {
    Writer(Database),
    /// Another process writes.
    Reader(ReadOnlyDatabase),
}

pub struct Redb<S> {
    handle: Handle,
    durability: Durability,
    marker: PhantomData<S>,
}

impl<S: Sharing> Redb<S> {
    fn begin_read(&self) -> Outcome<ReadTransaction> {
        Ok(match &self.handle {
            Handle::Writer(db) => db.begin_read()?,
            Handle::Reader(db) => db.begin_read()?,
        })
    }

    fn begin_write(&self) -> Outcome<WriteTransaction> {
        let Handle::Writer(db) = &self.handle else {
            return Err(Failure::Error("another process writes".into()));
        };
        let mut txn = db.begin_write()?;
        txn.set_durability(self.durability)?;
        Ok(txn)
    }
}

impl<S: Sharing> Engine for Redb<S> {
    const NAME: &'static str = S::NAME;
    const ABILITIES: Abilities = S::ABILITIES;
    const SETTINGS: Settings = Settings {
        packages: &["redb"],
        durable: "default: Durability::Immediate, one phase",
        other: S::OTHER,
    };
    type Reader<'a> = Snapshot<'a>;

    fn open(dir: &Path, mode: Mode) -> Outcome<Redb<S>> {
        let path = dir.join("data.redb");
        let mut builder = Builder::new();
        builder.set_concurrency_mode(S::MODE);
        let handle = match builder.create(&path) {
            Err(DatabaseError::DatabaseAlreadyOpen) if S::ABILITIES.processes => {
                Handle::Reader(builder.open_read_only(&path)?)
            }
            other => Handle::Writer(other?),
        };
        let durability = match mode {
            Mode::Durable => Durability::Immediate,
            Mode::Deferred => Durability::None,
        };
        Ok(Redb { handle, durability, marker: PhantomData })
    }

    fn read<R>(&self, work: impl FnOnce(&mut Snapshot<'_>) -> Outcome<R>) -> Outcome<R> {
        let table = self.begin_read()?.open_table(TABLE)?;
        work(&mut Snapshot { table, marker: PhantomData })
    }

    fn begin_end(&self) -> Outcome<()> {
        drop(std::hint::black_box(self.begin_read()?));
        Ok(())
    }

    fn put_all<'a>(&self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Outcome<()> {
        let txn = self.begin_write()?;
        let mut table = txn.open_table(TABLE)?;
        for (key, value) in pairs {
            table.insert(key, value)?;
        }
        drop(table);
        Ok(txn.commit()?)
    }

    fn delete_all<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Outcome<()> {
        let txn = self.begin_write()?;
        let mut table = txn.open_table(TABLE)?;
        for key in keys {
            table.remove(key)?;
        }
        drop(table);
        Ok(txn.commit()?)
    }
}

/// A table that keeps its transaction open.
pub struct Snapshot<'t> {
    table: ReadOnlyTable<Bytes, Bytes>,
    marker: PhantomData<&'t ()>,
}

impl Reader for Snapshot<'_> {
    #[inline(always)]
    fn get<R>(&mut self, key: &[u8], found: impl FnOnce(&[u8]) -> R) -> Outcome<Option<R>> {
        Ok(self.table.get(key)?.map(|guard| found(guard.value())))
    }

    #[inline(always)]
    fn scan(
        &mut self,
        from: Option<&[u8]>,
        limit: u64,
        mut seen: impl FnMut(&[u8], &[u8]),
    ) -> Outcome<u64> {
        let mut count = 0;
        let mut pairs = self.table.range(from.unwrap_or(&[])..)?;
        while count < limit
            && let Some(pair) = pairs.next()
        {
            let (key, value) = pair?;
            seen(key.value(), value.value());
            count += 1;
        }
        Ok(count)
    }

    #[inline(always)]
    fn scan_back(&mut self, mut seen: impl FnMut(&[u8], &[u8])) -> Outcome<u64> {
        let mut count = 0;
        for pair in self.table.iter()?.rev() {
            let (key, value) = pair?;
            seen(key.value(), value.value());
            count += 1;
        }
        Ok(count)
    }
}
