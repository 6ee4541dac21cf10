//! `crash syscalls`: every system call on a real file fails, once and for ever.

use crate::Outcome;
use indicatif::{ProgressBar, ProgressStyle};
use recto::Sink;
use recto_crash::syscalls::{CALLS, Ending, Fault, child, missing, run};
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub struct Syscalls {
    /// Only this call
    #[arg(long)]
    call: Option<String>,
    /// Each call is failed the first time, and every so many times after it
    #[arg(long, default_value_t = 1)]
    every: u32,
    /// Do the work that is to be disturbed
    #[arg(long, hide = true)]
    child: Option<PathBuf>,
    /// Its page sink
    #[arg(long, hide = true, default_value = "staged")]
    sink: String,
}

impl Syscalls {
    pub fn run(self) -> Outcome {
        if let Some(path) = &self.child {
            let sink = if self.sink == "direct" { Sink::Direct } else { Sink::Staged };
            child(path, sink);
            return Ok(true);
        }
        if let Some(why) = missing() {
            println!("left out: {why}");
            return Ok(true);
        }
        let program = std::env::current_exe()?;
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{elapsed_precise} {pos} faults, {msg}")?);
        let mut total = 0;
        println!("{:<12}{:>10}{:>10}", "call", "times", "faults");
        for call in CALLS.iter().filter(|call| self.call.as_ref().is_none_or(|only| only == *call))
        {
            let (mut times, mut faults) = (0, 0);
            for sink in [Sink::Staged, Sink::Direct] {
                for nth in (1..).step_by(self.every.max(1) as usize) {
                    let mut reached = false;
                    for (error, ever) in
                        [("EIO", false), ("EIO", true), ("ENOSPC", false), ("ENOSPC", true)]
                    {
                        bar.set_message(format!("{call} number {nth}: {error}"));
                        let dir = tempfile::tempdir()?;
                        let fault = Fault { call, error, nth, ever, sink };
                        match run(&program, dir.path(), fault) {
                            Ok(Ending::NotReached) => break,
                            Ok(Ending::Met) => reached = true,
                            Err(what) => {
                                bar.finish_and_clear();
                                println!("FAILED: {what}\nkept:   {}", dir.keep().display());
                                return Ok(false);
                            }
                        }
                        faults += 1;
                        bar.inc(1);
                    }
                    if !reached {
                        break;
                    }
                    times = times.max(nth);
                }
            }
            bar.suspend(|| println!("{call:<12}{times:>10}{faults:>10}"));
            total += faults;
        }
        bar.finish_and_clear();
        println!("{:<12}{:>10}{total:>10}", "all", "");
        Ok(true)
    }
}
