//! Lets a harness stop or kill this process at a named point of the protocol on a real file.
//! Without the feature `harness` this file is not compiled, and a step of the real platform is
//! nothing at all.
//!
//! Thread rules: any thread; the hook runs on the thread that has reached the point, with whatever
//! locks it holds there.

use crate::storage::Step;
use std::sync::OnceLock;

static HOOK: OnceLock<fn(Step)> = OnceLock::new();

/// Has `hook` called at every step of every handle of this process, from now on. Only the first
/// call counts.
pub fn on_step(hook: fn(Step)) {
    let _ = HOOK.set(hook);
}

/// A step of the protocol on a real file.
pub(super) fn reached(step: Step) {
    if let Some(hook) = HOOK.get() {
        hook(step);
    }
}
