//! Cursors and walks over tables of sets that keep their place, or their snapshot, against a sorted
//! set of pairs: LMDB's cursors on databases with `MDB_DUPSORT`.

mod common;

use common::{assert_clean, memory_dir, open_at};
use fastrand::Rng;
use recto::{
    Builder, Database, Durability, Error, Order, OwnedSet, SetCursor, TableOptions, WriteTxn,
};
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

type Pair = (Vec<u8>, Vec<u8>);
type Model = BTreeSet<Pair>;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Side {
    Nowhere,
    Before,
    At,
    After,
}

/// Where a cursor stands, by its documentation.
#[derive(Clone, Debug)]
struct Place {
    side: Side,
    pair: Pair,
}

#[derive(Clone, Debug)]
enum Move {
    First,
    Last,
    Next,
    Prev,
    NextValue,
    PrevValue,
    FirstValue,
    LastValue,
    NextKey,
    PrevKey,
    Seek(Vec<u8>),
    SeekBack(Vec<u8>),
    SeekValue(Pair),
    Find(Pair),
    Current,
}

/// Some move; those to a neighbour most often.
fn any_move(rng: &mut Rng, value_size: u16) -> Move {
    use Move::*;
    let pair = (key(rng), value(rng, value_size));
    let plain = [First, Last, NextValue, PrevValue, FirstValue, LastValue, NextKey, PrevKey];
    match rng.u8(..24) {
        0..5 => Next,
        5..10 => Prev,
        10..12 => NextValue,
        12..14 => PrevValue,
        14 => Seek(pair.0),
        15 => SeekBack(pair.0),
        16 | 17 => SeekValue(pair),
        18 => Find(pair),
        19 => Current,
        _ => plain[rng.usize(..plain.len())].clone(),
    }
}

/// The move by a cursor, whose methods may take a transaction.
macro_rules! moved {
    ($cursor:expr, $to:expr $(, $txn:expr)?) => {
        match $to {
            Move::First => $cursor.first($($txn)?),
            Move::Last => $cursor.last($($txn)?),
            Move::Next => $cursor.next($($txn)?),
            Move::Prev => $cursor.prev($($txn)?),
            Move::NextValue => $cursor.next_value($($txn)?),
            Move::PrevValue => $cursor.prev_value($($txn)?),
            Move::FirstValue => $cursor.first_value($($txn)?),
            Move::LastValue => $cursor.last_value($($txn)?),
            Move::NextKey => $cursor.next_key($($txn)?),
            Move::PrevKey => $cursor.prev_key($($txn)?),
            Move::Seek(key) => $cursor.seek($($txn,)? key),
            Move::SeekBack(key) => $cursor.seek_back($($txn,)? key),
            Move::SeekValue((key, value)) => $cursor.seek_value($($txn,)? key, value),
            Move::Find((key, value)) => $cursor.find($($txn,)? key, value),
            Move::Current => $cursor.current($($txn)?),
        }
        .unwrap()
        .map(|(key, value)| (key.to_vec(), value.to_vec()))
    };
}

impl Place {
    fn new() -> Place {
        Place { side: Side::Nowhere, pair: Pair::default() }
    }

    /// The pair of a cursor that stands on one.
    fn pair(&self) -> Option<(&[u8], &[u8])> {
        (self.side == Side::At).then_some((&*self.pair.0, &*self.pair.1))
    }

