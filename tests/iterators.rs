//! Iterators in damaged files: what comes before the error is right, and nothing comes behind it.

mod common;

use common::{assert_clean, memory_dir, open_at};
use recto::typed::{SetDef, TableDef};
use recto::{Change, Database, Error, ReadChecksums, ReadTxn, Result};
use std::fmt::Debug;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

const PAGE: u64 = 4096;
const MAP: TableDef<u32, &[u8]> = TableDef::new("map");
const SIZED: SetDef<u32, u64> = SetDef::new("sized");

/// Keys of the tables, and values of each key in those of sets: in the leaf, and in trees.
const KEYS: u32 = 12;
fn values(key: u32) -> Range<u64> {
    0..[1, 30, 700][key as usize % 3]
}

fn fill(db: &Database, round: u8) -> Result<()> {
    let mut txn = db.write()?;
    let mut map = txn.typed_mut(&MAP)?;
    for key in (0..600).step_by(if round == 0 { 1 } else { 3 }) {
        map.put(key, &[round; 70])?;
    }
    if round == 0 {
        for key in 0..KEYS {
            let mut sized = txn.typed_set_mut(&SIZED)?;
            values(key).try_for_each(|value| sized.insert(key, value).map(drop))?;
            let mut any = txn.open_set("any")?;
            values(key).try_for_each(|value| {
                any.insert(&key.to_be_bytes(), &value.to_be_bytes()).map(drop)
            })?;
        }
    }
    txn.commit()
}

/// What could be made; None where it met damage.
fn made<T>(what: &str, made: Result<T>) -> Option<T> {
    match made {
        Ok(made) => Some(made),
        Err(Error::Corrupt { .. }) => None,
        Err(e) => panic!("{what}: {e}"),
    }
}

/// Takes from both ends by turns until an error comes, or the end: each item is among those that
/// are there, and behind an error there is none. True if one has come.
fn walk<T: PartialEq + Debug>(
    what: &str,
    iter: Result<impl DoubleEndedIterator<Item = Result<T>>>,
    expected: &[T],
    turns: u8,
) -> bool {
    let mut left = expected;
    let Some(mut iter) = made(what, iter) else { return true };
    for turn in 0.. {
        let forward = turns >> (turn % 8) & 1 == 1;
        let Some(item) = (if forward { iter.next() } else { iter.next_back() }) else { break };
        let item = match item {
            Ok(item) => item,
            Err(Error::Corrupt { .. }) => {
                let more = [iter.next(), iter.next_back(), iter.next(), iter.next_back()];
                assert!(more.iter().all(Option::is_none), "{what}: {more:?} behind an error");
                return true;
            }
            Err(e) => panic!("{what}: {e}"),
        };
        let next = if forward { left.split_off_first() } else { left.split_off_last() };
        assert_eq!(Some(&item), next, "{what}");
    }
    assert!(left.is_empty(), "{what}: it ends before {} more", left.len());
    false
}

