//! What happens inside a write transaction: the grammar, the model and the engine's call of each
//! edit, side by side.

use super::content::{Content, NAMES, TABLES, Value, key_bytes, snapshot_name};
use super::orders::ORDERS;
use super::sets::{MAPS, is_set};
use recto::harness::sim::Rng;
use recto::{Error, Savepoint, TableMut, TableOptions, WriteTxn};
use std::fmt;
use std::ops::Bound;

/// One change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Edit {
    /// `put TABLE KEY LEN`
    Put { table: u8, key: u16, len: u32 },
    /// `again TABLE KEY LEN`: as `put`, but with the same bytes each time.
    Again { table: u8, key: u16, len: u32 },
    /// `del TABLE KEY`
    Del { table: u8, key: u16 },
    /// `fill TABLE FROM COUNT STEP LEN`: puts of every STEP-th key.
    Fill { table: u8, from: u16, count: u16, step: u16, len: u32 },
    /// `erase TABLE FROM COUNT STEP`
    Erase { table: u8, from: u16, count: u16, step: u16 },
    /// `load TABLE FROM COUNT STEP LEN`: a loader puts every STEP-th key, in no order, some of them
    /// twice.
    Load { table: u8, from: u16, count: u16, step: u16, len: u32 },
    /// `gather TABLE KEY FROM COUNT STEP`: a loader gives a key, and the one behind it, every
    /// STEP-th value, in a table of sets.
    Gather { table: u8, key: u16, from: u16, count: u16, step: u16 },
    /// `join TABLE KEY FROM COUNT STEP`: a key gets every STEP-th value, in a table of sets.
    Join { table: u8, key: u16, from: u16, count: u16, step: u16 },
    /// `leave TABLE KEY FROM COUNT STEP`: a key loses these values.
    Leave { table: u8, key: u16, from: u16, count: u16, step: u16 },
    /// `leave-all TABLE KEY`: it loses all of them.
    LeaveAll { table: u8, key: u16 },
    /// `cut-out TABLE KEY KEY`: all keys from the one to below the other, by their bytes.
    CutOut { table: u8, from: u16, to: u16 },
    /// `number TABLE COUNT`: takes so many numbers of its sequence.
    Number { table: u8, count: u16 },
    /// `order TABLE N`: a table that is not there is made with whole keys: 1 by their bytes, 2 by
    /// their bytes from the last one, 3 by a function of a program's own.
    Order { table: u8, order: u8 },
    /// `drop TABLE`
    Drop { table: u8 },
    /// `rename TABLE TABLE`
    Rename { from: u8, to: u8 },
    /// `save`: a savepoint.
    Save,
    /// `keep N`: gives up the savepoint below the N newest, and these. What changed since stays.
    Keep { down: u8 },
    /// `back N`: undoes everything since that savepoint, which stays.
    Back { down: u8 },
    /// `name N`: what the transaction has begun from gets a name.
    Name { name: u8 },
    /// `unname N`: the snapshot of this name is dropped.
    Unname { name: u8 },
}

/// The savepoints of a write transaction, with its content at each.
#[derive(Default)]
pub struct Saved(Vec<(Savepoint, Content)>);

impl Saved {
    /// The savepoint below the `down` newest; the oldest where there are fewer.
    fn index(&self, down: u8) -> Option<usize> {
        let newest = self.0.len().checked_sub(1)?;
        Some(newest.saturating_sub(down.into()))
    }
}

/// A write transaction with its model.
pub struct Editing<'a> {
    pub txn: &'a mut WriteTxn,
    pub content: &'a mut Content,
    pub saved: &'a mut Saved,
    /// Of the next write.
    pub stamp: &'a mut u32,
    /// What it stands on is lost: what it is told is worth nothing.
    pub doubtful: bool,
}

/// The tables of which the values are aligned where they are made, and to how many bytes: in
/// leaves, in runs alone.
const ALIGNED: [(&str, usize); 2] = [("tail", 16), ("t", 4096)];

/// Opens a table, or makes it; under any name there may be one that was made under another.
pub(super) fn open(txn: &mut WriteTxn, table: u8) -> recto::Result<TableMut<'_>> {
    let name = TABLES[table as usize];
    let align = ALIGNED.iter().find(|(aligned, _)| *aligned == name);
    match align {
        Some((_, align)) if txn.table_opt(name)?.is_none() => {
            txn.create_table_with(name, &TableOptions::aligned(*align).types("u16", "bytes"))
        }
        _ => txn.open_table(name),
    }
}

