//! Cursors of typed tables of sets, their owned forms, and changes of many pairs in one call,
//! against a sorted set of pairs.

mod common;

use common::{assert_clean, memory_dir, open_at};
use fastrand::Rng;
use recto::typed::{
    OwnedTypedPairs, OwnedTypedSet, OwnedTypedSetCursor, OwnedTypedValues, SetDef, TypedSetCursor,
};
use recto::{Builder, Database, Durability, Error, TableOptions, WriteTxn};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::sync::Arc;

type Key = (String, i8);
type Value = (i32, String);
type Pair = (Key, Value);
type Model = BTreeSet<Pair>;
type Def<'n> = SetDef<'n, (&'static str, i8), (i32, &'static str)>;

/// One key has most of the values: a tree of them.
fn key(rng: &mut Rng) -> Key {
    if rng.bool() {
        return ("ab".into(), 1);
    }
    (["", "a", "a\0", "ab", "é"][rng.usize(..5)].into(), rng.i8(-2..2))
}

fn value(rng: &mut Rng) -> Value {
    (rng.i32(-60..60), ["", "\0", "long enough to take some room", "x"][rng.usize(..4)].into())
}

fn pair_of(rng: &mut Rng) -> Pair {
    (key(rng), value(rng))
}

fn owned(((text, n), (m, other)): ((&str, i8), (i32, &str))) -> Pair {
    ((text.to_owned(), n), (m, other.to_owned()))
}

fn key_arg(key: &Key) -> (&str, i8) {
    (&key.0, key.1)
}

fn value_arg(value: &Value) -> (i32, &str) {
    (value.0, &value.1)
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
    Seek(Key),
    SeekBack(Key),
    SeekValue(Pair),
    Find(Pair),
    Current,
}

fn any_move(rng: &mut Rng) -> Move {
    use Move::*;
    match rng.u8(..20) {
        0..4 => Next,
        4..8 => Prev,
        8 => NextValue,
        9 => PrevValue,
        10 => FirstValue,
        11 => LastValue,
        12 => NextKey,
        13 => PrevKey,
        14 => Seek(key(rng)),
        15 => SeekBack(key(rng)),
        16 => SeekValue(pair_of(rng)),
        17 => Find(pair_of(rng)),
        18 => Current,
        _ => [First, Last][rng.usize(..2)].clone(),
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
            Move::Seek(key) => $cursor.seek($($txn,)? key_arg(key)),
            Move::SeekBack(key) => $cursor.seek_back($($txn,)? key_arg(key)),
            Move::SeekValue((key, value)) => {
                $cursor.seek_value($($txn,)? key_arg(key), value_arg(value))
            }
            Move::Find((key, value)) => $cursor.find($($txn,)? key_arg(key), value_arg(value)),
            Move::Current => $cursor.current($($txn)?),
        }
        .unwrap()
        .map(owned)
    };
}

/// What a move of a cursor that stands on `at`, there or gone, has to give; of a new one only the
/// moves to any place, and to the next pair and the one before.
fn expected(model: &Model, at: Option<&Pair>, to: &Move) -> Option<Pair> {
    let of_key = || model.iter().filter(|pair| at.is_some_and(|at| at.0 == pair.0));
    let found = match to {
        Move::First => model.first(),
        Move::Last => model.last(),
        Move::Next => model.iter().find(|&pair| at.is_none_or(|at| pair > at)),
        Move::Prev => model.iter().rfind(|&pair| at.is_none_or(|at| pair < at)),
        Move::NextValue => of_key().find(|&pair| Some(pair) > at),
        Move::PrevValue => of_key().rfind(|&pair| Some(pair) < at),
        Move::FirstValue => of_key().next(),
        Move::LastValue => of_key().next_back(),
        Move::NextKey => model.iter().find(|pair| at.is_none_or(|at| pair.0 > at.0)),
        Move::PrevKey => model.iter().rfind(|pair| at.is_none_or(|at| pair.0 < at.0)),
        Move::Seek(key) => model.iter().find(|pair| pair.0 >= *key),
        Move::SeekBack(key) => model.iter().rfind(|pair| pair.0 <= *key),
        Move::SeekValue((key, value)) => {
            model.iter().find(|pair| pair.0 == *key && pair.1 >= *value)
        }
        Move::Find(pair) => model.get(pair),
        Move::Current => at.and_then(|at| model.get(at)),
    };
    found.cloned()
}

/// Where a cursor stands after a move that gave this; false if it is to be seated again, since it
/// stands beside pairs and on none.
fn stands(at: &mut Option<Pair>, to: &Move, found: Option<&Pair>) -> bool {
    use Move::*;
    match (found, to) {
        (Some(pair), _) => *at = Some(pair.clone()),
        (None, First | Last | Next | Prev | Seek(_) | SeekBack(_) | SeekValue(_) | Find(_)) => {
            return false;
        }
        (None, _) => {}
    }
    true
}

