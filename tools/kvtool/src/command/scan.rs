//! `kvtool scan`: pairs in the order of their keys.

use super::{Status, bytes_of};
use crate::database::{ReadArg, TableArg};
use crate::failure::{Failure, Outcome};
use crate::output::{HexArg, JsonArg, Output};
use std::ffi::OsString;
use std::ops::Bound;

#[derive(clap::Args, Debug)]
pub struct Scan {
    #[command(flatten)]
    file: ReadArg,
    /// Begin at this key
    #[arg(long, value_name = "KEY", allow_negative_numbers = true)]
    from: Option<OsString>,
    /// End before this key
    #[arg(long, value_name = "KEY", allow_negative_numbers = true)]
    to: Option<OsString>,
    /// Only keys that begin with this
    #[arg(long, value_name = "KEY", allow_negative_numbers = true)]
    prefix: Option<OsString>,
    /// From the last key to the first
    #[arg(long)]
    reverse: bool,
    /// At most so many pairs
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    hex: HexArg,
    #[command(flatten)]
    json: JsonArg,
}

type OwnedBound = Bound<Vec<u8>>;

impl Scan {
    pub fn run(self) -> Outcome<Status> {
        let file = self.file.path();
        let fail = |e| Failure::engine(file, e);
        let (start, end) = self.bounds()?;
        let txn = self.file.open()?.read().map_err(fail)?;
        let mut range = txn
            .table(self.table.name())
            .and_then(|t| t.range(start.as_ref().map(|k| &k[..]), end.as_ref().map(|k| &k[..])))
            .map_err(fail)?;
        let mut out = Output::new(self.hex.notation(), self.json.json)?;
        let mut left = self.limit.unwrap_or(u64::MAX);
        while left > 0 {
            let pair = if self.reverse { range.next_back() } else { range.next() };
            let Some(pair) = pair else { break };
            let (key, value) = pair.map_err(fail)?;
            out.pair(&key, value)?;
            left -= 1;
        }
        out.finish()?;
        Ok(Status::Fine)
    }

    /// What `--from`, `--to` and `--prefix` leave together.
    fn bounds(&self) -> Outcome<(OwnedBound, OwnedBound)> {
        let key = |name: &str, argument: &Option<OsString>| {
            argument.as_deref().map(|a| bytes_of(name, a, self.hex.notation())).transpose()
        };
        let (from, to) = (key("--from", &self.from)?, key("--to", &self.to)?);
        let prefix = key("--prefix", &self.prefix)?;
        let past = prefix.as_deref().and_then(past_prefix);
        let to = match (to, past) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        // None is below every key.
        let start = from.max(prefix).map_or(Bound::Unbounded, Bound::Included);
        Ok((start, to.map_or(Bound::Unbounded, Bound::Excluded)))
    }
}

/// The first key after all those that begin with `prefix`; none if nothing comes after them.
fn past_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|&b| b < 0xff)? + 1;
    let mut key = prefix[..kept].to_vec();
    key[kept - 1] += 1;
    Some(key)
}
