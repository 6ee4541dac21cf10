//! Getting everything out of a damaged file that can still be proved.
//!
//! A pair comes out if the page it stands in verifies (checksum under the page's own number,
//! structure, order) and, for a value in an overflow run, if the run does. What is found in a place
//! that leads there from the meta page is the table's for certain. So are pages that nothing leads
//! to any more, because a branch above them is gone, where this can be proved:
//!
//! - **Which version of a leaf is the right one.** Copy-on-write leaves old versions lying about
//!   with good checksums. None of them may come out as the newest. What tells them apart is
//!   *ownership*: every page below the page count has exactly one owner (I4), and free pages stand
//!   in the meta and its free log. If those can be read in full, an unreached page that is not free
//!   *is* part of the snapshot; ages need not be compared. If they cannot, nothing that is
//!   unreached is taken for certain.
//! - **Which table it belongs to.** A lost page is a *hole*: a table, a level, a range of keys (the
//!   separators that led there) and a ceiling (nothing below a page is younger than it). An orphan
//!   fits a hole if it lies lower, within the range, and is not younger. If all holes that it fits
//!   belong to one table, it is that table's. A lost part of the catalog is a hole that everything
//!   fits that is not younger: the names between which it lay bound no keys.
//!
//! Without metas the catalog that is found may be an old one, or a leaf of a larger one. If
//! anything speaks for that (a loss, a younger page, a page in the midst of others that does not
//! verify, a list of other tables) it counts as lost in part.
//!
//! What would be given back to a table must not contradict it: no key twice, and of nothing more
//! than its descriptor counts. Else all of it is put aside. So it is for a table of which what was
//! found contradicts itself, as where an older image of a page stands in it (its checksum is good):
//! a page that is not what leads there says, other counts than the descriptor's, a page that is
//! somebody else's. A page is its owner's only once it fits.
//!
//! In a table of sets nothing that is unreached is certain: a page of a tree of values does not say
//! of which key, and fits every hole of such a table.
//!
//! Everything else that fits some hole is put aside: each topmost page with all below it in a table
//! of its own, `lost+found/LEVEL-PAGE`, where it overwrites nothing, and sets of values in a table
//! with `-sets` behind that name. Trees of values come with the leaf that leads to them, where that
//! is found. What fits no hole is of the past and does not come out.
//!
//! Where to begin: at the meta page that an opener would take; else at a refused one whose own
//! checksum holds; else at the newest root of a catalog, found by reading every page (each commit
//! rewrites the catalog's root, so the root's birth is the age of the snapshot; it may be a
//! transaction that had not become durable). The page size is then found by trial. In the last two
//! cases, and when the newer meta is refused, pages born after the transaction that is followed are
//! put aside too.
//!
//! Nothing is missing only if both metas are valid: one that is refused may have been the newer,
//! and a commit that has written nothing but the catalog leaves no pairs to be put aside.
//!
//! Bounds: a byte a page, and of each orphan the first and last key and its children; one value in
//! memory at a time; a page is read four times at most, beyond that overflow runs of what is put
//! aside, and what is not sound where something leads to it, as often as three times the file in
//! all. Never writes.
//!
//! | file | what it does |
//! | --- | --- |
//! | `start` | where to begin |
//! | `walk` | a tree from its root, holes included |
//! | `orphans` | what nothing leads to |
//! | `report` | what comes out |

mod orphans;
mod report;
mod start;
mod walk;

pub use report::{Aside, Loss, MAX_LOSSES, SalvageReport, SalvagedTable, Source};

use super::order::Keys;
use super::pages::Pages;
use super::scan::Scan;
use super::{MetaChoice, SlotState, layout, open_meta, space, tree};
use crate::error::{Error, Result};
use crate::types::{PageId, TableKind, TableOptions, TxnId};
use start::Start;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::atomic::AtomicBool;
use walk::{Into, Subtree};

/// How to salvage.
#[derive(Default)]
pub struct SalvageOptions<'a> {
    /// Told the pages done and their number, now and then.
    pub progress: Option<&'a mut dyn FnMut(u64, u64)>,
    /// Set to true by somebody else: the salvage ends soon, with what it has.
    pub cancelled: Option<&'a AtomicBool>,
}

/// What of the newest snapshot [`Database::salvage`](crate::Database::salvage) gives: everything,
/// where nothing is said.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// Only this table.
    pub table: Option<&'a str>,
    /// Only keys from here on.
    pub start: Bound<&'a [u8]>,
    /// Only keys up to here.
    pub end: Bound<&'a [u8]>,
    /// Each table from its last key to its first.
    pub reverse: bool,
}