    fn go(&mut self, model: &Model, to: &Move) -> Option<Pair> {
        use Side::*;
        let (side, own) = (self.side, self.pair.clone());
        let (key, value) = &own;
        let of_key = || model.iter().filter(move |pair| pair.0 == *key && side != Nowhere);
        let behind = |pair: &&Pair| if side == Before { **pair >= own } else { **pair > own };
        let in_front = |pair: &&Pair| if side == After { **pair <= own } else { **pair < own };
        let all = |pair: &&Pair, is: fn(&&Pair, &Pair, Side) -> bool| {
            side == Nowhere || is(pair, &own, side)
        };
        let is_beside = matches!(side, Before | After);
        let found = match to {
            Move::First => model.first(),
            Move::Last => model.last(),
            Move::Next => model.iter().find(|pair| side == Nowhere || behind(pair)),
            Move::Prev => model.iter().rev().find(|pair| side == Nowhere || in_front(pair)),
            Move::NextValue => of_key().find(behind),
            Move::PrevValue => of_key().rev().find(in_front),
            Move::FirstValue => of_key().next(),
            Move::LastValue => of_key().next_back(),
            Move::NextKey => {
                let with_own = is_beside && of_key().all(|pair| behind(&pair));
                model.iter().find(|pair| {
                    all(pair, |pair, own, _| pair.0 > own.0) || with_own && pair.0 == *key
                })
            }
            Move::PrevKey => {
                let with_own = is_beside && of_key().all(|pair| in_front(&pair));
                model.iter().rev().find(|pair| {
                    all(pair, |pair, own, _| pair.0 < own.0) || with_own && pair.0 == *key
                })
            }
            Move::Seek(key) => model.iter().find(|pair| pair.0 >= *key),
            Move::SeekBack(key) => model.iter().rev().find(|pair| pair.0 <= *key),
            Move::SeekValue((key, value)) => {
                model.iter().find(|pair| pair.0 == *key && pair.1 >= *value)
            }
            Move::Find(pair) => model.get(pair),
            Move::Current => return self.pair().and_then(|_| model.get(&own)).cloned(),
        };
        let stands =
            |side, key: &[u8], value: &[u8]| Place { side, pair: (key.to_vec(), value.to_vec()) };
        *self = match (found, to) {
            (Some((key, value)), _) => stands(At, key, value),
            (None, Move::First | Move::Last) => Place::new(),
            (None, Move::Next) if side == At => stands(After, key, value),
            (None, Move::Prev) if side == At => stands(Before, key, value),
            (None, Move::Seek(key) | Move::SeekBack(key)) => stands(Before, key, b""),
            (None, Move::SeekValue((key, value)) | Move::Find((key, value))) => {
                stands(Before, key, value)
            }
            (None, _) => return None,
        };
        found.cloned()
    }
}

fn key(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..4) {
        0 => format!("rare {:02}", rng.u8(..40)).into_bytes(),
        1 => Vec::new(),
        _ => vec![b'k', rng.u8(..4)],
    }
}

fn value(rng: &mut Rng, value_size: u16) -> Vec<u8> {
    let n = rng.u32(..1_200);
    match value_size {
        0 if n % 300 == 1 => Vec::new(),
        0 if n % 40 == 7 => [&n.to_be_bytes()[..], &vec![7; n as usize % 900]].concat(),
        0 => format!("value {n}").into_bytes(),
        size => {
            let mut value = vec![1; size.into()];
            value[..4].copy_from_slice(&n.to_be_bytes());
            value
        }
    }
}

struct Run {
    rng: Rng,
    value_size: u16,
    model: Model,
    steps: u64,
    /// How often a value has stood in a tree when a cursor moved.
    in_trees: u64,
}

impl Run {
    fn pair(&mut self) -> Pair {
        let near = if self.model.is_empty() { 0 } else { self.rng.usize(..self.model.len()) };
        match self.rng.u8(..3) {
            0 if self.model.len() < 3_000 => self.model.iter().nth(near).cloned(),
            _ => None,
        }
        .unwrap_or_else(|| (key(&mut self.rng), value(&mut self.rng, self.value_size)))
    }

