//! canopydb, a copy-on-write tree behind a write-ahead log, in Rust. Without compression.

use crate::engine::{ABLE, Abilities, Engine, Mode, Reader, Settings};
use crate::outcome::{Failure, Outcome};
use canopydb::{Database, DbOptions, EnvOptions, Tree, TreeOptions};
use std::path::Path;

const TREE: &[u8] = b"main";

pub struct Canopy(Database);

impl Engine for Canopy {
    const NAME: &'static str = "canopydb";
    const ABILITIES: Abilities =
        Abilities { deferred: Some("sync = false (write-ahead log)"), ..ABLE };
    const SETTINGS: Settings = Settings {
        packages: &["canopydb"],
        durable: "default_commit_sync: one fsync of its write-ahead log",
        other: "defaults (cache of 1 GiB), no compression",
    };
    type Reader<'a> = Tree<'a>;

    fn open(dir: &Path, mode: Mode) -> Outcome<Canopy> {
        let mut options = DbOptions::new();
        options.default_commit_sync = mode == Mode::Durable;
        let dir = dir.join("canopydb");
        std::fs::create_dir_all(&dir)?;
        Ok(Canopy(Database::with_options(EnvOptions::new(dir), options)?))
    }

    /// What stands in the log goes into the file, as it does in the background.
    fn close(self) -> Outcome<()> {
        Ok(self.0.checkpoint()?)
    }

    fn read<R>(&self, work: impl FnOnce(&mut Tree<'_>) -> Outcome<R>) -> Outcome<R> {
        let txn = self.0.begin_read()?;
        let tree = txn.get_tree(TREE)?;
        work(&mut tree.ok_or_else(|| Failure::Error("canopydb has no tree yet".into()))?)
    }

    fn begin_end(&self) -> Outcome<()> {
        drop(std::hint::black_box(self.0.begin_read()?));
        Ok(())
    }

    fn put_all<'a>(&self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Outcome<()> {
        let txn = self.0.begin_write()?;
        let mut options = TreeOptions::new();
        options.compress_overflow_values = None;
        let mut tree = txn.get_or_create_tree_with(TREE, options)?;
        for (key, value) in pairs {
            tree.insert(key, value)?;
        }
        drop(tree);
        txn.commit()?;
        Ok(())
    }

    fn depth(&self) -> Outcome<Option<u32>> {
        let height = self.read(|tree| Ok(tree.height()))?;
        Ok(u32::try_from(height).ok())
    }

    fn delete_all<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Outcome<()> {
        let txn = self.0.begin_write()?;
        let mut tree = txn.get_or_create_tree(TREE)?;
        for key in keys {
            tree.delete(key)?;
        }
        drop(tree);
        txn.commit()?;
        Ok(())
    }
}

impl Reader for Tree<'_> {
    #[inline(always)]
    fn get<R>(&mut self, key: &[u8], found: impl FnOnce(&[u8]) -> R) -> Outcome<Option<R>> {
        Ok(Tree::get(self, key)?.map(|value| found(&value)))
    }

    #[inline(always)]
    fn scan(
        &mut self,
        from: Option<&[u8]>,
        limit: u64,
        mut seen: impl FnMut(&[u8], &[u8]),
    ) -> Outcome<u64> {
        let mut count = 0;
        let mut pairs = self.range(from.unwrap_or(&[])..)?;
        while count < limit
            && let Some(pair) = pairs.next()
        {
            let (key, value) = pair?;
            seen(&key, &value);
            count += 1;
        }
        Ok(count)
    }

    #[inline(always)]
    fn scan_back(&mut self, mut seen: impl FnMut(&[u8], &[u8])) -> Outcome<u64> {
        let mut count = 0;
        for pair in self.iter()?.rev() {
            let (key, value) = pair?;
            seen(&key, &value);
            count += 1;
        }
        Ok(count)
    }
}
