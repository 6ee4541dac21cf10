//! Tables of either kind as pairs: one value for each key, or a set of values for each.

use crate::failure::{Failure, Outcome};
use recto::{Error, Key, Range, ReadTxn, SetTable, SetTableMut, Table, TableKind, TableMut};
use recto::{TableId, TableOptions, WriteTxn};
use std::ops::Bound;
use std::path::Path;

/// Two bounds of keys, as the engine takes them.
pub type Bounds<'b> = (Bound<&'b [u8]>, Bound<&'b [u8]>);

/// All keys.
pub const ALL: Bounds<'static> = (Bound::Unbounded, Bound::Unbounded);

/// Whether a table with these options has sets of values.
pub fn is_set(options: &TableOptions) -> bool {
    matches!(options.kind, TableKind::Set { .. })
}

/// Bytes that each value has, in a table of sets of values of one size; else 0.
pub fn value_size(options: &TableOptions) -> u16 {
    match options.kind {
        TableKind::Set { value_size } => value_size,
        _ => 0,
    }
}

/// A table to read.
#[derive(Clone, Copy)]
pub enum Pairs<'t> {
    /// One value for each key.
    Map(Table<'t>),
    /// A set of values for each key.
    Sets(SetTable<'t>),
}

impl<'t> Pairs<'t> {
    /// The table of this name. `NoSuchTable` if there is none.
    pub fn open(txn: &'t ReadTxn, name: &str) -> recto::Result<Pairs<'t>> {
        match txn.table_options(name)?.is_some_and(|options| is_set(&options)) {
            true => txn.set(name).map(Pairs::Sets),
            false => txn.table(name).map(Pairs::Map),
        }
    }

    /// Number of pairs.
    pub fn len(&self) -> u64 {
        match self {
            Pairs::Map(table) => table.len(),
            Pairs::Sets(table) => table.len(),
        }
    }

    /// Number of keys.
    pub fn key_count(&self) -> u64 {
        match self {
            Pairs::Map(table) => table.len(),
            Pairs::Sets(table) => table.key_count(),
        }
    }

    /// The last number that the table has given out.
    pub fn sequence(&self) -> u64 {
        match self {
            Pairs::Map(table) => table.sequence(),
            Pairs::Sets(table) => table.sequence(),
        }
    }

    /// Pairs, and keys, between two bounds. Reads every key of them, and no value.
    pub fn count(&self, keys: Bounds<'_>) -> recto::Result<(u64, u64)> {
        let mut counts = (0, 0);
        match self {
            Pairs::Map(table) => {
                let count = table.count_range(keys)?;
                counts = (count, count);
            }
            Pairs::Sets(table) => {
                for entry in table.range(keys)? {
                    counts = (counts.0 + entry?.1.set_len(), counts.1 + 1);
                }
            }
        }
        Ok(counts)
    }

    /// The pairs of the keys between two bounds, by key and then by value.
    pub fn pairs(&self, keys: Bounds<'_>) -> recto::Result<Walk<'t>> {
        match self {
            Pairs::Map(table) => table.range(keys).map(Box::new).map(Walk::Map),
            Pairs::Sets(table) => table.pairs(keys).map(Box::new).map(Walk::Sets),
        }
    }

    /// The values of a key in their order.
    pub fn values(&self, key: &[u8]) -> recto::Result<Values<'t>> {
        match self {
            Pairs::Map(table) => Ok(Values::One(table.get(key)?)),
            Pairs::Sets(table) => table.get(key).map(Values::Set),
        }
    }

    /// Whether a key has a value.
    pub fn contains(&self, key: &[u8], value: &[u8]) -> recto::Result<bool> {
        match self {
            Pairs::Map(table) => Ok(table.get(key)? == Some(value)),
            Pairs::Sets(table) => table.contains(key, value),
        }
    }
}

/// Pairs from both ends.
pub enum Walk<'t> {
    Map(Box<Range<'t>>),
    Sets(Box<recto::Pairs<'t>>),
}

type Pair<'t> = recto::Result<(Key<'t>, Key<'t>)>;

fn of_map<'t>(pair: recto::Result<(Key<'t>, &'t [u8])>) -> Pair<'t> {
    pair.map(|(key, value)| (key, value.into()))
}

impl<'t> Iterator for Walk<'t> {
    type Item = Pair<'t>;

    fn next(&mut self) -> Option<Pair<'t>> {
        match self {
            Walk::Map(range) => range.next().map(of_map),
            Walk::Sets(pairs) => pairs.next(),
        }
    }
}

impl<'t> DoubleEndedIterator for Walk<'t> {
    fn next_back(&mut self) -> Option<Pair<'t>> {
        match self {
            Walk::Map(range) => range.next_back().map(of_map),
            Walk::Sets(pairs) => pairs.next_back(),
        }
    }
}

/// Values of one key.
pub enum Values<'t> {
    One(Option<&'t [u8]>),
    Set(recto::Values<'t>),
}

impl Values<'_> {
    /// How many the key has.
    pub fn len(&self) -> u64 {
        match self {
            Values::One(value) => value.is_some().into(),
            Values::Set(values) => values.set_len(),
        }
    }
}

impl<'t> Iterator for Values<'t> {
    type Item = recto::Result<Key<'t>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Values::One(value) => value.take().map(|value| Ok(value.into())),
            Values::Set(values) => values.next(),
        }
    }
}

