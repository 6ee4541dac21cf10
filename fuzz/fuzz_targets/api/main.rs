//! Any program of calls with any arguments, over the whole public API: names and keys that are empty or too long, bounds the wrong
//! way round, ids of other transactions, tables of the other kind, in every order. No call may panic, every error is one that the call
//! may give, and what succeeds is what a list does that is sorted by the same function; the full check comes last. `fuzz_targets/ops.rs` goes deeper into changes of one tree.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use recto::harness::sim::{ProcessOptions, SimDisk};
use recto::harness::{machine, new_file, no_grace, open};
use recto::inspect::salvage::{Part, SalvageOptions};
use recto::typed::Key as _;
use recto::{
    Access, Builder, Change, Changes, Cursor, Database, Durability, Entry, Error, ErrorKind,
    HugePages, LoadOptions, Loader, Order, PairChange, ReadChecksums, ReadTxn, Result, Savepoint,
    SetCursor, SetDef, SetTable, SetTableMut, Sink, Table, TableDef, TableId, TableKind, TableMut,
    TableOptions, WriteTxn,
};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::time::Duration;

const MAX_OPS: usize = 300;
/// Pages of a new file, those that there are and those that there are not.
const PAGE_SIZES: [usize; 8] = [4096, 4096, 8192, 65_536, 0, 1, 4097, 1 << 20];

const TYPED: TableDef<'_, (u32, &str), &str> = TableDef::new("typed");
/// The same table with types that are not its own.
const OTHERWISE: TableDef<'_, u64, u64> = TableDef::new("typed");
const TYPED_SET: SetDef<'_, &str, i16> = SetDef::new("typed set");

#[derive(Arbitrary, Debug, Clone)]
enum Bytes {
    Empty,
    One(u8),
    Two(u8, u8),
    Any(Vec<u8>),
    /// So many of one byte.
    Long(u8, u16),
}

impl Bytes {
    fn get(&self) -> Vec<u8> {
        match self {
            Bytes::Empty => Vec::new(),
            Bytes::One(byte) => vec![*byte],
            Bytes::Two(one, other) => vec![one % 4, *other],
            Bytes::Any(bytes) => bytes.clone(),
            Bytes::Long(byte, len) => vec![*byte; (*len).into()],
        }
    }

    /// As a key: seldom as long as the longest.
    fn key(&self) -> Vec<u8> {
        match self {
            Bytes::Long(byte, len) if *len < 0xe000 => vec![*byte; usize::from(*len) % 300],
            Bytes::Long(byte, len) => vec![*byte; usize::from(*len) % 2_100],
            other => other.get(),
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.key()).into_owned()
    }
}

/// Which table: one of a few names, of which some are none.
#[derive(Arbitrary, Debug, Clone, Copy)]
struct Name(u8);

impl Name {
    fn get(self) -> String {
        match self.0 % 20 {
            0 | 1 => "a".into(),
            2 => "b".into(),
            3 => "aligned".into(),
            4 => "set".into(),
            5 => "set of 8".into(),
            6 => "typed".into(),
            7 => "typed set".into(),
            8 => String::new(),
            9 => "n".repeat(1024),
            10 => "n".repeat(1025),
            ordered @ 11..19 => ORDERED[usize::from(ordered) - 11].0.into(),
            _ => "\u{0}\u{10ffff}".into(),
        }
    }
}

#[derive(Arbitrary, Debug, Clone)]
enum End {
    None,
    In(Bytes),
    Out(Bytes),
}

type Ends = (Bound<Vec<u8>>, Bound<Vec<u8>>);

#[derive(Arbitrary, Debug, Clone)]
struct Keys(End, End);

impl Keys {
    fn get(&self) -> Ends {
        let end = |end: &End| match end {
            End::None => Bound::Unbounded,
            End::In(key) => Bound::Included(key.key()),
            End::Out(key) => Bound::Excluded(key.key()),
        };
        (end(&self.0), end(&self.1))
    }
}

/// A function that orders keys.
type Compare = fn(&[u8], &[u8]) -> Ordering;

fn by_bytes(a: &[u8], b: &[u8]) -> Ordering {
    a.cmp(b)
}

/// The one that handles are given.
fn by_length(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| b.cmp(a))
}

const BY_LENGTH: &str = "by length";

/// The order of this number: the first ones are most of them.
fn order(number: u8) -> Order {
    match number % 12 {
        0 | 1 => Order::Plain,
        2 => Order::Reversed,
        3 => Order::Integers,
        4 => Order::Custom(BY_LENGTH.into()),
        // Nobody has its function.
        5 => Order::Custom("another".into()),
        6 => Order::Custom("x".repeat(256)),
        7 => Order::Custom(String::new()),
        _ => Order::Packed,
    }
}

