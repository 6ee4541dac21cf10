//! recto's engine with deliberate breakages compiled in, to prove that the crash tests can find
//! one.
//!
//! It is the engine's own source, copied and changed by the build script: `bugs/*.txt` have each
//! [`bugs::Bug`] with the rule of docs/design.md that it takes away, and the lines that do it. The
//! source itself, and so the product, knows nothing of them. Without [`bugs::plant`] this behaves
//! as the engine does; `crash` runs all its campaigns on it.
#![cfg(not(test))] // the tests in the source run where it stands
#![allow(clippy::all)] // and so does clippy

/// Whether the engine is to make this mistake.
macro_rules! planted {
    ($bug:ident) => {
        crate::bugs::is_planted(crate::bugs::Bug::$bug)
    };
}

pub mod bugs;

include!(concat!(env!("OUT_DIR"), "/engine/lib.rs"));
