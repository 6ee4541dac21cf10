//! `kvtool get`: the value of a key, or each of its values.

use super::{Status, bytes_of};
use crate::database::{ReadArg, SnapshotArg, TableArg};
use crate::failure::{Failure, Outcome};
use crate::output::{HexArg, JsonArg, Output};
use crate::pairs::Pairs;
use crate::say;
use crate::text::{grouped, one_line};
use std::ffi::OsString;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kvtool get fruit.recto apple
  kvtool get fruit.recto photo -t pictures --raw > apple.jpg
  kvtool get tags.recto rust -t tags

In a table of sets each value of the key is printed, on a line of its own.")]
pub struct Get {
    #[command(flatten)]
    file: ReadArg,
    #[command(flatten)]
    snapshot: SnapshotArg,
    /// The key
    #[arg(allow_negative_numbers = true)]
    key: OsString,
    /// Print the value's bytes and nothing else; of one value only
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    hex: HexArg,
    #[command(flatten)]
    json: JsonArg,
}

impl Get {
    pub fn run(self) -> Outcome<Status> {
        let notation = self.hex.notation();
        let key = bytes_of("key", &self.key, notation)?;
        let file = self.file.path();
        let fail = |e| Failure::engine(file, e);
        let txn = self.snapshot.read(&self.file.open()?).map_err(fail)?;
        let table = Pairs::open(&txn, self.table.name()).map_err(fail)?;
        let values = table.values(&key).map_err(fail)?;
        match values.len() {
            0 => {
                say(&absent(&notation.shown(&key), self.table.name()));
                return Ok(Status::No);
            }
            many @ 2.. if self.raw => {
                let (key, many) = (notation.shown(&key), grouped(many));
                let what = "--raw would print them without anything in between; leave it out";
                return Err(Failure::said(format!("key {key} has {many} values, and {what}")));
            }
            _ => {}
        }
        let mut out = Output::new(notation, self.json.json)?;
        for value in values {
            let value = value.map_err(fail)?;
            match self.raw {
                true => out.raw(&value)?,
                false => out.found(&key, &value)?,
            }
        }
        out.finish()?;
        Ok(Status::Fine)
    }
}

/// What is said of a key that is not there.
pub fn absent(key: &str, table: &str) -> String {
    format!("no key {key} in table {}", one_line(table))
}