/// Whether a value stands as its table has promised.
fn is_aligned(txn: &WriteTxn, table: u8, value: &[u8]) -> recto::Result<bool> {
    let options = txn.table_options(TABLES[table as usize])?.unwrap_or_default();
    Ok(value.as_ptr().addr().is_multiple_of(options.align))
}

impl Editing<'_> {
    /// Undoes what an edit that failed has done by half. Whether that could be.
    pub fn undo(&mut self) -> recto::Result<bool> {
        match self.saved.index(0) {
            Some(_) => self.back(0).map(|()| true),
            None => Ok(false),
        }
    }

    fn back(&mut self, down: u8) -> recto::Result<()> {
        let Some(at) = self.saved.index(down) else { return Ok(()) };
        let later = self.saved.0.split_off(at + 1);
        let (savepoint, content) = &self.saved.0[at];
        self.txn.rollback_to(savepoint)?;
        *self.content = content.clone();
        for (savepoint, _) in later {
            let ended = self.txn.release(savepoint);
            assert!(matches!(ended, Err(Error::NoSuchSavepoint)), "went with another: {ended:?}");
        }
        Ok(())
    }

    fn put(&mut self, table: u8, key: u16, len: u32) -> recto::Result<()> {
        *self.stamp += 1;
        self.put_value(table, key, Value { len, stamp: *self.stamp })
    }

    fn put_value(&mut self, table: u8, key: u16, value: Value) -> recto::Result<()> {
        let bytes = value.bytes();
        let mut t = open(self.txn, table)?;
        let there = match t.put(&key_bytes(key), &bytes) {
            Ok(there) => there,
            Err(e) => {
                // It may have been done by half: what is read then would be anything.
                let read = t.get(&key_bytes(key));
                let broken = matches!(read, Err(Error::TransactionBroken { .. }));
                assert!(broken, "a table is read behind {e}: {read:?}");
                return Err(e);
            }
        };
        let expected = self.content.put(table, key, value, &bytes);
        let right = there == expected || self.doubtful;
        assert!(right, "put {} {key} says that it was there: {there}", TABLES[table as usize]);
        Ok(())
    }

    fn delete(&mut self, table: u8, key: u16) -> recto::Result<()> {
        let mut t = open(self.txn, table)?;
        let there = t.delete(&key_bytes(key))?;
        let expected = self.content.delete(table, key);
        let right = there == expected || self.doubtful;
        assert!(right, "delete {} {key} says that it was there: {there}", TABLES[table as usize]);
        Ok(())
    }

    /// Reads a key back inside the transaction.
    pub(super) fn look(&self, table: u8, key: u16) -> recto::Result<()> {
        let expected = self.content.get(table, key);
        let found = match self.txn.table(TABLES[table as usize]) {
            Ok(t) => {
                let found = t.get(&key_bytes(key))?;
                if let Some(value) = found {
                    let name = TABLES[table as usize];
                    assert!(is_aligned(self.txn, table, value)?, "{name} {key} is not aligned");
                }
                found.map(<[u8]>::to_vec)
            }
            Err(recto::Error::NoSuchTable(_)) => None,
            Err(e) => return Err(e),
        };
        let right = found == expected.map(Value::bytes) || self.doubtful;
        assert!(right, "get {table} {key} in its own transaction");
        Ok(())
    }
}

pub(super) fn keys(from: u16, count: u16, step: u16) -> impl Iterator<Item = u16> {
    (from..from.saturating_add(count)).step_by(usize::from(step.max(1)))
}

