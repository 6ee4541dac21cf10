//! `kvtool count`: how many pairs, or keys, there are in a table, or between two keys of it.

use super::Status;
use crate::database::{ReadArg, SnapshotArg, TableArg};
use crate::failure::{Failure, Outcome};
use crate::output::{HexArg, JsonArg, Output};
use crate::pairs::Pairs;
use crate::range::RangeArgs;
use serde_json::json;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kvtool count fruit.recto
  kvtool count fruit.recto --prefix ap
  kvtool count fruit.recto --from a --to k --estimate
  kvtool count tags.recto -t tags --keys

Exact, and without a walk where the whole table is counted. With --estimate a few pages are read of
a table of any size; the number is some percent off where pages are about equally full. In a table
of sets a key has as many pairs as it has values.")]
pub struct Count {
    #[command(flatten)]
    file: ReadArg,
    #[command(flatten)]
    snapshot: SnapshotArg,
    #[command(flatten)]
    range: RangeArgs,
    /// Count keys, not pairs (JSON has both)
    #[arg(long)]
    keys: bool,
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
        let txn = self.snapshot.read(&self.file.open()?).map_err(fail)?;
        let made_with = txn.table_options(self.table.name()).map_err(fail)?;
        self.range.check(made_with.as_ref())?;
        let table = Pairs::open(&txn, self.table.name()).map_err(fail)?;
        let (pairs, keys) = match table {
            Pairs::Map(table) if self.estimate => {
                let pairs = table.estimate_range(keys.bounds()).map_err(fail)?;
                (pairs, pairs)
            }
            Pairs::Sets(_) if self.estimate => {
                let what = "--estimate is for tables that have one value for each key";
                return Err(Failure::said(what));
            }
            _ if self.range.is_given() => table.count(keys.bounds()).map_err(fail)?,
            _ => (table.len(), table.key_count()),
        };
        let mut out = Output::plain(self.json)?;
        if out.is_json() {
            out.object(&json!({ "count": pairs, "keys": keys }))?;
        } else {
            out.line(&if self.keys { keys } else { pairs }.to_string())?;
        }
        out.finish()?;
        Ok(Status::Fine)
    }
}