impl Default for Part<'_> {
    fn default() -> Self {
        Part { table: None, start: Bound::Unbounded, end: Bound::Unbounded, reverse: false }
    }
}

impl Part<'_> {
    /// Whether it has a key.
    fn has(&self, keys: Keys, key: &[u8]) -> bool {
        // In an order that is not known, by the bytes.
        let keys = if keys.is_known() { keys } else { Keys::Packed };
        let begins = match self.start {
            Bound::Included(start) => !keys.is_below(key, start, false),
            Bound::Excluded(start) => keys.is_below(start, key, false),
            Bound::Unbounded => true,
        };
        let ends = match self.end {
            Bound::Included(end) => !keys.is_below(end, key, false),
            Bound::Excluded(end) => keys.is_below(key, end, false),
            Bound::Unbounded => true,
        };
        begins && ends
    }

    /// Whether it may have one that is not below `from` and below `to`.
    fn meets(&self, keys: Keys, from: Option<&[u8]>, to: Option<&[u8]>) -> bool {
        let begins = match self.start {
            Bound::Included(start) | Bound::Excluded(start) => {
                to.is_none_or(|to| keys.is_below(start, to, true))
            }
            Bound::Unbounded => true,
        };
        let ends = match self.end {
            Bound::Included(end) => from.is_none_or(|from| !keys.is_below(end, from, false)),
            Bound::Excluded(end) => from.is_none_or(|from| keys.is_below(from, end, true)),
            Bound::Unbounded => true,
        };
        begins && ends
    }

    fn has_bounds(&self) -> bool {
        (self.start, self.end) != (Bound::Unbounded, Bound::Unbounded)
    }
}

/// A pair that came out.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Recovered<'a> {
    /// Its table: one of the catalog, or `lost+found/LEVEL-PAGE`.
    pub table: &'a str,
    /// What its table was made with; of what is put aside nobody knows.
    pub options: &'a TableOptions,
    /// The last number that its table has given out
    /// ([`TableMut::next_sequence`](crate::TableMut::next_sequence)); of what is put aside 0.
    pub sequence: u64,
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// Bytes in a page of the file: a new database with as many takes every key.
    pub page_size: usize,
}

