//! `kvtool count`: how many pairs there are in a table, or between two keys of it.

use super::Status;
use crate::database::{ReadArg, TableArg};
use crate::failure::{Failure, Outcome};
use crate::output::{HexArg, JsonArg, Output};
use crate::range::RangeArgs;
use serde_json::json;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kvtool count fruit.recto
  kvtool count fruit.recto --prefix ap
  kvtool count fruit.recto --from a --to k --estimate

Exact, and without a walk where the whole table is counted. With --estimate a few pages are read of
a table of any size; the number is some percent off where pages are about equally full.")]
pub struct Count {
    #[command(flatten)]
    file: ReadArg,
    #[command(flatten)]
    range: RangeArgs,
    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    hex: HexArg,
    /// About how many, at once
    #[arg(long)]
    estimate: bool,
    #[command(flatten)]
    json: JsonArg,
}

impl Count {
    pub fn run(self) -> Outcome<Status> {
        let fail = |e| Failure::engine(self.file.path(), e);
        let keys = self.range.keys(self.hex.notation())?;
        let txn = self.file.open()?.read().map_err(fail)?;
        let table = txn.table(self.table.name()).map_err(fail)?;
        let count = match self.estimate {
            true => table.estimate_range(keys.bounds()),
            false => table.count_range(keys.bounds()),
        };
        let count = count.map_err(fail)?;
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
