//! What a scan knows of named snapshots while it walks.
//!
//! Snapshots are walked from the oldest to the newest. For each page and each run that a page of a
//! snapshot leads to there is a [`Proof`]: what leads there, what it was proved as, and the first
//! snapshot that something below it is not there for. A later snapshot passes it unread up to there
//! if it is led to as the same: what is neither younger than the older snapshot nor gone for the
//! later one is there for both.
//!
//! *A snapshot leads twice to a page* is found without a list of what it has passed: what is there
//! for a snapshot stays as it is. So if a page of an older snapshot leads to this one, and is still
//! there, it leads to it for this snapshot too.
//!
//! Memory: about a hundred bytes for each such page and run, 32 for each free entry of the queues,
//! 8 for each snapshot, and two for each page of the file. Where nothing has a name, nothing. Work
//! is bounded: what has to be walked again, because it is led to as something else, comes out of a
//! budget of some times the page count. In a sound file only the separators beside a page can
//! change while it stays as it is, and only where the page next to it is gone: there are no more of
//! these than pages.

use super::owners::PageKind;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::ops::Range;

/// Pages whose kinds are kept together.
const CHUNK: u64 = 1 << 12;

/// Pages that snapshots are walked over, as a multiple of the page count.
const MOST_WALKS: u64 = 8;

/// See the head of the file.
#[derive(Default)]
pub(super) struct Named {
    /// Ids of those that have a name, ascending; as often as they have one.
    pub ids: Vec<u64>,
    /// Free entries: first page, length, birth, death. In the order of the pages once the queues
    /// have been walked.
    pub queued: Vec<(u64, u64, u64, u64)>,
    /// Free pages that one of them sees, by the entries of the queues.
    pub pages: u64,
    /// The snapshot being walked.
    pub current: Option<Current>,
    /// What the pages of the newest state's trees are in.
    pub kinds: Kinds,
    /// By first page. They do not overlap.
    proofs: BTreeMap<u64, Proof>,
    budget: u64,
    hasher: RandomState,
}

/// In a tree of what kind the pages of the newest state are: what a snapshot shares with it is in
/// one of the same kind.
#[derive(Default)]
pub(super) struct Kinds {
    /// One more than the number of the kind; 0 for what is in no tree. In chunks that exist only
    /// where something was noted.
    chunks: BTreeMap<u64, Box<[u16]>>,
    page_count: u64,
    numbers: BTreeMap<u64, u16>,
}

impl Kinds {
    /// For a file of so many pages. Without this nothing is noted.
    pub fn of(page_count: u64) -> Kinds {
        Kinds { page_count, ..Kinds::default() }
    }

    /// The page is in a tree of this kind.
    pub fn note(&mut self, page: u64, kind: u64) {
        if page >= self.page_count {
            return;
        }
        // Kinds are alignments, and sizes of values twice, in each order: only a file with more
        // than 65,535 tables, each of another kind, has more, and of those nothing is noted.
        let next = u16::try_from(self.numbers.len() + 1).ok();
        let number = self.numbers.get(&kind).copied().or(next);
        let Some(number) = number else { return };
        self.numbers.insert(kind, number);
        let chunk = self.chunks.entry(page / CHUNK);
        let chunk = chunk.or_insert_with(|| vec![0; CHUNK as usize].into());
        chunk[(page % CHUNK) as usize] = number;
    }

    /// Whether the page is in a tree of this kind, or in none that is known.
    pub fn is(&self, page: u64, kind: u64) -> bool {
        let chunk = self.chunks.get(&(page / CHUNK));
        match chunk.map(|chunk| chunk[(page % CHUNK) as usize]) {
            Some(number) if number > 0 => self.numbers.get(&kind) == Some(&number),
            _ => true,
        }
    }
}

/// How many waiting pages each of some snapshots sees.
#[derive(Default)]
pub(super) struct Held {
    /// Ascending.
    ids: Vec<u64>,
    /// By how much each sees more than the one before it; one more, behind the last. The sum of all
    /// up to one never is less than nothing, so wrapping around does no harm.
    steps: Vec<u128>,
    /// Pages that at least one of them sees.
    any: u64,
}

impl Held {
    /// Asks for these.
    pub fn of(snapshots: &[u64]) -> Held {
        let mut ids = snapshots.to_vec();
        ids.sort_unstable();
        let steps = vec![0; ids.len() + 1];
        Held { ids, steps, any: 0 }
    }

