//! What differs between two trees of one file, from both ends.
//!
//! Both trees are walked side by side in the order of their keys. Where both are in front of the
//! same page, of the same level, all below it is shared and passed unread. That needs no birth and
//! no id: whoever walks pins both snapshots, a pinned page is never stored to (I2), so what both
//! lead to by one number are the same bytes. The same holds for the run of an overflow value.
//!
//! - The side whose next subtree begins first is opened; where that cannot be told, or both begin
//!   with one separator, the higher one, or both if they are of one level. Which one is opened
//!   never matters to what comes out, only to how many pages are read.
//! - A subtree is left unopened as long as the other side has entries that lie in front of it. So
//!   shared subtrees are passed whole at any level, also if one tree is deeper; where one side has
//!   come to stand inside of one all the same, both are in step again at the next child.
//! - Each end reads a page of a tree once at most. More than the tree counts is a cycle of damaged
//!   pages, and an error.
//!
//! An end is opened when it is first asked for. It stops at what the other end gave out last.

use super::key::Key;
use super::range::is_empty;
use super::search::{node_at, root_level, value_bytes};
use super::{PageSource, TableDescriptor};
use crate::error::{Error, Result};
use crate::format::node::key::KeyParts;
use crate::format::node::{Node, Value};
use crate::format::order::KeyOrder;
use crate::types::PageId;
use std::cmp::Ordering;
use std::ops::{Bound, Range};

/// What became of a key, and its values.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// # txn.open_table("main")?.put(b"key", b"old")?;
/// # txn.commit()?;
/// let mut txn = db.write()?;
/// txn.create_snapshot("before")?;
/// txn.open_table("main")?.put(b"key", b"new")?;
/// txn.commit()?;
/// let (before, now) = (db.read_snapshot("before")?, db.read()?);
/// let (key, change) = now.diff(&before, "main", ..)?.next().unwrap()?;
/// assert_eq!(&*key, b"key");
/// assert_eq!((change.old(), change.new()), (Some(&b"old"[..]), Some(&b"new"[..])));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change<'a> {
    /// Only the newer one has the key.
    Added(&'a [u8]),
    /// Only the older one has it.
    Removed(&'a [u8]),
    /// Both have it, with different values.
    Changed {
        /// The value in the older one.
        old: &'a [u8],
        /// The value in the newer one.
        new: &'a [u8],
    },
}

impl<'a> Change<'a> {
    /// The value in the older one.
    pub fn old(&self) -> Option<&'a [u8]> {
        match *self {
            Change::Added(_) => None,
            Change::Removed(old) | Change::Changed { old, .. } => Some(old),
        }
    }

    /// The value in the newer one.
    #[allow(clippy::new_ret_no_self)] // the other of old
    pub fn new(&self) -> Option<&'a [u8]> {
        match *self {
            Change::Removed(_) => None,
            Change::Added(new) | Change::Changed { new, .. } => Some(new),
        }
    }
}

/// A tree and the pages it is read from. What is compared with each other lies in one file, and
/// stays as it is while it is borrowed; both have their keys in one order.
#[derive(Clone, Copy)]
pub struct Version<'a> {
    pub src: &'a dyn PageSource,
    pub desc: TableDescriptor,
}

/// A key that is not the same in both trees, with what each has under it.
pub(super) struct Unlike<'a> {
    pub key: KeyParts<'a>,
    pub old: Option<Found<'a>>,
    pub new: Option<Found<'a>>,
}

/// What a leaf has under a key.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    src: &'a dyn PageSource,
    leaf: Node<'a>,
    pub value: Value<'a>,
}

impl<'a> Found<'a> {
    fn bytes(&self) -> Result<&'a [u8]> {
        value_bytes(self.src, &self.leaf, self.value)
    }

    /// Whether the other tree has the same under the key. Runs of one place, or of two lengths, are
    /// not read.
    fn is_same(&self, other: &Found<'a>) -> Result<bool> {
        match (self.value, other.value) {
            (Value::Overflow(a), Value::Overflow(b)) if a.first == b.first || a.len != b.len => {
                Ok(a.len == b.len)
            }
            (Value::Table(a), Value::Table(b)) => Ok(a == b),
            _ => Ok(self.bytes()? == other.bytes()?),
        }
    }
}

