//! The outcome of a commit that another thread finishes: a place where it is put once and taken
//! once, by whoever polls or waits. It needs no runtime.
//!
//! Thread rules: a keeper and a promise may be on any two threads. Wakers are woken, and dropped,
//! outside of the lock: that may run anything, and drop the promise.

use super::report::CommitReport;
use crate::error::{Error, Result};
use crate::os::ForkMark;
use parking_lot::{Condvar, Mutex};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread::ThreadId;

type Outcome = Result<CommitReport>;

#[derive(Default)]
struct Place {
    state: Mutex<State>,
    kept: Condvar,
}

#[derive(Default)]
struct State {
    outcome: Option<Outcome>,
    /// It was there, taken or not.
    is_kept: bool,
    waker: Option<Waker>,
}

/// Where the outcome comes. To drop it is to have no interest in it.
pub struct Promise {
    place: Arc<Place>,
    /// The thread that will keep it, and the mark of its process.
    kept_by: Option<(ThreadId, &'static AtomicU64)>,
    /// The database, for what is not said by the keeper.
    file: Option<Box<Path>>,
}

/// Who is to put it there. Dropped without: nobody knows what became of the commit.
pub struct Keeper(Option<Arc<Place>>);

impl Promise {
    /// One that is kept by this thread.
    pub fn new(thread: ThreadId, file: Option<&Path>) -> Result<(Keeper, Promise)> {
        let process = ForkMark::get().map_err(|e| Error::io("marking the process", e))?;
        let place = Arc::<Place>::default();
        let keeper = Keeper(Some(Arc::clone(&place)));
        let kept_by = Some((thread, process));
        Ok((keeper, Promise { place, kept_by, file: file.map(Box::from) }))
    }

    /// One that is kept already.
    pub fn kept(outcome: Outcome) -> Promise {
        let place = Place::default();
        *place.state.lock() = State { outcome: Some(outcome), is_kept: true, waker: None };
        Promise { place: Arc::new(place), kept_by: None, file: None }
    }

    fn named(&self, e: Error) -> Error {
        match &self.file {
            Some(file) => e.at(file),
            None => e,
        }
    }

    /// A forked child has no thread that keeps it; and that of its parent may have had the lock.
    fn check_process(&self) -> Result<()> {
        let is_here = self.kept_by.is_none_or(|(_, process)| process.load(Ordering::Acquire) == 1);
        match is_here {
            true => Ok(()),
            false => Err(self.named(Error::Forked { path: None })),
        }
    }

    /// Whether the outcome is there, or has been taken.
    pub fn is_kept(&self) -> bool {
        self.check_process().is_err() || self.place.state.lock().is_kept
    }

    /// The outcome, if it is there; else the waker is woken when it is.
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<Outcome> {
        if let Err(e) = self.check_process() {
            return Poll::Ready(Err(e));
        }
        let mut state = self.place.state.lock();
        if state.is_kept {
            return Poll::Ready(state.take().map_err(|e| self.named(e)));
        }
        // Cloning one may run anything, as waking does: what is in the place is none of that.
        let is_there = state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        drop(state);
        if is_there {
            return Poll::Pending;
        }
        let waker = context.waker().clone();
        let mut state = self.place.state.lock();
        if state.is_kept {
            return Poll::Ready(state.take().map_err(|e| self.named(e)));
        }
        let older = state.waker.replace(waker);
        drop(state);
        drop(older);
        Poll::Pending
    }

    /// The same, waiting for it. An error on the thread that is to keep it, which would wait for
    /// itself: a waker runs there.
    pub fn wait(self) -> Outcome {
        self.check_process()?;
        let mut state = self.place.state.lock();
        let keeps_it = |(thread, _)| thread == std::thread::current().id();
        if !state.is_kept && self.kept_by.is_some_and(keeps_it) {
            let why = "it was waited for where it is made durable, in a waker";
            return Err(self.named(Error::unknown(why)));
        }
        self.place.kept.wait_while(&mut state, |state| !state.is_kept);
        state.take().map_err(|e| self.named(e))
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        // Nobody is to be woken any more, and what the waker holds is free.
        if self.check_process().is_ok() {
            let waker = self.place.state.lock().waker.take();
            drop(waker);
        }
    }
}

impl State {
    fn take(&mut self) -> Outcome {
        let taken = || Err(Error::InvalidArgument("the outcome of this commit was taken".into()));
        self.outcome.take().unwrap_or_else(taken)
    }
}

impl Keeper {
    /// Puts it there, and wakes whoever waits.
    pub fn keep(mut self, outcome: Outcome) {
        self.put(outcome);
    }

    fn put(&mut self, outcome: Outcome) {
        let Some(place) = self.0.take() else { return };
        let mut state = place.state.lock();
        state.outcome = Some(outcome);
        state.is_kept = true;
        let waker = state.waker.take();
        place.kept.notify_all();
        drop(state);
        if let Some(waker) = waker {
            wake(waker);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let detail = "the thread that was to make it durable has panicked";
        self.put(Err(Error::unknown(detail)));
    }
}

/// Wakes a task. That runs the code of its executor: a panic there is none of ours, and ends
/// nothing here.
pub fn wake(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn unknown(outcome: Poll<Outcome>) -> bool {
        matches!(outcome, Poll::Ready(Err(Error::OutcomeUnknown { .. })))
    }

    #[test]
    fn whoever_polled_last_is_woken_once() {
        let (keeper, promise) = Promise::new(std::thread::current().id(), None).unwrap();
        let wakers = [(); 2].map(|()| Arc::new(Counting::default()));
        for waker in [&wakers[0], &wakers[1], &wakers[1]] {
            let waker = Waker::from(Arc::clone(waker));
            assert!(promise.poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert!(!promise.is_kept());
        // A waker that is not needed any more is not kept.
        assert_eq!(Arc::strong_count(&wakers[0]), 1);
        drop(keeper);
        assert!(promise.is_kept());
        let waker = Waker::from(Arc::clone(&wakers[0]));
        let mut context = Context::from_waker(&waker);
        assert!(unknown(promise.poll(&mut context)));
        let again = promise.poll(&mut context);
        assert!(matches!(again, Poll::Ready(Err(Error::InvalidArgument(_)))), "{again:?}");
        assert_eq!(wakers.map(|waker| waker.0.load(Ordering::SeqCst)), [0, 1]);
    }

    #[test]
    fn a_dropped_promise_lets_go_of_its_waker() {
        let (keeper, promise) = Promise::new(std::thread::current().id(), None).unwrap();
        let counting = Arc::new(Counting::default());
        let waker = Waker::from(Arc::clone(&counting));
        assert!(promise.poll(&mut Context::from_waker(&waker)).is_pending());
        drop((waker, promise));
        assert_eq!(Arc::strong_count(&counting), 1);
        drop(keeper);
        assert_eq!(counting.0.load(Ordering::SeqCst), 0);
    }
}