    /// Pages that the snapshots of the interval see.
    pub fn add(&mut self, interval: Range<u64>, pages: u64) {
        if interval.is_empty() || self.ids.is_empty() {
            return;
        }
        let place = |id| self.ids.partition_point(|&snapshot| snapshot < id);
        let (from, to) = (place(interval.start), place(interval.end));
        if from < to {
            self.any = self.any.saturating_add(pages);
        }
        self.steps[from] = self.steps[from].wrapping_add(pages.into());
        self.steps[to] = self.steps[to].wrapping_sub(pages.into());
    }

    /// Pages that at least one of them sees.
    pub fn any(&self) -> u64 {
        self.any
    }

    /// The sums, in the order of the snapshots asked for.
    pub fn sums(&self, snapshots: &[u64]) -> Vec<u64> {
        let mut sum = 0u128;
        let mut so_far = |step: &u128| {
            sum = sum.wrapping_add(*step);
            u64::try_from(sum).unwrap_or(u64::MAX)
        };
        let sums: Vec<u64> = self.steps.iter().map(&mut so_far).collect();
        let place = |id: &u64| self.ids.partition_point(|snapshot| snapshot < id);
        // The first of equal ones has what all of them see.
        snapshots.iter().map(|id| sums[place(id)]).collect()
    }
}

/// A snapshot being walked.
pub(super) struct Current {
    pub txn: u64,
    /// Its number among them.
    pub index: u32,
    /// The page whose entries are looked at; 0 above the catalog.
    pub parent: u64,
    /// The first snapshot that something which `parent` leads to is not there for, as far as that
    /// has been met.
    pub until: u64,
}

/// A page or run that a page of a snapshot leads to.
#[derive(Clone, Copy)]
pub(super) struct Proof {
    pub len: u64,
    pub kind: PageKind,
    /// It is the newest state's, too.
    pub is_shared: bool,
    /// The page that leads here: the last one.
    pub parent: u64,
    /// Number of the last snapshot that led here.
    pub seen: u32,
    /// The first snapshot that it is not there for itself.
    pub death: u64,
    /// What its header says.
    pub birth: u64,
    /// The first snapshot that something below it is not there for; 0 until all below was walked.
    until: u64,
    /// What it was proved as.
    context: u64,
    is_sound: bool,
}

/// What is known of pages before they are walked.
pub(super) enum Known {
    Nothing,
    /// Exactly this.
    This(Proof),
    /// Something else: first page, pages, kind.
    Other(u64, u64, PageKind),
}

/// Whether a page need not be walked.
pub(super) enum Pass {
    No,
    Sound,
    /// It was found unsound.
    Unsound,
}

/// What was around a page, to be put back behind it.
pub(super) struct Outer {
    parent: u64,
    until: u64,
}

impl Named {
    /// Takes note of the ids, and begins.
    pub fn begin(&mut self, mut ids: Vec<u64>, page_count: u64) {
        ids.sort_unstable();
        self.ids = ids;
        self.budget = page_count.saturating_mul(MOST_WALKS);
    }

    /// Whether a snapshot that has a name lies in the interval.
    pub fn has_one_in(&self, interval: &Range<u64>) -> bool {
        let next = self.ids.partition_point(|&id| id < interval.start);
        self.ids.get(next).is_some_and(|id| interval.contains(id))
    }

    /// The interval of snapshots that see a page which waits in a queue.
    pub fn interval(&self, page: u64) -> Option<Range<u64>> {
        let next = self.queued.partition_point(|&(start, ..)| start <= page);
        let &(start, len, birth, death) = self.queued.get(next.checked_sub(1)?)?;
        (page < start.saturating_add(len)).then_some(birth..death)
    }

    /// Whether a page waits in a queue for a snapshot that has a name.
    pub fn has_pinned(&self, page: u64) -> bool {
        self.interval(page).is_some_and(|interval| self.has_one_in(&interval))
    }

    /// What is known of these pages.
    pub fn known(&mut self, pages: &Range<u64>) -> Known {
        let index = self.current.as_ref().map_or(0, |current| current.index);
        loop {
            match self.proofs.range(..pages.end).next_back() {
                // It was not there for an older snapshot, which says nothing of this one.
                Some((&start, proof)) if proof.death == 0 && proof.seen != index => {
                    self.proofs.remove(&start);
                }
                Some((&start, proof)) if start + proof.len > pages.start => {
                    let is_this = start == pages.start && start + proof.len == pages.end;
                    return match is_this {
                        true => Known::This(*proof),
                        false => Known::Other(start, proof.len, proof.kind),
                    };
                }
                _ => return Known::Nothing,
            }
        }
    }