/// Names of tables that are made in an order: number of it, and whether they are of sets.
const ORDERED: [(&str, u8, bool); 8] = [
    ("plain", 0, false),
    ("reversed", 2, false),
    ("integers", 3, false),
    (BY_LENGTH, 4, false),
    ("set plain", 0, true),
    ("set reversed", 2, true),
    ("set integers", 3, true),
    ("set by length", 4, true),
];

fn comparison(order: &Order) -> Compare {
    match order {
        Order::Reversed => |a, b| a.iter().rev().cmp(b.iter().rev()),
        // Keys have 4 or 8 bytes, bounds any number.
        Order::Integers => |a, b| {
            let digits = |key: &[u8]| {
                let zeros = key.iter().rev().take_while(|byte| **byte == 0).count();
                key[..key.len() - zeros].to_vec()
            };
            let (x, y) = (digits(a), digits(b));
            let by_digits = || x.iter().rev().cmp(y.iter().rev());
            x.len().cmp(&y.len()).then_with(by_digits).then(a.len().cmp(&b.len()))
        },
        Order::Custom(_) => by_length,
        _ => by_bytes,
    }
}

fn is_in(compare: Compare, key: &[u8], (low, high): &Ends) -> bool {
    let above = match low {
        Bound::Unbounded => true,
        Bound::Included(low) => compare(key, low).is_ge(),
        Bound::Excluded(low) => compare(key, low).is_gt(),
    };
    above
        && match high {
            Bound::Unbounded => true,
            Bound::Included(high) => compare(key, high).is_le(),
            Bound::Excluded(high) => compare(key, high).is_lt(),
        }
}

type Pair = (Vec<u8>, Vec<u8>);

/// Pairs in the order of their table. No two keys are equal in a map; in a table of sets no two
/// pairs.
#[derive(Clone)]
struct Pairs {
    order: Order,
    compare: Compare,
    list: Vec<Pair>,
}

impl PartialEq for Pairs {
    fn eq(&self, other: &Pairs) -> bool {
        (&self.order, &self.list) == (&other.order, &other.list)
    }
}

impl Pairs {
    fn new(order: &Order) -> Pairs {
        Pairs { order: order.clone(), compare: comparison(order), list: Vec::new() }
    }

    fn is_by_bytes(&self) -> bool {
        matches!(self.order, Order::Packed | Order::Plain)
    }

    /// Longest key, where the pages of a table in pieces have keys of `max` bytes.
    fn max_key(&self, max: usize) -> usize {
        if self.order == Order::Packed { max } else { max - 4 }
    }

    /// As a key of this table: of integers mostly of a length that they have.
    fn key(&self, bytes: &Bytes) -> Vec<u8> {
        let mut key = bytes.key();
        if self.order == Order::Integers && key.len() % 16 != 5 {
            key.resize(if key.len() % 2 == 0 { 4 } else { 8 }, 0);
        }
        key
    }

