//! What a database holds: tables, keys and values of the simulation, with a fingerprint.
//!
//! Values are not kept: length and stamp give their bytes. No two writes of a run have the same
//! stamp, so content that is old, mixed or from elsewhere has another fingerprint.

use super::orders::is_ordered;
use super::sets::{is_set, set_print};
use recto::{ReadTxn, SetTable, Table, TableInfo, WriteTxn};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names of the tables.
pub const TABLES: [&str; 10] =
    ["main", "wide", "big", "side", "tail", "t", "few", "packed", "deep", "names"];
/// The last has a pair for each name of a snapshot that was given or taken: so no two contents that
/// differ in their named snapshots hold the same.
pub const NAMES: u8 = TABLES.len() as u8 - 1;

/// A value that was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Value {
    /// Bytes.
    pub len: u32,
    /// Which write it was.
    pub stamp: u32,
}

type Pairs = BTreeMap<u16, (Value, u64)>;
/// Fingerprints of the pairs of a table of sets.
pub(super) type SetPairs = BTreeMap<(u16, u16), u64>;

/// A whole content. Cheap to clone: tables are shared until they change.
#[derive(Clone, Default)]
pub struct Content {
    tables: BTreeMap<u8, Arc<Pairs>>,
    pub(super) sets: BTreeMap<u8, Arc<SetPairs>>,
    pub(super) print: u64,
    /// The last number that each table has given out, where it has.
    numbers: BTreeMap<u8, u64>,
    /// Of the tables that were made in one.
    pub(super) orders: BTreeMap<u8, u8>,
    /// Fingerprints of the named snapshots.
    named: BTreeMap<u8, u64>,
    /// Fingerprint of what the transaction has begun from.
    base: u64,
}

/// The name of a snapshot.
pub fn snapshot_name(name: u8) -> String {
    format!("snapshot {name}")
}

/// Bytes of key number `key`: short ones, long ones, binary ones, the empty one, and some that only
/// long separators keep apart, so that trees of few keys have many levels.
pub fn key_bytes(key: u16) -> Vec<u8> {
    match key {
        0 => Vec::new(),
        _ if key % 8 == 1 => format!("long/{}/{key:05}", "shared/".repeat(30)).into_bytes(),
        _ if key % 8 == 3 => {
            format!("{}{key:05}", format!("{:03}/", key / 64).repeat(170)).into_bytes()
        }
        _ if key % 8 == 2 => (u64::from(key) << 40).to_be_bytes().to_vec(),
        _ => format!("key{key:05}").into_bytes(),
    }
}

impl Value {
    /// The bytes.
    pub fn bytes(self) -> Vec<u8> {
        let seed = mix(u64::from(self.stamp) + 1);
        let mut bytes = Vec::with_capacity(self.len as usize + 8);
        let mut word = seed;
        while bytes.len() < self.len as usize {
            bytes.extend_from_slice(&word.to_le_bytes());
            word = word.rotate_left(9).wrapping_add(seed);
        }
        bytes.truncate(self.len as usize);
        bytes
    }
}

