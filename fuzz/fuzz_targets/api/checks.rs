//! Edits and looks of one table, each beside its model.

use super::*;

/// Does an edit to a table and to its model; without a model to compare with, only the first.
pub(super) fn edits(
    table: &mut TableMut<'_>,
    modelled: &mut Modelled,
    edit: &Edit,
    max_key: Option<usize>,
) -> Taken<()> {
    let compare = max_key.is_some();
    let Modelled { rows, sequence, .. } = modelled;
    let Rows::Map(pairs) = rows else { panic!("sets are edited as pairs") };
    let may = pairs.may();
    macro_rules! done {
        ($call:expr, $may:expr) => {
            match taken($call, $may) {
                Done(done) if compare => done,
                other => return unit(other),
            }
        };
    }
    match edit {
        Edit::Put(key, value) => {
            let (key, value) = (pairs.key(key), value.get());
            let there = done!(table.put(&key, &value), may);
            assert_eq!(there, pairs.insert(key, value).is_some());
        }
        Edit::Append(key, value) => {
            let (key, value) = (pairs.key(key), value.get());
            let is_last = pairs.behind(&key) == pairs.len() && !pairs.contains_key(&key);
            let may = [&[ErrorKind::OutOfOrder], may].concat();
            done!(table.append(&key, &value), &may);
            assert!(is_last);
            pairs.insert(key, value);
        }
        Edit::PutIfAbsent(key, value) => {
            let (key, value) = (pairs.key(key), value.get());
            let put = done!(table.put_if_absent(&key, &value), may);
            assert_eq!(put, !pairs.contains_key(&key));
            if put {
                pairs.insert(key, value);
            }
        }
        Edit::Replace(key, value) => {
            let (key, value) = (pairs.key(key), value.get());
            let old = done!(table.replace(&key, &value), may);
            assert_eq!(old, pairs.insert(key, value));
        }
        Edit::PutWith(key, len, fill, works) => {
            let (key, len) = (pairs.key(key), usize::from(*len));
            let put = table.try_put_with(&key, len, |space| {
                space.fill(*fill);
                if *works { Ok(()) } else { Err(Error::ReadOnly { path: None }) }
            });
            let put = match put {
                // It may leave a hole that takes the transaction with it, or nothing.
                Err(Error::ReadOnly { .. }) if !works => {
                    return match table.get(b"") {
                        Err(Error::TransactionBroken { .. }) => Broken,
                        _ => Done(()),
                    };
                }
                other => done!(other, may),
            };
            assert!(*works);
            assert_eq!(put, pairs.insert(key, vec![*fill; len]).is_some());
        }
        Edit::Update(key, new) => {
            let (key, new) = (pairs.key(key), new.as_ref().map(Bytes::get));
            let mut seen = None;
            let given = table.update(&key, |old| {
                seen = old.map(<[u8]>::to_vec);
                new.clone()
            });
            let given = done!(given, may);
            assert_eq!((&given, seen.as_ref()), (&new, pairs.get(&key)));
            match new {
                Some(new) => drop(pairs.insert(key, new)),
                None => drop(pairs.remove(&key)),
            }
        }
        Edit::Swap(key, expected, new) => {
            let (key, expected, new) =
                (pairs.key(key), expected.as_ref().map(Bytes::get), new.as_ref().map(Bytes::get));
            let swapped = table.compare_and_swap(&key, expected.as_deref(), new.as_deref());
            let swapped = done!(swapped, may);
            assert_eq!(swapped, pairs.get(&key) == expected.as_ref());
            if swapped {
                match new {
                    Some(new) => drop(pairs.insert(key, new)),
                    None => drop(pairs.remove(&key)),
                }
            }
        }
        Edit::Delete(key) => {
            let key = pairs.key(key);
            let there = done!(table.delete(&key), may);
            assert_eq!(there, pairs.remove(&key).is_some());
        }
        Edit::DeleteRange(keys) => {
            let keys = keys.get();
            let gone = done!(table.delete_range(keys.clone()), may);
            let before = pairs.len();
            let order = pairs.compare;
            pairs.retain(|key, _| !is_in(order, key, &keys));
            assert_eq!(gone, (before - pairs.len()) as u64);
        }
        Edit::DeletePrefix(prefix) => {
            let prefix = prefix.key();
            let gone = done!(table.delete_prefix(&prefix), may);
            let before = pairs.len();
            pairs.retain(|key, _| !key.starts_with(&prefix));
            assert_eq!(gone, (before - pairs.len()) as u64);
        }
        Edit::Retain(keys, odd) => {
            let keys = keys.get();
            let stays =
                |key: &[u8], value: &[u8]| (key.len() + value.len()) % 3 != usize::from(odd % 3);
            let gone = done!(table.retain(keys.clone(), stays), may);
            let before = pairs.len();
            let order = pairs.compare;
            pairs.retain(|key, value| !is_in(order, key, &keys) || stays(key, value));
            assert_eq!(gone, (before - pairs.len()) as u64);
        }
        Edit::Extract(keys, odd, most) => {
            let keys = keys.get();
            let goes =
                |key: &[u8], value: &[u8]| (key.len() + value.len()) % 3 == usize::from(odd % 3);
            let mut wanted: Vec<_> = pairs
                .iter()
                .filter(|(key, value)| pairs.is_in(key, &keys) && goes(key, value))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            wanted.truncate((*most).into());
            let mut walk = table.extract_if(keys, goes);
            for pair in wanted {
                let Some(gone) = walk.next() else { panic!("fewer than there are") };
                assert_eq!(done!(gone, may), pair);
                pairs.remove(&pair.0);
            }
        }
        Edit::Pop(first) => {
            let popped = if *first { table.pop_first() } else { table.pop_last() };
            let popped = done!(popped, may);
            assert_eq!(popped, pairs.pop(*first));
        }
        Edit::Clear => {
            let gone = done!(table.clear(), may);
            assert_eq!(gone, std::mem::take(&mut pairs.list).len() as u64);
        }
        Edit::Enter(key, value, how) => {
            let (key, value) = (pairs.key(key), value.get());
            match (done!(table.entry(&key), may), how % 3) {
                (Entry::Occupied(there), 0) => {
                    assert_eq!(Some(done!(there.remove(), may)), pairs.remove(&key));
                }
                (Entry::Occupied(mut there), 1) => {
                    done!(there.insert(&value), may);
                    assert_eq!(done!(there.get(), may), value);
                    assert!(pairs.insert(key, value).is_some());
                }
                (entry, _) => {
                    assert_eq!(entry.key(), key);
                    let entry = done!(entry.and_modify(|old| old.reverse()), may);
                    done!(entry.or_insert(&value).map(drop), may);
                    let value = match pairs.get(&key) {
                        Some(old) => old.iter().rev().copied().collect(),
                        None => value,
                    };
                    pairs.insert(key, value);
                }
            }
        }
        Edit::Fill(key, count, value) => {
            for n in 0..*count {
                let key = [&key.key()[..], &[n]].concat();
                let value = value.get();
                let there = done!(table.put(&key, &value), may);
                assert_eq!(there, pairs.insert(key, value).is_some());
            }
        }
        Edit::Load(all) => {
            let all: Vec<_> =
                all.iter().map(|(key, value)| (pairs.key(key), value.get())).collect();
            let loaded = done!(table.load(all.iter().map(|(k, v)| (k, v))), may);
            let before = pairs.len();
            assert_eq!(loaded.pushed, all.len() as u64);
            all.into_iter().for_each(|(key, value)| drop(pairs.insert(key, value)));
            assert_eq!(loaded.new, (pairs.len() - before) as u64);
        }
        Edit::Numbers(count) => {
            let taken = done!(table.take_sequence(*count), &[ErrorKind::InvalidArgument]);
            assert_eq!(taken, *sequence + 1..*sequence + 1 + count);
            *sequence += count;
        }
        Edit::SetNumber(last) => {
            done!(table.set_sequence(*last), &[]);
            *sequence = *last;
        }
    }
    if let Some(max) = max_key {
        assert!(pairs.keys().all(|key| key.len() <= pairs.max_key(max)));
    }
    assert_eq!(table.sequence(), *sequence);
    assert_eq!(table.len(), pairs.len() as u64);
    Done(())
}

