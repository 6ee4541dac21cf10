//! Uses a database in every way there is. What comes back is an error or an answer; where the full
//! check passed before, every answer must be the right one.
//!
//! The right answers are a model: what the tables held at first, and what was done since. It is
//! kept only for databases that passed the check: of others nobody knows what is right.

use super::orders::{Judgement, comparison, fit};
use super::sets::{compare_sets, pair_of, read_set, value_of};
use fastrand::Rng;
use recto::{Database, Durability, Error, Order, ReadTxn, Table, TableInfo, TableKind, WriteTxn};
use std::collections::BTreeMap;
use std::ops::Bound;

/// What is wrong.
pub type Wrong = String;

/// Digests of the values of a table, by key; in a table of sets by pair.
pub type Pairs = BTreeMap<Vec<u8>, u32>;
/// Tables by name.
pub type Model = BTreeMap<String, Pairs>;

/// Pairs of a table that are looked at in full: a damaged tree may show the same leaf any number of
/// times.
pub(super) const MOST_PAIRS: usize = 5_000;
/// Tables that are used.
const MOST_TABLES: usize = 6;

/// A digest of a value that reads all of it.
pub fn digest(value: &[u8]) -> u32 {
    crc32fast::hash(value)
}

/// How far an image was of use.
#[derive(Clone, Copy, Default, Debug)]
pub struct Seen {
    /// It opens as a database.
    pub opened: bool,
    /// The full check found nothing wrong.
    pub clean: bool,
    /// All tables could be read from end to end.
    pub read: bool,
    /// Commits that succeeded.
    pub commits: u32,
    /// Pairs that salvage got out.
    pub salvaged: u64,
}

/// An iterator that is asked again, from both ends, where it gives an error: nothing comes behind
/// that.
pub(super) struct ToTheError<I>(pub I);

impl<I: DoubleEndedIterator<Item = recto::Result<T>>, T> ToTheError<I> {
    fn at(&mut self, item: Option<I::Item>) -> Option<I::Item> {
        if matches!(item, Some(Err(_))) {
            let more = [self.0.next(), self.0.next_back(), self.0.next()];
            assert!(more.iter().all(Option::is_none), "an iterator goes on behind an error");
        }
        item
    }
}

impl<I: DoubleEndedIterator<Item = recto::Result<T>>, T> Iterator for ToTheError<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let item = self.0.next();
        self.at(item)
    }
}

impl<I: DoubleEndedIterator<Item = recto::Result<T>>, T> DoubleEndedIterator for ToTheError<I> {
    fn next_back(&mut self) -> Option<I::Item> {
        let item = self.0.next_back();
        self.at(item)
    }
}

/// One database in use.
pub struct Exercise<'a> {
    /// Decides what is done.
    pub rng: &'a mut Rng,
    /// What must be there; none if nobody knows.
    pub model: Option<Model>,
    /// What happened.
    pub seen: Seen,
    /// What is known of orders of functions; none where the check has found something.
    pub judgement: Option<Judgement>,
    /// The lock file lies: the check may wait a second for a moment that never comes, so it is
    /// seldom asked for.
    pub lies: bool,
    /// Nothing has been written yet, and what the free lists have is in no tree.
    pub free_once: bool,
}

/// An error is an answer, unless the database is known to be sound.
fn expect<T>(sound: bool, what: &str, result: recto::Result<T>) -> Result<Option<T>, Wrong> {
    match result {
        Ok(value) => Ok(Some(value)),
        // True of a file, or a slot that is not followed, with the last id there is; then nothing
        // can be written.
        Err(e) if e.to_string().contains("no transaction id is left") => Ok(None),
        // Of a newer version, to whoever reads it as good as any other.
        Err(Error::Features { to_write: true, .. }) => Ok(None),
        Err(e) if sound => Err(format!("{what} a database that passes the check: {e}")),
        Err(_) => Ok(None),
    }
}

