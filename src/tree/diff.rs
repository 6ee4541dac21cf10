//! What differs between two trees of one file, or between two sets of values, from both ends.
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
//!
//! The values of a key in a table of sets are walked in the same way: a tree of them is a tree, and
//! a value or a list of them in the leaf is a leaf that is open from the start.

use super::key::Key;
use super::range::is_empty;
use super::search::{node_at, root_level, value_bytes};
use super::set::{Set, bad};
use super::{PageSource, TableDescriptor};
use crate::error::{Error, Result};
use crate::format::node::key::KeyParts;
use crate::format::node::set::{BAD_ENDS, InlineSet};
use crate::format::node::{Node, Value};
use crate::format::order::KeyOrder;
use crate::format::packed::Packed;
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

/// What a walk goes through.
#[derive(Clone, Copy)]
enum Origin<'a> {
    /// A tree.
    Tree(Version<'a>),
    /// The only value of a key, or a list of them, in a tree in which they are no keys.
    List(Version<'a>, Opened<'a>),
}

impl<'a> Origin<'a> {
    /// The values of a key in a table of sets; None where it has not got the key.
    fn of_values(table: Version<'a>, values: Option<Set<'a>>) -> Origin<'a> {
        // Of the table the root is told in errors. Values have an order of their own.
        let root = table.desc.root;
        let version = |desc| Version { desc, ..table };
        let list = version(TableDescriptor { root, ..TableDescriptor::default() });
        match values {
            None => Origin::Tree(version(TableDescriptor::default())),
            Some(Set::Tree(tree)) => Origin::Tree(version(tree)),
            Some(Set::One(value)) => Origin::List(list, Opened::One(value)),
            Some(Set::Inline(values)) => Origin::List(list, Opened::List(values)),
        }
    }

    fn version(&self) -> &Version<'a> {
        match self {
            Origin::Tree(version) | Origin::List(version, _) => version,
        }
    }
}

