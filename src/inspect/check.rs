//! The full check, and the walk and the figures that fall off it: one pass over everything that a
//! meta page reaches.
//!
//! What it proves: checksums of every page with a header and of every overflow run; structure,
//! order, fences and levels of every tree; counts of every descriptor; births; the manifest; queues
//! and extents of free space; that each page below the page count has exactly one owner; and that
//! what named snapshots see is there. What it reads, it reads once, whatever the number of
//! snapshots, but for the headers of pages, and for runs, that a snapshot shares with the newest
//! state: these twice. A page that is owned twice costs a second pass for the names of its owners.

use super::layout::{self, meta as m};
use super::named::{Held, Kinds};
use super::opening::{MetaChoice, OpenedMeta, open_meta};
use super::order::Compare;
use super::owners::PageKind;
use super::pages::Pages;
use super::report::{PagesHeld, Report, SlotState, TableStats};
use super::scan::{PageInfo, Scan, Step, Tree, Visit};
use super::{snapshots, space, tree};
use crate::error::Result;
use crate::types::{PageId, TxnId};
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

/// What to check, and how.
pub struct CheckOptions<'a> {
    /// The meta page to follow.
    pub meta: MetaChoice,
    /// Whether to read overflow runs and prove their checksums.
    pub verify_values: bool,
    /// Told the pages done and their number, now and then. A page that only named snapshots see is
    /// done once they have been walked.
    pub progress: Option<&'a mut dyn FnMut(u64, u64)>,
    /// Set to true by somebody else: the check ends soon, with what it has.
    pub cancelled: Option<&'a AtomicBool>,
    /// Functions of orders by their names ([`Order::Custom`](crate::Order::Custom)): of tables that
    /// have another one it is not proved that their keys are in order
    /// ([`Report::unproved_orders`]).
    pub orders: &'a [(&'a str, Compare)],
}

impl Default for CheckOptions<'_> {
    fn default() -> Self {
        CheckOptions {
            meta: MetaChoice::Newest,
            verify_values: true,
            progress: None,
            cancelled: None,
            orders: &[],
        }
    }
}

/// Checks a database from its meta page on.
///
/// Time in proportion to the file, and to the number of named snapshots. Memory: a byte per page,
/// and the names of the tables. Where there are named snapshots, also two bytes per page, about
/// 100 for each page and each run that their own pages lead to, 32 for each entry of the list of
/// free pages, and for each snapshot its entry. Never panics and always ends, whatever the bytes
/// say.
///
/// # Errors
/// Only if there is no meta page to follow, as [`open_meta`] says. Everything else is a fault in
/// the report.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("my.recto");
/// use recto::inspect::{CheckOptions, FilePages, check};
/// # drop(unsafe { recto::Database::open(&path)? });
///
/// // Without a look at values that lie on pages of their own.
/// let options = CheckOptions { verify_values: false, ..CheckOptions::default() };
/// let report = check(&FilePages::open(&path)?, options)?;
/// assert!(report.is_clean(), "{:?}", report.faults);
/// # Ok(()) }
/// ```
pub fn check(pages: &dyn Pages, options: CheckOptions<'_>) -> Result<Report> {
    let opened = open_meta(pages, &options.meta)?;
    let mut scan = Scan::new(pages, &opened.meta, options.verify_values);
    scan.progress = options.progress.map(|p| p as &mut dyn FnMut(u64, u64));
    scan.cancelled = options.cancelled;
    scan.functions = options.orders;
    Ok(inspect(scan, opened))
}

