//! Signs of life of what takes its time, where no bar can be drawn.

use parking_lot::Mutex;
use std::io::Write;
use std::time::{Duration, Instant};

/// Between two lines.
const EVERY: Duration = Duration::from_secs(20);

/// Prints a line now and then. Thread rules: any number of threads may tell.
pub struct Alive {
    begin: Instant,
    last: Mutex<Instant>,
}

impl Alive {
    /// The first line comes after a while.
    pub fn new() -> Alive {
        let now = Instant::now();
        Alive { begin: now, last: Mutex::new(now) }
    }

    /// How far it is, if a line is due. Past the test runner, which keeps to itself what tests
    /// print by macros.
    pub fn tell(&self, how_far: impl FnOnce() -> String) {
        let mut last = self.last.lock();
        if last.elapsed() >= EVERY {
            *last = Instant::now();
            let line = format!("{} s: {}\n", self.begin.elapsed().as_secs(), how_far());
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }
}

impl Default for Alive {
    fn default() -> Alive {
        Alive::new()
    }
}
