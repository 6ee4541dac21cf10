//! Which bugs there are, and which one is planted.
//!
//! Thread rules: one word for the whole process, read without order: plant before the engine runs,
//! not while it does.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

macro_rules! bugs {
    ($($bug:ident, $rules:literal, $what:literal;)+) => {
        /// A way to break the engine: a small mistake that somebody could make.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Bug {
            $(#[doc = $what] $bug,)+
        }

        impl Bug {
            /// All of them.
            pub const ALL: &'static [Bug] = &[$(Bug::$bug,)+];

            const TEXTS: &'static [[&'static str; 3]] = &[$([stringify!($bug), $rules, $what],)+];
        }
    };
}

include!(concat!(env!("OUT_DIR"), "/bugs.rs"));

impl Bug {
    /// Its name in `bugs/*.txt`.
    pub fn name(self) -> &'static str {
        Bug::TEXTS[self as usize][0]
    }

    /// The rules of docs/design.md that it takes away.
    pub fn rule(self) -> &'static str {
        Bug::TEXTS[self as usize][1]
    }

    /// What is wrong then.
    pub fn description(self) -> &'static str {
        Bug::TEXTS[self as usize][2]
    }
}

/// 0, or one more than the index of the bug that is planted.
static PLANTED: AtomicUsize = AtomicUsize::new(0);

/// Plants a bug in this process, in the place of the one before; None: the engine is as it should
/// be.
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as usize + 1), Relaxed);
}

/// Whether the engine is to make this mistake.
#[inline(always)]
pub(crate) fn is_planted(bug: Bug) -> bool {
    PLANTED.load(Relaxed) == bug as usize + 1
}
