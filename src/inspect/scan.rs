//! One walk over everything a meta page reaches: what the walks over trees and free logs have in
//! common.
//!
//! A [`Scan`] knows the way it has come, collects faults and counts, and gives each page to its
//! first owner. A page that has an owner already is not visited again, so the walk ends on any
//! input and takes time in proportion to the file.
//!
//! Names of *both* owners of a page are found by a second walk that knows which pages to watch; the
//! first one keeps a byte a page.

use super::layout;
use super::meta::Meta;
use super::named::{Held, Named};
use super::order::Compare;
use super::owners::{Conflict, Owners, PageKind};
use super::pages::Pages;
use super::report::{Fault, MAX_FAULTS, PageCounts, TableStats};
use crate::format::checksum::page_crc;
use crate::types::{Order as KeyOrder, PageId, TxnId};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};

/// Which tree a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tree<'a> {
    /// None: meta, free-log and free pages.
    None,
    /// The catalog.
    Catalog,
    /// The table of this name.
    Table(&'a str),
    /// What is not a user's.
    System,
}

/// A page, or pages side by side, as a walk meets it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PageInfo<'a> {
    /// The page, or the first one.
    pub id: PageId,
    /// Pages side by side: more than 1 only in overflow runs and free extents.
    pub pages: u64,
    /// What it is for.
    pub kind: PageKind,
    /// Level in its tree, 0 in leaves and everywhere else.
    pub level: u8,
    /// Its tree.
    pub tree: Tree<'a>,
    /// Keys of a branch or leaf, entries of a free-log page.
    pub count: u64,
    /// Bytes in use; 0 in free pages.
    pub used_bytes: u64,
    /// Transaction that wrote it, or none where the file does not say.
    pub birth: TxnId,
}

/// A step of the way from the meta page to where the walk is.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Meta,
    Catalog,
    Table(String),
    System,
    Snapshot(String),
    Page(PageKind, u64),
    Entry(usize),
    Queue(usize),
    Inline(usize),
    Ready(usize),
}

impl Step {
    fn text(&self) -> String {
        match self {
            Step::Meta => "meta".into(),
            Step::Catalog => "catalog".into(),
            Step::Table(name) => format!("table {}", short(name)),
            Step::System => "system tree".into(),
            Step::Snapshot(name) => format!("snapshot {}", short(name)),
            Step::Page(PageKind::Branch, id) => format!("branch {id}"),
            Step::Page(PageKind::Leaf, id) => format!("leaf {id}"),
            Step::Page(PageKind::FreeLog, id) => format!("log page {id}"),
            Step::Page(kind, id) => format!("{} {id}", kind.words()),
            Step::Entry(i) => format!("entry {i}"),
            Step::Queue(i) => format!("free log {i}"),
            Step::Inline(i) => format!("inline entry {i}"),
            Step::Ready(i) => format!("ready extent {i}"),
        }
    }
}

fn short(name: &str) -> String {
    const MOST: usize = 64;
    if name.chars().count() <= MOST {
        return format!("{name:?}");
    }
    let start: String = name.chars().take(MOST).collect();
    format!("{start:?}...")
}

/// Called for every page of a walk.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&PageInfo<'_>) -> ControlFlow<()>;

