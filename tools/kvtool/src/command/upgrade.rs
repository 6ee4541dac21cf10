//! `kvtool upgrade`: a new database with everything that is in a file of an older format version.
//!
//! The old file is read and nothing else. The new one exists as a whole or, after an error or
//! Ctrl-C, not at all.

use super::new_database::NewDatabase;
use super::salvage::renamed;
use super::{Interrupt, Status};
use crate::failure::{Failure, Outcome};
use crate::output::{JsonArg, Output};
use crate::progress::Progress;
use crate::text::grouped;
use recto::inspect::salvage::{SalvageOptions, SalvageReport, salvage};
use recto::inspect::{FORMAT_VERSION, FilePages, MetaChoice, open_meta};
use serde_json::json;
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Upgrade {
    /// The database of an older version
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The new database; must not exist
    #[arg(short, long, value_name = "NEW")]
    output: PathBuf,
    #[command(flatten)]
    json: JsonArg,
}

const NOTES: &str = "\
FILE is only read, each page and value compared with its checksum. Close all programs that
have it open first: what they have not flushed is not in it. Where anything is damaged
there is no new database.

Example:
  kvtool upgrade old.recto -o new.recto && mv new.recto old.recto && rm -f old.recto-lock

Exit status: 0 done; 2 could not be done, and there is no new database.";

impl Upgrade {
    pub fn run(self) -> Outcome<Status> {
        let file = &self.file;
        let mut new = NewDatabase::at(&self.output)?;
        let pages = FilePages::open(file).map_err(|e| Failure::engine(file, e))?;
        let meta = open_meta(&pages, &MetaChoice::Newest).map_err(|e| Failure::engine(file, e))?;
        if meta.summary.version == FORMAT_VERSION {
            let what = format!("is of format version {FORMAT_VERSION} already; nothing to do");
            return Err(Failure::at(file, &what));
        }
        let interrupt = Interrupt::listen()?;
        let mut bar = Progress::items("upgrade", 0);
        let mut progress = |done, total| bar.set(done, total);
        let options =
            SalvageOptions { progress: Some(&mut progress), cancelled: Some(interrupt.flag()) };
        let report = salvage(&pages, options, &mut |pair| new.take(pair));
        drop(bar);
        let report = match report {
            Ok(report) if report.cancelled => Err(Failure::said("interrupted; nothing was made")),
            Ok(report) if !report.is_whole() => Err(Failure::at(
                file,
                "is damaged; `kvtool check` says where, `kvtool salvage` gets the rest out",
            )),
            Ok(report) => {
                new.finish(&report).map(|()| report).map_err(|e| Failure::engine(&self.output, e))
            }
            // An error about writing is one of the new database.
            Err(e) if new.failed => Err(Failure::engine(&self.output, e)),
            Err(e) => Err(Failure::engine(file, e)),
        };
        let report = report.inspect_err(|_| new.remove())?;
        let mut out = Output::plain(self.json)?;
        self.print(&report, &mut out)?;
        out.finish()?;
        Ok(Status::Fine)
    }

    fn print(&self, report: &SalvageReport, out: &mut Output) -> Outcome<()> {
        if out.is_json() {
            let tables: Vec<_> = report
                .tables
                .iter()
                .map(|t| json!({ "name": t.name, "renamed": t.renamed, "pairs": t.pairs }))
                .collect();
            return out.object(&json!({
                "path": self.file.to_string_lossy(),
                "new": self.output.to_string_lossy(),
                "from_version": report.version,
                "to_version": FORMAT_VERSION,
                "transaction": report.txn.0,
                "pairs": report.pairs(),
                "tables": tables,
            }));
        }
        renamed(report, out)?;
        out.fields(&[
            ("path", self.file.display().to_string()),
            ("new", self.output.display().to_string()),
            ("version", format!("{} to {FORMAT_VERSION}", report.version)),
            ("transaction", report.txn.to_string()),
            ("tables", grouped(report.tables.len() as u64)),
            ("pairs", grouped(report.pairs())),
        ])
    }
}
