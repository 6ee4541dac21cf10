//! Loaders in the scripts: pairs in no order, some of them twice, with so little memory that many
//! go to temporary files, in the engine and in the model.

use super::content::{TABLES, Value, key_bytes};
use super::edit::{Edit, Editing, open};
use super::sets::{MAPS, size, value_bytes};
use recto::harness::loader;
use recto::harness::sim::Rng;
use recto::{Error, LoadOptions, Loader, TableId, TableKind};

/// One key in so many comes twice.
const AGAIN: usize = 3;

/// The same in an order that `seed` decides.
fn shuffled<T>(mut all: Vec<T>, seed: u64) -> Vec<T> {
    let mut rng = Rng::new(seed);
    for at in (1..all.len()).rev() {
        all.swap(at, rng.index(at + 1));
    }
    all
}

/// Each of them, and every third once more.
fn some_twice(all: impl Iterator<Item = u16>) -> Vec<u16> {
    let all: Vec<u16> = all.collect();
    let again = all.iter().copied().step_by(AGAIN);
    all.iter().copied().chain(again).collect()
}

impl Editing<'_> {
    fn new_loader(&self, table: u8, kind: TableKind) -> recto::Result<Loader> {
        let made_with = self.txn.table_options(TABLES[table as usize])?.unwrap_or_default();
        let options = LoadOptions::default().memory(LoadOptions::LEAST_MEMORY);
        Ok(loader(self.txn, kind, &options.order(made_with.order)))
    }

    /// Puts what the loader has taken, `new` of which nobody knew.
    fn finish(&mut self, loader: Loader, table: TableId, new: u64) -> recto::Result<()> {
        let pushed = loader.pushed();
        let loaded = match loader.finish(self.txn, table) {
            Ok(loaded) => loaded,
            Err(e) => {
                // As behind a put: it may have been done by half.
                let read = self.txn.tables();
                let broken = matches!(read, Err(Error::TransactionBroken { .. }));
                assert!(broken, "the tables are read behind {e}: {read:?}");
                return Err(e);
            }
        };
        let right = (loaded.pushed, loaded.new) == (pushed, new) || self.doubtful;
        assert!(right, "{pushed} pushed, {new} new, and not {loaded:?}");
        Ok(())
    }

    pub(super) fn load(
        &mut self,
        table: u8,
        keys: impl Iterator<Item = u16>,
        len: u32,
    ) -> recto::Result<()> {
        let order = shuffled(some_twice(keys), u64::from(*self.stamp));
        open(self.txn, table)?;
        let mut loader = self.new_loader(table, TableKind::Map)?;
        let mut after = self.content.clone();
        after.make_table(table);
        let mut new = 0;
        for key in order {
            *self.stamp += 1;
            // Some are much longer than the others.
            let len = if key % 16 == 5 { len.saturating_mul(9) } else { len };
            let value = Value { len, stamp: *self.stamp };
            let bytes = value.bytes();
            loader.push(&key_bytes(key), &bytes)?;
            new += u64::from(!after.put(table, key, value, &bytes));
        }
        let id = open(self.txn, table)?.id();
        self.finish(loader, id, new)?;
        *self.content = after;
        Ok(())
    }

    pub(super) fn gather(
        &mut self,
        table: u8,
        key: u16,
        values: impl Iterator<Item = u16>,
    ) -> recto::Result<()> {
        *self.stamp += 1;
        let order = shuffled(some_twice(values), u64::from(*self.stamp));
        let id = self.open_set(table)?.id();
        let mut loader = self.new_loader(table, TableKind::Set { value_size: size(table) })?;
        let mut after = self.content.clone();
        after.make_set(table);
        let mut new = 0;
        for (n, value) in order.into_iter().enumerate() {
            let key = key.wrapping_add(n as u16 % 2);
            loader.push(&key_bytes(key), &value_bytes(table, value))?;
            new += u64::from(after.insert_pair(table, key, value));
        }
        self.finish(loader, id, new)?;
        *self.content = after;
        Ok(())
    }
}

impl Edit {
    fn random_load(rng: &mut Rng, page_size: usize) -> Edit {
        let (from, step) = (rng.below(80) as u16, 1 + rng.below(3) as u16);
        if rng.chance(1, 3) {
            let table = (MAPS + rng.index(3)) as u8;
            let many = if size(table) == 900 { 60 } else { 400 };
            let count = 1 + rng.below(many) as u16;
            return Edit::Gather { table, key: rng.below(12) as u16, from, count, step };
        }
        let table = if rng.chance(1, 2) { 0 } else { rng.index(MAPS) as u8 };
        let size = page_size as u64;
        let (count, len) = match rng.below(8) {
            // More values than there is room for beside the pairs.
            0 => (4 + rng.below(20), size / 2 + rng.below(size)),
            1 => (4 + rng.below(20), size / 4 + rng.below(size / 4)),
            2 => (1 + rng.below(4), rng.below(40)),
            _ => (40 + rng.below(300), 20 + rng.below(200)),
        };
        Edit::Load { table, from, count: count as u16, step, len: len as u32 }
    }

    /// The same edits, and loads between them.
    pub fn loaded(edits: &[Edit], rng: &mut Rng, page_size: usize) -> Vec<Edit> {
        let mut all = edits.to_vec();
        for _ in 0..1 + rng.below(2) {
            all.insert(rng.index(all.len() + 1), Edit::random_load(rng, page_size));
        }
        all
    }
}