pub(super) struct Scan<'a> {
    pub pages: &'a dyn Pages,
    /// Format version of the file.
    pub version: u64,
    /// Features that its meta says must be known to read it.
    pub read_features: u64,
    pub page_size: usize,
    pub page_count: u64,
    pub txn: u64,
    pub verify_values: bool,
    pub(super) owners: Owners,
    path: Vec<Step>,
    pub faults: Vec<Fault>,
    pub fault_count: u64,
    /// Faults that are to be given the names of both owners: index, first page that is owned twice.
    pub conflicts: Vec<(usize, u64)>,
    /// In the second walk: pages to watch, and who claimed them.
    watched: Option<BTreeMap<u64, Vec<String>>>,
    pub counts: PageCounts,
    /// Figures of the tree being walked.
    pub table: TableStats,
    /// Pairs of the system tree, while it is walked.
    pub collected: Option<Vec<(Vec<u8>, Vec<u8>)>>,
    /// Named snapshots, and the entries that wait in the queues where there are any.
    pub named: Named,
    /// Something could not be read: what belongs to it may look leaked.
    pub incomplete: bool,
    /// Ended on demand.
    pub stopped: bool,
    /// Functions of orders by their names.
    pub functions: &'a [(&'a str, Compare)],
    /// Tables of which nobody has said by which function their keys are ordered.
    pub unproved_orders: BTreeSet<String>,
    /// Pages of the manifest that have not been met: run length or 0.
    manifest: BTreeMap<u64, u64>,
    /// The manifest must list every page of this transaction.
    sealed: bool,
    /// Asked of how many waiting pages some snapshots see, if that is asked.
    pub held: Held,
    pub visit: Option<Visit<'a>>,
    pub progress: Option<&'a mut dyn FnMut(u64, u64)>,
    pub cancelled: Option<&'a AtomicBool>,
    done: u64,
    told: u64,
}

impl<'a> Scan<'a> {
    pub fn new(pages: &'a dyn Pages, meta: &Meta, verify_values: bool) -> Scan<'a> {
        Scan {
            pages,
            version: meta.version,
            read_features: meta.read_features(),
            page_size: meta.page_size,
            page_count: meta.page_count,
            txn: meta.txn,
            verify_values,
            owners: Owners::new(meta.page_count),
            path: Vec::new(),
            faults: Vec::new(),
            fault_count: 0,
            conflicts: Vec::new(),
            watched: None,
            counts: PageCounts::default(),
            table: TableStats::default(),
            collected: None,
            named: Named::default(),
            incomplete: false,
            stopped: false,
            functions: &[],
            unproved_orders: BTreeSet::new(),
            manifest: meta.manifest.iter().map(|l| (l.page, l.pages)).collect(),
            // Bytes given from outside are an image without its manifest.
            sealed: meta.slot.is_some() && meta.phase == layout::PHASE_SEALED,
            held: Held::default(),
            visit: None,
            progress: None,
            cancelled: None,
            done: 0,
            told: 0,
        }
    }

    /// Makes this the second walk: it collects who claims these pages, and nothing else.
    pub fn watch(&mut self, pages: impl Iterator<Item = u64>) {
        self.watched = Some(pages.map(|p| (p, Vec::new())).collect());
    }

    /// Whether this is the second walk.
    pub fn is_second(&self) -> bool {
        self.watched.is_some()
    }

    /// What the second walk found.
    pub fn into_owner_names(self) -> BTreeMap<u64, Vec<String>> {
        self.watched.unwrap_or_default()
    }

    /// The function of an order of the user's, if it was given.
    pub fn function(&self, order: &KeyOrder) -> Option<Compare> {
        let KeyOrder::Custom(name) = order else { return None };
        self.functions.iter().find(|(given, _)| given == name).map(|(_, function)| *function)
    }

    /// Begins ownership anew, after `page_count` was set by hand.
    pub fn forget_owners(&mut self) {
        self.owners = Owners::new(self.page_count);
    }

    /// Ranges of pages that nobody has claimed, in order.
    pub fn unowned(&self) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        self.owners.unowned(|range| ranges.push(range));
        ranges
    }

    /// Whether somebody has claimed the page.
    pub fn is_owned(&self, id: u64) -> bool {
        self.owners.is_owned(id)
    }

    /// Takes a page away from its owner.
    pub fn disown(&mut self, id: u64) {
        self.owners.disown(id);
    }

    /// Tells that everything is done.
    pub fn tell_end(&mut self) {
        let total = self.page_count;
        if let Some(progress) = &mut self.progress {
            progress(total, total);
        }
    }

    /// Goes one step down the path, until [`Scan::pop`].
    pub fn push(&mut self, step: Step) {
        self.path.push(step);
    }

    /// Goes one step back up.
    pub fn pop(&mut self) {
        self.path.pop();
    }

    /// Goes one step down the path for the time of `f`.
    pub fn within<R>(&mut self, step: Step, f: impl FnOnce(&mut Self) -> R) -> R {
        self.push(step);
        let result = f(self);
        self.pop();
        result
    }

