//! Models of the reader table, the locks and the waiters (docs/design.md, B1 to B18), checked in
//! all their states under two models of memory: what is right must pass, and each variant that is
//! wrong must be refuted.
//!
//!     cargo run --release --manifest-path fuzz/models/readers/Cargo.toml -- [PART ..] [--traces] [--quick]
//!
//! Ends with 1 if something passes that should not, or the other way round. They were made before
//! the code; `src/shared/loom` puts the code itself through the same.
//!
//! | file | what it is |
//! | --- | --- |
//! | `machine`, `steps`, `search` | threads, locks and memory; their steps; all states |
//! | `words` | how a program is written down |
//! | the others | the models |

mod core;
mod group;
mod handover;
mod machine;
mod named;
mod opening;
mod recycle;
mod search;
mod steps;
mod waking;
mod words;

use machine::Memory;
use std::process::ExitCode;

/// A part: its name, whether it takes seconds only, and what runs it.
type Part = (&'static str, bool, fn(Memory));

const PARTS: [Part; 8] = [
    ("core", false, core::core),
    ("core2", false, core::core2),
    ("group", false, group::run),
    ("recycle", false, recycle::run),
    ("handover", true, handover::run),
    ("waking", false, waking::run),
    ("opening", true, opening::run),
    ("named", true, named::run),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (flags, names): (Vec<&str>, Vec<&str>) =
        args.iter().map(String::as_str).partition(|arg| arg.starts_with("--"));
    let known = |name: &&str| PARTS.iter().any(|(part, ..)| part == name);
    if !names.iter().all(known) || !flags.iter().all(|f| ["--traces", "--quick"].contains(f)) {
        eprintln!("parts: {}", PARTS.map(|(part, ..)| part).join(", "));
        return ExitCode::from(2);
    }
    search::print_traces(flags.contains(&"--traces"));
    for (name, quick, run) in PARTS {
        let asked = if names.is_empty() {
            quick || !flags.contains(&"--quick")
        } else {
            names.contains(&name)
        };
        for memory in [Memory::Views, Memory::Buffers].into_iter().filter(|_| asked) {
            println!("{name}, {memory:?}");
            run(memory);
        }
    }
    if search::all_as_expected() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
