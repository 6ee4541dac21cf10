//! `kvtool salvage`: a new database with everything that can be got out of a damaged file.
//!
//! The damaged file is read and nothing else. The new one exists as a whole or, after an error or
//! Ctrl-C, not at all.

use super::new_database::NewDatabase;
use super::{MADE, Status};
use crate::failure::{Failure, Outcome};
use crate::output::{JsonArg, Output};
use crate::progress::Progress;
use crate::signals::Interrupt;
use crate::text::{Notation, grouped, one_line};
use recto::inspect::salvage::{Loss, SalvageOptions, SalvageReport, Source, salvage};
use recto::inspect::{FilePages, SlotState};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Salvage {
    /// The damaged file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The new database; must not exist
    #[arg(short, long, value_name = "NEW")]
    output: PathBuf,
    #[command(flatten)]
    json: JsonArg,
}

const NOTES: &str = "\
FILE is only read; nobody should write to it meanwhile. Every pair comes out whose page
still verifies, also without meta pages, catalog or branches. What cannot be proved to
belong to a table, or to be its newest state, is put aside in tables of its own, named
lost+found/LEVEL-PAGE after the page it hangs on. `kvtool rename` gives such a table the
name it had; where that is taken, `kvtool dump` and `kvtool load -t` put the two together.

Sets of several values are put aside in lost+found/LEVEL-PAGE-sets, beside those keys of
their table that had one value. Values whose key is lost are keys there, without values.

Example:
  kvtool salvage damaged.recto -o saved.recto

Exit status: 0 nothing is missing; 1 something is, and standard output says what; 2 could
not be done, and there is no new database unless standard error says that there is.";

impl Salvage {
    pub fn run(self) -> Outcome<Status> {
        let file = &self.file;
        let mut new = NewDatabase::at(&self.output)?;
        let pages = FilePages::open(file).map_err(|e| Failure::engine(file, e))?;
        let interrupt = Interrupt::default();
        interrupt.listen()?;
        let mut bar = Progress::items("salvage", 0);
        let mut progress = |done, total| bar.set(done, total);
        let options =
            SalvageOptions { progress: Some(&mut progress), cancelled: Some(interrupt.flag()) };
        let report = salvage(&pages, options, &mut |pair| new.take(pair));
        drop(bar);
        let report = new.end(file, report)?;
        let status = if report.is_whole() { Status::Fine } else { Status::No };
        status.done(MADE, self.print(&report))
    }

    fn print(&self, report: &SalvageReport) -> Outcome<()> {
        let mut out = Output::plain(self.json)?;
        self.lines(report, &mut out)?;
        out.finish()
    }

    fn lines(&self, report: &SalvageReport, out: &mut Output) -> Outcome<()> {
        if out.is_json() {
            let object = self.object(report, out);
            return out.object(&object);
        }
        let whole = report.tables.iter().filter(|table| table.is_whole()).count();
        out.fields(&[
            ("path", self.file.display().to_string()),
            ("new", self.output.display().to_string()),
            ("followed", followed(report)),
            (
                "tables",
                format!(
                    "{} ({} whole)",
                    grouped(report.tables.len() as u64),
                    grouped(whole as u64)
                ),
            ),
            ("pairs", grouped(report.pairs() - report.aside_pairs)),
            (
                "put aside",
                format!(
                    "{} in {} tables",
                    grouped(report.aside_pairs),
                    grouped(report.aside_count)
                ),
            ),
            ("found again", format!("{} pages", grouped(report.found_again))),
            ("losses", grouped(report.loss_count)),
        ])?;
        for loss in &report.losses {
            out.line(&loss_line(loss))?;
        }
        more(out, report.loss_count, report.losses.len())?;
        for aside in &report.aside {
            let perhaps = match &aside.perhaps[..] {
                [] => String::new(),
                tables => format!(", perhaps of {tables:?}"),
            };
            let (name, born) = (&aside.name, aside.birth);
            let tables = [("", aside.pairs - aside.set_pairs), ("-sets", aside.set_pairs)];
            for (kind, pairs) in tables.into_iter().filter(|(_, pairs)| *pairs > 0) {
                let pairs = grouped(pairs);
                let line = format!("{name}{kind}: {pairs} pairs, written in {born}{perhaps}");
                out.line(&one_line(&line))?;
            }
        }
        more(out, report.aside_count, report.aside.len())?;
        renamed(report, out)?;
        for table in report.tables.iter().filter(|table| !table.is_whole()) {
            let had = table.had.map_or("an unknown number".into(), grouped);
            let line = format!("table {:?}: {} of {had} pairs", table.name, grouped(table.pairs));
            out.line(&one_line(&line))?;
        }
        Ok(())
    }