pub(super) fn set_edits(
    set: &mut SetTableMut<'_>,
    modelled: &mut Modelled,
    edit: &SetEdit,
    max_key: Option<usize>,
) -> Taken<()> {
    let Modelled { rows, sequence, .. } = modelled;
    let Rows::Set(size, pairs) = rows else { panic!("pairs are edited as sets") };
    let (size, order) = (*size, pairs.compare);
    let compare = max_key.is_some();
    const MAY: &[ErrorKind] =
        &[ErrorKind::KeyTooLong, ErrorKind::ValueTooLong, ErrorKind::InvalidArgument];
    macro_rules! done {
        ($call:expr) => {
            match taken($call, MAY) {
                Done(done) if compare => done,
                other => return unit(other),
            }
        };
    }
    let gone = |gone: u64, pairs: &mut Pairs, stays: &dyn Fn(&Vec<u8>, &Vec<u8>) -> bool| {
        let before = pairs.len();
        pairs.retain(stays);
        assert_eq!(gone, (before - pairs.len()) as u64);
    };
    match edit {
        SetEdit::Insert(key, value) => {
            let (key, value) = (pairs.key(key), value.key());
            let new = done!(set.insert(&key, &value));
            assert!(size == 0 || value.len() == usize::from(size));
            assert_eq!(new, pairs.add((key, value)));
        }
        SetEdit::Many(key, from, count) => {
            let key = pairs.key(key);
            for n in 0..*count {
                let mut value = vec![from.wrapping_add(n); 2];
                if size > 0 {
                    value.resize(size.into(), n);
                }
                let new = done!(set.insert(&key, &value));
                assert_eq!(new, pairs.add((key.clone(), value)));
            }
        }
        SetEdit::Remove(key, value) => {
            let (key, value) = (pairs.key(key), value.key());
            let there = done!(set.remove(&key, &value));
            assert_eq!(there, pairs.take(&key, &value));
        }
        SetEdit::RemoveAll(key) => {
            let key = pairs.key(key);
            gone(done!(set.remove_all(&key)), pairs, &|there, _| *there != key);
        }
        SetEdit::DeleteRange(keys) => {
            let keys = keys.get();
            gone(done!(set.delete_range(keys.clone())), pairs, &|key, _| !is_in(order, key, &keys));
        }
        SetEdit::DeletePrefix(prefix) => {
            let prefix = prefix.key();
            gone(done!(set.delete_prefix(&prefix)), pairs, &|key, _| !key.starts_with(&prefix));
        }
        SetEdit::Retain(keys, odd) => {
            let keys = keys.get();
            let stays =
                |key: &[u8], value: &[u8]| (key.len() + value.len()) % 3 != usize::from(odd % 3);
            let count = done!(set.retain(keys.clone(), stays));
            gone(count, pairs, &|key, value| !is_in(order, key, &keys) || stays(key, value));
        }
        SetEdit::Pop(first) => {
            let popped = done!(if *first { set.pop_first() } else { set.pop_last() });
            assert_eq!(popped, pairs.pop(*first));
        }
        SetEdit::Clear => gone(done!(set.clear()), pairs, &|_, _| false),
        SetEdit::Load(all) => {
            let all: Vec<_> =
                all.iter().map(|(key, value)| (pairs.key(key), value.key())).collect();
            let loaded = done!(set.load(all.iter().map(|(k, v)| (k, v))));
            let before = pairs.len();
            assert_eq!(loaded.pushed, all.len() as u64);
            all.into_iter().for_each(|pair| _ = pairs.add(pair));
            assert_eq!(loaded.new, (pairs.len() - before) as u64);
        }
        SetEdit::Numbers(count) => {
            let taken = done!(set.take_sequence(*count));
            assert_eq!(taken, *sequence + 1..*sequence + 1 + count);
            *sequence += count;
        }
    }
    assert_eq!((set.len(), set.sequence()), (pairs.len() as u64, *sequence));
    Done(())
}

