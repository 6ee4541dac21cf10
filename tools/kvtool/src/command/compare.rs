//! `kvtool compare`: reads the input of a `load` again and compares every pair with the database.
//!
//! Walks the table beside the input for as long as the input's keys ascend, which takes no memory.
//! Keys of the table that the walk has passed and the input has not named yet are remembered, and
//! struck off if the input names them later; what is left in the end is extra. Of pairs with the
//! same key the last one counts, as in `load`.

use super::Status;
use crate::database::{ReadArg, TableArg};
use crate::failure::{Failure, Outcome};
use crate::input::{Input, InputArgs, Next, Pair};
use crate::output::{HexArg, JsonArg, Output};
use crate::progress::Progress;
use crate::say;
use crate::text::{grouped, one_line};
use recto::{Error, Key, Range, ReadTxn, Table};
use serde_json::json;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  kvtool compare files.recto ~/files --format dir")]
pub struct Compare {
    #[command(flatten)]
    file: ReadArg,
    #[command(flatten)]
    input: InputArgs,
    /// Print at most so many differences
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    limit: u64,
    /// Print nothing: the exit status says whether they are the same
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    hex: HexArg,
    #[command(flatten)]
    json: JsonArg,
}

impl Compare {
    pub fn run(self) -> Outcome<Status> {
        let file = self.file.path();
        let mut input = Input::open(&self.input, self.hex, &self.table, None)?;
        let txn = self.file.open()?.read().map_err(|e| Failure::engine(file, e))?;
        input.leave_out_database(file);
        let start = Instant::now();
        let mut totals = Totals::default();
        let tables = compare_all(&mut input, &txn, file, &mut totals)?;
        totals.seconds = start.elapsed().as_secs_f64();
        for note in input.notes() {
            say(note);
        }
        for side in tables.values() {
            totals.repeated += side.repeated;
            side.problems().for_each(|(_, what)| totals.count(what));
        }
        let status = if totals.same() { Status::Fine } else { Status::No };
        match self.quiet {
            true => Ok(status),
            false => status.printed(self.print(&tables, &totals)),
        }
    }

    fn print(&self, tables: &BTreeMap<String, Side<'_>>, totals: &Totals) -> Outcome<()> {
        let mut out = Output::new(self.hex.notation(), self.json.json)?;
        let mut left = self.limit;
        for (name, side) in tables {
            for (key, what) in side.problems() {
                if left == 0 {
                    break;
                }
                left -= 1;
                print_problem(&mut out, what.name(), name, key)?;
            }
        }
        let more = totals.problems().saturating_sub(self.limit);
        if more > 0 && !out.is_json() {
            out.line(&format!("... and {} more; --limit shows them", grouped(more)))?;
        }
        totals.print(&mut out)?;
        out.finish()
    }
}

/// Reads the input to its end; what each table it names differs in.
fn compare_all<'t>(
    input: &mut Input,
    txn: &'t ReadTxn,
    file: &Path,
    totals: &mut Totals,
) -> Outcome<BTreeMap<String, Side<'t>>> {
    let fail = |e| Failure::engine(file, e);
    let mut progress = Progress::bytes("compare", input.total());
    let mut tables = BTreeMap::new();
    let mut pair = Pair::default();
    let mut event = input.next(&mut pair)?;
    while let Next::Table(name) = event {
        let side = match tables.entry(name) {
            std::collections::btree_map::Entry::Occupied(old) => old.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                let side = Side::new(txn, new.key()).map_err(fail)?;
                new.insert(side)
            }
        };
        loop {
            let before = input.bytes_read();
            event = input.next(&mut pair)?;
            progress.add(input.bytes_read() - before);
            if !matches!(event, Next::Pair) {
                break;
            }
            side.compare(&pair.key, &pair.value).map_err(fail)?;
            totals.pairs += 1;
            totals.bytes += pair.len();
        }
    }
    for side in tables.values_mut() {
        side.finish().map_err(fail)?;
    }
    Ok(tables)
}

/// In what a key differs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Problem {
    Differs,
    Missing,
    Extra,
}

impl Problem {
    fn name(self) -> &'static str {
        match self {
            Problem::Differs => "differs",
            Problem::Missing => "missing",
            Problem::Extra => "extra",
        }
    }
}

/// The database's side of one table.
struct Side<'t> {
    table: Option<Table<'t>>,
    walk: Option<Range<'t>>,
    /// The pair of the walk that comes next; keys below it have been passed.
    ahead: Option<(Key<'t>, &'t [u8])>,
    /// Passed keys that the input has not named.
    unnamed: BTreeSet<Vec<u8>>,
    problems: BTreeMap<Vec<u8>, Problem>,
    /// Pairs whose key the input had named before.
    repeated: u64,
}

