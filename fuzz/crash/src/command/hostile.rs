//! `crash hostile`: changes valid databases and uses the result.

use crate::Outcome;
use indicatif::{ProgressBar, ProgressStyle};
use recto::bugs::{Bug, plant};
use recto_crash::hostile::campaign::{self, Finding, Plan, Tally};
use recto_crash::hostile::mutate;
use recto_crash::hostile::{Case, origins};
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

#[derive(clap::Args, Debug)]
pub struct Hostile {
    /// Decides everything; the same seed gives the same files
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Files to make and use
    #[arg(long, default_value_t = 20_000)]
    files: u64,
    /// Begin with this one
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// End after so many seconds, whatever is left
    #[arg(long)]
    seconds: Option<u64>,
    /// Processes at a time (default: one a core)
    #[arg(long)]
    jobs: Option<usize>,
    /// Where findings are saved
    #[arg(long, value_name = "DIR", default_value = "hostile-findings")]
    save: PathBuf,
    /// Run a saved case instead, in this process
    #[arg(long, value_name = "FILE")]
    case: Option<PathBuf>,
    /// Break the engine on purpose (`crash planted --list`): the campaign must find something
    #[arg(long, value_name = "BUG")]
    plant: Option<String>,
    /// Only mutations of this kind, by its name in the table
    #[arg(long, value_name = "NAME")]
    kind: Option<String>,
    #[arg(long, hide = true)]
    child: bool,
    #[arg(long, hide = true)]
    place: Option<PathBuf>,
}

impl Hostile {
    pub fn run(self) -> Outcome {
        let named = |name: &String| Bug::ALL.iter().copied().find(|bug| bug.name() == name);
        let bug = self.plant.as_ref().map(|name| named(name).ok_or("no such bug")).transpose()?;
        if let Some(kind) = &self.kind {
            mutate::only(kind)?;
        }
        if let (true, Some(place)) = (self.child, &self.place) {
            // Without one it stays what the environment has named.
            if bug.is_some() {
                plant(bug);
            }
            campaign::child(self.seed, self.first, self.files, place)?;
            return Ok(true);
        }
        if let Some(path) = &self.case {
            return run_saved(path);
        }
        let plan = Plan {
            seed: self.seed,
            first: self.first,
            files: if self.seconds.is_some() { self.files.max(1 << 40) } else { self.files },
            plant: self.plant.clone(),
            kind: self.kind.clone(),
            time: self.seconds.map(Duration::from_secs),
            jobs: self.jobs.unwrap_or_else(|| {
                std::thread::available_parallelism().map_or(1, |cores| cores.get())
            }),
            program: std::env::current_exe()?,
        };
        let stop = super::stop_on_signals()?;
        let bar = self.bar();
        let begun = Instant::now();
        let progress = |files| {
            if let Some(bar) = &bar {
                bar.inc(files);
            }
        };
        let (tally, findings) = campaign::run(&plan, &stop, &progress)?;
        if let Some(bar) = &bar {
            bar.finish_and_clear();
        }
        self.summary(&tally, begun.elapsed(), &plan)?;
        self.report(&findings)?;
        if stop.load(Ordering::Relaxed) {
            println!("interrupted");
        }
        Ok(findings.is_empty())
    }

    fn bar(&self) -> Option<ProgressBar> {
        let style = "hostile [{wide_bar}] {human_pos} of {human_len} files, {per_sec}, {eta} left";
        let endless = "hostile {spinner} {human_pos} files, {per_sec}, {elapsed}";
        let bar = match self.seconds {
            None => ProgressBar::new(self.files),
            Some(_) => ProgressBar::no_length(),
        };
        let style = if self.seconds.is_none() { style } else { endless };
        let style = ProgressStyle::with_template(style).ok()?.progress_chars("=> ");
        stderr().is_terminal().then(|| bar.with_style(style))
    }

    fn summary(&self, tally: &Tally, time: Duration, plan: &Plan) -> Outcome {
        println!(
            "{:<16} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "", "files", "opened", "clean", "read", "written"
        );
        for name in campaign::row_names(&origins::all()?) {
            let row = tally.rows.get(&name).copied().unwrap_or_default();
            println!(
                "{name:<16} {:>9} {:>9} {:>9} {:>9} {:>9}",
                row.files, row.opened, row.clean, row.read, row.written
            );
        }
        println!(
            "{} files in {:.1} s, {:.0} a second and process; slowest {} ms; most memory {} MiB; \
             seed {}, from {}",
            tally.files,
            time.as_secs_f64(),
            tally.files as f64 / time.as_secs_f64() / plan.jobs as f64,
            tally.slowest_us / 1000,
            tally.most_kib >> 10,
            plan.seed,
            plan.first
        );
        Ok(true)
    }

    fn report(&self, findings: &[Finding]) -> Outcome {
        if findings.is_empty() {
            return Ok(true);
        }
        std::fs::create_dir_all(&self.save)?;
        let origins = origins::all()?;
        for finding in findings {
            let (case, descent) = Case::made(&origins, self.seed, finding.index);
            let path = self.save.join(format!("{}-{}", self.seed, finding.index));
            std::fs::write(&path, case.encode())?;
            let kinds: Vec<&str> = descent.kinds.iter().map(|kind| kind.name).collect();
            println!("FOUND {}", finding.what);
            println!("  {} with {}", origins[descent.origin].name, kinds.join(", "));
            println!("  again: crash hostile --case {}", path.display());
            println!(
                "  or: crash hostile --seed {} --first {} --files 1{}",
                self.seed,
                finding.index,
                self.kind.iter().map(|kind| format!(" --kind {kind:?}")).collect::<String>()
            );
        }
        Ok(false)
    }
}

/// In this process, so that a debugger sees it.
fn run_saved(path: &Path) -> Outcome {
    let bytes = std::fs::read(path)?;
    let Some(case) = Case::decode(&bytes) else { return Err("no case in this file".into()) };
    let place = tempfile::tempdir()?;
    match case.run(Some(place.path())) {
        Ok(seen) => {
            println!("nothing wrong: {seen:?}");
            Ok(true)
        }
        Err(what) => {
            println!("FOUND {what}");
            Ok(false)
        }
    }
}
