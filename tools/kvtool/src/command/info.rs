//! `kvtool info`: what the file is, how large, and who reads it.

use super::Status;
use crate::database::ReadArg;
use crate::failure::{Failure, Outcome};
use crate::output::{JsonArg, Output};
use crate::process;
use crate::text::{encode_hex, grouped, size, span};
use recto::{Database, ReaderInfo, TxnId};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

const HELP: &str = "\
Of each reader: the process (a number of its own container), the transaction that it reads, for how long,
at least, there has been a newer one, and how many free pages nobody can use because it still sees them.
A long list of those makes the file grow: end the transaction, or the process. Readers who may not write
to the lock file stand in one line for each transaction, without their processes: their locks do not name them.

Example:
  kvtool info fruit.recto";

#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct Info {
    #[command(flatten)]
    file: ReadArg,
    #[command(flatten)]
    json: JsonArg,
}

impl Info {
    pub fn run(self) -> Outcome<Status> {
        let file = self.file.path();
        let db = self.file.open()?;
        let info = db.info().map_err(|e| Failure::engine(file, e))?;
        let readers = readers(&db, &info, file);
        let mut out = Output::plain(self.json)?;
        if out.is_json() {
            out.object(&self.object(&info, &readers))?;
        } else {
            self.text(&info, &readers, &mut out)?;
        }
        out.finish()?;
        Ok(Status::Fine)
    }

    fn object(&self, info: &recto::Info, readers: &[Reader<'_>]) -> serde_json::Value {
        let readers: Vec<_> = readers
            .iter()
            .map(|reader| {
                let slot = reader.slot;
                json!({
                    "slot": slot.map(|it| it.slot),
                    "handle": slot.map(|it| it.handle),
                    "txn": reader.txn.0,
                    "pending": reader.pending(),
                    "alive": reader.alive(),
                    "pid": slot.map(|it| it.pid),
                    "command": reader.command,
                    "behind": reader.behind,
                    "outdated_seconds": reader.outdated.map(|time| time.as_secs()),
                    "pages_held": reader.pages_held,
                })
            })
            .collect();
        json!({
            "path": self.file.path().to_string_lossy(),
            "uuid": uuid(&info.uuid),
            "page_size": info.page_size,
            "file_bytes": info.file_bytes,
            "page_count": info.page_count,
            "free_pages": info.free_pages,
            "max_key_len": info.max_key_len,
            "visible": info.visible,
            "durable": info.durable,
            "built": info.built,
            "repair_pending": info.repair_pending,
            "opening_pages_read": info.opening_pages_read,
            "refused": info.refused.map(|r| json!({ "txn": r.txn, "slot": r.slot, "page": r.page })),
            "readers": readers,
        })
    }

    fn text(&self, info: &recto::Info, readers: &[Reader<'_>], out: &mut Output) -> Outcome<()> {
        let bytes = |pages: u64| size(pages.saturating_mul(info.page_size.into()));
        let pages = |n: u64| format!("{} ({})", grouped(n), bytes(n));
        let durable = match info.visible.saturating_sub(info.durable) {
            0 => "all commits".into(),
            n => format!("up to transaction {}, {} behind", info.durable, grouped(n)),
        };
        let repair = if info.repair_pending { "the next writer does it" } else { "not needed" };
        out.fields(&[
            ("path", self.file.path().display().to_string()),
            ("uuid", uuid(&info.uuid)),
            ("page size", grouped(info.page_size.into())),
            ("file bytes", format!("{} ({})", grouped(info.file_bytes), size(info.file_bytes))),
            ("pages", pages(info.page_count)),
            ("free pages", pages(info.free_pages)),
            ("longest key", grouped(info.max_key_len as u64)),
            ("last commit", format!("transaction {}", info.visible)),
            ("on the device", durable),
            ("repair", repair.into()),
            ("readers", readers.len().to_string()),
        ])?;
        if let Some(r) = &info.refused {
            let why = r.page.map_or("damaged".into(), |page| format!("page {page} does not match"));
            out.line(&format!("  newer transaction {} in slot {} refused: {why}", r.txn, r.slot))?;
            let path = self.file.path().display();
            out.line(&format!(
                "  a write that erases it keeps it in {path}-refused (or .2 to .4), for kvtool salvage"
            ))?;
        }
        for reader in readers {
            out.line(&format!("  {}", reader.text(info.page_size)))?;
        }
        Ok(())
    }
}

/// A reader, or all who read one snapshot without a slot; and what is found out about them here.
struct Reader<'a> {
    /// None for who may not write to the lock file: nothing tells which process that is.
    slot: Option<&'a ReaderInfo>,
    txn: TxnId,
    command: Option<String>,
    /// Ids of transactions since its snapshot; where transactions have savepoints, more than
    /// transactions.
    behind: u64,
    /// For how long there has been a newer snapshot, at least.
    outdated: Option<Duration>,
    /// Free pages that it can see; None if there was no moment to look.
    pages_held: Option<u64>,
}

/// The readers, oldest first.
fn readers<'a>(db: &Database, info: &'a recto::Info, file: &Path) -> Vec<Reader<'a>> {
    let behind =
        |txn: TxnId| if txn == TxnId::NONE { 0 } else { info.visible.saturating_sub(txn.0) };
    let reader = |slot, txn, outdated| {
        let (command, pages_held) = (None, None);
        Reader { slot, txn, command, behind: behind(txn), outdated, pages_held }
    };
    let slots = info.readers.iter().map(|it| Reader {
        command: process::command(it.pid, file).filter(|_| it.alive),
        ..reader(Some(it), it.txn, it.outdated)
    });
    let observed = info.observed.iter().map(|it| reader(None, it.txn, it.outdated));
    let mut found: Vec<_> = slots.chain(observed).collect();
    found.sort_by_key(|it| it.txn); // who has not settled, and pins everything, has none
    let snapshots: Vec<u64> = found.iter().map(|it| it.txn.0).collect();
    // Busy, or no slot left to look with: then the rest is shown without it.
    let held = if found.is_empty() { None } else { db.pages_held(&snapshots).ok() };
    for (reader, pages) in found.iter_mut().zip(held.unwrap_or_default()) {
        reader.pages_held = Some(pages).filter(|_| !reader.pending());
    }
    found
}

