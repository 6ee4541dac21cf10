//! libmdbx as it comes, through the bindings that bundle it.

use crate::engine::{ABLE, Abilities, Engine, Mode as Open, Reader, Settings};
use crate::outcome::Outcome;
use signet_libmdbx::tx::aliases::RoTxUnsync;
use signet_libmdbx::{
    Database, Environment, EnvironmentFlags, Geometry, Mode, SyncMode, WriteFlags,
};
use std::borrow::Cow;
use std::marker::PhantomData;
use std::path::Path;

/// Most that the file may grow to.
const MAX_BYTES: usize = 1 << 40;

type Bytes<'t> = Cow<'t, [u8]>;

pub struct Mdbx(Environment);

impl Engine for Mdbx {
    const NAME: &'static str = "libmdbx";
    const ABILITIES: Abilities = Abilities {
        processes: true,
        writer_processes: true,
        deferred: Some("MDBX_SAFE_NOSYNC"),
        append: Some("MDBX_APPEND"),
        ..ABLE
    };
    const SETTINGS: Settings = Settings {
        packages: &["signet-mdbx-sys", "signet-libmdbx"],
        durable: "default: MDBX_SYNC_DURABLE",
        other: "defaults, file of at most 1 TiB, transactions without locks of their own",
    };
    type Reader<'a> = Snapshot<'a>;

    fn open(dir: &Path, mode: Open) -> Outcome<Mdbx> {
        let sync_mode = match mode {
            Open::Durable => SyncMode::Durable,
            Open::Deferred => SyncMode::SafeNoSync,
        };
        let flags = EnvironmentFlags { mode: Mode::ReadWrite { sync_mode }, ..Default::default() };
        let geometry = Geometry { size: Some(0..MAX_BYTES), ..Geometry::default() };
        let mut builder = Environment::builder();
        Ok(Mdbx(builder.set_geometry(geometry).set_max_readers(256).set_flags(flags).open(dir)?))
    }

    fn close(self) -> Outcome<()> {
        self.0.sync(true)?;
        Ok(())
    }

    fn read<R>(&self, work: impl FnOnce(&mut Snapshot<'_>) -> Outcome<R>) -> Outcome<R> {
        let txn = self.0.begin_ro_unsync()?;
        let db = txn.open_db(None)?;
        work(&mut Snapshot { txn, db, marker: PhantomData })
    }

    fn begin_end(&self) -> Outcome<()> {
        drop(std::hint::black_box(self.0.begin_ro_unsync()?));
        Ok(())
    }

    fn put_all<'a>(&self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Outcome<()> {
        let txn = self.0.begin_rw_unsync()?;
        let db = txn.open_db(None)?;
        for (key, value) in pairs {
            txn.put(db, key, value, WriteFlags::empty())?;
        }
        Ok(txn.commit()?)
    }

    fn append_all<'a>(&self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Outcome<()> {
        let txn = self.0.begin_rw_unsync()?;
        let db = txn.open_db(None)?;
        for (key, value) in pairs {
            txn.append(db, key, value)?;
        }
        Ok(txn.commit()?)
    }

    fn delete_all<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Outcome<()> {
        let txn = self.0.begin_rw_unsync()?;
        let db = txn.open_db(None)?;
        for key in keys {
            txn.del(db, key, None)?;
        }
        Ok(txn.commit()?)
    }
}

/// A read transaction with its database.
pub struct Snapshot<'t> {
    txn: RoTxUnsync,
    db: Database,
    marker: PhantomData<&'t ()>,
}

impl Reader for Snapshot<'_> {
    #[inline(always)]
    fn get<R>(&mut self, key: &[u8], found: impl FnOnce(&[u8]) -> R) -> Outcome<Option<R>> {
        Ok(self.txn.get::<Bytes>(self.db.dbi(), key)?.map(|value| found(&value)))
    }

    #[inline(always)]
    fn scan(
        &mut self,
        from: Option<&[u8]>,
        limit: u64,
        mut seen: impl FnMut(&[u8], &[u8]),
    ) -> Outcome<u64> {
        let mut cursor = self.txn.cursor(self.db)?;
        let mut pair: Option<(Bytes, Bytes)> = match from {
            Some(key) => cursor.set_range(key)?,
            None => cursor.first()?,
        };
        let mut count = 0;
        while let Some((key, value)) = pair {
            seen(&key, &value);
            count += 1;
            if count == limit {
                break;
            }
            pair = cursor.next()?;
        }
        Ok(count)
    }

    #[inline(always)]
    fn scan_back(&mut self, mut seen: impl FnMut(&[u8], &[u8])) -> Outcome<u64> {
        let mut cursor = self.txn.cursor(self.db)?;
        let mut pair: Option<(Bytes, Bytes)> = cursor.last()?;
        let mut count = 0;
        while let Some((key, value)) = pair {
            seen(&key, &value);
            count += 1;
            pair = cursor.prev()?;
        }
        Ok(count)
    }
}
