//! `kvtool watch`: a line for each commit that becomes visible, of any process.

use super::Status;
use crate::database::ReadArg;
use crate::failure::{Failure, Outcome};
use crate::output::{JsonArg, Output};
use crate::signals::Interrupt;
use crate::text::{grouped, one_line};
use recto::{ReadTxn, TableStats};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long one wait takes at most: then the command looks whether it has been interrupted.
const WAIT: Duration = Duration::from_millis(500);

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kvtool watch fruit.recto
  kvtool watch fruit.recto --json --count 10

A line names the transaction and the tables whose size has changed, with the number of
their pairs. Commits that follow each other faster than they can be read share a line.
Ctrl-C ends it.")]
pub struct Watch {
    #[command(flatten)]
    file: ReadArg,
    /// End after so many lines (default: go on until Ctrl-C)
    #[arg(long, value_name = "LINES")]
    count: Option<u64>,
    #[command(flatten)]
    json: JsonArg,
}

type Sizes = BTreeMap<String, TableStats>;

impl Watch {
    pub fn run(self) -> Outcome<Status> {
        let fail = |e| Failure::engine(self.file.path(), e);
        let stop = Interrupt::default();
        stop.listen()?;
        let db = self.file.open()?;
        let first = db.read().map_err(fail)?;
        let (mut seen, mut sizes) = (first.id(), sizes(&first).map_err(fail)?);
        drop(first);
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 && !stop.is_set() {
            if db.wait_for_commit(seen, Some(WAIT)).map_err(fail)? <= seen {
                continue;
            }
            let txn = db.read().map_err(fail)?;
            let now = self::sizes(&txn).map_err(fail)?;
            // A reader of the pipe wants each line when it is there.
            let mut out = Output::plain(self.json)?;
            print(&mut out, txn.id(), &sizes, &now)?;
            out.finish()?;
            (seen, sizes) = (txn.id(), now);
            left -= 1;
        }
        Ok(Status::Fine)
    }
}

fn sizes(txn: &ReadTxn) -> recto::Result<Sizes> {
    Ok(txn.tables()?.into_iter().map(|t| (t.name, t.stats)).collect())
}

fn print(out: &mut Output, txn: u64, before: &Sizes, now: &Sizes) -> Outcome<()> {
    let names: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let changed: Vec<(&String, Option<u64>, Option<u64>)> = names
        .into_iter()
        .filter(|name| before.get(*name) != now.get(*name))
        .map(|name| (name, before.get(name).map(|s| s.pairs), now.get(name).map(|s| s.pairs)))
        .collect();
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if out.is_json() {
        let tables: Vec<Value> = changed
            .iter()
            .map(|(name, before, now)| json!({ "name": name, "before": before, "pairs": now }))
            .collect();
        let seconds = time.as_secs_f64();
        return out.object(&json!({ "transaction": txn, "time": seconds, "tables": tables }));
    }
    let day = time.as_secs() % 86_400;
    let clock = format!(
        "{:02}:{:02}:{:02}.{:03}",
        day / 3_600,
        day / 60 % 60,
        day % 60,
        time.subsec_millis()
    );
    let mut line = format!("{clock} UTC  transaction {txn}");
    for (name, before, now) in changed {
        let what = match (before, now) {
            (None, Some(now)) => format!("{} pairs, new", grouped(now)),
            (Some(_), None) => "dropped".into(),
            (Some(before), Some(now)) if now != before => {
                format!("{} pairs ({:+})", grouped(now), now as i128 - before as i128)
            }
            (_, now) => format!("{} pairs", grouped(now.unwrap_or(0))),
        };
        line.push_str(&format!("  {name}: {what}"));
    }
    out.line(&one_line(&line))
}
