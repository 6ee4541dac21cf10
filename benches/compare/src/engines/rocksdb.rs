//! RocksDB, set as its wiki recommends ("Setup options and basic tuning"), without compression.

use crate::engine::{ABLE, Abilities, Engine, Mode, Reader, Settings};
use crate::outcome::{Failure, Outcome};
use rocksdb::{
    BlockBasedOptions, Cache, DB, IngestExternalFileOptions, Options, ReadOptions, Snapshot,
    SstFileWriter, WriteBatch, WriteOptions,
};
use std::path::{Path, PathBuf};

const CACHE_BYTES: usize = 1 << 30;
const FAMILY: &str = "default";

pub struct Rocks {
    db: DB,
    options: Options,
    sync: bool,
    side: PathBuf,
}

fn options() -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
    table.set_block_size(16 << 10);
    table.set_bloom_filter(10.0, false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_max_background_jobs(6);
    options.set_bytes_per_sync(1 << 20);
    options
}

impl Rocks {
    fn write(&self, batch: WriteBatch) -> Outcome<()> {
        let mut how = WriteOptions::default();
        how.set_sync(self.sync);
        Ok(self.db.write_opt(batch, &how)?)
    }
}

impl Engine for Rocks {
    const NAME: &'static str = "rocksdb";
    const ABILITIES: Abilities = Abilities {
        deferred: Some("sync = false (write-ahead log)"),
        append: Some("SstFileWriter, IngestExternalFile"),
        get_many: Some("MultiGet"),
        ..ABLE
    };
    const SETTINGS: Settings = Settings {
        packages: &["librocksdb-sys"],
        durable: "WriteOptions::sync",
        other: "its wiki's recommendation: blocks of 16 KiB, Bloom filter of 10 bits, cache of 1 GiB with indexes and \
                filters, dynamic level bytes, 6 background jobs, bytes_per_sync 1 MiB; no compression",
    };
    type Reader<'a> = View<'a>;

    fn open(dir: &Path, mode: Mode) -> Outcome<Rocks> {
        let options = options();
        let db = DB::open_cf_with_opts(&options, dir.join("rocks"), [(FAMILY, options.clone())])?;
        Ok(Rocks { db, options, sync: mode == Mode::Durable, side: dir.join("ingest.sst") })
    }

    fn close(self) -> Outcome<()> {
        Ok(self.db.flush_wal(true)?)
    }

    fn read<R>(&self, work: impl FnOnce(&mut View<'_>) -> Outcome<R>) -> Outcome<R> {
        let snapshot = self.db.snapshot();
        let mut how = ReadOptions::default();
        how.set_snapshot(&snapshot);
        work(&mut View { db: &self.db, snapshot: &snapshot, how })
    }

    fn begin_end(&self) -> Outcome<()> {
        drop(std::hint::black_box(self.db.snapshot()));
        Ok(())
    }

    fn put_all<'a>(&self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Outcome<()> {
        let mut batch = WriteBatch::default();
        for (key, value) in pairs {
            batch.put(key, value);
        }
        self.write(batch)
    }

    fn append_all<'a>(&self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Outcome<()> {
        let mut file = SstFileWriter::create(&self.options);
        file.open(&self.side)?;
        for (key, value) in pairs {
            file.put(key, value)?;
        }
        file.finish()?;
        let mut how = IngestExternalFileOptions::default();
        how.set_move_files(true);
        Ok(self.db.ingest_external_file_opts(&how, vec![&self.side])?)
    }

    fn delete_all<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Outcome<()> {
        let mut batch = WriteBatch::default();
        for key in keys {
            batch.delete(key);
        }
        self.write(batch)
    }
}

/// A snapshot, and options for reading that name it.
pub struct View<'t> {
    db: &'t DB,
    snapshot: &'t Snapshot<'t>,
    how: ReadOptions,
}

impl Reader for View<'_> {
    #[inline(always)]
    fn get<R>(&mut self, key: &[u8], found: impl FnOnce(&[u8]) -> R) -> Outcome<Option<R>> {
        Ok(self.db.get_pinned_opt(key, &self.how)?.map(|value| found(&value)))
    }

    fn get_many(&mut self, keys: &[&[u8]], mut found: impl FnMut(&[u8])) -> Outcome<()> {
        let family = self.db.cf_handle(FAMILY);
        let family = family.ok_or_else(|| Failure::Error("no column family".into()))?;
        for value in self.db.batched_multi_get_cf_opt(family, keys.iter(), false, &self.how) {
            if let Some(value) = value? {
                found(&value);
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn scan(
        &mut self,
        from: Option<&[u8]>,
        limit: u64,
        mut seen: impl FnMut(&[u8], &[u8]),
    ) -> Outcome<u64> {
        let mut pairs = self.snapshot.raw_iterator();
        match from {
            Some(key) => pairs.seek(key),
            None => pairs.seek_to_first(),
        }
        let mut count = 0;
        while count < limit
            && let Some((key, value)) = pairs.item()
        {
            seen(key, value);
            count += 1;
            pairs.next();
        }
        pairs.status()?;
        Ok(count)
    }

    #[inline(always)]
    fn scan_back(&mut self, mut seen: impl FnMut(&[u8], &[u8])) -> Outcome<u64> {
        let mut pairs = self.snapshot.raw_iterator();
        pairs.seek_to_last();
        let mut count = 0;
        while let Some((key, value)) = pairs.item() {
            seen(key, value);
            count += 1;
            pairs.prev();
        }
        pairs.status()?;
        Ok(count)
    }
}
