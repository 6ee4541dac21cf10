//! Moments at which a wait is over.

use std::time::{Duration, Instant};

/// The moment at which a timeout is over; None for one that has no end, or none that a clock can
/// tell.
pub(crate) fn end_of(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// What is left until then.
pub fn left_until(end: Option<Instant>) -> Option<Duration> {
    end.map(|end| end.saturating_duration_since(Instant::now()))
}
