//! The list of workloads, and what each measures.

use crate::database::Role;
use crate::engine::Abilities;

/// What is done. The functions stand in `workloads/`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    LoadSequential,
    Append,
    LoadRandom,
    Size,
    SizeOrdered,
    OpenGet,
    BeginEnd,
    GetHit,
    GetMiss,
    GetZipf,
    GetMany,
    GetCold,
    GetManyCold,
    Seek100,
    Scan,
    ScanBack,
    ScanOrdered,
    ScanCold,
    ScanColdOrdered,
    ReadThreads(usize),
    ReadProcesses(usize),
    ReadBesideWriter,
    Commit1,
    Commit1AfterCat,
    CommitThreads(usize),
    CommitProcesses(usize),
    Commit100,
    Commit10000,
    Deferred1,
    Overwrite,
    Delete,
    LongReader,
    LargePut(Role),
    LargeGet(Role),
}

#[derive(Clone, Debug)]
pub struct Workload {
    pub name: String,
    pub kind: Kind,
    /// What a figure is the cost of.
    pub unit: &'static str,
    pub about: &'static str,
    /// Which chart it stands in.
    pub group: &'static str,
}

/// All workloads in the order in which they run.
pub fn all() -> Vec<Workload> {
    use Kind::*;
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut list = vec![];
    let mut add = |name: &str, kind, unit, group, about| {
        list.push(Workload { name: name.into(), kind, unit, about, group });
    };
    add(
        "load-sequential",
        LoadSequential,
        "put",
        "loads",
        "all keys in order, one durable transaction",
    );
    add("append", Append, "put", "loads", "the same by the engine's call for bulk or appending");
    add(
        "load-random",
        LoadRandom,
        "put",
        "loads",
        "all keys in random order, durable batches of 10,000",
    );
    add("size", Size, "key, B", "sizes", "bytes on the disk per key after random load and closing");
    add("size-ordered", SizeOrdered, "key, B", "sizes", "the same after loading in order");
    add("open-get", OpenGet, "open", "reads", "open, get one key");
    add("begin-end", BeginEnd, "txn", "reads", "begin and end of a read transaction");
    add("get-hit", GetHit, "get", "reads", "random keys that are there");
    add("get-miss", GetMiss, "get", "reads", "random keys that are not there");
    add("get-zipf", GetZipf, "get", "reads", "keys that are there, zipfian (0.99)");
    add(
        "get-many",
        GetMany,
        "get",
        "reads",
        "1,000 random keys a call; a loop where there is no call",
    );
    add("seek-100", Seek100, "seek", "scans", "seek to a random key, then 100 pairs");
    add("scan", Scan, "pair", "scans", "all pairs of a table loaded at random");
    add("scan-back", ScanBack, "pair", "scans", "the same in reverse");
    add("scan-ordered", ScanOrdered, "pair", "scans", "all pairs of a table loaded in order");
    for threads in (0..).map(|n| 1 << n).take_while(|n| *n < cores).chain([cores]) {
        let name = format!("read-threads-{threads}");
        add(
            &name,
            ReadThreads(threads),
            "get",
            "parallel",
            "random gets of N threads beside each other",
        );
    }
    let processes = cores.max(2);
    add(
        "read-processes",
        ReadProcesses(processes),
        "get",
        "parallel",
        "the same, as many processes as cores",
    );
    add(
        "read-beside-writer",
        ReadBesideWriter,
        "get",
        "parallel",
        "random gets beside a durable writer",
    );
    add("get-cold", GetCold, "get", "cold", "random keys, nothing in the page cache");
    add("get-many-cold", GetManyCold, "get", "cold", "the same, 1,000 keys a call");
    add("scan-cold", ScanCold, "pair", "cold", "all pairs, nothing in the page cache");
    add(
        "scan-cold-ordered",
        ScanColdOrdered,
        "pair",
        "cold",
        "the same of a table loaded in order",
    );
    add("commit-1", Commit1, "commit", "commits", "one random key, durable");
    add(
        "commit-1-after-cat",
        Commit1AfterCat,
        "commit",
        "commits",
        "the same after `cat` of the files",
    );
    add(
        "commit-1-t16",
        CommitThreads(16),
        "commit",
        "commits",
        "one random key, durable, 16 threads",
    );
    add(
        "commit-1-p4",
        CommitProcesses(4),
        "commit",
        "commits",
        "one random key, durable, 4 processes",
    );
    add("commit-100", Commit100, "commit", "commits", "100 random keys, durable");
    add("commit-10000", Commit10000, "commit", "commits", "10,000 random keys, durable");
    add(
        "deferred-1",
        Deferred1,
        "commit",
        "commits",
        "one random key, not durable but crash-consistent",
    );
    add(
        "overwrite",
        Overwrite,
        "put",
        "churn",
        "a tenth of the keys replaced, durable batches of 10,000",
    );
    add(
        "delete",
        Delete,
        "delete",
        "churn",
        "a tenth of the keys removed, durable batches of 10,000",
    );
    add(
        "long-reader",
        LongReader,
        "put",
        "churn",
        "10 durable batches of 1% of the keys while a reader is open",
    );
    add("large-put-100k", LargePut(Role::Large100k), "put", "large", "a value of 100 KiB, durable");
    add(
        "large-get-100k",
        LargeGet(Role::Large100k),
        "get",
        "large",
        "a value of 100 KiB, every byte read",
    );
    add("large-put-1m", LargePut(Role::Large1m), "put", "large", "a value of 1 MiB, durable");
    add(
        "large-get-1m",
        LargeGet(Role::Large1m),
        "get",
        "large",
        "a value of 1 MiB, every byte read",
    );
    list
}

