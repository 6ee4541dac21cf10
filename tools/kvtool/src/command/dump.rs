//! `kvtool dump`: a table, or all, in the text format of LMDB's mdb_dump.

use super::Status;
use crate::database::{ReadArg, TableArg};
use crate::dump::{Format, Writer};
use crate::failure::{Failure, Outcome};
use crate::progress::Progress;
use recto::{ReadTxn, TableInfo};
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub struct Dump {
    #[command(flatten)]
    file: ReadArg,
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
    table: TableArg,
}

impl Dump {
    pub fn run(self) -> Outcome<Status> {
        let file = self.file.path();
        let fail = |e| Failure::engine(file, e);
        let db = self.file.open()?;
        let page_size = db.info().map_err(fail)?.page_size;
        let txn = db.read().map_err(fail)?;
        let mut tables = txn.tables().map_err(fail)?;
        if !self.all {
            tables.retain(|t| t.name == self.table.name());
            if tables.is_empty() {
                return Err(fail(recto::Error::NoSuchTable(self.table.name().into())));
            }
        }
        if let Some(t) = tables.iter().find(|t| t.name.contains('\n')) {
            let what = "has a line break in its name, which a dump cannot carry; rename it";
            return Err(Failure::at(file, format!("table {:?} {what}", t.name)));
        }
        let format = if self.print { Format::Print } else { Format::ByteValue };
        let mut writer = Writer::new(BufWriter::with_capacity(1 << 16, self.open()?), format);
        // A bar would end up among the lines.
        let shown = self.output.is_some() || !io::stdout().is_terminal();
        let pairs = tables.iter().map(|t| t.stats.entries).sum();
        let mut progress = shown.then(|| Progress::items("dump", pairs));
        for table in &tables {
            self.table(&txn, table, map_size(&tables, page_size), &mut writer, &mut progress)?;
        }
        let mut out = writer.into_inner();
        out.flush().map_err(|e| self.cannot_write(e))?;
        Ok(Status::Fine)
    }

    fn table(
        &self,
        txn: &ReadTxn,
        table: &TableInfo,
        map_size: u64,
        writer: &mut Writer<BufWriter<File>>,
        progress: &mut Option<Progress>,
    ) -> Outcome<()> {
        let fail = |e| Failure::engine(self.file.path(), e);
        // Without a name it is the one that mdb_load and `kvtool load` take when none is given.
        let named = self.all || self.table.named.is_some();
        let name = named.then_some(&table.name[..]);
        writer.begin(name, map_size).map_err(|e| self.cannot_write(e))?;
        for pair in txn.table(&table.name).and_then(|t| t.iter()).map_err(fail)? {
            let (key, value) = pair.map_err(fail)?;
            writer.pair(&key, value).map_err(|e| self.cannot_write(e))?;
            if let Some(progress) = progress {
                progress.add(1);
            }
        }
        writer.end().map_err(|e| self.cannot_write(e))
    }

    fn open(&self) -> Outcome<File> {
        match &self.output {
            Some(path) => File::create(path).map_err(|e| self.cannot_write(e)),
            None => {
                io::stdout().as_fd().try_clone_to_owned().map(File::from).map_err(Failure::output)
            }
        }
    }

    fn cannot_write(&self, error: io::Error) -> Failure {
        match &self.output {
            Some(path) => Failure::at(path, format!("{error}; choose another place with -o")),
            None => Failure::output(error),
        }
    }
}

/// A map large enough for `mdb_load` to take all tables in: four times their pages here.
fn map_size(tables: &[TableInfo], page_size: u32) -> u64 {
    const STEP: u64 = 1 << 20;
    let pages = |t: &TableInfo| t.stats.branch_pages + t.stats.leaf_pages + t.stats.overflow_pages;
    let bytes = tables.iter().map(pages).sum::<u64>() * u64::from(page_size);
    (bytes * 4 + STEP).next_multiple_of(STEP)
}
