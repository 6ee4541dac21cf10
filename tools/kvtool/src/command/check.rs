//! `kvtool check`: proves that every page is what it should be.

use super::Status;
use crate::database::ReadArg;
use crate::failure::{Failure, Outcome};
use crate::output::{JsonArg, Output};
use crate::progress::Progress;
use crate::say;
use crate::text::{grouped, one_line};
use recto::inspect::SlotState;
use recto::{Fault, Report};
use serde_json::json;

#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  kvtool check fruit.recto && echo sound")]
pub struct Check {
    #[command(flatten)]
    file: ReadArg,
    #[command(flatten)]
    json: JsonArg,
}

impl Check {
    pub fn run(self) -> Outcome<Status> {
        let file = self.file.path();
        let mut bar = Progress::items("check", 0);
        let mut progress = |done, total| bar.set(done, total);
        let (report, refusal) = match self.file.try_open()? {
            Ok(db) => (db.check(Some(&mut progress)), None),
            Err(error) => (recto::check_file(file, Some(&mut progress)), Some(error)),
        };
        drop(bar);
        let report = report.map_err(|e| Failure::engine(file, e))?;
        if let Some(error) = &refusal {
            let note = "does not open, so only the bytes of the file were checked";
            say(&one_line(&format!("{}: {error}; {note}", file.display())));
        }
        // A file that does not open because of what it holds is not fine, whatever else was found.
        let damaged = matches!(
            refusal,
            Some(recto::Error::Corrupt { .. } | recto::Error::NotADatabase { .. })
        );
        let status = if report.fault_count > 0 || damaged { Status::No } else { Status::Fine };
        status.printed(self.print(&report, refusal.is_none()))
    }

    fn print(&self, report: &Report, opens: bool) -> Outcome<()> {
        let mut out = Output::plain(self.json)?;
        self.lines(report, opens, &mut out)?;
        out.finish()
    }

    fn lines(&self, report: &Report, opens: bool, out: &mut Output) -> Outcome<()> {
        if out.is_json() {
            let faults: Vec<_> = report.faults.iter().map(fault_object).collect();
            return out.object(&json!({
                "path": self.file.path().to_string_lossy(),
                "opens": opens,
                "meta_pages": meta_pages(report),
                "transaction": report.meta.txn.0,
                "tables": report.tables.len(),
                "pairs": pairs(report),
                "keys": report.entries(),
                "key_bytes": report.key_bytes(),
                "value_bytes": report.value_bytes(),
                "page_size": report.meta.page_size,
                "page_count": report.meta.page_count,
                "branch_pages": report.pages.branch,
                "leaf_pages": report.pages.leaf,
                "overflow_pages": report.pages.overflow,
                "log_pages": report.pages.free_log + report.pages.reserved,
                "free_pages": report.free_pages(),
                "usable_pages": report.usable_pages(),
                "snapshots": report.snapshots,
                "snapshot_pages": report.snapshot_pages,
                "leaked_pages": report.pages.leaked,
                "unproved_orders": report.unproved_orders,
                "fault_count": report.fault_count,
                "faults": faults,
            }));
        }
        for fault in &report.faults {
            out.line(&fault_line(fault))?;
        }
        let more = report.fault_count.saturating_sub(report.faults.len() as u64);
        if more > 0 {
            out.line(&format!("... and {} more", grouped(more)))?;
        }
        let mut fields = vec![
            ("path", self.file.path().display().to_string()),
            ("opens", if opens { "yes" } else { "no" }.into()),
        ];
        if let Some([a, b]) = meta_pages(report) {
            fields.push(("meta pages", one_line(&format!("{a}; {b}"))));
        }
        fields.extend([
            ("transaction", report.meta.txn.to_string()),
            ("tables", grouped(report.tables.len() as u64)),
            ("pairs", grouped(pairs(report))),
            ("bytes", grouped(report.key_bytes() + report.value_bytes())),
            ("pages", page_counts(report)),
            ("free pages", free_pages(report)),
        ]);
        if report.snapshots > 0 {
            let kept = grouped(report.snapshot_pages);
            let text = format!("{} (free pages kept: {kept})", grouped(report.snapshots));
            fields.push(("snapshots", text));
        }
        if !report.unproved_orders.is_empty() {
            let names = one_line(&report.unproved_orders.join(", "));
            fields.push(("orders not proved", format!("{names} (of a program's own)")));
        }
        fields.push(("faults", grouped(report.fault_count)));
        out.fields(&fields)
    }
}

/// Pairs of all tables.
fn pairs(report: &Report) -> u64 {
    report.tables.iter().map(|table| table.pairs).sum()
}

/// What the two meta pages are; None where one could not be looked at, since it was being stored.
fn meta_pages(report: &Report) -> Option<[String; 2]> {
    let words = |slot: &SlotState| match slot {
        SlotState::Empty => Some("empty".into()),
        SlotState::Valid(txn) => Some(format!("transaction {txn}")),
        SlotState::Refused(why) => Some(format!("refused: {why}")),
        _ => None, // `Unread`
    };
    Some([words(&report.slots[0])?, words(&report.slots[1])?])
}

/// The free pages, and since when they may be used.
fn free_pages(report: &Report) -> String {
    let all = report.free_pages();
    let kept = report.snapshot_pages.min(report.pages.queued);
    let parts = [
        (kept, "once snapshots that see them are dropped"),
        (report.pages.queued - kept, "once no reader and no recovery needs them"),
    ];
    let parts: Vec<_> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, when)| match *count == all {
            true => (*when).to_string(),
            false => format!("{} of them {when}", grouped(*count)),
        })
        .collect();
    match parts.is_empty() {
        true => grouped(all),
        false => format!("{} ({})", grouped(all), parts.join(", ")),
    }
}

/// The pages, and what they are.
fn page_counts(report: &Report) -> String {
    let parts = [
        (report.pages.branch, "branch"),
        (report.pages.leaf, "leaf"),
        (report.pages.overflow, "overflow"),
        (report.pages.free_log + report.pages.reserved, "free log"),
        (report.free_pages(), "free"),
        (report.pages.leaked, "leaked"),
    ];
    let parts: Vec<_> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, kind)| format!("{} {kind}", grouped(*count)))
        .collect();
    format!(
        "{} (2 meta{}{})",
        grouped(report.meta.page_count),
        if parts.is_empty() { "" } else { ", " },
        parts.join(", ")
    )
}

fn fault_object(fault: &Fault) -> serde_json::Value {
    json!({ "page": fault.page.map(|p| p.0), "path": fault.path, "what": fault.what })
}

fn fault_line(fault: &Fault) -> String {
    let page = fault.page.map_or("file".into(), |p| format!("page {p}"));
    let path = if fault.path.is_empty() { "".into() } else { format!(" ({})", fault.path) };
    one_line(&format!("{page}{path}: {}", fault.what))
}
