//! A thread of a handle, which does what others would have to wait for.
//!
//! It starts with the first thing it is given, and ends with the handle. It holds no handle itself:
//! what it is given does, until it is done.
//!
//! Thread rules: any thread. In a forked child there is no such thread, and its lock may be held by
//! nobody: who gives it something has asked before whether this is one, and nothing else here
//! touches the lock there.

use crate::error::{Error, Result};
use crate::os::ForkMark;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::ThreadId;
use std::time::Instant;

/// Something to do. It gives what is to be told when it counts as done: whoever is told may wait
/// for this thread, or drop the handle.
pub type Work = Box<dyn FnOnce() -> Tell + Send>;
/// See there.
pub type Tell = Box<dyn FnOnce() + Send>;

/// The thread, as its handle has it.
pub struct Background {
    name: &'static str,
    inner: Arc<Inner>,
    /// The mark of the process that has started it.
    process: OnceLock<&'static AtomicU64>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// There is something to do, or the end has come.
    given: Condvar,
    /// Something is done.
    done: Condvar,
}

#[derive(Default)]
struct State {
    thread: Option<ThreadId>,
    waiting: VecDeque<Work>,
    /// What waits, and what is being done.
    undone: usize,
    ended: bool,
}

impl Background {
    /// One that has not been started.
    pub fn new(name: &'static str) -> Background {
        Background { name, inner: Arc::default(), process: OnceLock::new() }
    }

    /// Starts the thread, unless it has been: from then on nothing can fail. Which it is.
    pub fn start(&self) -> Result<ThreadId> {
        let mut state = self.inner.state.lock();
        if let Some(thread) = state.thread {
            return Ok(thread);
        }
        let failed = |e| Error::io("start a thread", e);
        let process = ForkMark::get().map_err(failed)?;
        let inner = Arc::clone(&self.inner);
        let thread = std::thread::Builder::new().name(self.name.into());
        let thread = thread.spawn(move || inner.work()).map_err(failed)?;
        let thread = thread.thread().id();
        state.thread = Some(thread);
        let _ = self.process.set(process);
        Ok(thread)
    }

    /// Has something done behind what was given before. The thread has been started.
    pub fn give(&self, work: Work) {
        let mut state = self.inner.state.lock();
        state.waiting.push_back(work);
        state.undone += 1;
        self.inner.given.notify_one();
    }

    /// Waits until all is done, or the time is over. At once on the thread itself: it would wait
    /// for itself. True if all is done.
    pub fn wait(&self, end: Instant) -> bool {
        if !self.is_here() {
            return true;
        }
        let mut state = self.inner.state.lock();
        if state.thread != Some(std::thread::current().id()) {
            self.inner.done.wait_while_until(&mut state, |state| state.undone > 0, end);
        }
        state.undone == 0
    }

    /// Whether the calling thread is this one.
    pub fn is_this(&self) -> bool {
        self.is_here() && self.inner.state.lock().thread == Some(std::thread::current().id())
    }

    /// Whether there is such a thread in this process.
    fn is_here(&self) -> bool {
        self.process.get().is_some_and(|process| process.load(Ordering::Acquire) == 1)
    }
}

impl Drop for Background {
    /// It does what it has, and ends. Nobody waits for that: whoever is told of the last of it may
    /// be in need of a lock that the calling thread holds.
    fn drop(&mut self) {
        if self.is_here() {
            self.inner.state.lock().ended = true;
            self.inner.given.notify_one();
        }
    }
}

impl Inner {
    fn work(&self) {
        while let Some(work) = self.next() {
            let tell = catch_unwind(AssertUnwindSafe(work));
            self.state.lock().undone -= 1;
            self.done.notify_all();
            if let Ok(tell) = tell {
                let _ = catch_unwind(AssertUnwindSafe(tell));
            }
        }
    }

    fn next(&self) -> Option<Work> {
        let mut state = self.state.lock();
        loop {
            match state.waiting.pop_front() {
                None if state.ended => return None,
                None => self.given.wait(&mut state),
                work => return work,
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(600)
    }

    #[test]
    fn panics_end_nothing_and_nobody_waits_for_himself() {
        let background = Arc::new(Background::new("recto-test"));
        assert!(background.wait(soon()), "it was never started");
        background.start().unwrap();
        background.start().unwrap();
        background.give(Box::new(|| panic!("a work")));
        background.give(Box::new(|| Box::new(|| panic!("a tell"))));
        let (told, tell) = channel();
        let own = Arc::clone(&background);
        background.give(Box::new(move || {
            let all_done = own.wait(soon());
            Box::new(move || told.send((all_done, own.wait(soon()), own.is_this())).unwrap())
        }));
        assert_eq!(tell.recv().unwrap(), (false, true, true));
        assert!(background.wait(soon()) && !background.is_this());
    }

    #[test]
    fn what_was_given_is_done_also_after_the_end() {
        let background = Background::new("recto-test");
        background.start().unwrap();
        let (go, gone) = channel::<()>();
        let (tell, told) = channel();
        background.give(Box::new(move || {
            let _ = gone.recv();
            Box::new(|| ())
        }));
        background.give(Box::new(move || Box::new(move || tell.send(7).unwrap())));
        assert!(!background.wait(Instant::now()));
        drop(background);
        drop(go);
        assert_eq!(told.recv(), Ok(7));
        assert!(told.recv().is_err());
    }
}
