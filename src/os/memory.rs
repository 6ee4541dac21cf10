//! Memory that no file stands behind, and hints about memory that has one.

use super::check;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::NonNull;

/// Zeroed pages without a file. They are shared with forked children, like the pages of a file.
///
/// Thread rules: only an address and a length; what may be done through the pointer, and when, is
/// the affair of the owner.
#[derive(Debug)]
pub struct AnonMap {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the value is an address and a length, and unmapping works from any thread.
unsafe impl Send for AnonMap {}
// SAFETY: `&AnonMap` only gives out the address and the length.
unsafe impl Sync for AnonMap {}

impl AnonMap {
    /// Maps `len` bytes, rounded up to whole pages of memory. Pages take memory when first stored
    /// to.
    #[cfg(test)]
    pub fn new(len: usize) -> io::Result<AnonMap> {
        Self::map(len, libc::MAP_SHARED)
    }

    /// The same, but a forked child gets a copy of its own.
    pub fn private(len: usize) -> io::Result<AnonMap> {
        Self::map(len, libc::MAP_PRIVATE)
    }

    fn map(len: usize, kind: libc::c_int) -> io::Result<AnonMap> {
        Self::map_of(len, kind | libc::MAP_ANONYMOUS, -1)
    }

    fn map_of(len: usize, kind: libc::c_int, fd: libc::c_int) -> io::Result<AnonMap> {
        if len == 0 || len > isize::MAX as usize {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        // SAFETY: a new map at an address of the kernel's choice touches nothing that exists.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                kind | libc::MAP_NORESERVE,
                fd,
                0,
            )
        };
        Self::mapped(base, len)
    }

    fn mapped(base: *mut libc::c_void, len: usize) -> io::Result<AnonMap> {
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        match NonNull::new(base.cast()) {
            Some(base) => Ok(AnonMap { base, len }),
            None => Err(io::Error::other("memory mapped at address zero")),
        }
    }

    /// The same, of pages that can be mapped again, at another place and longer
    /// ([`AnonMap::again`]), up to the number of bytes that is returned too: [`OBJECT`], or less
    /// where the process may not make so large a file. Takes no descriptor.
    pub fn extensible(len: usize) -> io::Result<(AnonMap, u64)> {
        // SAFETY: a string that ends in zero.
        let fd = check(unsafe { libc::memfd_create(c"recto".as_ptr(), libc::MFD_CLOEXEC) })?;
        // SAFETY: a descriptor that was just made and that nobody else knows.
        let file = unsafe { File::from_raw_fd(fd) };
        // Who goes beyond the limit gets a signal.
        let most = OBJECT.min(file_size_limit()?);
        file.set_len(most)?;
        if len as u64 > most {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok((Self::map_of(len, libc::MAP_SHARED, file.as_raw_fd())?, most))
    }

    /// Another map of the same pages, from the first one on; longer or shorter. Only of what
    /// [`AnonMap::extensible`] has made, and not beyond the bytes there are.
    pub fn again(&self, len: usize) -> io::Result<AnonMap> {
        if len == 0 || len > isize::MAX as usize {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        // SAFETY: an old length of zero leaves the old map as it is and makes a new one, at an
        // address of the kernel's choice; a map that is not shared is refused.
        let base = unsafe { libc::mremap(self.base().cast(), 0, len, libc::MREMAP_MAYMOVE) };
        Self::mapped(base, len)
    }

    /// First byte, aligned to a page of memory.
    pub fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Bytes mapped.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Gives a hint about the whole map.
    #[cfg(test)]
    pub fn advise(&self, advice: Advice) -> io::Result<()> {
        advise(self.base(), self.len, advice)
    }

    /// The pages of the range, both ends multiples of a page of memory, read as zeros afterwards
    /// and take no memory until stored to, in every map of them. Nobody may hold a reference into
    /// it.
    pub fn zero(&self, offset: usize, len: usize) -> io::Result<()> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let at = self.base().wrapping_add(offset);
        // SAFETY: the range lies inside this map; MADV_REMOVE frees shared pages as a hole in a
        // file.
        check(unsafe { libc::madvise(at.cast(), len, libc::MADV_REMOVE) }).map(drop)
    }
}

/// Bytes that pages without a file can be mapped to at most: half of all addresses of a process.
const OBJECT: u64 = 1 << 46;

/// The longest file that this process may make.
pub(super) fn file_size_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a struct that lives across the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) })?;
    Ok(limit.rlim_cur)
}

