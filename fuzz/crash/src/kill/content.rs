//! What the lanes have in the database, and how to tell that it is whole.
//!
//! Each lane has a *row* in the table `lanes`, keys in the two tables that all lanes share, and now
//! and then a table of its own. The row says which transaction wrote what (a *stamp* is the number
//! of the lane's transaction), and every value is a function of lane, key and stamp. So a
//! transaction that is there by half, a page that was reused too early and a snapshot made of two
//! are seen by comparing values with their row; nothing has to be remembered outside.

use fastrand::Rng;
use recto::{Error, ReadTxn, WriteTxn};

/// Groups of keys that are written together.
const GROUPS: usize = 4;
/// Keys of a lane in the shared tables.
const KEYS: u64 = 24;
/// The tables that all lanes share; a key stands in one of them.
const SHARED: [&str; 2] = ["even", "odd"];
const WORDS: usize = 5 + GROUPS;

/// What a lane's own table holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Own {
    /// A page or two.
    Small = 0,
    /// More pages than a manifest lists.
    Many = 1,
    /// Values on pages of their own.
    Large = 2,
    /// Enough for the file to be cut when it goes.
    Bulk = 3,
}

impl Own {
    fn from_word(word: u64) -> Option<Own> {
        [Own::Small, Own::Many, Own::Large, Own::Bulk].into_iter().find(|&o| o as u64 == word)
    }

    /// Keys, and bytes of a value.
    fn shape(self) -> (u64, usize) {
        match self {
            Own::Small => (9, 300),
            Own::Many => (300, 420),
            Own::Large => (6, 40_000),
            Own::Bulk => (24, 100_000),
        }
    }
}

/// What a lane has in the database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Number of the lane's transaction that wrote the row.
    pub seq: u64,
    /// Its id.
    pub txn: u64,
    stamps: [u64; GROUPS],
    /// Stamp of the own table, 0 none.
    own: u64,
    kind: Own,
    /// The own table's name is one of two.
    renamed: bool,
}

impl Default for Row {
    fn default() -> Row {
        Row { seq: 0, txn: 0, stamps: [0; GROUPS], own: 0, kind: Own::Small, renamed: false }
    }
}

impl Row {
    fn encode(&self) -> Vec<u8> {
        let mut words = vec![self.seq, self.txn, self.own, self.kind as u64, self.renamed.into()];
        words.extend(self.stamps);
        words.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    fn decode(bytes: &[u8]) -> Option<Row> {
        if bytes.len() != 8 * WORDS {
            return None;
        }
        let w: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|c| c.iter().rev().fold(0, |w, &b| w << 8 | u64::from(b)))
            .collect();
        let stamps = std::array::from_fn(|i| w[5 + i]);
        let kind = Own::from_word(w[3])?;
        Some(Row { seq: w[0], txn: w[1], stamps, own: w[2], kind, renamed: w[4] != 0 })
    }

    fn own_table(&self, lane: u64) -> String {
        format!("own {lane}{}", if self.renamed { " renamed" } else { "" })
    }

    /// The stamp under which key `i` stands in the shared tables; some keys are left out, by the
    /// stamp.
    fn stamp(&self, i: u64) -> Option<u64> {
        let stamp = self.stamps[i as usize % GROUPS];
        (stamp != 0 && !mix(stamp, i).is_multiple_of(5)).then_some(stamp)
    }

    /// Keys in each of the shared tables.
    fn entries(&self) -> [u64; 2] {
        let count =
            |table| (0..KEYS).filter(|&i| i % 2 == table && self.stamp(i).is_some()).count();
        [count(0) as u64, count(1) as u64]
    }
}

fn mix(a: u64, b: u64) -> u64 {
    let x = (a ^ b.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 7
}

fn shared_key(lane: u64, i: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mix(lane, i).to_be_bytes());
    key[8..].copy_from_slice(&(lane << 32 | i).to_be_bytes());
    key
}

fn own_key(i: u64) -> [u8; 8] {
    mix(i, 7).to_be_bytes()
}

/// The value of a key. No eight bytes of it are a small number, so that no page of a large value
/// looks like a page with a header.
fn value(lane: u64, stamp: u64, i: u64, len: usize) -> Vec<u8> {
    let mut x = mix(mix(lane + 1, stamp), i) | 1 << 63;
    let mut value = Vec::with_capacity(len + 8);
    while value.len() < len {
        value.extend_from_slice(&(x | 1 << 62).to_le_bytes());
        x = x.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
    }
    value.truncate(len);
    value
}

fn shared_len(stamp: u64, i: u64) -> usize {
    match i {
        0 if stamp.is_multiple_of(3) => 5_000 + (mix(stamp, 1) % 20_000) as usize,
        1 => 600 + (mix(stamp, 2) % 2_000) as usize,
        _ => 40 + (mix(stamp, i) % 160) as usize,
    }
}

