//! `kvtool compare`: reads the input of a `load` again and compares every pair with the database.
//!
//! Walks the table beside the input for as long as the input's keys ascend, which takes no memory.
//! Keys of the table that the walk has passed and the input has not named yet are remembered, and
//! struck off if the input names them later; what is left in the end is extra. Of pairs with the
//! same key the last one counts, as in `load`.
//!
//! Where a key has a set of values, what is compared is pairs: each is there or not, and none
//! differs. Pairs are named by their key and value in one ([`join`]), which keeps their order.

use super::Status;
use crate::database::{ReadArg, TableArg};
use crate::failure::{Failure, Outcome};
use crate::input::{Input, InputArgs, Next, Pair};
use crate::output::{HexArg, JsonArg, Output};
use crate::pairs::{ALL, Pairs, Walk, is_set};
use crate::progress::Progress;
use crate::say;
use crate::text::{grouped, one_line};
use recto::{Error, Key, ReadTxn};
use serde_json::json;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, btree_map};
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
        totals.only_sets = tables.values().all(|side| side.of_sets);
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
                match side.of_sets {
                    true => {
                        let (key, value) = split(key);
                        print_problem(&mut out, what.name(), name, &key, Some(value))?;
                    }
                    false => print_problem(&mut out, what.name(), name, key, None)?,
                }
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
    let mut tables: BTreeMap<String, Side<'t>> = BTreeMap::new();
    let mut pair = Pair::default();
    let mut event = input.next(&mut pair)?;
    while let Next::Table(name) = event {
        let of_sets = is_set(input.options());
        let side = match tables.entry(name) {
            btree_map::Entry::Occupied(old) => {
                if of_sets && !old.get().of_sets {
                    let name = one_line(old.key());
                    let what = format!("table {name} comes twice, with sets of values and without");
                    return Err(Failure::said(format!("{}: {what}", input.place())));
                }
                old.into_mut()
            }
            btree_map::Entry::Vacant(new) => {
                let side = Side::new(txn, new.key(), of_sets).map_err(fail)?;
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

/// A key and a value in one name, in the order of keys and then of values: the key, each zero of it
/// with a 255 behind, two zeros, the value.
fn join(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(key.len() + value.len() + 2);
    for &byte in key {
        name.push(byte);
        if byte == 0 {
            name.push(255);
        }
    }
    name.extend([0, 0]);
    name.extend_from_slice(value);
    name
}

/// The key and the value of such a name.
fn split(name: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut key = Vec::new();
    let mut at = 0;
    while let Some(&byte) = name.get(at) {
        match (byte, name.get(at + 1)) {
            (0, Some(0)) => return (key, &name[at + 2..]),
            (0, _) => at += 2,
            _ => at += 1,
        }
        key.push(byte);
    }
    (key, b"")
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
    table: Option<Pairs<'t>>,
    /// Pairs are compared, not keys: here or in the input a key has a set of values.
    of_sets: bool,
    walk: Option<Walk<'t>>,
    /// The pair of the walk that comes next; keys below it have been passed.
    ahead: Option<(Key<'t>, Key<'t>)>,
    /// Passed keys that the input has not named.
    unnamed: BTreeSet<Vec<u8>>,
    problems: BTreeMap<Vec<u8>, Problem>,
    /// Pairs whose key the input had named before.
    repeated: u64,
}

impl<'t> Side<'t> {
    fn new(txn: &'t ReadTxn, name: &str, of_sets: bool) -> recto::Result<Side<'t>> {
        let table = match Pairs::open(txn, name) {
            Ok(table) => Some(table),
            Err(Error::NoSuchTable(_)) => None,
            Err(error) => return Err(error),
        };
        let of_sets = of_sets || matches!(table, Some(Pairs::Sets(_)));
        let mut walk = table.map(|t| t.pairs(ALL)).transpose()?;
        let ahead = walk.as_mut().and_then(Iterator::next).transpose()?;
        let (unnamed, problems) = (BTreeSet::new(), BTreeMap::new());
        Ok(Side { table, of_sets, walk, ahead, unnamed, problems, repeated: 0 })
    }

    fn advance(&mut self) -> recto::Result<()> {
        self.ahead = self.walk.as_mut().and_then(Iterator::next).transpose()?;
        Ok(())
    }

    /// By what a pair is known: its key, or both.
    fn name<'n>(&self, key: &'n [u8], value: &[u8]) -> Cow<'n, [u8]> {
        if self.of_sets { Cow::Owned(join(key, value)) } else { Cow::Borrowed(key) }
    }

    fn compare(&mut self, key: &[u8], value: &[u8]) -> recto::Result<()> {
        let problem = self.problem(key, value)?;
        match problem {
            Some(problem) => {
                let before = self.problems.insert(self.name(key, value).into_owned(), problem);
                self.repeated += u64::from(before == Some(Problem::Missing));
            }
            None if self.problems.is_empty() => {}
            None => {
                self.problems.remove(&*self.name(key, value));
            }
        }
        Ok(())
    }

    /// What is wrong with a pair; moves the walk up to it.
    fn problem(&mut self, key: &[u8], value: &[u8]) -> recto::Result<Option<Problem>> {
        let differs = |same: bool| (!same).then_some(Problem::Differs);
        while let Some((ahead, stored)) = &self.ahead {
            let by_value = || if self.of_sets { value.cmp(stored) } else { Ordering::Equal };
            match key.cmp(ahead).then_with(by_value) {
                Ordering::Greater => {
                    self.pass();
                    self.advance()?;
                }
                Ordering::Equal => {
                    let same = value == &**stored;
                    self.advance()?;
                    return Ok(differs(same));
                }
                Ordering::Less => break,
            }
        }
        let first = !self.unnamed.is_empty() && self.unnamed.remove(&*self.name(key, value));
        let stored = match self.table {
            Some(table) if self.of_sets => table.contains(key, value)?.then_some(true),
            Some(table) => table.values(key)?.next().transpose()?.map(|stored| *stored == *value),
            None => None,
        };
        // The walk has passed it, so the input has named it before unless it was still open.
        self.repeated += u64::from(stored.is_some() && !first);
        Ok(stored.map_or(Some(Problem::Missing), differs))
    }

    /// The walk goes by what is ahead.
    fn pass(&mut self) {
        if let Some((key, value)) = &self.ahead {
            let name = self.name(key, value).into_owned();
            self.unnamed.insert(name);
        }
    }

    /// What is wrong, key by key, or pair by pair.
    fn problems(&self) -> impl Iterator<Item = (&Vec<u8>, Problem)> {
        let named = self.problems.iter().map(|(key, what)| (key, *what));
        named.chain(self.unnamed.iter().map(|key| (key, Problem::Extra)))
    }

    /// The input is over: what the walk has not reached is not in it.
    fn finish(&mut self) -> recto::Result<()> {
        while self.ahead.is_some() {
            self.pass();
            self.advance()?;
        }
        Ok(())
    }
}

/// In a table of sets the value is named too.
fn print_problem(
    out: &mut Output,
    what: &str,
    table: &str,
    key: &[u8],
    value: Option<&[u8]>,
) -> Outcome<()> {
    if out.is_json() {
        let mut object = json!({ "problem": what, "table": table, "key": out.json_value(key) });
        if let Some(value) = value {
            object["value"] = out.json_value(value);
        }
        return out.object(&object);
    }
    let mut key = out.text_value(key);
    if let Some(value) = value {
        key = format!("{key}\t{}", out.text_value(value));
    }
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
    /// Every table is one of sets.
    only_sets: bool,
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
            n if self.only_sets => format!("{} (the same pair counts once)", grouped(n)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pairs_come_apart_and_keep_their_order() {
        let parts: [&[u8]; 8] = [b"", b"\0", b"\0\0", b"\0\xff", b"\0a", b"a", b"a\0", b"a\xff"];
        let pairs: BTreeSet<_> = parts.iter().flat_map(|key| parts.map(|v| (*key, v))).collect();
        let names: Vec<_> = pairs.iter().map(|(key, value)| join(key, value)).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        for ((key, value), name) in pairs.iter().zip(&names) {
            assert_eq!(split(name), (key.to_vec(), *value));
        }
    }
}