/// A page that is open, or what is like one.
#[derive(Clone, Copy)]
enum Opened<'a> {
    Node(Node<'a>),
    /// A leaf of values of one size.
    Packed(Packed<'a>),
    /// One value, in the leaf of its key.
    One(&'a [u8]),
    /// Several values there.
    List(InlineSet<'a>),
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
    leaf: Opened<'a>,
    pub value: Value<'a>,
}

impl<'a> Found<'a> {
    fn bytes(&self) -> Result<&'a [u8]> {
        match &self.leaf {
            Opened::Node(leaf) => value_bytes(self.src, leaf, self.value),
            // Values of sets have nothing beside them.
            _ => Ok(&[]),
        }
    }

    /// The values of the key, in a table of sets with this descriptor.
    pub fn set(&self, desc: &TableDescriptor) -> Result<Set<'a>> {
        match &self.leaf {
            Opened::Node(leaf) => Set::of(leaf, self.value)?.checked(desc),
            _ => Err(bad(desc, "set of values in another")),
        }
    }

    /// Whether the other tree has the same under the key. Runs of one place, or of two lengths, are
    /// not read. Sets may hold the same all the same.
    fn is_same(&self, other: &Found<'a>) -> Result<bool> {
        match (self.value, other.value) {
            (Value::Overflow(a), Value::Overflow(b)) if a.first == b.first || a.len != b.len => {
                Ok(a.len == b.len)
            }
            (Value::Table(a), Value::Table(b)) => Ok(a == b),
            (Value::Set(a), Value::Set(b)) => Ok(a == b),
            (Value::Tree(a), Value::Tree(b)) => Ok(a.root == b.root),
            (Value::Set(_) | Value::Tree(_), _) | (_, Value::Set(_) | Value::Tree(_)) => Ok(false),
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
    page: Opened<'a>,
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
    fn new(origin: Origin<'a>, bounds: &Bounds) -> Result<Side<'a>> {
        let tree = *origin.version();
        let mut path = Vec::with_capacity(usize::from(tree.desc.depth));
        let root = match origin {
            Origin::Tree(_) => root_level(&tree.desc)?.map(|level| (tree.desc.root, level)),
            Origin::List(_, page) => {
                path.push(Open { level: 0, left: page.entries(bounds, &tree.desc)?, page });
                None
            }
        };
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
            } else if let (Opened::Node(node), 1..) = (&open.page, open.level) {
                let page = node.child(at)?;
                return Ok(Next::Subtree { page, level: open.level - 1 });
            } else {
                let (key, value) = open.page.entry(at, &self.tree.desc)?;
                return Ok(Next::Entry(key, Found { src: self.tree.src, leaf: open.page, value }));
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
        let (page, left) = match desc.value_size {
            // The descriptor of a table of sets has a size as well, and ordinary leaves.
            size @ 1.. if level == 0 && !desc.is_set => {
                let leaf = Packed::open(page, self.tree.src.page(page)?, size)?;
                let page = Opened::Packed(leaf);
                (page, page.entries(bounds, desc)?)
            }
            _ => {
                let node = node_at(self.tree.src, page, level, desc.order)?;
                let page = Opened::Node(node);
                let left = match level {
                    0 => page.entries(bounds, desc)?,
                    _ => children(&node, bounds)?,
                };
                (page, left)
            }
        };
        self.root = None;
        self.path.push(Open { page, level, left });
        Ok(())
    }

    /// The separator that the subtree that comes next lies behind, as seen from this end; None if
    /// nothing lies in front of it.
    fn edge(&self, forward: bool) -> Result<Option<KeyParts<'a>>> {
        for open in self.path.iter().rev() {
            // A subtree comes next: they are branches.
            let Opened::Node(node) = &open.page else { continue };
            let separator = match forward {
                true => open.left.start.checked_sub(1),
                false => open.left.end.checked_sub(1).filter(|&at| at < node.count()),
            };
            if let Some(at) = separator {
                return node.key(at).map(Some);
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

impl<'a> Opened<'a> {
    fn count(&self) -> usize {
        match self {
            Opened::Node(node) => node.count(),
            Opened::Packed(leaf) => leaf.count(),
            Opened::One(_) => 1,
            Opened::List(set) => set.count(),
        }
    }

    /// An entry of a leaf, of a tree with this descriptor; a value of a set has nothing beside it.
    fn entry(&self, at: usize, desc: &TableDescriptor) -> Result<(KeyParts<'a>, Value<'a>)> {
        let value = match self {
            Opened::Node(node) => return node.entry(at),
            Opened::Packed(leaf) => leaf.get(at),
            Opened::One(value) => Some(*value),
            Opened::List(set) => set.get(at),
        };
        let value = value.ok_or_else(|| bad(desc, BAD_ENDS))?;
        Ok((KeyParts::of(value, 0), Value::Inline(&[])))
    }

    /// Where a key stands in a leaf, or would stand: how many are in front of it; and whether it is
    /// there.
    fn place(&self, key: &[u8], desc: &TableDescriptor) -> Result<(usize, bool)> {
        let found = match self {
            Opened::Node(node) => {
                let place = node.search(key)?;
                return Ok((place.index, place.found));
            }
            Opened::Packed(leaf) => leaf.search(key),
            Opened::One(value) => match (*value).cmp(key) {
                Ordering::Less => Err(1),
                Ordering::Equal => Ok(0),
                Ordering::Greater => Err(0),
            },
            Opened::List(set) => set.search(key).map_err(|why| bad(desc, why))?,
        };
        Ok(found.map_or_else(|at| (at, false), |at| (at, true)))
    }

    /// The entries of a leaf within the bounds.
    fn entries(&self, bounds: &Bounds, desc: &TableDescriptor) -> Result<Range<usize>> {
        // How many keys of the leaf lie in front of a key, or are it.
        let up_to = |key: &[u8], with: bool| {
            let (index, found) = self.place(key, desc)?;
            Ok::<_, Error>(index + usize::from(found && with))
        };
        let start = match &bounds.from {
            Bound::Included(key) => up_to(key, false)?,
            Bound::Excluded(key) => up_to(key, true)?,
            Bound::Unbounded => 0,
        };
        let end = match &bounds.to {
            Bound::Included(key) => up_to(key, true)?,
            Bound::Excluded(key) => up_to(key, false)?,
            Bound::Unbounded => self.count(),
        };
        Ok(start..end)
    }
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
        Walk::new(Origin::Tree(old), Origin::Tree(new), bounds, true)
    }

    fn new(old: Origin<'a>, new: Origin<'a>, bounds: Bounds, forward: bool) -> Result<Walk<'a>> {
        let (old, new) = (Side::new(old, &bounds)?, Side::new(new, &bounds)?);
        Ok(Walk { old, new, bounds, forward })
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

/// A key that is not the same in both, and what the older and the newer one have under it.
type Changed<'a> = (Key<'a>, Option<Found<'a>>, Option<Found<'a>>);

/// A double-ended iterator over what differs. After an error, and after the end, it yields None for
/// ever.
pub struct Diff<'a> {
    old: Origin<'a>,
    new: Origin<'a>,
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
        Diff::between(Origin::Tree(old), Origin::Tree(new), from, to)
    }

    /// The same of the values that a key has in two tables of sets.
    pub(super) fn of_values(
        (old, before): (Version<'a>, Option<Set<'a>>),
        (new, after): (Version<'a>, Option<Set<'a>>),
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> Result<Diff<'a>> {
        Diff::between(Origin::of_values(old, before), Origin::of_values(new, after), from, to)
    }

    fn between(
        old: Origin<'a>,
        new: Origin<'a>,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> Result<Diff<'a>> {
        old.version().src.check()?;
        new.version().src.check()?;
        let done = is_empty(new.version().desc.order, from, to);
        let bounds = Bounds { from: from.map(<[u8]>::to_vec), to: to.map(<[u8]>::to_vec) };
        Ok(Diff { old, new, bounds, front: None, back: None, done })
    }

    fn advance(&mut self, forward: bool) -> Option<Result<(Key<'a>, Change<'a>)>> {
        let item = self.advance_found(forward)?;
        let item = item.and_then(|(key, old, new)| {
            let bytes = |found: Option<Found<'a>>| found.map(|found| found.bytes()).transpose();
            let change = match (bytes(old)?, bytes(new)?) {
                (Some(old), Some(new)) => Change::Changed { old, new },
                (Some(old), None) => Change::Removed(old),
                (None, Some(new)) => Change::Added(new),
                (None, None) => return Ok(None),
            };
            Ok(Some((key, change)))
        });
        let item = item.map_err(|e| self.new.version().src.named(e));
        self.done |= !matches!(item, Ok(Some(_)));
        item.transpose()
    }

    /// The next key that is not the same in both, and what each has under it.
    pub(super) fn advance_found(&mut self, forward: bool) -> Option<Result<Changed<'a>>> {
        if self.done {
            return None;
        }
        let item = self.step(forward).map_err(|e| self.new.version().src.named(e));
        self.done = !matches!(item, Ok(Some(_)));
        item.transpose()
    }

    fn step(&mut self, forward: bool) -> Result<Option<Changed<'a>>> {
        self.old.version().src.check()?;
        self.new.version().src.check()?;
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
        let order = self.new.version().desc.order;
        let is_given = |far: &Key<'_>| match forward {
            true => order.compare_to(&unlike.key, far).is_ge(),
            false => order.compare_to(&unlike.key, far).is_le(),
        };
        if far.is_some_and(is_given) {
            return Ok(None);
        }
        let key = Key::assemble(&unlike.key);
        end.last = Some(key.clone());
        Ok(Some((key, unlike.old, unlike.new)))
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
