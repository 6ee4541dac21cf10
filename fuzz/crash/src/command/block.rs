//! `crash block`: power cuts below real file systems.

use crate::Outcome;
use indicatif::{ProgressBar, ProgressStyle};
use recto_crash::block::{self, Campaign, Count, FileSystem, Summary, Wrong};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// States of each file system below a wrong protocol: plenty.
const PLANTED_STATES: usize = 60;

/// Writes below ext4, xfs and btrfs are logged, and every crash state of the log may be put
/// together, mounted, opened and verified. Takes root, FUSE and loop devices.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Block {
    /// Crash states in all
    #[arg(long, default_value_t = 1000)]
    states: usize,
    /// Seconds instead of a number of states
    #[arg(long, conflicts_with = "states")]
    seconds: Option<u64>,
    /// Transactions in each recording
    #[arg(long, default_value_t = 120, value_name = "N")]
    commits: u64,
    /// File systems [default: all whose mkfs is there]
    #[arg(long = "fs", value_enum, value_delimiter = ',', value_name = "NAME,...")]
    systems: Vec<FileSystem>,
    /// Everything random but the kernel's own timing comes from it [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// Where states that lost something are kept
    #[arg(long, default_value = "crash-block", value_name = "DIRECTORY")]
    keep: PathBuf,
    /// Run protocols that are wrong on purpose: each must be found
    #[arg(long)]
    planted: bool,
    /// Judge a state that was kept
    #[arg(long, value_name = "IMAGE")]
    again: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(clap::Subcommand, Debug)]
enum Role {
    /// A process of the campaign
    #[command(hide = true)]
    Child { arguments: Vec<String> },
}

impl Block {
    pub fn run(mut self) -> Outcome {
        if let Some(Role::Child { arguments }) = self.role {
            block::child_main(&arguments)?;
            return Ok(true);
        }
        self.choose_systems()?;
        if let Some(image) = &self.again {
            let verdict = block::verify_again(image)?;
            match &verdict {
                Ok(n) => println!("nothing lost: transaction {n} is there"),
                Err(why) => println!("lost: {why}"),
            }
            return Ok(verdict.is_ok());
        }
        if self.planted { self.run_planted() } else { self.run_campaign() }
    }

    /// All file systems that can be made here, if none was asked for.
    fn choose_systems(&mut self) -> Result<(), String> {
        if self.systems.is_empty() {
            let all = <FileSystem as clap::ValueEnum>::value_variants();
            for &system in all {
                match block::missing(&[system]) {
                    None => self.systems.push(system),
                    Some(why) => eprintln!("{} is left out: {why}", system.name()),
                }
            }
        }
        match block::missing(&self.systems) {
            Some(why) => Err(format!("power cannot be cut here: {why}")),
            None if self.systems.is_empty() => Err("power cannot be cut here".into()),
            None => Ok(()),
        }
    }

    fn campaign(&self, wrong: Wrong) -> Result<Campaign, std::io::Error> {
        Ok(Campaign {
            systems: self.systems.clone(),
            states: match self.seconds {
                Some(_) => usize::MAX,
                None => self.states.div_ceil(self.systems.len()),
            },
            commits: self.commits,
            seed: self.seed.unwrap_or_else(|| fastrand::u64(..)),
            until: self.seconds.map(|s| Instant::now() + Duration::from_secs(s)),
            wrong,
            keep: Some(self.keep.clone()),
            // Mounts, loop device and children go with the process.
            stop: super::stop_on_signals()?,
        })
    }

    fn run_campaign(self) -> Outcome {
        let campaign = self.campaign(Wrong::Nothing)?;
        let bar = match self.seconds {
            Some(_) => ProgressBar::new_spinner(),
            None => ProgressBar::new((campaign.states * campaign.systems.len()) as u64),
        };
        let template = "{elapsed} {wide_bar} {pos}/{len} states, {per_sec}, {msg}";
        bar.set_style(ProgressStyle::with_template(template)?);
        let first_cuts = |s: &Summary| {
            let first = s.counts.iter().filter(|((_, kind), _)| *kind != "second cut");
            first.map(|(_, count)| count.states).sum::<u64>()
        };
        let summary = campaign.run(&mut |s| {
            bar.set_position(first_cuts(s));
            bar.set_message(format!("{} lost", s.total().lost));
        })?;
        bar.finish_and_clear();
        print_summary(&summary);
        for lost in &summary.lost {
            println!("lost: {lost}");
        }
        let Count { states, lost } = summary.total();
        if campaign.stop.load(Ordering::Relaxed) {
            println!("interrupted");
        }
        println!("seed {}: {states} crash states, {lost} lost something", campaign.seed);
        Ok(lost == 0)
    }

    fn run_planted(mut self) -> Outcome {
        // The others are there for the right protocol; barriers can be turned off on this one.
        self.systems = vec![FileSystem::Ext4];
        self.states = PLANTED_STATES;
        let mut all = true;
        println!("{:<12} {:>7} {:>7}  first", "protocol", "states", "found");
        for wrong in Wrong::ALL {
            let campaign = Campaign { keep: None, ..self.campaign(wrong)? };
            let summary = campaign.run(&mut |s| {
                if std::io::stderr().is_terminal() {
                    eprint!("\r{} {}\r", wrong.name(), s.total().states);
                }
            })?;
            let Count { states, lost } = summary.total();
            let first = summary.lost.first().map_or("NOT FOUND", |l| l.as_str());
            println!("{:<12} {states:>7} {lost:>7}  {first}", wrong.name());
            all &= lost > 0;
            if campaign.stop.load(Ordering::Relaxed) {
                return Err("interrupted".into());
            }
        }
        Ok(all)
    }
}

fn print_summary(summary: &Summary) {
    println!("{:<15} {:<15} {:>8} {:>6} {:>9}", "file system", "cut", "states", "lost", "states/s");
    for (&system, time) in &summary.time {
        let of = |((s, kind), count): (&(&'static str, &'static str), &Count)| {
            (*s == system).then_some((*kind, *count))
        };
        let counts: Vec<_> = summary.counts.iter().filter_map(of).collect();
        let states: u64 = counts.iter().map(|(_, c)| c.states).sum();
        let lost: u64 = counts.iter().map(|(_, c)| c.lost).sum();
        for (kind, Count { states, lost }) in counts {
            println!("{system:<15} {kind:<15} {states:>8} {lost:>6}");
        }
        let speed = states as f64 / time.as_secs_f64();
        println!("{system:<15} {:<15} {states:>8} {lost:>6} {speed:>9.1}", "in all");
    }
    let Summary { recordings, transactions, entries, .. } = summary;
    println!("{recordings} recordings, {transactions} transactions, {entries} writes and flushes");
}
