//! A progress bar on standard error, for work that takes long; nothing when that is no terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};

/// What is done so far. Gone from the terminal when dropped.
pub struct Progress {
    bar: Option<ProgressBar>,
    /// Done but not yet told: a bar takes a lock and a look at the clock each time.
    pending: u64,
    step: u64,
}

impl Progress {
    /// Counts bytes; without a total it can only say how many there were.
    pub fn bytes(what: &'static str, total: Option<u64>) -> Progress {
        let style = match total {
            Some(_) => "{msg} [{wide_bar}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
            None => "{msg} {spinner} {bytes}, {bytes_per_sec}",
        };
        Progress::new(what, style, total, 1 << 18)
    }

    /// Counts something else: pages, pairs.
    pub fn items(what: &'static str, total: u64) -> Progress {
        let style = "{msg} [{wide_bar}] {human_pos} of {human_len}, {eta} left";
        Progress::new(what, style, Some(total), 1 << 10)
    }

    fn new(what: &'static str, style: &str, total: Option<u64>, step: u64) -> Progress {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template(style)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ");
            bar.with_style(style).with_message(what)
        });
        Progress { bar, pending: 0, step }
    }

    /// So much more has been done.
    pub fn add(&mut self, amount: u64) {
        let Some(bar) = &self.bar else { return };
        self.pending += amount;
        if self.pending >= self.step {
            bar.inc(self.pending);
            self.pending = 0;
        }
    }

    /// So much has been done, of so much in all.
    pub fn set(&mut self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
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