impl Drop for AnonMap {
    fn drop(&mut self) {
        // SAFETY: exactly the range that was mapped, and the owner is gone.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// What is about to happen to a range of memory. Hints that can be given for any map without
/// changing what stands in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advice {
    /// Touched here and there: no read-ahead, small folios.
    Random,
    /// Touched from the front to the back: more read-ahead, and what was passed goes first.
    Sequential,
    /// Pages of 2 MiB, as the processor has them: what is missing is read by as many bytes.
    Huge,
    /// Read soon: start reading now. No error beyond the end of a file.
    WillNeed,
}

impl Advice {
    fn code(self) -> libc::c_int {
        match self {
            Advice::Random => libc::MADV_RANDOM,
            Advice::Sequential => libc::MADV_SEQUENTIAL,
            Advice::Huge => libc::MADV_HUGEPAGE,
            Advice::WillNeed => libc::MADV_WILLNEED,
        }
    }
}

/// Gives a hint about `len` bytes at `at`, which are widened to whole pages of memory. A range that
/// is not mapped is an error, and harmless.
pub fn advise(at: *const u8, len: usize, advice: Advice) -> io::Result<()> {
    let inside = at as usize % page_size();
    let start = at.wrapping_sub(inside);
    // SAFETY: none of the hints changes the contents of memory or unmaps it, so a wrong range can
    // only cost time; the kernel answers with an error where nothing is mapped.
    check(unsafe { libc::madvise(start.cast_mut().cast(), len + inside, advice.code()) }).map(drop)
}

/// Whether the memory page that holds `at` can be read without waiting: for a mapped file, whether
/// it is in the page cache. A kernel that does not tell says yes.
pub fn is_resident(at: *const u8) -> bool {
    let start = at.wrapping_sub(at as usize % page_size());
    let mut state = 1u8;
    // SAFETY: one page of memory, so one byte of answer; where nothing is mapped the kernel says
    // so.
    let _ = unsafe { libc::mincore(start.cast_mut().cast(), 1, &mut state) };
    state & 1 == 1
}

/// Bytes in a page of memory.
pub fn page_size() -> usize {
    // SAFETY: asks for a constant of the system.
    let n = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    if n > 0 { n as usize } else { 4096 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroed_aligned_and_writable() {
        let map = AnonMap::new(10_000).unwrap();
        assert_eq!(map.base() as usize % 4096, 0);
        // SAFETY: inside the map, nobody else has it.
        unsafe {
            assert_eq!(map.base().add(9_999).read(), 0);
            map.base().add(9_999).write(7);
            map.base().add(5).write(9);
            map.zero(4096, 8192).unwrap_err();
            map.zero(4096, 4096).unwrap();
            map.advise(Advice::Random).unwrap();
            advise(map.base().add(4097), 10, Advice::WillNeed).unwrap();
            assert_eq!(map.base().add(9_999).read(), 7);
            assert_eq!(map.base().add(5).read(), 9);
            map.base().add(5000).write(1);
            map.zero(4096, 4096).unwrap();
            assert_eq!(map.base().add(5000).read(), 0);
        }
    }

    #[test]
    fn further_maps_show_the_same_pages() {
        let (first, most) = AnonMap::extensible(1 << 20).unwrap();
        assert!(most >= 1 << 20);
        let second = first.again(4 << 20).unwrap();
        assert_ne!(first.base(), second.base());
        // SAFETY: inside the maps, nobody else has them.
        unsafe {
            first.base().add(4096).write(7);
            assert_eq!(second.base().add(4096).read(), 7);
            second.base().add((4 << 20) - 1).write(9);
            second.zero(4096, 4096).unwrap();
            assert_eq!(first.base().add(4096).read(), 0);
        }
        drop(first);
        let third = second.again(8 << 20).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { third.base().add((4 << 20) - 1).read() }, 9);
        assert!(AnonMap::private(4096).unwrap().again(8192).is_err());
    }

    #[test]
    fn impossible_lengths() {
        assert!(AnonMap::new(0).is_err());
        assert!(AnonMap::new(usize::MAX).is_err());
        assert!(AnonMap::private(1 << 60).is_err());
    }
}