fn shared_value(lane: u64, stamp: u64, i: u64) -> Vec<u8> {
    value(lane, stamp, i, shared_len(stamp, i))
}

/// Sizes of own tables that a writer makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Habit {
    /// Mostly small ones.
    Mixed,
    /// Large ones, which go again in the next transaction.
    Bulky,
}

/// The lane's next transaction: changes some of what `before` says and returns the new row.
pub fn change(
    txn: &mut WriteTxn,
    lane: u64,
    before: &Row,
    seq: u64,
    habit: Habit,
    rng: &mut Rng,
) -> recto::Result<Row> {
    let mut row = Row { seq, txn: txn.id(), ..*before };
    for group in &mut row.stamps {
        if rng.u8(..3) == 0 {
            *group = seq;
        }
    }
    row.stamps[rng.usize(..GROUPS)] = seq;
    for i in (0..KEYS).filter(|&i| row.stamps[i as usize % GROUPS] == seq) {
        let mut table = txn.open_table(SHARED[(i % 2) as usize])?;
        match row.stamp(i) {
            Some(stamp) => drop(table.put(&shared_key(lane, i), &shared_value(lane, stamp, i))?),
            None => drop(table.delete(&shared_key(lane, i))?),
        }
    }
    match habit {
        Habit::Mixed => match rng.u8(..20) {
            0..=3 => rewrite_own(txn, lane, &mut row, Own::Small, rng.bool())?,
            4 => rewrite_own(txn, lane, &mut row, Own::Many, rng.bool())?,
            5 => rewrite_own(txn, lane, &mut row, Own::Large, rng.bool())?,
            6..=7 => drop_own(txn, lane, &mut row)?,
            8..=9 => rename_own(txn, lane, &mut row)?,
            _ => {}
        },
        Habit::Bulky if row.own != 0 => drop_own(txn, lane, &mut row)?,
        // The file is cut only when the large table has left both metas.
        Habit::Bulky if rng.u8(..4) == 0 => rewrite_own(txn, lane, &mut row, Own::Bulk, false)?,
        Habit::Bulky => {}
    }
    txn.open_table("lanes")?.put(&lane.to_be_bytes(), &row.encode())?;
    Ok(row)
}

fn drop_own(txn: &mut WriteTxn, lane: u64, row: &mut Row) -> recto::Result<()> {
    if row.own != 0 {
        txn.drop_table(&row.own_table(lane))?;
        row.own = 0;
    }
    Ok(())
}

fn rename_own(txn: &mut WriteTxn, lane: u64, row: &mut Row) -> recto::Result<()> {
    if row.own != 0 {
        let from = row.own_table(lane);
        row.renamed = !row.renamed;
        txn.rename_table(&from, &row.own_table(lane))?;
    }
    Ok(())
}

/// A new own table, in place of the old one or over it.
fn rewrite_own(
    txn: &mut WriteTxn,
    lane: u64,
    row: &mut Row,
    kind: Own,
    afresh: bool,
) -> recto::Result<()> {
    let keys_before = if row.own == 0 { 0 } else { row.kind.shape().0 };
    if afresh {
        drop_own(txn, lane, row)?;
    }
    (row.own, row.kind) = (row.seq, kind);
    let (keys, len) = kind.shape();
    let mut table = txn.open_table(&row.own_table(lane))?;
    for i in 0..keys {
        table.put(&own_key(i), &value(lane, row.own, i, len))?;
    }
    for i in keys..keys_before {
        table.delete(&own_key(i))?;
    }
    Ok(())
}

/// The row of a lane as a write transaction sees it.
pub fn row_in(txn: &mut WriteTxn, lane: u64) -> Result<Row, String> {
    let found = match txn.table("lanes") {
        Ok(table) => table.get(&lane.to_be_bytes()).map(|v| v.map(<[u8]>::to_vec)),
        Err(Error::NoSuchTable(_)) => Ok(None),
        Err(e) => Err(e),
    };
    row_of(lane, found.map_err(|e| e.to_string())?.as_deref())
}

fn row_of(lane: u64, bytes: Option<&[u8]>) -> Result<Row, String> {
    match bytes {
        None => Ok(Row::default()),
        Some(bytes) => Row::decode(bytes).ok_or_else(|| format!("lane {lane}: the row is no row")),
    }
}