/// Where such a move ends that begins at a pair, which may have gone since; no answer where it is
/// not said.
pub(super) fn moved(
    pairs: &Pairs,
    how: u8,
    before: Option<&Pair>,
    key: &[u8],
    value: &[u8],
) -> Option<Option<usize>> {
    // The place of a pair, and how many come before it and up to it.
    let at = |pair: &Pair| pairs.place(&pair.0, &pair.1).unwrap_or_else(|at| at);
    let behind = |pair: &Pair| pairs.place(&pair.0, &pair.1).map_or_else(|at| at, |at| at + 1);
    let of_key = |key: &[u8], at: Option<usize>| {
        at.filter(|&at| (pairs.at(key)..pairs.behind(key)).contains(&at))
    };
    Some(match (how % MOVES, before) {
        (0, _) => Some(0),
        (1, _) => pairs.len().checked_sub(1),
        (10, _) => Some(pairs.at(key)),
        (11, _) => pairs.behind(key).checked_sub(1),
        (12, _) => of_key(key, Some(pairs.place(key, value).unwrap_or_else(|at| at))),
        (13, _) => pairs.place(key, value).ok(),
        (_, None) => return None,
        (2, Some(pair)) => Some(behind(pair)),
        (3, Some(pair)) => at(pair).checked_sub(1),
        (4, Some(pair)) => of_key(&pair.0, Some(behind(pair))),
        (5, Some(pair)) => of_key(&pair.0, at(pair).checked_sub(1)),
        (6, Some((key, _))) => of_key(key, Some(pairs.at(key))),
        (7, Some((key, _))) => of_key(key, pairs.behind(key).checked_sub(1)),
        (8, Some((key, _))) => Some(pairs.behind(key)),
        (9, Some((key, _))) => pairs.at(key).checked_sub(1),
        (_, Some((key, value))) => pairs.place(key, value).ok(),
    })
}

