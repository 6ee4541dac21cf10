//! `kvtool del`: removes one key, one value of it, or all keys between two, in one durable
//! transaction.

use super::get::absent;
use super::{COMMITTED, Status, bytes_of};
use crate::database::{FileArg, TableArg, WaitArg};
use crate::failure::{Failure, Outcome};
use crate::output::{HexArg, JsonArg, Output};
use crate::pairs::PairsMut;
use crate::range::RangeArgs;
use crate::say;
use crate::text::grouped;
use serde_json::json;
use std::ffi::{OsStr, OsString};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kvtool del fruit.recto apple
  kvtool del fruit.recto --prefix log/2024
  kvtool del fruit.recto --from a --to b -t other
  kvtool del tags.recto rust --value /b -t tags

In a table of sets a key goes with all its values.

Exit status 1: there was nothing to delete.")]
pub struct Del {
    #[command(flatten)]
    file: FileArg,
    /// The key
    #[arg(allow_negative_numbers = true)]
    key: Option<OsString>,
    /// Delete only this value of KEY, if it has it
    #[arg(long, allow_negative_numbers = true, requires = "key")]
    value: Option<OsString>,
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

    /// Removes one key, or one value of it; how many pairs that were.
    fn key(&self, key: &OsStr) -> Outcome<u64> {
        let notation = self.hex.notation();
        let key = bytes_of("key", key, notation)?;
        let value = self.value.as_ref().map(|value| bytes_of("--value", value, notation));
        let value = value.transpose()?;
        let deleted = self.transaction(|table| match &value {
            Some(value) => table.delete_pair(&key, value),
            None => table.delete(&key),
        })?;
        if deleted == 0 {
            let mut what = notation.shown(&key);
            if let Some(value) = &value {
                what = format!("{what} with the value {}", notation.shown(value));
            }
            say(&absent(&what, self.table.name()));
        }
        Ok(deleted)
    }

    /// Removes a range of keys; how many pairs that were.
    fn keys(&self) -> Outcome<u64> {
        let keys = self.range.keys(self.hex.notation())?;
        self.transaction(|table| table.delete_range(keys.bounds()))
    }

    /// Runs a change of the table, and commits it unless nothing was deleted.
    fn transaction(
        &self,
        change: impl FnOnce(&mut PairsMut<'_>) -> recto::Result<u64>,
    ) -> Outcome<u64> {
        let file = &self.file.file;
        let fail = |e| Failure::engine(file, e);
        let db = self.file.open()?;
        let mut txn = self.wait.begin(&db, file)?;
        let made_with = txn.table_options(self.table.name()).map_err(fail)?;
        self.range.check(made_with.as_ref())?;
        let mut table = PairsMut::existing(&mut txn, self.table.name(), file)?;
        let deleted = change(&mut table).map_err(fail)?;
        match deleted {
            0 => txn.abort(),
            _ => txn.commit().map_err(fail)?,
        }
        Ok(deleted)
    }
}
