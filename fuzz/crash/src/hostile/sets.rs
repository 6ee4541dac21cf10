//! Tables of sets, used in every way there is, as `exercise` does it with the others. In the model
//! a pair of key and value is a key of its own.

use super::exercise::{MOST_PAIRS, Pairs, Step, ToTheError, Wrong, digest};
use super::orders::comparison;
use fastrand::Rng;
use recto::{Error, Key, PairChange, ReadTxn, SetTable, TableKind};
use std::ops::Bound;

/// What stands for a pair in the model.
pub fn pair_of(key: &[u8], value: &[u8]) -> Vec<u8> {
    [&(key.len() as u16).to_le_bytes()[..], key, value].concat()
}

/// The key of a pair.
fn key_in(pair: &[u8]) -> &[u8] {
    &pair[2..][..usize::from(u16::from_le_bytes([pair[0], pair[1]]))]
}

/// The pairs of a key.
fn pairs_of<'p>(pairs: &'p Pairs, key: &[u8]) -> impl Iterator<Item = &'p Vec<u8>> {
    let start = pair_of(key, b"");
    let from = pairs.range(start.clone()..).map(|(pair, _)| pair);
    from.take_while(move |pair| pair.starts_with(&start))
}

/// A value of so many bytes, or of any number (0); in the order of the numbers.
pub fn value_of(size: u16, n: u64) -> Vec<u8> {
    match size {
        0 => format!("value {n:06}").into_bytes(),
        1..8 => (n as u32).to_be_bytes().into_iter().cycle().take(size.into()).collect(),
        _ => [&n.to_be_bytes()[..], &vec![7; usize::from(size) - 8]].concat(),
    }
}

/// Reads a table of sets in every way. The error is the first one met; no pairs come back where one
/// way contradicts another.
pub fn read_set(table: &SetTable<'_>, rng: &mut Rng) -> recto::Result<Pairs> {
    std::hint::black_box((table.stats(), table.get(b"").is_ok(), table.count(b"key 007").ok()));
    let ends = [table.first(), table.last()];
    let (mut pairs, mut keys) = (Pairs::new(), Vec::new());
    let (mut forwards, mut odd) = (Ok(()), false);
    for entry in ToTheError(table.iter()?).take(MOST_PAIRS) {
        let (key, values) = match entry {
            Ok(entry) => entry,
            Err(e) => {
                forwards = Err(e);
                break;
            }
        };
        let (said, mut count) = (values.set_len(), 0);
        for value in ToTheError(values).take(MOST_PAIRS) {
            match value {
                Ok(value) => drop(pairs.insert(pair_of(&key, &value), digest(&value))),
                Err(e) => forwards = Err(e),
            }
            count += 1;
        }
        odd |= count != said;
        keys.push(key.into_vec());
    }
    let back = ToTheError(table.pairs(..)?).rev().take(4 * MOST_PAIRS).map(|pair| pair.map(drop));
    let mut count = 0;
    let backwards = back.inspect(|_| count += 1).find(Result::is_err).unwrap_or(Ok(()));
    odd |= count != pairs.len();
    let mut both = ToTheError(table.pairs(..)?);
    count = 0;
    while count < 4 * MOST_PAIRS {
        let next = if rng.u8(..3) > 0 { both.next() } else { both.next_back() };
        let Some(Ok((key, value))) = next else { break };
        odd |= !pairs.contains_key(&pair_of(&key, &value));
        count += 1;
    }
    odd |= count != pairs.len();
    for _ in 0..if keys.is_empty() { 0 } else { 8 } {
        let key = &keys[rng.usize(..keys.len())];
        let agree = read_values(table, key, &pairs, rng);
        odd |= forwards.is_ok() && !agree?;
    }
    forwards?;
    backwards?;
    odd |= !walk(table, &pairs, rng)?;
    for end in ends {
        std::hint::black_box(end?.is_some());
    }
    if odd {
        pairs.clear();
    }
    Ok(pairs)
}