impl Edit {
    /// Does it, in the engine and in the model.
    pub fn apply(&self, e: &mut Editing<'_>) -> recto::Result<()> {
        match *self {
            Edit::Put { table, key, len } => {
                e.put(table, key, len)?;
                e.look(table, key)
            }
            Edit::Again { table, key, len } => {
                e.put_value(table, key, Value { len, stamp: u32::MAX - u32::from(key) })
            }
            Edit::Del { table, key } => {
                e.delete(table, key)?;
                e.look(table, key)
            }
            Edit::Fill { table, from, count, step, len } => {
                keys(from, count, step).try_for_each(|key| e.put(table, key, len))
            }
            Edit::Erase { table, from, count, step } => {
                keys(from, count, step).try_for_each(|key| e.delete(table, key))
            }
            Edit::Load { table, from, count, step, len } => {
                e.load(table, keys(from, count, step), len)?;
                keys(from, count, step).step_by(7).try_for_each(|key| e.look(table, key))
            }
            Edit::Gather { table, key, from, count, step } => {
                e.gather(table, key, keys(from, count, step))?;
                e.look_at_set(table, key)?;
                e.look_at_set(table, key.wrapping_add(1))
            }
            Edit::Join { table, key, from, count, step } => {
                keys(from, count, step).try_for_each(|value| e.join(table, key, value))?;
                e.look_at_set(table, key)
            }
            Edit::Leave { table, key, from, count, step } => {
                keys(from, count, step).try_for_each(|value| e.leave(table, key, value))?;
                e.look_at_set(table, key)
            }
            Edit::LeaveAll { table, key } => {
                e.leave_all(table, key)?;
                e.look_at_set(table, key)
            }
            Edit::CutOut { table, from, to } => {
                let (start, end) = (key_bytes(from), key_bytes(to));
                let bounds = (Bound::Included(&start), Bound::Excluded(&end));
                let gone = match is_set(table) {
                    true => e.open_set(table)?.delete_range(bounds)?,
                    false => open(e.txn, table)?.delete_range(bounds)?,
                };
                let wanted = e.content.delete_range(table, from, to);
                let right = gone == wanted || e.doubtful;
                assert!(right, "{self} says that {gone} keys went, and not {wanted}");
                let some = match is_set(table) {
                    true => e.open_set(table)?.range(bounds)?.next().transpose()?.is_some(),
                    false => open(e.txn, table)?.range(bounds)?.next().transpose()?.is_some(),
                };
                assert!(!some || e.doubtful, "{self} leaves a key");
                Ok(())
            }
            Edit::Number { table, count } => {
                let taken = match is_set(table) {
                    true => e.open_set(table)?.take_sequence(count.into())?,
                    false => open(e.txn, table)?.take_sequence(count.into())?,
                };
                let expected = e.content.take_numbers(table, count);
                assert!(taken == expected || e.doubtful, "{self} gives {taken:?}");
                Ok(())
            }
            Edit::Order { table, order } => e.make_ordered(table, order),
            Edit::Drop { table } => {
                let there = e.txn.drop_table(TABLES[table as usize])?;
                let right = there == e.content.drop_table(table) || e.doubtful;
                assert!(right, "drop says that it was there: {there}");
                Ok(())
            }
            Edit::Rename { from, to } => {
                let renamed = e.txn.rename_table(TABLES[from as usize], TABLES[to as usize]);
                let expected = from != to && e.content.rename(from, to);
                let doubtful = e.doubtful;
                match renamed {
                    Ok(()) => assert!(expected || from == to || doubtful, "renamed {from} to {to}"),
                    Err(recto::Error::NoSuchTable(_) | recto::Error::TableExists(_)) => {
                        assert!(!expected || doubtful, "not renamed: {from} to {to}");
                    }
                    Err(e) => return Err(e),
                }
                Ok(())
            }
            Edit::Save => {
                let savepoint = e.txn.savepoint()?;
                e.saved.0.push((savepoint, e.content.clone()));
                Ok(())
            }
            Edit::Keep { down } => {
                let Some(at) = e.saved.index(down) else { return Ok(()) };
                let mut gone = e.saved.0.drain(at..);
                gone.next().map_or(Ok(()), |(savepoint, _)| e.txn.release(savepoint))
            }
            Edit::Back { down } => e.back(down),
            Edit::Name { name } => {
                e.put(NAMES, name.into(), 8)?;
                let free = match e.txn.create_snapshot(&snapshot_name(name)) {
                    Ok(()) => true,
                    Err(Error::SnapshotExists(_)) => false,
                    Err(e) => return Err(e),
                };
                assert!(free == e.content.name(name) || e.doubtful, "{self}: it was free: {free}");
                Ok(())
            }
            Edit::Unname { name } => {
                e.put(NAMES, name.into(), 8)?;
                let there = e.txn.drop_snapshot(&snapshot_name(name))?;
                assert!(there == e.content.unname(name) || e.doubtful, "{self}: there: {there}");
                Ok(())
            }
        }
    }

