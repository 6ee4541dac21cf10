//! `kvtool drop` and `kvtool clear`: a table with all it holds, or all it holds, in one durable
//! transaction.

use super::{COMMITTED, Status};
use crate::database::{FileArg, WaitArg};
use crate::failure::{Failure, Outcome};
use crate::output::{JsonArg, Output};
use crate::pairs::{ALL, PairsMut};
use recto::Error;
use serde_json::json;

#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  kvtool drop fruit.recto apples")]
pub struct Drop {
    #[command(flatten)]
    table: Whole,
}

#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  kvtool clear fruit.recto apples")]
pub struct Clear {
    #[command(flatten)]
    table: Whole,
}

/// A table to be emptied.
#[derive(clap::Args, Debug)]
struct Whole {
    #[command(flatten)]
    file: FileArg,
    /// The table
    #[arg(value_name = "TABLE")]
    name: String,
    #[command(flatten)]
    json: JsonArg,
    #[command(flatten)]
    wait: WaitArg,
}

impl Drop {
    pub fn run(self) -> Outcome<Status> {
        self.table.run(false)
    }
}

impl Clear {
    pub fn run(self) -> Outcome<Status> {
        self.table.run(true)
    }
}

impl Whole {
    fn run(self, keep: bool) -> Outcome<Status> {
        let file = &self.file.file;
        let fail = |e| Failure::engine(file, e);
        let db = self.file.open()?;
        let mut txn = self.wait.begin(&db, file)?;
        let mut table = PairsMut::existing(&mut txn, &self.name, file)?;
        let pairs = table.len();
        if keep {
            table.delete_range(ALL).map_err(fail)?;
        } else if !txn.drop_table(&self.name).map_err(fail)? {
            return Err(fail(Error::NoSuchTable(self.name.clone())));
        }
        txn.commit().map_err(fail)?;
        let done = json!({ "table": self.name, "pairs": pairs });
        Status::Fine.done(COMMITTED, Output::only_json(self.json, &done))
    }
}