    fn path_text(&self) -> String {
        let steps: Vec<String> = self.path.iter().map(Step::text).collect();
        steps.join(" / ")
    }

    /// Takes note of a fault. The text is made only if the fault is kept.
    pub fn fault(&mut self, page: Option<u64>, what: impl FnOnce() -> String) {
        self.fault_count += 1;
        if self.faults.len() < MAX_FAULTS && self.watched.is_none() {
            let fault = Fault { page: page.map(PageId), path: self.path_text(), what: what() };
            self.faults.push(fault);
        }
    }

    /// A fault that hides what lies behind it.
    pub fn cut_off(&mut self, page: Option<u64>, what: impl FnOnce() -> String) {
        self.incomplete = true;
        self.fault(page, what);
    }

    /// Gives `len` pages from `start` on to `kind`. True if they lie in the file and all were
    /// nobody's before.
    pub fn claim(&mut self, start: u64, len: u64, kind: PageKind) -> bool {
        let first = if kind == PageKind::Meta { 0 } else { 2 };
        let end = start.checked_add(len).filter(|&end| end <= self.page_count);
        let (Some(end), true, true) = (end, start >= first, len > 0) else {
            let count = self.page_count;
            self.cut_off(None, || {
                format!("{} of {len} pages at page {start}, outside 2..{count}", kind.words())
            });
            return false;
        };
        if self.named.current.is_some() {
            return self.find_in_snapshot(start..end, kind);
        }
        if let Some(watched) = &mut self.watched {
            let here: Vec<u64> = watched.range(start..end).map(|(&page, _)| page).collect();
            if !here.is_empty() {
                let name = format!("{} ({})", kind.words(), self.path_text());
                for page in here {
                    self.name_owner(page, &name);
                }
            }
        }
        let mut conflicts = Vec::new();
        let given = self.owners.claim(start..end, kind, |c| conflicts.push(c));
        *self.count_of(kind) += given;
        // Free entries tell of themselves: what a named snapshot sees is done when that is.
        if kind != PageKind::Queued {
            self.tick(given);
        }
        for conflict in &conflicts {
            self.conflict(conflict, kind);
        }
        conflicts.is_empty()
    }

    fn name_owner(&mut self, page: u64, name: &str) {
        const MOST: usize = 4;
        if let Some(names) = self.watched.as_mut().and_then(|w| w.get_mut(&page))
            && names.len() < MOST
        {
            names.push(name.to_owned());
        }
    }

    fn conflict(&mut self, conflict: &Conflict, kind: PageKind) {
        let Conflict { pages, first_owner } = conflict;
        // The owner that came second is not visited: what only it reaches has no owner.
        self.incomplete |= matches!(kind, PageKind::Branch | PageKind::Leaf | PageKind::FreeLog);
        let kept = self.faults.len();
        self.fault(Some(pages.start), || {
            format!(
                "{} page(s) from page {} on are owned twice, as {} and as {}",
                pages.end - pages.start,
                pages.start,
                first_owner.words(),
                kind.words()
            )
        });
        if self.faults.len() > kept {
            self.conflicts.push((kept, pages.start));
        }
    }

    fn count_of(&mut self, kind: PageKind) -> &mut u64 {
        let c = &mut self.counts;
        match kind {
            PageKind::Meta => &mut c.meta,
            PageKind::Branch => &mut c.branch,
            PageKind::Leaf => &mut c.leaf,
            PageKind::Overflow => &mut c.overflow,
            PageKind::FreeLog => &mut c.free_log,
            PageKind::Reserved => &mut c.reserved,
            PageKind::Ready => &mut c.ready,
            PageKind::Queued => &mut c.queued,
            PageKind::Pooled => &mut c.pooled,
        }
    }

