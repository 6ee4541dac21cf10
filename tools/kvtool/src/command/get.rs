//! `kvtool get`: the value of a key.

use super::{Status, bytes_of};
use crate::database::{ReadArg, TableArg};
use crate::failure::{Failure, Outcome};
use crate::output::{HexArg, JsonArg, Output};
use crate::say;
use crate::text::one_line;
use std::ffi::OsString;

#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  kvtool get fruit.recto apple\n  kvtool get fruit.recto photo -t pictures --raw > apple.jpg"
)]
pub struct Get {
    #[command(flatten)]
    file: ReadArg,
    /// The key
    #[arg(allow_negative_numbers = true)]
    key: OsString,
    /// Print the value's bytes and nothing else
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
        let txn = self.file.open()?.read().map_err(fail)?;
        let value = txn.table(self.table.name()).and_then(|t| t.get(&key)).map_err(fail)?;
        let Some(value) = value else {
            say(&absent(&notation.shown(&key), self.table.name()));
            return Ok(Status::No);
        };
        let mut out = Output::new(notation, self.json.json)?;
        match self.raw {
            true => out.raw(value)?,
            false => out.found(&key, value)?,
        }
        out.finish()?;
        Ok(Status::Fine)
    }
}

/// What is said of a key that is not there.
pub fn absent(key: &str, table: &str) -> String {
    format!("no key {key} in table {}", one_line(table))
}