fn mix(mut z: u64) -> u64 {
    z = z.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(super) fn pair_print(table: u8, key: &[u8], value: &[u8]) -> u64 {
    let key = mix((u64::from(crc32fast::hash(key)) << 16) | (u64::from(table) + 1));
    mix(key ^ ((u64::from(crc32fast::hash(value)) << 32) | value.len() as u64))
}

pub(super) fn table_print(table: u8) -> u64 {
    mix(0x7ab1e + u64::from(table))
}

/// Of the last number that a table has given out.
fn number_print(table: u8, last: u64) -> u64 {
    if last == 0 { 0 } else { mix(table_print(table) ^ mix(last)) }
}

impl Content {
    /// Differs where contents differ, but for a chance of one in 2^32.
    pub fn print(&self) -> u64 {
        self.print
    }

    /// A transaction begins from it.
    pub fn begin(&self) -> Content {
        Content { base: self.print, ..self.clone() }
    }

    /// The base of the transaction gets a name. Whether it was free.
    pub fn name(&mut self, name: u8) -> bool {
        let free = !self.named.contains_key(&name);
        self.named.entry(name).or_insert(self.base);
        free
    }

    /// Whether there was a snapshot of this name.
    pub fn unname(&mut self, name: u8) -> bool {
        self.named.remove(&name).is_some()
    }

    /// Name and fingerprint of each named snapshot.
    pub fn named(&self) -> impl Iterator<Item = (String, u64)> {
        self.named.iter().map(|(&name, &print)| (snapshot_name(name), print))
    }

    /// The table is there from now on, perhaps empty.
    pub fn make_table(&mut self, table: u8) {
        self.tables.entry(table).or_insert_with(|| {
            self.print = self.print.wrapping_add(table_print(table));
            Arc::default()
        });
    }

    /// The numbers that a table gives out next.
    pub fn take_numbers(&mut self, table: u8, count: u16) -> std::ops::Range<u64> {
        if is_set(table) {
            self.make_set(table)
        } else {
            self.make_table(table)
        }
        let last = self.numbers.get(&table).copied().unwrap_or(0);
        self.set_number(table, last + u64::from(count));
        last + 1..last + 1 + u64::from(count)
    }

    fn set_number(&mut self, table: u8, last: u64) {
        let before = self.numbers.insert(table, last).unwrap_or(0);
        self.print = self.print.wrapping_sub(number_print(table, before));
        self.print = self.print.wrapping_add(number_print(table, last));
    }

    /// Whether the key was there.
    pub fn put(&mut self, table: u8, key: u16, value: Value, bytes: &[u8]) -> bool {
        self.make_table(table);
        let print = pair_print(table, &key_bytes(key), bytes);
        let Some(pairs) = self.tables.get_mut(&table) else { return false };
        let old = Arc::make_mut(pairs).insert(key, (value, print));
        self.print = self.print.wrapping_add(print);
        self.print = self.print.wrapping_sub(old.map_or(0, |(_, print)| print));
        old.is_some()
    }

    /// Whether the key was there. The table is there from now on.
    pub fn delete(&mut self, table: u8, key: u16) -> bool {
        self.make_table(table);
        let Some(pairs) = self.tables.get_mut(&table) else { return false };
        if !pairs.contains_key(&key) {
            return false;
        }
        let old = Arc::make_mut(pairs).remove(&key);
        self.print = self.print.wrapping_sub(old.map_or(0, |(_, print)| print));
        old.is_some()
    }

    /// All keys that stand between two, the second not included; how many there were.
    pub fn delete_range(&mut self, table: u8, from: u16, to: u16) -> u64 {
        let bounds = key_bytes(from)..key_bytes(to);
        if is_set(table) {
            return self.remove_pairs(table, |(key, _)| bounds.contains(&key_bytes(key)));
        }
        self.make_table(table);
        let keys = self.tables.get(&table).into_iter().flat_map(|pairs| pairs.keys().copied());
        let within = keys.filter(|&key| self.is_between(table, key, (from, to)));
        let within: Vec<u16> = within.collect();
        within.iter().filter(|&&key| self.delete(table, key)).count() as u64
    }

    /// Whether the table was there.
    pub fn drop_table(&mut self, table: u8) -> bool {
        self.set_number(table, 0);
        self.orders.remove(&table);
        if self.sets.contains_key(&table) {
            self.remove_pairs(table, |_| true);
            self.sets.remove(&table);
            self.print = self.print.wrapping_sub(table_print(table));
            return true;
        }
        let Some(pairs) = self.tables.remove(&table) else { return false };
        self.print = self.print.wrapping_sub(table_print(table));
        for (_, print) in pairs.values() {
            self.print = self.print.wrapping_sub(*print);
        }
        true
    }

    /// Gives a table another name; both must be as a rename wants them: `from` there, `to` not.
    pub fn rename(&mut self, from: u8, to: u8) -> bool {
        if !self.tables.contains_key(&from) || self.tables.contains_key(&to) {
            return false;
        }
        let pairs = self.tables[&from].clone();
        let last = self.numbers.get(&from).copied().unwrap_or(0);
        let order = self.orders.get(&from).copied();
        self.drop_table(from);
        self.make_table(to);
        self.orders.extend(order.map(|order| (to, order)));
        self.set_number(to, last);
        for (&key, &(value, _)) in pairs.iter() {
            self.put(to, key, value, &value.bytes());
        }
        true
    }

    /// The value of a key.
    pub fn get(&self, table: u8, key: u16) -> Option<Value> {
        self.tables.get(&table)?.get(&key).map(|&(value, _)| value)
    }

    /// Pairs in all tables.
    pub fn len(&self) -> usize {
        let sets = self.sets.values().map(|pairs| pairs.len()).sum::<usize>();
        sets + self.tables.values().map(|pairs| pairs.len()).sum::<usize>()
    }

    /// Whether there is not a single pair.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For people: tables and numbers of pairs.
    pub fn summary(&self) -> String {
        let tables = self.tables.iter().map(|(&table, pairs)| (table, pairs.len()));
        let sets = self.sets.iter().map(|(&table, pairs)| (table, pairs.len()));
        let all = tables.chain(sets).map(|(table, len)| (TABLES[table as usize], len));
        in_words(self.print, all)
    }
}

/// What a content is, in words: "main 4 keys, tail 1 key". Contents of the same sizes are told
/// apart by the end of their fingerprint.
fn in_words<'a>(print: u64, tables: impl Iterator<Item = (&'a str, usize)>) -> String {
    let each = |(name, n)| format!("{name} {n} {}", if n == 1 { "key" } else { "keys" });
    let text = tables.map(each).collect::<Vec<_>>().join(", ");
    if text.is_empty() {
        "an empty database".into()
    } else {
        format!("{text} [{:08x}]", print as u32)
    }
}

