//! A slice of each simulated campaign, the same on every machine, and every script that once
//! failed.

use recto::Sink;
use recto::harness::sim::EventKind;
use recto_crash::driver::{Limits, Outcome, cores, run};
use recto_crash::sim::coverage::Tally;
use recto_crash::sim::faults::{KINDS, everywhere};
use recto_crash::sim::generate::generate;
use recto_crash::sim::op::What;
use recto_crash::sim::script::Script;
use recto_crash::sim::world::try_script;
use recto_crash::sim::{exhaust, scenarios};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

fn all(scripts: u64, script: impl Fn(u64) -> Script + Sync) -> Tally {
    let limits = Limits { scripts, time: None, failures: 1, threads: cores() };
    let Outcome { tally, failures, .. } = run(limits, &AtomicBool::new(false), |n| Some(script(n)));
    if let Some(failure) = failures.first() {
        panic!("script {}: {}\n{}", failure.number, failure.what, failure.script);
    }
    assert_eq!(tally.runs, scripts);
    tally
}

#[test]
fn a_stopped_run_says_what_is_left() {
    let stop = AtomicBool::new(false);
    let limits = Limits { scripts: 100, time: None, failures: 1, threads: 1 };
    let outcome = run(limits, &stop, |n| {
        stop.store(n == 2, Ordering::Relaxed);
        Some(generate(n))
    });
    assert!(outcome.failures.is_empty());
    assert_eq!((outcome.tally.runs, outcome.left), (3, 97));
}

#[test]
fn cuts_at_every_event_of_the_long_scenario() {
    let variants: [fn(&mut Script); 5] = [
        |_| {},
        |s| s.setup.sink = Sink::Direct,
        |s| s.setup.page_size = 16384,
        |s| (s.setup.write_back, s.setup.folio) = (4_000, 4),
        |s| (s.setup.manifest, s.setup.stage) = ([1, 1, 1], 4),
    ];
    let tally = all(variants.len() as u64, |n| {
        let mut script = scenarios::long(Sink::Staged);
        variants[n as usize](&mut script);
        script
    });
    assert!(tally.cuts > 20_000 && tally.second_cuts > 2_000, "it has become too small: {tally}");
    assert!(
        tally.reached(&EventKind::Truncate { from: 0, to: 0 }),
        "the file never became smaller"
    );
}

/// Deaths, failing calls, turns of others and power cuts at every event.
#[test]
fn every_fault_at_every_event_of_the_short_scenario() {
    for sink in [Sink::Staged, Sink::Direct] {
        let scripts = everywhere(&scenarios::short(sink), &KINDS);
        let count = scripts.len() as u64;
        let tally = all(count, |n| scripts[n as usize].clone());
        assert!(tally.deaths > 300 && tally.failed_calls > 5_000 && tally.turns > 100, "{tally}");
    }
}

/// A failing call among so many that the free log is being spilled in some.
#[test]
fn calls_fail_while_the_free_log_spills() {
    let scripts =
        everywhere(&scenarios::free_log(Sink::Staged), &[What::Fail { errno: 5, times: 1 }]);
    let some: Vec<Script> = scripts.into_iter().step_by(41).collect();
    let tally = all(some.len() as u64, |n| some[n as usize].clone());
    let empty = tally.empty_cells();
    assert!(!empty.iter().any(|cell| cell == "free-log spill / failing call"), "{empty:?}");
}

#[test]
fn every_script_of_up_to_two_operations() {
    for sink in [Sink::Staged, Sink::Direct] {
        let tally = all(exhaust::count(2), |n| exhaust::script(n, sink, 32));
        assert!(tally.cuts > 20_000, "{tally}");
    }
}

#[test]
fn random_scripts() {
    let tally = all(200, |n| generate(1_000_000 + n));
    assert!(tally.cuts > 20_000 && tally.double_faults > 5_000, "{tally}");
}

/// A disk that is full at every size: errors, nothing lost, and all is well once there is room.
#[test]
fn the_disk_is_full_at_every_size() {
    let with_disk = |pages: u64| {
        let mut script = scenarios::long(Sink::Staged);
        (script.setup.disk, script.setup.probe) = (pages, 37);
        script
    };
    let tally = all(160, |n| with_disk(2 + n));
    assert!(tally.found_full > 160, "{tally}");
}

/// Runs every saved script of a directory; the names of those that fail, and why.
fn failing(dir: &str) -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let run = |path: &Path| {
        let script = Script::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        try_script(&script).err().map(|what| format!("{}: {what}", path.display()))
    };
    let entries: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(!entries.is_empty(), "the scripts are not there");
    entries.iter().filter_map(|path| run(path)).collect()
}

#[test]
fn scripts_that_once_failed() {
    assert_eq!(failing("regressions"), [""; 0]);
}

#[test]
fn a_script_is_its_text() {
    for seed in 0..500 {
        let script = generate(seed);
        let text = script.to_string();
        assert!(Script::parse(&text).unwrap() == script, "seed {seed}: {text}");
    }
}

#[test]
fn the_same_script_gives_the_same_run() {
    for seed in [3, 14, 15] {
        let script = generate(seed);
        let [a, b] = [(); 2].map(|()| format!("{:?}", try_script(&script)));
        assert_eq!(a, b, "seed {seed}");
    }
}
