//! Scripts that hang: a thread that waits for ever cannot be ended from inside, so whoever runs
//! scripts is watched.
//!
//! Thread rules: any number of threads run scripts; one more watches all of them.

use parking_lot::Mutex;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Once};
use std::time::Duration;

/// How long nothing may happen in a script.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

/// A thread that runs scripts.
struct Watched {
    beats: AtomicU64,
    script: Mutex<Option<String>>,
}

static ALL: Mutex<Vec<Arc<Watched>>> = Mutex::new(Vec::new());
/// What is done about a script that hangs.
static ON_HANG: Mutex<fn(&str)> = Mutex::new(say);

thread_local! {
    static MINE: RefCell<Option<Arc<Watched>>> = const { RefCell::new(None) };
}

fn say(script: &str) {
    eprintln!("a script hangs:\n{script}");
}

/// What is to be done when a script hangs, instead of printing it. Then the process ends with 1.
pub fn on_hang(what: fn(&str)) {
    *ON_HANG.lock() = what;
}

/// Something has happened on this thread.
pub fn beat() {
    MINE.with_borrow(|mine| {
        if let Some(mine) = mine {
            mine.beats.fetch_add(1, Relaxed);
        }
    });
}

/// A script is being run on this thread for as long as this lives.
pub struct Running(());

/// See [`Running`].
pub fn watched(script: String) -> Running {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(std::thread::spawn(watch)));
    MINE.with_borrow_mut(|mine| {
        let mine = mine.get_or_insert_with(|| {
            let one = Arc::new(Watched { beats: AtomicU64::new(0), script: Mutex::new(None) });
            ALL.lock().push(one.clone());
            one
        });
        *mine.script.lock() = Some(script);
    });
    beat();
    Running(())
}

impl Drop for Running {
    fn drop(&mut self) {
        MINE.with_borrow(|mine| {
            if let Some(mine) = mine {
                *mine.script.lock() = None;
            }
        });
        beat();
    }
}

fn watch() {
    let mut seen: Vec<(u64, Duration)> = Vec::new();
    loop {
        std::thread::sleep(PAUSE);
        let all: Vec<Arc<Watched>> = ALL.lock().clone();
        seen.resize(all.len(), (0, Duration::ZERO));
        for (one, (beats, quiet)) in all.iter().zip(&mut seen) {
            let now = one.beats.load(Relaxed);
            let script = one.script.lock().clone();
            let still = now == *beats && script.is_some();
            (*beats, *quiet) = (now, if still { *quiet + PAUSE } else { Duration::ZERO });
            if let (Some(script), true) = (script, *quiet >= PATIENCE) {
                let what = *ON_HANG.lock();
                what(&script);
                std::process::exit(1);
            }
        }
    }
}
