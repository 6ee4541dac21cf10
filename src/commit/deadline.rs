//! Moments at which a wait is over.

use std::time::{Duration, Instant};

/// How long a handle that closes waits for others.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// The moment at which a handle that closes now has waited long enough for others.
pub fn close_by() -> Instant {
    Instant::now() + CLOSE_WAIT
}

/// The moment at which a timeout is over; None for one that has no end, or none that a clock can
/// tell.
pub(crate) fn end_of(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// What is left until then.
pub fn left_until(end: Option<Instant>) -> Option<Duration> {
    end.map(|end| end.saturating_duration_since(Instant::now()))
}