/// What a table shows, asked in many ways.
pub(super) fn looks(table: &Table<'_>, pairs: &Pairs, look: &Look, max_key: usize) {
    let max_key = pairs.max_key(max_key);
    let owned = |pair: Option<(recto::Key<'_>, &[u8])>| {
        pair.map(|(key, value)| (key.to_vec(), value.to_vec()))
    };
    let cloned = |pair: Option<(&Vec<u8>, &Vec<u8>)>| pair.map(|(k, v)| (k.clone(), v.clone()));
    assert_eq!((table.len(), table.is_empty()), (pairs.len() as u64, pairs.is_empty()));
    // A key that is too long is not there, or refused.
    let or_long = |key: &[u8], e: Error| {
        assert!(key.len() > max_key && e.kind() == ErrorKind::KeyTooLong, "{e}");
    };
    match look {
        Look::Get(key) => {
            let key = key.key();
            match table.get(&key) {
                Ok(found) => assert_eq!(found, pairs.get(&key).map(|v| &v[..])),
                Err(e) => or_long(&key, e),
            }
            match table.contains_key(&key) {
                Ok(there) => assert_eq!(there, pairs.contains_key(&key)),
                Err(e) => or_long(&key, e),
            }
        }
        Look::Many(keys) => {
            let keys: Vec<_> =
                keys.iter().map(Bytes::key).filter(|key| key.len() <= max_key).collect();
            let found = table.get_many(&keys).expect("intact");
            assert!(found.into_iter().eq(keys.iter().map(|key| pairs.get(key).map(|v| &v[..]))));
        }
        Look::Range(keys, turns) => {
            let keys = keys.get();
            let mut expected: Vec<_> =
                pairs.iter().filter(|(key, _)| pairs.is_in(key, &keys)).collect();
            let mut range = table.range(keys).expect("any bounds");
            for turn in 0.. {
                let forward = turns.rotate_right(turn) & 1 > 0;
                let wanted = match (expected.is_empty(), forward) {
                    (true, _) => None,
                    (_, true) => Some(expected.remove(0)),
                    (_, false) => expected.pop(),
                };
                let found = if forward { range.next_ref() } else { range.next_back_ref() };
                assert_eq!(found.expect("intact"), wanted.map(|(k, v)| (&k[..], &v[..])));
                if wanted.is_none() {
                    break;
                }
            }
        }
        Look::Prefix(prefix) => {
            let prefix = prefix.key();
            let found = match table.prefix(&prefix) {
                Err(e) if !pairs.is_by_bytes() => {
                    return assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{e}");
                }
                found => found.expect("any prefix"),
            };
            let found = found.map(|pair| pair.expect("intact").0.to_vec());
            assert!(found.eq(pairs.keys().filter(|key| key.starts_with(&prefix)).cloned()));
        }
        Look::Near(key) => {
            let key = key.key();
            if key.len() > max_key {
                return;
            }
            let found = [
                table.after(&key),
                table.at_or_after(&key),
                table.before(&key),
                table.at_or_before(&key),
                table.first(),
                table.last(),
            ];
            let wanted = [
                Some(pairs.behind(&key)),
                Some(pairs.at(&key)),
                pairs.at(&key).checked_sub(1),
                pairs.behind(&key).checked_sub(1),
                Some(0),
                pairs.len().checked_sub(1),
            ];
            for (found, wanted) in found.into_iter().zip(wanted) {
                assert_eq!(owned(found.expect("intact")), cloned(pairs.nth(wanted)));
            }
        }
        Look::Measure(keys, number, seed) => {
            let keys = keys.get();
            let within = pairs.keys().filter(|key| pairs.is_in(key, &keys)).count() as u64;
            assert_eq!(table.count_range(keys.clone()).expect("intact"), within);
            assert!(table.estimate_range(keys.clone()).expect("intact") <= table.len());
            let cuts = table.split_range(keys.clone(), (*number).into()).expect("intact");
            let ascend = cuts.is_sorted_by(|a, b| (pairs.compare)(a, b).is_le());
            assert!(ascend && cuts.iter().all(|key| pairs.is_in(key, &keys)));
            for (key, value) in table.sample((*number).into(), *seed).expect("intact") {
                assert_eq!(pairs.get(&key).map(|v| &v[..]), Some(value));
            }
            let _ = table.stats().pages();
        }
        Look::Cursor(moves) => {
            let mut cursor = table.cursor();
            for (how, key) in moves.iter().take(20) {
                let key = key.key();
                let (found, wanted) = match how % 4 {
                    0 => (cursor.seek(&key), Some(pairs.at(&key))),
                    1 => (cursor.seek_back(&key), pairs.behind(&key).checked_sub(1)),
                    2 => (cursor.first(), Some(0)),
                    _ => (cursor.last(), pairs.len().checked_sub(1)),
                };
                match found {
                    Ok(found) => {
                        assert_eq!(found, pairs.nth(wanted).map(|(k, v)| (&k[..], &v[..])));
                    }
                    Err(e) => or_long(&key, e),
                }
                let _ = cursor.next().expect("intact").is_some()
                    && cursor.prev().expect("intact").is_some();
                cursor.current().expect("intact");
            }
        }
    }
}

