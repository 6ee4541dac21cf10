//! Any list of operations, against a `BTreeMap` for each table, a `BTreeSet` for each of sets; the full check comes last. When the
//! memory is full the transaction is dropped and the list ends.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use recto::{
    Builder, Database, Durability, Entry, Error, ReadTxn, Result, Savepoint, SetTableMut,
    TableKind, TableOptions, WriteTxn,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

const TABLES: [&str; 3] = ["a", "b", "long name of a table"];
/// Tables of sets, and bytes of their values; 0: any number.
const SETS: [(&str, u16); 3] = [("set", 0), ("set of 8", 8), ("set of 300", 300)];
const MAX_OPS: usize = 400;

/// A key: what is given, then one byte again and again.
#[derive(Arbitrary, Debug, Clone)]
struct Key {
    front: Vec<u8>,
    fill: u8,
    more: u16,
}

impl Key {
    /// Mostly short, sometimes as long as keys can be.
    fn bytes(&self, max: usize) -> Vec<u8> {
        let more = if self.more < 0xc000 { self.more % 8 } else { self.more % 2048 };
        let mut key = self.front.clone();
        key.resize(key.len() + usize::from(more), self.fill);
        key.truncate(max);
        key
    }
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Len {
    Short(u8),
    Leaf(u16),
    Overflow(u16),
}

impl Len {
    fn bytes(self, fill: u8) -> Vec<u8> {
        let len = match self {
            Len::Short(len) => usize::from(len),
            Len::Leaf(len) => usize::from(len) % 2100,
            Len::Overflow(len) => usize::from(len),
        };
        vec![fill; len]
    }
}

#[derive(Arbitrary, Debug)]
enum Op {
    Put(u8, Key, Len, u8),
    /// Keys that share a front and are numbered behind it.
    Fill(u8, Key, u8, Len),
    Delete(u8, Key),
    /// Deletes what stands next to the key.
    DeleteFrom(u8, Key, u8),
    Get(u8, Key),
    Range(u8, Key, Key),
    Drop(u8),
    Commit(bool),
    Abort,
    HoldReader,
    EndReader,
    /// All keys between two, at once.
    CutOut(u8, Key, Key),
    /// So many steps from a key on, to either side; every other pair goes, or gets a new value.
    Walk(u8, Key, u8, bool, Len),
    Save,
    /// Gives up the savepoint below so many newer ones.
    Keep(u8),
    /// Undoes everything since that.
    Back(u8),
    /// Takes so many pairs between two keys out, those with values of even length.
    Extract(u8, Key, Key, u8),
    /// What stands at a key goes, or becomes longer, or is put.
    Enter(u8, Key, Len, u8),
    /// A value that is filled in, or cannot be.
    PutWith(u8, Key, Len, u8, bool),
    Copy(u8, u8),
    /// Counts between two keys, cuts and draws.
    Measure(u8, Key, Key, u8),
    /// A value of a key of a table of sets.
    Insert(u8, Key, Key),
    /// So many values of a key, numbered from here on by these steps.
    InsertMany(u8, Key, u16, u16, u8),
    Remove(u8, Key, Key),
    RemoveMany(u8, Key, u16, u16, u8),
    RemoveAll(u8, Key),
    CutSets(u8, Key, Key),
    DropSet(u8),
    /// Values between two, from both ends.
    Values(u8, Key, Key, Key, u64),
}

#[derive(Arbitrary, Debug)]
struct Input {
    page_shift: u8,
    ops: Vec<Op>,
}

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;
type SetPairs = BTreeSet<(Vec<u8>, Vec<u8>)>;

#[derive(Clone, Default)]
struct Model {
    maps: BTreeMap<&'static str, Pairs>,
    sets: BTreeMap<&'static str, SetPairs>,
}

fn table_of(number: u8) -> &'static str {
    TABLES[usize::from(number) % TABLES.len()]
}

