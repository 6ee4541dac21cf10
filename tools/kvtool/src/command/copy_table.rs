//! `kvtool copy-table`: makes a table with what another one holds, in one durable transaction.

use super::{COMMITTED, Status};
use crate::database::{FileArg, WaitArg};
use crate::failure::{Failure, Outcome};
use crate::output::{JsonArg, Output};
use serde_json::json;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kvtool copy-table fruit.recto apples 'apples before the import'
  kvtool copy-table fruit.recto main saved --json

The new name must be free. The copy has the options of the table, and needs as much room; its pages
are as full as those of the table, and a dump that is loaded into a new table makes fuller ones.")]
pub struct CopyTable {
    #[command(flatten)]
    file: FileArg,
    /// The table
    #[arg(value_name = "TABLE")]
    from: String,
    /// The name of the copy
    #[arg(value_name = "NAME")]
    to: String,
    #[command(flatten)]
    json: JsonArg,
    #[command(flatten)]
    wait: WaitArg,
}

impl CopyTable {
    pub fn run(self) -> Outcome<Status> {
        let file = &self.file.file;
        let fail = |e| Failure::engine(file, e);
        let db = self.file.open()?;
        let mut txn = self.wait.begin(&db, file)?;
        txn.copy_table(&self.from, &self.to).map_err(fail)?;
        let tables = txn.tables().map_err(fail)?;
        let pairs =
            tables.iter().find(|table| table.name == self.to).map(|table| table.stats.pairs);
        txn.commit().map_err(fail)?;
        let done = json!({ "copied": self.from, "to": self.to, "pairs": pairs });
        Status::Fine.done(COMMITTED, Output::only_json(self.json, &done))
    }
}