    /// Errors of what is put: of integers also for other lengths.
    fn may(&self) -> &'static [ErrorKind] {
        match self.is_by_bytes() {
            true => LENGTHS,
            false => &[ErrorKind::KeyTooLong, ErrorKind::ValueTooLong, ErrorKind::InvalidArgument],
        }
    }

    /// Where the first key stands that is not below this one.
    fn at(&self, key: &[u8]) -> usize {
        self.list.partition_point(|(other, _)| (self.compare)(other, key).is_lt())
    }

    /// Where the first key stands that is above this one.
    fn behind(&self, key: &[u8]) -> usize {
        self.list.partition_point(|(other, _)| (self.compare)(other, key).is_le())
    }

    fn find(&self, key: &[u8]) -> Option<usize> {
        let at = self.at(key);
        self.list.get(at).is_some_and(|(there, _)| there == key).then_some(at)
    }

    fn get(&self, key: &[u8]) -> Option<&Vec<u8>> {
        self.find(key).map(|at| &self.list[at].1)
    }

    fn contains_key(&self, key: &[u8]) -> bool {
        self.find(key).is_some()
    }

    fn insert(&mut self, key: Vec<u8>, value: Vec<u8>) -> Option<Vec<u8>> {
        match self.find(&key) {
            Some(at) => Some(std::mem::replace(&mut self.list[at].1, value)),
            None => {
                self.list.insert(self.at(&key), (key, value));
                None
            }
        }
    }

    fn remove(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        self.find(key).map(|at| self.list.remove(at).1)
    }

    /// Where a pair of a table of sets stands, or where it would.
    fn place(&self, key: &[u8], value: &[u8]) -> std::result::Result<usize, usize> {
        self.list.binary_search_by(|(other, its)| {
            (self.compare)(other, key).then_with(|| its[..].cmp(value))
        })
    }

    /// Adds a pair to a table of sets; whether it is new.
    fn add(&mut self, pair: Pair) -> bool {
        let place = self.place(&pair.0, &pair.1);
        if let Err(at) = place {
            self.list.insert(at, pair);
        }
        place.is_err()
    }

    /// Takes a pair out of a table of sets; whether it was there.
    fn take(&mut self, key: &[u8], value: &[u8]) -> bool {
        let place = self.place(key, value);
        if let Ok(at) = place {
            self.list.remove(at);
        }
        place.is_ok()
    }

    fn is_in(&self, key: &[u8], ends: &Ends) -> bool {
        is_in(self.compare, key, ends)
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = (&Vec<u8>, &Vec<u8>)> {
        self.list.iter().map(|(key, value)| (key, value))
    }

    fn keys(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.list.iter().map(|(key, _)| key)
    }

    /// The pair at a place; none in front of the first and behind the last.
    fn nth(&self, at: Option<usize>) -> Option<(&Vec<u8>, &Vec<u8>)> {
        self.list.get(at?).map(|(key, value)| (key, value))
    }

    fn len(&self) -> usize {
        self.list.len()
    }

    fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn retain(&mut self, mut stays: impl FnMut(&Vec<u8>, &Vec<u8>) -> bool) {
        self.list.retain(|(key, value)| stays(key, value));
    }

    fn pop(&mut self, first: bool) -> Option<Pair> {
        match first {
            true if !self.list.is_empty() => Some(self.list.remove(0)),
            true => None,
            false => self.list.pop(),
        }
    }
}

#[derive(Arbitrary, Debug, Clone, Copy)]
struct Options {
    kind: u8,
    align: u8,
    value_size: u16,
    types: u8,
    order: u8,
}

impl Options {
    fn get(self) -> TableOptions {
        let size = [0, 8, 300, self.value_size][usize::from(self.kind / 4) % 4];
        let align = [0, 1, 2, 16, 64, 4096, 3, 1 << 20][usize::from(self.align) % 8];
        let options = match self.kind % 4 {
            0 => TableOptions::default(),
            1 => TableOptions::aligned(align),
            2 => TableOptions::set(),
            _ => TableOptions::set_of(size),
        };
        let options = options.ordered(order(self.order));
        match self.types % 8 {
            0 => options.types("k", "v"),
            1 => options.types("x".repeat(255), ""),
            2 => options.types("", "y".repeat(256)),
            _ => options,
        }
    }
}

/// A table by its name, or by an id that was given before, perhaps by another transaction.
#[derive(Arbitrary, Debug, Clone, Copy)]
enum At {
    Name(Name),
    Id(u8),
}

#[derive(Arbitrary, Debug)]
enum Edit {
    Put(Bytes, Bytes),
    Append(Bytes, Bytes),
    PutIfAbsent(Bytes, Bytes),
    Replace(Bytes, Bytes),
    PutWith(Bytes, u16, u8, bool),
    Update(Bytes, Option<Bytes>),
    Swap(Bytes, Option<Bytes>, Option<Bytes>),
    Delete(Bytes),
    DeleteRange(Keys),
    DeletePrefix(Bytes),
    Retain(Keys, u8),
    Extract(Keys, u8, u8),
    Pop(bool),
    Clear,
    Enter(Bytes, Bytes, u8),
    Fill(Bytes, u8, Bytes),
    Load(Vec<(Bytes, Bytes)>),
    Numbers(u64),
    SetNumber(u64),
}

#[derive(Arbitrary, Debug)]
enum Look {
    Get(Bytes),
    Many(Vec<Bytes>),
    Range(Keys, u32),
    Prefix(Bytes),
    Near(Bytes),
    Measure(Keys, u8, u64),
    Cursor(Vec<(u8, Bytes)>),
}

#[derive(Arbitrary, Debug)]
enum SetEdit {
    Insert(Bytes, Bytes),
    Many(Bytes, u8, u8),
    Remove(Bytes, Bytes),
    RemoveAll(Bytes),
    DeleteRange(Keys),
    DeletePrefix(Bytes),
    Retain(Keys, u8),
    Pop(bool),
    Clear,
    Load(Vec<(Bytes, Bytes)>),
    Numbers(u64),
}