impl Exercise<'_> {
    /// Reads, writes, reads again. The database may be in use by others meanwhile.
    pub fn run(&mut self, db: &Database) -> Result<(), Wrong> {
        let sound = self.model.is_some();
        let info = expect(sound, "info of", db.info())?;
        std::hint::black_box(info);
        let before = expect(sound, "reading", db.read())?;
        if let Some(txn) = &before {
            self.seen.read |= self.read(txn)?;
        }
        self.named(db)?;
        let mut held = before.as_ref().and_then(Held::begin);
        self.write(db)?;
        if let Some(held) = &mut held {
            held.go_on(sound)?;
        }
        self.check(db)?;
        if let Some(txn) = expect(sound, "reading", db.read())? {
            self.read(&txn)?;
            if let Some(before) = &before {
                let compared = compare(before, &txn, self.rng);
                let contradicted = expect(sound, "comparing two snapshots of", compared)?.flatten();
                // In a damaged tree whose keys are out of order anything may come.
                if let Some(what) = contradicted.filter(|_| sound) {
                    return Err(format!("differences between two snapshots: {what}"));
                }
            }
        }
        Ok(())
    }

    /// Reads the named snapshots, gives another name and drops one.
    fn named(&mut self, db: &Database) -> Result<(), Wrong> {
        let sound = self.model.is_some();
        let list = expect(sound, "listing snapshots of", db.snapshots())?.unwrap_or_default();
        for info in list.iter().take(MOST_TABLES) {
            let txn = expect(sound, "reading a snapshot of", db.read_snapshot(&info.name))?;
            let Some(txn) = txn else { continue };
            let whole = model_of(&txn);
            if sound {
                whole?;
            }
            drop(txn.tables());
        }
        let renamed = || {
            let mut txn = db.write()?;
            txn.create_snapshot("of exercise")?;
            if let Some(info) = list.first() {
                txn.drop_snapshot(&info.name)?;
            }
            txn.commit()
        };
        match renamed() {
            // From the time before.
            Err(Error::SnapshotExists(_)) => Ok(()),
            other => expect(sound, "naming a state of", other).map(drop),
        }
    }

    fn check(&mut self, db: &Database) -> Result<(), Wrong> {
        let sound = self.model.is_some();
        if self.lies && self.rng.u8(..32) > 0 {
            return Ok(());
        }
        match expect(sound, "checking", db.check(None))? {
            Some(report) if sound && !report.is_clean() => {
                Err(format!("the check after writing: {:?}", report.faults))
            }
            _ => Ok(()),
        }
    }

    /// Reads everything, forwards and back; true if all of it could be read.
    pub fn read(&mut self, txn: &ReadTxn) -> Result<bool, Wrong> {
        let sound = self.model.is_some();
        let Some(tables) = expect(sound, "listing", txn.tables())? else { return Ok(false) };
        if let Some(model) = &self.model {
            let listed = tables.iter().map(|t| &t.name);
            if !listed.eq(model.keys()) {
                return Err(format!("tables {tables:?} instead of {:?}", model.keys()));
            }
        }
        let mut all = true;
        for info in tables.iter().take(if sound { usize::MAX } else { MOST_TABLES }) {
            let read = expect(sound, "reading a table of", read_any(txn, info, self.rng))?;
            all &= read.is_some();
            let expected = self.model.as_ref().and_then(|model| model.get(&info.name));
            let (Some((found, said)), Some(expected)) = (read, expected) else { continue };
            if found != *expected || said != expected.len() as u64 {
                let len = (found.len(), said, expected.len());
                return Err(format!("table {:?} holds other pairs: {len:?}", info.name));
            }
        }
        Ok(all)
    }

    /// A number of transactions; each may fail, the next is begun all the same.
    fn write(&mut self, db: &Database) -> Result<(), Wrong> {
        let sound = self.model.is_some();
        let names = match expect(sound, "listing", db.read().and_then(|txn| txn.tables()))? {
            Some(tables) => tables.into_iter().map(|t| t.name).collect(),
            None => Vec::new(),
        };
        self.apart(db, &names)?;
        self.transaction(db, Durability::Durable, |step| step.change_in_turn(&names))?;
        for name in names.iter().take(MOST_TABLES) {
            let keys = expect(sound, "reading", keys_of(db, name))?.unwrap_or_default();
            self.transaction(db, Durability::Durable, |step| step.change(name, &keys))?;
            self.transaction(db, Durability::Deferred, |step| step.walk_and_cut(name, &keys))?;
        }
        self.transaction(db, Durability::Deferred, |step| step.change_in_turn(&names))?;
        for round in 0..4u8 {
            self.transaction(db, Durability::Deferred, |step| {
                step.put("new", &[round], &[round; 100])?;
                step.put("new", b"large", &vec![round; 9000 << (round % 3)])
            })?;
        }
        if let Some(name) = self.rng.choice(&names) {
            self.transaction(db, Durability::Durable, |step| step.drop_table(name))?;
        }
        if let Some(name) = self.rng.choice(&names) {
            self.transaction(db, Durability::Deferred, |step| step.rename(name))?;
        }
        // One that is given up half-way.
        if let Some(mut txn) = expect(sound, "writing to", db.write())? {
            let dropped = names.iter().find(|_| sound || self.rng.bool());
            let tried = dropped.map(|name| txn.drop_table(name).map(drop));
            expect(sound, "dropping a table of", tried.unwrap_or(Ok(())))?;
            let put = txn.open_table("given up").and_then(|mut t| t.put(b"a", &[1; 6000]));
            expect(sound, "writing to", put)?;
            let listed = txn.tables();
            expect(sound, "listing", listed)?;
            txn.abort();
        }
        expect(sound, "flushing", db.flush())?;
        Ok(())
    }

    /// T6: a table that is made in a transaction has pages of its own, whatever the trees of the
    /// others share: they take away what they hold, append, and take away again, and it holds what
    /// was put into it. The transaction is given up.
    fn apart(&mut self, db: &Database, names: &[String]) -> Result<(), Wrong> {
        // Else a page that is taken for it may be in another tree already.
        if !std::mem::take(&mut self.free_once) {
            return Ok(());
        }
        let sound = self.model.is_some();
        let Some(mut txn) = expect(sound, "writing to", db.write())? else { return Ok(()) };
        let mut put = Pairs::new();
        let mut turns = || -> recto::Result<()> {
            for round in 0..60u32 {
                for name in names.iter().take(MOST_TABLES) {
                    let options = txn.table_options(name)?.unwrap_or_default();
                    if options.kind != TableKind::Map {
                        continue;
                    }
                    let mut table = txn.open_table(name)?;
                    let key = [&[0xff; 8][..], &round.to_be_bytes()].concat();
                    let key = fit(&options.order, &key);
                    let done = match self.rng.u8(..8) {
                        0 => table.delete_range(..).map(drop),
                        1..4 => table.pop_last().map(drop),
                        4 => table.pop_first().map(drop),
                        _ => table.put(&key, &[1; 60]).map(drop),
                    };
                    // In a damaged file one that fails does not keep the others from going on.
                    done.or_else(|e| if sound { Err(e) } else { Ok(()) })?;
                }
                for part in 0..3u8 {
                    let key = [&round.to_be_bytes()[..], &[part]].concat();
                    txn.open_table("apart")?.put(&key, &[part; 500])?;
                    put.insert(key, digest(&[part; 500]));
                }
            }
            let mut found = Pairs::new();
            for pair in txn.table("apart")?.iter()? {
                let (key, value) = pair?;
                found.insert(key.into_vec(), digest(value));
            }
            put.retain(|key, value| found.remove(key) != Some(*value));
            put.append(&mut found);
            Ok(())
        };
        let done = expect(sound, "a table made apart in", turns())?;
        txn.abort();
        match done {
            Some(()) if !put.is_empty() => {
                Err(format!("a table of its own holds {} other pairs", put.len()))
            }
            _ => Ok(()),
        }
    }

    fn transaction(
        &mut self,
        db: &Database,
        durability: Durability,
        work: impl FnOnce(&mut Step<'_>) -> recto::Result<()>,
    ) -> Result<(), Wrong> {
        let sound = self.model.is_some();
        let Some(mut txn) = expect(sound, "writing to", db.write())? else { return Ok(()) };
        txn.set_durability(durability);
        if self.seen.commits.is_multiple_of(2) {
            expect(sound, "undoing a part of", undone(&mut txn))?;
        }
        let mut model = self.model.clone();
        let mut step = Step { txn: &mut txn, model: model.as_mut(), rng: self.rng };
        let worked = work(&mut step);
        let committed = worked.and_then(|()| txn.commit());
        if expect(sound, "writing to", committed)?.is_some() {
            self.model = model;
            self.seen.commits += 1;
        }
        Ok(())
    }
}

