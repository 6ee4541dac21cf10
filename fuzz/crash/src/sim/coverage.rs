//! What runs have reached, so that a blind spot is visible.

use recto::harness::sim::EventKind;
use std::collections::BTreeMap;
use std::fmt;

/// What was going on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Row {
    Commit,
    TwoPhase,
    GroupCommit,
    DeferredFlush,
    Growth,
    Shrink,
    FreeLogSpill,
    PoolSpill,
    Overflow,
    TableDrop,
    Recovery,
    SecondRecovery,
    Repair,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Column {
    PowerCut,
    Death,
    FailingCall,
    Turn,
}

const ROWS: [(Row, &str); 13] = [
    (Row::Commit, "commit"),
    (Row::TwoPhase, "two-phase commit"),
    (Row::GroupCommit, "group commit"),
    (Row::DeferredFlush, "deferred flush"),
    (Row::Growth, "growth"),
    (Row::Shrink, "shrink"),
    (Row::FreeLogSpill, "free-log spill"),
    (Row::PoolSpill, "pool spill"),
    (Row::Overflow, "overflow value"),
    (Row::TableDrop, "table drop"),
    (Row::Recovery, "recovery"),
    (Row::SecondRecovery, "second recovery"),
    (Row::Repair, "repair"),
];
/// What can happen to the database as a whole.
const HAPPENINGS: [&str; 10] = [
    "crowds of readers",
    "devices that refuse",
    "files put back",
    "handles alone",
    "newer builds",
    "newer builds beside",
    "other lock files",
    "remounts",
    "strangers",
    "transactions kept open",
];
const COLUMNS: [(Column, &str); 4] = [
    (Column::PowerCut, "power cut"),
    (Column::Death, "death"),
    (Column::FailingCall, "failing call"),
    (Column::Turn, "other's turn"),
];

/// Counts of one run, or of many.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    /// Scripts.
    pub runs: u64,
    /// Lines of scripts.
    pub ops: u64,
    /// Single keys put or deleted.
    pub edits: u64,
    /// Commits that were acknowledged.
    pub commits: u64,
    /// Cut points.
    pub cut_points: u64,
    /// Power cuts with recovery and its whole check.
    pub cuts: u64,
    /// Of those: cuts during the recovery from a cut.
    pub second_cuts: u64,
    /// Of those: cuts during the recovery from such a one.
    pub third_cuts: u64,
    /// Processes that died.
    pub deaths: u64,
    /// Calls that failed.
    pub failed_calls: u64,
    /// Faults while an earlier one was being dealt with.
    pub double_faults: u64,
    /// Times that another process had its turn in the middle of something.
    pub turns: u64,
    /// Pages written back early, and pages that left the cache.
    pub write_backs: u64,
    pub evictions: u64,
    /// Transactions that found the disk full.
    pub found_full: u64,
    /// What has happened to the database as a whole.
    happenings: BTreeMap<&'static str, u64>,
    cells: BTreeMap<(Row, Column), u64>,
    steps: BTreeMap<(String, Column), u64>,
}

impl Tally {
    /// Something happened to the database as a whole, so many times; one of `HAPPENINGS`.
    pub fn count(&mut self, what: &'static str, times: u64) {
        debug_assert!(HAPPENINGS.contains(&what), "{what}");
        *self.happenings.entry(what).or_default() += times;
    }

    /// Something happened at an event, while all this was going on.
    pub fn happened(&mut self, column: Column, rows: &[Row], kind: &EventKind) {
        for row in rows {
            *self.cells.entry((*row, column)).or_default() += 1;
        }
        *self.steps.entry((name_of(kind), column)).or_default() += 1;
    }

