//! `kvtool upgrade`: a new database with everything that is in a file of an older format version.
//!
//! The old file is read and nothing else. The new one exists as a whole or, after an error or
//! Ctrl-C, not at all.

use super::new_database::{NewDatabase, interrupted};
use super::salvage::{followed, renamed};
use super::{MADE, Status};
use crate::failure::{Failure, Outcome};
use crate::output::{JsonArg, Output};
use crate::progress::Progress;
use crate::signals::Interrupt;
use crate::text::grouped;
use recto::inspect::salvage::{SalvageOptions, SalvageReport, read_all};
use recto::inspect::{
    CheckOptions, FORMAT_VERSION, FilePages, MetaChoice, SlotState, check, open_meta,
};
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
    /// Where a meta page is refused, take the commit of the other one, as opening it would
    #[arg(long)]
    older: bool,
    #[command(flatten)]
    json: JsonArg,
}

const NOTES: &str = "\
FILE is checked and read, nothing else. Close all programs that have it open first: what
they have not flushed is not in it. Where anything is damaged there is no new database.

Example:
  kvtool upgrade old.recto -o new.recto && mv new.recto old.recto && rm -f old.recto-lock

Exit status: 0 done; 2 could not be done, and there is no new database unless standard
error says that there is.";

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
        let interrupt = Interrupt::default();
        interrupt.listen()?;
        let mut bar = Progress::items("upgrade", 0);
        let mut progress = |done, total| bar.set(done, total);
        let damaged = || {
            let advice = "`kvtool check` says where, `kvtool salvage` gets the rest out";
            Failure::at(file, format!("is damaged; {advice}"))
        };
        let checked = check(
            &pages,
            CheckOptions {
                progress: Some(&mut progress),
                cancelled: Some(interrupt.flag()),
                ..CheckOptions::default()
            },
        );
        let checked = checked.map_err(|e| Failure::engine(file, e))?;
        if checked.cancelled {
            return Err(interrupted());
        }
        if checked.fault_count > 0 {
            return Err(damaged());
        }
        let refused = checked.slots.iter().position(|slot| !matches!(slot, SlotState::Valid(_)));
        if let Some(slot) = refused.filter(|_| !self.older) {
            let why = match &checked.slots[slot] {
                SlotState::Refused(why) => why,
                _ => "it is empty",
            };
            let what = format!(
                "the newest commit may be missing, meta page {slot} is refused: {why}; after a power cut that is a commit that did not end, and --older takes the one before"
            );
            return Err(Failure::at(file, what));
        }
        let options =
            SalvageOptions { progress: Some(&mut progress), cancelled: Some(interrupt.flag()) };
        let report = read_all(&pages, options, &mut |pair| new.take(pair));
        drop(bar);
        if report.as_ref().is_ok_and(|report| !report.cancelled && !report.is_whole()) {
            return Err(damaged());
        }
        let report = new.end(file, report)?;
        Status::Fine.done(MADE, self.print(&report))
    }

    fn print(&self, report: &SalvageReport) -> Outcome<()> {
        let mut out = Output::plain(self.json)?;
        self.lines(report, &mut out)?;
        out.finish()
    }

    fn lines(&self, report: &SalvageReport, out: &mut Output) -> Outcome<()> {
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
            ("followed", followed(report)),
            ("tables", grouped(report.tables.len() as u64)),
            ("pairs", grouped(report.pairs())),
        ])
    }
}