/// What comes next in a tree.
#[allow(clippy::large_enum_variant)] // lives for a step
enum Next<'a> {
    End,
    Subtree { page: PageId, level: u8 },
    Entry(KeyParts<'a>, Found<'a>),
}

/// A node that is open, and what of its children or entries has not been passed. The child in
/// which the walk is counts as not passed.
struct Open<'a> {
    node: Node<'a>,
    level: u8,
    left: Range<usize>,
}

/// The keys that are looked at.
#[derive(Clone)]
struct Bounds {
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
}

/// One of the two trees, on the way through it.
struct Side<'a> {
    tree: Version<'a>,
    /// The root, until it is opened or passed.
    root: Option<(PageId, u8)>,
    /// From the root down.
    path: Vec<Open<'a>>,
    /// Branches and leaves opened so far.
    branches: u64,
    leaves: u64,
}

impl<'a> Side<'a> {
    fn new(tree: Version<'a>) -> Result<Side<'a>> {
        let root = root_level(&tree.desc)?.map(|level| (tree.desc.root, level));
        let path = Vec::with_capacity(usize::from(tree.desc.depth));
        Ok(Side { tree, root, path, branches: 0, leaves: 0 })
    }

    /// What comes next at this end.
    fn next(&mut self, forward: bool) -> Result<Next<'a>> {
        if let Some((page, level)) = self.root {
            return Ok(Next::Subtree { page, level });
        }
        loop {
            let Some(open) = self.path.last() else { return Ok(Next::End) };
            let at = if forward { open.left.start } else { open.left.end.wrapping_sub(1) };
            if open.left.is_empty() {
                self.path.pop();
                self.pass(forward);
            } else if open.level > 0 {
                let page = open.node.child(at)?;
                return Ok(Next::Subtree { page, level: open.level - 1 });
            } else {
                let (key, value) = open.node.entry(at)?;
                return Ok(Next::Entry(key, Found { src: self.tree.src, leaf: open.node, value }));
            }
        }
    }

    /// Leaves what comes next behind, unread.
    fn pass(&mut self, forward: bool) {
        let last = self.path.last_mut();
        match last {
            _ if self.root.is_some() => self.root = None,
            Some(open) if forward => open.left.start += 1,
            Some(open) => open.left.end = open.left.end.saturating_sub(1),
            None => {}
        }
    }

    /// Opens the subtree that comes next; of its children or entries those within the bounds
    /// are left.
    fn open(&mut self, page: PageId, level: u8, bounds: &Bounds) -> Result<()> {
        let desc = &self.tree.desc;
        let (opened, counted, what) = match level {
            0 => (
                &mut self.leaves,
                desc.leaf_pages,
                "root of a tree with more leaves than it counts",
            ),
            _ => (
                &mut self.branches,
                desc.branch_pages,
                "root of a tree with more branches than it counts",
            ),
        };
        *opened += 1;
        if *opened > counted {
            return Err(Error::corrupt(desc.root, what));
        }
        let node = node_at(self.tree.src, page, level, self.tree.desc.order)?;
        let left = if level > 0 { children(&node, bounds)? } else { entries(&node, bounds)? };
        self.root = None;
        self.path.push(Open { node, level, left });
        Ok(())
    }

    /// The separator that the subtree that comes next lies behind, as seen from this end; None if
    /// nothing lies in front of it.
    fn edge(&self, forward: bool) -> Result<Option<KeyParts<'a>>> {
        for open in self.path.iter().rev() {
            let separator = match forward {
                true => open.left.start.checked_sub(1),
                false => open.left.end.checked_sub(1).filter(|&at| at < open.node.count()),
            };
            if let Some(at) = separator {
                return open.node.key(at).map(Some);
            }
        }
        Ok(None)
    }

    /// Whether all keys of the subtree that comes next lie behind this key, as seen from this end.
    fn is_behind(&self, key: &KeyParts<'a>, forward: bool) -> Result<bool> {
        let order = self.tree.desc.order;
        Ok(match self.edge(forward)? {
            Some(edge) if forward => order.compare_parts(&edge, key).is_gt(),
            Some(edge) => order.compare_parts(&edge, key).is_le(),
            None => false,
        })
    }
}

