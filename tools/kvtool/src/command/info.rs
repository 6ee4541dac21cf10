//! `kvtool info`: what the file is, how large, and who reads it.

use super::Status;
use crate::database::ReadArg;
use crate::failure::{Failure, Outcome};
use crate::output::{JsonArg, Output};
use crate::text::{encode_hex, grouped};
use serde_json::json;

#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  kvtool info fruit.recto")]
pub struct Info {
    #[command(flatten)]
    file: ReadArg,
    #[command(flatten)]
    json: JsonArg,
}

impl Info {
    pub fn run(self) -> Outcome<Status> {
        let file = self.file.path();
        let info = self.file.open()?.info().map_err(|e| Failure::engine(file, e))?;
        let mut out = Output::plain(self.json)?;
        if out.is_json() {
            out.object(&self.object(&info))?;
        } else {
            self.text(&info, &mut out)?;
        }
        out.finish()?;
        Ok(Status::Fine)
    }

    fn object(&self, info: &recto::Info) -> serde_json::Value {
        let readers: Vec<_> = info
            .readers
            .iter()
            .map(|r| {
                json!({
                    "slot": r.slot,
                    "handle": r.handle,
                    "txn": r.txn.0,
                    "pending": r.pending,
                    "alive": r.alive,
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

    fn text(&self, info: &recto::Info, out: &mut Output) -> Outcome<()> {
        let repair = if info.repair_pending { "the next writer does it" } else { "not needed" };
        out.fields(&[
            ("path", self.file.path().display().to_string()),
            ("uuid", uuid(&info.uuid)),
            ("page size", grouped(info.page_size.into())),
            ("file bytes", grouped(info.file_bytes)),
            ("pages", grouped(info.page_count)),
            ("free pages", grouped(info.free_pages)),
            ("longest key", grouped(info.max_key_len as u64)),
            ("visible transaction", info.visible.to_string()),
            ("durable transaction", info.durable.to_string()),
            ("built transaction", info.built.to_string()),
            ("repair", repair.into()),
            ("pages read to open", grouped(info.opening_pages_read)),
            ("readers", info.readers.len().to_string()),
        ])?;
        if let Some(r) = &info.refused {
            let why = r.page.map_or("damaged".into(), |page| format!("page {page} does not match"));
            out.line(&format!("  newer transaction {} in slot {} refused: {why}", r.txn, r.slot))?;
        }
        for r in &info.readers {
            let life = if r.alive { "" } else { ", dead" };
            let what = match (r.pending, r.txn.0) {
                (true, _) => "beginning to read".into(),
                (false, 0) => "idle".into(),
                (false, txn) => format!("reads transaction {txn}"),
            };
            out.line(&format!("  slot {}, handle {}: {what}{life}", r.slot, r.handle))?;
        }
        Ok(())
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
