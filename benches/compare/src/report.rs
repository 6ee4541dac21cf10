//! Results: medians and ratios, a table for people, JSON for programs.

use crate::contest::{PerOp, Sample};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The engine that all others are held against.
pub const BASE: &str = "lmdb";

/// One run.
#[derive(Serialize, Deserialize, Default)]
pub struct Report {
    pub machine: BTreeMap<String, String>,
    pub keys: usize,
    pub shape: String,
    pub value_len: usize,
    pub rounds: usize,
    pub limits: Vec<Limit>,
    pub workloads: Vec<WorkloadResult>,
    /// What went wrong; empty in a run that counts.
    pub failures: Vec<String>,
}

/// What the machine gives without any engine.
#[derive(Serialize, Deserialize)]
pub struct Limit {
    pub name: String,
    pub unit: String,
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

#[derive(Serialize, Deserialize)]
pub struct WorkloadResult {
    pub name: String,
    pub group: String,
    pub unit: String,
    pub about: String,
    pub is_size: bool,
    pub engines: Vec<EngineResult>,
}

#[derive(Serialize, Deserialize, Default)]
pub struct EngineResult {
    pub engine: String,
    /// Nanoseconds (or bytes) per operation in each round.
    pub rounds: Vec<f64>,
    pub median: f64,
    pub min: f64,
    pub max: f64,
    /// LMDB's figure by this one, of the same round each; median. Above 1 is better than LMDB.
    pub ratio: Option<f64>,
    pub p50_ns: Option<u64>,
    pub p99_ns: Option<u64>,
    pub max_ns: Option<u64>,
    pub device_writes: Option<f64>,
    pub device_kib: Option<f64>,
    pub device_flushes: Option<f64>,
    pub extra: BTreeMap<String, f64>,
    /// Why it does not take part, or ended early.
    pub note: Option<String>,
}

/// The middle of some values; None of no value.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied()
}

impl EngineResult {
    pub fn new(engine: &str, samples: &[Sample], note: Option<String>) -> EngineResult {
        let rounds: Vec<f64> = samples.iter().map(|s| s.figure).collect();
        let mut latencies: Vec<u64> =
            samples.iter().flat_map(|s| s.latencies_ns.iter().copied()).collect();
        latencies.sort_unstable();
        let device: Vec<PerOp> = samples.iter().filter_map(|s| s.device).collect();
        let of = |what: fn(&PerOp) -> f64| median(&device.iter().map(what).collect::<Vec<_>>());
        let mut extra: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for (name, value) in samples.iter().flat_map(|s| &s.extra) {
            extra.entry(name.clone()).or_default().push(*value);
        }
        EngineResult {
            engine: engine.into(),
            median: median(&rounds).unwrap_or(0.0),
            min: rounds.iter().copied().reduce(f64::min).unwrap_or(0.0),
            max: rounds.iter().copied().reduce(f64::max).unwrap_or(0.0),
            rounds,
            ratio: None,
            p50_ns: percentile(&latencies, 50),
            p99_ns: percentile(&latencies, 99),
            max_ns: latencies.last().copied(),
            device_writes: of(|d| d.writes),
            device_kib: of(|d| d.kib),
            device_flushes: of(|d| d.flushes),
            extra: extra.into_iter().filter_map(|(k, v)| Some((k, median(&v)?))).collect(),
            note,
        }
    }
}

impl WorkloadResult {
    /// Fills in the ratios, once all engines are there.
    pub fn relate(&mut self) {
        let base = self.engines.iter().find(|e| e.engine == BASE);
        let Some(base) = base.map(|e| e.rounds.clone()) else { return };
        for engine in &mut self.engines {
            let ratios: Vec<f64> = base.iter().zip(&engine.rounds).map(|(b, e)| b / e).collect();
            engine.ratio = median(&ratios);
        }
    }
}