fn change(txn: &mut WriteTxn, def: &Def<'_>, model: &mut Model, rng: &mut Rng) {
    let mut table = txn.typed_set_mut(def).unwrap();
    let (key, value) = pair_of(rng);
    match rng.u16(..1_000) {
        0..10 => assert_eq!(table.pop_first().unwrap(), model.pop_first()),
        10..20 => assert_eq!(table.pop_last().unwrap(), model.pop_last()),
        20 => {
            let before = model.len();
            model.retain(|pair| pair.0 < key || pair.1.0 % 3 != 0);
            let gone = table.retain(key_arg(&key).., |_, value| value.0 % 3 != 0).unwrap();
            assert_eq!(gone as usize, before - model.len());
        }
        21 => {
            let before = model.len();
            model.retain(|pair| pair.0 != key);
            assert_eq!(table.remove_all(key_arg(&key)).unwrap() as usize, before - model.len());
        }
        n if n < 800 => {
            let new = table.insert(key_arg(&key), value_arg(&value)).unwrap();
            assert_eq!(new, model.insert((key, value)));
        }
        _ => {
            let there = table.remove(key_arg(&key), value_arg(&value)).unwrap();
            assert_eq!(there, model.remove(&(key, value)));
        }
    }
    assert_eq!(table.first().unwrap().as_ref(), model.first());
    assert_eq!(table.last().unwrap().as_ref(), model.last());
}

fn write(db: &Database, def: &Def<'_>, model: &mut Model, rng: &mut Rng) {
    let mut txn = db.write().unwrap();
    txn.set_durability(Durability::Deferred);
    let table = txn.open_typed_set(def).unwrap();
    let mut cursors = [0, 1].map(|_| (table.cursor(&txn), None::<Pair>));
    for _ in 0..400 {
        let (cursor, at) = &mut cursors[rng.usize(..2)];
        match rng.u8(..20) {
            0..8 => change(&mut txn, def, model, rng),
            8 => {
                let there = at.as_ref().is_some_and(|at| model.remove(at));
                assert_eq!(cursor.delete(&mut txn).unwrap(), there);
            }
            9 if rng.u8(..8) == 0 => {
                let before = model.len();
                model.retain(|pair| at.as_ref().is_none_or(|at| at.0 != pair.0));
                let gone = cursor.delete_key(&mut txn).unwrap();
                assert_eq!(gone as usize, before - model.len());
            }
            10 => {
                let (key, value) = pair_of(rng);
                let new = cursor.insert(&mut txn, key_arg(&key), value_arg(&value)).unwrap();
                assert_eq!(new, model.insert((key.clone(), value.clone())));
                *at = Some((key, value));
            }
            _ => {
                let to = any_move(rng);
                if at.is_none() && !matches!(to, Move::First | Move::Last | Move::Find(_)) {
                    continue;
                }
                let found = expected(model, at.as_ref(), &to);
                assert_eq!(moved!(cursor, &to, &txn), found, "{to:?} from {at:?}");
                if !stands(at, &to, found.as_ref()) {
                    (*cursor, *at) = (table.cursor(&txn), None);
                }
            }
        }
        assert_eq!(cursor.pair().unwrap().map(owned), *at);
        let of_key = |pair: &&Pair| at.as_ref().is_some_and(|at| at.0 == pair.0);
        assert_eq!(cursor.count(&txn).unwrap() as usize, model.iter().filter(of_key).count());
        assert_eq!(cursor.table(), table);
    }
    txn.commit().unwrap();
}

fn read(db: &Database, def: &Def<'_>, model: &Model, rng: &mut Rng) {
    let txn = Arc::new(db.read().unwrap());
    let table = txn.owned_typed_set(def).unwrap();
    let mut cursors = (txn.typed_set(def).unwrap().cursor(), table.cursor(), None::<Pair>);
    for _ in 0..200 {
        let (borrowed, kept, at) = &mut cursors;
        let to = any_move(rng);
        let found = expected(model, at.as_ref(), &to);
        let is_new = at.is_none();
        if is_new && !matches!(to, Move::Next | Move::Prev | Move::Seek(_) | Move::SeekBack(_)) {
            continue;
        }
        assert_eq!(moved!(borrowed, &to), found, "{to:?} from {at:?}");
        assert_eq!(moved!(kept, &to), found, "{to:?} from {at:?}");
        if !stands(at, &to, found.as_ref()) {
            cursors = (borrowed.table().cursor(), kept.table().cursor(), None);
            continue;
        }
        let count = at.as_ref().map_or(0, |at| model.iter().filter(|p| p.0 == at.0).count());
        let counts = (borrowed.count().unwrap(), kept.clone().count().unwrap());
        assert_eq!(counts, (count as u64, count as u64));
    }
    walks(&table, model, rng);
}

