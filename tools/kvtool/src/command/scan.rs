//! `kvtool scan`: pairs in the order of their keys, and of the values of a set.

use super::Status;
use super::verify::{self, VerifyArg};
use crate::database::{ReadArg, SnapshotArg, TableArg};
use crate::failure::{Failure, Outcome};
use crate::output::{HexArg, JsonArg, Output};
use crate::pairs::Pairs;
use crate::range::{KeyRange, RangeArgs};
use recto::inspect::salvage::Part;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kvtool scan fruit.recto --prefix ap --limit 10
  kvtool scan fruit.recto --from b --reverse --json

In a table of sets there is a line for each value of a key.")]
pub struct Scan {
    #[command(flatten)]
    file: ReadArg,
    #[command(flatten)]
    snapshot: SnapshotArg,
    #[command(flatten)]
    range: RangeArgs,
    /// From the last key to the first
    #[arg(long)]
    reverse: bool,
    /// At most so many pairs
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    #[command(flatten)]
    verify: VerifyArg,
    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    hex: HexArg,
    #[command(flatten)]
    json: JsonArg,
}

impl Scan {
    pub fn run(self) -> Outcome<Status> {
        let keys = self.range.keys(self.hex.notation())?;
        if self.range.is_given() {
            let fail = |e| Failure::engine(self.file.path(), e);
            let txn = self.snapshot.read(&self.file.open()?).map_err(fail)?;
            self.range.check(txn.table_options(self.table.name()).map_err(fail)?.as_ref())?;
        }
        let mut out = Output::new(self.hex.notation(), self.json.json)?;
        let status = match self.verify.no_verify || self.snapshot.is_given() {
            true => self.plain(&keys, &mut out)?,
            false => self.verified(&keys, &mut out)?,
        };
        status.printed(out.finish())
    }

    /// Pairs as a program reads them: without a look at checksums.
    fn plain(&self, keys: &KeyRange, out: &mut Output) -> Outcome<Status> {
        let fail = |e| Failure::engine(self.file.path(), e);
        let txn = self.snapshot.read(&self.file.open()?).map_err(fail)?;
        let table = Pairs::open(&txn, self.table.name()).map_err(fail)?;
        let mut pairs = table.pairs(keys.bounds()).map_err(fail)?;
        let mut left = self.limit.unwrap_or(u64::MAX);
        while left > 0 {
            let pair = if self.reverse { pairs.next_back() } else { pairs.next() };
            let Some(pair) = pair else { break };
            let (key, value) = pair.map_err(fail)?;
            out.pair(&key, &value)?;
            left -= 1;
        }
        Ok(Status::Fine)
    }

    fn verified(&self, keys: &KeyRange, out: &mut Output) -> Outcome<Status> {
        let (start, end) = keys.bounds();
        let part = Part { table: Some(self.table.name()), start, end, reverse: self.reverse };
        let mut left = self.limit.unwrap_or(u64::MAX);
        let enough = AtomicBool::new(left == 0);
        verify::read(&self.file.open()?, self.file.path(), part, &enough, &mut |pair| {
            left -= 1;
            enough.store(left == 0, Ordering::Relaxed);
            out.pair(pair.key, pair.value)
        })
        .map(|report| verify::tell(&report))
    }
}