    /// Reads a page with a header that has been claimed, and proves its checksum. What fails the
    /// checksum is decoded all the same: it often tells what happened to it.
    pub fn read(&mut self, id: u64) -> Option<Cow<'a, [u8]>> {
        match self.pages.read(id * self.page_size as u64, self.page_size) {
            Ok(b) => {
                let crc = page_crc(PageId(id), &b);
                let stored = layout::header::CRC.get(&b, 0).unwrap_or(0);
                if u64::from(crc) != stored {
                    self.fault(Some(id), || {
                        format!("the checksum is {crc:#010x}, stored is {stored:#010x}")
                    });
                }
                Some(b)
            }
            Err(e) => {
                self.cut_off(Some(id), || format!("cannot be read: {e}"));
                None
            }
        }
    }

    /// Proves what birth and manifest say about a page, or about a run of `run` pages (0: a page
    /// with a header).
    pub fn born(&mut self, id: u64, run: u64, birth: u64) {
        let txn = self.txn;
        if let Some(current) = &self.named.current {
            let snapshot = current.txn;
            if run == 0 {
                self.named.note_birth(id, birth);
            }
            if birth > snapshot {
                self.fault(Some(id), || format!("born in {birth}, the snapshot is of {snapshot}"));
            }
            return;
        }
        if birth > txn {
            self.fault(Some(id), || format!("born in transaction {birth}, the meta is of {txn}"));
        }
        match self.manifest.remove(&id) {
            Some(listed) if listed != run => self.fault(Some(id), || {
                format!("the manifest says {listed} pages of run, the page that leads here {run}")
            }),
            None if self.sealed && birth == txn => self.fault(Some(id), || {
                format!("born in transaction {txn}, and its manifest does not list it")
            }),
            _ => {}
        }
    }

    /// Tells the visitor, if there is one, of pages outside the trees, or of the catalog.
    pub fn show(&mut self, info: &PageInfo<'_>) {
        if let Some(visit) = &mut self.visit
            && !self.stopped
            && self.named.current.is_none()
            && visit(info).is_break()
        {
            self.stopped = true;
        }
    }

    /// Tells the visitor of a page of the tree being walked.
    pub fn show_tree(&mut self, info: PageInfo<'_>, catalog: bool) {
        // Taken out for the call: the visitor borrows the name, the scan is borrowed to call it.
        let name = std::mem::take(&mut self.table.name);
        let tree = match &self.collected {
            Some(_) => Tree::System,
            None if catalog => Tree::Catalog,
            None => Tree::Table(&name),
        };
        self.show(&PageInfo { tree, ..info });
        self.table.name = name;
    }

    /// Counts work done, tells about it now and then, and looks whether to go on.
    pub fn tick(&mut self, pages: u64) {
        const EVERY: u64 = 1024;
        self.done = self.done.saturating_add(pages);
        if self.done - self.told >= EVERY || self.told == 0 {
            self.told = self.done;
            if let Some(progress) = &mut self.progress {
                progress(self.done.min(self.page_count), self.page_count);
            }
        }
        self.look();
    }

    /// Looks whether to go on.
    pub fn look(&mut self) -> bool {
        if self.cancelled.is_some_and(|c| c.load(Ordering::Relaxed)) {
            self.stopped = true;
        }
        !self.stopped
    }

    /// What is left over at the end: leaked pages, and entries of the manifest that nothing
    /// reaches.
    pub fn finish(&mut self) {
        if self.stopped || self.watched.is_some() {
            return;
        }
        let mut leaks = Vec::new();
        let (mut leaked, mut ranges) = (0, 0u64);
        self.owners.unowned(|r| {
            leaked += r.end - r.start;
            ranges += 1;
            if leaks.len() < MAX_FAULTS {
                leaks.push(r);
            }
        });
        self.counts.leaked = leaked;
        if self.incomplete && leaked > 0 {
            self.fault(None, || {
                format!("{leaked} pages have no owner, perhaps because some could not be followed")
            });
        } else {
            for r in &leaks {
                self.fault(Some(r.start), || {
                    format!(
                        "{} page(s) from page {} on belong to nothing",
                        r.end - r.start,
                        r.start
                    )
                });
            }
            self.fault_count += ranges - leaks.len() as u64;
        }
        if !self.incomplete {
            for page in std::mem::take(&mut self.manifest).into_keys() {
                // A named snapshot may need it (rule 37).
                if self.named.has_pinned(page) {
                    continue;
                }
                self.fault(Some(page), || "listed in the manifest, but nothing leads to it".into());
            }
        }
        self.tell_end();
    }
}
