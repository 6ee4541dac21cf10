//! `kvtool tables`: the tables with their sizes.

use super::Status;
use crate::database::ReadArg;
use crate::failure::{Failure, Outcome};
use crate::output::{JsonArg, Output};
use crate::text::{grouped, one_line};
use recto::TableOptions;
use serde_json::json;

#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  kvtool tables fruit.recto")]
pub struct Tables {
    #[command(flatten)]
    file: ReadArg,
    /// Only this table (default: all)
    #[arg(short = 't', long = "table", value_name = "TABLE")]
    named: Option<String>,
    #[command(flatten)]
    json: JsonArg,
}

/// The options of a table in a few words; none for a table of bytes.
fn made_with(options: &TableOptions) -> String {
    let align = (options.align > 1).then(|| format!("align {}", options.align));
    let types = [("keys", &options.key_type), ("values", &options.value_type)];
    let types = types.iter().filter(|(_, name)| !name.is_empty());
    let types = types.map(|(what, name)| format!("{what} {}", one_line(name)));
    align.into_iter().chain(types).collect::<Vec<_>>().join(", ")
}

impl Tables {
    pub fn run(self) -> Outcome<Status> {
        let file = self.file.path();
        let fail = |e| Failure::engine(file, e);
        let txn = self.file.open()?.read().map_err(fail)?;
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
                    "entries": t.stats.entries,
                    "depth": t.stats.depth,
                    "branch_pages": t.stats.branch_pages,
                    "leaf_pages": t.stats.leaf_pages,
                    "overflow_pages": t.stats.overflow_pages,
                    "align": t.options.align,
                    "key_type": t.options.key_type,
                    "value_type": t.options.value_type,
                }))?;
            }
        } else {
            let heads =
                ["table", "entries", "depth", "branch pages", "leaf pages", "overflow pages"];
            let mut rows = vec![heads.map(String::from).to_vec()];
            // Most databases have none.
            let options = tables.iter().any(|t| t.options != TableOptions::default());
            rows[0].extend(options.then(|| "made with".into()));
            rows.extend(tables.iter().map(|t| {
                let s = &t.stats;
                let counts =
                    [s.entries, s.depth.into(), s.branch_pages, s.leaf_pages, s.overflow_pages];
                let mut row = vec![one_line(&t.name)];
                row.extend(counts.map(grouped));
                row.extend(options.then(|| made_with(&t.options)));
                row
            }));
            out.columns(&rows)?;
        }
        out.finish()?;
        Ok(Status::Fine)
    }
}
