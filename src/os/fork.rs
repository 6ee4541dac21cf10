//! Telling a forked child from the process it comes from, and closing lock descriptors in it.
//!
//! A *mark* is a word in a page that the kernel zeroes in a forked child (MADV_WIPEONFORK): it
//! reads 1 in the process that asked for it and 0 in each child, also one made by a bare `clone`. A
//! child that opens databases of its own gets a mark on a page of its own, so that handles it has
//! inherited stay dead. The price of looking is one load.
//!
//! Locks of an open file description live until its last descriptor closes, and a child inherits
//! descriptors. So `fork` runs a handler in the child that closes those which are registered here;
//! it never unlocks, which would take the lock from the parent. The handler only touches a fixed
//! array of atomics and calls `close`, both of which are allowed after `fork` in a program with
//! many threads. It leaves maps alone: safe references of the child may still point into them, and
//! the pages of a map that is no longer protected can change under the child, which is why every
//! use of an inherited handle is refused. A descriptor is opened and registered in one step before
//! which, or behind which, any `fork` comes: a handler before it waits for who is at it (rule B14).
//! A child made without the handler (bare `clone`) keeps its
//! parent's locks alive for as long as it lives: of a parent that dies, dead slots then pin pages
//! longer, and a lock that it held, the writer lock too, is free only when the child is gone.
//!
//! A descriptor number that the child has closed may be in use again for something else: the owner
//! of the `File` must forget it instead of closing it when its mark reads 0.

use super::check;
use super::memory::AnonMap;
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Descriptors in one part of the registry.
const PART: usize = 1024;

/// Descriptors that the child handler closes. Another part is added when all entries are taken.
struct Registry {
    entries: [AtomicI32; PART],
    /// Made when needed, and never freed.
    next: AtomicPtr<Registry>,
}

impl Registry {
    const fn new() -> Registry {
        Registry {
            entries: [const { AtomicI32::new(-1) }; PART],
            next: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    fn next(&self) -> Option<&Registry> {
        // SAFETY: null, or a part that is never freed.
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }

    /// The next part, made if there is none. Takes no lock: who holds one in a forked child does
    /// not exist.
    fn next_or_new(&self) -> &Registry {
        if let Some(next) = self.next() {
            return next;
        }
        let new = Box::into_raw(Box::new(Registry::new()));
        let order = (Ordering::AcqRel, Ordering::Acquire);
        let put = self.next.compare_exchange(std::ptr::null_mut(), new, order.0, order.1);
        let kept = put.map_or_else(
            |other| {
                // SAFETY: made above, and nobody else has seen it.
                drop(unsafe { Box::from_raw(new) });
                other
            },
            |_| new,
        );
        // SAFETY: a part that is in its place now, and is never freed.
        unsafe { &*kept }
    }

    /// All parts that there are.
    fn parts(&self) -> impl Iterator<Item = &Registry> {
        std::iter::successors(Some(self), |part| part.next())
    }

    /// Puts `new` into an entry that holds `old`, if there is one.
    fn replace(&self, old: RawFd, new: RawFd) -> bool {
        let held = |entry: &AtomicI32| entry.load(Ordering::Relaxed) == old;
        let order = (Ordering::AcqRel, Ordering::Relaxed);
        let put = |entry: &AtomicI32| entry.compare_exchange(old, new, order.0, order.1).is_ok();
        self.entries.iter().any(|entry| held(entry) && put(entry))
    }
}

static REGISTERED: Registry = Registry::new();
/// Whether the handlers are installed: 0 not, [`INSTALLED`], or by which process they are being
/// installed. Twice they would run twice for a fork, and the second run wait for who waits for the
/// first.
static HANDLERS: AtomicU32 = AtomicU32::new(0);
const INSTALLED: u32 = u32::MAX;
/// Threads that are in [`without_forks`], and threads that fork.
static OPENING: AtomicU32 = AtomicU32::new(0);
static FORKING: AtomicU32 = AtomicU32::new(0);
/// Threads that have waited for [`OPENING_WAIT`] to get there: new forks let them go first.
static OVERDUE: AtomicU32 = AtomicU32::new(0);
const OPENING_WAIT: Duration = Duration::from_millis(10);
/// How long a fork waits for a thread that opens a descriptor: for ever only if the same thread
/// forks, in a signal handler.
const FORK_WAIT: Duration = Duration::from_secs(10);
/// The newest mark; it belongs to this process or, in a child that has none yet, to a parent.
static CURRENT: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());

/// Marks of processes.
pub struct ForkMark;

impl ForkMark {
    /// The mark of this process: 1 here, 0 in every child it forks. Takes no lock, so that it works
    /// in a child of a program with many threads.
    pub fn get() -> io::Result<&'static AtomicU64> {
        install_handlers(&HANDLERS)?;
        let current = CURRENT.load(Ordering::Acquire);
        // SAFETY: the pointer is null or leads to a page that is never unmapped.
        if let Some(mark) = unsafe { current.as_ref() }
            && mark.load(Ordering::Acquire) == 1
        {
            return Ok(mark);
        }
        Self::make(current)
    }