    /// A change that no cursor makes.
    fn foreign(&mut self, txn: &mut WriteTxn, grows: bool) {
        let (key, value) = self.pair();
        let mut table = txn.open_set("sets").unwrap();
        match self.rng.u16(..400) {
            0 => {
                let there = self.model.len();
                self.model.retain(|pair| pair.0 != key);
                assert_eq!(table.remove_all(&key).unwrap() as usize, there - self.model.len());
            }
            1 => {
                table.delete_range(..&key[..]).unwrap();
                self.model.retain(|pair| pair.0 >= key);
            }
            2 => {
                for _ in 0..300 {
                    let value = self::value(&mut self.rng, self.value_size);
                    table.insert(&key, &value).unwrap();
                    self.model.insert((key.clone(), value));
                }
            }
            n if (n % 100 < 60) == grows => {
                let new = table.insert(&key, &value).unwrap();
                assert_eq!(new, self.model.insert((key, value)));
            }
            _ => {
                let there = table.remove(&key, &value).unwrap();
                assert_eq!(there, self.model.remove(&(key, value)));
            }
        }
    }

    /// A move, or a change, of one cursor.
    fn step(&mut self, txn: &mut WriteTxn, cursor: &mut SetCursor, place: &mut Place) {
        self.steps += 1;
        match self.rng.u8(..20) {
            0 => {
                let there = place.pair().is_some() && self.model.remove(&place.pair);
                assert_eq!(cursor.delete(txn).unwrap(), there);
            }
            1 if self.rng.u8(..10) == 0 => {
                let before = self.model.len();
                if place.side == Side::At {
                    self.model.retain(|pair| pair.0 != place.pair.0);
                }
                let gone = (before - self.model.len()) as u64;
                assert_eq!(cursor.delete_key(txn).unwrap(), gone);
            }
            2 => {
                let pair = self.pair();
                let new = cursor.insert(txn, &pair.0, &pair.1).unwrap();
                assert_eq!(new, self.model.insert(pair.clone()));
                *place = Place { side: Side::At, pair };
            }
            _ => {
                let to = any_move(&mut self.rng, self.value_size);
                let was = place.clone();
                let expected = place.go(&self.model, &to);
                assert_eq!(moved!(cursor, &to, txn), expected, "{to:?} from {was:?}");
            }
        }
        assert_eq!(cursor.pair(), place.pair());
        if let Some((key, _)) = place.pair() {
            let count = self.model.iter().filter(|pair| pair.0 == key).count() as u64;
            assert_eq!(cursor.count(txn).unwrap(), count);
        }
    }

    fn transaction(&mut self, db: &Database) {
        let mut txn = db.write().unwrap();
        txn.set_durability(Durability::Deferred);
        let before = self.model.clone();
        let id = txn.open_set("sets").unwrap().id();
        let mut cursors: Vec<_> = (0..3).map(|_| (txn.set_cursor(id), Place::new())).collect();
        cursors[0].0 = txn.open_set("sets").unwrap().cursor();
        let mut point = None;
        let grows = self.rng.u8(..3) > 0;
        for _ in 0..self.rng.u16(1..1_500) {
            match self.rng.u16(..400) {
                0 => point = Some((txn.savepoint().unwrap(), self.model.clone())),
                1 => {
                    if let Some((point, saved)) = &point {
                        txn.rollback_to(point).unwrap();
                        self.model = saved.clone();
                    }
                }
                2..100 => self.foreign(&mut txn, grows),
                n => {
                    let (cursor, place) = &mut cursors[usize::from(n) % 3];
                    self.step(&mut txn, cursor, place);
                }
            }
        }
        self.in_trees += u64::from(txn.view_set(id).unwrap().stats().overflow_pages > 0);
        if self.rng.u8(..5) == 0 {
            drop(txn);
            self.model = before;
        } else {
            txn.commit().unwrap();
        }
    }