/// Takes the pairs that come out. An error ends the salvage.
pub type Take<'a> = &'a mut dyn FnMut(&Recovered<'_>) -> Result<()>;

/// Hands every pair to `take` that can be got out of the file, each once in its table, and says
/// what is lost. Tables come one after the other; within one, keys ascend, except that what is
/// found again comes later. The head of this module says what comes out where, and what is held in
/// memory. Reads the whole file, most pages once or twice, and writes nothing.
///
/// # Errors
/// `NotADatabase` if no page of any size verifies, `Version` if an intact meta is of another
/// format, and errors of `take`.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("my.recto");
/// # let db = unsafe { recto::Database::open(&path)? };
/// use recto::inspect::{FilePages, salvage::{SalvageOptions, salvage}};
/// let mut txn = db.write()?;
/// txn.open_table("main")?.put(b"key", b"value")?;
/// txn.commit()?;
/// let mut pairs = Vec::new();
///
/// let file = FilePages::open(&path)?; // damaged, perhaps
/// let report = salvage(&file, SalvageOptions::default(), &mut |pair| {
///     pairs.push((pair.table.to_owned(), pair.key.to_vec(), pair.value.to_vec()));
///     Ok(())
/// })?;
/// assert_eq!((pairs.len(), report.losses.len()), (1, 0));
/// # Ok(()) }
/// ```
#[cfg(feature = "inspect")]
pub fn salvage(
    pages: &dyn Pages,
    options: SalvageOptions<'_>,
    take: Take<'_>,
) -> Result<SalvageReport> {
    let start = start::find(pages, options.cancelled)?;
    let page_count = pages.len() / start.meta.page_size as u64;
    run(pages, &start, page_count, Part::default(), options, take)
}

/// Hands every pair to `take` of the snapshot that an opener would take, and of nothing else: what
/// a commit has left that did not end is not looked for.
///
/// # Errors
/// As [`open_meta`], and errors of `take`.
///
/// One pass over the pages of the snapshot.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("my.recto");
/// # let db = unsafe { recto::Database::open(&path)? };
/// use recto::inspect::{FilePages, salvage::{SalvageOptions, read_all}};
/// let mut txn = db.write()?;
/// txn.open_table("main")?.put(b"key", b"value")?;
/// txn.commit()?;
/// let mut pairs = Vec::new();
///
/// let report = read_all(&FilePages::open(&path)?, SalvageOptions::default(), &mut |pair| {
///     pairs.push((pair.key.to_vec(), pair.value.to_vec()));
///     Ok(())
/// })?;
/// assert_eq!(pairs, [(b"key".to_vec(), b"value".to_vec())]);
/// assert_eq!(report.pairs(), 1);
/// # Ok(()) }
/// ```
#[cfg(feature = "inspect")]
pub fn read_all(
    pages: &dyn Pages,
    options: SalvageOptions<'_>,
    take: Take<'_>,
) -> Result<SalvageReport> {
    let start = Start::of(open_meta(pages, &MetaChoice::Newest)?);
    run(pages, &start, start.meta.page_count, Part::default(), options, take)
}

/// The same for a part of the snapshot that this meta page describes, and nothing is looked for
/// that the snapshot does not lead to. `NoSuchTable` if it has not got the table asked for, and
/// nothing is lost that might have led to it.
pub(crate) fn salvage_snapshot(
    pages: &dyn Pages,
    meta: &[u8; layout::META_SIZE],
    part: Part<'_>,
    options: SalvageOptions<'_>,
    take: Take<'_>,
) -> Result<SalvageReport> {
    let start = start::at(pages, meta)?;
    let report = run(pages, &start, start.meta.page_count, part, options, take)?;
    match part.table {
        Some(name) if report.tables.is_empty() && report.loss_count == 0 && !report.cancelled => {
            Err(Error::NoSuchTable(name.into()))
        }
        _ => Ok(report),
    }
}

fn run(
    pages: &dyn Pages,
    start: &Start,
    page_count: u64,
    part: Part<'_>,
    options: SalvageOptions<'_>,
    take: Take<'_>,
) -> Result<SalvageReport> {
    let mut scan = Scan::new(pages, &start.meta, true);
    scan.page_count = page_count;
    scan.forget_owners();
    scan.progress = options.progress.map(|p| p as &mut dyn FnMut(u64, u64));
    scan.cancelled = options.cancelled;
    let mut salvager = Salvager {
        report: SalvageReport {
            source: start.source,
            slots: start.slots.clone(),
            version: start.meta.version as u32,
            txn: TxnId(start.meta.txn),
            page_size: start.meta.page_size,
            pages: scan.page_count,
            tables: Vec::new(),
            aside: Vec::new(),
            aside_count: 0,
            aside_pairs: 0,
            losses: Vec::new(),
            loss_count: 0,
            found_again: 0,
            space_known: false,
            cancelled: false,
        },
        reread: scan.page_count.saturating_mul(3),
        scan,
        part,
        take,
        failed: None,
        names: BTreeSet::new(),
        holes: Vec::new(),
        figures: Vec::new(),
        stale: BTreeSet::new(),
    };
    salvager.all(start);
    salvager.scan.tell_end();
    match salvager.failed {
        Some(error) => Err(error),
        None => Ok(SalvageReport { cancelled: salvager.scan.stopped, ..salvager.report }),
    }
}

/// A page that could not be read, and what may have been below it. One of the catalog led to pages
/// of its own tree, to which all of this applies, and to tables, to which only the ceiling does.
#[derive(Clone, Debug)]
struct Hole {
    /// The page; 0 if it is not known.
    page: u64,
    /// Index of the table; none for the catalog.
    table: Option<usize>,
    /// What was below it in its tree stands lower than this.
    level: u64,
    /// How the keys of the table are stored and ordered.
    keys: Keys,
    /// And is not younger than this.
    ceiling: u64,
    from: Option<Vec<u8>>,
    to: Option<Vec<u8>>,
    /// The table is one of sets: trees of values were below it, of any level and with any keys.
    of_sets: bool,
}

/// Entries (in a table of sets: pairs), branch, leaf and overflow pages of a table.
#[derive(Clone, Copy)]
struct Figures {
    /// By its descriptor, where that is known.
    said: Option<[u64; 4]>,
    /// That came out.
    found: [u64; 4],
    /// How its keys are stored and ordered.
    keys: Keys,
}

struct Salvager<'a> {
    scan: Scan<'a>,
    part: Part<'a>,
    take: Take<'a>,
    /// What `take` said when it had enough.
    failed: Option<Error>,
    report: SalvageReport,
    holes: Vec<Hole>,
    /// Of each table in the report.
    figures: Vec<Figures>,
    /// Tables (none: the catalog) of which one thing contradicts another: an older image of a page
    /// may stand in them, and nothing more is theirs for certain.
    stale: BTreeSet<Option<usize>>,
    /// Names of all tables that pairs were given to.
    names: BTreeSet<String>,
    /// Pages that may still be read although somebody else owns them, or without being owned.
    reread: u64,
}

