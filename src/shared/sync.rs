//! The atomics, the mutex and the sleeping of this room: the real ones, or, under `--cfg loom`,
//! those of the model checker, so that the tests in `loom` run the code that users run.
//!
//! Under `--cfg loom` the shared memory is a few words (`layout`) and a sleep has no end: whoever
//! is not woken is a deadlock, which the checker reports.

#[cfg(not(loom))]
pub use {
    crate::os::futex,
    parking_lot::Mutex,
    std::sync::atomic::{AtomicU32, AtomicU64, fence},
    std::thread::sleep,
};

#[cfg(loom)]
pub use {
    loom::sync::atomic::{AtomicU32, AtomicU64, fence},
    model::{Mutex, futex, sleep},
};

#[cfg(loom)]
mod model {
    use loom::sync::MutexGuard;
    use std::time::Duration;

    /// Somebody else has to do something first.
    pub fn sleep(_time: Duration) {
        loom::thread::yield_now();
    }

    /// A mutex with the interface of the real one.
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(|e| e.into_inner())
        }
    }

    /// As the kernel does it: the word is compared under the lock of the queue that a wake-up takes
    /// too.
    pub mod futex {
        use loom::sync::atomic::AtomicU64;
        use loom::sync::{Condvar, Mutex};
        use std::sync::atomic::Ordering::SeqCst;
        use std::time::Duration;

        loom::lazy_static! {
            static ref QUEUE: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
        }

        pub fn wait(word: &AtomicU64, seen: u64, _timeout: Duration) {
            let queue = QUEUE.0.lock().unwrap();
            if word.load(SeqCst) as u32 == seen as u32 {
                drop(QUEUE.1.wait(queue).unwrap());
            }
        }

        pub fn wake_all(_word: &AtomicU64) {
            let _queue = QUEUE.0.lock().unwrap();
            QUEUE.1.notify_all();
        }
    }
}