/// Walks with a cursor; false where it does not meet the pairs.
fn walk(table: &SetTable<'_>, pairs: &Pairs, rng: &mut Rng) -> recto::Result<bool> {
    let (mut cursor, mut right) = (table.cursor(), true);
    for _ in 0..200 {
        let found = match rng.u8(..12) {
            0 => cursor.next_key()?,
            1 => cursor.prev_key()?,
            2 => cursor.last_value()?,
            3 => cursor.first_value()?,
            4 => cursor.seek(&[rng.u8(..)])?,
            5 => cursor.seek_value(b"key 007", &[rng.u8(..)])?,
            6 => cursor.prev_value()?,
            7..9 => cursor.prev()?,
            9 => cursor.next_value()?,
            _ => cursor.next()?,
        };
        right &= found.is_none_or(|(key, value)| pairs.contains_key(&pair_of(key, value)));
    }
    let mut keys = u64::from(cursor.first()?.is_some());
    while keys > 0 && keys < MOST_PAIRS as u64 && cursor.next_key()?.is_some() {
        keys += 1;
    }
    Ok(right && keys == table.key_count().min(MOST_PAIRS as u64))
}

/// What differs between a table in two snapshots, both ways.
pub fn compare_sets(
    old: &ReadTxn,
    new: &ReadTxn,
    name: &str,
    rng: &mut Rng,
) -> recto::Result<Option<Wrong>> {
    let mut count = 0;
    for change in new.diff_set(old, name, ..)?.take(4 * MOST_PAIRS) {
        let (key, value, change) = change?;
        count += 1;
        if count < 64 && rng.u8(..4) == 0 {
            let there = |txn: &ReadTxn| match txn.set_opt(name)? {
                Some(table) => table.contains(&key, &value),
                None => Ok(false),
            };
            let added = change == PairChange::Added;
            if (there(old)?, there(new)?) != (!added, added) {
                return Ok(Some(format!("a pair of key {} is {change:?}", key.escape_ascii())));
            }
        }
    }
    let mut back = 0;
    for change in new.diff_set(old, name, ..)?.rev().take(4 * MOST_PAIRS) {
        change?;
        back += 1;
    }
    let what = || format!("{count} pairs of {name:?} forwards, {back} backwards");
    Ok((count != back).then(what))
}

/// The values of a key in every way; false where they are not those of the pairs.
fn read_values(
    table: &SetTable<'_>,
    key: &[u8],
    pairs: &Pairs,
    rng: &mut Rng,
) -> recto::Result<bool> {
    let mut values = ToTheError(table.get(key)?);
    let (mut front, mut back) = (Vec::new(), Vec::new());
    for _ in 0..4 * MOST_PAIRS {
        let forward = rng.bool();
        let next = if forward { values.next() } else { values.next_back() };
        let Some(value) = next else { break };
        if forward { front.push(value?) } else { back.push(value?) }
    }
    back.reverse();
    front.append(&mut back);
    let all: Vec<Key<'_>> = front;
    let wanted = pairs_of(pairs, key).count();
    let mut right = all.iter().all(|value| pairs.contains_key(&pair_of(key, value)));
    right &= all.len() == wanted && table.count(key)? == wanted as u64;
    right &= table.contains_key(key)?;
    if let Some(size) = table.value_size() {
        let mut values = table.get(key)?;
        let mut bytes = 0;
        for _ in 0..MOST_PAIRS {
            let Some(slice) = values.next_slice()? else { break };
            bytes += slice.len();
        }
        right &= bytes == size * all.len();
    }
    for _ in 0..4 {
        let (Some(a), Some(b)) = (rng.choice(&all), rng.choice(&all)) else { break };
        let bounds = (Bound::Excluded(&a[..]), Bound::Included(&b[..]));
        let found = table.values(key, bounds)?.take(4 * MOST_PAIRS).filter(Result::is_ok).count();
        let between = all.iter().filter(|value| a < *value && *value <= b).count();
        right &= found == between && table.contains(key, a)?;
        right &= !table.contains(key, &[&a[..], b"behind"].concat())?;
    }
    Ok(right)
}