/// Much is changed, and all of it undone.
fn undone(txn: &mut WriteTxn) -> recto::Result<()> {
    let mut outer = txn.nested()?;
    outer.open_table("undone")?.put(b"a", &[1; 6000])?;
    let mut inner = outer.nested()?;
    for table in inner.tables()? {
        inner.drop_table(&table.name)?;
    }
    inner.commit()?;
    outer.rollback()
}

/// A write transaction, and the model as it will be.
pub(super) struct Step<'a> {
    pub(super) txn: &'a mut WriteTxn,
    model: Option<&'a mut Model>,
    pub(super) rng: &'a mut Rng,
}

impl Step<'_> {
    pub(super) fn pairs(&mut self, name: &str) -> Option<&mut Pairs> {
        self.model.as_mut().map(|model| model.entry(name.into()).or_default())
    }

    /// The order of the keys of a table, also of one that is not there yet.
    pub(super) fn order(&self, name: &str) -> recto::Result<Order> {
        Ok(self.txn.table_options(name)?.unwrap_or_default().order)
    }

    fn put(&mut self, name: &str, key: &[u8], value: &[u8]) -> recto::Result<()> {
        let key = &*fit(&self.order(name)?, key);
        if let Some(size) = self.set_size(name)? {
            return self.insert_pair(name, key, &value_of(size, digest(value).into()));
        }
        self.txn.open_table(name)?.put(key, value)?;
        if let Some(pairs) = self.pairs(name) {
            pairs.insert(key.to_vec(), digest(value));
        }
        Ok(())
    }

    fn delete(&mut self, name: &str, key: &[u8]) -> recto::Result<()> {
        if self.set_size(name)?.is_some() {
            return self.remove_all(name, key);
        }
        self.txn.open_table(name)?.delete(key)?;
        if let Some(pairs) = self.pairs(name) {
            pairs.remove(key);
        }
        Ok(())
    }

    /// Deletes, replaces and inserts.
    fn change(&mut self, name: &str, keys: &[Vec<u8>]) -> recto::Result<()> {
        if let Some(size) = self.set_size(name)? {
            return self.change_set(name, size, keys);
        }
        let salt = self.rng.usize(..3);
        for (i, key) in keys.iter().enumerate() {
            match (i + salt) % 3 {
                0 => self.delete(name, key)?,
                1 => self.put(name, key, &[9; 300])?,
                _ => self.put(name, key, &[9; 5000])?,
            }
        }
        for i in 0..15u32 {
            self.put(name, &(i * 0x0101_0101).to_be_bytes(), &[7; 200])?;
        }
        let mut table = self.txn.open_table(name)?;
        let last = table.sequence();
        match table.next_sequence() {
            Ok(number) => assert_eq!(number, last + 1, "numbers follow on each other"),
            // A damaged descriptor may say that all have been given out.
            Err(Error::InvalidArgument(_)) => {}
            Err(e) => return Err(e),
        }
        let table = self.txn.table(name)?;
        std::hint::black_box((table.first()?.is_some(), table.last()?.is_some()));
        Ok(())
    }

    /// Appends to tables and takes out of others, one after the other and again: what is kept of
    /// one table from call to call goes through what the others do meanwhile.
    fn change_in_turn(&mut self, names: &[String]) -> recto::Result<()> {
        for round in 0..40u32 {
            for name in names.iter().take(MOST_TABLES) {
                if self.rng.u8(..3) > 0 {
                    let key = [&[0xff; 8][..], &round.to_be_bytes()].concat();
                    self.put(name, &key, &[round as u8; 60])?;
                    continue;
                }
                if let Some(key) = self.end_of(name)? {
                    self.delete(name, &key)?;
                }
            }
        }
        Ok(())
    }

    /// The first or the last key.
    fn end_of(&mut self, name: &str) -> recto::Result<Option<Vec<u8>>> {
        let last = self.rng.bool();
        if self.set_size(name)?.is_some() {
            let table = self.txn.set(name)?;
            let end = if last { table.last()? } else { table.first()? };
            return Ok(end.map(|(key, _)| key.into_vec()));
        }
        let table = self.txn.table(name)?;
        let end = if last { table.last()? } else { table.first()? };
        Ok(end.map(|(key, _)| key.into_vec()))
    }

    /// Walks over some pairs both ways and takes out what it stands on, then all between two keys.
    fn walk_and_cut(&mut self, name: &str, keys: &[Vec<u8>]) -> recto::Result<()> {
        if self.set_size(name)?.is_some() {
            return self.cut_set(name, keys);
        }
        let table = self.txn.open(name)?;
        let mut cursor = self.txn.cursor(table);
        for step in 0..60 {
            let forward = step < 40;
            let found = if forward { cursor.next(self.txn)? } else { cursor.prev(self.txn)? };
            let Some(key) = found.map(|(key, _)| key.to_vec()) else { continue };
            if step % 3 == 1 {
                cursor.delete(self.txn)?;
                if let Some(pairs) = self.pairs(name) {
                    pairs.remove(&key);
                }
            }
        }
        let (Some(from), Some(to)) = (self.rng.choice(keys), self.rng.choice(keys)) else {
            return Ok(());
        };
        let compare = comparison(&self.order(name)?);
        let (from, to) = if compare(from, to).is_lt() { (from, to) } else { (to, from) };
        let gone = self.txn.edit(table)?.delete_range(from..to)?;
        if let Some(pairs) = self.pairs(name) {
            let before = pairs.len();
            pairs.retain(|key, _| compare(key, from).is_lt() || compare(key, to).is_ge());
            assert_eq!(gone, (before - pairs.len()) as u64, "keys that a range held");
        }
        Ok(())
    }

    fn drop_table(&mut self, name: &str) -> recto::Result<()> {
        self.txn.drop_table(name)?;
        if let Some(model) = &mut self.model {
            model.remove(name);
        }
        Ok(())
    }

    fn rename(&mut self, name: &str) -> recto::Result<()> {
        match self.txn.rename_table(name, "renamed") {
            // Dropped a moment ago, or done before.
            Err(Error::NoSuchTable(_) | Error::TableExists(_)) => return Ok(()),
            other => other?,
        }
        if let Some(model) = &mut self.model
            && let Some(pairs) = model.remove(name)
        {
            model.insert("renamed".into(), pairs);
        }
        Ok(())
    }
}