impl Kind {
    /// The database it works on; None: one of its own for each round.
    pub fn role(self) -> Option<Role> {
        match self {
            Kind::LoadSequential | Kind::Append | Kind::LoadRandom => None,
            Kind::SizeOrdered | Kind::ScanOrdered | Kind::ScanColdOrdered => Some(Role::Ordered),
            Kind::Overwrite | Kind::Delete | Kind::LongReader => Some(Role::Churn),
            Kind::LargePut(role) | Kind::LargeGet(role) => Some(role),
            _ => Some(Role::Main),
        }
    }

    /// Whether it changes the database of its role.
    pub fn writes(self) -> bool {
        use Kind::*;
        matches!(
            self,
            ReadBesideWriter
                | Commit1
                | Commit1AfterCat
                | CommitThreads(_)
                | CommitProcesses(_)
                | Commit100
                | Commit10000
                | Deferred1
                | Overwrite
                | Delete
                | LongReader
                | LargePut(_)
        )
    }

    /// Whether its figure is a number of bytes, not a time.
    pub fn is_size(self) -> bool {
        matches!(self, Kind::Size | Kind::SizeOrdered)
    }

    /// Why an engine cannot take part.
    pub fn left_out(self, abilities: &Abilities, value_len: usize) -> Option<&'static str> {
        let value_len = self.role().map_or(value_len, |role| match role {
            Role::Large100k => 100 << 10,
            Role::Large1m => 1 << 20,
            _ => value_len,
        });
        match self {
            _ if value_len > abilities.max_value => Some("values too long for it"),
            Kind::Append if abilities.append.is_none() => Some("has no such call"),
            Kind::CommitThreads(_) if !abilities.writer_threads => Some("no writers side by side"),
            Kind::ReadProcesses(_) if !abilities.processes => Some("one process only"),
            Kind::CommitProcesses(_) if !abilities.writer_processes => Some("one process writes"),
            Kind::Deferred1 if abilities.deferred.is_none() => Some("has no such mode"),
            Kind::LongReader if !abilities.long_reader => Some("a reader would block it"),
            _ => None,
        }
    }
}
