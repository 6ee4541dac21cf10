//! The processes that are killed: this program again, with a role.
//!
//! A role says `lost` and why on standard output when it sees what must not be, and ends with code
//! 1. It ends by itself when its parent is gone. Standard input brings orders.

mod agent;
mod opener;
mod reader;
mod writer;

use super::acks::{self, Lane, LaneLog};
use super::content::{self, Habit, Row};
use super::point::{self, Order};
use clap::{Args, ValueEnum};
use recto::{Builder, Database, Durability, ReadTxn, Sink};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a process is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Role {
    /// Writes in its lanes, with a thread for each, until it is killed.
    Writer,
    /// Reads and compares until it is killed.
    Reader,
    /// Opens, writes once, and ends.
    Opener,
    /// Does what it is told and answers.
    Agent,
}

/// A role with everything that goes with it.
#[derive(Args, Clone, Debug)]
pub struct Child {
    /// What it is.
    pub role: Role,
    /// Where the database and the logs lie.
    pub dir: PathBuf,
    /// Lanes there are.
    #[arg(long, default_value_t = 1)]
    pub lanes: u64,
    /// Lanes that are its own.
    #[arg(long, value_delimiter = ',')]
    pub own: Vec<u64>,
    /// Seed of what it does.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Dirty pages go through the writable map.
    #[arg(long)]
    pub direct: bool,
    /// Page size of a new database.
    #[arg(long, default_value_t = 4096)]
    pub page_size: usize,
    /// Entries in a manifest.
    #[arg(long, default_value_t = usize::MAX)]
    pub manifest: usize,
    /// Entries in the lists of free pages.
    #[arg(long, default_value_t = usize::MAX)]
    pub lists: usize,
    /// Step of growth in bytes.
    #[arg(long, default_value_t = 256 << 10)]
    pub growth: u64,
    /// Bytes of the stage.
    #[arg(long, default_value_t = 64 << 20)]
    pub stage: usize,
    /// Addresses to reserve in bytes; 0 for the engine's choice.
    #[arg(long, default_value_t = 0)]
    pub reserve: usize,
    /// The lock file, if not beside the data.
    #[arg(long)]
    pub lock: Option<PathBuf>,
    /// Opens for reading only.
    #[arg(long)]
    pub read_only: bool,
    /// Has the database to itself.
    #[arg(long)]
    pub alone: bool,
    /// Becomes this user first.
    #[arg(long)]
    pub user: Option<u32>,
    /// Makes large tables and drops them.
    #[arg(long)]
    pub bulky: bool,
    /// What happens to it where.
    #[arg(long)]
    pub order: Option<Order>,
    /// Runs in a pid namespace of its own.
    #[arg(long)]
    pub nested: bool,
    /// Breaks the harness on purpose: acknowledges before the commit.
    #[arg(long)]
    pub early: bool,
    /// How long it waits for others to open, in milliseconds.
    #[arg(long, default_value_t = 30_000)]
    pub patience: u64,
}

impl Child {
    /// A role with the defaults of the engine.
    pub fn new(role: Role, dir: &Path, lanes: u64) -> Child {
        Child {
            role,
            dir: dir.to_owned(),
            lanes,
            own: Vec::new(),
            seed: 0,
            direct: false,
            page_size: 4096,
            manifest: usize::MAX,
            lists: usize::MAX,
            growth: 256 << 10,
            stage: 64 << 20,
            reserve: 0,
            lock: None,
            read_only: false,
            alone: false,
            user: None,
            bulky: false,
            order: None,
            nested: false,
            early: false,
            patience: 30_000,
        }
    }