/// The rows of all lanes in this snapshot, after everything in it was found to be what they say.
pub fn verify(txn: &ReadTxn, lanes: u64) -> Result<Vec<Row>, String> {
    let told = |e: Error| format!("snapshot {}: {e}", txn.id());
    let table = |name: &str| match txn.table(name) {
        Ok(table) => Ok(Some(table)),
        Err(Error::NoSuchTable(_)) => Ok(None),
        Err(e) => Err(told(e)),
    };
    let rows_table = table("lanes")?;
    let mut rows = Vec::new();
    for lane in 0..lanes {
        let bytes = rows_table.map_or(Ok(None), |t| t.get(&lane.to_be_bytes())).map_err(told)?;
        let row = row_of(lane, bytes)?;
        if row.txn > txn.id() {
            return Err(format!(
                "snapshot {} has lane {lane} of transaction {}",
                txn.id(),
                row.txn
            ));
        }
        rows.push(row);
    }
    for (which, name) in SHARED.iter().enumerate() {
        let shared = table(name)?;
        let expected: u64 = rows.iter().map(|row| row.entries()[which]).sum();
        let found = shared.map_or(0, |t| t.len());
        if found != expected {
            return Err(format!("table {name}: {found} keys, and the rows say {expected}"));
        }
        let Some(shared) = shared else { continue };
        for (lane, row) in (0..lanes).zip(&rows) {
            for i in (0..KEYS).filter(|i| *i as usize % 2 == which) {
                let found = shared.get(&shared_key(lane, i)).map_err(told)?;
                let expected = row.stamp(i).map(|stamp| shared_value(lane, stamp, i));
                if found != expected.as_deref() {
                    return Err(format!("table {name}, lane {lane}, key {i}: not of {row:?}"));
                }
            }
        }
    }
    verify_own(txn, &rows)?;
    Ok(rows)
}

fn verify_own(txn: &ReadTxn, rows: &[Row]) -> Result<(), String> {
    let told = |e: Error| format!("snapshot {}: {e}", txn.id());
    let tables = txn.tables().map_err(told)?;
    let found = tables.iter().filter(|t| t.name.starts_with("own ")).count();
    let expected = rows.iter().filter(|row| row.own != 0).count();
    if found != expected {
        return Err(format!("{found} own tables, and the rows say {expected}: {tables:?}"));
    }
    for (lane, row) in (0..).zip(rows).filter(|(_, row)| row.own != 0) {
        let name = row.own_table(lane);
        let table = txn.table(&name).map_err(told)?;
        let (keys, len) = row.kind.shape();
        let mut expected: Vec<_> =
            (0..keys).map(|i| (own_key(i), value(lane, row.own, i, len))).collect();
        expected.sort_unstable();
        let mut pairs = table.iter().map_err(told)?;
        for (key, value) in &expected {
            let Some(pair) = pairs.next() else { return Err(format!("{name}: ends early")) };
            let (k, v) = pair.map_err(told)?;
            if &*k != key || v != value {
                return Err(format!("table {name}: not of {row:?}"));
            }
        }
        if pairs.next().is_some() {
            return Err(format!("table {name}: more than {keys} keys"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_verifies_and_nothing_else_does() {
        let db = recto::Database::in_memory().unwrap();
        let mut rng = Rng::with_seed(3);
        let mut rows = [Row::default(); 3];
        for seq in 1..200 {
            let lane = rng.u64(..2);
            let mut txn = db.write().unwrap();
            let before = row_in(&mut txn, lane).unwrap();
            assert_eq!(before, rows[lane as usize]);
            let habit = if seq % 50 < 3 { Habit::Bulky } else { Habit::Mixed };
            rows[lane as usize] = change(&mut txn, lane, &before, seq, habit, &mut rng).unwrap();
            txn.commit().unwrap();
            assert_eq!(verify(&db.read().unwrap(), 3).unwrap(), rows);
        }
        type Break = fn(&mut WriteTxn);
        fn put(txn: &mut WriteTxn, table: &str, key: &[u8]) {
            txn.open_table(table).unwrap().put(key, &[1; 50]).unwrap();
        }
        let breaks: [Break; 4] = [
            |t| put(t, "odd", b"more"),
            |t| put(t, "own 9", b"more"),
            |t| {
                t.open_table("lanes").unwrap().delete(&0u64.to_be_bytes()).unwrap();
            },
            |t| {
                let even = t.open_table("even").unwrap();
                let there = |k: &[u8; 16]| even.contains_key(k).unwrap();
                let key = (0..KEYS).map(|i| shared_key(0, i)).find(there).unwrap();
                put(t, "even", &key);
            },
        ];
        for (i, harm) in breaks.iter().enumerate() {
            let mut txn = db.write().unwrap();
            harm(&mut txn);
            txn.commit().unwrap();
            assert!(verify(&db.read().unwrap(), 3).is_err(), "{i}");
            // Back to what it was, as far as the next break needs it.
            let mut txn = db.write().unwrap();
            txn.open_table("odd").unwrap().delete(b"more").unwrap();
            txn.drop_table("own 9").unwrap();
            txn.open_table("lanes").unwrap().put(&0u64.to_be_bytes(), &rows[0].encode()).unwrap();
            txn.commit().unwrap();
        }
    }
}