    /// Makes a mark in place of `stale`, or finds that another thread has.
    fn make(stale: *mut AtomicU64) -> io::Result<&'static AtomicU64> {
        let page = AnonMap::private(super::memory::page_size())?;
        // SAFETY: exactly the page just made; private and anonymous, as the kernel demands.
        check(unsafe { libc::madvise(page.base().cast(), page.len(), libc::MADV_WIPEONFORK) })?;
        let word = page.base().cast::<AtomicU64>();
        // SAFETY: a zeroed page is an AtomicU64 of value 0, aligned, and nobody else knows it.
        unsafe { (*word).store(1, Ordering::Release) };
        match CURRENT.compare_exchange(stale, word, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                std::mem::forget(page);
                // SAFETY: the page stays mapped for ever.
                Ok(unsafe { &*word })
            }
            // SAFETY: stored above by another thread of this process, and never unmapped.
            Err(other) => Ok(unsafe { &*other }),
        }
    }
}

/// Installs the handlers, if nobody has. Waits for another thread that does; one of a parent, which
/// was at it when this process was forked, is not here, and in another namespace that may have had
/// the same number.
fn install_handlers(state: &AtomicU32) -> io::Result<()> {
    if state.load(Ordering::Acquire) == INSTALLED {
        return Ok(());
    }
    let (own, begun) = (std::process::id(), Instant::now());
    let order = (Ordering::AcqRel, Ordering::Acquire);
    loop {
        match state.load(Ordering::Acquire) {
            INSTALLED => return Ok(()),
            busy if busy == own && begun.elapsed() < FORK_WAIT => std::thread::yield_now(),
            other => {
                if state.compare_exchange(other, own, order.0, order.1).is_ok() {
                    break;
                }
            }
        }
    }
    // SAFETY: plain functions; those that run behind the fork are allowed there.
    let rc = unsafe {
        libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(close_registered))
    };
    let (next, done) = match rc {
        0 => (INSTALLED, Ok(())),
        error => (0, Err(io::Error::from_raw_os_error(error))),
    };
    state.store(next, Ordering::Release);
    done
}

/// Runs `open` while no thread forks: each fork comes before it or behind it.
pub fn without_forks<T>(open: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let mut overdue = None;
    loop {
        let opening = Counted::one_more(&OPENING);
        if FORKING.load(Ordering::SeqCst) == 0 {
            drop(overdue);
            let done = open();
            drop(opening);
            return done;
        }
        drop(opening);
        if overdue.is_none() && begun.elapsed() >= OPENING_WAIT {
            overdue = Some(Counted::one_more(&OVERDUE));
        }
        std::thread::yield_now();
    }
}

