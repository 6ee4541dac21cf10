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

impl World {
    fn new(input: &Input) -> Option<World> {
        let (opening, size) = (input.opening, input.opening.page_size());
        let builder = opening.builder();
        let is_size = size.is_power_of_two() && (4096..=65_536).contains(&size);
        let (disk, db) = match input.disk && is_size {
            true => {
                let disk = machine(&new_file(size), size, 1).expect("memory suffices");
                let db = open(process(&disk, opening), &builder).expect("a new file");
                (Some(disk), db)
            }
            false => match builder.in_memory() {
                Ok(db) => (None, db),
                Err(e) => {
                    assert!(!is_size && e.kind() == ErrorKind::InvalidArgument, "{e}");
                    return None;
                }
            },
        };
        let max_key = db.max_key_len();
        Some(World {
            disk,
            db: Some(db),
            opening,
            committed: Model::new(),
            named: BTreeMap::new(),
            writing: None,
            readers: Vec::new(),
            ids: Vec::new(),
            serials: 0,
            loaders: Vec::new(),
            changes: Vec::new(),
            max_key,
        })
    }

    fn db(&self) -> &Database {
        self.db.as_ref().expect("it is open between operations")
    }

    /// A number for a table that is made.
    fn serial(&mut self) -> u64 {
        self.serials += 1;
        self.serials
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Write(how) => self.write(*how),
            Op::Commit(durable, how) => self.commit(*durable, *how),
            Op::Abort => {
                if let Some(writing) = self.writing.take() {
                    writing.txn.abort();
                }
            }
            Op::Batch(name, key, value, fails) => self.batch(*name, key, value, *fails),
            Op::Read => {
                if self.readers.len() < 6 {
                    let txn = self.db().read().expect("a slot is free");
                    self.readers.push((Arc::new(txn), self.committed.clone()));
                }
            }
            Op::Refresh(which) => {
                let committed = self.committed.clone();
                if let Some((txn, model)) = of(&mut self.readers, *which)
                    && let Some(txn) = Arc::get_mut(txn)
                {
                    let before = txn.id();
                    let moved = txn.refresh().expect("nothing is lost");
                    assert_eq!(moved, txn.id() != before);
                    *model = committed;
                }
            }
            Op::EndRead(which) => {
                if !self.readers.is_empty() {
                    let at = usize::from(*which) % self.readers.len();
                    let (txn, model) = self.readers.remove(at);
                    same(&txn, &model);
                }
            }
            Op::ReadNamed(name) => {
                match (self.db().read_snapshot(&name.get()), self.named.get(&name.get())) {
                    (Ok(txn), Some(model)) => same(&txn, model),
                    (Err(Error::NoSuchSnapshot(_)), None) => {}
                    (other, model) => panic!("{:?}, and {} there", other.err(), model.is_some()),
                }
            }
            Op::Flush => {
                let writes = self.writing.is_some();
                match self.db().flush() {
                    Ok(()) => {}
                    // It may have to repair, or to build what is waited for.
                    Err(e) => assert!(writes && e.kind() == ErrorKind::WriterOnThisThread, "{e}"),
                }
            }
            Op::Open(..)
            | Op::OpenWith(..)
            | Op::OpenOrdered(_)
            | Op::Create(..)
            | Op::OpenSet(..)
            | Op::DropTable(_)
            | Op::Rename(..)
            | Op::Copy(..)
            | Op::Edit(..)
            | Op::EditSet(..)
            | Op::Look(..)
            | Op::LookSet(..)
            | Op::ById(..)
            | Op::NewCursor(_)
            | Op::Move(..)
            | Op::Change(..)
            | Op::NewSetCursor(_)
            | Op::MoveSet(..)
            | Op::ChangeSet(..)
            | Op::Save
            | Op::Back(_)
            | Op::Keep(_)
            | Op::Nested(..)
            | Op::NameSnapshot(_)
            | Op::DropSnapshot(_)
            | Op::Typed(..)
            | Op::TypedSet(..)
            | Op::Otherwise(_)
            | Op::Finish(..) => self.in_transaction(op),
            Op::Snapshots => {
                let names = self.db().snapshots().expect("intact");
                assert!(names.iter().map(|info| &info.name).eq(self.named.keys()));
            }
            Op::ReadTable(which, name, look) => {
                if let Some((txn, model)) = of(&mut self.readers, *which) {
                    let name = name.get();
                    let table =
                        taken(txn.table(&name), &[ErrorKind::NoSuchTable, ErrorKind::TableOptions]);
                    match (table, model.get(&name).map(|t| &t.rows)) {
                        (Done(table), Some(Rows::Map(pairs))) => {
                            looks(&table, pairs, look, self.max_key)
                        }
                        (Refused, None | Some(Rows::Set(..))) => {}
                        _ => panic!("{name:?} is there, or is not"),
                    }
                }
            }
            Op::ReadSet(which, name, key, values, turns) => {
                if let Some((txn, model)) = of(&mut self.readers, *which) {
                    let name = name.get();
                    let set =
                        taken(txn.set(&name), &[ErrorKind::NoSuchTable, ErrorKind::TableOptions]);
                    match (set, model.get(&name).map(|t| &t.rows)) {
                        (Done(set), Some(Rows::Set(_, pairs))) => {
                            looks_at_set(&set, pairs, key, values, *turns)
                        }
                        (Refused, None | Some(Rows::Map(_))) => {}
                        _ => panic!("{name:?} is there, or is not"),
                    }
                }
            }
            Op::Owned(which, name, keys, turns) => self.owned(*which, *name, keys, *turns),
            Op::Diff(one, other, name, keys) => self.diff(*one, *other, *name, keys),
            Op::NewLoader(map, size, memory, number) => {
                let kind = if *map { TableKind::Map } else { TableKind::Set { value_size: *size } };
                let memory = [0, 1, usize::MAX / 4, 70_000][usize::from(*memory) % 4];
                let order = order(*number);
                let options = LoadOptions::default().memory(memory).order(order.clone());
                if self.loaders.len() < 3 {
                    let loader = self.db().loader(kind, &options);
                    self.loaders.push(Loading { loader, kind, order, pushed: Vec::new() });
                }
            }
            Op::Push(which, key, value, count) => self.push(*which, key, value, *count),
            Op::Info => {
                let info = self.db().info().expect("it is there");
                assert!(info.durable <= info.visible && info.visible <= info.built);
                let _ = (info.lag(), info.used_pages(), info.oldest_reader(), format!("{info:?}"));
                let readers = self.db().readers().expect("it is there");
                readers.iter().for_each(|reader| drop(reader.to_string()));
                let held = self.db().held_back();
                let kinds = [ErrorKind::Busy, ErrorKind::WriterOnThisThread];
                assert!(held.is_ok() || held.is_err_and(|e| kinds.contains(&e.kind())));
            }
            Op::PagesHeld(ids) => match self.db().pages_held(ids) {
                Ok(held) => assert_eq!(held.len(), ids.len()),
                Err(e) => assert!(
                    [ErrorKind::Busy, ErrorKind::InvalidArgument].contains(&e.kind()),
                    "{e}"
                ),
            },
            Op::WaitFor(id) => {
                let now =
                    self.db().wait_for_commit(*id, Some(Duration::ZERO)).expect("it is there");
                assert_eq!(now, self.db().read().expect("a slot is free").id());
            }
            Op::Since(id) => {
                if self.changes.len() < 3 {
                    let changes = self.db().changes_since(*id);
                    self.changes.push(changes);
                    let changes = self.db().changes().expect("it is there");
                    match changes.with_snapshots() {
                        Ok(changes) => self.changes.push(changes),
                        Err(e) => panic!("{e}"),
                    }
                }
            }
            Op::Changes(which) => {
                if let Some(changes) = of(&mut self.changes, *which)
                    && let Some(news) = changes.wait(Some(Duration::ZERO)).expect("it is there")
                {
                    assert!(news.from() <= news.to() || news.snapshots().is_none());
                    match news.tables() {
                        Ok(_) => assert!(news.snapshots().is_some()),
                        Err(e) => assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{e}"),
                    }
                }
            }
            Op::Check => match self.db().check(None) {
                Ok(report) => {
                    assert_eq!(report.fault_count, 0, "{:?}", report.faults);
                    let _ = (report.fill(), report.entries(), report.usable_pages());
                }
                Err(e) => assert!(
                    [ErrorKind::Busy, ErrorKind::WriterOnThisThread].contains(&e.kind()),
                    "{e}"
                ),
            },
            Op::Salvage(name, keys, reverse) => self.salvage(*name, keys, *reverse),
            Op::WarmUp(stops) => {
                let step =
                    |_, _| if *stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
                self.db().warm_up(step).expect("it is there");
            }
            Op::Reopen(opening, close) => self.reopen(*opening, *close),
        }
    }

    fn write(&mut self, how: u8) {
        let held = self.writing.is_some();
        let begun = match how % 3 {
            0 => self.db().write().map(Some),
            1 => self.db().try_write(),
            _ => self.db().write_timeout(Duration::ZERO).map(Some),
        };
        match begun {
            Ok(Some(txn)) => {
                assert!(!held, "two write transactions");
                let model = self.committed.clone();
                let named = self.named.clone();
                let (saved, cursors, set_cursors) = Default::default();
                let broken = false;
                self.writing =
                    Some(Writing { txn, model, named, saved, broken, cursors, set_cursors });
            }
            Ok(None) => assert!(held),
            Err(e) => {
                let kinds = [ErrorKind::WriterOnThisThread, ErrorKind::Busy];
                assert!(held && kinds.contains(&e.kind()), "{e}");
            }
        }
    }

    fn commit(&mut self, durable: bool, how: u8) {
        let Some(Writing { mut txn, model, named, broken, .. }) = self.writing.take() else {
            return;
        };
        txn.set_durability(if durable { Durability::Durable } else { Durability::Deferred });
        let done = match how % 4 {
            0 => txn.commit_with_report().map(drop),
            1 => txn.commit_async().wait().map(drop),
            2 => {
                let future = txn.commit_async();
                while !future.is_ready() {
                    std::thread::yield_now();
                }
                future.wait().map(drop)
            }
            _ => txn.commit(),
        };
        match done {
            Ok(()) => {
                assert!(!broken, "a broken transaction is committed");
                (self.committed, self.named) = (model, named);
            }
            Err(e) => {
                let full = [ErrorKind::DatabaseFull, ErrorKind::DiskFull].contains(&e.kind());
                assert!(full || broken && e.kind() == ErrorKind::TransactionBroken, "{e}");
            }
        }
    }

    fn batch(&mut self, name: Name, key: &Bytes, value: &Bytes, fails: bool) {
        let (name, key, value) = (name.get(), key.key(), value.get());
        let put = (name.clone(), key.clone(), value.clone());
        let done = self.db().batch(move |txn| {
            let (name, key, value) = &put;
            let there = txn.open_table(name)?.put(key, value)?;
            if fails { Err(Error::InvalidArgument("on purpose".into())) } else { Ok(there) }
        });
        let may = [
            ErrorKind::KeyTooLong,
            ErrorKind::InvalidArgument,
            ErrorKind::TableOptions,
            ErrorKind::WriterOnThisThread,
        ];
        if let Done(there) = taken(done, &may) {
            assert!(!fails && self.writing.is_none());
            let serial = self.serial();
            let table = self.committed.entry(name).or_insert_with(|| new_map(serial));
            let Rows::Map(pairs) = &mut table.rows else { panic!("a pair in a table of sets") };
            assert_eq!(there, pairs.insert(key, value).is_some());
        }
    }

    fn owned(&mut self, which: u8, name: Name, keys: &Keys, turns: u32) {
        let Some((txn, model)) = of(&mut self.readers, which) else { return };
        let (name, keys) = (name.get(), keys.get());
        let may = [ErrorKind::NoSuchTable, ErrorKind::TableOptions];
        let Done(table) = taken(txn.owned_table(&name), &may) else { return };
        let Some(Modelled { rows: Rows::Map(pairs), .. }) = model.get(&name) else {
            panic!("{name:?} is no table")
        };
        assert_eq!(table.len(), pairs.len() as u64);
        let mut expected: Vec<_> =
            pairs.iter().filter(|(key, _)| pairs.is_in(key, &keys)).collect();
        let mut range = table.range(keys).expect("any bounds");
        let mut cursor = table.cursor();
        for turn in 0..40 {
            let forward = turns.rotate_right(turn) & 1 > 0;
            let found = if forward { range.next_ref() } else { range.next_back_ref() };
            let wanted = match (expected.is_empty(), forward) {
                (true, _) => None,
                (_, true) => Some(expected.remove(0)),
                (_, false) => expected.pop(),
            };
            let wanted = wanted.map(|(key, value)| (&key[..], &value[..]));
            assert_eq!(found.expect("intact"), wanted);
            if let Some((key, value)) = wanted {
                assert_eq!(cursor.seek(key).expect("intact"), Some((key, value)));
            }
        }
    }

    fn diff(&mut self, one: u8, other: u8, name: Name, keys: &Keys) {
        if self.readers.is_empty() {
            return;
        }
        let count = self.readers.len();
        let [(newer, new), (older, old)] =
            [one, other].map(|n| &self.readers[usize::from(n) % count]);
        let (name, keys) = (name.get(), keys.get());
        newer.diff_tables(older).expect("of one handle");
        let rows = |model: &'_ Model| model.get(&name).map(|table| table.rows.clone());
        let (new, old) = match (rows(new), rows(old)) {
            (Some(Rows::Set(_, new)), Some(Rows::Set(_, old))) => (new, old),
            (Some(Rows::Set(_, pairs)), None) => (pairs.clone(), Pairs::new(&pairs.order)),
            (None, Some(Rows::Set(_, pairs))) => (Pairs::new(&pairs.order), pairs),
            (new, old) => return diff_maps(newer, older, &name, &keys, new, old),
        };
        let diff = newer.diff_set(older, &name, keys.clone());
        let may: &[ErrorKind] =
            if new.order == old.order { &[] } else { &[ErrorKind::InvalidArgument] };
        let Done(mut diff) = taken(diff, may) else { return };
        let is_in = |pair: &&Pair| new.is_in(&pair.0, &keys);
        let only = |of: &Pairs, other: &Pairs, change| -> Vec<(Pair, PairChange)> {
            let others = of.list.iter().filter(is_in);
            let only = others.filter(|pair| other.place(&pair.0, &pair.1).is_err());
            only.map(|pair| (pair.clone(), change)).collect()
        };
        let mut expected = only(&new, &old, PairChange::Added);
        expected.extend(only(&old, &new, PairChange::Removed));
        expected.sort_by(|(a, _), (b, _)| (new.compare)(&a.0, &b.0).then_with(|| a.1.cmp(&b.1)));
        for turn in 0.. {
            // From both ends, in turns of three and one.
            let forward = turn % 4 > 0;
            let found = if forward { diff.next() } else { diff.next_back() };
            let found = found.map(|change| change.expect("intact"));
            let found = found.map(|(key, value, change)| ((key.to_vec(), value.to_vec()), change));
            let wanted = match (expected.is_empty(), forward) {
                (true, _) => None,
                (_, true) => Some(expected.remove(0)),
                (_, false) => expected.pop(),
            };
            assert_eq!(found, wanted);
            if wanted.is_none() {
                break;
            }
        }
    }

    fn push(&mut self, which: u8, key: &Bytes, value: &Bytes, count: u8) {
        let max_key = self.max_key;
        let Some(Loading { loader, kind, order, pushed }) = of(&mut self.loaders, which) else {
            return;
        };
        let of_order = Pairs::new(order);
        let is_set = matches!(kind, TableKind::Set { .. });
        for n in 0..=count % 32 {
            let (mut key, value) =
                (of_order.key(key), if is_set { value.key() } else { value.get() });
            if n > 0 {
                key.push(n);
            }
            let before = loader.pushed();
            match loader.push(&key, &value) {
                Ok(()) => {
                    assert!(key.len() <= of_order.max_key(max_key));
                    pushed.push((key, value));
                }
                Err(e) => {
                    let size = match kind {
                        TableKind::Set { value_size } => usize::from(*value_size),
                        _ => 0,
                    };
                    let right = match e.kind() {
                        ErrorKind::KeyTooLong => key.len() > of_order.max_key(max_key),
                        // Of no function.
                        ErrorKind::NoSuchOrder => matches!(order, Order::Custom(_)),
                        ErrorKind::InvalidArgument
                            if *order == Order::Integers && ![4, 8].contains(&key.len()) =>
                        {
                            true
                        }
                        ErrorKind::ValueTooLong | ErrorKind::InvalidArgument => {
                            value.len() > max_key
                                || size > max_key
                                || size > 0 && value.len() != size
                        }
                        _ => false,
                    };
                    assert!(right, "{e}");
                    assert_eq!(loader.pushed(), before);
                }
            }
        }
    }

    fn salvage(&mut self, name: Option<Name>, keys: &Keys, reverse: bool) {
        let name = name.map(Name::get);
        let (low, high) = keys.get();
        let mut part = Part::default();
        (part.table, part.reverse) = (name.as_deref(), reverse);
        (part.start, part.end) =
            (low.as_ref().map(|key| &key[..]), high.as_ref().map(|key| &key[..]));
        let mut count = 0u64;
        let report = self.db().salvage(part, SalvageOptions::default(), &mut |_| {
            count += 1;
            Ok(())
        });
        match report {
            Ok(report) => assert!(report.is_whole() && report.pairs() == count, "{report:?}"),
            Err(e) => {
                let kinds = [ErrorKind::NoSuchTable, ErrorKind::Busy, ErrorKind::InvalidArgument];
                assert!(kinds.contains(&e.kind()), "{e}");
            }
        }
    }

    /// Closes the database and opens it with other options.
    fn reopen(&mut self, opening: Opening, close: bool) {
        let Some(disk) = &self.disk else { return };
        let opening = Opening { page_size: self.opening.page_size, ..opening };
        self.writing = None;
        for (txn, model) in self.readers.drain(..) {
            same(&txn, &model);
        }
        self.changes.clear();
        self.loaders.clear();
        self.ids.clear();
        let db = self.db.take().expect("it is open");
        match close {
            true => db.close().expect("the device takes everything"),
            false => drop(db),
        }
        let db = open(process(disk, opening), &opening.builder()).expect("it was closed");
        same(&db.read().expect("a slot is free"), &self.committed);
        self.opening = opening;
        self.db = Some(db);
    }

    fn finish(mut self) {
        self.writing = None;
        for (txn, model) in &self.readers {
            same(txn, model);
        }
        self.readers.clear();
        self.changes.clear();
        let db = self.db.take().expect("it is open");
        same(&db.read().expect("a slot is free"), &self.committed);
        for (name, model) in &self.named {
            same(&db.read_snapshot(name).expect("it is listed"), model);
        }
        let report = db.check(None).expect("check runs");
        assert_eq!(report.fault_count, 0, "{:?}", report.faults);
        drop(db);
        self.loaders.clear();
        threads_end();
    }

    fn in_transaction(&mut self, op: &Op) {
        let next = self.serial();
        let Some(writing) = &mut self.writing else { return };
        let mut call = Call {
            writing,
            ids: &mut self.ids,
            loaders: &mut self.loaders,
            base: &self.committed,
            next,
            max_key: self.max_key,
        };
        let was_broken = call.writing.broken;
        let done = call.perform(op);
        if was_broken {
            return;
        }
        if matches!(done, Broken) {
            let writing = self.writing.as_mut().expect("as before");
            // What has failed in a nested transaction is undone with it.
            let tables = writing.txn.tables().map_err(|e| e.kind());
            writing.broken = tables == Err(ErrorKind::TransactionBroken);
        }
    }
}