    fn object(&self, report: &SalvageReport, out: &Output) -> Value {
        let key = |key: &Option<Vec<u8>>| key.as_ref().map(|key| out.json_value(key));
        let tables: Vec<Value> = report
            .tables
            .iter()
            .map(|t| {
                json!({ "name": t.name, "renamed": t.renamed, "had": t.had, "pairs": t.pairs, "bytes": t.bytes,
                        "lost_pages": t.lost_pages, "whole": t.is_whole() })
            })
            .collect();
        let aside: Vec<Value> = report
            .aside
            .iter()
            .map(|a| {
                json!({ "name": a.name, "page": a.page.0, "level": a.level, "written_in": a.birth.0,
                        "pairs": a.pairs, "set_pairs": a.set_pairs, "perhaps": a.perhaps })
            })
            .collect();
        let losses: Vec<Value> = report
            .losses
            .iter()
            .map(|l| {
                json!({ "table": l.table, "page": l.page.0, "level": l.level, "from": key(&l.from),
                        "to": key(&l.to), "why": l.why })
            })
            .collect();
        json!({
            "path": self.file.to_string_lossy(),
            "new": self.output.to_string_lossy(),
            "whole": report.is_whole(),
            "followed": followed(report),
            "transaction": report.txn.0,
            "page_size": report.page_size,
            "pages": report.pages,
            "pairs": report.pairs() - report.aside_pairs,
            "aside_pairs": report.aside_pairs,
            "aside_count": report.aside_count,
            "found_again": report.found_again,
            "space_known": report.space_known,
            "loss_count": report.loss_count,
            "tables": tables,
            "aside": aside,
            "losses": losses,
        })
    }
}

fn more(out: &mut Output, count: u64, shown: usize) -> Outcome<()> {
    match count.saturating_sub(shown as u64) {
        0 => Ok(()),
        more => out.line(&format!("... and {} more", grouped(more))),
    }
}

/// A line for each table that has another name than it had.
pub fn renamed(report: &SalvageReport, out: &mut Output) -> Outcome<()> {
    for table in &report.tables {
        if let Some(was) = &table.renamed {
            out.line(&one_line(&format!("table {:?}: its name was {was:?}", table.name)))?;
        }
    }
    Ok(())
}

/// Which tree it was, and what is to be known about the other one.
pub fn followed(report: &SalvageReport) -> String {
    let txn = report.txn;
    let other = report.slots.iter().find_map(|slot| match slot {
        SlotState::Refused(why) => Some(format!("; the other meta page: {why}")),
        _ => None,
    });
    let other = other.unwrap_or_default();
    match report.source {
        Source::Meta(slot) => format!("transaction {txn}, meta page {slot}{other}"),
        Source::RefusedMeta(slot) => format!("transaction {txn}, refused meta page {slot}{other}"),
        Source::Catalog(page) => {
            format!("transaction {txn}, by its catalog in page {page}: no meta page is left")
        }
        Source::Snapshot => format!("transaction {txn}{other}"),
        Source::Nothing => "nothing: no meta page and no catalog is left".into(),
        _ => format!("transaction {txn}"),
    }
}

/// A loss on one line: table, page, keys, and why.
pub fn loss_line(loss: &Loss) -> String {
    let notation = Notation::Escaped;
    let table =
        if loss.table.is_empty() { String::new() } else { format!("table {:?}: ", loss.table) };
    let page = if loss.page.0 == 0 { String::new() } else { format!("page {}", loss.page) };
    let what = match (loss.level, &loss.from, &loss.to) {
        (None, Some(key), _) => format!(", the value of {}", notation.shown(key)),
        (None, None, _) => String::new(),
        (Some(_), Some(key), Some(to)) if [key, &[0][..]].concat() == *to => {
            format!(", values of {}", notation.shown(key))
        }
        (Some(level), from, to) => {
            let from = from.as_ref().map_or("the first key".into(), |key| notation.shown(key));
            let to = to.as_ref().map_or("the end".into(), |key| notation.shown(key));
            format!(" of level {level}, keys from {from} to {to}")
        }
    };
    let colon = if page.is_empty() && what.is_empty() { "" } else { ": " };
    one_line(&format!("{table}{page}{what}{colon}{}", loss.why))
}
