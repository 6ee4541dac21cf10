//! `kvtool stat`: how the pages of each table are used. Reads every page, as `check` does.

use super::Status;
use crate::database::ReadArg;
use crate::failure::{Failure, Outcome};
use crate::output::{JsonArg, Output};
use crate::progress::Progress;
use crate::text::{grouped, one_line};
use recto::Report;
use recto::inspect::TableStats;
use serde_json::{Value, json};

/// Characters of a bar that stands for all of the file, or for a full page.
const BAR: usize = 24;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  kvtool stat fruit.recto

The first bar is a table's share of the file, the second how full its leaf pages are.
Pages in random order are about 70 % full, in ascending order nearly full.

Exit status 1: the file is damaged, and the figures are of what could be read.")]
pub struct Stat {
    #[command(flatten)]
    file: ReadArg,
    /// Only this table (default: all)
    #[arg(short = 't', long = "table", value_name = "TABLE")]
    named: Option<String>,
    #[command(flatten)]
    json: JsonArg,
}

impl Stat {
    pub fn run(self) -> Outcome<Status> {
        let fail = |e| Failure::engine(self.file.path(), e);
        let db = self.file.open()?;
        let mut bar = Progress::items("stat", 0);
        let mut progress = |done, total| bar.set(done, total);
        let mut report = db.check(Some(&mut progress)).map_err(fail)?;
        drop(bar);
        if let Some(name) = &self.named {
            report.tables.retain(|t| t.name == *name);
            if report.tables.is_empty() {
                return Err(fail(recto::Error::NoSuchTable(name.clone())));
            }
        }
        let printed = self.print(&report);
        let damaged = report.fault_count > 0;
        let status = if damaged { Status::No } else { Status::Fine }.printed(printed)?;
        if damaged {
            crate::say("the file is damaged; `kvtool check` says where");
        }
        Ok(status)
    }

    fn print(&self, report: &Report) -> Outcome<()> {
        let mut out = Output::plain(self.json)?;
        if out.is_json() {
            for table in &report.tables {
                out.object(&object(table, report))?;
            }
        } else {
            self.text(report, &mut out)?;
        }
        out.finish()
    }

    fn text(&self, report: &Report, out: &mut Output) -> Outcome<()> {
        let size = report.meta.page_size;
        let pages = report.meta.page_count;
        out.fields(&[
            ("pages", format!("{} of {} bytes", grouped(pages), grouped(size as u64))),
            ("free", share_of(report.free_pages(), pages)),
        ])?;
        for t in &report.tables {
            let (keys, values) = (mean(t.key_bytes, t.entries), mean(t.value_bytes, t.pairs));
            let pairs = match t.pairs == t.entries {
                true => grouped(t.pairs),
                false => format!("{} ({} keys)", grouped(t.pairs), grouped(t.entries)),
            };
            let overflow = grouped(t.overflow_pages);
            let overflow = match t.overflow_values {
                0 if t.overflow_pages > 0 => format!("{overflow} (sets of values)"),
                values => format!("{overflow} ({} values)", grouped(values)),
            };
            out.line("")?;
            out.line(&one_line(&t.name))?;
            let mut fields = vec![
                ("  pages", share_of(t.pages(), pages)),
                ("  leaf fill", share(t.leaf_fill(size))),
                ("  branch fill", share(t.branch_fill(size))),
                ("  pairs", pairs),
                ("  keys", format!("{} bytes, {keys} each", grouped(t.key_bytes))),
                ("  values", format!("{} bytes, {values} each", grouped(t.value_bytes))),
                ("  depth", t.depth.to_string()),
                ("  branch pages", grouped(t.branch_pages)),
                ("  leaf pages", grouped(t.leaf_pages)),
                ("  overflow pages", overflow),
            ];
            // Most tables give out none.
            if t.sequence > 0 {
                fields.push(("  sequence", grouped(t.sequence)));
            }
            out.fields(&fields)?;
        }
        Ok(())
    }
}

fn object(t: &TableStats, report: &Report) -> Value {
    let size = report.meta.page_size;
    json!({
        "name": t.name,
        "pairs": t.pairs,
        "keys": t.entries,
        "sequence": t.sequence,
        "depth": t.depth,
        "key_bytes": t.key_bytes,
        "value_bytes": t.value_bytes,
        "branch_pages": t.branch_pages,
        "leaf_pages": t.leaf_pages,
        "overflow_pages": t.overflow_pages,
        "overflow_values": t.overflow_values,
        "leaf_fill": t.leaf_fill(size),
        "branch_fill": t.branch_fill(size),
    })
}

fn mean(bytes: u64, count: u64) -> String {
    if count == 0 { "0".into() } else { format!("{:.1}", bytes as f64 / count as f64) }
}

fn share_of(pages: u64, all: u64) -> String {
    format!("{}  {} pages", share(pages as f64 / all.max(1) as f64), grouped(pages))
}

/// A bar and a percentage for a share from 0 to 1.
fn share(share: f64) -> String {
    let full = (share * BAR as f64).round() as usize;
    let bar: String = (0..BAR).map(|i| if i < full { '#' } else { '.' }).collect();
    format!("{bar} {:>5.1} %", share * 100.0)
}
