//! redb as it comes.

use crate::engine::{ABLE, Abilities, Engine, Mode, Reader, Settings};
use crate::outcome::Outcome;
use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};
use std::marker::PhantomData;
use std::path::Path;

type Bytes = &'static [u8];

const TABLE: TableDefinition<Bytes, Bytes> = TableDefinition::new("main");

pub struct Redb {
    db: Database,
    durability: Durability,
}

impl Engine for Redb {
    const NAME: &'static str = "redb";
    const ABILITIES: Abilities = Abilities { deferred: Some("Durability::None"), ..ABLE };
    const SETTINGS: Settings = Settings {
        packages: &["redb"],
        durable: "default: Durability::Immediate, one phase",
        other: "defaults (cache of 1 GiB)",
    };
    type Reader<'a> = Snapshot<'a>;

    fn open(dir: &Path, mode: Mode) -> Outcome<Redb> {
        let db = Database::create(dir.join("data.redb"))?;
        let durability = match mode {
            Mode::Durable => Durability::Immediate,
            Mode::Deferred => Durability::None,
        };
        Ok(Redb { db, durability })
    }

    fn read<R>(&self, work: impl FnOnce(&mut Snapshot<'_>) -> Outcome<R>) -> Outcome<R> {
        let table = self.db.begin_read()?.open_table(TABLE)?;
        work(&mut Snapshot { table, marker: PhantomData })
    }

    fn begin_end(&self) -> Outcome<()> {
        drop(std::hint::black_box(self.db.begin_read()?));
        Ok(())
    }

    fn put_all<'a>(&self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Outcome<()> {
        let mut txn = self.db.begin_write()?;
        txn.set_durability(self.durability)?;
        let mut table = txn.open_table(TABLE)?;
        for (key, value) in pairs {
            table.insert(key, value)?;
        }
        drop(table);
        Ok(txn.commit()?)
    }

    fn delete_all<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Outcome<()> {
        let mut txn = self.db.begin_write()?;
        txn.set_durability(self.durability)?;
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
        let mut pairs = self.table.range::<&[u8]>(from.unwrap_or(&[])..)?;
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
