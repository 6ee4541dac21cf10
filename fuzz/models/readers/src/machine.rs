//! A machine of threads whose steps are loads, stores, fences, locks and waits, and two models of
//! its memory.
//!
//! *Views*: a machine of message histories as C11 has them: acquire, release, relaxed, fences that
//! are sequentially consistent, read-modify-write; stores that nothing orders may come into any
//! order. No load takes a value that is stored later; races on plain pages are found by vector
//! clocks. *Buffers*: the store buffers of x86. Threads may be killed, and lose their locks then.
//! Locks are byte locks of the kernel.

use Op::*;
use std::collections::HashMap;

/// Locations and threads of a model at most.
pub const LOCATIONS: usize = 40;
/// Registers of a thread.
pub const REGISTERS: usize = 48;
/// How far each location has been seen; the clocks of the threads stand behind the locations.
pub type View = [u8; LOCATIONS];
/// Of one thread.
pub type Registers = [u8; REGISTERS];
/// How memory behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Memory {
    Views,
    Buffers,
}
/// How a step is ordered with others; `None` for a fence that is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    Relaxed,
    Acquire,
    Release,
    AcqRel,
    SeqCst,
    None,
}
/// A location or a value, from the registers.
pub type Value = Box<dyn Fn(&Registers) -> u8>;
/// A computation; the label to go on at, if not the next step.
pub type Local = Box<dyn Fn(&mut Registers) -> Option<u8>>;
/// A step of a program. The number behind a location, a lock or an expected value is the register
/// for what is found.
pub enum Op {
    Load(Order, Value, usize),
    Store(Order, Value, Value),
    Cas(Value, Value, Value, usize),
    Fence(Order),
    /// A page: a race is an error.
    PlainLoad(Value, usize),
    PlainStore(Value, Value),
    Compute(Local),
    Label(u8),
    Assert(Box<dyn Fn(&Registers) -> bool>, &'static str),
    TryExclusive(Value, usize),
    LockExclusive(Value),
    LockShared(Value),
    TryShared(Value, usize),
    Unlock(Value),
    /// Whether anybody else has it.
    AskLock(Value, usize),
    /// Sleeps while the newest value of the location is this one.
    WaitEq(Value, Value),
    Wake(Value),
    End,
}
/// A value in the history of a location, and what its reader may learn from it. `glued`: nothing
/// can come between it and the one before.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Message {
    pub val: u8,
    pub view: View,
    pub glued: bool,
}
/// Where a thread is, its registers, its views, its store buffer.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Thread {
    pub pc: u8,
    pub dead: bool,
    pub done: bool,
    pub asleep: u8,
    pub r: Registers,
    pub cur: View,
    pub acq: View,
    pub rel: View,
    pub buf: Vec<(u8, u8)>,
}
/// Who has a lock alone, and who shared.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Lock {
    pub ex: u8,
    pub sh: u8,
    pub view: View,
}
/// Everything. `rd` and `wr` are the clocks of the last plain reads and writes of each location.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub mem: Vec<Vec<Message>>,
    pub threads: Vec<Thread>,
    pub sc: View,
    pub held: Vec<Lock>,
    pub rd: Vec<[u8; 6]>,
    pub wr: Vec<(u8, u8)>,
    pub kills: u8,
}
/// What a thread does.
pub struct Program {
    pub ops: Vec<Op>,
    pub killable: bool,
    pub r0: Registers,
    pub labels: HashMap<u8, u8>,
    pub name: &'static str,
}
/// What is to be checked: locations with their first values, locks, threads, deaths, and when the
/// search ends.
pub struct Model {
    pub locations: usize,
    pub locks: usize,
    pub init: Vec<(usize, u8)>,
    pub progs: Vec<Program>,
    pub kills: u8,
    pub memory: Memory,
    pub max: usize,
    pub names: Vec<String>,
    pub deadlock_ok: bool,
}
/// A program with its labels found.
pub fn prog(name: &'static str, ops: Vec<Op>, killable: bool, r0: Registers) -> Program {
    let mut labels = HashMap::new();
    for (i, o) in ops.iter().enumerate() {
        if let Label(n) = o {
            labels.insert(*n, i as u8);
        }
    }
    Program { ops, killable, r0, labels, name }
}

/// Raises a view to another.
pub fn join(a: &mut View, b: &View) {
    for i in 0..LOCATIONS {
        if b[i] > a[i] {
            a[i] = b[i]
        }
    }
}

impl Model {
    /// Threads.
    pub fn thread_count(&self) -> usize {
        self.progs.len()
    }
    /// Before the first step.
    pub fn initial(&self) -> State {
        let z = [0u8; LOCATIONS];
        let mut mem: Vec<Vec<Message>> =
            (0..self.locations).map(|_| vec![Message { val: 0, view: z, glued: false }]).collect();
        for &(l, v) in &self.init {
            mem[l][0].val = v
        }
        assert!(self.locations + self.thread_count() <= LOCATIONS);
        let mut s = State {
            mem,
            threads: self
                .progs
                .iter()
                .map(|p| Thread {
                    pc: 0,
                    dead: false,
                    done: false,
                    asleep: 0,
                    r: p.r0,
                    cur: z,
                    acq: z,
                    rel: z,
                    buf: vec![],
                })
                .collect(),
            sc: z,
            held: (0..self.locks).map(|_| Lock { ex: 0, sh: 0, view: z }).collect(),
            rd: vec![[0; 6]; self.locations],
            wr: vec![(0, 0); self.locations],
            kills: self.kills,
        };
        for t in 0..self.thread_count() {
            self.run_local(&mut s, t).expect("the first steps are computations");
        }
        s
    }
}
