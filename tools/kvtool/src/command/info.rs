//! `kvtool info`: what the file is, how large, and who reads it.

use super::Status;
use crate::database::ReadArg;
use crate::failure::{Failure, Outcome};
use crate::output::{JsonArg, Output};
use crate::text::{encode_hex, grouped, size, span};
use recto::{Database, Reader};
use serde_json::json;
use std::time::Duration;

const HELP: &str = "\
Of each reader: the process (a number of its own container), the transaction that it reads, for how long,
at least, there has been a newer one, and how many free pages nobody can use because it still sees them.
A long list of those makes the file grow: end the transaction, or the process. Held back are all pages that
wait for readers or for named snapshots (kvtool snapshot lists these), each once. Readers who may not write
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
        let fail = |e| Failure::engine(file, e);
        let info = db.info().map_err(fail)?;
        let beside = Beside::of(&db).map_err(fail)?;
        let mut out = Output::plain(self.json)?;
        if out.is_json() {
            out.object(&self.object(&info, &beside))?;
        } else {
            self.text(&info, &beside, &mut out)?;
        }
        out.finish()?;
        Ok(Status::Fine)
    }

    fn object(&self, info: &recto::Info, beside: &Beside) -> serde_json::Value {
        let readers: Vec<_> = beside
            .readers
            .iter()
            .map(|reader| {
                let slot = reader.slot;
                json!({
                    "slot": slot.map(|it| it.slot),
                    "handle": slot.map(|it| it.handle),
                    "txn": reader.txn,
                    "pending": reader.is_pending(),
                    "alive": reader.is_alive(),
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
            "used_pages": info.used_pages(),
            "free_pages": info.free_pages,
            "pages_held_back": beside.held_back,
            "log_pages": info.log_pages,
            "reserved_pages": info.reserved_pages,
            "max_key_len": info.max_key_len,
            "commits": info.commits,
            "visible": info.visible,
            "durable": info.durable,
            "built": info.built,
            "repair_pending": info.repair_pending,
            "opening_pages_read": info.opening_pages_read,
            "refused": info.refused.map(|r| json!({ "txn": r.txn, "slot": r.slot, "page": r.page })),
            "named_snapshots": beside.named,
            "oldest_named_seconds": beside.oldest.map(|time| time.as_secs()),
            "readers": readers,
        })
    }

    fn text(&self, info: &recto::Info, beside: &Beside, out: &mut Output) -> Outcome<()> {
        let bytes = |pages: u64| size(pages.saturating_mul(info.page_size.into()));
        let pages = |n: u64| format!("{} ({})", grouped(n), bytes(n));
        let durable = match info.visible.saturating_sub(info.durable) {
            0 => "all commits".into(),
            n => format!("up to transaction {}, {} behind", info.durable, grouped(n)),
        };
        let repair = if info.repair_pending { "the next writer does it" } else { "not needed" };
        let free = match beside.held_back.unwrap_or(0) {
            0 => pages(info.free_pages),
            n => format!("{}, {} of them held back", pages(info.free_pages), grouped(n)),
        };
        let named = match beside.oldest {
            Some(time) => {
                format!("{}, the oldest named {} ago", beside.named, span(time.as_secs()))
            }
            None => beside.named.to_string(),
        };
        out.fields(&[
            ("path", self.file.path().display().to_string()),
            ("uuid", uuid(&info.uuid)),
            ("page size", grouped(info.page_size.into())),
            ("file bytes", format!("{} ({})", grouped(info.file_bytes), size(info.file_bytes))),
            ("pages", pages(info.page_count)),
            ("used pages", pages(info.used_pages())),
            ("free pages", free),
            ("longest key", grouped(info.max_key_len as u64)),
            ("commits", grouped(info.commits)),
            ("last commit", format!("transaction {}", info.visible)),
            ("on the device", durable),
            ("repair", repair.into()),
            ("snapshots", named),
            ("readers", beside.readers.len().to_string()),
        ])?;
        if let Some(r) = &info.refused {
            let why = r.page.map_or("damaged".into(), |page| format!("page {page} does not match"));
            out.line(&format!("  newer transaction {} in slot {} refused: {why}", r.txn, r.slot))?;
            let path = self.file.path().display();
            out.line(&format!(
                "  a write that erases it keeps it in {path}-refused (or .2 to .4), for kvtool salvage"
            ))?;
        }
        for reader in &beside.readers {
            out.line(&format!("  {}", text_of(reader, info.page_size)))?;
        }
        Ok(())
    }
}

/// A line about a reader.
fn text_of(reader: &Reader, page_size: u32) -> String {
    let mut text = match reader.slot {
        Some(it) => format!("process {}", it.pid),
        None => "without write access to the lock file (process unknown)".into(),
    };
    if let Some(command) = &reader.command {
        text.push_str(&format!(" ({command})"));
    }
    text.push_str(&match (reader.is_pending(), reader.behind) {
        (true, _) => ": beginning to read".into(),
        (false, 0) => format!(": reads transaction {}, the last", reader.txn),
        (false, n) => format!(": reads transaction {}, {} behind", reader.txn, grouped(n)),
    });
    if let Some(time) = reader.outdated {
        text.push_str(&format!(", out of date for {}", span(time.as_secs())));
    }
    if let Some(pages) = reader.pages_held.filter(|&pages| pages > 0) {
        let bytes = size(pages.saturating_mul(page_size.into()));
        text.push_str(&format!(", holds back {} pages ({bytes})", grouped(pages)));
    }
    if !reader.is_alive() {
        text.push_str("; dead, the next writer clears it away");
    }
    text
}

/// What is found out beside [`recto::Info`].
struct Beside {
    readers: Vec<Reader>,
    /// How many named snapshots there are, and for how long the oldest has its name.
    named: usize,
    oldest: Option<Duration>,
    /// Pages that wait for readers and for these; None if there was no moment to look, or no slot
    /// left to look with.
    held_back: Option<u64>,
}

impl Beside {
    fn of(db: &Database) -> recto::Result<Beside> {
        // No slot left: then the rest is shown without it.
        let named = match db.snapshots() {
            Err(recto::Error::ReadersFull { .. }) => Vec::new(),
            named => named?,
        };
        Ok(Beside {
            readers: db.readers()?,
            named: named.len(),
            oldest: named.iter().filter_map(|it| it.created.elapsed().ok()).max(),
            held_back: db.held_back().ok(),
        })
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
