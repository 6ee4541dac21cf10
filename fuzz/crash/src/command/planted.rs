//! `crash planted`: breaks the engine on purpose, one rule at a time, and sees whether that is
//! found.
//!
//! Each bug has a process of its own: it may well end in a signal, or never.

use crate::Outcome;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use recto::bugs::{Bug, plant};
use recto_crash::driver::cores;
use recto_crash::hang::on_hang;
use recto_crash::planted::campaigns::{CAMPAIGNS, ENVIRONMENT, HUNTED_BY, LEFT_OUT};
use recto_crash::planted::{Budget, hunt, hunters, smaller};
use recto_crash::space::{mixes::MIXES, run};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A hunt that takes so much longer than it was given hangs, and so does one that was given no time
/// after so long.
const GRACE: Duration = Duration::from_secs(60);
/// Scripts tried to make one smaller.
const TRIES: u64 = 3_000;
/// The hunter that counts pages and runs no script.
const SPACE: &str = "space";
/// Commits of each of its mixes.
const SPACE_COMMITS: u64 = 40_000;

/// The line for a bug of the allocator that the mixes of `crash space` find.
fn space_hunt(bug: Option<Bug>, seed: u64) -> Option<String> {
    // What these bugs break no script sees; other bugs do not concern the length of the file.
    let bug = bug.filter(|bug| ["A4", "A5", "A6", "A7", "B10"].contains(&bug.rule()))?;
    let begin = Instant::now();
    let never = AtomicBool::new(false);
    plant(Some(bug));
    let failed = MIXES
        .iter()
        .find_map(|mix| run(mix, seed, SPACE_COMMITS, &never).err().map(|what| (mix.name, what)));
    plant(None);
    let (mix, what) = failed?;
    Some(format!("{SPACE}: {mix}\t\t{}\t{what}", begin.elapsed().as_secs_f64()))
}

/// What stands in the table where no bug was planted.
const NOTHING: &str = "(nothing)";
/// Said before the table.
const CONTROL: &str = "Each row is a rule of the engine that was taken away, and the hunter that noticed. The row \"(nothing)\" is the control: \
     the same hunters\non the engine as it is, who must find nothing in as many power cuts.\n";
const ENDLESS: Duration = Duration::from_secs(1_800);

#[derive(clap::Args, Debug)]
pub struct Planted {
    /// Only bugs whose names contain this
    #[arg(long)]
    only: Option<String>,
    /// Print all bugs and the rules they take away, and hunt for none
    #[arg(long)]
    list: bool,
    /// Power cuts that each hunter may take to find a bug
    #[arg(long, default_value_t = 2_000_000)]
    cuts: u64,
    /// Seconds that may be taken to find a bug
    #[arg(long)]
    seconds_each: Option<u64>,
    /// Only this hunter
    #[arg(long)]
    hunter: Option<String>,
    /// First seed of the random scripts
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Processes at a time; as many as there are cores if not given
    #[arg(long)]
    threads: Option<usize>,
    /// Print what was wrong with each
    #[arg(long)]
    details: bool,
    /// Keep for each bug a small script that shows it, in this directory
    #[arg(long)]
    save: Option<PathBuf>,
    /// Print a hunter's script, named as in the table ("faults 95"), for `crash replay`
    #[arg(long)]
    script: Option<String>,
    /// Hunt for one bug in this process, or for what is wrong without any
    #[arg(long, hide = true)]
    here: Option<String>,
}

/// What has become of a hunt.
struct Line {
    bug: Option<Bug>,
    caught: bool,
    by: String,
    after: String,
    seconds: f64,
    what: String,
}

