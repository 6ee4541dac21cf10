//! Which keys: `--from`, `--to` and `--prefix`, for every verb that works on a part of a table.

use crate::command::bytes_of;
use crate::failure::{Failure, Outcome};
use crate::pairs::Bounds;
use crate::text::Notation;
use recto::{Order, TableOptions};
use std::ffi::OsString;
use std::ops::Bound;

/// A range of keys; all keys where nothing is given.
#[derive(clap::Args, Debug)]
pub struct RangeArgs {
    /// Begin at this key
    #[arg(long, value_name = "KEY", allow_negative_numbers = true)]
    from: Option<OsString>,
    /// End before this key
    #[arg(long, value_name = "KEY", allow_negative_numbers = true)]
    to: Option<OsString>,
    /// Only keys that begin with this
    #[arg(long, value_name = "KEY", allow_negative_numbers = true)]
    prefix: Option<OsString>,
}

/// Two bounds of keys.
pub struct KeyRange {
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
}

impl KeyRange {
    /// The bounds as the engine takes them.
    pub fn bounds(&self) -> Bounds<'_> {
        (self.start.as_ref().map(|k| &k[..]), self.end.as_ref().map(|k| &k[..]))
    }
}

impl RangeArgs {
    /// Whether any of the three is given.
    pub fn is_given(&self) -> bool {
        self.from.is_some() || self.to.is_some() || self.prefix.is_some()
    }

    /// Whether the three say something in a table that was made with this: keys that begin alike
    /// stand side by side in the order of their bytes alone.
    pub fn check(&self, made_with: Option<&TableOptions>) -> Outcome<()> {
        let is_by_bytes = |made: &TableOptions| matches!(made.order, Order::Packed | Order::Plain);
        match self.prefix.is_none() || made_with.is_none_or(is_by_bytes) {
            true => Ok(()),
            false => Err(Failure::said("--prefix is for tables in the order of the bytes of keys")),
        }
    }

    /// What the three leave together.
    pub fn keys(&self, notation: Notation) -> Outcome<KeyRange> {
        let key = |name: &str, argument: &Option<OsString>| {
            argument.as_deref().map(|a| bytes_of(name, a, notation)).transpose()
        };
        let (from, to) = (key("--from", &self.from)?, key("--to", &self.to)?);
        let prefix = key("--prefix", &self.prefix)?;
        let past = prefix.as_deref().and_then(past_prefix);
        let to = match (to, past) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        // None is below every key.
        let start = from.max(prefix).map_or(Bound::Unbounded, Bound::Included);
        Ok(KeyRange { start, end: to.map_or(Bound::Unbounded, Bound::Excluded) })
    }
}

/// The first key after all those that begin with `prefix`; none if nothing comes after them.
fn past_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|&b| b < 0xff)? + 1;
    let mut key = prefix[..kept].to_vec();
    key[kept - 1] += 1;
    Some(key)
}
