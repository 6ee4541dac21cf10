//! LMDB through heed, as it comes or with MDB_WRITEMAP. The pairs stand in the unnamed database,
//! which is its fastest.

use crate::engine::{ABLE, Abilities, Engine, Mode, Reader, Settings};
use crate::outcome::{Failure, Outcome};
use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, PutFlags, RoTxn};
use std::ops::Bound;
use std::path::Path;

/// Address space for the map. The file takes what is written to it, and no more.
const MAP_BYTES: usize = 1 << 40;

type Pairs = Database<'static, Bytes, Bytes>;

pub struct Lmdb<const WRITEMAP: bool> {
    env: Env,
    pairs: Pairs,
}

impl<const WRITEMAP: bool> Engine for Lmdb<WRITEMAP> {
    const NAME: &'static str = if WRITEMAP { "lmdb-writemap" } else { "lmdb" };
    const ABILITIES: Abilities = Abilities {
        processes: true,
        writer_processes: true,
        deferred: Some("MDB_NOMETASYNC (still one flush a commit; MDB_NOSYNC may corrupt)"),
        append: Some("MDB_APPEND"),
        ..ABLE
    };
    const SETTINGS: Settings = Settings {
        packages: &["lmdb-master-sys", "heed"],
        durable: if WRITEMAP { "MDB_WRITEMAP, msync" } else { "default: pwrite, fdatasync" },
        other: "map of 1 TiB",
    };
    type Reader<'a> = Snapshot<'a>;

    fn open(dir: &Path, mode: Mode) -> Outcome<Self> {
        let mut flags = EnvFlags::empty();
        if WRITEMAP {
            flags |= EnvFlags::WRITE_MAP;
        }
        if mode == Mode::Deferred {
            flags |= EnvFlags::NO_META_SYNC;
        }
        // SAFETY: the directory belongs to this run, and only LMDB touches the file. Neither flag
        // gives up locking.
        let env = unsafe {
            EnvOpenOptions::new().map_size(MAP_BYTES).max_readers(256).flags(flags).open(dir)?
        };
        let found = env.open_databases_and_commit(env.read_txn()?, |opener, txn| {
            opener.open_database::<Bytes, Bytes>(txn, None).map(CommitOrAbort::<_, ()>::Commit)
        })?;
        let pairs = found.unwrap_commit();
        let pairs = pairs.ok_or_else(|| Failure::Error("no unnamed database".into()))?;
        Ok(Lmdb { env, pairs })
    }

    fn close(self) -> Outcome<()> {
        self.env.force_sync()?;
        self.env.prepare_for_closing().wait();
        Ok(())
    }

    fn read<R>(&self, work: impl FnOnce(&mut Snapshot<'_>) -> Outcome<R>) -> Outcome<R> {
        let txn = self.env.read_txn()?;
        work(&mut Snapshot { txn: &txn, pairs: self.pairs })
    }

    fn put_all<'a>(&self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Outcome<()> {
        let mut txn = self.env.write_txn()?;
        for (key, value) in pairs {
            self.pairs.put(&mut txn, key, value)?;
        }
        Ok(txn.commit()?)
    }

    fn append_all<'a>(&self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Outcome<()> {
        let mut txn = self.env.write_txn()?;
        for (key, value) in pairs {
            self.pairs.put_with_flags(&mut txn, PutFlags::APPEND, key, value)?;
        }
        Ok(txn.commit()?)
    }

    fn depth(&self) -> Outcome<Option<u32>> {
        let txn = self.env.read_txn()?;
        Ok(Some(self.pairs.stat(&txn)?.depth))
    }

    fn delete_all<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Outcome<()> {
        let mut txn = self.env.write_txn()?;
        for key in keys {
            self.pairs.delete(&mut txn, key)?;
        }
        Ok(txn.commit()?)
    }
}

/// A read transaction with its database.
pub struct Snapshot<'t> {
    txn: &'t RoTxn<'t>,
    pairs: Pairs,
}

impl Reader for Snapshot<'_> {
    #[inline(always)]
    fn get<R>(&mut self, key: &[u8], found: impl FnOnce(&[u8]) -> R) -> Outcome<Option<R>> {
        Ok(self.pairs.get(self.txn, key)?.map(found))
    }

    #[inline(always)]
    fn scan(
        &mut self,
        from: Option<&[u8]>,
        limit: u64,
        mut seen: impl FnMut(&[u8], &[u8]),
    ) -> Outcome<u64> {
        let range = (from.map_or(Bound::Unbounded, Bound::Included), Bound::Unbounded);
        let mut count = 0;
        let mut pairs = self.pairs.range(self.txn, &range)?;
        while count < limit
            && let Some(pair) = pairs.next()
        {
            let (key, value) = pair?;
            seen(key, value);
            count += 1;
        }
        Ok(count)
    }

    #[inline(always)]
    fn scan_back(&mut self, mut seen: impl FnMut(&[u8], &[u8])) -> Outcome<u64> {
        let mut count = 0;
        for pair in self.pairs.rev_iter(self.txn)? {
            let (key, value) = pair?;
            seen(key, value);
            count += 1;
        }
        Ok(count)
    }
}
