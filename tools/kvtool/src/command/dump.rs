//! `kvtool dump`: a table, or all, in the text format of LMDB's mdb_dump.

use super::Status;
use super::verify::{self, VerifyArg};
use crate::database::{ReadArg, SnapshotArg, TableArg, belongs_to_database, identity, lock_file};
use crate::dump::{Format, Writer};
use crate::failure::{Failure, Outcome};
use crate::pairs::{ALL, Pairs};
use crate::progress::Progress;
use recto::inspect::salvage::Part;
use recto::{Database, Error, Order, ReadTxn, TableInfo, TableOptions};
use std::collections::BTreeSet;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kvtool dump fruit.recto -o fruit.dump
  kvtool dump fruit.recto --all | mdb_load fruit.mdb

A table of sets has dupsort=1 in its header, and a key in front of each value. LMDB takes
values of sets of 1 to 511 bytes, and mdb_load leaves others out or ends there.")]
pub struct Dump {
    #[command(flatten)]
    file: ReadArg,
    #[command(flatten)]
    snapshot: SnapshotArg,
    /// Printable bytes as they are, not all in hexadecimal
    #[arg(short, long)]
    print: bool,
    /// All tables, each with its name
    #[arg(short, long, conflicts_with = "named")]
    all: bool,
    /// Write here, not to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    verify: VerifyArg,
    #[command(flatten)]
    table: TableArg,
}

impl Dump {
    pub fn run(self) -> Outcome<Status> {
        let file = self.file.path();
        let fail = |e| Failure::engine(file, e);
        let db = self.file.open()?;
        let page_size = db.info().map_err(fail)?.page_size;
        let txn = self.snapshot.read(&db).map_err(fail)?;
        // For sizes only, where they can be had: a damaged list of tables is the reader's to tell.
        let sizes = match txn.tables() {
            Err(Error::Corrupt { .. }) if !self.verify.no_verify => Vec::new(),
            other => other.map_err(fail)?,
        };
        let tables: Vec<TableInfo> =
            sizes.into_iter().filter(|t| self.all || t.name == self.table.name()).collect();
        let format = if self.print { Format::Print } else { Format::ByteValue };
        // A bar would end up among the lines.
        let shown = self.output.is_some() || !io::stdout().is_terminal();
        let pairs = tables.iter().map(|t| t.stats.pairs).sum();
        let mut sink = Sink {
            dump: &self,
            writer: None,
            format,
            map_size: map_size(&txn, &tables, page_size),
            progress: shown.then(|| Progress::items("dump", pairs)),
            begun: BTreeSet::new(),
            last: None,
        };
        let status = match self.verify.no_verify || self.snapshot.is_given() {
            true => self.plain(&txn, &tables, &mut sink)?,
            false => {
                drop(txn);
                self.verified(&db, &mut sink)?
            }
        };
        status.printed(sink.finish())
    }

    /// Pairs as a program reads them: without a look at checksums.
    fn plain(&self, txn: &ReadTxn, tables: &[TableInfo], sink: &mut Sink<'_>) -> Outcome<Status> {
        let fail = |e| Failure::engine(self.file.path(), e);
        if tables.is_empty() && !self.all {
            return Err(fail(Error::NoSuchTable(self.table.name().into())));
        }
        for table in tables {
            let there = Pairs::open(txn, &table.name).map_err(fail)?;
            sink.table(&table.name, &table.options, there.sequence())?;
            for pair in there.pairs(ALL).map_err(fail)? {
                let (key, value) = pair.map_err(fail)?;
                sink.pair(&key, &value)?;
            }
        }
        Ok(Status::Fine)
    }

    fn verified(&self, db: &Database, sink: &mut Sink<'_>) -> Outcome<Status> {
        let table = (!self.all).then(|| self.table.name());
        let part = Part { table, ..Part::default() };
        let go_on = AtomicBool::new(false);
        let report = verify::read(db, self.file.path(), part, &go_on, &mut |pair| {
            sink.table(pair.table, pair.options, pair.sequence)?;
            sink.pair(pair.key, pair.value)
        })?;
        // Those without pairs are tables too.
        for table in &report.tables {
            sink.table(&table.name, &table.options, table.sequence)?;
        }
        Ok(verify::tell(&report))
    }

    fn open(&self) -> Outcome<File> {
        match &self.output {
            Some(path) => self.create(path),
            None => {
                io::stdout().as_fd().try_clone_to_owned().map(File::from).map_err(Failure::output)
            }
        }
    }

    /// The file to write to. Fails if the one that is there would be missed: a database, this one
    /// above all, or a lock file, which others have mapped.
    fn create(&self, path: &Path) -> Outcome<File> {
        let cannot = |e| self.cannot_write(e);
        let spared = || Failure::at(path, "belongs to a database; choose another place with -o");
        let own = [self.file.path().to_owned(), lock_file(self.file.path())];
        let is_own = |meta: &Metadata| {
            own.iter().any(|own| own.metadata().is_ok_and(|own| identity(&own) == identity(meta)))
        };
        match path.metadata() {
            Ok(there) if !there.is_file() => {
                return OpenOptions::new().write(true).open(path).map_err(cannot);
            }
            Ok(_) => {}
            // The place of the lock file is taken, also where there is none.
            Err(_) if resolved(path) == own[1] => return Err(spared()),
            Err(_) => {}
        }
        // Emptied only when it is known what it is.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(cannot)?;
        let there = file.metadata().map_err(cannot)?;
        if is_own(&there) || belongs_to_database(&file).map_err(cannot)? {
            return Err(spared());
        }
        file.set_len(0).map_err(cannot)?;
        Ok(file)
    }

