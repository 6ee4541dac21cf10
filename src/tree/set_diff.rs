//! What differs between two tables of sets: pairs of a key and a value, from both ends.
//!
//! The keys whose cells are not the same are those of the walk of [`diff`](super::diff); the values
//! of each are walked by another one of these, so that subtrees are passed unread also inside of a
//! tree of values, and nothing at all is read of one that both have in the same place.

use super::diff::{Diff, Version};
use super::key::Key;
use super::set::{Set, bad};
use crate::error::Result;
use std::ops::Bound;

/// What became of a pair.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::PairChange;
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// txn.open_set("tags")?.insert(b"rust", b"/a")?;
/// txn.commit()?;
/// let older = db.read()?;
/// # let mut txn = db.write()?;
/// txn.open_set("tags")?.insert(b"rust", b"/b")?;
/// txn.commit()?;
/// let newer = db.read()?;
/// let (key, value, change) = newer.diff_set(&older, "tags", ..)?.next().unwrap()?;
/// assert_eq!((&*key, &*value, change), (&b"rust"[..], &b"/b"[..], PairChange::Added));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PairChange {
    /// Only the newer one has it.
    Added,
    /// Only the older one has it.
    Removed,
}

/// A pair that only one of two tables has.
pub type ChangedPair<'a> = (Key<'a>, Key<'a>, PairChange);

/// A key, and what differs between the values that it has.
type OfKey<'a> = (Key<'a>, Diff<'a>);

/// A double-ended iterator over pairs that only one of two tables of sets has, by key and then by
/// value. After an error, and after the end, it yields None for ever.
pub struct SetDiff<'a> {
    old: Version<'a>,
    new: Version<'a>,
    /// The keys whose sets are not the same; None when all have been given out.
    keys: Option<Box<Diff<'a>>>,
    front: Option<Box<OfKey<'a>>>,
    back: Option<Box<OfKey<'a>>>,
    done: bool,
}

impl<'a> SetDiff<'a> {
    /// Of the keys that both bounds admit. Reads nothing yet.
    pub fn new(
        old: Version<'a>,
        new: Version<'a>,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> Result<SetDiff<'a>> {
        let keys = Some(Box::new(Diff::new(old, new, from, to)?));
        Ok(SetDiff { old, new, keys, front: None, back: None, done: false })
    }

    /// Of the values of one key that both bounds admit; what each table has under it.
    pub fn of_key(
        (old, before): (Version<'a>, Option<Set<'a>>),
        (new, after): (Version<'a>, Option<Set<'a>>),
        key: &[u8],
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> Result<SetDiff<'a>> {
        let values = Diff::of_values((old, before), (new, after), from, to)?;
        let front = Some(Box::new((Key::from(key).into_owned(), values)));
        Ok(SetDiff { old, new, keys: None, front, back: None, done: false })
    }

    fn advance(&mut self, forward: bool) -> Option<Result<ChangedPair<'a>>> {
        if self.done {
            return None;
        }
        let item = self.step(forward).map_err(|e| self.new.src.named(e));
        self.done = !matches!(item, Ok(Some(_)));
        item.transpose()
    }

    fn step(&mut self, forward: bool) -> Result<Option<ChangedPair<'a>>> {
        loop {
            let near = if forward { &mut self.front } else { &mut self.back };
            if let Some(of_key) = near {
                if let Some(pair) = self::pair(of_key, &self.new, forward)? {
                    return Ok(Some(pair));
                }
                *near = None;
            }
            let next = self.keys.as_mut().and_then(|keys| keys.advance_found(forward));
            let Some((key, before, after)) = next.transpose()? else {
                self.keys = None;
                // What is left of the key from which the other end takes.
                let far = if forward { &mut self.back } else { &mut self.front };
                return match far {
                    Some(of_key) => self::pair(of_key, &self.new, forward),
                    None => Ok(None),
                };
            };
            let before = before.map(|found| found.set(&self.old.desc)).transpose()?;
            let after = after.map(|found| found.set(&self.new.desc)).transpose()?;
            let all = Bound::Unbounded;
            let values = Diff::of_values((self.old, before), (self.new, after), all, all)?;
            let near = if forward { &mut self.front } else { &mut self.back };
            *near = Some(Box::new((key, values)));
        }
    }
}

/// The next value of a key that only one table has.
fn pair<'a>(
    (key, values): &mut OfKey<'a>,
    table: &Version<'a>,
    forward: bool,
) -> Result<Option<ChangedPair<'a>>> {
    let Some((value, before, after)) = values.advance_found(forward).transpose()? else {
        return Ok(None);
    };
    let change = match (before, after) {
        (None, Some(_)) => PairChange::Added,
        (Some(_), None) => PairChange::Removed,
        // Nothing stands beside a value, and so nothing that differs.
        _ => return Err(bad(&table.desc, "value beside a value of a set")),
    };
    Ok(Some((key.clone(), value, change)))
}

impl<'a> Iterator for SetDiff<'a> {
    type Item = Result<ChangedPair<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance(true)
    }
}

impl DoubleEndedIterator for SetDiff<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.advance(false)
    }
}

impl std::iter::FusedIterator for SetDiff<'_> {}
