//! The shared memory as typed words, and the only unsafe of this room.
//!
//! Invariants: the platform's memory is [`layout::SIZE`](super::layout::SIZE) bytes, aligned to
//! 4,096, and stays mapped while the platform lives, which the region holds. Every word is an
//! atomic integer, so other processes may change any of them at any time. No size, index or offset
//! is ever taken from the memory without a bound from `layout`.

use super::core::{Fence, Ring};
use super::layout::{CommitWords, DESCRIPTOR_WORDS, Layout, Line, SIZE, SlotWords};
use super::sync::{AtomicU64, fence};
use crate::error::{Error, Result};
use crate::storage::{LivePlatform, PlatformRef};
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, compiler_fence};

/// The shared memory of one handle.
pub struct Region {
    platform: LivePlatform,
    layout: NonNull<Layout>,
}

// SAFETY: the pointer leads to atomics that live as long as the platform, which is Send and Sync.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    pub fn new(platform: PlatformRef) -> Result<Region> {
        let layout = NonNull::new(platform.shared_base().cast::<Layout>())
            .filter(|l| (l.as_ptr() as usize).is_multiple_of(align_of::<Layout>()))
            .ok_or_else(|| damaged("the shared memory is not aligned to 4,096 bytes"))?;
        Ok(Region { platform: LivePlatform::new(platform), layout })
    }

    #[inline(always)]
    pub fn layout(&self) -> &Layout {
        // SAFETY: SIZE bytes, aligned (checked in `new`), mapped while `platform` lives; all words
        // are atomic integers, for which every bit pattern is a value.
        unsafe { self.layout.as_ref() }
    }

    pub fn platform(&self) -> &PlatformRef {
        self.platform.get()
    }

    /// Whether this process is still the one that made the handle.
    #[inline(always)]
    pub fn is_alive(&self) -> bool {
        self.platform.is_alive()
    }

    /// Error in a forked child.
    #[inline(always)]
    pub fn check_alive(&self) -> Result<()> {
        self.platform.check_alive()
    }

    /// Stores zero into every word behind the identity, but for those of the slots if they are to
    /// be kept. The caller is alone. Words that are zero already are not stored to: a new lock file
    /// takes no memory for its untouched parts.
    pub fn zero_words(&self, keep_slots: bool) {
        const SKIPPED: usize = size_of::<Line<super::layout::Identity>>() / 8;
        // Records of the list count between two words that are zeroed here, and are written before
        // those move.
        const END: usize = std::mem::offset_of!(Layout, list) / 8;
        const { assert!(SIZE.is_multiple_of(8) && std::mem::offset_of!(Layout, visible) / 8 == SKIPPED) };
        // SAFETY: the region is SIZE bytes of atomic integers, seen here as words of eight bytes.
        // Nobody else touches them (the caller holds the gate alone), so different widths do not
        // meet.
        let words: &[AtomicU64] =
            unsafe { std::slice::from_raw_parts(self.layout.as_ptr().cast(), SIZE / 8) };
        const COMMIT: usize = std::mem::offset_of!(Layout, commit);
        const SLOTS: usize = (COMMIT + std::mem::offset_of!(CommitWords, slots)) / 8;
        let kept = SLOTS..SLOTS + size_of::<Line<[SlotWords; 2]>>() / 8;
        for (at, word) in words[..END].iter().enumerate().skip(SKIPPED) {
            if keep_slots && kept.contains(&at) {
                continue;
            }
            if word.load(Ordering::Relaxed) != 0 {
                word.store(0, Ordering::Relaxed);
            }
        }
    }
}

impl Ring<DESCRIPTOR_WORDS> for Layout {
    type Word = AtomicU64;

    #[inline(always)]
    fn visible(&self) -> &AtomicU64 {
        &self.visible.0
    }

    #[inline(always)]
    fn entry(&self, index: usize) -> &[AtomicU64; DESCRIPTOR_WORDS] {
        &self.ring[index & 3].0
    }

    #[inline(always)]
    fn fence(&self, at: Fence) {
        // Whatever is locked is a full barrier there: nothing but the compiler is left to be told.
        if cfg!(all(target_arch = "x86_64", not(loom))) && at == Fence::Registered {
            compiler_fence(at.order());
        } else {
            fence(at.order());
        }
    }
}

/// Error for shared memory that cannot be what it says. The rooms above know the path.
pub fn damaged(detail: impl Into<String>) -> Error {
    Error::LockFile { path: PathBuf::new(), detail: detail.into() }
}
