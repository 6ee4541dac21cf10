//! sanakirja with keys and values of varying length.
//!
//! It must not be given writers side by side: it corrupts itself and fills the disk. A tree keeps
//! several values for a key, so that replacing one is removing and putting.

use crate::engine::{ABLE, Abilities, Engine, Mode, Reader, Settings};
use crate::outcome::{Failure, Outcome};
use sanakirja::btree::{self, UDb, page_unsized};
use sanakirja::{Commit, Env, MutTxn, RootDb, Txn};
use std::path::Path;

type Tree = UDb<[u8], [u8]>;
type Page = page_unsized::Page<[u8], [u8]>;

/// Bytes of a new file; it grows.
const LENGTH: u64 = 1 << 20;
/// Versions that stand side by side: one that is written and one that is read.
const VERSIONS: usize = 2;
const ROOT: usize = 0;

pub struct Sanakirja(Env);

impl Sanakirja {
    fn write(
        &self,
        work: impl FnOnce(&mut MutTxn<&Env, ()>, &mut Tree) -> Outcome<()>,
    ) -> Outcome<()> {
        let mut txn = Env::mut_txn_begin(&self.0)?;
        let mut tree: Tree = match txn.root_db::<[u8], [u8], Page>(ROOT) {
            Some(tree) => tree,
            // SAFETY: the page type fits keys and values of varying length.
            None => unsafe { btree::create_db_(&mut txn)? },
        };
        work(&mut txn, &mut tree)?;
        txn.set_root(ROOT, tree.db.into());
        Ok(txn.commit()?)
    }
}

impl Engine for Sanakirja {
    const NAME: &'static str = "sanakirja";
    const ABILITIES: Abilities =
        Abilities { writer_threads: false, long_reader: false, max_value: 510, ..ABLE };
    const SETTINGS: Settings = Settings {
        packages: &["sanakirja"],
        durable: "default: msync",
        other: "two versions; a replaced value is removed and put",
    };
    type Reader<'a> = Snapshot<'a>;

    fn open(dir: &Path, _mode: Mode) -> Outcome<Sanakirja> {
        Ok(Sanakirja(Env::new(dir.join("data.sanakirja"), LENGTH, VERSIONS)?))
    }

    fn read<R>(&self, work: impl FnOnce(&mut Snapshot<'_>) -> Outcome<R>) -> Outcome<R> {
        let txn = Env::txn_begin(&self.0)?;
        let tree = txn.root_db::<[u8], [u8], Page>(ROOT);
        let tree = tree.ok_or_else(|| Failure::Error("no tree".into()))?;
        work(&mut Snapshot { txn: &txn, tree })
    }

    fn begin_end(&self) -> Outcome<()> {
        drop(std::hint::black_box(Env::txn_begin(&self.0)?));
        Ok(())
    }

    fn put_all<'a>(&self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Outcome<()> {
        self.write(|txn, tree| {
            for (key, value) in pairs {
                btree::del(txn, tree, key, None)?;
                btree::put(txn, tree, key, value)?;
            }
            Ok(())
        })
    }

    fn delete_all<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Outcome<()> {
        self.write(|txn, tree| {
            for key in keys {
                btree::del(txn, tree, key, None)?;
            }
            Ok(())
        })
    }
}

/// A read transaction with its tree.
pub struct Snapshot<'t> {
    txn: &'t Txn<&'t Env>,
    tree: Tree,
}

impl Reader for Snapshot<'_> {
    #[inline(always)]
    fn get<R>(&mut self, key: &[u8], found: impl FnOnce(&[u8]) -> R) -> Outcome<Option<R>> {
        // It gives the first pair that is not before the key.
        let pair = btree::get(self.txn, &self.tree, key, None)?;
        Ok(pair.filter(|(at, _)| *at == key).map(|(_, value)| found(value)))
    }

    #[inline(always)]
    fn scan(
        &mut self,
        from: Option<&[u8]>,
        limit: u64,
        mut seen: impl FnMut(&[u8], &[u8]),
    ) -> Outcome<u64> {
        let mut count = 0;
        let mut pairs = btree::iter(self.txn, &self.tree, from.map(|key| (key, None)))?;
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
        for pair in btree::rev_iter(self.txn, &self.tree, None)? {
            let (key, value) = pair?;
            seen(key, value);
            count += 1;
        }
        Ok(count)
    }
}