/// Calls `visit` for every page below the page count that has an owner, meta pages first, each tree
/// from its root down, free space last. Overflow runs and free extents come as one. Values are not
/// read. The report is that of a check without them; [`ControlFlow::Break`] ends the walk.
///
/// # Errors
/// As [`check`].
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("my.recto");
/// use recto::inspect::{FilePages, MetaChoice, walk};
/// use std::ops::ControlFlow;
/// # drop(unsafe { recto::Database::open(&path)? });
///
/// let mut pages = 0;
/// let report = walk(&FilePages::open(&path)?, &MetaChoice::Newest, &mut |page| {
///     pages += page.pages;
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!((pages, report.is_clean()), (report.meta.page_count, true));
/// # Ok(()) }
/// ```
pub fn walk(
    pages: &dyn Pages,
    meta: &MetaChoice,
    visit: &mut dyn FnMut(&PageInfo<'_>) -> ControlFlow<()>,
) -> Result<Report> {
    let opened = open_meta(pages, meta)?;
    let mut scan = Scan::new(pages, &opened.meta, false);
    scan.visit = Some(visit as Visit<'_>);
    Ok(inspect(scan, opened))
}

/// The figures of each table, counted. Values are not read.
///
/// # Errors
/// As [`check`].
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("my.recto");
/// # let db = unsafe { recto::Database::open(&path)? };
/// use recto::inspect::{FilePages, MetaChoice, stats};
/// let mut txn = db.write()?;
/// txn.open_table("main")?.put(b"key", b"value")?;
/// txn.commit()?;
/// let tables = stats(&FilePages::open(&path)?, &MetaChoice::Newest)?;
/// assert_eq!((tables[0].name.as_str(), tables[0].entries), ("main", 1));
/// # Ok(()) }
/// ```
pub fn stats(pages: &dyn Pages, meta: &MetaChoice) -> Result<Vec<TableStats>> {
    walk(pages, meta, &mut |_| ControlFlow::Continue(())).map(|report| report.tables)
}

/// For each of the snapshots, how many pages wait in the free-log queues that it can see: most of
/// them could be used again if nobody read it. Reads the free-log pages.
///
/// # Errors
/// As [`check`].
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("my.recto");
/// # let db = unsafe { recto::Database::open(&path)? };
/// use recto::inspect::{FilePages, MetaChoice, pages_held};
/// # for value in [b"old", b"new"] {
/// #     let mut txn = db.write()?;
/// #     txn.create_snapshot(std::str::from_utf8(value).unwrap())?;
/// #     txn.open_table("main")?.put(b"key", value)?;
/// #     txn.commit()?;
/// # }
/// # let mut txn = db.write()?;
/// # txn.open_table("main")?.put(b"key", b"newest")?;
/// # txn.commit()?;
///
/// let named: Vec<u64> = db.snapshots()?.iter().map(|snapshot| snapshot.id).collect();
/// let held = pages_held(&FilePages::open(&path)?, &MetaChoice::Newest, &named)?;
/// assert_eq!(held.len(), named.len());
/// # Ok(()) }
/// ```
pub fn pages_held(pages: &dyn Pages, meta: &MetaChoice, snapshots: &[u64]) -> Result<Vec<u64>> {
    Ok(pages_held_by(pages, meta, snapshots)?.each)
}

/// The same, and how many pages wait that at least one of them can see.
///
/// # Errors
/// As [`check`].
///
/// It costs as much as [`pages_held`].
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("my.recto");
/// # let db = unsafe { recto::Database::open(&path)? };
/// use recto::inspect::{FilePages, MetaChoice, pages_held_by};
/// # for value in [b"old", b"new"] {
/// #     let mut txn = db.write()?;
/// #     txn.create_snapshot(std::str::from_utf8(value).unwrap())?;
/// #     txn.open_table("main")?.put(b"key", value)?;
/// #     txn.commit()?;
/// # }
/// # let mut txn = db.write()?;
/// # txn.open_table("main")?.put(b"key", b"newest")?;
/// # txn.commit()?;
///
/// let named: Vec<u64> = db.snapshots()?.iter().map(|snapshot| snapshot.id).collect();
/// let held = pages_held_by(&FilePages::open(&path)?, &MetaChoice::Newest, &named)?;
/// assert!(held.any <= held.each.iter().sum());
/// # Ok(()) }
/// ```
pub fn pages_held_by(pages: &dyn Pages, meta: &MetaChoice, snapshots: &[u64]) -> Result<PagesHeld> {
    let opened = open_meta(pages, meta)?;
    let mut scan = Scan::new(pages, &opened.meta, false);
    scan.held = Held::of(snapshots);
    space::free_space(&mut scan, &opened.meta);
    Ok(PagesHeld { each: scan.held.sums(snapshots), any: scan.held.any() })
}

fn inspect(mut scan: Scan<'_>, opened: OpenedMeta) -> Report {
    let (catalog, tables) = everything(&mut scan, &opened);
    if !scan.conflicts.is_empty() && !scan.stopped {
        name_owners(&mut scan, &opened);
    }
    let meta = &opened.meta;
    Report {
        unused_tail_bytes: scan.pages.len().saturating_sub(meta.page_count * meta.page_size as u64),
        meta: opened.summary,
        slots: opened.slots,
        faults: scan.faults,
        fault_count: scan.fault_count,
        pages: scan.counts,
        catalog,
        tables,
        snapshots: scan.named.ids.len() as u64,
        snapshot_pages: scan.named.pages,
        unproved_orders: scan.unproved_orders.into_iter().collect(),
        cancelled: scan.stopped,
    }
}

fn everything(scan: &mut Scan<'_>, opened: &OpenedMeta) -> (TableStats, Vec<TableStats>) {
    scan.within(Step::Meta, |scan| meta_pages(scan, opened));
    let descriptor = m::CATALOG.slice(&opened.meta.bytes[..], 0).unwrap_or_default();
    if opened.meta.system().is_some() {
        scan.named.kinds = Kinds::of(scan.page_count);
    }
    let (catalog, listed) = tree::catalog(scan, descriptor);
    let mut tables = Vec::new();
    for table in listed {
        if scan.stopped {
            break;
        }
        tables.push(tree::table(scan, table));
    }
    let snapshots = snapshots::listed(scan, &opened.meta);
    if !scan.stopped {
        space::free_space(scan, &opened.meta);
    }
    snapshots::all(scan, snapshots);
    scan.finish();
    (catalog, tables)
}

/// What can be proved about the two meta pages themselves.
fn meta_pages(scan: &mut Scan<'_>, opened: &OpenedMeta) {
    let meta = &opened.meta;
    scan.claim(0, 2, PageKind::Meta);
    for (id, slot) in [0u64, 1].into_iter().zip(&opened.slots) {
        scan.show(&PageInfo {
            id: PageId(id),
            pages: 1,
            kind: PageKind::Meta,
            level: 0,
            tree: Tree::None,
            count: 0,
            used_bytes: layout::META_SIZE as u64,
            birth: if let SlotState::Valid(txn) = slot { *txn } else { TxnId::NONE },
        });
        if matches!(slot, SlotState::Valid(_) | SlotState::Empty) {
            rest_of_meta_page(scan, id);
        }
    }
    let page = meta.slot.map(u64::from);
    // What a feature keeps there is its own.
    let reserved = [m::ZERO_A, m::ZERO_B, m::REDO_LOG, m::ZERO_C, m::SYSTEM];
    let reserved = match (meta.has_unknown_features(), meta.system()) {
        (true, _) => &reserved[..0],
        (_, Some(_)) => &reserved[..4],
        _ => &reserved[..],
    };
    for field in reserved {
        if !field.is_zero(&meta.bytes[..], 0) {
            scan.fault(page, || format!("bytes {}..{} are not zero", field.at, field.end()));
        }
    }
    if meta.bytes[meta.body_end..].iter().any(|&x| x != 0) {
        scan.fault(page, || "the body does not end in zeros".into());
    }
    if let Some(why) = &opened.manifest_fault {
        scan.fault(page, || why.clone());
    }
    if let Some(why) = opened.contradiction {
        scan.fault(page, || why.into());
    }
    let mut listed: Vec<u64> = meta.manifest.iter().map(|l| l.page).collect();
    listed.sort_unstable();
    for pair in listed.windows(2).filter(|p| p[0] == p[1]) {
        scan.fault(page, || format!("the manifest lists page {} twice", pair[0]));
    }
}

fn rest_of_meta_page(scan: &mut Scan<'_>, id: u64) {
    let len = scan.page_size - layout::META_SIZE;
    let at = id * scan.page_size as u64 + layout::META_SIZE as u64;
    match scan.pages.read(at, len) {
        Ok(b) if b.iter().all(|&x| x == 0) => {}
        Ok(_) => scan.fault(Some(id), || "bytes behind the meta are not zero".into()),
        Err(e) => scan.fault(Some(id), || format!("cannot be read: {e}")),
    }
}

/// Walks again and puts the names of both owners into the faults about pages that are owned twice.
fn name_owners(scan: &mut Scan<'_>, opened: &OpenedMeta) {
    let mut second = Scan::new(scan.pages, &opened.meta, false);
    second.cancelled = scan.cancelled;
    second.functions = scan.functions;
    second.watch(scan.conflicts.iter().map(|c| c.1));
    everything(&mut second, opened);
    let names = second.into_owner_names();
    for (fault, page) in &scan.conflicts {
        if let (Some(fault), Some(names)) = (scan.faults.get_mut(*fault), names.get(page)) {
            fault.what.push_str(": ");
            fault.what.push_str(&names.join("; "));
        }
    }
}