    /// The arguments that make it.
    pub fn to_args(&self) -> Vec<OsString> {
        let role = self.role.to_possible_value().expect("no role is skipped");
        let mut args: Vec<OsString> = vec![role.get_name().into(), self.dir.clone().into()];
        let own: Vec<String> = self.own.iter().map(u64::to_string).collect();
        for (name, value) in [
            ("lanes", self.lanes.to_string()),
            ("seed", self.seed.to_string()),
            ("page-size", self.page_size.to_string()),
            ("manifest", self.manifest.to_string()),
            ("lists", self.lists.to_string()),
            ("growth", self.growth.to_string()),
            ("stage", self.stage.to_string()),
            ("reserve", self.reserve.to_string()),
            ("patience", self.patience.to_string()),
        ] {
            args.push(format!("--{name}={value}").into());
        }
        if !own.is_empty() {
            args.push(format!("--own={}", own.join(",")).into());
        }
        if let Some(lock) = &self.lock {
            args.extend(["--lock".into(), lock.clone().into_os_string()]);
        }
        if let Some(user) = self.user {
            args.push(format!("--user={user}").into());
        }
        if let Some(order) = &self.order {
            args.push(format!("--order={order}").into());
        }
        let flags = [
            ("--direct", self.direct),
            ("--read-only", self.read_only),
            ("--alone", self.alone),
            ("--bulky", self.bulky),
            ("--nested", self.nested),
            ("--early", self.early),
        ];
        args.extend(flags.iter().filter(|(_, on)| *on).map(|(name, _)| name.into()));
        args
    }

    /// The database.
    pub fn path(&self) -> PathBuf {
        self.dir.join("x.recto")
    }

    fn habit(&self) -> Habit {
        if self.bulky { Habit::Bulky } else { Habit::Mixed }
    }

    fn builder(&self) -> Builder {
        let mut builder = Builder::default();
        builder.sink(if self.direct { Sink::Direct } else { Sink::Staged });
        builder.page_size(self.page_size).manifest_limit(self.manifest).growth_step(self.growth);
        builder.free_limit(self.lists);
        builder.stage_bytes(self.stage).read_only(self.read_only).exclusive(self.alone);
        builder.open_timeout(Duration::from_millis(self.patience));
        if self.reserve != 0 {
            builder.reserve(self.reserve);
        }
        if let Some(lock) = &self.lock {
            builder.lock_file(lock);
        }
        builder
    }

    fn open(&self) -> recto::Result<Database> {
        // SAFETY: the campaign owns the directory; nothing but recto touches the files while a
        // process has them open.
        unsafe { self.builder().open(self.path()) }
    }

    /// Is the child, to its end.
    pub fn be(mut self) -> ! {
        die_with_parent();
        // SAFETY: a number. Other users of the campaign have to read the logs.
        unsafe { libc::umask(0o022) };
        if std::mem::take(&mut self.nested) {
            nest(&self);
        }
        if let Some(user) = self.user {
            become_user(user);
        }
        std::panic::set_hook(Box::new(|info| lost(format!("panic: {info}"))));
        if let Some(order) = self.order.take() {
            point::obey(order);
        }
        let done = match self.role {
            Role::Writer => writer::run(&self),
            Role::Reader => reader::run(&self),
            Role::Opener => opener::run(&self),
            Role::Agent => agent::run(&self),
        };
        match done {
            Ok(()) => std::process::exit(0),
            Err(why) => lost(why),
        }
    }
}

/// Says what is lost, and ends.
fn lost(why: impl std::fmt::Display) -> ! {
    say(&format!("lost {why}"));
    std::process::exit(1);
}

/// One line for the parent.
fn say(line: &str) {
    let text = line.replace('\n', " ") + "\n";
    // Whether it is heard is the parent's affair.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// In words, with what was being done.
fn told<T>(result: recto::Result<T>, what: &str) -> Result<T, String> {
    result.map_err(|e| format!("{what}: {e} ({e:?})"))
}

/// The kernel kills this process when its parent dies.
fn die_with_parent() {
    // SAFETY: numbers only.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Runs the role as the first process of a pid namespace, says its number, and ends as it ends.
fn nest(child: &Child) -> ! {
    // SAFETY: numbers only; this process has one thread. Its children are in the new namespace.
    if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
        lost(format!("unshare: {}", std::io::Error::last_os_error()));
    }
    let exe = std::env::current_exe().expect("this program");
    let args = child.to_args();
    let started = Command::new(exe).args(["kill", "child"]).args(args).spawn();
    let mut inner = started.unwrap_or_else(|e| lost(format!("starting: {e}")));
    say(&format!("inner {}", inner.id()));
    let status = inner.wait().unwrap_or_else(|e| lost(format!("waiting: {e}")));
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        // SAFETY: to this process itself.
        unsafe { libc::kill(libc::getpid(), signal) };
    }
    std::process::exit(status.code().unwrap_or(2));
}