    /// The cursors that only read, and the walks that keep their snapshot.
    fn reads(&mut self, db: &Database) {
        let txn = Arc::new(db.read().unwrap());
        let table = txn.owned_set("sets").unwrap();
        let mut owned = table.cursor();
        let mut borrowed = txn.set("sets").unwrap().cursor();
        let mut place = Place::new();
        for _ in 0..100 {
            self.steps += 1;
            let to = any_move(&mut self.rng, self.value_size);
            let was = place.clone();
            let expected = place.go(&self.model, &to);
            assert_eq!(moved!(borrowed, &to), expected, "{to:?} from {was:?}");
            assert_eq!(moved!(owned, &to), expected, "{to:?} from {was:?}");
            let count = place.pair().map_or(0, |(key, _)| table.count(key).unwrap());
            assert_eq!((owned.count().unwrap(), borrowed.count().unwrap()), (count, count));
        }
        for _ in 0..4 {
            self.walks(&table);
        }
    }

    fn walks(&mut self, table: &OwnedSet) {
        let bound = |rng: &mut Rng, of: Vec<u8>| match rng.u8(..3) {
            0 => Bound::Unbounded,
            1 => Bound::Included(of),
            _ => Bound::Excluded(of),
        };
        fn slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
            bound.as_ref().map(Vec::as_slice)
        }
        let ends = [key(&mut self.rng), key(&mut self.rng)].map(|key| bound(&mut self.rng, key));
        let is_in = |ends: &[Bound<Vec<u8>>; 2], bytes: &[u8]| {
            std::ops::RangeBounds::contains(&(slice(&ends[0]), slice(&ends[1])), bytes)
        };
        let expected: Vec<_> =
            self.model.iter().filter(|pair| is_in(&ends, &pair.0)).cloned().collect();
        let pairs = table.pairs((slice(&ends[0]), slice(&ends[1]))).unwrap();
        both_ends(pairs.map(Result::unwrap), expected, &mut self.rng);
        let of = key(&mut self.rng);
        let ends = [0, 1].map(|_| {
            let value = value(&mut self.rng, self.value_size);
            bound(&mut self.rng, value)
        });
        let set: Vec<_> = self.model.iter().filter(|pair| pair.0 == of).cloned().collect();
        let values = table.values(&of, (slice(&ends[0]), slice(&ends[1]))).unwrap();
        assert_eq!(values.set_len(), set.len() as u64);
        let expected = set.into_iter().map(|pair| pair.1).filter(|v| is_in(&ends, v)).collect();
        both_ends(values.map(Result::unwrap), expected, &mut self.rng);
    }
}

/// A walk from both ends in turn gives this, and then nothing.
fn both_ends<T: PartialEq + std::fmt::Debug>(
    mut walk: impl DoubleEndedIterator<Item = T>,
    expected: Vec<T>,
    rng: &mut Rng,
) {
    let share = [0, 1, 5, 9, 10][rng.usize(..5)];
    let mut left = expected.into_iter();
    loop {
        let (found, expected) = match rng.u8(..10) < share {
            true => (walk.next(), left.next()),
            false => (walk.next_back(), left.next_back()),
        };
        assert_eq!(found, expected);
        if found.is_none() {
            break;
        }
    }
    assert!(walk.next().is_none() && walk.next_back().is_none());
}

fn run(page_size: usize, value_size: u16, seed: u64) -> u64 {
    let dir = memory_dir();
    let mut builder = Builder::default();
    builder.page_size(page_size);
    let db = open_at(&dir.path().join("x.recto"), &builder);
    let (rng, model) = (Rng::with_seed(seed), Model::new());
    let mut run = Run { rng, value_size, model, steps: 0, in_trees: 0 };
    let mut txn = db.write().unwrap();
    txn.open_set_with("sets", &TableOptions::set_of(value_size)).unwrap();
    txn.commit().unwrap();
    let steps = if common::full() { 1_000_000 } else { 40_000 };
    while run.steps < steps {
        run.transaction(&db);
        run.reads(&db);
    }
    assert!(run.in_trees > 0, "no value has stood in a tree");
    let all: Vec<_> = run.model.iter().cloned().collect();
    let found: Vec<_> = {
        let txn = db.read().unwrap();
        let pairs = txn.set("sets").unwrap().pairs(..).unwrap();
        pairs.map(|pair| pair.map(|(k, v)| (k.into_vec(), v.into_vec())).unwrap()).collect()
    };
    assert_eq!(found, all);
    assert_clean(&db);
    run.steps
}