fuzz_target!(|input: Input| {
    let page_size = 4096 << (input.page_shift % 3);
    let db = Builder::default()
        .page_size(page_size)
        .stage_bytes(16 * page_size)
        .reserve(64 << 20)
        .in_memory()
        .expect("memory suffices");
    let mut committed = Model::default();
    let mut readers: Vec<(ReadTxn, Model)> = Vec::new();
    let mut ops = input.ops.iter().take(MAX_OPS).peekable();
    'run: while ops.peek().is_some() {
        let mut model = committed.clone();
        let mut txn = db.write().expect("nobody else writes");
        let mut durability = None;
        let mut saved: Vec<(Savepoint, Model)> = Vec::new();
        for op in ops.by_ref() {
            match op {
                Op::Save => saved.push((txn.savepoint().expect("ids are left"), model.clone())),
                Op::Keep(down) if !saved.is_empty() => {
                    let at = saved.len() - 1 - usize::from(*down) % saved.len();
                    let mut gone = saved.drain(at..);
                    let (savepoint, _) = gone.next().expect("one at least");
                    txn.release(savepoint).expect("it stands");
                    for (savepoint, _) in gone {
                        let ended = txn.release(savepoint);
                        assert!(matches!(ended, Err(Error::NoSuchSavepoint)));
                    }
                }
                Op::Back(down) if !saved.is_empty() => {
                    let at = saved.len() - 1 - usize::from(*down) % saved.len();
                    saved.truncate(at + 1);
                    txn.rollback_to(&saved[at].0).expect("it stands");
                    model = saved[at].1.clone();
                }
                Op::Commit(durable) => {
                    durability =
                        Some(if *durable { Durability::Durable } else { Durability::Deferred });
                    break;
                }
                Op::Abort => break,
                Op::HoldReader if readers.len() < 6 => {
                    readers.push((db.read().expect("a slot is free"), committed.clone()));
                }
                Op::EndReader if !readers.is_empty() => {
                    let (txn, model) = readers.remove(0);
                    same(&txn, &model);
                }
                op => {
                    if apply(&mut txn, &mut model, op, db.max_key_len()).is_err() {
                        // What was done by half can be undone.
                        let Some((savepoint, then)) = saved.last() else { break 'run };
                        txn.rollback_to(savepoint).expect("it stands");
                        model = then.clone();
                    }
                }
            }
        }
        if let Some(durability) = durability {
            txn.set_durability(durability);
            if or_full(txn.commit()).is_err() {
                break 'run;
            }
            committed = model;
        }
    }
    for (txn, model) in &readers {
        same(txn, model);
    }
    drop(readers);
    finish(&db, &committed);
});

/// No error but a full memory is to be expected.
fn or_full<T>(result: Result<T>) -> Result<T> {
    if let Err(e) = &result {
        assert!(matches!(e, Error::DiskFull { .. }), "{e}");
    }
    result
}

