//! Tables of sets in the scripts: what is done with them, in the engine and in the model.
//!
//! Their numbers are those behind the other tables. A value has a number as a key has; the table
//! says which bytes that is.

use super::content::{Content, TABLES, key_bytes, pair_print, table_print};
use super::edit::{Edit, Editing};
use recto::harness::sim::Rng;
use recto::{Error, SetTable, SetTableMut, TableOptions};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Tables that have one value for each key.
pub const MAPS: usize = 6;
/// Bytes of each value of the tables of sets; 0: any number.
const SIZES: [u16; 3] = [0, 8, 900];

/// Whether a table is one of sets.
pub fn is_set(table: u8) -> bool {
    (MAPS..MAPS + SIZES.len()).contains(&usize::from(table))
}

pub(super) fn size(table: u8) -> u16 {
    SIZES[usize::from(table) - MAPS]
}

/// Bytes of a value. The large ones are in groups that only long separators keep apart, so that
/// trees of few have many levels.
pub(super) fn value_bytes(table: u8, value: u16) -> Vec<u8> {
    match size(table) {
        0 => key_bytes(value),
        8 => (u64::from(value) << 20).to_be_bytes().to_vec(),
        size => {
            let group = value.checked_shr(4).unwrap_or(0).to_be_bytes();
            let mut bytes: Vec<u8> = group.into_iter().cycle().take(size.into()).collect();
            bytes[usize::from(size) - 2..].copy_from_slice(&value.to_be_bytes());
            bytes
        }
    }
}

impl Content {
    pub(super) fn make_set(&mut self, table: u8) {
        self.sets.entry(table).or_insert_with(|| {
            self.print = self.print.wrapping_add(table_print(table));
            Arc::default()
        });
    }

    /// Whether the pair is new.
    pub(super) fn insert_pair(&mut self, table: u8, key: u16, value: u16) -> bool {
        self.make_set(table);
        let print = pair_print(table, &key_bytes(key), &value_bytes(table, value));
        let Some(pairs) = self.sets.get_mut(&table) else { return false };
        if pairs.contains_key(&(key, value)) {
            return false;
        }
        Arc::make_mut(pairs).insert((key, value), print);
        self.print = self.print.wrapping_add(print);
        true
    }

    /// Takes out all pairs that are not wanted; how many. The table is there from now on.
    pub(super) fn remove_pairs(&mut self, table: u8, unwanted: impl Fn((u16, u16)) -> bool) -> u64 {
        self.make_set(table);
        let Some(pairs) = self.sets.get_mut(&table) else { return 0 };
        let gone: Vec<_> = pairs.keys().copied().filter(|pair| unwanted(*pair)).collect();
        if !gone.is_empty() {
            let pairs = Arc::make_mut(pairs);
            for pair in &gone {
                let print = pairs.remove(pair).unwrap_or(0);
                self.print = self.print.wrapping_sub(print);
            }
        }
        gone.len() as u64
    }

    /// The values of a key, as their bytes.
    fn values(&self, table: u8, key: u16) -> BTreeSet<Vec<u8>> {
        let pairs = self.sets.get(&table).into_iter().flat_map(|pairs| pairs.keys());
        let of_key = pairs.filter(|pair| pair.0 == key);
        of_key.map(|pair| value_bytes(table, pair.1)).collect()
    }
}

/// Sum of the fingerprints of a table and the number of its pairs, or how it contradicts itself.
pub fn set_print(table: u8, set: &SetTable<'_>) -> recto::Result<Result<(u64, usize), String>> {
    let (mut print, mut count, mut keys) = (0u64, 0, 0);
    for entry in set.iter()? {
        let (key, mut values) = entry?;
        let (said, before) = (values.set_len(), count);
        let mut take = |value: &[u8]| {
            print = print.wrapping_add(pair_print(table, &key, value));
            count += 1;
        };
        // Half of the keys by slices, as far as there are any.
        while keys % 2 == 0
            && let Some(slice) = values.next_slice()?
        {
            slice.chunks(usize::from(size(table)).max(1)).for_each(&mut take);
        }
        for value in values {
            take(&value?);
        }
        if said != count - before {
            return Ok(Err(format!("{} values of a key, said {said}", count - before)));
        }
        keys += 1;
    }
    let said = (set.len(), set.key_count());
    Ok(match said == (count, keys) {
        true => Ok((print, count as usize)),
        false => Err(format!("{count} pairs of {keys} keys, said {said:?}")),
    })
}

