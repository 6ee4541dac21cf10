//! `kvtool rename`: gives a table another name in one durable transaction.

use super::{COMMITTED, Status};
use crate::database::{FileArg, WaitArg};
use crate::failure::{Failure, Outcome};
use crate::output::{JsonArg, Output};
use serde_json::json;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kvtool rename fruit.recto apples pears
  kvtool rename saved.recto lost+found/1-77 main     (after a salvage)

The new name must be free. Costs the same for a table of any size.")]
pub struct Rename {
    #[command(flatten)]
    file: FileArg,
    /// The table
    #[arg(value_name = "TABLE")]
    from: String,
    /// Its new name
    #[arg(value_name = "NAME")]
    to: String,
    #[command(flatten)]
    json: JsonArg,
    #[command(flatten)]
    wait: WaitArg,
}

impl Rename {
    pub fn run(self) -> Outcome<Status> {
        let file = &self.file.file;
        let fail = |e| Failure::engine(file, e);
        let db = self.file.open()?;
        let mut txn = self.wait.begin(&db, file)?;
        txn.rename_table(&self.from, &self.to).map_err(fail)?;
        txn.commit().map_err(fail)?;
        let done = json!({ "renamed": self.from, "to": self.to });
        Status::Fine.done(COMMITTED, Output::only_json(self.json, &done))
    }
}
