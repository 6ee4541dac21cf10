//! Closures of several threads in one commit.
//!
//! Whoever comes first leads: it begins the write transaction, takes along what has come to the
//! queue until then, runs it all, commits, and says to each how that went. What comes meanwhile
//! waits for the next commit, which the first of it leads. A closure that fails is taken out, the
//! transaction is begun again without it, and its own thread runs it alone.
//!
//! Thread rules: everything from any thread. A thread waits only where it has handed its closure
//! over and somebody leads; the leader never waits for another closure's thread. However it ends,
//! another one leads, and the channels of the closures that it has close: nobody waits for ever.

use super::transaction::WriteTxn;
use crate::commit::durability::Durability;
use crate::error::{Error, Result};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

/// Closures that one commit takes at most.
const MOST: usize = 1_000;

/// How a write transaction is begun, and what is asked of its commit.
pub struct Begin<'a> {
    pub txn: &'a dyn Fn() -> Result<WriteTxn>,
    pub durability: Durability,
}

/// The closures of a handle that wait for a commit.
#[derive(Default)]
pub struct Batches {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Somebody leads, or has been told to.
    led: bool,
}

/// A closure, and where its thread hears how it went.
struct Job {
    work: Arc<dyn Work>,
    tell: Sender<Told>,
}

enum Told {
    /// Nobody leads any more: it is the first of those that wait.
    Lead(Job),
    Committed,
    OutcomeUnknown(String),
    /// Nothing of it has happened, and it is not to be run with others again.
    Alone,
}

/// A closure whose result stays with it.
trait Work: Send + Sync {
    /// Runs it, once more if it has been run before. An error too if it leaves the transaction
    /// useless, or another one in its place, which has nothing of what others have done. Its
    /// savepoints end with it: nobody who comes later goes back behind others.
    fn run(&self, txn: &mut WriteTxn) -> Result<()>;
}

struct Closure<T, F>(Mutex<(F, Option<T>)>);

impl<T: Send, F: FnMut(&mut WriteTxn) -> Result<T> + Send> Work for Closure<T, F> {
    fn run(&self, txn: &mut WriteTxn) -> Result<()> {
        let (f, result) = &mut *self.0.lock();
        *result = None;
        let number = txn.writer().number();
        let done = f(txn)?;
        if txn.writer().number() != number {
            let detail =
                "the closure has put another transaction in the place of the one it was given";
            return Err(Error::InvalidArgument(detail.into()));
        }
        txn.writer_mut().release_all()?;
        *result = Some(done);
        Ok(())
    }
}

impl Batches {
    /// Runs the closure in a transaction, alone or with others, and commits that.
    pub fn run<T, F>(&self, begin: &Begin<'_>, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut WriteTxn) -> Result<T> + Send + 'static,
    {
        let closure = Arc::new(Closure(Mutex::new((f, None))));
        let (tell, told) = channel();
        let mut first = self.lead_or_wait(Job { work: closure.clone(), tell });
        loop {
            if let Some(job) = first.take() {
                Leader(self).lead(begin, job)?;
            }
            match told.recv() {
                Ok(Told::Lead(job)) => first = Some(job),
                Ok(Told::Committed) => break,
                Ok(Told::OutcomeUnknown(detail)) => return Err(Error::unknown(detail)),
                // A fault, since closures that panic are caught; it may have been in the commit.
                Err(_) => {
                    let detail = "the thread that led the commit has panicked";
                    return Err(Error::unknown(detail));
                }
                Ok(Told::Alone) => {
                    let mut txn = (begin.txn)()?;
                    closure.run(&mut txn)?;
                    txn.set_durability(begin.durability);
                    txn.commit()?;
                    break;
                }
            }
        }
        let result = closure.0.lock().1.take();
        // It has run to its end, or the transaction would not have been committed.
        result.ok_or(Error::TransactionBroken { path: None })
    }

    /// The job, if nobody leads; else it waits.
    fn lead_or_wait(&self, job: Job) -> Option<Job> {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.led, true) {
            state.waiting.push_back(job);
            return None;
        }
        Some(job)
    }
}

/// Whoever leads. However that ends, the first of those that wait leads next.
struct Leader<'a>(&'a Batches);

impl Leader<'_> {
    /// Runs a job and those that wait. An error is that of its own begin, and nothing has been run.
    fn lead(self, begin: &Begin<'_>, own: Job) -> Result<()> {
        let mut txn = (begin.txn)()?;
        let mut jobs = vec![own];
        {
            let waiting = &mut self.0.state.lock().waiting;
            let more = waiting.len().min(MOST - 1);
            jobs.extend(waiting.drain(..more));
        }
        while let Some(failed) = jobs.iter().position(|job| !has_run(job, &mut txn)) {
            drop(txn);
            say(jobs.drain(failed..=failed), || Told::Alone);
            if jobs.is_empty() {
                return Ok(());
            }
            let Ok(again) = (begin.txn)() else {
                // Each hears from its own begin what is wrong.
                say(jobs.drain(..), || Told::Alone);
                return Ok(());
            };
            txn = again;
        }
        txn.set_durability(begin.durability);
        match txn.commit() {
            Ok(()) => say(jobs.drain(..), || Told::Committed),
            Err(Error::OutcomeUnknown { detail, .. }) => {
                say(jobs.drain(..), || Told::OutcomeUnknown(detail.clone()));
            }
            // It did not happen, and never will.
            Err(_) => say(jobs.drain(..), || Told::Alone),
        }
        Ok(())
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        match state.waiting.pop_front() {
            Some(job) => {
                let tell = job.tell.clone();
                say_to(&tell, Told::Lead(job));
            }
            None => state.led = false,
        }
    }
}

/// Whether a job has run to its end without an error.
fn has_run(job: &Job, txn: &mut WriteTxn) -> bool {
    // What a panic leaves of the transaction is dropped; its own thread meets the panic again.
    catch_unwind(AssertUnwindSafe(|| job.work.run(txn))).is_ok_and(|result| result.is_ok())
}

/// The closures go first: each ends on its own thread then, with what it has captured, before its
/// `batch` returns.
fn say(jobs: impl Iterator<Item = Job>, what: impl Fn() -> Told) {
    jobs.for_each(|Job { work, tell }| {
        drop(work);
        say_to(&tell, what());
    });
}

/// Nobody leaves while its job is with others, so there is always somebody to hear it.
fn say_to(tell: &Sender<Told>, what: Told) {
    let heard = tell.send(what);
    debug_assert!(heard.is_ok());
}
