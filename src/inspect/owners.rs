//! Who owns each page: one byte a page, in chunks that exist only where something was claimed.
//!
//! Invariant: the work of all claims together is bounded by the page count plus their number. A
//! hostile file may claim the same pages over and over; the *budget* ends that.

use std::collections::BTreeMap;
use std::ops::Range;

const CHUNK: u64 = 1 << 16;

/// What a page is for.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// use recto::inspect::{FilePages, MetaChoice, PageKind, walk};
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("my.recto");
/// # drop(unsafe { recto::Database::open(&path)? });
/// let mut metas = 0;
/// walk(&FilePages::open(&path)?, &MetaChoice::Newest, &mut |page| {
///     println!("page {}: {}", page.id, page.kind.words());
///     metas += u64::from(page.kind == PageKind::Meta);
///     std::ops::ControlFlow::Continue(())
/// })?;
/// assert_eq!(metas, 2);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum PageKind {
    /// Meta page.
    Meta = 1,
    /// Branch page.
    Branch,
    /// Leaf page.
    Leaf,
    /// Pages of an overflow run.
    Overflow,
    /// Free-log page.
    FreeLog,
    /// Reserved as the next free-log page of a queue.
    Reserved,
    /// Free, in the ready list.
    Ready,
    /// Free, in a queue: a snapshot may still see it.
    Queued,
    /// Free, in the pool: no snapshot sees it.
    Pooled,
}

impl PageKind {
    const ALL: [PageKind; 9] = [
        PageKind::Meta,
        PageKind::Branch,
        PageKind::Leaf,
        PageKind::Overflow,
        PageKind::FreeLog,
        PageKind::Reserved,
        PageKind::Ready,
        PageKind::Queued,
        PageKind::Pooled,
    ];

    /// In words, for people.
    pub fn words(self) -> &'static str {
        match self {
            PageKind::Meta => "meta page",
            PageKind::Branch => "branch page",
            PageKind::Leaf => "leaf page",
            PageKind::Overflow => "overflow run",
            PageKind::FreeLog => "free-log page",
            PageKind::Reserved => "reserved free-log page",
            PageKind::Ready => "ready extent",
            PageKind::Queued => "free entry",
            PageKind::Pooled => "pooled extent",
        }
    }

    fn of(byte: u8) -> Option<PageKind> {
        PageKind::ALL.get(usize::from(byte).checked_sub(1)?).copied()
    }
}

/// Pages that were claimed although they had an owner.
#[derive(Clone, Debug)]
pub(super) struct Conflict {
    pub pages: Range<u64>,
    pub first_owner: PageKind,
}

pub(super) struct Owners {
    page_count: u64,
    chunks: BTreeMap<u64, Box<[u8]>>,
    budget: u64,
}

impl Owners {
    pub fn new(page_count: u64) -> Owners {
        Owners { page_count, chunks: BTreeMap::new(), budget: page_count }
    }

    /// Gives `pages` to `kind`, those that have an owner excepted: they are told to `conflict`, in
    /// ranges. Answers how many pages were given. The range lies below the page count.
    pub fn claim(
        &mut self,
        pages: Range<u64>,
        kind: PageKind,
        mut conflict: impl FnMut(Conflict),
    ) -> u64 {
        let (mut given, mut at) = (0, pages.start);
        while at < pages.end {
            let base = at - at % CHUNK;
            let len = CHUNK.min(self.page_count - base) as usize;
            let chunk = self.chunks.entry(base).or_insert_with(|| vec![0; len].into());
            let end = pages.end.min(base + CHUNK);
            while at < end {
                let owner = chunk[(at - base) as usize];
                if let Some(first_owner) = PageKind::of(owner) {
                    let here = &chunk[(at - base) as usize..(end - base) as usize];
                    let n = here.iter().take_while(|&&o| o == owner).count() as u64;
                    conflict(Conflict { pages: at..at + n, first_owner });
                    at += n;
                    match self.budget.checked_sub(n) {
                        Some(left) => self.budget = left,
                        None => return given,
                    }
                } else {
                    chunk[(at - base) as usize] = kind as u8;
                    given += 1;
                    at += 1;
                }
            }
        }
        given
    }

    pub fn is_owned(&self, page: u64) -> bool {
        self.owner(page).is_some()
    }

    /// What the page is for, if somebody has claimed it.
    pub fn owner(&self, page: u64) -> Option<PageKind> {
        let chunk = self.chunks.get(&(page - page % CHUNK))?;
        PageKind::of(*chunk.get((page % CHUNK) as usize)?)
    }

    /// The page has no owner any more.
    pub fn disown(&mut self, page: u64) {
        if let Some(chunk) = self.chunks.get_mut(&(page - page % CHUNK))
            && let Some(owner) = chunk.get_mut((page % CHUNK) as usize)
        {
            *owner = 0;
        }
    }

    /// Tells `found` of every range of pages without an owner, in order.
    pub fn unowned(&self, mut found: impl FnMut(Range<u64>)) {
        let mut open = 0;
        for (&base, chunk) in &self.chunks {
            for (i, &owner) in chunk.iter().enumerate() {
                if owner != 0 {
                    let at = base + i as u64;
                    if open < at {
                        found(open..at);
                    }
                    open = at + 1;
                }
            }
        }
        if open < self.page_count {
            found(open..self.page_count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_come_in_ranges_and_leaks_between_chunks() {
        let mut o = Owners::new(3 * CHUNK + 10);
        assert_eq!(o.claim(0..2, PageKind::Meta, |_| panic!()), 2);
        assert_eq!(o.claim(CHUNK - 1..CHUNK + 3, PageKind::Leaf, |_| panic!()), 4);
        let mut seen = Vec::new();
        let given = o.claim(CHUNK - 3..CHUNK + 5, PageKind::Ready, |c| seen.push(c.pages));
        assert_eq!(given, 4);
        assert_eq!(seen, [CHUNK - 1..CHUNK, CHUNK..CHUNK + 3]);
        let mut free = Vec::new();
        o.unowned(|r| free.push(r));
        assert_eq!(free, [2..CHUNK - 3, CHUNK + 5..3 * CHUNK + 10]);
        assert!(o.is_owned(CHUNK) && !o.is_owned(CHUNK + 5) && !o.is_owned(5 * CHUNK));
        o.disown(CHUNK);
        o.disown(5 * CHUNK);
        assert!(!o.is_owned(CHUNK) && o.is_owned(CHUNK + 1));
    }

    #[test]
    fn the_budget_ends_repeated_claims() {
        let mut o = Owners::new(100);
        o.claim(0..100, PageKind::Leaf, |_| panic!());
        let mut told = 0;
        for _ in 0..1_000 {
            o.claim(0..100, PageKind::Ready, |_| told += 1);
        }
        assert_eq!(o.budget, 0);
        assert_eq!(told, 1_000);
    }
}
