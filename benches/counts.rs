//! Instructions of the parts, counted by valgrind's callgrind: the same on every run, on a machine as busy as it may be.
//!
//!     cargo bench -p recto-benches --bench counts [-- FILTER] [--store]
//!
//! Compares with `benches/counts.txt` and fails where a count is more than 5 % above; `--store` writes the file anew. With another compiler
//! than that of the file nothing fails. Without valgrind it says so and ends well.

use recto_benches as work;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Percent above the stored count that are let pass: other processors have other ways through the checksum.
const TOLERANCE: f64 = 5.0;
/// Calls before those that are counted: first-time work is over, and the sums of work done now and then are even.
const BEFORE: u32 = 20;
const COUNTED: u32 = 20;
/// What callgrind calls the function that it counts.
const PATTERN: &str = "*counts::counted*";

#[inline(never)]
fn counted(run: &mut dyn FnMut()) {
    for _ in 0..COUNTED {
        run();
    }
}

fn main() -> Outcome<ExitCode> {
    // `cargo bench` adds --bench, and the tests of all targets do not.
    let mut args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [flag, name] = &args[..]
        && flag == "--here"
    {
        here(name);
        return Ok(ExitCode::SUCCESS);
    }
    let store = args.iter().position(|arg| arg == "--store").map(|at| args.remove(at)).is_some();
    if std::env::args().all(|arg| arg != "--bench") {
        println!("not a bench run");
        return Ok(ExitCode::SUCCESS);
    }
    let filter = match &args[..] {
        [] => "",
        [filter] if !store => filter,
        _ => return Err("at most one filter, and none with --store: all are stored".into()),
    };
    match Command::new("valgrind").arg("--version").stdout(Stdio::null()).status() {
        Err(e) if store => return Err(format!("valgrind: {e}").into()),
        Err(_) => {
            println!("valgrind is missing: nothing is counted");
            return Ok(ExitCode::SUCCESS);
        }
        Ok(_) => {}
    }
    compare(filter, store)
}

/// Does one piece of work, for callgrind to watch.
fn here(name: &str) {
    let work = work::all().find(|work| work.name == name).expect("the caller has it from the list");
    let mut run = (work.ready)(work.keys[1]);
    for _ in 0..BEFORE {
        run();
    }
    counted(&mut run);
}

/// Instructions of one piece of work, once.
fn count(name: &str, times: u64) -> Outcome<f64> {
    let out = Command::new("valgrind")
        // One way to copy and to fill for all processors.
        .env("GLIBC_TUNABLES", "glibc.cpu.x86_rep_movsb_threshold=0x10000000:glibc.cpu.x86_rep_stosb_threshold=0x10000000")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={PATTERN}"))
        .arg(std::env::current_exe()?)
        .args(["--here", name])
        .output()?;
    let text = String::from_utf8_lossy(&out.stderr);
    let collected = text.lines().find_map(|line| line.split("Collected : ").nth(1));
    match collected.and_then(|n| n.trim().parse::<u64>().ok()) {
        Some(n) if n > 0 && out.status.success() => {
            Ok(n as f64 / f64::from(COUNTED) / times as f64)
        }
        _ => Err(format!("{name}: nothing was counted:\n{text}").into()),
    }
}

fn compiler() -> Outcome<String> {
    let out = Command::new(std::env::var("RUSTC").unwrap_or("rustc".into())).arg("-V").output()?;
    Ok(String::from_utf8(out.stdout)?.trim().into())
}

/// The first line is the compiler; the others are a count and what was counted.
fn stored(text: &str) -> (&str, BTreeMap<&str, f64>) {
    let mut lines = text.lines();
    let compiler = lines.next().unwrap_or_default();
    let counts = lines.filter_map(|line| {
        let (count, name) = line.trim_start().split_once(' ')?;
        Some((name.trim_start(), count.parse().ok()?))
    });
    (compiler, counts.collect())
}

fn compare(filter: &str, store: bool) -> Outcome<ExitCode> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("counts.txt");
    let text = match std::fs::read_to_string(&path) {
        Err(_) if store => String::new(),
        text => text?,
    };
    let (by, mut before) = stored(&text);
    let now = compiler()?;
    if by != now && !store {
        println!("stored with {by}, this is {now}: nothing fails");
    }
    let mut new = format!("{now}\n");
    let mut worse = 0;
    println!("{:>12} {:>12} {:>8}", "instructions", "stored", "change");
    for work in work::all().filter(|work| work.name.contains(filter)) {
        let count = count(work.name, work.times)?;
        writeln!(new, "{count:>10.1} {}", work.name)?;
        let old = before.remove(work.name);
        let change = old.map(|old| (count / old - 1.0) * 100.0);
        let old = old.map_or("-".into(), |old| format!("{old:.1}"));
        let shown = change.map_or("new".into(), |change| format!("{change:+.1} %"));
        println!("{count:>12.1} {old:>12} {shown:>8}  {}", work.name);
        worse += u32::from(change.is_none_or(|change| change > TOLERANCE));
    }
    if new.lines().count() == 1 {
        return Err(format!("nothing is called {filter}").into());
    }
    if store {
        std::fs::write(&path, new)?;
        return Ok(ExitCode::SUCCESS);
    }
    if filter.is_empty() && !before.is_empty() {
        return Err(format!("stored, and not there any more: {:?}", before.keys()).into());
    }
    if worse > 0 && by == now {
        eprintln!(
            "{worse} above what is stored; if that is the price of something, store it: cargo bench -p recto-benches --bench counts -- --store"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