/// One more in a counter, for as long as it lives.
struct Counted(&'static AtomicU32);

impl Counted {
    fn one_more(counter: &'static AtomicU32) -> Counted {
        counter.fetch_add(1, Ordering::SeqCst);
        Counted(counter)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // In a child that was forked inside, by a signal handler, it is zero already.
        let less = |n: u32| n.checked_sub(1);
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
    }
}

/// Runs in the thread that forks, before it does.
extern "C" fn before_fork() {
    let begun = Instant::now();
    loop {
        let waits = begun.elapsed() < FORK_WAIT;
        if OVERDUE.load(Ordering::SeqCst) > 0 && waits {
            std::thread::yield_now();
            continue;
        }
        FORKING.fetch_add(1, Ordering::SeqCst);
        // Who opens from now on sees it, and waits; who does so already is waited for.
        while OPENING.load(Ordering::SeqCst) > 0 && begun.elapsed() < FORK_WAIT {
            std::thread::yield_now();
        }
        return;
    }
}

/// And behind that.
extern "C" fn after_fork() {
    FORKING.fetch_sub(1, Ordering::SeqCst);
}

/// Has `fd` closed in forked children. The descriptor must close on exec and must be unregistered
/// before it is closed.
pub fn register(fd: RawFd) {
    let mut part = &REGISTERED;
    while !part.replace(-1, fd) {
        part = part.next_or_new();
    }
}

/// Takes `fd` out again.
pub fn unregister(fd: RawFd) {
    let _ = REGISTERED.parts().any(|part| part.replace(fd, -1));
}

/// Runs in the child: closes, never unlocks.
extern "C" fn close_registered() {
    // The other threads, whatever they were at, are not here.
    for counter in [&OPENING, &FORKING, &OVERDUE] {
        counter.store(0, Ordering::SeqCst);
    }
    for entry in REGISTERED.parts().flat_map(|part| &part.entries) {
        let fd = entry.swap(-1, Ordering::Relaxed);
        if fd >= 0 {
            // SAFETY: an inherited descriptor whose owner forgets it in the child.
            unsafe { libc::close(fd) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::sync::atomic::AtomicBool;

    /// Runs `child` in a forked child and returns what it exits with. The child must only do what
    /// is allowed after fork.
    fn in_child(child: impl FnOnce() -> i32) -> i32 {
        // SAFETY: the child runs the closure and leaves without unwinding or destructors.
        unsafe {
            let pid = libc::fork();
            assert!(pid >= 0);
            if pid == 0 {
                libc::_exit(child());
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
            assert!(libc::WIFEXITED(status), "status {status}");
            libc::WEXITSTATUS(status)
        }
    }

    #[test]
    fn the_mark_is_gone_in_a_child_and_stays_gone() {
        let mark = ForkMark::get().unwrap();
        assert_eq!(mark.load(Ordering::Relaxed), 1);
        assert!(std::ptr::eq(mark, ForkMark::get().unwrap()));
        let code = in_child(|| {
            if mark.load(Ordering::Relaxed) != 0 {
                return 1;
            }
            let Ok(own) = ForkMark::get() else { return 2 };
            // The child's own mark must not bring its parent's handles to life.
            if own.load(Ordering::Relaxed) != 1 || mark.load(Ordering::Relaxed) != 0 {
                return 3;
            }
            0
        });
        assert_eq!(code, 0);
        assert_eq!(mark.load(Ordering::Relaxed), 1);
    }

    /// A descriptor that is opened while another thread forks is one that the child closes.
    #[test]
    fn no_fork_comes_between_opening_and_registering() {
        static REGISTERED_BY_NOW: AtomicBool = AtomicBool::new(false);
        ForkMark::get().unwrap();
        let (inside, is_inside) = std::sync::mpsc::channel();
        let opener = std::thread::spawn(move || {
            without_forks(|| {
                inside.send(()).unwrap();
                // The fork is begun meanwhile, if this is long enough; if not, it proves nothing.
                std::thread::sleep(Duration::from_millis(50));
                REGISTERED_BY_NOW.store(true, Ordering::SeqCst);
            });
        });
        is_inside.recv().unwrap();
        assert_eq!(in_child(|| REGISTERED_BY_NOW.load(Ordering::SeqCst).into()), 1);
        opener.join().unwrap();
        // Openings go on in the parent, and in a child.
        assert_eq!(without_forks(|| 7), 7);
        assert_eq!(in_child(|| without_forks(|| 7)), 7);
    }

    /// Threads that come at once install the handlers once, and a child that was forked meanwhile
    /// does not wait for a thread of its parent.
    #[test]
    fn handlers_are_installed_once() {
        // Nobody, or a thread of a parent.
        for busy in [0, std::process::id() ^ 1].repeat(20) {
            let (state, start) = (AtomicU32::new(busy), std::sync::Barrier::new(3));
            std::thread::scope(|s| {
                for _ in 0..3 {
                    s.spawn(|| {
                        start.wait();
                        install_handlers(&state).unwrap();
                        assert_eq!(state.load(Ordering::SeqCst), INSTALLED);
                    });
                }
            });
        }
    }

    #[test]
    fn a_child_closes_what_is_registered_and_nothing_else() {
        ForkMark::get().unwrap();
        let (a, b) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let (a, b) = (a.as_raw_fd(), b.as_raw_fd());
        register(a);
        register(b);
        unregister(b);
        // SAFETY: asks about descriptors.
        let code = in_child(|| unsafe {
            let closed = |fd| libc::fcntl(fd, libc::F_GETFD) == -1;
            i32::from(!closed(a)) | i32::from(closed(b)) << 1
        });
        assert_eq!(code, 0);
        unregister(a);
        // SAFETY: as above.
        assert_ne!(unsafe { libc::fcntl(a, libc::F_GETFD) }, -1);
    }

    /// A lock of a parent that has died would stay with a child that has not closed its descriptor.
    #[test]
    fn a_child_closes_all_of_many_thousands() {
        ForkMark::get().unwrap();
        // No descriptors: to close them is an error that nobody sees.
        let many = 1 << 24..(1 << 24) + 5 * PART as RawFd;
        many.clone().for_each(register);
        let last = tempfile::tempfile().unwrap();
        register(last.as_raw_fd());
        // SAFETY: asks about a descriptor.
        let code =
            in_child(|| i32::from(unsafe { libc::fcntl(last.as_raw_fd(), libc::F_GETFD) } != -1));
        many.for_each(unregister);
        unregister(last.as_raw_fd());
        assert_eq!(code, 0);
    }
}