/// What a table is opened with, if these options are asked for and it has those of `there`, or is
/// to be made.
pub fn asked(
    name: &str,
    there: Option<TableOptions>,
    options: &TableOptions,
) -> recto::Result<TableOptions> {
    let mut asked = options.clone();
    match there {
        Some(there) if is_set(&there) && !is_set(options) => {
            asked.kind = TableKind::Set { value_size: 0 };
        }
        Some(there) if !is_set(&there) && is_set(options) => {
            let detail = "its keys have one value each, and what comes has sets of values";
            return Err(Error::TableOptions { table: name.into(), detail: detail.into() });
        }
        _ => {}
    }
    Ok(asked)
}

/// A table to change.
pub enum PairsMut<'t> {
    /// One value for each key.
    Map(TableMut<'t>),
    /// A set of values for each key.
    Sets(SetTableMut<'t>),
}

impl<'t> PairsMut<'t> {
    /// The table of this name, made with these options if there is none. Options of a table of one
    /// value for each key ask for no kind: one of sets takes its pairs too.
    pub fn open(
        txn: &'t mut WriteTxn,
        name: &str,
        options: &TableOptions,
    ) -> recto::Result<PairsMut<'t>> {
        let options = asked(name, txn.table_options(name)?, options)?;
        match is_set(&options) {
            true => txn.open_set_with(name, &options).map(PairsMut::Sets),
            false => txn.open_table_with(name, &options).map(PairsMut::Map),
        }
    }

    /// Its id in the transaction.
    pub fn id(&self) -> TableId {
        match self {
            PairsMut::Map(table) => table.id(),
            PairsMut::Sets(table) => table.id(),
        }
    }

    /// Makes the table one that has given out this number, if it has not come to it by itself.
    pub fn raise_sequence(&mut self, last: u64) -> recto::Result<()> {
        match self {
            PairsMut::Map(table) if table.sequence() < last => table.set_sequence(last),
            PairsMut::Sets(table) if table.sequence() < last => table.set_sequence(last),
            _ => Ok(()),
        }
    }

    /// The table of this name, which must be there.
    pub fn existing(txn: &'t mut WriteTxn, name: &str, file: &Path) -> Outcome<PairsMut<'t>> {
        let options = txn.table_options(name).map_err(|e| Failure::engine(file, e))?;
        match options {
            Some(options) => PairsMut::open(txn, name, &options),
            None => Err(Error::NoSuchTable(name.into())),
        }
        .map_err(|e| Failure::engine(file, e))
    }

    /// Puts a pair; whether it was there already. In a table of one value for each key that is
    /// whether its key was there.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> recto::Result<bool> {
        match self {
            PairsMut::Map(table) => table.put(key, value),
            PairsMut::Sets(table) => table.insert(key, value).map(|is_new| !is_new),
        }
    }

    /// Removes a key with all its values; how many there were.
    pub fn delete(&mut self, key: &[u8]) -> recto::Result<u64> {
        match self {
            PairsMut::Map(table) => table.delete(key).map(u64::from),
            PairsMut::Sets(table) => table.remove_all(key),
        }
    }

    /// Removes one pair; how many there were.
    pub fn delete_pair(&mut self, key: &[u8], value: &[u8]) -> recto::Result<u64> {
        match self {
            PairsMut::Map(table) => table.compare_and_swap(key, Some(value), None),
            PairsMut::Sets(table) => table.remove(key, value),
        }
        .map(u64::from)
    }

    /// Removes all pairs of the keys between two bounds; how many there were.
    pub fn delete_range(&mut self, keys: Bounds<'_>) -> recto::Result<u64> {
        match self {
            PairsMut::Map(table) => table.delete_range(keys),
            PairsMut::Sets(table) => table.delete_range(keys),
        }
    }

    /// Number of pairs.
    pub fn len(&self) -> u64 {
        match self {
            PairsMut::Map(table) => table.len(),
            PairsMut::Sets(table) => table.len(),
        }
    }
}