/// The children of a branch that may have keys within the bounds.
fn children(node: &Node<'_>, bounds: &Bounds) -> Result<Range<usize>> {
    use Bound::{Excluded, Included, Unbounded};
    let start = match &bounds.from {
        Included(key) | Excluded(key) => node.child_index(key)?,
        Unbounded => 0,
    };
    let last = match &bounds.to {
        Included(key) | Excluded(key) => node.child_index(key)?,
        Unbounded => node.count(),
    };
    Ok(start..last + 1)
}

/// The entries of a leaf within the bounds.
fn entries(node: &Node<'_>, bounds: &Bounds) -> Result<Range<usize>> {
    // How many keys of the leaf lie in front of a key, or are it.
    let up_to = |key: &[u8], with: bool| {
        let place = node.search(key)?;
        Ok::<_, Error>(place.index + usize::from(place.found && with))
    };
    let start = match &bounds.from {
        Bound::Included(key) => up_to(key, false)?,
        Bound::Excluded(key) => up_to(key, true)?,
        Bound::Unbounded => 0,
    };
    let end = match &bounds.to {
        Bound::Included(key) => up_to(key, true)?,
        Bound::Excluded(key) => up_to(key, false)?,
        Bound::Unbounded => node.count(),
    };
    Ok(start..end)
}

/// Both trees, walked from one end.
pub(super) struct Walk<'a> {
    old: Side<'a>,
    new: Side<'a>,
    bounds: Bounds,
    forward: bool,
}

impl<'a> Walk<'a> {
    /// Over all keys, in their order.
    pub fn over_all(old: Version<'a>, new: Version<'a>) -> Result<Walk<'a>> {
        let bounds = Bounds { from: Bound::Unbounded, to: Bound::Unbounded };
        Walk::new(old, new, bounds, true)
    }

    fn new(old: Version<'a>, new: Version<'a>, bounds: Bounds, forward: bool) -> Result<Walk<'a>> {
        Ok(Walk { old: Side::new(old)?, new: Side::new(new)?, bounds, forward })
    }

    /// The next key that is not the same in both trees.
    pub fn step(&mut self) -> Result<Option<Unlike<'a>>> {
        loop {
            let (old, new) = (self.old.next(self.forward)?, self.new.next(self.forward)?);
            match (old, new) {
                (Next::End, Next::End) => return Ok(None),
                (Next::Subtree { page: a, level }, Next::Subtree { page: b, level: other }) => {
                    self.approach((a, level), (b, other))?;
                }
                (Next::Subtree { page, level }, Next::End) => {
                    self.old.open(page, level, &self.bounds)?;
                }
                (Next::End, Next::Subtree { page, level }) => {
                    self.new.open(page, level, &self.bounds)?;
                }
                (Next::Subtree { page, level }, Next::Entry(key, found)) => {
                    if self.old.is_behind(&key, self.forward)? {
                        return Ok(Some(self.only_new(key, found)));
                    }
                    self.old.open(page, level, &self.bounds)?;
                }
                (Next::Entry(key, found), Next::Subtree { page, level }) => {
                    if self.new.is_behind(&key, self.forward)? {
                        return Ok(Some(self.only_old(key, found)));
                    }
                    self.new.open(page, level, &self.bounds)?;
                }
                (Next::Entry(key, found), Next::End) => return Ok(Some(self.only_old(key, found))),
                (Next::End, Next::Entry(key, found)) => return Ok(Some(self.only_new(key, found))),
                (Next::Entry(key, old), Next::Entry(other, new)) => {
                    match self.ordered(self.order().compare_parts(&key, &other)) {
                        Ordering::Less => return Ok(Some(self.only_old(key, old))),
                        Ordering::Greater => return Ok(Some(self.only_new(other, new))),
                        Ordering::Equal => {}
                    }
                    self.pass_both();
                    if !old.is_same(&new)? {
                        return Ok(Some(Unlike { key, old: Some(old), new: Some(new) }));
                    }
                }
            }
        }
    }

    /// Both sides are in front of a subtree: a shared one is passed, else one is opened, or both.
    fn approach(&mut self, old: (PageId, u8), new: (PageId, u8)) -> Result<()> {
        if old == new {
            self.pass_both();
            return Ok(());
        }
        let first = match (self.old.edge(self.forward)?, self.new.edge(self.forward)?) {
            (Some(a), Some(b)) => self.ordered(self.order().compare_parts(&a, &b)),
            // In front of everything.
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        let first = first.then(new.1.cmp(&old.1));
        if first.is_le() {
            self.old.open(old.0, old.1, &self.bounds)?;
        }
        if first.is_ge() {
            self.new.open(new.0, new.1, &self.bounds)?;
        }
        Ok(())
    }

    /// How the keys of both trees are ordered.
    fn order(&self) -> KeyOrder {
        self.new.tree.desc.order
    }

    /// How two keys are ordered as seen from this end.
    fn ordered(&self, order: Ordering) -> Ordering {
        if self.forward { order } else { order.reverse() }
    }

    fn pass_both(&mut self) {
        self.old.pass(self.forward);
        self.new.pass(self.forward);
    }

    fn only_old(&mut self, key: KeyParts<'a>, found: Found<'a>) -> Unlike<'a> {
        self.old.pass(self.forward);
        Unlike { key, old: Some(found), new: None }
    }

    fn only_new(&mut self, key: KeyParts<'a>, found: Found<'a>) -> Unlike<'a> {
        self.new.pass(self.forward);
        Unlike { key, old: None, new: Some(found) }
    }
}