    /// Single keys that are put or deleted.
    pub fn weight(&self) -> u64 {
        match *self {
            Edit::Fill { count, step, .. }
            | Edit::Erase { count, step, .. }
            | Edit::Load { count, step, .. }
            | Edit::Gather { count, step, .. }
            | Edit::Join { count, step, .. }
            | Edit::Leave { count, step, .. } => u64::from(count.div_ceil(step.max(1))),
            Edit::CutOut { .. } | Edit::LeaveAll { .. } => 40,
            Edit::Save | Edit::Keep { .. } | Edit::Back { .. } | Edit::Order { .. } => 0,
            _ => 1,
        }
    }

    /// Whether a value goes to pages of its own.
    pub fn overflows(&self, page_size: usize) -> bool {
        match *self {
            Edit::Put { len, .. }
            | Edit::Again { len, .. }
            | Edit::Fill { len, .. }
            | Edit::Load { len, .. } => len as usize > page_size / 2,
            _ => false,
        }
    }

    /// Something to do.
    pub fn random(rng: &mut Rng, page_size: usize) -> Edit {
        let table = if rng.chance(3, 5) { 0 } else { rng.index(MAPS) as u8 };
        let key = match rng.below(4) {
            0 => rng.below(12) as u16,
            1 => rng.below(400) as u16,
            _ => rng.below(80) as u16,
        };
        let size = page_size as u64;
        let len = match rng.below(16) {
            0 => 0,
            1 => size / 3 + rng.below(size / 3),
            2 => size / 2 + rng.below(size * 2),
            3 if rng.chance(1, 4) => size * 4 + rng.below(size * 6),
            _ => 4 + rng.below(120),
        } as u32;
        let step = 1 + rng.below(4) as u16;
        match rng.below(32) {
            0 => Edit::Drop { table },
            1 => Edit::Rename { from: table, to: rng.index(MAPS) as u8 },
            2 | 3 => {
                let (count, len) = (10 + rng.below(120) as u16, (4 + rng.below(200)) as u32);
                Edit::Fill { table, from: key, count, step, len }
            }
            4 => {
                let (count, len) =
                    (4 + rng.below(20) as u16, (size / 4 + rng.below(size / 4)) as u32);
                Edit::Fill { table, from: key, count, step, len }
            }
            5 | 6 => Edit::Erase { table, from: key, count: 10 + rng.below(150) as u16, step },
            7 => Edit::CutOut { table, from: key, to: rng.below(400) as u16 },
            8..=12 => Edit::Del { table, key },
            13 => Edit::Again { table, key, len },
            _ => Edit::Put { table, key, len },
        }
    }

    /// The same edits with savepoints between them: some of it is undone.
    pub fn nested(edits: &[Edit], rng: &mut Rng) -> Vec<Edit> {
        let mut all = Vec::new();
        let some = |rng: &mut Rng| match rng.below(8) {
            0..=3 => Some(Edit::Save),
            4 => Some(Edit::Keep { down: rng.below(3) as u8 }),
            5 | 6 => Some(Edit::Back { down: rng.below(3) as u8 }),
            _ => None,
        };
        for edit in edits {
            all.extend(some(rng));
            all.push(*edit);
            // And again what may be undone, or come back to pages of an older level.
            if rng.chance(1, 3) {
                all.extend(some(rng));
                all.push(edits[rng.index(edits.len())]);
            }
        }
        all.extend(some(rng));
        all
    }

    /// The same edits, and names given to what they begin from, or taken.
    pub fn named(edits: &[Edit], rng: &mut Rng) -> Vec<Edit> {
        let name = rng.below(4) as u8;
        let given = if rng.chance(3, 5) { Edit::Name { name } } else { Edit::Unname { name } };
        let mut all = edits.to_vec();
        all.insert(rng.index(edits.len() + 1), given);
        if rng.chance(1, 6) {
            // Under another name, or with it again.
            all.push(Edit::Unname { name: rng.below(4) as u8 });
            all.push(Edit::Name { name });
        }
        all
    }