pub(super) fn looks_at_set(
    set: &SetTable<'_>,
    pairs: &Pairs,
    key: &Bytes,
    values: &Keys,
    turns: u32,
) {
    let (key, ends) = (pairs.key(key), values.get());
    assert_eq!(set.len(), pairs.len() as u64);
    let Ok(mut found) = set.values(&key, ends.clone()) else {
        assert!(key.len() > 2_000, "values of {} bytes", key.len());
        return;
    };
    let mut expected: Vec<_> = pairs
        .iter()
        .filter(|pair| *pair.0 == key && is_in(by_bytes, pair.1, &ends))
        .map(|pair| pair.1)
        .collect();
    for turn in 0.. {
        let forward = turns.rotate_right(turn) & 1 > 0;
        let value = if forward { found.next() } else { found.next_back() };
        let wanted = match (expected.is_empty(), forward) {
            (true, _) => None,
            (_, true) => Some(expected.remove(0)),
            (_, false) => expected.pop(),
        };
        assert_eq!(value.map(|value| value.expect("intact").to_vec()).as_ref(), wanted);
        if wanted.is_none() {
            break;
        }
    }
    let of_key = pairs.iter().filter(|pair| *pair.0 == key).count() as u64;
    assert_eq!(set.count(&key).expect("intact"), of_key);
    assert_eq!(set.contains_key(&key).expect("intact"), of_key > 0);
    let mut cursor = set.cursor();
    let mut before: Option<Pair> = None;
    for turn in 0..24u8 {
        let how = (turns.rotate_right(turn.into()) % 0xff) as u8;
        let (near, beside) = match pairs.nth(Some(usize::from(turn))) {
            Some((near, beside)) if turn % 2 == 0 => (&near[..], &beside[..]),
            _ => (&key[..], &[turn][..]),
        };
        if near.len() > 2_000 {
            continue;
        }
        let found = set_move!(cursor, how, near, beside).expect("intact");
        let found = found.map(|(key, value)| (key.to_vec(), value.to_vec()));
        if let Some(wanted) = moved(pairs, how, before.as_ref(), near, beside) {
            assert_eq!(found.as_ref().map(|(k, v)| (k, v)), pairs.nth(wanted));
        }
        // Some stay where they find nothing; of others it is not looked at where they stand then.
        before = found.or(before.filter(|_| (4..10).contains(&(how % MOVES))));
    }
    let within = set.pairs(ends.clone()).expect("any bounds");
    assert_eq!(within.count(), pairs.iter().filter(|pair| pairs.is_in(pair.0, &ends)).count());
}

