//! The clock that all processes of a machine share, from its boot on.

/// Seconds since the machine was booted, those it slept included.
pub fn seconds_since_boot() -> u32 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec into a live one. The clock exists on every kernel that
    // has byte locks of open descriptions.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    u32::try_from(time.tv_sec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_does_not_go_back() {
        let first = super::seconds_since_boot();
        assert!(super::seconds_since_boot() >= first);
    }
}