    /// Takes note of pages met for the first time, which are there up to the snapshot `death`; 0:
    /// not even for this one.
    pub fn meet(&mut self, start: u64, len: u64, kind: PageKind, is_shared: bool, death: u64) {
        let proof = Proof {
            len,
            kind,
            is_shared,
            parent: 0,
            seen: 0,
            death,
            birth: 0,
            until: 0,
            context: 0,
            is_sound: true,
        };
        self.proofs.insert(start, proof);
    }

    /// Forgets what has been met.
    pub fn forget(&mut self, start: u64) {
        self.proofs.remove(&start);
    }

    /// Whether the snapshot being walked leads here by another page too, or twice by this one: what
    /// page that is, 0 above the catalog.
    pub fn led_by(&self, proof: &Proof) -> Option<u64> {
        let current = self.current.as_ref()?;
        let stands = |page| self.interval(page).is_some_and(|i| i.contains(&current.txn));
        let other = proof.parent != 0 && proof.parent != current.parent;
        (proof.seen == current.index || other && stands(proof.parent)).then_some(proof.parent)
    }

    /// The snapshot being walked has been led here.
    pub fn mark(&mut self, start: u64) {
        if let (Some(current), Some(proof)) = (&mut self.current, self.proofs.get_mut(&start)) {
            (proof.seen, proof.parent) = (current.index, current.parent);
            if proof.death > 0 {
                current.until = current.until.min(proof.death);
            }
        }
    }

    /// Notes what the header of a page says.
    pub fn note_birth(&mut self, page: u64, birth: u64) {
        if let Some(proof) = self.proofs.get_mut(&page) {
            proof.birth = birth;
        }
    }

    /// What a page is proved as.
    pub fn context(&self, context: impl Hash) -> u64 {
        self.hasher.hash_one(context)
    }

    /// Whether what is proved of a page, or run, holds for the snapshot being walked. `ceiling` is
    /// the birth of what leads here.
    pub fn pass(&mut self, page: u64, context: u64, ceiling: u64) -> Pass {
        let (Some(current), Some(proof)) = (&mut self.current, self.proofs.get(&page)) else {
            return Pass::No;
        };
        if proof.context != context || proof.birth > ceiling || proof.until <= current.txn {
            return Pass::No;
        }
        current.until = current.until.min(proof.until);
        if proof.is_sound { Pass::Sound } else { Pass::Unsound }
    }

    /// Takes pages that are to be walked out of the budget. False if there are not so many left.
    pub fn spend(&mut self, pages: u64) -> bool {
        match self.budget.checked_sub(pages) {
            Some(left) => self.budget = left,
            None => return false,
        }
        true
    }

    /// Goes below a page, until [`Named::leave`].
    pub fn enter(&mut self, page: u64) -> Outer {
        let death = self.proofs.get(&page).map_or(u64::MAX, |proof| proof.death);
        let Some(current) = &mut self.current else { return Outer { parent: 0, until: 0 } };
        let outer = Outer { parent: current.parent, until: current.until };
        (current.parent, current.until) = (page, death);
        outer
    }

    /// Everything below the page has been walked.
    pub fn leave(&mut self, page: u64, outer: Outer, context: u64, is_sound: bool) {
        let Some(current) = &mut self.current else { return };
        if let Some(proof) = self.proofs.get_mut(&page) {
            (proof.until, proof.context, proof.is_sound) = (current.until, context, is_sound);
        }
        (current.parent, current.until) = (outer.parent, outer.until.min(current.until));
    }

    /// A table that a leaf of the catalog lists has been walked: what holds for it holds for the
    /// leaf, and for all that leads to the leaf.
    pub fn join(&mut self, leaf: u64, until: u64, is_sound: bool) {
        let mut page = leaf;
        // No tree has more levels.
        for _ in 0..64 {
            let Some(proof) = self.proofs.get_mut(&page) else { return };
            proof.until = proof.until.min(until);
            proof.is_sound &= is_sound;
            page = proof.parent;
        }
    }
}
