//! fjall, a log-structured tree in Rust, without compression.

use crate::engine::{ABLE, Abilities, Engine, Mode, Reader, Settings};
use crate::outcome::Outcome;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};
use std::marker::PhantomData;
use std::path::Path;

const CACHE_BYTES: u64 = 1 << 30;

pub struct Fjall {
    db: Database,
    pairs: Keyspace,
    persist: PersistMode,
}

impl Engine for Fjall {
    const NAME: &'static str = "fjall";
    const ABILITIES: Abilities = Abilities {
        deferred: Some("PersistMode::Buffer"),
        append: Some("Keyspace::start_ingestion"),
        ..ABLE
    };
    const SETTINGS: Settings = Settings {
        packages: &["fjall"],
        durable: "batch with PersistMode::SyncData",
        other: "cache of 1 GiB, no compression",
    };
    type Reader<'a> = View<'a>;

    fn open(dir: &Path, mode: Mode) -> Outcome<Fjall> {
        let db = Database::builder(dir.join("fjall")).cache_size(CACHE_BYTES).open()?;
        let pairs = db.keyspace("main", KeyspaceCreateOptions::default)?;
        let persist = match mode {
            Mode::Durable => PersistMode::SyncData,
            Mode::Deferred => PersistMode::Buffer,
        };
        Ok(Fjall { db, pairs, persist })
    }

    fn close(self) -> Outcome<()> {
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }

    fn read<R>(&self, work: impl FnOnce(&mut View<'_>) -> Outcome<R>) -> Outcome<R> {
        work(&mut View {
            snapshot: self.db.snapshot(),
            pairs: self.pairs.clone(),
            marker: PhantomData,
        })
    }

    fn begin_end(&self) -> Outcome<()> {
        drop(std::hint::black_box(self.db.snapshot()));
        Ok(())
    }

    fn put_all<'a>(&self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Outcome<()> {
        let mut batch = self.db.batch().durability(Some(self.persist));
        for (key, value) in pairs {
            batch.insert(&self.pairs, key, value);
        }
        Ok(batch.commit()?)
    }

    fn append_all<'a>(&self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Outcome<()> {
        let mut ingestion = self.pairs.start_ingestion()?;
        for (key, value) in pairs {
            ingestion.write(key, value)?;
        }
        Ok(ingestion.finish()?)
    }

    fn delete_all<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Outcome<()> {
        let mut batch = self.db.batch().durability(Some(self.persist));
        for key in keys {
            batch.remove(&self.pairs, key);
        }
        Ok(batch.commit()?)
    }
}

/// A snapshot with the one keyspace there is.
pub struct View<'t> {
    snapshot: Snapshot,
    pairs: Keyspace,
    marker: PhantomData<&'t ()>,
}

impl Reader for View<'_> {
    #[inline(always)]
    fn get<R>(&mut self, key: &[u8], found: impl FnOnce(&[u8]) -> R) -> Outcome<Option<R>> {
        Ok(self.snapshot.get(&self.pairs, key)?.map(|value| found(&value)))
    }

    #[inline(always)]
    fn scan(
        &mut self,
        from: Option<&[u8]>,
        limit: u64,
        mut seen: impl FnMut(&[u8], &[u8]),
    ) -> Outcome<u64> {
        let mut count = 0;
        let mut pairs = self.snapshot.range::<&[u8], _>(&self.pairs, from.unwrap_or(&[])..);
        while count < limit
            && let Some(pair) = pairs.next()
        {
            let (key, value) = pair.into_inner()?;
            seen(&key, &value);
            count += 1;
        }
        Ok(count)
    }

    #[inline(always)]
    fn scan_back(&mut self, mut seen: impl FnMut(&[u8], &[u8])) -> Outcome<u64> {
        let mut count = 0;
        for pair in self.snapshot.iter(&self.pairs).rev() {
            let (key, value) = pair.into_inner()?;
            seen(&key, &value);
            count += 1;
        }
        Ok(count)
    }
}
