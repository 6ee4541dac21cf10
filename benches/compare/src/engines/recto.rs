//! recto as it comes: nothing is set.

use crate::engine::{ABLE, Abilities, Engine, Mode, Reader, Settings};
use crate::outcome::Outcome;
use recto::{Database, Durability, Table};
use std::ops::Bound;
use std::path::Path;

const TABLE: &str = "main";

pub struct Recto(Database);

impl Engine for Recto {
    const NAME: &'static str = "recto";
    const ABILITIES: Abilities = Abilities {
        processes: true,
        writer_processes: true,
        deferred: Some("Durability::Deferred"),
        append: Some("put"),
        get_many: Some("get_many"),
        ..ABLE
    };
    const SETTINGS: Settings = Settings {
        packages: &["recto"],
        durable: "default: Durability::Durable, one msync a commit",
        other: "defaults",
    };
    type Reader<'a> = Table<'a>;

    fn open(dir: &Path, mode: Mode) -> Outcome<Recto> {
        let durability = match mode {
            Mode::Durable => Durability::Durable,
            Mode::Deferred => Durability::Deferred,
        };
        // SAFETY: the directory belongs to this run, and only recto touches the file while it is
        // open.
        let db =
            unsafe { Database::builder().durability(durability).open(dir.join("data.recto"))? };
        Ok(Recto(db))
    }

    fn close(self) -> Outcome<()> {
        self.0.flush()?;
        Ok(())
    }

    fn read<R>(&self, work: impl FnOnce(&mut Table<'_>) -> Outcome<R>) -> Outcome<R> {
        let txn = self.0.read()?;
        work(&mut txn.table(TABLE)?)
    }

    fn begin_end(&self) -> Outcome<()> {
        drop(std::hint::black_box(self.0.read()?));
        Ok(())
    }

    fn put_all<'a>(&self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Outcome<()> {
        let mut txn = self.0.write()?;
        let mut table = txn.open_table(TABLE)?;
        for (key, value) in pairs {
            table.put(key, value)?;
        }
        Ok(txn.commit()?)
    }

    fn depth(&self) -> Outcome<Option<u32>> {
        Ok(Some(self.0.read()?.table(TABLE)?.stats().depth.into()))
    }

    fn delete_all<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Outcome<()> {
        let mut txn = self.0.write()?;
        let mut table = txn.open_table(TABLE)?;
        for key in keys {
            table.delete(key)?;
        }
        Ok(txn.commit()?)
    }
}

impl Reader for Table<'_> {
    #[inline(always)]
    fn get<R>(&mut self, key: &[u8], found: impl FnOnce(&[u8]) -> R) -> Outcome<Option<R>> {
        Ok(Table::get(self, key)?.map(found))
    }

    #[inline(always)]
    fn get_many(&mut self, keys: &[&[u8]], found: impl FnMut(&[u8])) -> Outcome<()> {
        Table::get_many(self, keys)?.into_iter().flatten().for_each(found);
        Ok(())
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        limit: u64,
        mut seen: impl FnMut(&[u8], &[u8]),
    ) -> Outcome<u64> {
        let start = from.map_or(Bound::Unbounded, Bound::Included);
        let mut count = 0;
        let mut pairs = self.range((start, Bound::Unbounded))?;
        while count < limit
            && let Some((key, value)) = pairs.next_ref()?
        {
            seen(key, value);
            count += 1;
        }
        Ok(count)
    }

    #[inline(always)]
    fn scan_back(&mut self, mut seen: impl FnMut(&[u8], &[u8])) -> Outcome<u64> {
        let mut count = 0;
        let mut pairs = self.iter()?;
        while let Some((key, value)) = pairs.next_back_ref()? {
            seen(key, value);
            count += 1;
        }
        Ok(count)
    }
}