/// Makes this process, which must have one thread, somebody else for good.
pub fn change_user(user: u32) -> bool {
    // SAFETY: numbers only, and no groups.
    unsafe {
        libc::setgroups(0, std::ptr::null()) == 0
            && libc::setgid(user) == 0
            && libc::setuid(user) == 0
    }
}

fn become_user(user: u32) {
    if !change_user(user) {
        lost(format!("cannot become user {user}: {}", std::io::Error::last_os_error()));
    }
    // The kernel has forgotten it.
    die_with_parent();
}

/// Obeys orders from standard input in a thread of its own, and ends with its parent.
fn listen() {
    std::thread::spawn(|| {
        for line in std::io::stdin().lines() {
            let line = line.unwrap_or_default();
            if line == "beat" {
                BEATS.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            match line.parse() {
                Ok(order) => point::obey(order),
                Err(why) => lost(why),
            }
        }
        std::process::exit(0);
    });
}

/// How often this process was asked for a sign of life.
static BEATS: AtomicU64 = AtomicU64::new(0);

/// Gives a sign of life if one was asked for since `last`: a thread that hangs does not come here.
fn beat(last: &mut u64) {
    let now = BEATS.load(Ordering::Relaxed);
    if std::mem::replace(last, now) != now {
        say("beat");
    }
}

/// Reads the visible snapshot, compares all of it with the logs, and returns it with its rows.
fn look(child: &Child, db: &Database) -> Result<(ReadTxn, Vec<Row>), String> {
    let logs = || acks::tails(&child.dir, child.lanes).map_err(|e| format!("the logs: {e}"));
    let before = logs()?;
    let txn = told(db.read(), "read")?;
    let rows = content::verify(&txn, child.lanes)?;
    let after = logs()?;
    for (lane, row) in (0..).zip(&rows) {
        let (b, a) = (&before[lane], &after[lane]);
        if !agrees(b, a, row.seq) {
            let id = txn.id();
            return Err(format!(
                "snapshot {id}, lane {lane}: {row:?}, but {b:?} before, {a:?} after"
            ));
        }
    }
    Ok((txn, rows))
}

/// Whether a snapshot that was begun between two looks at a log may have the lane at `seq`.
fn agrees(before: &Lane, after: &Lane, seq: u64) -> bool {
    if before == after { before.allows(seq) } else { before.acked <= seq && seq <= after.begun }
}

/// What the dead had built, and nobody has seen, shows with the next commit, or is gone.
fn show_all(db: &Database) -> Result<(), String> {
    let mut txn = told(db.write(), "begin")?;
    txn.set_durability(Durability::Durable);
    let id = txn.id();
    told(told(txn.open_table("notes"), "open a table")?.put(b"shown", &id.to_le_bytes()), "put")?;
    told(txn.commit(), "commit")
}

/// What the lane's last writer left. From here on it is known, whatever was known before.
fn take_over(child: &Child, db: &Database, log: &mut LaneLog, lane: u64) -> Result<Row, String> {
    show_all(db)?;
    let rows = content::verify(&told(db.read(), "read")?, child.lanes)?;
    let row = rows[lane as usize];
    if !log.lane.allows(row.seq) {
        return Err(format!("{row:?} is what a killed writer left, but {:?}", log.lane));
    }
    log.adopt(row.seq, row.txn).map_err(|e| e.to_string())?;
    Ok(row)
}

/// What a reader has seen: neither snapshots nor rows ever go back.
#[derive(Default)]
struct Seen {
    id: u64,
    rows: Vec<u64>,
}

impl Seen {
    fn check(&mut self, txn: &ReadTxn, rows: &[Row]) -> Result<(), String> {
        if txn.id() < self.id {
            return Err(format!("read {}, then {}", self.id, txn.id()));
        }
        let rows: Vec<u64> = rows.iter().map(|row| row.seq).collect();
        if self.rows.iter().zip(&rows).any(|(then, now)| now < then) {
            return Err(format!("lanes went back from {:?} to {rows:?}", self.rows));
        }
        *self = Seen { id: txn.id(), rows };
        Ok(())
    }
}