fn bound<T>(rng: &mut Rng, of: T) -> Bound<T> {
    [Included, Excluded, |_| Unbounded][rng.usize(..3)](of)
}

fn is_in<T: Ord>(ends: &[Bound<T>; 2], what: &T) -> bool {
    std::ops::RangeBounds::contains(&(ends[0].as_ref(), ends[1].as_ref()), what)
}

fn walks(
    table: &OwnedTypedSet<(&'static str, i8), (i32, &'static str)>,
    model: &Model,
    rng: &mut Rng,
) {
    assert_eq!(table.len() as usize, model.len());
    assert_eq!(table.is_empty(), model.is_empty());
    let mut keys: Vec<&Key> = model.iter().map(|pair| &pair.0).collect();
    keys.dedup();
    assert_eq!(table.key_count() as usize, keys.len());
    both_ends(table.iter().unwrap(), model.iter().cloned().collect(), rng);
    for _ in 0..5 {
        let ends = [0, 1].map(|_| {
            let of = key(rng);
            bound(rng, of)
        });
        let range = (ends[0].as_ref().map(key_arg), ends[1].as_ref().map(key_arg));
        let found = model.iter().filter(|pair| is_in(&ends, &pair.0)).cloned().collect();
        both_ends(table.pairs(range).unwrap(), found, rng);
        let of = key(rng);
        let set: Vec<_> = model.iter().filter(|pair| pair.0 == of).map(|pair| &pair.1).collect();
        let all = set.iter().map(|&value| value.clone()).collect();
        both_ends(table.get(key_arg(&of)).unwrap(), all, rng);
        assert_eq!(table.count(key_arg(&of)).unwrap() as usize, set.len());
        assert_eq!(table.contains_key(key_arg(&of)).unwrap(), !set.is_empty());
        let ends = [0, 1].map(|_| {
            let of = value(rng);
            bound(rng, of)
        });
        let range = (ends[0].as_ref().map(value_arg), ends[1].as_ref().map(value_arg));
        let values = table.values(key_arg(&of), range).unwrap();
        assert_eq!(values.set_len() as usize, set.len());
        let found = set.iter().filter(|value| is_in(&ends, value)).map(|&v| v.clone()).collect();
        both_ends(values, found, rng);
        let found = model.iter().filter(|pair| pair.0.0 == of.0).cloned().collect();
        both_ends(table.prefix((&*of.0,)).unwrap(), found, rng);
        let (key, value) = pair_of(rng);
        let there = table.contains(key_arg(&key), value_arg(&value)).unwrap();
        assert_eq!(there, model.contains(&(key, value)));
    }
}

/// A walk from both ends in turn gives this, and then nothing.
fn both_ends<T: PartialEq + Debug>(
    walk: impl DoubleEndedIterator<Item = recto::Result<T>>,
    expected: Vec<T>,
    rng: &mut Rng,
) {
    let (mut walk, mut left) = (walk.map(Result::unwrap), expected.into_iter());
    let share = [0, 1, 5, 9, 10][rng.usize(..5)];
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
}

#[test]
fn typed_cursors_and_walks_of_sets_are_those_of_the_model() {
    let dir = memory_dir();
    let mut rng = Rng::with_seed(17);
    for (at, def) in [Def::new("sets"), Def::new("sets").plain()].iter().enumerate() {
        let db = open_at(&dir.path().join(format!("{at}.recto")), &Builder::default());
        let (mut model, mut trees) = (Model::new(), 0);
        for _ in 0..if common::full() { 400 } else { 25 } {
            write(&db, def, &mut model, &mut rng);
            read(&db, def, &model, &mut rng);
            let stats = db.read().unwrap().typed_set(def).unwrap().stats();
            trees += u32::from(stats.overflow_pages > 0);
        }
        assert!(trees > 0, "no value has stood in a tree");
        assert_clean(&db);
    }
}

const TAGS: SetDef<&str, u32> = SetDef::new("tags");