/// An error: the memory is full.
fn apply(txn: &mut WriteTxn, model: &mut Model, op: &Op, max: usize) -> Result<()> {
    match op {
        Op::Put(table, key, len, fill) => {
            put(txn, model, table_of(*table), key.bytes(max), len.bytes(*fill))?;
        }
        Op::Fill(table, key, count, len) => {
            for i in 0..*count {
                let mut key = key.bytes(max - 1);
                key.push(i);
                put(txn, model, table_of(*table), key, len.bytes(i))?;
            }
        }
        Op::Delete(table, key) => delete(txn, model, table_of(*table), &key.bytes(max))?,
        Op::DeleteFrom(table, key, count) => {
            let name = table_of(*table);
            let Some(pairs) = model.maps.get(name) else { return Ok(()) };
            let keys: Vec<_> = pairs
                .range(key.bytes(max)..)
                .take(usize::from(*count))
                .map(|(key, _)| key.clone())
                .collect();
            keys.iter().try_for_each(|key| delete(txn, model, name, key))?;
        }
        Op::Get(table, key) => {
            let (name, key) = (table_of(*table), key.bytes(max));
            let expected = model.maps.get(name).and_then(|pairs| pairs.get(&key));
            match txn.table(name) {
                Ok(table) => {
                    assert_eq!(table.get(&key).expect("intact"), expected.map(|v| &v[..]));
                }
                Err(_) => assert!(!model.maps.contains_key(name)),
            }
        }
        Op::Range(table, from, to) => {
            let name = table_of(*table);
            if let (Ok(table), Some(pairs)) = (txn.table(name), model.maps.get(name)) {
                let (from, to) = (from.bytes(max), to.bytes(max));
                let range = table.range(&from..&to);
                let found = range.expect("intact").map(|pair| pair.expect("intact"));
                let found = found.map(|(key, value)| (key.to_vec(), value.to_vec()));
                let expected = pairs.iter().filter(|(key, _)| **key >= from && **key < to);
                assert!(found.eq(expected.map(|(key, value)| (key.clone(), value.clone()))));
            }
        }
        Op::Drop(table) => {
            let name = table_of(*table);
            let dropped = or_full(txn.drop_table(name))?;
            assert_eq!(dropped, model.maps.remove(name).is_some());
        }
        Op::CutOut(table, from, to) => {
            let name = table_of(*table);
            let (from, to) = (from.bytes(max), to.bytes(max));
            let mut table = or_full(txn.open_table(name))?;
            let gone = or_full(table.delete_range(&from..&to))?;
            let pairs = model.maps.entry(name).or_default();
            let before = pairs.len();
            pairs.retain(|key, _| *key < from || *key >= to);
            assert_eq!(gone, (before - pairs.len()) as u64);
        }
        Op::Walk(table, key, steps, forward, len) => {
            let (name, key) = (table_of(*table), key.bytes(max));
            let id = or_full(txn.open(name))?;
            let pairs = model.maps.entry(name).or_default();
            let mut cursor = txn.cursor(id);
            let mut at = match forward {
                true => pairs.range(key.clone()..).next(),
                false => pairs.range(..=key.clone()).next_back(),
            }
            .map(|(key, _)| key.clone());
            let found = match forward {
                true => cursor.seek(txn, &key),
                false => cursor.seek_back(txn, &key),
            };
            assert_eq!(found.expect("intact").map(|(key, _)| key), at.as_deref());
            for step in 0..*steps {
                let Some(here) = at else { break };
                match step % 4 {
                    1 => {
                        assert!(or_full(cursor.delete(txn))?);
                        pairs.remove(&here);
                    }
                    3 => {
                        let value = len.bytes(step);
                        assert!(or_full(cursor.put(txn, &value))?);
                        pairs.insert(here.clone(), value);
                    }
                    _ => {}
                }
                let beside = Bound::Excluded(&here[..]);
                at = match forward {
                    true => pairs.range::<[u8], _>((beside, Bound::Unbounded)).next(),
                    false => pairs.range::<[u8], _>((Bound::Unbounded, beside)).next_back(),
                }
                .map(|(key, _)| key.clone());
                let found = if *forward { cursor.next(txn) } else { cursor.prev(txn) };
                let expected = at.as_ref().map(|key| (&key[..], &pairs[key][..]));
                assert_eq!(found.expect("intact"), expected);
            }
        }
        Op::Extract(table, from, to, most) => {
            let name = table_of(*table);
            let (from, to) = (from.bytes(max), to.bytes(max));
            let mut table = or_full(txn.open_table(name))?;
            let pairs = model.maps.entry(name).or_default();
            let even = |value: &[u8]| value.len().is_multiple_of(2);
            let goes =
                |(key, value): &(&Vec<u8>, &Vec<u8>)| **key >= from && **key < to && even(value);
            let wanted: Vec<_> = (pairs.iter().filter(goes).take(usize::from(*most)))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            let walk = table.extract_if(&from..&to, |_, value| even(value));
            for (taken, wanted) in walk.take(usize::from(*most)).zip(&wanted) {
                assert_eq!(or_full(taken)?, *wanted);
                pairs.remove(&wanted.0);
            }
        }
        Op::Enter(table, key, len, fill) => {
            let (name, key, value) = (table_of(*table), key.bytes(max), len.bytes(*fill));
            let mut table = or_full(txn.open_table(name))?;
            let pairs = model.maps.entry(name).or_default();
            match or_full(table.entry(&key))? {
                Entry::Occupied(there) if fill.is_multiple_of(2) => {
                    assert_eq!(Some(or_full(there.remove())?), pairs.remove(&key));
                }
                entry => {
                    let entry = or_full(entry.and_modify(|value| value.push(*fill)))?;
                    let there = or_full(entry.or_insert(&value))?;
                    let now =
                        pairs.entry(key.clone()).and_modify(|v| v.push(*fill)).or_insert(value);
                    assert_eq!(there.get().expect("intact"), now);
                }
            }
        }
        Op::PutWith(table, key, len, fill, fails) => {
            let (name, key, value) = (table_of(*table), key.bytes(max), len.bytes(*fill));
            let mut table = or_full(txn.open_table(name))?;
            let pairs = model.maps.entry(name).or_default();
            let put = table.try_put_with(&key, value.len(), |bytes| {
                assert!(bytes.iter().all(|byte| *byte == 0));
                bytes.copy_from_slice(&value);
                if *fails { Err(Error::OutOfOrder) } else { Ok(()) }
            });
            match put {
                Err(Error::OutOfOrder) if *fails => {}
                put => assert_eq!(or_full(put)?, pairs.insert(key, value).is_some()),
            }
        }
        Op::Copy(from, to) => {
            let (from, to) = (table_of(*from), table_of(*to));
            match txn.copy_table(from, to) {
                Err(Error::NoSuchTable(_)) => assert!(!model.maps.contains_key(from)),
                Err(Error::TableExists(_)) => assert!(model.maps.contains_key(to)),
                copied => {
                    or_full(copied)?;
                    let pairs = model.maps[from].clone();
                    assert!(model.maps.insert(to, pairs).is_none());
                }
            }
        }
        Op::Measure(table, from, to, number) => {
            let name = table_of(*table);
            if let (Ok(table), Some(pairs)) = (txn.table(name), model.maps.get(name)) {
                let (from, to) = (from.bytes(max), to.bytes(max));
                let within = pairs.keys().filter(|key| **key >= from && **key < to).count();
                assert_eq!(table.count_range(&from..&to).expect("intact"), within as u64);
                let about = table.estimate_range(&from..&to).expect("intact");
                assert!(about <= table.len() && (within > 0 || about == 0));
                let cuts = table.split_range(&from..&to, usize::from(*number)).expect("intact");
                assert!(cuts.is_sorted() && cuts.iter().all(|key| pairs.contains_key(key)));
                assert!(cuts.iter().all(|key| *key > from && *key < to));
                for (key, value) in table.sample(usize::from(*number), 7).expect("intact") {
                    assert_eq!(pairs[&key[..]], value);
                }
            }
        }
        Op::Insert(table, key, value) => {
            let size = set_of(*table).1;
            pair(txn, model, *table, &key.bytes(max), sized(size, value.bytes(max)), true)?;
        }
        Op::Remove(table, key, value) => {
            let size = set_of(*table).1;
            pair(txn, model, *table, &key.bytes(max), sized(size, value.bytes(max)), false)?;
        }
        Op::InsertMany(table, key, from, count, step) => {
            many(txn, model, *table, key.bytes(max), [*from, *count], *step, true)?;
        }
        Op::RemoveMany(table, key, from, count, step) => {
            many(txn, model, *table, key.bytes(max), [*from, *count], *step, false)?;
        }
        Op::RemoveAll(table, key) => {
            let (name, size) = set_of(*table);
            let key = key.bytes(max);
            let gone = or_full(open_set(txn, name, size)?.remove_all(&key))?;
            let pairs = model.sets.entry(name).or_default();
            let before = pairs.len();
            pairs.retain(|pair| pair.0 != key);
            assert_eq!(gone, (before - pairs.len()) as u64);
        }
        Op::CutSets(table, from, to) => {
            let (name, size) = set_of(*table);
            let (from, to) = (from.bytes(max), to.bytes(max));
            let gone = or_full(open_set(txn, name, size)?.delete_range(&from..&to))?;
            let pairs = model.sets.entry(name).or_default();
            let before = pairs.len();
            pairs.retain(|pair| pair.0 < from || pair.0 >= to);
            assert_eq!(gone, (before - pairs.len()) as u64);
        }
        Op::DropSet(table) => {
            let name = set_of(*table).0;
            let dropped = or_full(txn.drop_table(name))?;
            assert_eq!(dropped, model.sets.remove(name).is_some());
        }
        Op::Values(table, key, from, to, turns) => {
            let name = set_of(*table).0;
            let (Ok(set), Some(pairs)) = (txn.set(name), model.sets.get(name)) else {
                return Ok(());
            };
            let (key, from, to) = (key.bytes(max), from.bytes(max), to.bytes(max));
            let is_in = |pair: &&(Vec<u8>, Vec<u8>)| pair.0 == key && pair.1 >= from && pair.1 < to;
            let mut expected: Vec<_> = pairs.iter().filter(is_in).map(|pair| &pair.1[..]).collect();
            let mut values = set.values(&key, &from..&to).expect("intact");
            for turn in 0.. {
                let forward = turns.rotate_right(turn) & 1 > 0;
                let found = if forward { values.next() } else { values.next_back() };
                let wanted = match (expected.is_empty(), forward) {
                    (true, _) => None,
                    (_, true) => Some(expected.remove(0)),
                    (_, false) => expected.pop(),
                };
                assert_eq!(found.map(|value| value.expect("intact")).as_deref(), wanted);
                if wanted.is_none() {
                    break;
                }
            }
        }
        Op::Commit(_) | Op::Abort | Op::HoldReader | Op::EndReader => {}
        Op::Save | Op::Keep(_) | Op::Back(_) => {}
    }
    Ok(())
}