    fn cannot_write(&self, error: io::Error) -> Failure {
        match &self.output {
            Some(path) => Failure::at(path, format!("{error}; choose another place with -o")),
            None => Failure::output(error),
        }
    }
}

/// Where the lines go.
struct Sink<'a> {
    dump: &'a Dump,
    /// Made with the first line: what fails before leaves the output alone.
    writer: Option<Writer<BufWriter<File>>>,
    format: Format,
    map_size: u64,
    progress: Option<Progress>,
    /// Tables that have been begun; the last of them is still open.
    begun: BTreeSet<String>,
    last: Option<String>,
}

impl Sink<'_> {
    fn writer(&mut self) -> Outcome<&mut Writer<BufWriter<File>>> {
        if self.writer.is_none() {
            let out = BufWriter::with_capacity(1 << 16, self.dump.open()?);
            self.writer = Some(Writer::new(out, self.format));
        }
        self.writer.as_mut().ok_or(Failure::ClosedPipe)
    }

    /// What follows belongs to this table. Pairs of one table come in one piece.
    fn table(&mut self, name: &str, options: &TableOptions, sequence: u64) -> Outcome<()> {
        if self.last.as_deref() == Some(name) || self.begun.contains(name) {
            return Ok(());
        }
        let dump = self.dump;
        if name.contains('\n') {
            let what = "has a line break in its name, which a dump cannot carry; rename it";
            return Err(Failure::at(dump.file.path(), format!("table {name:?} {what}")));
        }
        let order = match &options.order {
            Order::Custom(name) => &name[..],
            _ => "",
        };
        let names = [&options.key_type, &options.value_type, order];
        if names.iter().any(|name| name.contains('\n')) {
            let what =
                "has a line break in the name of a type or an order, which a dump cannot carry";
            return Err(Failure::at(dump.file.path(), format!("table {name:?} {what}")));
        }
        self.end()?;
        self.begun.insert(name.to_owned());
        self.last = Some(name.to_owned());
        // Without a name it is the one that mdb_load and `kvtool load` take when none is given.
        let named = dump.all || dump.table.named.is_some();
        let map_size = self.map_size;
        let begun = self.writer()?.begin(named.then_some(name), options, sequence, map_size);
        begun.map_err(|e| dump.cannot_write(e))
    }

    fn pair(&mut self, key: &[u8], value: &[u8]) -> Outcome<()> {
        let dump = self.dump;
        self.writer()?.pair(key, value).map_err(|e| dump.cannot_write(e))?;
        if let Some(progress) = &mut self.progress {
            progress.add(1);
        }
        Ok(())
    }

    /// Ends the table that is open.
    fn end(&mut self) -> Outcome<()> {
        let dump = self.dump;
        match self.last.take() {
            Some(_) => self.writer()?.end().map_err(|e| dump.cannot_write(e)),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Outcome<()> {
        self.end()?;
        let dump = self.dump;
        // A database without tables gives an empty dump.
        self.writer()?;
        let Some(writer) = self.writer.take() else { return Ok(()) };
        writer.into_inner().flush().map_err(|e| dump.cannot_write(e))
    }
}

/// The path without symbolic links in the directories that lead to it.
fn resolved(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match (parent.unwrap_or(Path::new(".")).canonicalize(), path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

/// A map large enough for `mdb_load` to take all tables in, which it cannot enlarge. Pages of LMDB
/// hold each key whole, and those of a load in order are half full, as are the branches above them:
/// at worst that is five times the bytes.
fn map_size(txn: &ReadTxn, tables: &[TableInfo], page_size: u32) -> u64 {
    const STEP: u64 = 1 << 20;
    /// What LMDB adds to a pair.
    const HEAD: u64 = 16;
    let bytes = |table: &TableInfo| {
        let stats = &table.stats;
        let pages = stats.branch_pages + stats.leaf_pages + stats.overflow_pages + 1;
        pages * u64::from(page_size) + stats.pairs * HEAD + key_bytes(txn, table)
    };
    let bytes = tables.iter().map(bytes).sum::<u64>();
    (bytes * 8 + STEP).next_multiple_of(STEP)
}

/// Bytes of the keys of a table, which share prefixes in its pages, and of values of sets, which
/// are kept like keys; of more than a million, or behind damage, those that have not been looked at
/// count as the longest that LMDB takes.
fn key_bytes(txn: &ReadTxn, table: &TableInfo) -> u64 {
    const LOOKED_AT: u64 = 1 << 20;
    const LONGEST: u64 = 511;
    let mut left = table.stats.pairs;
    let enough = left.saturating_sub(LOOKED_AT);
    let mut bytes = 0;
    let mut look = |range: &mut dyn FnMut() -> Option<usize>| {
        while left > enough
            && let Some(len) = range()
        {
            bytes += len as u64;
            left -= 1;
        }
    };
    match Pairs::open(txn, &table.name) {
        Ok(Pairs::Map(map)) => {
            if let Ok(mut range) = map.iter() {
                look(&mut || Some(range.next_ref().ok()??.0.len()));
            }
        }
        Ok(Pairs::Sets(sets)) => {
            if let Ok(mut pairs) = sets.pairs(ALL) {
                look(&mut || pairs.next()?.ok().map(|(key, value)| key.len() + value.len()));
            }
        }
        Err(_) => {}
    }
    bytes + left * LONGEST
}
