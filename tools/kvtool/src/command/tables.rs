//! `kvtool tables`: the tables with their sizes.

use super::Status;
use crate::database::{ReadArg, SnapshotArg};
use crate::failure::{Failure, Outcome};
use crate::output::{JsonArg, Output};
use crate::pairs::{is_set, value_size};
use crate::text::{grouped, one_line};
use recto::{Order, TableOptions};
use serde_json::json;

#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  kvtool tables fruit.recto")]
pub struct Tables {
    #[command(flatten)]
    file: ReadArg,
    #[command(flatten)]
    snapshot: SnapshotArg,
    /// Only this table (default: all)
    #[arg(short = 't', long = "table", value_name = "TABLE")]
    named: Option<String>,
    #[command(flatten)]
    json: JsonArg,
}

/// The options of a table in a few words; none for a table of bytes.
fn made_with(options: &TableOptions) -> String {
    let sets = is_set(options).then(|| match value_size(options) {
        0 => "sets".into(),
        size => format!("sets of {} bytes", grouped(size.into())),
    });
    let align = (options.align > 1).then(|| format!("align {}", options.align));
    let order = order_name(&options.order).map(|order| format!("order {order}"));
    let types = [("keys", &options.key_type), ("values", &options.value_type)];
    let types = types.iter().filter(|(_, name)| !name.is_empty());
    let types = types.map(|(what, name)| format!("{what} {}", one_line(name)));
    sets.into_iter().chain(align).chain(order).chain(types).collect::<Vec<_>>().join(", ")
}

/// How keys are ordered, where they are not packed.
fn order_name(order: &Order) -> Option<String> {
    match order {
        Order::Packed => None,
        Order::Custom(name) => Some(format!("\"{}\"", one_line(name))),
        order => Some(format!("{order:?}").to_lowercase()),
    }
}

impl Tables {
    pub fn run(self) -> Outcome<Status> {
        let file = self.file.path();
        let fail = |e| Failure::engine(file, e);
        let txn = self.snapshot.read(&self.file.open()?).map_err(fail)?;
        let mut tables = txn.tables().map_err(fail)?;
        if let Some(name) = &self.named {
            tables.retain(|t| t.name == *name);
            if tables.is_empty() {
                return Err(fail(recto::Error::NoSuchTable(name.clone())));
            }
        }
        let mut out = Output::plain(self.json)?;
        if out.is_json() {
            for t in &tables {
                out.object(&json!({
                    "name": t.name,
                    "pairs": t.stats.pairs,
                    "keys": t.stats.entries,
                    "depth": t.stats.depth,
                    "branch_pages": t.stats.branch_pages,
                    "leaf_pages": t.stats.leaf_pages,
                    "overflow_pages": t.stats.overflow_pages,
                    "sets": is_set(&t.options),
                    "value_size": Some(value_size(&t.options)).filter(|size| *size > 0),
                    "align": t.options.align,
                    "order": order_name(&t.options.order),
                    "key_type": t.options.key_type,
                    "value_type": t.options.value_type,
                }))?;
            }
        } else {
            // Where each key has one value there are as many.
            let sets = tables.iter().any(|t| is_set(&t.options));
            let keys = sets.then(|| "keys".into());
            let pages = ["depth", "branch pages", "leaf pages", "overflow pages"];
            let mut rows = vec![vec!["table".to_string(), "pairs".into()]];
            rows[0].extend(keys.into_iter().chain(pages.map(String::from)));
            // Most databases have none.
            let options = tables.iter().any(|t| t.options != TableOptions::default());
            rows[0].extend(options.then(|| "made with".into()));
            rows.extend(tables.iter().map(|t| {
                let s = &t.stats;
                let keys = sets.then_some(s.entries);
                let pages = [s.depth.into(), s.branch_pages, s.leaf_pages, s.overflow_pages];
                let mut row = vec![one_line(&t.name), grouped(s.pairs)];
                row.extend(keys.into_iter().chain(pages).map(grouped));
                row.extend(options.then(|| made_with(&t.options)));
                row
            }));
            out.columns(&rows)?;
        }
        out.finish()?;
        Ok(Status::Fine)
    }
}