#[test]
fn cursors_over_pairs_stay_where_they_are() {
    let mut steps = 0;
    for (page_size, value_size, seed) in
        [(4096, 0, 1), (4096, 8, 2), (4096, 300, 3), (16_384, 0, 4), (65_536, 300, 5)]
    {
        steps += run(page_size, value_size, seed);
    }
    assert!(steps >= 200_000);
}

/// Walks and cursors go into structs and to other threads, and keep the database open.
#[test]
fn owned_sets_keep_their_snapshot() {
    fn is_static<T: Send + 'static>(_: &T) {}
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    let fill = |from: u32, to: u32| {
        let mut txn = db.write().unwrap();
        let mut table = txn.open_set("sets").unwrap();
        for n in from..to {
            table.insert(&[(n % 3) as u8], &n.to_be_bytes()).unwrap();
        }
        txn.commit().unwrap();
    };
    assert!(Arc::new(db.read().unwrap()).owned_set_opt("sets").unwrap().is_none());
    let none = Arc::new(db.read().unwrap()).owned_set("sets").map(drop);
    assert!(matches!(none, Err(Error::NoSuchTable(_))));
    fill(0, 9_000);
    let table = Arc::new(db.read().unwrap()).owned_set("sets").unwrap();
    fill(9_000, 12_000);
    assert_eq!((table.len(), table.key_count(), table.count(&[1]).unwrap()), (9_000, 3, 3_000));
    assert!(table.contains(&[2], &2u32.to_be_bytes()).unwrap() && !table.is_empty());
    assert!(!table.contains(&[0], &9_000u32.to_be_bytes()).unwrap());
    assert!(table.contains_key(&[0]).unwrap() && !table.contains_key(&[9]).unwrap());
    let (mut pairs, values) = (table.iter().unwrap(), table.get(&[1]).unwrap());
    let (mut cursor, of_prefix) = (table.cursor(), table.prefix(&[2]).unwrap());
    is_static(&pairs);
    is_static(&values);
    is_static(&cursor);
    assert_eq!(pairs.txn().id(), table.txn().id());
    assert_eq!(values.txn().id(), table.txn().id());
    assert!(pairs.next().unwrap().is_ok());
    drop((table, db));
    let counts = std::thread::spawn(move || {
        let last = cursor.last().unwrap().map(|pair| pair.1.to_vec());
        assert_eq!(last, Some(8_999u32.to_be_bytes().to_vec()));
        assert_eq!(cursor.table().len(), 9_000);
        [pairs.map(Result::unwrap).count(), values.count(), of_prefix.count()]
    });
    assert_eq!(counts.join().unwrap(), [8_999, 3_000, 3_000]);
    assert_clean(&open_at(&path, &Builder::default()));
}