/// Contents that may be found, in words: the oldest and the newest of many.
pub fn any_of(contents: &[Arc<Content>]) -> String {
    const SHOWN: usize = 3;
    let words: Vec<String> = contents.iter().map(|content| content.summary()).collect();
    match words.len() {
        0 => "nothing".into(),
        n if n <= 2 * SHOWN => words.join(", or "),
        n => {
            let (first, last) = (words[..SHOWN].join(", or "), words[n - SHOWN..].join(", or "));
            format!("{first}, or {} more, or {last}", n - 2 * SHOWN)
        }
    }
}

/// A snapshot that can be looked through.
pub trait Snapshot {
    /// Its tables.
    fn tables(&self) -> recto::Result<Vec<TableInfo>>;
    /// One of them.
    fn table(&self, name: &str) -> recto::Result<Table<'_>>;
    /// One of sets.
    fn set(&self, name: &str) -> recto::Result<SetTable<'_>>;
}

impl Snapshot for ReadTxn {
    fn tables(&self) -> recto::Result<Vec<TableInfo>> {
        ReadTxn::tables(self)
    }
    fn table(&self, name: &str) -> recto::Result<Table<'_>> {
        ReadTxn::table(self, name)
    }
    fn set(&self, name: &str) -> recto::Result<SetTable<'_>> {
        ReadTxn::set(self, name)
    }
}

impl Snapshot for WriteTxn {
    fn tables(&self) -> recto::Result<Vec<TableInfo>> {
        WriteTxn::tables(self)
    }
    fn table(&self, name: &str) -> recto::Result<Table<'_>> {
        WriteTxn::table(self, name)
    }
    fn set(&self, name: &str) -> recto::Result<SetTable<'_>> {
        WriteTxn::set(self, name)
    }
}

/// What a snapshot shows: fingerprint and summary, or why it cannot be read.
pub type Shown = Result<(u64, String), String>;

/// Fingerprint of all that a snapshot shows, with the number of its pairs. An error is a finding: a
/// snapshot can be read.
pub fn print_of(snapshot: &impl Snapshot) -> Shown {
    let mut print = 0u64;
    let mut counts = Vec::new();
    for info in snapshot.tables().map_err(|e| format!("tables: {e}"))? {
        let Some(table) = TABLES.iter().position(|name| *name == info.name) else {
            return Err(format!("a table named {:?}", info.name));
        };
        let table = table as u8;
        print = print.wrapping_add(table_print(table));
        if is_set(table) {
            let read = snapshot.set(&info.name).and_then(|t| {
                print = print.wrapping_add(number_print(table, t.sequence()));
                set_print(table, &t)
            });
            let read = read.map_err(|e| e.to_string()).and_then(|found| found);
            let (sum, count) = read.map_err(|what| format!("table {}: {what}", info.name))?;
            print = print.wrapping_add(sum);
            counts.push((TABLES[table as usize], count));
            continue;
        }
        let mut ordered = true;
        let pairs = snapshot.table(&info.name).and_then(|t| {
            print = print.wrapping_add(number_print(table, t.sequence()));
            ordered = is_ordered(&t, &info.options)?;
            t.iter()
        });
        if !ordered {
            return Err(format!("table {}: keys out of order", info.name));
        }
        let mut count = 0;
        for pair in pairs.map_err(|e| format!("table {}: {e}", info.name))? {
            let (key, value) = pair.map_err(|e| format!("table {}: {e}", info.name))?;
            print = print.wrapping_add(pair_print(table, &key, value));
            count += 1;
        }
        if count != info.stats.entries {
            return Err(format!("table {}: {count} pairs, said {}", info.name, info.stats.entries));
        }
        counts.push((TABLES[table as usize], count as usize));
    }
    Ok((print, in_words(print, counts.into_iter())))
}