#[derive(Arbitrary, Debug)]
enum Op {
    // Transactions.
    Write(u8),
    Commit(bool, u8),
    Abort,
    Batch(Name, Bytes, Bytes, bool),
    Read,
    Refresh(u8),
    EndRead(u8),
    ReadNamed(Name),
    Flush,
    // Tables.
    Open(Name),
    OpenWith(Name, Options),
    OpenOrdered(u8),
    Create(Name, Option<Options>),
    OpenSet(Name, Option<Options>),
    DropTable(Name),
    Rename(Name, Name),
    Copy(Name, Name),
    Edit(At, Edit),
    EditSet(At, SetEdit),
    Look(At, Look),
    LookSet(At, Bytes, Keys, u32),
    ById(u8, Bytes, Bytes, u8),
    // Cursors of the write transaction.
    NewCursor(u8),
    Move(u8, u8, Bytes),
    Change(u8, u8, Bytes, Bytes),
    NewSetCursor(u8),
    MoveSet(u8, u8, Bytes, Bytes),
    ChangeSet(u8, bool, Bytes, Bytes),
    // Savepoints.
    Save,
    Back(u8),
    Keep(u8),
    Nested(Name, Bytes, Bytes, u8),
    // Named snapshots.
    NameSnapshot(Name),
    DropSnapshot(Name),
    Snapshots,
    // Typed tables.
    Typed(u32, Bytes, Bytes, u8),
    TypedSet(Bytes, i16, u8),
    Otherwise(u64),
    // Readers.
    ReadTable(u8, Name, Look),
    ReadSet(u8, Name, Bytes, Keys, u32),
    Owned(u8, Name, Keys, u32),
    Diff(u8, u8, Name, Keys),
    // Loaders.
    NewLoader(bool, u16, u8, u8),
    Push(u8, Bytes, Bytes, u8),
    Finish(u8, u8, Option<u8>),
    // Of the database as a whole.
    Info,
    PagesHeld(Vec<u64>),
    WaitFor(u64),
    Since(u64),
    Changes(u8),
    Check,
    Salvage(Option<Name>, Keys, bool),
    WarmUp(bool),
    Reopen(Opening, bool),
}

#[derive(Arbitrary, Debug, Clone, Copy)]
struct Opening {
    page_size: u8,
    stage: u8,
    reserve: u8,
    most: u8,
    sink: bool,
    checks: u8,
    more: u8,
}

impl Opening {
    fn page_size(self) -> usize {
        PAGE_SIZES[usize::from(self.page_size) % PAGE_SIZES.len()]
    }

    fn builder(self) -> Builder {
        let mut builder = Database::builder();
        let pick = |all: [usize; 4], n: u8| all[usize::from(n) % 4];
        builder.page_size(self.page_size()).order(BY_LENGTH, by_length);
        builder.stage_bytes(pick([64 << 10, 0, 1, usize::MAX], self.stage));
        builder.max_bytes(pick([64 << 20, 200 << 10, 0, 64 << 20], self.most) as u64);
        builder.reserve(pick([64 << 20, 64 << 20, 1 << 20, 64 << 20], self.reserve));
        builder.sink(if self.sink { Sink::Direct } else { Sink::Staged });
        let checks = [ReadChecksums::Off, ReadChecksums::FirstTouch, ReadChecksums::Always];
        builder.read_checksums(checks[usize::from(self.checks) % 3]);
        let huge = [HugePages::Auto, HugePages::Always];
        builder.huge_pages(huge[usize::from(self.more) % 2]);
        let access = [Access::Random, Access::Normal, Access::Sequential];
        builder.access(access[usize::from(self.more / 2) % 3]);
        let default = [Durability::Durable, Durability::Deferred];
        builder.durability(default[usize::from(self.more / 8) % 2]);
        builder
    }
}

#[derive(Arbitrary, Debug)]
struct Input {
    /// On a simulated machine, where it can be closed and opened again; else in memory.
    disk: bool,
    opening: Opening,
    ops: Vec<Op>,
}

#[derive(Clone, PartialEq)]
enum Rows {
    Map(Pairs),
    /// With the bytes of each value, 0 for any.
    Set(u16, Pairs),
}

/// A table without pairs.
fn no_rows(options: &TableOptions) -> Rows {
    match options.kind {
        TableKind::Set { value_size } => Rows::Set(value_size, Pairs::new(&options.order)),
        _ => Rows::Map(Pairs::new(&options.order)),
    }
}