fn keys_of(db: &Database, name: &str) -> recto::Result<Vec<Vec<u8>>> {
    let txn = db.read()?;
    // An error ends the range; the keys in front of it are used.
    if matches!(txn.table_options(name)?, Some(options) if options.kind != TableKind::Map) {
        let range = txn.set(name)?.iter()?;
        return Ok(range.map_while(Result::ok).take(30).map(|(key, _)| key.into_vec()).collect());
    }
    let range = txn.table(name)?.iter()?;
    Ok(range.map_while(Result::ok).take(30).map(|(key, _)| key.into_vec()).collect())
}

/// Reads a table of any kind in every way; its pairs, and how many it says there are.
fn read_any(txn: &ReadTxn, info: &TableInfo, rng: &mut Rng) -> recto::Result<(Pairs, u64)> {
    if info.options.kind != TableKind::Map {
        let table = txn.set(&info.name)?;
        return Ok((read_set(&table, rng)?, table.len()));
    }
    let table = txn.table(&info.name)?;
    let has_prefixes = matches!(info.options.order, Order::Packed | Order::Plain);
    Ok((read_table(&table, has_prefixes, rng)?, table.len()))
}

/// Reads a table in every way; keys with one prefix only where these stand side by side. The error
/// is the first one met; every way is tried all the same.
fn read_table(table: &Table<'_>, has_prefixes: bool, rng: &mut Rng) -> recto::Result<Pairs> {
    let (first, last) = (table.first(), table.last());
    std::hint::black_box((table.stats(), table.get(b"key 007").ok(), table.get(b"").ok()));
    let mut pairs = Pairs::new();
    let mut forwards = Ok(());
    let mut count = 0;
    for pair in ToTheError(table.iter()?) {
        match pair {
            Ok((key, value)) if count < MOST_PAIRS => {
                pairs.insert(key.into_vec(), digest(value));
            }
            Ok(_) => {}
            Err(e) => forwards = Err(e),
        }
        count += 1;
    }
    let mut back = 0;
    let mut backwards = Ok(());
    for pair in ToTheError(table.iter()?).rev() {
        back += 1;
        backwards = pair.map(drop);
    }
    let keys: Vec<&Vec<u8>> = pairs.keys().collect();
    for _ in 0..if keys.is_empty() { 0 } else { 12 } {
        let key = keys[rng.usize(..keys.len())];
        let found = table.get(key);
        let len = if has_prefixes { key.len() / 2 } else { 0 };
        let prefix = match table.prefix(&key[..len]) {
            Err(Error::InvalidArgument(_)) if !has_prefixes => table.iter(),
            prefix => prefix,
        };
        let near = prefix.map(|range| range.take(5).filter(|p| p.is_ok()).count());
        let bounds =
            (Bound::Excluded(&key[..]), Bound::Included(&keys[rng.usize(..keys.len())][..]));
        let between = table.range(bounds).map(|r| r.rev().take(5).count());
        std::hint::black_box((near?, between?));
        if forwards.is_ok() && found?.map(digest) != pairs.get(key).copied() {
            // Only in a tree whose keys are out of order; the caller knows whether it may be one.
            pairs.clear();
            return Ok(pairs);
        }
    }
    forwards?;
    backwards?;
    std::hint::black_box((first?, last?));
    if back != count {
        pairs.clear();
    }
    Ok(pairs)
}

