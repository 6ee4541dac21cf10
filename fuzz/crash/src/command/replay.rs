//! `crash replay`: a seed or a saved script again.

use crate::Outcome;
use recto::bugs::{Bug, plant};
use recto_crash::sim::generate::generate;
use recto_crash::sim::script::Script;
use recto_crash::sim::shrink::shrink;
use recto_crash::sim::world::{TRACE, try_script};
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

#[derive(clap::Args, Debug)]
pub struct Replay {
    /// A saved script; or give --seed
    #[arg(conflicts_with = "seed")]
    file: Option<PathBuf>,
    /// The seed of a script
    #[arg(long)]
    seed: Option<u64>,
    /// Print the script before it runs
    #[arg(long)]
    print: bool,
    /// Print every event: what each operation does to the machine
    #[arg(long)]
    trace: bool,
    /// If it fails, make it smaller first
    #[arg(long)]
    shrink: bool,
    /// Scripts to try for that, at most
    #[arg(long, default_value_t = 20_000)]
    tries: u64,
    /// A smaller script may show something else that is wrong
    #[arg(long)]
    any: bool,
    /// Break the engine on purpose first: a name of `crash planted --list`
    #[arg(long)]
    bug: Option<String>,
    /// Where to put the script, smaller or not, so that it can be run again
    #[arg(long)]
    save: Option<PathBuf>,
}

impl Replay {
    pub fn run(self) -> Outcome {
        let mut script = match (&self.file, self.seed) {
            (Some(file), _) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|e| format!("{}: {e}", file.display()))?;
                Script::parse(&text).map_err(|e| format!("{}: {e}", file.display()))?
            }
            (None, Some(seed)) => generate(seed),
            (None, None) => return Err("what to run: FILE or --seed SEED".into()),
        };
        if let Some(name) = &self.bug {
            let bug = Bug::ALL.iter().copied().find(|bug| bug.name() == name);
            plant(Some(bug.ok_or("no such bug; `crash planted --list` has all")?));
        }
        TRACE.store(self.trace && !self.shrink, Relaxed);
        let mut result = try_script(&script);
        if let (true, Err(what)) = (self.shrink, &result) {
            // Something else may be wrong with a smaller script, and easier to find.
            let kind = kind(what).to_string();
            let same = |what: &String| self.any || kind.starts_with(self::kind(what));
            script = shrink(&script, self.tries, |script| {
                try_script(script).err().is_some_and(|what| same(&what))
            });
            result = try_script(&script);
        }
        if self.print || (self.shrink && result.is_err()) {
            print!("{script}");
        }
        if let Some(path) = &self.save {
            std::fs::write(path, script.to_string())?;
        }
        match result {
            Ok(tally) => {
                let [cuts, double] = [tally.cuts, tally.double_faults].map(super::grouped);
                println!("{tally}\n{}\n", tally.table());
                println!("no data lost: {cuts} power cuts, {double} double faults");
                Ok(true)
            }
            Err(what) => {
                println!("FAILED: {what}");
                Ok(false)
            }
        }
    }
}

/// What was wrong, up to the first number.
fn kind(what: &str) -> &str {
    what.split(|c: char| c.is_ascii_digit()).next().unwrap_or_default()
}