#[derive(Clone)]
struct Modelled {
    /// No other table has it, nor one of this name that was made anew.
    serial: u64,
    rows: Rows,
    /// The last number that it has given out.
    sequence: u64,
}

impl Modelled {
    fn new(serial: u64, rows: Rows) -> Modelled {
        Modelled { serial, rows, sequence: 0 }
    }

    fn order(&self) -> &Order {
        let (Rows::Map(pairs) | Rows::Set(_, pairs)) = &self.rows;
        &pairs.order
    }
}

type Model = BTreeMap<String, Modelled>;
/// Named snapshots, and what they show.
type Named = BTreeMap<String, Arc<Model>>;

fuzz_target!(|input: Input| {
    no_grace();
    let Some(mut world) = World::new(&input) else { return };
    for op in input.ops.iter().take(MAX_OPS) {
        world.step(op);
    }
    world.finish();
});

/// What has become of a call.
enum Taken<T> {
    Done(T),
    /// An error that leaves everything as it was.
    Refused,
    /// One after which the transaction can only be undone.
    Broken,
}

use Taken::{Broken, Done, Refused};

/// Sorts an outcome; one of another kind than these is a finding.
fn taken<T>(result: Result<T>, may: &[ErrorKind]) -> Taken<T> {
    match result {
        Ok(done) => Done(done),
        Err(e) => match e.kind() {
            ErrorKind::DiskFull | ErrorKind::DatabaseFull | ErrorKind::TransactionBroken => Broken,
            kind => {
                assert!(may.contains(&kind), "{kind:?}: {e}");
                assert!(!e.to_string().is_empty());
                Refused
            }
        },
    }
}

const LENGTHS: &[ErrorKind] = &[ErrorKind::KeyTooLong, ErrorKind::ValueTooLong];

/// Moves of a cursor over sets.
const MOVES: u8 = 15;

/// Makes one of them.
macro_rules! set_move {
    ($cursor:expr, $how:expr, $key:expr, $value:expr $(, $txn:expr)?) => {
        match $how % MOVES {
            0 => $cursor.first($($txn)?),
            1 => $cursor.last($($txn)?),
            2 => $cursor.next($($txn)?),
            3 => $cursor.prev($($txn)?),
            4 => $cursor.next_value($($txn)?),
            5 => $cursor.prev_value($($txn)?),
            6 => $cursor.first_value($($txn)?),
            7 => $cursor.last_value($($txn)?),
            8 => $cursor.next_key($($txn)?),
            9 => $cursor.prev_key($($txn)?),
            10 => $cursor.seek($($txn,)? $key),
            11 => $cursor.seek_back($($txn,)? $key),
            12 => $cursor.seek_value($($txn,)? $key, $value),
            13 => $cursor.find($($txn,)? $key, $value),
            _ => $cursor.current($($txn)?),
        }
    };
}

struct Writing {
    txn: WriteTxn,
    model: Model,
    named: Named,
    saved: Vec<(Savepoint, Model, Named)>,
    broken: bool,
    cursors: Vec<(Cursor, Option<u64>)>,
    set_cursors: Vec<(SetCursor, u64)>,
}

struct Loading {
    loader: Loader,
    kind: TableKind,
    order: Order,
    pushed: Vec<Pair>,
}

struct World {
    disk: Option<SimDisk>,
    /// None while it is opened again.
    db: Option<Database>,
    opening: Opening,
    committed: Model,
    named: Named,
    writing: Option<Writing>,
    readers: Vec<(Arc<ReadTxn>, Model)>,
    /// Ids, and the table of each.
    ids: Vec<(TableId, u64)>,
    serials: u64,
    loaders: Vec<Loading>,
    changes: Vec<Changes>,
    max_key: usize,
}

fn new_map(serial: u64) -> Modelled {
    Modelled::new(serial, Rows::Map(Pairs::new(&Order::Packed)))
}

fn of<T>(all: &mut [T], which: u8) -> Option<&mut T> {
    let count = all.len();
    all.get_mut(usize::from(which).checked_rem(count)?)
}

fn unit<T>(taken: Taken<T>) -> Taken<()> {
    match taken {
        Done(_) | Refused => Done(()),
        Broken => Broken,
    }
}

fn below(count: usize, down: u8) -> Option<usize> {
    (count > 0).then(|| count - 1 - usize::from(down) % count)
}

// Behind the macros, which are seen from there on only.
mod call;
mod checks;
mod world;