impl Editing<'_> {
    pub(super) fn open_set(&mut self, table: u8) -> recto::Result<SetTableMut<'_>> {
        self.txn.open_set_with(TABLES[table as usize], &TableOptions::set_of(size(table)))
    }

    pub(super) fn join(&mut self, table: u8, key: u16, value: u16) -> recto::Result<()> {
        let new = self.open_set(table)?.insert(&key_bytes(key), &value_bytes(table, value))?;
        let right = new == self.content.insert_pair(table, key, value) || self.doubtful;
        assert!(right, "join {} {key} {value} says that it is new: {new}", TABLES[table as usize]);
        Ok(())
    }

    pub(super) fn leave(&mut self, table: u8, key: u16, value: u16) -> recto::Result<()> {
        let there = self.open_set(table)?.remove(&key_bytes(key), &value_bytes(table, value))?;
        let expected = self.content.remove_pairs(table, |pair| pair == (key, value)) > 0;
        let right = there == expected || self.doubtful;
        assert!(right, "leave {} {key} {value} says it was there: {there}", TABLES[table as usize]);
        Ok(())
    }

    pub(super) fn leave_all(&mut self, table: u8, key: u16) -> recto::Result<()> {
        let gone = self.open_set(table)?.remove_all(&key_bytes(key))?;
        let expected = self.content.remove_pairs(table, |pair| pair.0 == key);
        let right = gone == expected || self.doubtful;
        assert!(right, "leave-all {} {key} says that {gone} went", TABLES[table as usize]);
        Ok(())
    }

    /// Reads the values of a key back inside the transaction.
    pub(super) fn look_at_set(&self, table: u8, key: u16) -> recto::Result<()> {
        let expected = self.content.values(table, key);
        let found = match self.txn.set(TABLES[table as usize]) {
            Ok(set) => {
                let values = set.get(&key_bytes(key))?.rev();
                values.map(|value| value.map(recto::Key::into_vec)).collect::<recto::Result<_>>()?
            }
            Err(Error::NoSuchTable(_)) => Vec::new(),
            Err(e) => return Err(e),
        };
        let right = expected.iter().rev().eq(found.iter()) || self.doubtful;
        assert!(right, "values of {} {key} in its own transaction", TABLES[table as usize]);
        Ok(())
    }
}

impl Edit {
    /// Something to do with tables of sets.
    fn random_of_sets(rng: &mut Rng) -> Edit {
        let table = (MAPS + rng.index(SIZES.len())) as u8;
        // Few keys get most of the values.
        let key = if rng.chance(3, 4) { rng.below(3) } else { rng.below(60) } as u16;
        let (from, step) = (rng.below(150) as u16, 1 + rng.below(3) as u16);
        let many = if size(table) == 8 { 600 } else { 40 };
        let count = match rng.below(3) {
            0 => 1,
            1 => 1 + rng.below(6),
            _ => 1 + rng.below(many),
        } as u16;
        match rng.below(16) {
            0 if rng.chance(1, 3) => Edit::Drop { table },
            0 | 1 => Edit::CutOut { table, from: key, to: rng.below(60) as u16 },
            2 => Edit::LeaveAll { table, key },
            3..=7 => Edit::Leave { table, key, from, count, step },
            _ => Edit::Join { table, key, from, count, step },
        }
    }

    /// The same edits with others of tables of sets between them.
    pub fn with_sets(edits: &[Edit], rng: &mut Rng) -> Vec<Edit> {
        let mut all = Vec::new();
        for edit in edits {
            (0..rng.below(3)).for_each(|_| all.push(Edit::random_of_sets(rng)));
            if rng.chance(1, 2) {
                all.push(*edit);
            }
        }
        all.push(Edit::random_of_sets(rng));
        all
    }

    /// The same edits, and numbers that tables give out between them.
    pub fn with_numbers(edits: &[Edit], rng: &mut Rng) -> Vec<Edit> {
        let mut all = Vec::new();
        for edit in edits {
            all.push(*edit);
            if rng.chance(1, 4) {
                // Those of one value for each key too.
                let table = rng.index(MAPS + SIZES.len()) as u8;
                all.push(Edit::Number { table, count: rng.below(4) as u16 });
            }
        }
        all
    }
}