#[test]
fn owned_typed_sets_keep_their_snapshot_and_go_anywhere() {
    fn goes_anywhere<T: Send + Sync + 'static>() {}
    goes_anywhere::<OwnedTypedSet<&str, u32>>();
    goes_anywhere::<OwnedTypedPairs<&str, u32>>();
    goes_anywhere::<OwnedTypedValues<u32>>();
    goes_anywhere::<OwnedTypedSetCursor<&str, u32>>();
    goes_anywhere::<TypedSetCursor<&str, u32>>();

    let db = Database::in_memory().unwrap();
    assert!(Arc::new(db.read().unwrap()).owned_typed_set_opt(&TAGS).unwrap().is_none());
    let none = Arc::new(db.read().unwrap()).owned_typed_set(&TAGS).map(drop);
    assert!(matches!(none, Err(Error::NoSuchTable(name)) if name == "tags"));
    let fill = |numbers: std::ops::Range<u32>| {
        let mut txn = db.write().unwrap();
        let pairs = numbers.map(|n| (["a", "b", "c"][n as usize % 3], n));
        txn.typed_set_mut(&TAGS).unwrap().load(pairs).unwrap();
        txn.commit().unwrap();
    };
    fill(0..9_000);
    let table = Arc::new(db.read().unwrap()).owned_typed_set(&TAGS).unwrap();
    fill(9_000..12_000);
    const OTHER: SetDef<&str, i32> = SetDef::new("tags");
    let other = table.txn().owned_typed_set(&OTHER).map(drop);
    assert!(matches!(other, Err(Error::TableOptions { .. })));
    let (pairs, values) = (table.clone().iter().unwrap(), table.get("b").unwrap());
    let (mut cursor, id) = (table.cursor(), table.txn().id());
    assert_eq!((pairs.txn().id(), values.txn().id()), (id, id));
    assert!(format!("{table:?} {cursor:?} {pairs:?} {values:?}").contains("u32"));
    drop(table);
    let counts = std::thread::spawn(move || {
        assert_eq!(cursor.last().unwrap(), Some(("c", 8_999)));
        assert_eq!(cursor.table().as_set().stats().pairs, 9_000);
        [pairs.map(Result::unwrap).count(), values.map(Result::unwrap).count()]
    });
    assert_eq!(counts.join().unwrap(), [9_000, 3_000]);
    assert_clean(&db);
}

/// Values of another length among the values of a type: what reads one says so, and nothing else
/// is hurt.
#[test]
fn bytes_of_no_type_stop_what_reads_them() {
    const BYTES: SetDef<&str, u32> = SetDef::new("bytes").unnamed();
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    txn.open_set_with("bytes", &TableOptions::set()).unwrap();
    let mut table = txn.typed_set_mut(&BYTES).unwrap();
    table.load([("a", 1), ("b", 1), ("b", 9), ("c", 3)]).unwrap();
    txn.open_set("bytes").unwrap().insert(b"b", &[0, 0, 0, 2, 7]).unwrap();
    txn.commit().unwrap();
    let is_wrong = |e: &Error| matches!(e, Error::Decode { .. });

    let table = Arc::new(db.read().unwrap()).owned_typed_set(&BYTES).unwrap();
    let mut pairs = table.iter().unwrap();
    assert_eq!(pairs.by_ref().take_while(Result::is_ok).count(), 2);
    assert!(pairs.next().is_none() && pairs.next_back().is_none());
    let mut values = table.get("b").unwrap();
    assert_eq!(values.next_back().unwrap().unwrap(), 9);
    assert!(values.next_back().unwrap().is_err_and(|e| is_wrong(&e)));
    assert!(values.next().is_none());
    let mut cursor = table.cursor();
    assert_eq!(cursor.seek("b").unwrap(), Some(("b", 1)));
    assert!(cursor.next().is_err_and(|e| is_wrong(&e)));
    assert_eq!(cursor.next().unwrap(), Some(("b", 9)), "it stood on the pair");

    let mut txn = db.write().unwrap();
    let table = txn.open_typed_set(&BYTES).unwrap();
    let mut cursor = table.cursor(&txn);
    cursor.seek(&txn, "b").unwrap();
    assert!(cursor.next_value(&txn).is_err_and(|e| is_wrong(&e)));
    assert!(cursor.pair().is_err_and(|e| is_wrong(&e)));
    let mut edit = table.edit(&mut txn).unwrap();
    let mut seen = 0;
    let kept = edit.retain(.., |_, _| {
        seen += 1;
        false
    });
    assert!(kept.is_err_and(|e| is_wrong(&e)));
    assert_eq!((seen, edit.len()), (2, 3), "what came before it is gone, and nothing else");
    assert!(edit.pop_first().is_err_and(|e| is_wrong(&e)));
    assert_eq!(edit.pop_last().unwrap(), Some(("c".to_owned(), 3)));
    assert_eq!(edit.len(), 2);
    assert!(cursor.delete(&mut txn).unwrap(), "it is removed as the bytes that it is");
    let mut edit = table.edit(&mut txn).unwrap();
    assert_eq!(edit.pop_first().unwrap(), Some(("b".to_owned(), 9)));
    assert_eq!((edit.pop_first().unwrap(), edit.pop_last().unwrap()), (None, None));
    txn.commit().unwrap();
    assert_clean(&db);
}