/// Walks in every way over all that there is; how many met an error.
fn read_all(txn: &Arc<ReadTxn>, before: &ReadTxn, turns: u8) -> usize {
    let round = |key: u32| u8::from(key.is_multiple_of(3));
    let pairs: Vec<_> = (0..600).map(|key| (key, vec![round(key); 70])).collect();
    let bytes: Vec<_> = pairs.iter().map(|(k, v)| (k.to_be_bytes().to_vec(), v.clone())).collect();
    let of_sets: Vec<_> = (0..KEYS).flat_map(|k| values(k).map(move |v| (k, v))).collect();
    let set_bytes: Vec<_> =
        of_sets.iter().map(|(k, v)| (k.to_be_bytes().to_vec(), v.to_be_bytes().to_vec())).collect();
    let keys: Vec<_> = (0..KEYS).map(|key| key.to_be_bytes().to_vec()).collect();

    let mut met = Vec::new();
    let table = txn.table("map").and_then(|table| table.iter());
    let table = table.map(|iter| iter.map(|p| p.map(|(k, v)| (k.into_vec(), v.to_vec()))));
    met.push(walk("range", table, &bytes, turns));
    let owned = txn.owned_table("map").and_then(|table| table.iter());
    met.push(walk("owned range", owned, &bytes, turns));
    if let Some(typed) = made("typed table", txn.typed(&MAP)) {
        let typed = typed.iter().map(|iter| iter.map(|p| p.map(|(k, v)| (k, v.to_vec()))));
        met.push(walk("typed range", typed, &pairs, turns));
    }
    let owned = txn.owned_typed(&MAP).and_then(|table| table.iter());
    met.push(walk("owned typed range", owned, &pairs, turns));
    let changed: Vec<_> = pairs.iter().filter(|(key, _)| round(*key) == 1).collect();
    let changed: Vec<_> = changed.iter().map(|(key, _)| key.to_be_bytes().to_vec()).collect();
    let diff = txn.diff(before, "map", ..).map(|iter| {
        iter.map(|item| {
            item.map(|(key, change)| {
                assert_eq!(change, Change::Changed { old: &[0; 70], new: &[1; 70] });
                key.into_vec()
            })
        })
    });
    met.push(walk("diff", diff, &changed, turns));

    for name in ["sized", "any"] {
        let Some(set) = made(name, txn.set(name)) else { continue };
        let range = set.iter().map(|iter| iter.map(|entry| entry.map(|(key, _)| key.into_vec())));
        met.push(walk("keys of sets", range, &keys, turns));
        let range = set.pairs(..);
        let range = range.map(|iter| iter.map(|p| p.map(|(k, v)| (k.into_vec(), v.into_vec()))));
        met.push(walk("pairs of sets", range, &set_bytes, turns));
        for key in 0..KEYS {
            let expected: Vec<_> = values(key).map(|value| value.to_be_bytes().to_vec()).collect();
            let values = set.get(&key.to_be_bytes());
            let values = values.map(|iter| iter.map(|value| value.map(recto::Key::into_vec)));
            met.push(walk("values", values, &expected, turns));
        }
    }
    if let Some(set) = made("typed set", txn.typed_set(&SIZED)) {
        let range = set.iter().map(|iter| iter.map(|entry| entry.map(|(key, _)| key)));
        met.push(walk("typed keys of sets", range, &(0..KEYS).collect::<Vec<_>>(), turns));
        met.push(walk("typed pairs of sets", set.pairs(..), &of_sets, turns));
    }
    met.into_iter().filter(|met| *met).count()
}

/// One page after the other is damaged, and whatever walks over it meets an error that is the last
/// it has to say: also where it is that of the values of one key.
#[test]
fn nothing_comes_behind_an_error() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let mut builder = Database::builder();
    let db = open_at(&path, &builder);
    fill(&db, 0).unwrap();
    let mut txn = db.write().unwrap();
    txn.create_snapshot("before").unwrap();
    txn.commit().unwrap();
    fill(&db, 1).unwrap();
    drop(db);
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let pages = file.metadata().unwrap().len() / PAGE;
    assert!(pages > 60, "{pages} pages");
    builder.read_checksums(ReadChecksums::Always).read_only(true);
    let mut met = 0;
    for page in 2..pages {
        let (at, mut byte) = (page * PAGE + 100 + page * 37 % 3_000, [0]);
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
        let db = open_at(&path, &builder);
        for turns in [0xff, 0, 0x5a] {
            if let (Ok(txn), Ok(before)) = (db.read(), db.read_snapshot("before")) {
                met += read_all(&Arc::new(txn), &before, turns);
            }
        }
        file.write_all_at(&byte, at).unwrap();
    }
    assert!(met > 500, "{met} walks met an error");
    builder.read_only(false);
    let db = open_at(&path, &builder);
    let (txn, before) = (Arc::new(db.read().unwrap()), db.read_snapshot("before").unwrap());
    assert_eq!(read_all(&txn, &before, 0x33), 0);
    assert_clean(&db);
}