impl<'t> Side<'t> {
    fn new(txn: &'t ReadTxn, name: &str) -> recto::Result<Side<'t>> {
        let table = match txn.table(name) {
            Ok(table) => Some(table),
            Err(Error::NoSuchTable(_)) => None,
            Err(error) => return Err(error),
        };
        let mut walk = table.map(|t| t.iter()).transpose()?;
        let ahead = walk.as_mut().and_then(Iterator::next).transpose()?;
        let (unnamed, problems) = (BTreeSet::new(), BTreeMap::new());
        Ok(Side { table, walk, ahead, unnamed, problems, repeated: 0 })
    }

    fn advance(&mut self) -> recto::Result<()> {
        self.ahead = self.walk.as_mut().and_then(Iterator::next).transpose()?;
        Ok(())
    }

    fn compare(&mut self, key: &[u8], value: &[u8]) -> recto::Result<()> {
        let stored = self.stored(key)?;
        let problem = match stored {
            Some(stored) if stored == value => None,
            Some(_) => Some(Problem::Differs),
            None => Some(Problem::Missing),
        };
        match problem {
            Some(problem) => {
                let before = self.problems.insert(key.to_vec(), problem);
                self.repeated += u64::from(before == Some(Problem::Missing));
            }
            None if self.problems.is_empty() => {}
            None => {
                self.problems.remove(key);
            }
        }
        Ok(())
    }

    /// The value that the table has for `key`; moves the walk up to the key.
    fn stored(&mut self, key: &[u8]) -> recto::Result<Option<&'t [u8]>> {
        while let Some((ahead, value)) = &self.ahead {
            match key.cmp(ahead) {
                Ordering::Greater => {
                    self.unnamed.insert(ahead.to_vec());
                    self.advance()?;
                }
                Ordering::Equal => {
                    let value = *value;
                    self.advance()?;
                    return Ok(Some(value));
                }
                Ordering::Less => break,
            }
        }
        let first = self.unnamed.remove(key);
        let stored = self.table.map(|table| table.get(key)).transpose()?.flatten();
        // The walk has passed it, so the input has named it before unless it was still open.
        self.repeated += u64::from(stored.is_some() && !first);
        Ok(stored)
    }

    /// What is wrong, key by key.
    fn problems(&self) -> impl Iterator<Item = (&Vec<u8>, Problem)> {
        let named = self.problems.iter().map(|(key, what)| (key, *what));
        named.chain(self.unnamed.iter().map(|key| (key, Problem::Extra)))
    }

    /// The input is over: what the walk has not reached is not in it.
    fn finish(&mut self) -> recto::Result<()> {
        while let Some((key, _)) = &self.ahead {
            self.unnamed.insert(key.to_vec());
            self.advance()?;
        }
        Ok(())
    }
}

fn print_problem(out: &mut Output, what: &str, table: &str, key: &[u8]) -> Outcome<()> {
    if out.is_json() {
        let key = out.json_value(key);
        return out.object(&json!({ "problem": what, "table": table, "key": key }));
    }
    let key = out.text_value(key);
    out.line(&format!("{what:7}  {}  {key}", one_line(table)))
}

#[derive(Default)]
struct Totals {
    pairs: u64,
    bytes: u64,
    differs: u64,
    missing: u64,
    extra: u64,
    repeated: u64,
    seconds: f64,
}

impl Totals {
    fn count(&mut self, problem: Problem) {
        match problem {
            Problem::Differs => self.differs += 1,
            Problem::Missing => self.missing += 1,
            Problem::Extra => self.extra += 1,
        }
    }

    fn problems(&self) -> u64 {
        self.differs + self.missing + self.extra
    }

    fn same(&self) -> bool {
        self.problems() == 0
    }

    fn print(&self, out: &mut Output) -> Outcome<()> {
        let rate = self.bytes as f64 / 1e6 / self.seconds.max(1e-9);
        if out.is_json() {
            return out.object(&json!({
                "pairs": self.pairs,
                "bytes": self.bytes,
                "differs": self.differs,
                "missing": self.missing,
                "extra": self.extra,
                "repeated": self.repeated,
                "seconds": self.seconds,
                "mb_per_second": rate,
            }));
        }
        let repeated = match self.repeated {
            0 => "0".into(),
            n => format!("{} (of pairs with the same key the last one counts)", grouped(n)),
        };
        out.fields(&[
            ("pairs", grouped(self.pairs)),
            ("bytes", grouped(self.bytes)),
            ("differ", grouped(self.differs)),
            ("missing", grouped(self.missing)),
            ("extra", grouped(self.extra)),
            ("repeated", repeated),
            ("seconds", format!("{:.3}", self.seconds)),
            ("MB/s", format!("{rate:.1}")),
        ])
    }
}
