//! The thread of a handle that looks out for commits, for all tasks that wait for one; and the end
//! of the handle's threads.
//!
//! The thread sleeps where a blocking wait does (B17), and only while somebody waits.
//!
//! Invariant: whoever is in the list looks at the visible snapshot behind his entry, and the thread
//! looks at it with the list locked, and sleeps no longer than until it moves. So either of them
//! sees what the other one has not.
//!
//! Thread rules: any thread. Wakers are woken, and dropped, outside of the lock.

use crate::commit::background::Background;
use crate::commit::deadline::close_by;
use crate::commit::engine::Engine;
use crate::commit::promise::wake;
use crate::error::Result;
use crate::types::TxnId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

/// How often the end of a handle tells a thread that sleeps: it may just be going to.
const TELL_AGAIN: Duration = Duration::from_millis(1);

/// What the clones of a handle have of its threads. With the last clone they end.
pub struct Watch {
    engine: Arc<Engine>,
    waiting: Arc<Waiting>,
    thread: Background,
}

/// Who waits for a commit.
#[derive(Default)]
struct Waiting {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By the number of their place: what each has seen, and whom to wake.
    list: BTreeMap<u64, (TxnId, Waker)>,
    last_number: u64,
    /// The thread looks out.
    watched: bool,
}

/// The place of one that waits.
#[derive(Clone, Copy, Debug)]
pub struct WaitingPlace(u64);

impl Watch {
    /// Of this handle.
    pub fn new(engine: Arc<Engine>) -> Watch {
        let thread = Background::new("recto-watch");
        Watch { engine, waiting: Arc::default(), thread }
    }

    /// Has the waker woken when something newer than `seen` is visible, or at any time before. The
    /// caller looks once more behind this. One place has one waker.
    pub fn wait(
        &self,
        place: Option<WaitingPlace>,
        seen: TxnId,
        waker: &Waker,
    ) -> Result<WaitingPlace> {
        self.engine.check_alive()?;
        self.thread.start()?;
        let waker = waker.clone();
        let mut state = self.waiting.state.lock();
        let number = place.map_or_else(
            || {
                state.last_number += 1;
                state.last_number
            },
            |place| place.0,
        );
        let older = state.list.insert(number, (seen, waker));
        let is_watched = std::mem::replace(&mut state.watched, true);
        drop(state);
        drop(older);
        if !is_watched {
            let (engine, waiting) = (Arc::clone(&self.engine), Arc::clone(&self.waiting));
            self.thread.give(Box::new(move || {
                waiting.watch(&engine);
                Box::new(|| ())
            }));
        }
        Ok(WaitingPlace(number))
    }

    /// It waits no more.
    pub fn leave(&self, place: WaitingPlace) {
        if self.engine.check_alive().is_ok() {
            let entry = self.waiting.state.lock().list.remove(&place.0);
            drop(entry);
        }
    }
}

impl Drop for Watch {
    /// With the last clone of the handle: nobody waits for commits then. What it has left to its
    /// threads is awaited for as long as a handle waits that closes.
    fn drop(&mut self) {
        if self.engine.check_alive().is_err() {
            return;
        }
        self.engine.wait_for_background();
        let end = close_by();
        while !self.thread.is_this() && !self.thread.wait(Instant::now() + TELL_AGAIN) {
            if Instant::now() >= end {
                return;
            }
            self.engine.shared.wake_sleepers();
        }
    }
}

impl Waiting {
    /// Wakes those that wait when they are to be woken, until there is none.
    fn watch(&self, engine: &Engine) {
        let mut can_look = true;
        loop {
            let mut state = self.state.lock();
            let seen = engine.shared.visible();
            // If it cannot look out, each hears from his own look what is wrong.
            let is_due = |entry: &(TxnId, Waker)| entry.0 < seen || !can_look;
            let due = state.list.iter().filter(|(_, entry)| is_due(entry)).map(|(&n, _)| n);
            let due: Vec<u64> = due.collect();
            let due: Vec<_> = due.iter().filter_map(|n| state.list.remove(n)).collect();
            state.watched = !(due.is_empty() && state.list.is_empty());
            if !state.watched {
                return;
            }
            drop(state);
            if due.is_empty() {
                let goes_on = || !self.state.lock().list.is_empty();
                can_look = engine.shared.wait_visible_while(seen, None, goes_on).is_ok();
            }
            due.into_iter().for_each(|(_, waker)| wake(waker));
        }
    }
}