    /// Smaller edits that might fail in the same way.
    pub fn smaller(&self) -> Vec<Edit> {
        match *self {
            Edit::Fill { table, from, count, step, len } if count > step.max(1) => {
                let half = count / 2;
                vec![
                    Edit::Fill { table, from, count: half, step, len },
                    Edit::Fill { table, from: from + half, count: count - half, step, len },
                    Edit::Fill { table, from, count: count - 1, step, len },
                ]
            }
            Edit::Fill { table, from, len, .. } => vec![Edit::Put { table, key: from, len }],
            Edit::Load { table, from, count, step, len } if count > step.max(1) => {
                let half = count / 2;
                vec![
                    Edit::Fill { table, from, count, step, len },
                    Edit::Load { table, from, count: half, step, len },
                    Edit::Load { table, from: from + half, count: count - half, step, len },
                    Edit::Load { table, from, count: count - 1, step, len },
                ]
            }
            Edit::Load { table, from, len, .. } => vec![Edit::Put { table, key: from, len }],
            Edit::Gather { table, key, from, count, step } if count > step.max(1) => {
                let half = count / 2;
                vec![
                    Edit::Join { table, key, from, count, step },
                    Edit::Gather { table, key, from, count: half, step },
                    Edit::Gather { table, key, from: from + half, count: count - half, step },
                ]
            }
            Edit::Erase { table, from, count, step } if count > step.max(1) => {
                let half = count / 2;
                vec![
                    Edit::Erase { table, from, count: half, step },
                    Edit::Erase { table, from: from + half, count: count - half, step },
                ]
            }
            Edit::Erase { table, from, .. } => vec![Edit::Del { table, key: from }],
            Edit::Number { table, count } if count > 1 => vec![Edit::Number { table, count: 1 }],
            Edit::CutOut { table, from, .. } if is_set(table) => {
                vec![Edit::LeaveAll { table, key: from }]
            }
            Edit::CutOut { table, from, .. } => vec![Edit::Del { table, key: from }],
            Edit::Join { table, key, from, count, step } if count > step.max(1) => {
                let half = count / 2;
                vec![
                    Edit::Join { table, key, from, count: half, step },
                    Edit::Join { table, key, from: from + half, count: count - half, step },
                    Edit::Join { table, key, from, count: count - 1, step },
                ]
            }
            Edit::Leave { table, key, from, count, step } if count > step.max(1) => {
                let half = count / 2;
                vec![
                    Edit::Leave { table, key, from, count: half, step },
                    Edit::Leave { table, key, from: from + half, count: count - half, step },
                ]
            }
            Edit::Put { table, key, len } if len > 8 => {
                vec![Edit::Put { table, key, len: 8 }, Edit::Put { table, key, len: len / 2 }]
            }
            _ => Vec::new(),
        }
    }