impl Planted {
    pub fn run(self) -> Outcome {
        if let Some(name) = &self.here {
            return self.hunt_here(name);
        }
        if let Some(name) = &self.script {
            return self.print_script(name);
        }
        let wanted = |bug: &Bug| self.only.as_ref().is_none_or(|only| bug.name().contains(only));
        let mut bugs: Vec<Bug> = Bug::ALL.iter().copied().filter(wanted).collect();
        if bugs.is_empty() {
            return Err("no bug has such a name; --list prints all".into());
        }
        if self.list {
            for bug in &bugs {
                println!("{:<28} {:<8} {}", bug.name(), bug.rule(), bug.description());
            }
            return Ok(true);
        }
        let (out, why): (Vec<Bug>, Vec<&str>) = LEFT_OUT.iter().copied().unzip();
        if self.only.is_none() {
            bugs.retain(|bug| !out.contains(bug));
        }
        let lines = self.hunt_all(&bugs)?;
        let sound = !lines[0].caught;
        let missed: Vec<&str> = lines
            .iter()
            .filter(|line| !line.caught)
            .filter_map(|line| Some(line.bug?.name()))
            .collect();
        println!("\n{} of {} caught, seed {}", bugs.len() - missed.len(), bugs.len(), self.seed);
        if !missed.is_empty() {
            println!("not caught: {}", missed.join(", "));
        }
        if self.only.is_none() {
            for (bug, why) in out.iter().zip(why) {
                println!("left out: {:<names$}  {why}", bug.name(), names = 24);
            }
        }
        if !sound {
            println!("NOTHING was planted and something was caught: {}", lines[0].what);
        }
        Ok(sound && missed.is_empty())
    }

    fn budget(&self) -> Budget {
        Budget { cuts: self.cuts, time: self.seconds_each.map(Duration::from_secs) }
    }

    fn print_script(&self, name: &str) -> Outcome {
        let (hunter, number) = name.rsplit_once(' ').ok_or("a hunter and a number")?;
        let number = number.parse()?;
        let all = hunters::all(self.seed);
        let hunter = all.iter().find(|one| one.name == hunter).ok_or("no such hunter")?;
        print!("{}", hunter.script(number).ok_or("no such script")?);
        Ok(true)
    }

    /// The child's part: a line of text for the parent.
    fn hunt_here(&self, name: &str) -> Outcome {
        let bug = Bug::ALL.iter().copied().find(|bug| bug.name() == name);
        let begin = Instant::now();
        on_hang(|script| {
            let script: Vec<&str> = script.lines().collect();
            println!("it hangs\t\t\tit hangs: {}", script.join(" / "));
        });
        let mut all = hunters::all(self.seed);
        all.retain(|one| self.hunter.as_ref().is_none_or(|only| one.name == only));
        if self.hunter.as_deref().is_none_or(|only| only == SPACE)
            && let Some(line) = space_hunt(bug, self.seed)
        {
            println!("{line}");
            return Ok(false);
        }
        let (effort, catch) = hunt(bug, &all, self.budget());
        let seconds = begin.elapsed().as_secs_f64();
        if let (Some(dir), Some(bug), Some(catch)) = (&self.save, bug, &catch) {
            std::fs::create_dir_all(dir)?;
            let script = smaller(bug, &catch.script, TRIES);
            let head = format!("# {}, {}: {}.\n", bug.name(), bug.rule(), bug.description());
            std::fs::write(dir.join(format!("{}.txt", bug.name())), head + &script.to_string())?;
        }
        match &catch {
            None => println!("\t{} scripts, {} cuts\t{seconds}\t", effort.scripts, effort.cuts),
            Some(c) => {
                let what = c.what.split_whitespace().collect::<Vec<_>>().join(" ");
                let by = format!("{} {}", c.hunter, c.number);
                println!("{by}\t{} scripts, {} cuts\t{seconds}\t{what}", c.scripts, c.cuts);
            }
        }
        Ok(catch.is_none())
    }

