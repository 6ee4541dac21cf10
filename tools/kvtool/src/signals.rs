//! What the process does about signals.
//!
//! Thread rules: a thread of its own hears Ctrl-C and its like. Where the verb waits for others, it
//! ends the process itself, under the lock that says so; everywhere else the verb looks at a flag.

use crate::fail;
use crate::failure::{Failure, Outcome};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A write beyond the limit of the shell (`ulimit -f`) fails as one to a full disk does, and does
/// not end the process without a word.
pub fn ignore_file_size_limit() {
    ignore(libc::SIGXFSZ);
}

fn ignore(signal: libc::c_int) {
    // SAFETY: to ignore a signal runs no code of ours.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: an action of zeros is a valid value, and the call only writes to it.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

/// Set by Ctrl-C, SIGTERM or SIGHUP, for verbs that then end in good order.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<Asked>);

#[derive(Default)]
struct Asked {
    flag: AtomicBool,
    wait: Mutex<Wait>,
}

#[derive(Default)]
struct Wait {
    waits: bool,
    /// What is said if the process ends while it waits.
    last_words: String,
}

/// The verb waits for others, until this is dropped.
pub struct Waiting<'a>(&'a Interrupt);

impl Interrupt {
    /// Takes the signals over; once in a process. A second one ends the process at once, whatever
    /// it does.
    pub fn listen(&self) -> Outcome<()> {
        // Who ignores one wants it so: `nohup`, or a shell that runs the command in its background.
        let mut ignored = vec![libc::SIGINT, libc::SIGTERM, libc::SIGHUP];
        ignored.retain(|signal| is_ignored(*signal));
        let asked = self.clone();
        ctrlc::set_handler(move || asked.set())
            .map_err(|e| Failure::said(format!("cannot wait for Ctrl-C: {e}")))?;
        ignored.into_iter().for_each(ignore);
        Ok(())
    }

    fn set(&self) {
        let wait = self.wait();
        if wait.waits {
            fail(&wait.last_words);
            std::process::exit(2);
        }
        if self.0.flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    }

    fn wait(&self) -> MutexGuard<'_, Wait> {
        self.0.wait.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one has come.
    pub fn is_set(&self) -> bool {
        self.flag().load(Ordering::Relaxed)
    }

    /// The flag itself, for those who look at it on their own.
    pub fn flag(&self) -> &AtomicBool {
        &self.0.flag
    }

    /// The verb begins to wait for input or for another writer, which may take for ever: a signal
    /// ends the process now. None if one has come.
    pub fn waiting(&self) -> Option<Waiting<'_>> {
        let mut wait = self.wait();
        wait.waits = !self.is_set();
        wait.waits.then(|| Waiting(self))
    }

    /// What is to be said if the process ends while it waits.
    pub fn set_last_words(&self, words: Failure) {
        self.wait().last_words = words.message().unwrap_or_default();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.wait().waits = false;
    }
}
