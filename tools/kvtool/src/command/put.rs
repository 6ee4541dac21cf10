//! `kvtool put`: one pair in one durable transaction.

use super::{Status, bytes_of};
use crate::database::{NewArg, TableArg, WaitArg};
use crate::failure::{Failure, Outcome};
use crate::output::{HexArg, JsonArg, Output};
use serde_json::json;
use std::ffi::OsString;

#[derive(clap::Args, Debug)]
pub struct Put {
    #[command(flatten)]
    file: NewArg,
    /// The key
    #[arg(allow_negative_numbers = true)]
    key: OsString,
    /// The value
    #[arg(allow_negative_numbers = true)]
    value: OsString,
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
        let value = bytes_of("value", &self.value, self.hex.notation())?;
        let file = self.file.path();
        let fail = |e| Failure::engine(file, e);
        let db = self.file.open()?;
        let mut txn = self.wait.begin(&db, file)?;
        let replaced = txn
            .open_table(self.table.name())
            .and_then(|mut table| table.put(&key, &value))
            .map_err(fail)?;
        txn.commit().map_err(fail)?;
        let mut out = Output::plain(self.json)?;
        if out.is_json() {
            out.object(&json!({ "replaced": replaced }))?;
        }
        out.finish()?;
        Ok(Status::Fine)
    }
}
