//! Life after life, until there were cycles enough, and every special case in between.

use super::child::change_user;
use super::counts::Counts;
use super::life::{Ground, Life, NOBODY};
use super::process::{Done, Trouble};
use super::special;
use fastrand::Rng;
use indicatif::{ProgressBar, ProgressStyle};
use std::error::Error;
use std::io::IsTerminal;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Cycles to play.
    pub cycles: u64,
    /// Seconds to play, in place of a number of cycles.
    pub seconds: Option<u64>,
    /// Seed of chance.
    pub seed: u64,
    /// Times that each special case is played.
    pub special: u64,
    /// Only this one of them.
    pub case: Option<String>,
    /// Where the databases lie; on the disk of the temporary files and in memory if not said.
    pub dir: Option<PathBuf>,
    /// Writers acknowledge too early: something must be lost.
    pub early: bool,
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn interrupt(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Plays the campaign; true if nothing was lost.
pub fn run(campaign: &Campaign) -> Result<bool, Box<dyn Error>> {
    // SAFETY: the handler stores to an atomic, which is allowed in one.
    unsafe {
        let handler = interrupt as extern "C" fn(libc::c_int) as libc::sighandler_t;
        libc::signal(libc::SIGINT, handler);
        libc::signal(libc::SIGTERM, handler);
    }
    let ground = ground(campaign)?;
    let mut counts = Counts::default();
    let start = Instant::now();
    let progress = Progress::new(campaign);
    let mut rng = Rng::with_seed(campaign.seed);
    let mut done = play(campaign, &ground, &mut counts, &mut rng, &progress, start);
    let case = campaign.case.as_deref();
    if done.is_ok() && !INTERRUPTED.load(Ordering::Relaxed) {
        done = special::play_all(&ground, &mut counts, &mut rng, campaign.special, case);
    }
    drop(progress);
    println!("{}", counts.summary(campaign.seed, start.elapsed()));
    match done {
        Err(Trouble::Interrupted) => {
            println!("interrupted; nothing was lost until then");
            Ok(true)
        }
        Ok(()) if INTERRUPTED.load(Ordering::Relaxed) => {
            println!("interrupted; nothing was lost until then");
            Ok(true)
        }
        Ok(()) => {
            println!("nothing was lost");
            Ok(true)
        }
        Err(Trouble::Lost(why)) => {
            println!("LOST in cycle {}: {why}", counts.cycles);
            println!("again, with other timing: crash kill --seed {}", campaign.seed);
            Ok(false)
        }
        Err(Trouble::Cannot(why)) => Err(why.into()),
    }
}

fn ground(campaign: &Campaign) -> Result<Ground, Box<dyn Error>> {
    let memory = Path::new("/dev/shm");
    let bases = match &campaign.dir {
        Some(dir) => vec![dir.canonicalize()?],
        None if memory.is_dir() => vec![std::env::temp_dir(), memory.into()],
        None => vec![std::env::temp_dir()],
    };
    let exe = std::env::current_exe()?.into_os_string();
    let closed = bases.iter().find(|base| !open_to_all(base));
    let no_users = match closed {
        Some(base) => Some(format!("{} is closed to others", base.display())),
        None if !in_child(|| change_user(NOBODY)) => Some("this user cannot become another".into()),
        None => None,
    };
    // SAFETY: a number.
    let unshared = in_child(|| unsafe { libc::unshare(libc::CLONE_NEWPID) == 0 });
    let no_namespaces = (!unshared).then(|| "this user cannot make one".into());
    Ok(Ground { exe, bases, no_users, no_namespaces, early: campaign.early })
}

/// Whether everybody can come to this directory.
fn open_to_all(dir: &Path) -> bool {
    let passable = |dir: &Path| {
        std::fs::metadata(dir).is_ok_and(|m| m.is_dir() && m.permissions().mode() & 0o001 != 0)
    };
    dir.ancestors().filter(|dir| !dir.as_os_str().is_empty()).all(passable)
}

/// Whether something works, tried in a forked child for which it has no consequences.
fn in_child(works: impl FnOnce() -> bool) -> bool {
    let mut status = -1;
    // SAFETY: this process has one thread yet. The child makes a few system calls and leaves
    // without destructors.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            libc::_exit(i32::from(!works()));
        }
        pid > 0 && libc::waitpid(pid, &mut status, 0) == pid && status == 0
    }
}

fn play(
    campaign: &Campaign,
    ground: &Ground,
    counts: &mut Counts,
    rng: &mut Rng,
    progress: &Progress,
    start: Instant,
) -> Done<()> {
    let time = campaign.seconds.map(Duration::from_secs);
    let over = |counts: &Counts| {
        INTERRUPTED.load(Ordering::Relaxed)
            || time.map_or(counts.cycles >= campaign.cycles, |time| start.elapsed() >= time)
    };
    while !over(counts) {
        let mut life = Life::new(ground, counts, rng.fork())?;
        let cycles = life.rng.u64(10..=60);
        let mut done = life.begin();
        for _ in 0..cycles {
            if done.is_err() || over(life.counts) {
                break;
            }
            done = life.cycle();
            progress.show(life.counts, start);
        }
        if let Err(trouble) = done.and_then(|()| life.end()) {
            return Err(keep_if_lost(life, trouble));
        }
    }
    Ok(())
}

/// The files of a loss are what it can be understood from.
pub(super) fn keep_if_lost(life: Life<'_>, trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Lost(why) => {
            let at = life.keep();
            Trouble::Lost(format!("{why}\nfiles and logs are kept in {}", at.display()))
        }
        other => other,
    }
}

/// A bar on a terminal, nothing elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    seconds: bool,
}

impl Progress {
    fn new(campaign: &Campaign) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(campaign.seconds.unwrap_or(campaign.cycles));
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}");
            style.map(|style| bar.set_style(style)).ok();
            bar
        });
        Progress { bar, seconds: campaign.seconds.is_some() }
    }

    fn show(&self, counts: &Counts, start: Instant) {
        if let Some(bar) = &self.bar {
            let seconds = start.elapsed().as_secs();
            bar.set_position(if self.seconds { seconds } else { counts.cycles });
            bar.set_message(format!("{} kills, {} databases", counts.kills, counts.lives));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