/// Keys by their bytes from the last one to the first: cursors, walks and differences follow.
#[test]
fn sets_in_another_order_of_keys() {
    for order in [Order::Reversed, Order::Plain] {
        let db = Database::in_memory().unwrap();
        let before = db.read().unwrap();
        let mut rng = Rng::with_seed(11);
        let options = TableOptions::set().ordered(order.clone());
        let mut txn = db.write().unwrap();
        let mut table = txn.open_set_with("sets", &options).unwrap();
        let mut all = Model::new();
        for _ in 0..4_000 {
            let pair = (key(&mut rng), value(&mut rng, 0));
            assert_eq!(table.insert(&pair.0, &pair.1).unwrap(), all.insert(pair));
        }
        txn.commit().unwrap();
        let mut all: Vec<_> = all.into_iter().collect();
        if order == Order::Reversed {
            all.sort_by_key(|(key, value)| {
                (key.iter().rev().copied().collect::<Vec<_>>(), value.clone())
            });
        }
        let owned = |(key, value): (&[u8], &[u8])| (key.to_vec(), value.to_vec());
        let after = Arc::new(db.read().unwrap());
        let table = after.owned_set("sets").unwrap();
        let mut cursor = table.cursor();
        for pair in &all {
            assert_eq!(cursor.next().unwrap().map(owned).as_ref(), Some(pair));
        }
        assert_eq!(cursor.next().unwrap(), None);
        for pair in all.iter().rev() {
            assert_eq!(cursor.prev().unwrap().map(owned).as_ref(), Some(pair));
        }
        let mut keys: Vec<_> = all.iter().map(|pair| &pair.0).collect();
        keys.dedup();
        cursor.first().unwrap();
        for key in &keys[1..] {
            assert_eq!(cursor.next_key().unwrap().map(|pair| pair.0), Some(&key[..]));
        }
        both_ends(table.iter().unwrap().map(Result::unwrap), all.clone(), &mut rng);
        let changes = after.diff_set(&before, "sets", ..).unwrap();
        let changes = changes.map(|change| change.map(|(k, v, _)| (k.into_vec(), v.into_vec())));
        both_ends(changes.map(Result::unwrap), all, &mut rng);
        drop((before, after, table, cursor));
        assert_clean(&db);
    }
}

/// The table of a cursor goes, or is another's.
#[test]
fn a_cursor_of_a_table_that_is_gone_says_so() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut table = txn.open_set("sets").unwrap();
    table.insert(b"key", b"value").unwrap();
    let mut cursor = table.cursor();
    assert_eq!(cursor.last(&txn).unwrap(), Some((&b"key"[..], &b"value"[..])));
    let plain = txn.open_table("plain").unwrap().id();
    let kind = |e: Error| matches!(e, Error::TableOptions { .. });
    assert!(txn.set_cursor(plain).first(&txn).is_err_and(kind));
    txn.rename_table("sets", "other").unwrap();
    assert_eq!(cursor.current(&txn).unwrap(), Some((&b"key"[..], &b"value"[..])));
    txn.drop_table("other").unwrap();
    let gone = |e: Error| matches!(e, Error::NoSuchTableId);
    assert!(cursor.next(&txn).is_err_and(gone) && cursor.delete(&mut txn).is_err_and(gone));
    assert!(cursor.count(&txn).is_err_and(gone));
    assert!(cursor.insert(&mut txn, b"key", b"value").is_err_and(gone));
    assert_eq!(cursor.pair(), Some((&b"key"[..], &b"value"[..])), "where it stood");
    txn.commit().unwrap();
    assert!(cursor.first(&db.write().unwrap()).is_err_and(gone));
    assert_clean(&db);
}

/// A key all values of which lie on one side of a cursor is its neighbour there.
#[test]
fn the_key_in_front_is_the_nearest_one() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut table = txn.open_set("t").unwrap();
    for (key, value) in [("a", "1"), ("b", "1"), ("b", "2"), ("c", "1")] {
        table.insert(key.as_bytes(), value.as_bytes()).unwrap();
    }
    let mut cursor = table.cursor();
    assert_eq!(cursor.find(&txn, b"b", b"0").unwrap(), None);
    assert_eq!(cursor.next_key(&txn).unwrap(), Some((&b"b"[..], &b"1"[..])));
    for _ in 0..2 {
        assert_eq!(cursor.seek_value(&txn, b"b", b"9").unwrap(), None);
        assert_eq!(cursor.clone().prev(&txn).unwrap(), Some((&b"b"[..], &b"2"[..])));
        assert_eq!(cursor.prev_key(&txn).unwrap(), Some((&b"b"[..], &b"2"[..])));
    }
    assert_eq!(cursor.prev_key(&txn).unwrap(), Some((&b"a"[..], &b"1"[..])));
    txn.commit().unwrap();
    assert_clean(&db);
}