/// One end of the differences.
struct End<'a> {
    walk: Walk<'a>,
    /// The key that came last from it.
    last: Option<Key<'a>>,
}

/// A double-ended iterator over what differs. After an error, and after the end, it yields None for
/// ever.
pub struct Diff<'a> {
    old: Version<'a>,
    new: Version<'a>,
    bounds: Bounds,
    front: Option<End<'a>>,
    back: Option<End<'a>>,
    done: bool,
}

impl<'a> Diff<'a> {
    /// The differences between the keys that both bounds admit; none if the bounds are the wrong
    /// way round. Reads nothing yet.
    pub fn new(
        old: Version<'a>,
        new: Version<'a>,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> Result<Diff<'a>> {
        old.src.check()?;
        new.src.check()?;
        let done = is_empty(new.desc.order, from, to);
        let bounds = Bounds { from: from.map(<[u8]>::to_vec), to: to.map(<[u8]>::to_vec) };
        Ok(Diff { old, new, bounds, front: None, back: None, done })
    }

    fn advance(&mut self, forward: bool) -> Option<Result<(Key<'a>, Change<'a>)>> {
        if self.done {
            return None;
        }
        let item = self.step(forward).map_err(|e| self.new.src.named(e));
        self.done = !matches!(item, Ok(Some(_)));
        item.transpose()
    }

    fn step(&mut self, forward: bool) -> Result<Option<(Key<'a>, Change<'a>)>> {
        self.old.src.check()?;
        self.new.src.check()?;
        let (near, far) = match forward {
            true => (&mut self.front, &self.back),
            false => (&mut self.back, &self.front),
        };
        let far = far.as_ref().and_then(|end| end.last.as_ref());
        let end = match near {
            Some(end) => end,
            None => {
                let mut bounds = self.bounds.clone();
                if let Some(key) = far {
                    let bound = if forward { &mut bounds.to } else { &mut bounds.from };
                    *bound = Bound::Excluded(key.to_vec());
                }
                let walk = Walk::new(self.old, self.new, bounds, forward)?;
                near.insert(End { walk, last: None })
            }
        };
        let Some(unlike) = end.walk.step()? else { return Ok(None) };
        let order = self.new.desc.order;
        let is_given = |far: &Key<'_>| match forward {
            true => order.compare_to(&unlike.key, far).is_ge(),
            false => order.compare_to(&unlike.key, far).is_le(),
        };
        if far.is_some_and(is_given) {
            return Ok(None);
        }
        let bytes = |found: Option<Found<'a>>| found.map(|found| found.bytes()).transpose();
        let change = match (bytes(unlike.old)?, bytes(unlike.new)?) {
            (Some(old), Some(new)) => Change::Changed { old, new },
            (Some(old), None) => Change::Removed(old),
            (None, Some(new)) => Change::Added(new),
            (None, None) => return Ok(None),
        };
        let key = Key::assemble(&unlike.key);
        end.last = Some(key.clone());
        Ok(Some((key, change)))
    }
}

impl<'a> Iterator for Diff<'a> {
    type Item = Result<(Key<'a>, Change<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance(true)
    }
}

impl DoubleEndedIterator for Diff<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.advance(false)
    }
}

impl std::iter::FusedIterator for Diff<'_> {}
