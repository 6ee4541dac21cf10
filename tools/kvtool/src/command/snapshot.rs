//! `kvtool snapshot`: named snapshots, made, listed and dropped.

use super::{COMMITTED, Status};
use crate::database::{ReadArg, WaitArg};
use crate::failure::{Failure, Outcome};
use crate::output::{JsonArg, Output};
use crate::text::{one_line, span};
use recto::SnapshotInfo;
use serde_json::json;
use std::time::UNIX_EPOCH;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kvtool snapshot fruit.recto create \"before the sale\"
  kvtool snapshot fruit.recto
  kvtool dump fruit.recto --snapshot \"before the sale\"
  kvtool snapshot fruit.recto drop \"before the sale\"

A snapshot keeps what the database holds now until it is dropped, and the pages that it sees from
being used again. It shares them with the database: it is no copy, and `salvage` does not save it.")]
pub struct Snapshot {
    #[command(flatten)]
    file: ReadArg,
    /// What to do
    #[arg(value_enum, default_value_t = What::List)]
    what: What,
    /// The snapshot
    #[arg(value_name = "NAME", required_if_eq_any([("what", "create"), ("what", "drop")]))]
    name: Option<String>,
    #[command(flatten)]
    json: JsonArg,
    #[command(flatten)]
    wait: WaitArg,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    /// Give the newest state a name
    Create,
    /// Print the snapshots, in the order of their names; or the one of this name
    List,
    /// Drop the snapshot
    Drop,
}

impl Snapshot {
    pub fn run(self) -> Outcome<Status> {
        match (self.what, &self.name) {
            (What::List, _) => self.list(),
            (what, Some(name)) => self.change(what == What::Create, name),
            (_, None) => Err(Failure::said("give a NAME")),
        }
    }

    fn change(&self, create: bool, name: &str) -> Outcome<Status> {
        let file = self.file.path();
        let fail = |e| Failure::engine(file, e);
        let db = self.file.open_to_change()?;
        let mut txn = self.wait.begin(&db, file)?;
        if create {
            txn.create_snapshot(name).map_err(fail)?;
        } else if !txn.drop_snapshot(name).map_err(fail)? {
            return Err(fail(recto::Error::NoSuchSnapshot(name.into())));
        }
        txn.commit().map_err(fail)?;
        let done = if create { "created" } else { "dropped" };
        Status::Fine.done(COMMITTED, Output::only_json(self.json, &json!({ done: name })))
    }

    fn list(&self) -> Outcome<Status> {
        let fail = |e| Failure::engine(self.file.path(), e);
        let mut snapshots = self.file.open()?.snapshots().map_err(fail)?;
        if let Some(name) = &self.name {
            snapshots.retain(|s| s.name == *name);
            if snapshots.is_empty() {
                return Err(fail(recto::Error::NoSuchSnapshot(name.clone())));
            }
        }
        let mut out = Output::plain(self.json)?;
        let seconds = |s: &SnapshotInfo| {
            s.created.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
        };
        if out.is_json() {
            for s in &snapshots {
                let created = seconds(s);
                out.object(&json!({ "name": s.name, "id": s.id, "created": created }))?;
            }
        } else {
            let heads = ["snapshot", "id", "age"];
            let age = |s: &SnapshotInfo| s.created.elapsed().map_or(0, |time| time.as_secs());
            let row = |s: &SnapshotInfo| [one_line(&s.name), s.id.to_string(), span(age(s))];
            let rows = snapshots.iter().map(row);
            let rows: Vec<_> = [heads.map(String::from)].into_iter().chain(rows).collect();
            out.columns(&rows.into_iter().map(Vec::from).collect::<Vec<_>>())?;
        }
        Status::Fine.printed(out.finish())
    }
}