fn set_of(number: u8) -> (&'static str, u16) {
    SETS[usize::from(number) % SETS.len()]
}

fn open_set<'t>(txn: &'t mut WriteTxn, name: &str, size: u16) -> Result<SetTableMut<'t>> {
    or_full(txn.open_set_with(name, &TableOptions::set_of(size)))
}

/// A value as long as the table wants it.
fn sized(size: u16, mut value: Vec<u8>) -> Vec<u8> {
    if size > 0 {
        value.resize(size.into(), 0);
    }
    value
}

/// Inserts or removes a pair.
fn pair(
    txn: &mut WriteTxn,
    model: &mut Model,
    table: u8,
    key: &[u8],
    value: Vec<u8>,
    insert: bool,
) -> Result<()> {
    let (name, size) = set_of(table);
    let mut set = open_set(txn, name, size)?;
    let pairs = model.sets.entry(name).or_default();
    if insert {
        let new = or_full(set.insert(key, &value))?;
        assert_eq!(new, pairs.insert((key.to_vec(), value)));
    } else {
        let there = or_full(set.remove(key, &value))?;
        assert_eq!(there, pairs.remove(&(key.to_vec(), value)));
    }
    Ok(())
}

/// The same with many values of a key.
fn many(
    txn: &mut WriteTxn,
    model: &mut Model,
    table: u8,
    key: Vec<u8>,
    [from, count]: [u16; 2],
    step: u8,
    insert: bool,
) -> Result<()> {
    for n in (from..from.saturating_add(count % 700)).step_by(usize::from(step % 7) + 1) {
        let value = sized(set_of(table).1, n.to_be_bytes().to_vec());
        pair(txn, model, table, &key, value, insert)?;
    }
    Ok(())
}