/// Nanoseconds in a unit that reads well.
pub fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.2} us", ns / 1e3),
        ns if ns < 1e9 => format!("{:.2} ms", ns / 1e6),
        ns => format!("{:.2} s", ns / 1e9),
    }
}

fn or_dash(value: Option<String>) -> String {
    value.unwrap_or_else(|| "-".into())
}

impl Report {
    pub fn print(&self) {
        println!(
            "\n{} keys ({}), values of {} bytes, {} rounds; medians\n",
            self.keys, self.shape, self.value_len, self.rounds
        );
        for (what, is) in &self.machine {
            println!("{what:<10} {is}");
        }
        if !self.limits.is_empty() {
            println!("\nlimits of the machine{:>25}{:>14}{:>14}", "median", "min", "max");
        }
        for limit in &self.limits {
            let show = |v: f64| {
                if limit.unit == "ns" { time(v) } else { format!("{v:.2} {}", limit.unit) }
            };
            println!(
                "  {:<30}{:>14}{:>14}{:>14}",
                limit.name,
                show(limit.median),
                show(limit.min),
                show(limit.max)
            );
        }
        self.workloads.iter().for_each(WorkloadResult::print);
        for failure in &self.failures {
            println!("\nFAILED: {failure}");
        }
    }
}

impl WorkloadResult {
    pub fn print(&self) {
        println!("\n{}: {} (per {})", self.name, self.about, self.unit);
        println!(
            "  {:<14}{:>11}{:>11}{:>11}{:>8}{:>11}{:>11}{:>11}{:>9}{:>10}{:>9}",
            "", "median", "min", "max", "x LMDB", "p50", "p99", "max", "writes", "KiB", "flushes"
        );
        self.engines.iter().for_each(|engine| engine.print(self.is_size));
    }
}

impl EngineResult {
    fn print(&self, is_size: bool) {
        let note = self.note.as_deref().unwrap_or("");
        if self.rounds.is_empty() {
            println!("  {:<14}  {note}", self.engine);
            return;
        }
        let show = |v: f64| if is_size { format!("{v:.1} B") } else { time(v) };
        let latency = |v: Option<u64>| or_dash(v.map(|v| time(v as f64)));
        let number = |v: Option<f64>, digits| or_dash(v.map(|v| format!("{v:.digits$}")));
        let mut also: Vec<String> = self.extra.iter().map(|(k, v)| format!("{v:.2} {k}")).collect();
        also.extend(self.note.clone());
        let line = format!(
            "  {:<14}{:>11}{:>11}{:>11}{:>8}{:>11}{:>11}{:>11}{:>9}{:>10}{:>9}  {}",
            self.engine,
            show(self.median),
            show(self.min),
            show(self.max),
            number(self.ratio, 2),
            latency(self.p50_ns),
            latency(self.p99_ns),
            latency(self.max_ns),
            number(self.device_writes, 2),
            number(self.device_kib, 2),
            number(self.device_flushes, 2),
            also.join(", ")
        );
        println!("{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_the_same_round() {
        let samples =
            |figures: [f64; 3]| figures.map(|figure| Sample { figure, ..Sample::default() });
        let engines = vec![
            EngineResult::new(BASE, &samples([10.0, 100.0, 10.0]), None),
            EngineResult::new("other", &samples([5.0, 50.0, 2.0]), None),
        ];
        let mut result = WorkloadResult {
            name: "w".into(),
            group: "g".into(),
            unit: "op".into(),
            about: "".into(),
            is_size: false,
            engines,
        };
        result.relate();
        assert_eq!(result.engines[0].ratio, Some(1.0));
        assert_eq!(result.engines[1].ratio, Some(2.0));
        assert_eq!(result.engines[1].median, 5.0);
    }

    #[test]
    fn percentiles_of_few() {
        assert_eq!(percentile(&[], 50), None);
        assert_eq!(percentile(&[7], 99), Some(7));
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(percentile(&hundred, 50), Some(51));
        assert_eq!(percentile(&hundred, 99), Some(100));
    }
}