impl Step<'_> {
    /// Bytes of each value, 0 for any number, if it is a table of sets.
    pub(super) fn set_size(&self, name: &str) -> recto::Result<Option<u16>> {
        Ok(match self.txn.table_options(name)?.map(|options| options.kind) {
            Some(TableKind::Set { value_size }) => Some(value_size),
            _ => None,
        })
    }

    pub(super) fn insert_pair(
        &mut self,
        name: &str,
        key: &[u8],
        value: &[u8],
    ) -> recto::Result<()> {
        let new = self.txn.open_set(name)?.insert(key, value)?;
        if let Some(pairs) = self.pairs(name) {
            let before = pairs.insert(pair_of(key, value), digest(value));
            assert_eq!(new, before.is_none(), "an insertion says whether the value was there");
        }
        Ok(())
    }

    /// Values of a key at once.
    fn load_values(&mut self, name: &str, key: &[u8], values: &[Vec<u8>]) -> recto::Result<()> {
        let loaded = self.txn.open_set(name)?.load(values.iter().map(|value| (key, value)))?;
        if let Some(pairs) = self.pairs(name) {
            let before = pairs.len();
            pairs.extend(values.iter().map(|value| (pair_of(key, value), digest(value))));
            assert_eq!(loaded.new, (pairs.len() - before) as u64, "pairs that a load has added");
        }
        Ok(())
    }

    fn remove_pair(&mut self, name: &str, key: &[u8], value: &[u8]) -> recto::Result<()> {
        let there = self.txn.open_set(name)?.remove(key, value)?;
        if let Some(pairs) = self.pairs(name) {
            let before = pairs.remove(&pair_of(key, value));
            assert_eq!(there, before.is_some(), "a removal says whether the value was there");
        }
        Ok(())
    }

    pub(super) fn remove_all(&mut self, name: &str, key: &[u8]) -> recto::Result<()> {
        let gone = self.txn.open_set(name)?.remove_all(key)?;
        if let Some(pairs) = self.pairs(name) {
            let of_key: Vec<_> = pairs_of(pairs, key).cloned().collect();
            assert_eq!(gone, of_key.len() as u64, "values that a key had");
            for pair in &of_key {
                pairs.remove(pair);
            }
        }
        Ok(())
    }

    /// Inserts and removes, values and keys.
    pub(super) fn change_set(
        &mut self,
        name: &str,
        size: u16,
        keys: &[Vec<u8>],
    ) -> recto::Result<()> {
        let (salt, many) = (self.rng.usize(..4), self.rng.u64(1..90));
        for (i, key) in keys.iter().enumerate() {
            match (i + salt) % 4 {
                0 => self.remove_all(name, key)?,
                1 => {
                    let start = self.rng.u64(..3000);
                    let values: Vec<_> = (0..many).map(|n| value_of(size, start + n)).collect();
                    if start.is_multiple_of(2) {
                        self.load_values(name, key, &values)?;
                        continue;
                    }
                    for value in &values {
                        self.insert_pair(name, key, value)?;
                    }
                }
                _ => {
                    let values = self.txn.set(name)?.get(key)?;
                    let some: recto::Result<Vec<_>> =
                        values.step_by(1 + i % 3).take(100).map(|v| v.map(Key::into_vec)).collect();
                    for value in some? {
                        self.remove_pair(name, key, &value)?;
                    }
                }
            }
        }
        for n in 0..15u32 {
            self.insert_pair(name, &(n * 0x0101_0101).to_be_bytes(), &value_of(size, n.into()))?;
        }
        // A damaged descriptor may say that all numbers have been given out.
        match self.txn.open_set(name)?.next_sequence() {
            Ok(_) | Err(Error::InvalidArgument(_)) => {}
            Err(e) => return Err(e),
        }
        let mut cursor = self.txn.open_set(name)?.cursor();
        cursor.first(self.txn)?;
        for _ in 0..10 {
            let Some((key, value)) = cursor.next_value(self.txn)? else { break };
            let pair = pair_of(key, value);
            let gone = cursor.delete(self.txn)?;
            if let Some(pairs) = self.pairs(name) {
                let there = pairs.remove(&pair).is_some();
                assert!(gone && there, "a cursor removes what it stands on");
            }
        }
        let table = self.txn.set(name)?;
        std::hint::black_box((table.first()?.is_some(), table.last()?.is_some()));
        Ok(())
    }

    /// Takes out all keys between two.
    pub(super) fn cut_set(&mut self, name: &str, keys: &[Vec<u8>]) -> recto::Result<()> {
        let (Some(from), Some(to)) = (self.rng.choice(keys), self.rng.choice(keys)) else {
            return Ok(());
        };
        let compare = comparison(&self.order(name)?);
        let (from, to) = if compare(from, to).is_lt() { (from, to) } else { (to, from) };
        let gone = self.txn.open_set(name)?.delete_range(from..to)?;
        if let Some(pairs) = self.pairs(name) {
            let before = pairs.len();
            pairs.retain(|pair, _| {
                compare(key_in(pair), from).is_lt() || compare(key_in(pair), to).is_ge()
            });
            assert_eq!(gone, (before - pairs.len()) as u64, "pairs that a range held");
        }
        Ok(())
    }
}
