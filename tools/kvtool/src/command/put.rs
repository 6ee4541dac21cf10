//! `kvtool put`: one pair, or one more value of a set, in one durable transaction.

use super::{COMMITTED, Status, bytes_of};
use crate::database::{NewArg, TableArg, WaitArg};
use crate::failure::{Failure, Outcome};
use crate::output::{HexArg, JsonArg, Output};
use crate::pairs::PairsMut;
use recto::TableOptions;
use serde_json::json;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kvtool put fruit.recto apple red
  kvtool put fruit.recto photo --from apple.jpg -t pictures
  gzip -c notes | kvtool put fruit.recto notes --from -

In a table of sets (`kvtool create -t NAME --set`) the value comes to those that the key has.")]
pub struct Put {
    #[command(flatten)]
    file: NewArg,
    /// The key
    #[arg(allow_negative_numbers = true)]
    key: OsString,
    /// The value
    #[arg(
        allow_negative_numbers = true,
        required_unless_present = "from",
        conflicts_with = "from"
    )]
    value: Option<OsString>,
    /// The value is what this file holds, byte for byte; `-` is standard input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    hex: HexArg,
    #[command(flatten)]
    json: JsonArg,
    #[command(flatten)]
    wait: WaitArg,
}

impl Put {
    pub fn run(self) -> Outcome<Status> {
        let key = bytes_of("key", &self.key, self.hex.notation())?;
        let value = self.value()?;
        let file = self.file.path();
        let fail = |e| Failure::engine(file, e);
        let (name, options) = (self.table.name(), TableOptions::default());
        self.file.try_first(name, &options, Some((&key, &value)))?;
        let db = self.file.open()?;
        let mut txn = self.wait.begin(&db, file)?;
        let mut table = PairsMut::open(&mut txn, name, &options).map_err(fail)?;
        let already = table.put(&key, &value).map_err(fail)?;
        let field = match table {
            PairsMut::Map(_) => "replaced",
            PairsMut::Sets(_) => "already_there",
        };
        txn.commit().map_err(fail)?;
        let done = json!({ field: already });
        Status::Fine.done(COMMITTED, Output::only_json(self.json, &done))
    }

    /// From the argument, a file or standard input.
    fn value(&self) -> Outcome<Vec<u8>> {
        let Some(from) = &self.from else {
            let value = self.value.clone().unwrap_or_default();
            return bytes_of("value", &value, self.hex.notation());
        };
        let mut value = Vec::new();
        let read = match from.as_os_str() == "-" {
            true => io::stdin().read_to_end(&mut value).map(|_| value),
            false => std::fs::read(from),
        };
        let advice = "--from takes a file, or - for standard input";
        read.map_err(|e| Failure::at(from, format!("{e}; {advice}")))
    }
}
