//! `kvtool create`: makes a database, and a table in it if one is named.

use super::{COMMITTED, Status};
use crate::database::{NewArg, TableArg, WaitArg};
use crate::failure::{Failure, Outcome};
use crate::output::{JsonArg, Output};
use crate::pairs::PairsMut;
use recto::{Error, Order, TableOptions};
use serde_json::json;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kvtool create fruit.recto
  kvtool create fruit.recto -t apples --page-size 16384
  kvtool create words.recto -t vectors --align 64
  kvtool create tags.recto -t tags --set
  kvtool create hosts.recto -t names --order reversed

A file or table that is there already is an error, and stays as it is.")]
pub struct Create {
    #[command(flatten)]
    file: NewArg,
    #[command(flatten)]
    table: TableArg,
    /// Values of the table begin at multiples of so many bytes: a power of two up to 4096
    #[arg(long, value_name = "BYTES", requires = "named")]
    align: Option<usize>,
    /// A key of the table has a set of values, in their order, and not one value
    #[arg(long, requires = "named", conflicts_with = "align")]
    set: bool,
    /// Keys of the table stand whole, in this order
    #[arg(long, requires = "named")]
    order: Option<KeyOrder>,
    /// Each value of the sets has so many bytes (default: any number)
    #[arg(long, value_name = "BYTES", requires = "set",
          value_parser = clap::value_parser!(u16).range(1..))]
    value_size: Option<u16>,
    #[command(flatten)]
    json: JsonArg,
    #[command(flatten)]
    wait: WaitArg,
}

/// The orders that need no function of a program's own.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum KeyOrder {
    /// By their bytes
    Plain,
    /// By their bytes from the last one to the first
    Reversed,
    /// Little-endian integers of 4 or 8 bytes
    Integers,
}

impl KeyOrder {
    fn order(self) -> Order {
        match self {
            KeyOrder::Plain => Order::Plain,
            KeyOrder::Reversed => Order::Reversed,
            KeyOrder::Integers => Order::Integers,
        }
    }
}

impl Create {
    pub fn run(self) -> Outcome<Status> {
        let file = self.file.path();
        let exists = file.symlink_metadata().is_ok();
        if exists && self.table.named.is_none() {
            return Err(Failure::at(file, "exists already; -t makes a table in it"));
        }
        let options = match self.set {
            true => TableOptions::set_of(self.value_size.unwrap_or(0)),
            false => TableOptions::aligned(self.align.unwrap_or(1)),
        };
        let options = options.ordered(self.order.map_or(Order::Packed, KeyOrder::order));
        self.file.try_first(self.table.name(), &options, None)?;
        let db = self.file.open()?;
        if let Some(name) = &self.table.named {
            let fail = |e| Failure::engine(file, e);
            let mut txn = self.wait.begin(&db, file)?;
            if txn.table_options(name).map_err(fail)?.is_some() {
                return Err(fail(Error::TableExists(name.clone())));
            }
            PairsMut::open(&mut txn, name, &options).map_err(fail)?;
            txn.commit().map_err(fail)?;
        }
        let done = json!({ "created_file": !exists, "created_table": self.table.named });
        Status::Fine.done(COMMITTED, Output::only_json(self.json, &done))
    }
}