    /// What `Display` has written.
    pub fn parse(text: &str) -> Result<Edit, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let bad = || format!("no edit: {text:?}");
        let number = |i: usize| words.get(i).and_then(|w| w.parse::<u32>().ok()).ok_or_else(bad);
        let small = |i: usize| number(i).and_then(|n| u16::try_from(n).map_err(|_| bad()));
        let any = |i: usize| {
            let name = words.get(i).ok_or_else(bad)?;
            TABLES.iter().position(|t| t == name).map(|t| t as u8).ok_or_else(bad)
        };
        let of_kind = |i: usize, sets: bool| {
            any(i).and_then(|table| if is_set(table) == sets { Ok(table) } else { Err(bad()) })
        };
        let (table, sets) = (|i| of_kind(i, false), |i| of_kind(i, true));
        let want = |count: usize| if words.len() == count { Ok(()) } else { Err(bad()) };
        match words.first().copied() {
            Some("put") => {
                want(4)?;
                Ok(Edit::Put { table: table(1)?, key: small(2)?, len: number(3)? })
            }
            Some("again") => {
                want(4)?;
                Ok(Edit::Again { table: table(1)?, key: small(2)?, len: number(3)? })
            }
            Some("del") => {
                want(3)?;
                Ok(Edit::Del { table: table(1)?, key: small(2)? })
            }
            Some(how @ ("fill" | "load")) => {
                want(6)?;
                let (table, len) = (table(1)?, number(5)?);
                let (from, count, step) = (small(2)?, small(3)?, small(4)?);
                Ok(match how {
                    "fill" => Edit::Fill { table, from, count, step, len },
                    _ => Edit::Load { table, from, count, step, len },
                })
            }
            Some("erase") => {
                want(5)?;
                let (from, count, step) = (small(2)?, small(3)?, small(4)?);
                Ok(Edit::Erase { table: table(1)?, from, count, step })
            }
            Some("cut-out") => {
                want(4)?;
                Ok(Edit::CutOut { table: any(1)?, from: small(2)?, to: small(3)? })
            }
            Some(how @ ("join" | "leave" | "gather")) => {
                want(6)?;
                let (table, key, from) = (sets(1)?, small(2)?, small(3)?);
                let (count, step) = (small(4)?, small(5)?);
                Ok(match how {
                    "join" => Edit::Join { table, key, from, count, step },
                    "gather" => Edit::Gather { table, key, from, count, step },
                    _ => Edit::Leave { table, key, from, count, step },
                })
            }
            Some("leave-all") => {
                want(3)?;
                Ok(Edit::LeaveAll { table: sets(1)?, key: small(2)? })
            }
            Some("number") => {
                want(3)?;
                Ok(Edit::Number { table: any(1)?, count: small(2)? })
            }
            Some("order") => {
                want(3)?;
                let order = small(2)?;
                match u8::try_from(order) {
                    Ok(order @ 1..=ORDERS) => Ok(Edit::Order { table: table(1)?, order }),
                    _ => Err(bad()),
                }
            }
            Some("drop") => {
                want(2)?;
                Ok(Edit::Drop { table: any(1)? })
            }
            Some("save") => {
                want(1)?;
                Ok(Edit::Save)
            }
            Some(how @ ("keep" | "back")) => {
                want(2)?;
                let down = small(1).and_then(|n| u8::try_from(n).map_err(|_| bad()))?;
                Ok(if how == "keep" { Edit::Keep { down } } else { Edit::Back { down } })
            }
            Some(how @ ("name" | "unname")) => {
                want(2)?;
                let name = small(1).and_then(|n| u8::try_from(n).map_err(|_| bad()))?;
                Ok(if how == "name" { Edit::Name { name } } else { Edit::Unname { name } })
            }
            Some("rename") => {
                want(3)?;
                Ok(Edit::Rename { from: table(1)?, to: table(2)? })
            }
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |table: u8| TABLES[table as usize];
        match *self {
            Edit::Put { table, key, len } => write!(f, "put {} {key} {len}", name(table)),
            Edit::Again { table, key, len } => write!(f, "again {} {key} {len}", name(table)),
            Edit::Del { table, key } => write!(f, "del {} {key}", name(table)),
            Edit::Order { table, order } => write!(f, "order {} {order}", name(table)),
            Edit::Fill { table, from, count, step, len } => {
                write!(f, "fill {} {from} {count} {step} {len}", name(table))
            }
            Edit::Load { table, from, count, step, len } => {
                write!(f, "load {} {from} {count} {step} {len}", name(table))
            }
            Edit::Gather { table, key, from, count, step } => {
                write!(f, "gather {} {key} {from} {count} {step}", name(table))
            }
            Edit::Erase { table, from, count, step } => {
                write!(f, "erase {} {from} {count} {step}", name(table))
            }
            Edit::CutOut { table, from, to } => {
                write!(f, "cut-out {} {from} {to}", name(table))
            }
            Edit::Join { table, key, from, count, step } => {
                write!(f, "join {} {key} {from} {count} {step}", name(table))
            }
            Edit::Leave { table, key, from, count, step } => {
                write!(f, "leave {} {key} {from} {count} {step}", name(table))
            }
            Edit::LeaveAll { table, key } => write!(f, "leave-all {} {key}", name(table)),
            Edit::Number { table, count } => write!(f, "number {} {count}", name(table)),
            Edit::Drop { table } => write!(f, "drop {}", name(table)),
            Edit::Rename { from, to } => write!(f, "rename {} {}", name(from), name(to)),
            Edit::Save => f.write_str("save"),
            Edit::Keep { down } => write!(f, "keep {down}"),
            Edit::Back { down } => write!(f, "back {down}"),
            Edit::Name { name } => write!(f, "name {name}"),
            Edit::Unname { name } => write!(f, "unname {name}"),
        }
    }
}
