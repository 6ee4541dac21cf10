//! Sleeping until a word in shared memory changes. Works between processes, and for the waiter also
//! on memory it may only read.

use std::io;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// The half of the word that the kernel compares: its low 32 bits.
fn low_half(word: &AtomicU64) -> *mut u32 {
    let halves = word.as_ptr().cast::<u32>();
    if cfg!(target_endian = "little") {
        halves
    } else {
        // A word is two halves; the low one is the second on this machine.
        halves.wrapping_add(1)
    }
}

/// Sleeps while the low 32 bits of `word` are those of `seen`, at most for `timeout`. May return
/// early for no reason; the caller looks again.
pub fn wait(word: &AtomicU64, seen: u64, timeout: Duration) {
    let time = libc::timespec {
        tv_sec: timeout.as_secs().min(i32::MAX as u64) as libc::time_t,
        tv_nsec: timeout.subsec_nanos() as _,
    };
    // SAFETY: the address is that of a live, aligned word; the kernel only reads it; `time` lives
    // across the call. Any outcome is a reason to look at the word again, so none is examined.
    unsafe {
        libc::syscall(libc::SYS_futex, low_half(word), libc::FUTEX_WAIT, seen as u32, &time);
    }
}

/// Wakes everybody who sleeps on `word`.
pub fn wake_all(word: &AtomicU64) {
    // SAFETY: the kernel takes the address as a name only.
    let rc =
        unsafe { libc::syscall(libc::SYS_futex, low_half(word), libc::FUTEX_WAKE, i32::MAX, 0, 0) };
    debug_assert!(rc >= 0, "wake: {}", io::Error::last_os_error());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn returns_at_once_when_the_word_differs() {
        let word = AtomicU64::new(7 | 1 << 40);
        // Would sleep for an hour if the half or the value were wrong.
        wait(&word, 8 | 1 << 40, Duration::from_secs(3600));
    }

    #[test]
    fn wakes_a_sleeper() {
        let word = AtomicU64::new(1);
        std::thread::scope(|s| {
            s.spawn(|| {
                while word.load(Ordering::Acquire) == 1 {
                    wait(&word, 1, Duration::from_secs(3600));
                }
            });
            word.store(2, Ordering::Release);
            wake_all(&word);
        });
    }
}