/// A thread of a handle ends by itself, and nobody waits for it: what it has in its last moments is
/// no leak.
fn threads_end() {
    let is_ours = |task: std::io::Result<std::fs::DirEntry>| {
        let name = task.and_then(|task| std::fs::read_to_string(task.path().join("comm")));
        name.is_ok_and(|name| name.starts_with("recto-"))
    };
    for _ in 0..1_000 {
        let Ok(mut tasks) = std::fs::read_dir("/proc/self/task") else { return };
        if !tasks.any(is_ours) {
            return;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn process(disk: &SimDisk, opening: Opening) -> Arc<recto::harness::sim::SimProcess> {
    disk.process(ProcessOptions { direct: opening.sink, ..ProcessOptions::default() })
}

fn new_map(serial: u64) -> Modelled {
    Modelled::new(serial, Rows::Map(Pairs::new(&Order::Packed)))
}

/// What differs between two tables that are not both of sets.
fn diff_maps(
    newer: &ReadTxn,
    older: &ReadTxn,
    name: &str,
    keys: &Ends,
    new: Option<Rows>,
    old: Option<Rows>,
) {
    let may = [ErrorKind::NoSuchTable, ErrorKind::TableOptions, ErrorKind::InvalidArgument];
    let Done(diff) = taken(newer.diff(older, name, keys.clone()), &may) else {
        let order = |rows: &Option<Rows>| match rows {
            Some(Rows::Map(pairs)) => Some(pairs.order.clone()),
            _ => None,
        };
        let (new, old) = (order(&new), order(&old));
        assert!(new.is_none() || old.is_none() || new != old, "maps of one order");
        return;
    };
    let (new, old) = match (new, old) {
        (Some(Rows::Map(new)), Some(Rows::Map(old))) => (new, old),
        (Some(Rows::Map(pairs)), None) => (pairs.clone(), Pairs::new(&pairs.order)),
        (None, Some(Rows::Map(pairs))) => (Pairs::new(&pairs.order), pairs),
        // A map that has become a table of sets, or the other way round.
        _ => return diff.for_each(|change| drop(change.expect("intact"))),
    };
    let mut all: Vec<_> = new.keys().chain(old.keys()).filter(|key| new.is_in(key, keys)).collect();
    all.sort_by(|a, b| (new.compare)(a, b));
    all.dedup();
    let mut expected = all.into_iter().filter(|key| new.get(key) != old.get(key));
    for change in diff {
        let (key, change): (_, Change<'_>) = change.expect("intact");
        let wanted = expected.next().expect("no more than there are");
        assert_eq!(&key[..], &wanted[..]);
        assert_eq!(change.new(), new.get(wanted).map(|v| &v[..]));
        assert_eq!(change.old(), old.get(wanted).map(|v| &v[..]));
    }
    assert!(expected.next().is_none());
}

fn of<T>(all: &mut [T], which: u8) -> Option<&mut T> {
    let count = all.len();
    all.get_mut(usize::from(which).checked_rem(count)?)
}

/// One call within a write transaction.
struct Call<'w> {
    writing: &'w mut Writing,
    ids: &'w mut Vec<(TableId, u64)>,
    loaders: &'w mut Vec<Loading>,
    /// What the transaction has begun from.
    base: &'w Model,
    next: u64,
    max_key: usize,
}

const OPENING: &[ErrorKind] =
    &[ErrorKind::InvalidArgument, ErrorKind::TableOptions, ErrorKind::NoSuchOrder];

impl Call<'_> {
    /// The name of a table now.
    fn name_of(&self, serial: u64) -> Option<String> {
        let mut all = self.writing.model.iter();
        all.find(|(_, table)| table.serial == serial).map(|(name, _)| name.clone())
    }

    fn perform(&mut self, op: &Op) -> Taken<()> {
        let done = self.perform_or(op);
        if self.writing.broken {
            // What it says then need not be what the model has.
            return Broken;
        }
        done
    }

    fn perform_or(&mut self, op: &Op) -> Taken<()> {
        let broken = self.writing.broken;
        match op {
            Op::Open(name) => {
                let name = name.get();
                let opened = self.writing.txn.open(&name);
                self.opened(name, opened, &TableOptions::default(), OPENING)
            }
            Op::OpenWith(name, options) => {
                let (name, options) = (name.get(), options.get());
                let opened = self.writing.txn.open_with(&name, &options);
                self.opened(name, opened, &options, OPENING)
            }
            Op::OpenOrdered(which) => {
                let (name, number, is_set) = ORDERED[usize::from(*which) % ORDERED.len()];
                let txn = &mut self.writing.txn;
                let options = if is_set { TableOptions::set() } else { TableOptions::default() };
                let options = options.ordered(order(number));
                let opened = match is_set {
                    true => txn.open_set_with(name, &options).map(|set| set.id()),
                    false => txn.open_with(name, &options),
                };
                self.opened(name.into(), opened, &options, OPENING)
            }
            Op::Create(name, options) => {
                let name = name.get();
                let there = self.writing.model.contains_key(&name);
                let txn = &mut self.writing.txn;
                let made = match options {
                    None => txn.create_table(&name).map(|table| table.id()),
                    Some(options) => txn.create_table_with(&name, &options.get()).map(|t| t.id()),
                };
                assert!(broken || !there || made.is_err(), "{name:?} is made twice");
                let may =
                    [ErrorKind::InvalidArgument, ErrorKind::TableExists, ErrorKind::NoSuchOrder];
                let options = options.map(Options::get).unwrap_or_default();
                self.opened(name, made, &options, &may)
            }
            Op::OpenSet(name, options) => {
                let (name, txn) = (name.get(), &mut self.writing.txn);
                let (opened, options) = match options {
                    None => (txn.open_set(&name), TableOptions::set()),
                    Some(options) => (txn.open_set_with(&name, &options.get()), options.get()),
                };
                let opened = opened.map(|set| set.id());
                self.opened(name, opened, &options, OPENING)
            }
            Op::DropTable(name) => {
                let name = name.get();
                let dropped = taken(self.writing.txn.drop_table(&name), &[]);
                self.checked(dropped, |model, there| {
                    assert_eq!(there, model.remove(&name).is_some());
                })
            }
            Op::Rename(from, to) => {
                let (from, to) = (from.get(), to.get());
                let may =
                    [ErrorKind::NoSuchTable, ErrorKind::TableExists, ErrorKind::InvalidArgument];
                let renamed = taken(self.writing.txn.rename_table(&from, &to), &may);
                self.checked(renamed, |model, ()| {
                    let table = model.remove(&from).expect("it was there");
                    assert!(model.insert(to, table).is_none());
                })
            }
            Op::Copy(from, to) => {
                let (from, to, next) = (from.get(), to.get(), self.next);
                let may =
                    [ErrorKind::NoSuchTable, ErrorKind::TableExists, ErrorKind::InvalidArgument];
                let copied = taken(self.writing.txn.copy_table(&from, &to), &may);
                self.checked(copied, |model, ()| {
                    let table = Modelled { serial: next, ..model[&from].clone() };
                    assert!(model.insert(to, table).is_none());
                })
            }
            Op::Edit(at, edit) => self.edit(*at, edit),
            Op::EditSet(at, edit) => self.edit_set(*at, edit),
            Op::Look(at, look) => self.look(*at, look),
            Op::LookSet(at, key, values, turns) => self.look_at_set(*at, key, values, *turns),
            Op::ById(id, key, value, how) => self.by_id(*id, key, value, *how),
            Op::NewCursor(which) => {
                if let Some((id, serial)) = of(self.ids, *which)
                    && self.writing.cursors.len() < 4
                {
                    self.writing.cursors.push((self.writing.txn.cursor(*id), Some(*serial)));
                }
                Done(())
            }
            Op::NewSetCursor(which) => {
                if let Some((id, serial)) = of(self.ids, *which)
                    && self.writing.set_cursors.len() < 4
                {
                    self.writing.set_cursors.push((self.writing.txn.set_cursor(*id), *serial));
                }
                Done(())
            }
            Op::MoveSet(which, how, key, value) => self.move_set_cursor(*which, *how, key, value),
            Op::ChangeSet(which, deletes, key, value) => {
                self.change_set_at(*which, *deletes, key, value)
            }
            Op::Move(which, how, key) => self.move_cursor(*which, *how, key),
            Op::Change(which, how, key, value) => self.change_at(*which, *how, key, value),
            Op::Save => {
                let saved = taken(self.writing.txn.savepoint(), &[]);
                if let Done(savepoint) = saved {
                    if broken {
                        return Broken;
                    }
                    let Writing { model, named, saved, .. } = &mut *self.writing;
                    saved.push((savepoint, model.clone(), named.clone()));
                }
                Done(())
            }
            Op::Back(down) => {
                let Some(at) = below(self.writing.saved.len(), *down) else { return Done(()) };
                self.writing.saved.truncate(at + 1);
                let (savepoint, model, named) = &self.writing.saved[at];
                match taken(self.writing.txn.rollback_to(savepoint), &[]) {
                    Done(()) => {
                        (self.writing.model, self.writing.named) = (model.clone(), named.clone());
                        self.writing.broken = false;
                        Done(())
                    }
                    _ => Broken,
                }
            }
            Op::Keep(down) => {
                let Some(at) = below(self.writing.saved.len(), *down) else { return Done(()) };
                if broken {
                    return Broken;
                }
                let mut gone = self.writing.saved.drain(at..);
                let (savepoint, ..) = gone.next().expect("one at least");
                self.writing.txn.release(savepoint).expect("it stands");
                for (savepoint, ..) in gone {
                    let ended = self.writing.txn.release(savepoint);
                    assert!(matches!(ended, Err(Error::NoSuchSavepoint)), "{ended:?}");
                }
                Done(())
            }
            Op::Nested(name, key, value, how) => self.nested(*name, key, value, *how),
            Op::NameSnapshot(name) => {
                let name = name.get();
                let may = [ErrorKind::SnapshotExists, ErrorKind::InvalidArgument];
                match taken(self.writing.txn.create_snapshot(&name), &may) {
                    Done(()) if !broken => {
                        let base = Arc::new(self.base.clone());
                        assert!(self.writing.named.insert(name, base).is_none());
                        Done(())
                    }
                    other => unit(other),
                }
            }
            Op::DropSnapshot(name) => {
                let name = name.get();
                match taken(self.writing.txn.drop_snapshot(&name), &[]) {
                    Done(there) if !broken => {
                        assert_eq!(there, self.writing.named.remove(&name).is_some());
                        Done(())
                    }
                    other => unit(other),
                }
            }
            Op::Typed(number, text, value, how) => self.typed(*number, text, value, *how),
            Op::TypedSet(key, value, how) => self.typed_set(key, *value, *how),
            Op::Otherwise(key) => {
                let there = self.writing.model.get("typed").is_some();
                match taken(
                    self.writing.txn.typed(&OTHERWISE),
                    &[ErrorKind::NoSuchTable, ErrorKind::TableOptions],
                ) {
                    // One that was made by its bytes has no types.
                    Done(table) => {
                        assert!(there || broken);
                        let read = table.get(*key);
                        assert!(read.is_ok() || read.is_err_and(|e| e.kind() == ErrorKind::Decode));
                        Done(())
                    }
                    other => unit(other),
                }
            }
            Op::Finish(which, id, stop) => self.finish_load(*which, *id, *stop),
            _ => unreachable!("of the session"),
        }
    }

    /// Does to the model what was done, unless that is broken.
    fn checked<T>(&mut self, done: Taken<T>, change: impl FnOnce(&mut Model, T)) -> Taken<()> {
        match done {
            Done(done) if !self.writing.broken => {
                change(&mut self.writing.model, done);
                Done(())
            }
            Done(_) | Refused => Done(()),
            Broken => Broken,
        }
    }

    fn opened(
        &mut self,
        name: String,
        opened: Result<TableId>,
        options: &TableOptions,
        may: &[ErrorKind],
    ) -> Taken<()> {
        match taken(opened, may) {
            Done(id) if !self.writing.broken => {
                let (next, rows) = (self.next, no_rows(options));
                let made = || Modelled::new(next, rows.clone());
                let table = self.writing.model.entry(name).or_insert_with(made);
                let right = matches!(
                    (&table.rows, &rows),
                    (Rows::Map(_), Rows::Map(_)) | (Rows::Set(..), Rows::Set(..))
                );
                assert!(right, "opened as what it is not");
                self.ids.push((id, table.serial));
                Done(())
            }
            other => unit(other),
        }
    }

    /// The name of the table that is meant; none if there is none.
    fn find(&mut self, at: At) -> (Option<TableId>, Option<String>) {
        match at {
            At::Name(name) => (None, Some(name.get())),
            At::Id(which) => match of(self.ids, which) {
                None => (None, Some("a".into())),
                Some(&mut (id, serial)) => (Some(id), self.name_of(serial)),
            },
        }
    }

    fn edit(&mut self, at: At, edit: &Edit) -> Taken<()> {
        let (id, name) = self.find(at);
        let (broken, next) = (self.writing.broken, self.next);
        let txn = &mut self.writing.txn;
        let opened = match id {
            Some(id) => txn.edit(id),
            None => txn.open_table(name.as_deref().unwrap_or("a")),
        };
        let may = [ErrorKind::InvalidArgument, ErrorKind::TableOptions, ErrorKind::NoSuchTableId];
        let mut table = match taken(opened, &may) {
            Done(table) => table,
            other => return unit(other),
        };
        if broken {
            let _ = edits(&mut table, &mut new_map(0), edit, None);
            return Broken;
        }
        let name = name.expect("an id without a table gives none");
        let modelled = self.writing.model.entry(name).or_insert_with(|| new_map(next));
        let (id, serial) = (table.id(), modelled.serial);
        let done = edits(&mut table, modelled, edit, Some(self.max_key));
        if self.ids.len() < 12 {
            self.ids.push((id, serial));
        }
        done
    }

    fn edit_set(&mut self, at: At, edit: &SetEdit) -> Taken<()> {
        let (id, name) = self.find(at);
        let (broken, next) = (self.writing.broken, self.next);
        let txn = &mut self.writing.txn;
        let opened = match id {
            Some(id) => txn.edit_set(id),
            None => txn.open_set(name.as_deref().unwrap_or("set")),
        };
        let may = [ErrorKind::InvalidArgument, ErrorKind::TableOptions, ErrorKind::NoSuchTableId];
        let mut set = match taken(opened, &may) {
            Done(set) => set,
            other => return unit(other),
        };
        if broken {
            let mut none = Modelled::new(0, no_rows(&TableOptions::set()));
            let _ = set_edits(&mut set, &mut none, edit, None);
            return Broken;
        }
        let name = name.expect("an id without a table gives none");
        let made = || Modelled::new(next, no_rows(&TableOptions::set()));
        let modelled = self.writing.model.entry(name).or_insert_with(made);
        set_edits(&mut set, modelled, edit, Some(self.max_key))
    }

    fn look(&mut self, at: At, look: &Look) -> Taken<()> {
        let (id, name) = self.find(at);
        let txn = &self.writing.txn;
        let table = match id {
            Some(id) => txn.view(id),
            None => txn.table(name.as_deref().unwrap_or("a")),
        };
        let may = [ErrorKind::NoSuchTable, ErrorKind::TableOptions, ErrorKind::NoSuchTableId];
        let table = match taken(table, &may) {
            Done(table) => table,
            other => return unit(other),
        };
        if self.writing.broken {
            return Broken;
        }
        let name = name.expect("an id without a table gives none");
        let Some(Rows::Map(pairs)) = self.writing.model.get(&name).map(|table| &table.rows) else {
            panic!("{name:?} is no table")
        };
        looks(&table, pairs, look, self.max_key);
        Done(())
    }

    fn look_at_set(&mut self, at: At, key: &Bytes, values: &Keys, turns: u32) -> Taken<()> {
        let (id, name) = self.find(at);
        let txn = &self.writing.txn;
        let set = match id {
            Some(id) => txn.view_set(id),
            None => txn.set(name.as_deref().unwrap_or("set")),
        };
        let may = [ErrorKind::NoSuchTable, ErrorKind::TableOptions, ErrorKind::NoSuchTableId];
        let set = match taken(set, &may) {
            Done(set) => set,
            other => return unit(other),
        };
        if self.writing.broken {
            return Broken;
        }
        let name = name.expect("an id without a table gives none");
        let Some(Rows::Set(_, pairs)) = self.writing.model.get(&name).map(|table| &table.rows)
        else {
            panic!("{name:?} is no set")
        };
        looks_at_set(&set, pairs, key, values, turns);
        Done(())
    }

    fn by_id(&mut self, which: u8, key: &Bytes, value: &Bytes, how: u8) -> Taken<()> {
        let Some(&mut (id, serial)) = of(self.ids, which) else { return Done(()) };
        let (name, key, value) = (self.name_of(serial), key.key(), value.get());
        let txn = &mut self.writing.txn;
        let may = [
            ErrorKind::NoSuchTableId,
            ErrorKind::TableOptions,
            ErrorKind::KeyTooLong,
            // In a table of integers.
            ErrorKind::InvalidArgument,
        ];
        let there = match how % 3 {
            0 => taken(txn.put(id, &key, &value), &may),
            1 => taken(txn.delete(id, &key), &may),
            _ => taken(txn.get(id, &key).map(|found| found.is_some()), &may),
        };
        self.checked(there, |model, there| {
            let table = model.get_mut(&name.expect("no table of this id is there")).expect("it is");
            let Rows::Map(pairs) = &mut table.rows else { panic!("sets by pairs") };
            let expected = match how % 3 {
                0 => pairs.insert(key, value),
                1 => pairs.remove(&key),
                _ => pairs.get(&key).cloned(),
            };
            assert_eq!(there, expected.is_some());
        })
    }

    fn move_cursor(&mut self, which: u8, how: u8, key: &Bytes) -> Taken<()> {
        let (txn, broken, key) = (&self.writing.txn, self.writing.broken, key.key());
        let count = self.writing.cursors.len();
        let Some(at) = usize::from(which).checked_rem(count) else { return Done(()) };
        let (cursor, serial) = &mut self.writing.cursors[at];
        let before = cursor.key().map(<[u8]>::to_vec);
        let found = match how % 7 {
            0 => cursor.seek(txn, &key),
            1 => cursor.seek_back(txn, &key),
            2 => cursor.first(txn),
            3 => cursor.last(txn),
            4 => cursor.next(txn),
            5 => cursor.prev(txn),
            _ => cursor.current(txn),
        };
        let found = found.map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())));
        let may = [ErrorKind::NoSuchTableId, ErrorKind::TableOptions, ErrorKind::KeyTooLong];
        let found = match taken(found, &may) {
            Done(found) if !broken => found,
            other => return unit(other),
        };
        let table = self.writing.model.values().find(|table| Some(table.serial) == *serial);
        let Some(Modelled { rows: Rows::Map(pairs), .. }) = table else {
            panic!("a cursor in no table finds {found:?}")
        };
        let wanted = match (how % 7, &before) {
            (0, _) => Some(pairs.at(&key)),
            (1, _) => pairs.behind(&key).checked_sub(1),
            (2, _) => Some(0),
            (3, _) => pairs.len().checked_sub(1),
            // From nowhere it may begin at an end, or find nothing.
            (_, None) => return Done(()),
            (4, Some(at)) => Some(pairs.behind(at)),
            (5, Some(at)) => pairs.at(at).checked_sub(1),
            (_, Some(at)) => pairs.find(at),
        };
        assert_eq!(found.as_ref().map(|(k, v)| (k, v)), pairs.nth(wanted));
        Done(())
    }

    fn move_set_cursor(&mut self, which: u8, how: u8, key: &Bytes, value: &Bytes) -> Taken<()> {
        let Writing { txn, set_cursors, model, broken, .. } = &mut *self.writing;
        let Some((cursor, serial)) = of(set_cursors, which) else { return Done(()) };
        let (key, value) = (key.key(), value.key());
        let before = cursor.pair().map(|(key, value)| (key.to_vec(), value.to_vec()));
        let found = set_move!(cursor, how, &key, &value, txn);
        let found = found.map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())));
        let may = [ErrorKind::NoSuchTableId, ErrorKind::TableOptions, ErrorKind::KeyTooLong];
        let found = match taken(found, &may) {
            Done(found) if !*broken => found,
            other => return unit(other),
        };
        let table = model.values().find(|table| table.serial == *serial);
        let Some(Modelled { rows: Rows::Set(_, pairs), .. }) = table else {
            panic!("a cursor in no table of sets finds {found:?}")
        };
        if let Some(wanted) = moved(pairs, how, before.as_ref(), &key, &value) {
            assert_eq!(found.as_ref().map(|(k, v)| (k, v)), pairs.nth(wanted));
        }
        Done(())
    }

    fn change_set_at(&mut self, which: u8, deletes: bool, key: &Bytes, value: &Bytes) -> Taken<()> {
        let Writing { txn, set_cursors, model, broken, .. } = &mut *self.writing;
        let Some((cursor, serial)) = of(set_cursors, which) else { return Done(()) };
        let (key, value) = (key.key(), value.key());
        let before = cursor.pair().map(|(key, value)| (key.to_vec(), value.to_vec()));
        let changed = match deletes {
            true => cursor.delete(txn),
            false => cursor.insert(txn, &key, &value),
        };
        let may = [
            ErrorKind::NoSuchTableId,
            ErrorKind::TableOptions,
            ErrorKind::KeyTooLong,
            ErrorKind::ValueTooLong,
            ErrorKind::InvalidArgument,
        ];
        let changed = match taken(changed, &may) {
            Done(changed) if !*broken => changed,
            other => return unit(other),
        };
        let table = model.values_mut().find(|table| table.serial == *serial);
        let Some(Modelled { rows: Rows::Set(_, pairs), .. }) = table else {
            // Where it stands nowhere it has nothing to ask of the table.
            assert!(deletes && !changed, "a cursor in no table of sets changes something");
            return Done(());
        };
        match (deletes, before) {
            (true, Some((key, value))) => assert_eq!(changed, pairs.take(&key, &value)),
            (true, None) => assert!(!changed),
            (false, _) => {
                assert_eq!(changed, pairs.add((key.clone(), value.clone())));
                assert_eq!(cursor.pair(), Some((&key[..], &value[..])));
            }
        }
        Done(())
    }

    fn change_at(&mut self, which: u8, how: u8, key: &Bytes, value: &Bytes) -> Taken<()> {
        let (key, value) = (key.key(), value.get());
        let Writing { txn, cursors, model, broken, .. } = &mut *self.writing;
        let Some((cursor, serial)) = of(cursors, which) else { return Done(()) };
        let before = cursor.key().map(<[u8]>::to_vec);
        let changed = match how % 3 {
            0 => cursor.put(txn, &value),
            1 => cursor.delete(txn),
            _ => cursor.insert(txn, &key, &value),
        };
        let may = [
            ErrorKind::NoSuchTableId,
            ErrorKind::TableOptions,
            ErrorKind::KeyTooLong,
            ErrorKind::InvalidArgument,
        ];
        let changed = match taken(changed, &may) {
            Done(changed) if !*broken => changed,
            other => return unit(other),
        };
        let table = model.values_mut().find(|table| Some(table.serial) == *serial);
        let Some(Modelled { rows: Rows::Map(pairs), .. }) = table else {
            // Where it stands nowhere it has nothing to ask of the table.
            assert!(!changed && before.is_none(), "a cursor in no table changes something");
            return Done(());
        };
        match (how % 3, before) {
            (0, Some(at)) => {
                assert!(changed, "also where it was deleted meanwhile");
                pairs.insert(at, value);
            }
            (1, Some(at)) => assert_eq!(changed, pairs.remove(&at).is_some()),
            (2, _) => assert_eq!(changed, pairs.insert(key, value).is_some()),
            (_, None) => assert!(!changed),
            _ => {}
        }
        Done(())
    }

    fn nested(&mut self, name: Name, key: &Bytes, value: &Bytes, how: u8) -> Taken<()> {
        let (name, key, value) = (name.get(), key.key(), value.get());
        let (broken, next) = (self.writing.broken, self.next);
        let mut nested = match taken(self.writing.txn.nested(), &[]) {
            Done(nested) => nested,
            other => return unit(other),
        };
        let may = [ErrorKind::InvalidArgument, ErrorKind::TableOptions, ErrorKind::KeyTooLong];
        let put = nested.open_table(&name).and_then(|mut table| table.put(&key, &value));
        let put = taken(put, &may);
        let opens = matches!(put, Done(_));
        let ended = match how % 3 {
            0 => nested.commit(),
            1 => nested.rollback(),
            _ => {
                drop(nested);
                Ok(())
            }
        };
        if broken {
            return Broken;
        }
        match (taken(ended, &[]), how % 3) {
            (Done(()), 0) if opens => {
                let table = self.writing.model.entry(name).or_insert_with(|| new_map(next));
                let Rows::Map(pairs) = &mut table.rows else { panic!("a pair in a table of sets") };
                pairs.insert(key, value);
                Done(())
            }
            // The table may have been made before its put was refused.
            (Done(()), 0) => {
                if matches!(put, Refused) && self.writing.txn.table(&name).is_ok() {
                    self.writing.model.entry(name).or_insert_with(|| new_map(next));
                }
                Done(())
            }
            // Whatever it was, it is undone.
            (Done(()), _) => Done(()),
            _ => Broken,
        }
    }

    fn typed(&mut self, number: u32, text: &Bytes, value: &Bytes, how: u8) -> Taken<()> {
        let (text, value, next) = (text.text(), value.text(), self.next);
        let key = <(u32, &str)>::to_bytes((number % 8, &text));
        let may = [ErrorKind::TableOptions];
        let id = match taken(self.writing.txn.open_typed(&TYPED), &may) {
            Done(id) if !self.writing.broken => id,
            other => return unit(other),
        };
        let table = self.writing.model.entry("typed".into()).or_insert_with(|| new_map(next));
        let Rows::Map(pairs) = &mut table.rows else { panic!("a typed table of sets") };
        let txn = &mut self.writing.txn;
        let arg = (number % 8, &text[..]);
        let may = [ErrorKind::KeyTooLong];
        let there = match how % 4 {
            0 => taken(id.put(txn, arg, &value), &may),
            1 => taken(id.put_if_absent(txn, arg, &value), &may),
            2 => taken(id.delete(txn, arg), &may),
            _ => {
                // Bytes that somebody has put by hand need not be text.
                let read = id.get(txn, arg).map(|found| found.map(str::to_owned));
                match taken(read, &[ErrorKind::Decode, ErrorKind::KeyTooLong]) {
                    Done(found) => {
                        assert_eq!(
                            found.as_ref().map(String::as_bytes),
                            pairs.get(&key).map(|v| &v[..])
                        );
                        let beginning = id.view(txn).and_then(|table| {
                            let range = table.prefix((number % 8,))?;
                            range.map(|pair| pair.map(drop)).collect::<Result<Vec<()>>>()
                        });
                        let _ = taken(beginning, &[ErrorKind::Decode]);
                        return Done(());
                    }
                    other => return unit(other),
                }
            }
        };
        let there = match there {
            Done(there) => there,
            other => return unit(other),
        };
        let bytes = value.into_bytes();
        match how % 4 {
            0 => assert_eq!(there, pairs.insert(key, bytes).is_some()),
            1 => {
                assert_eq!(there, !pairs.contains_key(&key));
                if there {
                    pairs.insert(key, bytes);
                }
            }
            _ => assert_eq!(there, pairs.remove(&key).is_some()),
        }
        Done(())
    }

    fn typed_set(&mut self, key: &Bytes, value: i16, how: u8) -> Taken<()> {
        let (text, next) = (key.text(), self.next);
        let pair = (<&str>::to_bytes(&text), i16::to_bytes(value));
        let id =
            match taken(self.writing.txn.open_typed_set(&TYPED_SET), &[ErrorKind::TableOptions]) {
                Done(id) if !self.writing.broken => id,
                other => return unit(other),
            };
        let made = || Modelled::new(next, no_rows(&TableOptions::set_of(2)));
        let table = self.writing.model.entry("typed set".into()).or_insert_with(made);
        let Rows::Set(_, pairs) = &mut table.rows else { panic!("a typed set of pairs") };
        let txn = &mut self.writing.txn;
        let may = [ErrorKind::KeyTooLong];
        match how % 3 {
            0 => match taken(id.insert(txn, &text, value), &may) {
                Done(new) => assert_eq!(new, pairs.add(pair)),
                other => return unit(other),
            },
            1 => match taken(id.remove(txn, &text, value), &may) {
                Done(there) => assert_eq!(there, pairs.take(&pair.0, &pair.1)),
                other => return unit(other),
            },
            _ => match taken(id.contains(txn, &text, value), &may) {
                Done(there) => assert_eq!(there, pairs.place(&pair.0, &pair.1).is_ok()),
                other => return unit(other),
            },
        }
        Done(())
    }

    fn finish_load(&mut self, which: u8, id: u8, stop: Option<u8>) -> Taken<()> {
        let Some(&mut (id, serial)) = of(self.ids, id) else { return Done(()) };
        let Some(at) = usize::from(which).checked_rem(self.loaders.len()) else { return Done(()) };
        let Loading { loader, order, pushed, .. } = self.loaders.remove(at);
        let name = self.name_of(serial);
        let mut left = stop.unwrap_or(u8::MAX);
        let loaded = loader.finish_with(&mut self.writing.txn, id, |_| {
            left = left.saturating_sub(1);
            // Any error will do.
            if left == 0 { Err(Error::ReadOnly { path: None }) } else { Ok(()) }
        });
        let may = [
            ErrorKind::NoSuchTableId,
            ErrorKind::TableOptions,
            ErrorKind::KeyTooLong,
            ErrorKind::ValueTooLong,
            ErrorKind::InvalidArgument,
            ErrorKind::NoSuchOrder,
        ];
        let loaded = match loaded {
            // What was put counts as half-way.
            Err(Error::ReadOnly { .. }) => return Broken,
            other => taken(other, &may),
        };
        self.checked(loaded, |model, loaded| {
            let table = model.get_mut(&name.expect("a load into no table")).expect("it is there");
            assert_eq!(loaded.pushed, pushed.len() as u64);
            let mut new = 0;
            let (Rows::Map(into) | Rows::Set(_, into)) = &table.rows;
            let by_bytes = into.is_by_bytes() && Pairs::new(&order).is_by_bytes();
            assert!(by_bytes || into.order == order, "loaded in another order");
            for (key, value) in pushed {
                new += u64::from(match &mut table.rows {
                    Rows::Map(pairs) => pairs.insert(key, value).is_none(),
                    Rows::Set(_, pairs) => pairs.add((key, value)),
                });
            }
            assert_eq!(loaded.new, new);
        })
    }
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

/// Does an edit to a table and to its model; without a model to compare with, only the first.
fn edits(
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

fn set_edits(
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
fn moved(
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
fn looks(table: &Table<'_>, pairs: &Pairs, look: &Look, max_key: usize) {
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

fn looks_at_set(set: &SetTable<'_>, pairs: &Pairs, key: &Bytes, values: &Keys, turns: u32) {
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
fn same(txn: &ReadTxn, model: &Model) {
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