    /// The healthy engine first, then each bug.
    fn hunt_all(&self, bugs: &[Bug]) -> Result<Vec<Line>, Box<dyn std::error::Error>> {
        let all: Vec<Option<Bug>> =
            std::iter::once(None).chain(bugs.iter().copied().map(Some)).collect();
        let bar = ProgressBar::new(all.len() as u64);
        if let Ok(style) =
            ProgressStyle::with_template("{elapsed_precise} [{wide_bar}] {pos}/{len}, {msg}")
        {
            bar.set_style(style);
        }
        let names = bugs.iter().map(|bug| bug.name().len()).max().unwrap_or(0).max(NOTHING.len());
        println!("{CONTROL}");
        println!("{:<names$}  {:<8}  {:<18}  {:>7}  after", "bug", "rule", "caught by", "seconds");
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..self.threads.unwrap_or_else(cores) {
                scope.spawn(|| {
                    while let Some(bug) = all.get(next.fetch_add(1, Relaxed)) {
                        bar.set_message(bug.map_or(NOTHING, Bug::name));
                        let line = self.hunt_in_child(*bug);
                        if let Ok(line) = &line {
                            bar.suspend(|| self.print(line, names));
                        }
                        done.lock().push((bug.map_or(0, |bug| bug as usize + 1), line));
                        bar.inc(1);
                    }
                });
            }
        });
        bar.finish_and_clear();
        let mut done = done.into_inner();
        done.sort_by_key(|(place, _)| *place);
        Ok(done.into_iter().map(|(_, line)| line).collect::<Result<Vec<Line>, std::io::Error>>()?)
    }

    /// The hunt for one bug: of scripts, or in the campaign that finds it.
    fn command(&self, bug: Option<Bug>) -> std::io::Result<(Command, Option<String>)> {
        let mut command = Command::new(std::env::current_exe()?);
        if let Some((bug, args)) = CAMPAIGNS.iter().find(|(one, _)| Some(*one) == bug) {
            command.args(*args).env(ENVIRONMENT, bug.name());
            return Ok((command, Some(args.join(" "))));
        }
        command.args(["planted", "--here", bug.map_or("none", Bug::name)]);
        command.args(["--cuts", &self.cuts.to_string(), "--seed", &self.seed.to_string()]);
        if let Some(seconds) = self.seconds_each {
            command.args(["--seconds-each", &seconds.to_string()]);
        }
        let best = HUNTED_BY.iter().find(|(one, _)| Some(*one) == bug).map(|(_, hunter)| *hunter);
        if let Some(hunter) = self.hunter.as_deref().or(best) {
            command.args(["--hunter", hunter]);
        }
        if let Some(dir) = &self.save {
            command.arg("--save").arg(dir);
        }
        Ok((command, None))
    }

    fn hunt_in_child(&self, bug: Option<Bug>) -> std::io::Result<Line> {
        let (mut command, campaign) = self.command(bug)?;
        let begin = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let status = self.wait(&mut child)?;
        let mut text = String::new();
        if let Some(mut out) = child.stdout.take() {
            std::io::Read::read_to_string(&mut out, &mut text)?;
        }
        let seconds = begin.elapsed().as_secs_f64();
        let odd = match status {
            // A campaign does not know how much time it has, and asks itself whether
            // something hangs.
            None if campaign.is_some() => {
                let (by, after, what) = Default::default();
                return Ok(Line { bug, caught: false, by, after, seconds, what });
            }
            None => Some("it hangs".to_string()),
            Some(status) => status.signal().map(|signal| format!("signal {signal}")),
        };
        if let Some(what) = odd {
            let (by, after) = (what.clone(), String::new());
            return Ok(Line { bug, caught: true, by, after, seconds, what });
        }
        let code = status.and_then(|status| status.code());
        if code == Some(2) {
            // It could not be done: neither found nor missed.
            return Err(std::io::Error::other(format!("this could not be done: {command:?}")));
        }
        let caught = code != Some(0); // a panic is a finding
        if let Some(by) = campaign {
            let what =
                text.lines().find(|line| line.starts_with("LOST")).unwrap_or_default().into();
            return Ok(Line { bug, caught, by, after: String::new(), seconds, what });
        }
        let mut parts = text.trim_end().splitn(4, '\t').map(str::to_string);
        let mut part = || parts.next().unwrap_or_default();
        let (by, after, seconds) = (part(), part(), part().parse().unwrap_or(seconds));
        Ok(Line { bug, caught, by, after, seconds, what: part() })
    }

    /// None if it had to be ended.
    fn wait(&self, child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
        let time = self.budget().time.map_or(ENDLESS, |time| time + GRACE);
        let end = Instant::now() + time;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= end {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// One line of the table.
    fn print(&self, line: &Line, names: usize) {
        let (name, rule) = line.bug.map_or((NOTHING, ""), |bug| (bug.name(), bug.rule()));
        let by = if line.caught { &line.by } else { "-" };
        println!("{name:<names$}  {rule:<8}  {by:<18}  {:>7.2}  {}", line.seconds, line.after);
        if self.details && line.caught {
            println!("    {}", line.what.chars().take(300).collect::<String>());
        }
    }
}
