//! What a campaign has done, and how it says so.

use super::point::POINTS;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Kills that each point is to have in a long campaign.
pub const ENOUGH: u64 = 20;

/// Counts of a campaign.
#[derive(Default)]
pub struct Counts {
    /// Rounds of killing and looking.
    pub cycles: u64,
    /// Processes killed, however.
    pub kills: u64,
    /// Those that died at a named point.
    pub at_point: [u64; POINTS.len()],
    /// Times that a process did not come to the point meant for it.
    pub missed: u64,
    /// Processes that stood stopped while others were asked.
    pub stops: u64,
    /// Times that everybody was dead.
    pub all_dead: u64,
    /// Lock files lost.
    pub locks_lost: u64,
    /// Transactions rolled back on purpose.
    pub pages_damaged: u64,
    /// Deferred commits that went with a lock file or a page.
    pub deferred_gone: u64,
    /// Snapshots compared by agents; those of the survivors are not counted.
    pub looks: u64,
    /// Full checks.
    pub checks: u64,
    /// Times that the reader table was found to be free of the dead.
    pub settled: u64,
    /// Databases.
    pub lives: u64,
    /// Transactions begun in all of them.
    pub transactions: u64,
    /// Processes started.
    pub started: u64,
    /// The longest database file in bytes.
    pub longest: u64,
    /// Special cases, and how often each was played; none if it was left out.
    pub special: BTreeMap<&'static str, Option<u64>>,
    /// Why special cases were left out.
    pub left_out: Vec<String>,
}

impl Counts {
    /// A process died at this point.
    pub fn died_at(&mut self, point: &str) {
        self.kills += 1;
        if let Some(i) = POINTS.iter().position(|(name, _)| *name == point) {
            self.at_point[i] += 1;
        }
    }

    /// The summary of a campaign that took so long.
    pub fn summary(&self, seed: u64, time: Duration) -> String {
        Summary { counts: self, seed, time }.to_string()
    }
}

struct Summary<'a> {
    counts: &'a Counts,
    seed: u64,
    time: Duration,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.counts;
        let seconds = self.time.as_secs_f64();
        let named: u64 = c.at_point.iter().sum();
        writeln!(f, "{:<32} {:>9}", "killed at", "times")?;
        for ((name, _), kills) in POINTS.iter().zip(c.at_point) {
            writeln!(f, "  {name:<30} {kills:>9}")?;
        }
        writeln!(f, "  {:<30} {:>9}", "any other moment", c.kills - named)?;
        writeln!(f, "{:<32} {:>9}", "special cases", "times")?;
        for (name, times) in &c.special {
            let times = times.map_or("left out".into(), |n| n.to_string());
            writeln!(f, "  {name:<30} {times:>9}")?;
        }
        for why in &c.left_out {
            writeln!(f, "  left out: {why}")?;
        }
        let rate = c.cycles as f64 / seconds.max(0.001);
        let lines: [(&str, String); 16] = [
            ("cycles", c.cycles.to_string()),
            ("cycles a second", format!("{rate:.1}")),
            ("processes killed", c.kills.to_string()),
            ("processes started", c.started.to_string()),
            ("points missed", c.missed.to_string()),
            ("stopped and asked around", c.stops.to_string()),
            ("all dead at once", c.all_dead.to_string()),
            ("lock files lost", c.locks_lost.to_string()),
            ("transactions rolled back", c.pages_damaged.to_string()),
            ("deferred commits gone with them", c.deferred_gone.to_string()),
            ("databases", c.lives.to_string()),
            ("transactions", c.transactions.to_string()),
            ("snapshots compared by agents", c.looks.to_string()),
            ("full checks, tables settled", format!("{}, {}", c.checks, c.settled)),
            ("longest file, KiB", (c.longest >> 10).to_string()),
            ("seconds", format!("{seconds:.1}")),
        ];
        for (name, value) in lines {
            writeln!(f, "{name:<32} {value:>9}")?;
        }
        write!(f, "{:<32} {}", "seed", self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_counted_where_they_happen() {
        let mut counts = Counts::default();
        counts.died_at("flush: synced");
        counts.died_at("flush: synced");
        counts.kills += 1;
        let text = counts.summary(9, Duration::from_secs(1));
        let line =
            |name: &str| text.lines().find(|l| l.trim().starts_with(name)).map(str::to_owned);
        assert!(line("flush: synced").unwrap().ends_with(" 2"));
        assert!(line("any other").unwrap().ends_with(" 1"));
        assert!(line("seed").unwrap().ends_with(" 9"));
    }
}
