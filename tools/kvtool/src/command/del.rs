//! `kvtool del`: removes one key in one durable transaction.

use super::get::absent;
use super::{Status, bytes_of};
use crate::database::{FileArg, TableArg, WaitArg};
use crate::failure::{Failure, Outcome};
use crate::output::{HexArg, JsonArg, Output};
use crate::say;
use serde_json::json;
use std::ffi::OsString;

#[derive(clap::Args, Debug)]
pub struct Del {
    #[command(flatten)]
    file: FileArg,
    /// The key
    #[arg(allow_negative_numbers = true)]
    key: OsString,
    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    hex: HexArg,
    #[command(flatten)]
    json: JsonArg,
    #[command(flatten)]
    wait: WaitArg,
}

impl Del {
    pub fn run(self) -> Outcome<Status> {
        let notation = self.hex.notation();
        let key = bytes_of("key", &self.key, notation)?;
        let file = &self.file.file;
        let fail = |e| Failure::engine(file, e);
        let db = self.file.open()?;
        let mut txn = self.wait.begin(&db, file)?;
        // Looked for first: opening a table to change it would make it.
        txn.table(self.table.name()).map_err(fail)?;
        let deleted = txn
            .open_table(self.table.name())
            .and_then(|mut table| table.delete(&key))
            .map_err(fail)?;
        if deleted {
            txn.commit().map_err(fail)?;
        } else {
            txn.abort();
            say(&absent(&notation.shown(&key), self.table.name()));
        }
        let mut out = Output::plain(self.json)?;
        if out.is_json() {
            out.object(&json!({ "deleted": deleted }))?;
        }
        out.finish()?;
        Ok(if deleted { Status::Fine } else { Status::No })
    }
}