    /// Adds what another run has counted.
    pub fn add(&mut self, other: &Tally) {
        let pairs = [
            (&mut self.runs, other.runs),
            (&mut self.ops, other.ops),
            (&mut self.edits, other.edits),
            (&mut self.commits, other.commits),
            (&mut self.cut_points, other.cut_points),
            (&mut self.cuts, other.cuts),
            (&mut self.second_cuts, other.second_cuts),
            (&mut self.third_cuts, other.third_cuts),
            (&mut self.deaths, other.deaths),
            (&mut self.failed_calls, other.failed_calls),
            (&mut self.double_faults, other.double_faults),
            (&mut self.turns, other.turns),
            (&mut self.write_backs, other.write_backs),
            (&mut self.evictions, other.evictions),
            (&mut self.found_full, other.found_full),
        ];
        for (mine, more) in pairs {
            *mine += more;
        }
        for (&what, n) in &other.happenings {
            *self.happenings.entry(what).or_default() += n;
        }
        for (&cell, n) in &other.cells {
            *self.cells.entry(cell).or_default() += n;
        }
        for (step, n) in &other.steps {
            *self.steps.entry(step.clone()).or_default() += n;
        }
    }

    /// Whether anything happened at an event of this kind.
    pub fn reached(&self, kind: &EventKind) -> bool {
        let name = name_of(kind);
        self.steps.keys().any(|(step, _)| *step == name)
    }

    /// Cells of the table that nothing has reached.
    pub fn empty_cells(&self) -> Vec<String> {
        let never = |what: &&&str| self.happenings.get(**what).is_none_or(|n| *n == 0);
        let mut empty: Vec<String> =
            HAPPENINGS.iter().filter(never).map(|s| s.to_string()).collect();
        for (row, row_name) in ROWS {
            for (column, column_name) in COLUMNS {
                if !self.cells.contains_key(&(row, column)) {
                    empty.push(format!("{row_name} / {column_name}"));
                }
            }
        }
        empty
    }

    /// The table of what was going on and what happened.
    pub fn table(&self) -> String {
        let mut text = format!("{:<18}", "");
        COLUMNS.iter().for_each(|(_, name)| text += &format!("{name:>14}"));
        for (row, name) in ROWS {
            text += &format!("\n{name:<18}");
            for (column, _) in COLUMNS {
                text += &format!("{:>14}", self.cells.get(&(row, column)).copied().unwrap_or(0));
            }
        }
        text
    }

    /// One line for each kind of event.
    pub fn steps_table(&self) -> String {
        let mut text = format!("{:<32}", "");
        COLUMNS.iter().for_each(|(_, name)| text += &format!("{name:>14}"));
        let mut names: Vec<&String> = self.steps.keys().map(|(name, _)| name).collect();
        names.dedup();
        for name in names {
            text += &format!("\n{name:<32}");
            for (column, _) in COLUMNS {
                let n = self.steps.get(&(name.clone(), column)).copied().unwrap_or(0);
                text += &format!("{n:>14}");
            }
        }
        text
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "scripts           {:>12}", self.runs)?;
        writeln!(f, "operations        {:>12}   keys put or deleted {}", self.ops, self.edits)?;
        writeln!(f, "commits           {:>12}   acknowledged", self.commits)?;
        writeln!(
            f,
            "power cuts        {:>12}   with recovery, at {} points; in recovery {}, in that one's {}",
            self.cuts, self.cut_points, self.second_cuts, self.third_cuts
        )?;
        writeln!(f, "deaths            {:>12}", self.deaths)?;
        writeln!(f, "failed calls      {:>12}", self.failed_calls)?;
        writeln!(f, "double faults     {:>12}", self.double_faults)?;
        writeln!(f, "turns of others   {:>12}", self.turns)?;
        for (what, n) in &self.happenings {
            writeln!(f, "{what:<24} {n:>5}")?;
        }
        writeln!(
            f,
            "early write-backs {:>12}   pages lost from the cache {}",
            self.write_backs, self.evictions
        )
    }
}

fn name_of(kind: &EventKind) -> String {
    match kind {
        EventKind::Write { .. } => "write".into(),
        EventKind::Stored { .. } => "store".into(),
        EventKind::Grow { .. } => "grow".into(),
        EventKind::Truncate { .. } => "truncate".into(),
        EventKind::SyncBegin { .. } => "sync begins".into(),
        EventKind::SyncEnd { .. } => "sync ends".into(),
        EventKind::Lock { .. } => "lock".into(),
        EventKind::Map { .. } => "map".into(),
        EventKind::Step(step) => format!("step {step}"),
    }
}