/// A snapshot shows what the model holds.
pub(super) fn same(txn: &ReadTxn, model: &Model) {
    let tables = txn.tables().expect("intact");
    assert!(tables.iter().map(|table| &table.name).eq(model.keys()), "{tables:?}");
    for ((name, table), info) in model.iter().zip(&tables) {
        assert_eq!(info.options.order, table.order().clone(), "{name:?}");
        match &table.rows {
            Rows::Map(pairs) => {
                let found = txn.table(name).and_then(|table| table.iter()).expect("it is listed");
                let found = found.map(|pair| pair.expect("intact"));
                let found = found.map(|(key, value)| (key.to_vec(), value.to_vec()));
                assert!(found.eq(pairs.list.iter().cloned()), "{name:?}");
                assert_eq!(txn.table(name).expect("it is listed").sequence(), table.sequence);
            }
            Rows::Set(_, pairs) => {
                let found = txn.set(name).and_then(|set| set.pairs(..)).expect("it is listed");
                let found = found.map(|pair| pair.expect("intact"));
                let found = found.map(|(key, value)| (key.to_vec(), value.to_vec()));
                assert!(found.eq(pairs.list.iter().cloned()), "{name:?}");
                assert_eq!(txn.set(name).expect("it is listed").sequence(), table.sequence);
            }
        }
    }
}