impl Reader<'_> {
    fn pending(&self) -> bool {
        self.slot.is_some_and(|it| it.pending)
    }

    /// A lock dies with its holder.
    fn alive(&self) -> bool {
        self.slot.is_none_or(|it| it.alive)
    }

    fn text(&self, page_size: u32) -> String {
        let Reader { slot, txn, command, behind, outdated, pages_held } = self;
        let mut text = match slot {
            Some(it) => format!("process {}", it.pid),
            None => "without write access to the lock file (process unknown)".into(),
        };
        if let Some(command) = command {
            text.push_str(&format!(" ({command})"));
        }
        text.push_str(&match (self.pending(), behind) {
            (true, _) => ": beginning to read".into(),
            (false, 0) => format!(": reads transaction {}, the last", txn.0),
            (false, n) => format!(": reads transaction {}, {} behind", txn.0, grouped(*n)),
        });
        if let Some(time) = outdated {
            text.push_str(&format!(", out of date for {}", span(time.as_secs())));
        }
        if let Some(pages) = pages_held.filter(|&pages| pages > 0) {
            let bytes = size(pages.saturating_mul(page_size.into()));
            text.push_str(&format!(", holds back {} pages ({bytes})", grouped(pages)));
        }
        if !self.alive() {
            text.push_str("; dead, the next writer clears it away");
        }
        text
    }
}

/// The usual form: groups of 4, 2, 2, 2 and 6 bytes.
fn uuid(bytes: &[u8; 16]) -> String {
    let mut digits = Vec::new();
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            digits.push(b'-');
        }
        let _ = encode_hex(&[*byte], &mut digits); // writing to a Vec does not fail
    }
    String::from_utf8_lossy(&digits).into_owned()
}