fn put(
    txn: &mut WriteTxn,
    model: &mut Model,
    name: &'static str,
    key: Vec<u8>,
    value: Vec<u8>,
) -> Result<()> {
    let replaced = or_full(or_full(txn.open_table(name))?.put(&key, &value))?;
    assert_eq!(replaced, model.maps.entry(name).or_default().insert(key, value).is_some());
    Ok(())
}

fn delete(txn: &mut WriteTxn, model: &mut Model, name: &'static str, key: &[u8]) -> Result<()> {
    let deleted = or_full(or_full(txn.open_table(name))?.delete(key))?;
    assert_eq!(deleted, model.maps.entry(name).or_default().remove(key).is_some());
    Ok(())
}

/// A snapshot shows what the model holds, from both ends.
fn same(txn: &ReadTxn, model: &Model) {
    let (sets, maps): (Vec<_>, Vec<_>) =
        txn.tables().expect("intact").into_iter().partition(|t| t.options.kind != TableKind::Map);
    assert!(maps.iter().map(|t| &t.name).eq(model.maps.keys()), "{maps:?}");
    assert!(sets.iter().map(|t| &t.name).eq(model.sets.keys()), "{sets:?}");
    for (name, pairs) in &model.sets {
        let set = txn.set(name).expect("is listed");
        let owned = |pair: Result<(recto::Key<'_>, recto::Key<'_>)>| {
            pair.map(|(key, value)| (key.to_vec(), value.to_vec())).expect("intact")
        };
        assert!(set.pairs(..).expect("intact").map(owned).eq(pairs.iter().cloned()));
        let back = set.pairs(..).expect("intact").rev().map(owned);
        assert!(back.eq(pairs.iter().rev().cloned()));
        let keys: BTreeSet<_> = pairs.iter().map(|pair| &pair.0).collect();
        assert_eq!((set.len(), set.key_count()), (pairs.len() as u64, keys.len() as u64));
        for key in keys {
            let of_key = pairs.iter().filter(|pair| pair.0 == *key).map(|pair| &pair.1);
            assert_eq!(set.count(key).expect("intact"), of_key.clone().count() as u64);
            if let Some(value) = of_key.last() {
                assert!(set.contains(key, value).expect("intact"));
            }
        }
    }
    for (name, pairs) in &model.maps {
        let table = txn.table(name).expect("is listed");
        assert_eq!(table.len(), pairs.len() as u64);
        let mut all = table.iter().expect("intact");
        for (key, value) in pairs {
            let (k, v) = all.next().expect("no pair is missing").expect("intact");
            assert!(k[..] == key[..] && v == &value[..], "{name}: {key:?}");
        }
        assert!(all.next().is_none());
        let back = table.iter().expect("intact").rev().map(|pair| pair.expect("intact").0.to_vec());
        assert!(back.eq(pairs.keys().rev().cloned()));
        let mut lent = table.iter().expect("intact");
        for (key, value) in pairs {
            assert_eq!(lent.next_ref().expect("intact"), Some((&key[..], &value[..])));
        }
        let keys: Vec<_> = pairs.keys().collect();
        let values = table.get_many(&keys).expect("intact");
        assert!(values.into_iter().eq(pairs.values().map(|value| Some(&value[..]))));
    }
}

fn finish(db: &Database, model: &Model) {
    same(&db.read().expect("a slot is free"), model);
    let report = db.check(None).expect("check runs");
    assert_eq!(report.fault_count, 0, "{:?}", report.faults);
}
