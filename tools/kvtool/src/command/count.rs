//! `kvtool count`: how many pairs there are in a table, or between two keys of it.

use super::Status;
use crate::database::{ReadArg, TableArg};
use crate::failure::{Failure, Outcome};
use crate::output::{HexArg, JsonArg, Output};
use crate::range::RangeArgs;
use serde_json::json;

#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  kvtool count fruit.recto\n  kvtool count fruit.recto --prefix ap"
)]
pub struct Count {
    #[command(flatten)]
    file: ReadArg,
    #[command(flatten)]
    range: RangeArgs,
    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    hex: HexArg,
    #[command(flatten)]
    json: JsonArg,
}

impl Count {
    pub fn run(self) -> Outcome<Status> {
        let fail = |e| Failure::engine(self.file.path(), e);
        let keys = self.range.keys(self.hex.notation())?;
        let txn = self.file.open()?.read().map_err(fail)?;
        let table = txn.table(self.table.name()).map_err(fail)?;
        let count = if self.range.is_given() {
            let (start, end) = keys.bounds();
            let mut range = table.range((start, end)).map_err(fail)?;
            let mut count = 0u64;
            while range.next_ref().map_err(fail)?.is_some() {
                count += 1;
            }
            count
        } else {
            table.len()
        };
        let mut out = Output::plain(self.json)?;
        if out.is_json() {
            out.object(&json!({ "count": count }))?;
        } else {
            out.line(&count.to_string())?;
        }
        out.finish()?;
        Ok(Status::Fine)
    }
}