/// Walks over what differs between two snapshots, both ways; what contradicts itself there.
fn compare(old: &ReadTxn, new: &ReadTxn, rng: &mut Rng) -> recto::Result<Option<Wrong>> {
    let mut wrong = None;
    for change in new.diff_tables(old)?.iter().take(MOST_TABLES) {
        let Some(table) = change.new.as_ref().or(change.old.as_ref()) else { continue };
        let both = change.old.iter().chain(&change.new);
        let name = &table.name;
        if both.clone().any(|one| one.options.order != table.options.order) {
            continue;
        }
        let is_set = |table: &TableInfo| table.options.kind != TableKind::Map;
        if both.clone().any(is_set) {
            // One that was made anew as another kind of table is not compared.
            if both.clone().all(is_set)
                && let Some(what) = compare_sets(old, new, name, rng)?
            {
                wrong = Some(what);
            }
            continue;
        }
        let mut count = 0u64;
        for change in ToTheError(new.diff(old, name, ..)?) {
            let (key, change) = change?;
            count += 1;
            std::hint::black_box(change.new().map(digest));
            if count < 64 && rng.u8(..4) == 0 {
                let found = new.table_opt(name)?.map(|t| t.get(&key)).transpose()?.flatten();
                if found != change.new() {
                    wrong = Some(format!("key {} has another value", key.escape_ascii()));
                }
            }
        }
        let mut back = 0u64;
        for change in ToTheError(new.diff(old, name, ..)?).rev() {
            change?;
            back += 1;
        }
        if back != count {
            wrong = Some(format!("{count} of {name:?} forwards, {back} backwards"));
        }
    }
    Ok(wrong)
}

