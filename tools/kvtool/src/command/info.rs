//! `kvtool info`: what the file is, how large, and who reads it.

use super::Status;
use crate::database::ReadArg;
use crate::failure::{Failure, Outcome};
use crate::output::{JsonArg, Output};
use crate::process;
use crate::text::{encode_hex, grouped, size, span};
use recto::{Database, ReaderInfo};
use serde_json::json;
use std::path::Path;

const HELP: &str = "\
Of each reader: the process (a number of its own container), the transaction that it reads, for how long,
at least, there has been a newer one, and how many free pages nobody can use because it still sees them.
A long list of those makes the file grow: end the transaction, or the process.

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
            .map(|Reader { it, command, behind, pages_held }| {
                json!({
                    "slot": it.slot,
                    "handle": it.handle,
                    "txn": it.txn.0,
                    "pending": it.pending,
                    "alive": it.alive,
                    "pid": it.pid,
                    "command": command,
                    "behind": behind,
                    "outdated_seconds": it.outdated.map(|time| time.as_secs()),
                    "pages_held": pages_held,
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
                "  a write that erases it keeps it in {path}-refused, for kvtool salvage"
            ))?;
        }
        for reader in readers {
            out.line(&format!("  {}", reader.text(info.page_size)))?;
        }
        Ok(())
    }
}

/// A reader, and what is found out about it here.
struct Reader<'a> {
    it: &'a ReaderInfo,
    command: Option<String>,
    /// Transactions since its snapshot.
    behind: u64,
    /// Free pages that it can see; None if there was no moment to look.
    pages_held: Option<u64>,
}

/// The readers, oldest first.
fn readers<'a>(db: &Database, info: &'a recto::Info, file: &Path) -> Vec<Reader<'a>> {
    let mut found: Vec<_> = info.readers.iter().collect();
    found.sort_by_key(|it| it.txn); // who has not settled, and pins everything, has none
    let snapshots: Vec<u64> = found.iter().map(|it| it.txn.0).collect();
    // Busy, or no slot left to look with: then the rest is shown without it.
    let held = if found.is_empty() { None } else { db.pages_held(&snapshots).ok() };
    let reader = |(i, it): (usize, &'a ReaderInfo)| Reader {
        it,
        command: process::command(it.pid, file).filter(|_| it.alive),
        behind: if it.pending { 0 } else { info.visible.saturating_sub(it.txn.0) },
        pages_held: held.as_ref().and_then(|held| held.get(i).copied()).filter(|_| !it.pending),
    };
    found.into_iter().enumerate().map(reader).collect()
}

impl Reader<'_> {
    fn text(&self, page_size: u32) -> String {
        let Reader { it, command, behind, pages_held } = self;
        let mut text = format!("process {}", it.pid);
        if let Some(command) = command {
            text.push_str(&format!(" ({command})"));
        }
        text.push_str(&match (it.pending, behind) {
            (true, _) => ": beginning to read".into(),
            (false, 0) => format!(": reads transaction {}, the last", it.txn.0),
            (false, n) => format!(": reads transaction {}, {} behind", it.txn.0, grouped(*n)),
        });
        if let Some(time) = it.outdated {
            text.push_str(&format!(", out of date for {}", span(time.as_secs())));
        }
        if let Some(pages) = pages_held.filter(|&pages| pages > 0) {
            let bytes = size(pages.saturating_mul(page_size.into()));
            text.push_str(&format!(", holds back {} pages ({bytes})", grouped(pages)));
        }
        if !it.alive {
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
