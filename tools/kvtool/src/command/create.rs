//! `kvtool create`: makes a database, and a table in it if one is named.

use super::{COMMITTED, Status};
use crate::database::{NewArg, TableArg, WaitArg};
use crate::failure::{Failure, Outcome};
use crate::output::{JsonArg, Output};
use recto::TableOptions;
use serde_json::json;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kvtool create fruit.recto
  kvtool create fruit.recto -t apples --page-size 16384
  kvtool create words.recto -t vectors --align 64

A file or table that is there already is an error, and stays as it is.")]
pub struct Create {
    #[command(flatten)]
    file: NewArg,
    #[command(flatten)]
    table: TableArg,
    /// Values of the table begin at multiples of so many bytes: a power of two up to 4096
    #[arg(long, value_name = "BYTES", requires = "named")]
    align: Option<usize>,
    #[command(flatten)]
    json: JsonArg,
    #[command(flatten)]
    wait: WaitArg,
}

impl Create {
    pub fn run(self) -> Outcome<Status> {
        let file = self.file.path();
        let exists = file.symlink_metadata().is_ok();
        if exists && self.table.named.is_none() {
            return Err(Failure::at(file, "exists already; -t makes a table in it"));
        }
        let options = TableOptions::aligned(self.align.unwrap_or(1));
        self.file.try_first(self.table.name(), &options, b"")?;
        let db = self.file.open()?;
        if let Some(name) = &self.table.named {
            let fail = |e| Failure::engine(file, e);
            let mut txn = self.wait.begin(&db, file)?;
            txn.create_table_with(name, &options).map_err(fail)?;
            txn.commit().map_err(fail)?;
        }
        let done = json!({ "created_file": !exists, "created_table": self.table.named });
        Status::Fine.done(COMMITTED, Output::only_json(self.json, &done))
    }
}