/// A range that was begun before others wrote.
struct Held<'t> {
    range: recto::Range<'t>,
    before: Vec<(Vec<u8>, u32)>,
    table: Table<'t>,
}

impl<'t> Held<'t> {
    fn begin(txn: &'t ReadTxn) -> Option<Held<'t>> {
        let name = txn.tables().ok()?.into_iter().map(|t| t.name).next()?;
        let table = txn.table(&name).ok()?;
        let mut range = table.iter().ok()?;
        let before = range.by_ref().take(3).map_while(Result::ok);
        let before = before.map(|(key, value)| (key.into_vec(), digest(value))).collect();
        Some(Held { range, before, table })
    }

    /// The rest of the range; in a sound database the snapshot is what it was.
    fn go_on(&mut self, sound: bool) -> Result<(), Wrong> {
        for pair in self.range.by_ref() {
            if let Some((_, value)) = expect(sound, "reading on in", pair)? {
                std::hint::black_box(digest(value));
            }
        }
        for (key, value) in &self.before {
            let found = expect(sound, "reading again in", self.table.get(key))?.flatten();
            if sound && found.map(digest) != Some(*value) {
                return Err(format!("a snapshot changed: key {}", key.escape_ascii()));
            }
        }
        Ok(())
    }
}

/// What a database holds that passes the check.
pub fn model_of(txn: &ReadTxn) -> Result<Model, Wrong> {
    let mut model = Model::new();
    let failed = |e: Error| format!("reading a database that passes the check: {e}");
    for info in txn.tables().map_err(failed)? {
        let mut pairs = Pairs::new();
        if info.options.kind != TableKind::Map {
            for pair in txn.set(&info.name).and_then(|t| t.pairs(..)).map_err(failed)? {
                let (key, value) = pair.map_err(failed)?;
                if pairs.insert(pair_of(&key, &value), digest(&value)).is_some() {
                    return Err(format!("a pair of {:?} twice", info.name));
                }
            }
            model.insert(info.name, pairs);
            continue;
        }
        let compare = comparison(&info.options.order);
        let mut last: Option<Vec<u8>> = None;
        for pair in txn.table(&info.name).and_then(|t| t.iter()).map_err(failed)? {
            let (key, value) = pair.map_err(failed)?;
            if last.as_ref().is_some_and(|last| compare(last, &key).is_ge()) {
                return Err(format!("keys of {:?} do not ascend", info.name));
            }
            last = Some(key.to_vec());
            pairs.insert(key.into_vec(), digest(value));
        }
        model.insert(info.name, pairs);
    }
    Ok(model)
}
