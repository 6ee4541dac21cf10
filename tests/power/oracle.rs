//! What the database may hold. States are whole contents; each built transaction adds one, each acknowledgement
//! rules out those before it.

use recto::{Database, Durability, Error, ReadTxn, Table};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Table, key, value.
pub type State = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

/// States that the database may hold, oldest first.
#[derive(Default)]
pub struct Oracle {
    states: Vec<Arc<State>>,
    /// Everything before this one is ruled out after a power cut: it was acknowledged as durable.
    durable: usize,
    /// The same after the death of processes alone.
    visible: usize,
    /// A commit may say `OutcomeUnknown`, and what was visible may be rolled back.
    pub syncs_may_fail: bool,
    /// A transaction may say `DiskFull`.
    pub disk_may_be_full: bool,
    /// Transactions that did.
    pub found_full: u64,
}

pub type SharedOracle = Arc<Mutex<Oracle>>;

impl Oracle {
    pub fn new() -> Oracle {
        Oracle { states: vec![Arc::default()], ..Oracle::default() }
    }

    /// What may be found after a power cut now.
    pub fn after_power_loss(&self) -> Vec<Arc<State>> {
        self.states[self.durable..].to_vec()
    }

    /// What may be found while the system lives.
    pub fn while_alive(&self) -> Vec<Arc<State>> {
        let from = if self.syncs_may_fail { self.durable } else { self.visible };
        self.states[from..].to_vec()
    }

    /// The system has lost everything but `state`.
    pub fn restart_from(&mut self, state: Arc<State>) {
        self.states = vec![state];
        self.durable = 0;
        self.visible = 0;
    }

    fn start(&mut self, state: State) -> usize {
        self.states.push(Arc::new(state));
        self.states.len() - 1
    }

    fn built(&mut self, index: usize) {
        self.visible = self.visible.max(index);
    }

    fn durable(&mut self, index: usize) {
        self.durable = self.durable.max(index);
        self.built(index);
    }

    /// One transaction of one process; false if the process could not get at the writer lock.
    pub fn commit(
        oracle: &SharedOracle,
        db: &Database,
        durability: Durability,
        work: impl FnOnce(&mut Txn),
    ) -> bool {
        match Oracle::build(oracle, db, durability, work) {
            None => false,
            Some(pending) => {
                pending.finish(oracle, db);
                true
            }
        }
    }

    /// The first half of a commit.
    pub fn build(
        oracle: &SharedOracle,
        db: &Database,
        durability: Durability,
        work: impl FnOnce(&mut Txn),
    ) -> Option<Pending> {
        let mut txn = match db.write() {
            Ok(txn) => txn,
            Err(Error::Busy) => return None,
            Err(e) if oracle.lock().unwrap().forgives(&e) => return None,
            Err(e) => panic!("begin: {e}"),
        };
        let base = dump_tables(&txn.tables().unwrap(), |name| txn.table(name).unwrap());
        let allowed = oracle.lock().unwrap().while_alive();
        assert!(allowed.iter().any(|s| **s == base), "a writer starts from a state nobody made");
        txn.set_durability(durability);
        let mut t = Txn { txn, state: base, full: false };
        work(&mut t);
        let Txn { txn, state, full } = t;
        if full {
            let mut oracle = oracle.lock().unwrap();
            assert!(oracle.disk_may_be_full, "the disk is not full");
            oracle.found_full += 1;
            return None;
        }
        let index = oracle.lock().unwrap().start(state);
        match recto::harness::build(txn, durability) {
            Ok(Some((id, flush))) => {
                if !flush {
                    oracle.lock().unwrap().built(index);
                }
                Some(Pending { index, id, flush })
            }
            Ok(None) => {
                // Nothing changed: the state is the one before.
                oracle.lock().unwrap().states.pop();
                None
            }
            Err(e) if oracle.lock().unwrap().forgives(&e) => {
                if matches!(e, Error::DiskFull { .. }) {
                    // It did not happen, and never will.
                    let mut oracle = oracle.lock().unwrap();
                    oracle.states.pop();
                    oracle.found_full += 1;
                }
                None
            }
            Err(e) => panic!("build: {e}"),
        }
    }

    fn forgives(&self, e: &Error) -> bool {
        match e {
            Error::OutcomeUnknown { .. } | Error::Io { .. } => self.syncs_may_fail,
            Error::DiskFull { .. } => self.disk_may_be_full,
            _ => false,
        }
    }
}

/// A built transaction that may have to be made durable.
pub struct Pending {
    index: usize,
    id: u64,
    flush: bool,
}

impl Pending {
    /// The second half of a commit.
    pub fn finish(self, oracle: &SharedOracle, db: &Database) {
        if !self.flush {
            return;
        }
        match recto::harness::make_durable(db, self.id) {
            Ok(()) => oracle.lock().unwrap().durable(self.index),
            // Another process holds the flush lock and cannot move while this hook runs.
            Err(Error::Busy) => {}
            Err(e) if oracle.lock().unwrap().forgives(&e) => {}
            Err(e) => panic!("commit: {e}"),
        }
    }
}

/// A write transaction with its model.
pub struct Txn {
    txn: recto::WriteTxn,
    state: State,
    full: bool,
}

impl Txn {
    /// A value of `len` bytes that depends on table, key and length.
    pub fn put(&mut self, table: &str, key: &str, len: usize) {
        if self.full {
            return;
        }
        let fill = key.bytes().chain(table.bytes()).fold(len as u8, |a, b| a.rotate_left(1) ^ b);
        let value: Vec<u8> = (0..len).map(|i| fill.wrapping_add(i as u8)).collect();
        let done = self.txn.open_table(table).and_then(|mut t| t.put(key.as_bytes(), &value));
        match done {
            Ok(_) => {
                self.state.entry(table.into()).or_default().insert(key.into(), value);
            }
            Err(Error::DiskFull { .. }) => self.full = true,
            Err(e) => panic!("put: {e}"),
        }
    }

    pub fn delete(&mut self, table: &str, key: &str) {
        if self.full {
            return;
        }
        let there = self.txn.open_table(table).and_then(|mut t| t.delete(key.as_bytes()));
        match there {
            Ok(there) => {
                let gone = self.state.entry(table.into()).or_default().remove(key.as_bytes());
                assert_eq!(there, gone.is_some());
            }
            Err(Error::DiskFull { .. }) => self.full = true,
            Err(e) => panic!("delete: {e}"),
        }
    }

    pub fn drop_table(&mut self, table: &str) {
        if self.full {
            return;
        }
        match self.txn.drop_table(table) {
            Ok(there) => assert_eq!(there, self.state.remove(table).is_some()),
            Err(Error::DiskFull { .. }) => self.full = true,
            Err(e) => panic!("drop: {e}"),
        }
    }
}

fn dump_tables<'t>(tables: &[recto::TableInfo], open: impl Fn(&str) -> Table<'t>) -> State {
    tables
        .iter()
        .map(|info| {
            let pairs = open(&info.name).iter().unwrap().map(|p| p.expect("readable"));
            let pairs: BTreeMap<_, _> = pairs.map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
            assert_eq!(pairs.len() as u64, info.stats.entries);
            (info.name.clone(), pairs)
        })
        .collect()
}

/// The whole content of a snapshot.
pub fn dump(txn: &ReadTxn) -> State {
    dump_tables(&txn.tables().expect("tables"), |name| txn.table(name).expect("table"))
}
