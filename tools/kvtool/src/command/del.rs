//! `kvtool del`: removes one key, or all between two, in one durable transaction.

use super::get::absent;
use super::{COMMITTED, Status, bytes_of};
use crate::database::{FileArg, TableArg, WaitArg};
use crate::failure::{Failure, Outcome};
use crate::output::{HexArg, JsonArg, Output};
use crate::range::RangeArgs;
use crate::say;
use crate::text::grouped;
use recto::TableMut;
use serde_json::json;
use std::ffi::{OsStr, OsString};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kvtool del fruit.recto apple
  kvtool del fruit.recto --prefix log/2024
  kvtool del fruit.recto --from a --to b -t other

Exit status 1: there was nothing to delete.")]
pub struct Del {
    #[command(flatten)]
    file: FileArg,
    /// The key
    #[arg(allow_negative_numbers = true)]
    key: Option<OsString>,
    #[command(flatten)]
    range: RangeArgs,
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
        let deleted = match (&self.key, self.range.is_given()) {
            (Some(key), false) => self.key(key)?,
            (None, true) => self.keys()?,
            _ => {
                let what = "give one KEY, or a range by --prefix, --from and --to";
                return Err(Failure::said(format!("{what}; `kvtool clear` empties a table")));
            }
        };
        match deleted {
            0 => Status::No.done("there was nothing to delete", self.print(0)),
            _ => Status::Fine.done(COMMITTED, self.print(deleted)),
        }
    }

    fn print(&self, deleted: u64) -> Outcome<()> {
        let mut out = Output::plain(self.json)?;
        if out.is_json() {
            out.object(&json!({ "deleted": deleted > 0, "pairs": deleted }))?;
        } else if self.key.is_none() {
            out.fields(&[("deleted", grouped(deleted))])?;
        }
        out.finish()
    }

    /// Removes one key; how many that were.
    fn key(&self, key: &OsStr) -> Outcome<u64> {
        let notation = self.hex.notation();
        let key = bytes_of("key", key, notation)?;
        let deleted = self.transaction(|table| Ok(table.delete(&key)?.into()))?;
        if deleted == 0 {
            say(&absent(&notation.shown(&key), self.table.name()));
        }
        Ok(deleted)
    }

    /// Removes a range of keys; how many that were.
    fn keys(&self) -> Outcome<u64> {
        let keys = self.range.keys(self.hex.notation())?;
        let (start, end) = keys.bounds();
        self.transaction(|table| table.delete_range((start, end)))
    }

    /// Runs a change of the table, and commits it unless nothing was deleted.
    fn transaction(
        &self,
        change: impl FnOnce(&mut TableMut<'_>) -> recto::Result<u64>,
    ) -> Outcome<u64> {
        let file = &self.file.file;
        let fail = |e| Failure::engine(file, e);
        let db = self.file.open()?;
        let mut txn = self.wait.begin(&db, file)?;
        // Looked for first: opening a table to change it would make it.
        txn.table(self.table.name()).map_err(fail)?;
        let deleted = txn
            .open_table(self.table.name())
            .and_then(|mut table| change(&mut table))
            .map_err(fail)?;
        match deleted {
            0 => txn.abort(),
            _ => txn.commit().map_err(fail)?,
        }
        Ok(deleted)
    }
}