impl Salvager<'_> {
    fn all(&mut self, start: &Start) {
        self.lose_slots(start);
        self.scan.claim(0, 2.min(self.scan.page_count), super::PageKind::Meta);
        let mut listed = self.catalog(start);
        if let Some(name) = self.part.table {
            listed.retain(|table| table.name == name);
        }
        for table in listed {
            if self.scan.stopped {
                return;
            }
            self.table(table);
        }
        if let Source::Catalog(root) = start.source
            && !self.scan.stopped
            && orphans::more_may_have_been(self, root.0)
        {
            let why = "the catalog that was found may be an old one, or a part of one";
            self.lose_unknown(None, start.meta.txn, why);
        }
        let newer = start.newer_may_lie_about();
        if start.source != Source::Snapshot && !self.scan.stopped {
            orphans::place(self, start, newer);
        }
    }

    /// A meta that is refused may have been of a newer commit than the one that is followed.
    fn lose_slots(&mut self, start: &Start) {
        if !matches!(start.source, Source::Meta(_) | Source::RefusedMeta(_)) {
            return;
        }
        for (slot, state) in start.slots.iter().enumerate() {
            if let SlotState::Refused(why) = state {
                let why = format!("meta page {slot} is refused: {why}; a newer commit may be lost");
                self.lose(None, PageId::NONE, None, (None, None), why);
            }
        }
    }

    /// Walks the catalog from its root and answers the tables it lists.
    fn catalog(&mut self, start: &Start) -> Vec<tree::Listed> {
        let mut listed = Vec::new();
        match tree::Descriptor::decode(&start.catalog, self.scan.page_size) {
            Ok(d) if d.root == 0 && start.source != Source::Nothing => {}
            Ok(d) if d.root != 0 => {
                let root = Subtree::whole(d.root, d.depth - 1, start.meta.txn, Keys::Packed);
                self.walk(&mut Into::Catalog(&mut listed), root);
                let (had, found) = (d.counts[0], listed.len() as u64);
                let counted = !matches!(start.source, Source::Catalog(_));
                if counted && had != found && self.holes.is_empty() && !self.scan.stopped {
                    let why = format!("the catalog says {had} tables, there are {found}");
                    self.lose_unknown(None, start.meta.txn, &why);
                }
            }
            Ok(_) => self.lose_unknown(None, start.meta.txn, "there is no catalog"),
            Err(what) => self.lose_unknown(None, start.meta.txn, &what),
        }
        listed
    }

    fn table(&mut self, listed: tree::Listed) {
        let index = self.report.tables.len();
        let name = self.name_for(&listed.name);
        let renamed = (name != listed.name).then_some(listed.name);
        let descriptor = tree::Descriptor::decode(&listed.descriptor, self.scan.page_size);
        let said = descriptor.as_ref().ok().map(|d| match d.is_set {
            true => [d.pairs, d.counts[1], d.counts[2], d.counts[3]],
            false => d.counts,
        });
        let had = said.map(|said| said[0]).filter(|_| !self.part.has_bounds());
        let options = descriptor.as_ref().ok().map(|d| d.options.clone()).unwrap_or_default();
        let sequence = descriptor.as_ref().map_or(0, |d| d.sequence);
        let table = SalvagedTable { name, renamed, options, sequence, had, ..Default::default() };
        self.report.tables.push(table);
        let keys = descriptor.as_ref().map_or(Keys::Any, |d| d.keys);
        self.figures.push(Figures { said, found: [0; 4], keys });
        match descriptor {
            Ok(d) if d.root != 0 => {
                let root = Subtree::whole(d.root, d.depth - 1, listed.birth, d.keys);
                self.walk(&mut Into::Table(index), root);
            }
            Ok(_) => {}
            Err(what) => self.lose_unknown(Some(index), listed.birth, &what),
        }
        self.compare(index);
    }

    /// Compares what came out of a table with what its descriptor says.
    fn compare(&mut self, table: usize) {
        let Figures { said: Some(said), found, .. } = self.figures[table] else { return };
        if self.part.has_bounds() || self.scan.stopped {
            return;
        }
        let lost = self.report.tables[table].lost_pages > 0;
        let wrong = |i: &usize| found[*i] > said[*i] || !lost && found[*i] < said[*i];
        let words = ["entries", "branch pages", "leaf pages", "overflow pages"];
        let text = |i: usize| format!("{} {}, there are {}", said[i], words[i], found[i]);
        // If it is entries alone, the pairs that it had say so.
        if (1..4).any(|i| wrong(&i)) {
            let texts: Vec<String> = (0..4).filter(wrong).map(text).collect();
            let why = format!("the descriptor says {}", texts.join("; "));
            self.lose(Some(table), PageId::NONE, None, (None, None), why);
        }
        if (0..4).any(|i| wrong(&i)) {
            self.mark_stale(Some(table));
        }
    }

    /// An older image of a page may stand in this table (none: in the catalog): what the newer one
    /// led to is a hole with all keys.
    fn mark_stale(&mut self, table: Option<usize>) {
        if self.stale.insert(table) {
            let ceiling = self.scan.txn;
            let (page, level) = (0, u64::MAX);
            let of_sets = self.is_set(table);
            let (keys, from, to) = (self.keys_of(table), None, None);
            self.holes.push(Hole { page, table, keys, level, ceiling, from, to, of_sets });
        }
    }

    /// Whether a table of the report is one of sets, or may be, if its descriptor is lost.
    fn is_set(&self, table: Option<usize>) -> bool {
        table.is_some_and(|table| match self.figures[table].said {
            Some(_) => self.report.tables[table].options.kind != TableKind::Map,
            None => self.scan.read_features & layout::SETS != 0,
        })
    }

    /// How the keys of a table of the report are stored; of the catalog, in pieces.
    fn keys_of(&self, table: Option<usize>) -> Keys {
        table.map_or(Keys::Packed, |table| self.figures[table].keys)
    }

    /// A name that a table can have, and that no other one has.
    fn name_for(&mut self, wanted: &str) -> String {
        let mut name = match wanted.len() {
            1..=layout::MAX_NAME => wanted.to_owned(),
            _ => format!("lost+found/table-{}", self.report.tables.len()),
        };
        let mut number = self.names.len();
        while !self.names.insert(name.clone()) {
            // Also a user may have given such a name.
            name = format!("lost+found/table-{number}");
            number += 1;
        }
        name
    }

    /// Something is lost of which not even the place is known.
    fn lose_unknown(&mut self, table: Option<usize>, ceiling: u64, why: &str) {
        self.lose(table, PageId::NONE, None, (None, None), why.into());
        let (page, level) = (0, u64::MAX);
        let of_sets = self.is_set(table);
        let (keys, from, to) = (self.keys_of(table), None, None);
        self.holes.push(Hole { page, table, keys, level, ceiling, from, to, of_sets });
    }

    /// Takes note of a loss.
    fn lose(
        &mut self,
        table: Option<usize>,
        page: PageId,
        level: Option<u8>,
        (from, to): (Option<Vec<u8>>, Option<Vec<u8>>),
        why: String,
    ) {
        self.report.loss_count += 1;
        if let Some(table) = table {
            self.report.tables[table].lost_pages += 1;
        }
        if self.report.losses.len() < MAX_LOSSES {
            let table = table.map_or(String::new(), |t| self.report.tables[t].name.clone());
            self.report.losses.push(Loss { table, page, level, from, to, why });
        }
    }

    /// Claims the free space. It is known if all of it could be read and nothing of it contradicts
    /// the trees. False if it does, or if nothing is lost and yet a page has no owner.
    fn owns_all(&mut self, start: &Start) -> bool {
        if matches!(start.source, Source::Catalog(_) | Source::Nothing) {
            return true;
        }
        let (faults, conflicts) = (self.scan.fault_count, self.scan.conflicts.len());
        // Named snapshots are not saved; what they are listed in is nobody's table.
        if let Some(system) = start.meta.system() {
            tree::system(&mut self.scan, system);
        }
        space::free_space(&mut self.scan, &start.meta);
        self.report.space_known = self.scan.fault_count == faults && !self.scan.stopped;
        // What is not whole there may be somebody else's, or free.
        let taken = |hole: &&Hole| hole.page != 0 && self.scan.is_owned(hole.page);
        let tables: BTreeSet<_> = self.holes.iter().filter(taken).map(|hole| hole.table).collect();
        tables.into_iter().for_each(|table| self.mark_stale(table));
        let pages = start.meta.page_count.min(self.scan.page_count);
        let leaks = || self.scan.unowned().iter().any(|range| range.start < pages);
        let whole = self.report.space_known && self.holes.is_empty() && self.nothing_lost();
        self.scan.conflicts.len() == conflicts && !(whole && leaks())
    }

    /// Whether every page and every value of the trees came out.
    fn nothing_lost(&self) -> bool {
        self.report.tables.iter().all(|table| table.lost_pages == 0)
    }
}
