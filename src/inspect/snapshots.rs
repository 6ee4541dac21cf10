//! Named snapshots: what the system tree lists, and that each page of their trees is still there.
//!
//! A page that a snapshot sees is one of the trees of the meta page, unchanged, or free with an
//! interval that the snapshot lies in. What the snapshot shares with the trees has been proved with
//! them. The rest is walked like a tree, once for all snapshots that it is the same for (`named`).

use super::layout::{self, header, snapshot as s};
use super::meta::{Extent, Meta};
use super::named::{Current, Known, Outer, Pass, Proof};
use super::owners::PageKind;
use super::scan::{Scan, Step};
use super::tree;
use std::hash::Hash;
use std::ops::Range;

/// A named snapshot as the system tree lists it.
pub(super) struct Listed {
    name: String,
    txn: u64,
    catalog: Vec<u8>,
}

/// A page of a snapshot that is being walked.
pub(super) struct Walked {
    outer: Outer,
    context: u64,
    faults: u64,
}

impl Scan<'_> {
    /// Takes note of a free entry. True if a named snapshot sees its pages.
    pub fn note_queued(&mut self, extent: Extent, birth: u64, death: u64) -> bool {
        if self.named.ids.is_empty() {
            return false;
        }
        self.named.queued.push((extent.start, extent.len, birth, death));
        let is_pinned = self.named.has_one_in(&(birth..death));
        if is_pinned {
            self.named.pages = self.named.pages.saturating_add(extent.len);
        }
        is_pinned
    }

    /// Pages of the snapshot being walked. True if they are to be walked, or passed: nobody else
    /// has them, or they have no header to tell their birth.
    pub fn find_in_snapshot(&mut self, pages: Range<u64>, kind: PageKind) -> bool {
        let Some(txn) = self.named.current.as_ref().map(|current| current.txn) else {
            return false;
        };
        let proof = match self.named.known(&pages) {
            Known::This(proof) if proof.is_shared && proof.kind != kind => {
                self.is_gone(pages.start, kind, txn);
                return false;
            }
            Known::This(proof) => proof,
            Known::Other(start, len, other) => {
                return self.is_other(pages.start, kind, (start, len, other));
            }
            Known::Nothing => match self.meet(&pages, kind, txn) {
                Some(proof) => proof,
                None => return false,
            },
        };
        if proof.is_shared {
            self.named.mark(pages.start);
            if proof.birth > txn {
                let birth = proof.birth;
                self.fault(Some(pages.start), || {
                    format!("in use again: born in {birth}, the snapshot is of {txn}")
                });
            }
            return kind == PageKind::Overflow;
        }
        if let Some(other) = self.named.led_by(&proof) {
            self.fault(Some(pages.start), || {
                format!("the snapshot has the page twice: page {other} leads to it, too")
            });
            return false;
        }
        if proof.death <= txn {
            // It was there for an older one: looked at again, to say which page is gone.
            self.named.forget(pages.start);
            self.meet(&pages, kind, txn);
            return false;
        }
        self.named.mark(pages.start);
        true
    }

    /// Pages that no snapshot has led to before: whether they are there for this one.
    fn meet(&mut self, pages: &Range<u64>, kind: PageKind, txn: u64) -> Option<Proof> {
        let len = pages.end - pages.start;
        if !self.may_walk(pages.start, len) {
            return None;
        }
        let owner = self.owners.owner(pages.start);
        let is_shared =
            owner == Some(kind) && pages.clone().all(|page| self.owners.owner(page) == owner);
        let mut death = u64::MAX;
        for page in pages.clone().filter(|_| !is_shared) {
            match self.named.interval(page).filter(|interval| interval.contains(&txn)) {
                Some(interval) => death = death.min(interval.end),
                None => {
                    self.named.meet(pages.start, len, kind, false, 0);
                    self.named.mark(pages.start);
                    self.is_gone(page, kind, txn);
                    return None;
                }
            }
        }
        self.named.meet(pages.start, len, kind, is_shared, death);
        if !is_shared {
            self.tick(len);
        } else if kind != PageKind::Overflow {
            let at = pages.start * self.page_size as u64;
            let bytes = self.pages.read(at, header::BIRTH.end());
            let birth = bytes.ok().and_then(|b| header::BIRTH.get(&b, 0)).unwrap_or(u64::MAX);
            self.named.note_birth(pages.start, birth);
        }
        match self.named.known(pages) {
            Known::This(proof) => Some(proof),
            _ => None,
        }
    }

    fn is_gone(&mut self, page: u64, kind: PageKind, txn: u64) {
        let (interval, owner) = (self.named.interval(page), self.owners.owner(page));
        self.fault(Some(page), || {
            let now = match (interval, owner) {
                (Some(free), _) => format!("free for all but {} to {}", free.start, free.end),
                (None, Some(owner)) => format!("in use as {}", owner.words()),
                (None, None) => "nobody's".into(),
            };
            format!("a {} of the snapshot, of {txn}, is {now}", kind.words())
        });
    }

    /// What stays for a snapshot stays what it is.
    fn is_other(&mut self, page: u64, kind: PageKind, other: (u64, u64, PageKind)) -> bool {
        let (start, len, is) = other;
        self.fault(Some(page), || {
            format!(
                "a {} of the snapshot, and in a {} of {len} page(s) at page {start}, of it or an older one",
                kind.words(),
                is.words()
            )
        });
        false
    }

    fn may_walk(&mut self, page: u64, len: u64) -> bool {
        let may = self.named.spend(len);
        if !may {
            self.fault(Some(page), || "not looked at: snapshots lead to too many pages".into());
        }
        may
    }

    /// Begins to walk a page, or run, that has been claimed. None if that need not be: it has been
    /// walked for an older snapshot. `context` is what it is expected to be, `ceiling` the birth of
    /// what leads here.
    pub fn enter_of_snapshot(
        &mut self,
        page: u64,
        len: u64,
        context: impl Hash,
        ceiling: u64,
    ) -> Option<Walked> {
        let context = self.named.context(context);
        match self.named.pass(page, context, ceiling) {
            Pass::Sound => return None,
            Pass::Unsound => {
                let what = "what is here was not sound for an older snapshot, and is the same";
                self.fault(Some(page), || what.into());
                return None;
            }
            Pass::No => {}
        }
        let faults = self.fault_count;
        let walked = |scan: &mut Self| Walked { outer: scan.named.enter(page), context, faults };
        self.may_walk(page, len).then(|| walked(self))
    }

    /// The page and all below it have been walked.
    pub fn leave_of_snapshot(&mut self, page: u64, walked: Walked) {
        let is_sound = self.fault_count == walked.faults;
        self.named.leave(page, walked.outer, walked.context, is_sound);
    }
}

/// Proves the system tree of a meta page, and says what it lists.
pub(super) fn listed(scan: &mut Scan<'_>, meta: &Meta) -> Vec<Listed> {
    let Some(system) = meta.system().filter(|_| !scan.stopped) else { return Vec::new() };
    let mut list = Vec::new();
    let pairs = tree::system(scan, system);
    scan.push(Step::System);
    for (key, value) in pairs {
        let found = entry(scan, &key, &value, meta.txn);
        match found {
            Ok(listed) => list.extend(listed),
            Err(what) => scan.fault(None, || what),
        }
    }
    scan.pop();
    let ids = list.iter().map(|listed| listed.txn).collect();
    scan.named.begin(ids, scan.page_count);
    list.sort_by_key(|listed| listed.txn);
    list
}

/// One entry; None if it is of a snapshot that was dropped, whose pages may be gone.
fn entry(
    scan: &Scan<'_>,
    key: &[u8],
    value: &[u8],
    meta_txn: u64,
) -> Result<Option<Listed>, String> {
    let [layout::SNAPSHOT_FAMILY, name @ ..] = key else {
        return Err(format!("a key that is nobody's: {}", key.escape_ascii()));
    };
    if value.len() != layout::SNAPSHOT_SIZE {
        return Err(format!("a named snapshot of {} bytes", value.len()));
    }
    let word = |field: layout::Field| field.get(value, 0).unwrap_or(0);
    let (txn, created, dropped) = (word(s::TXN), word(s::CREATED), word(s::DROPPED));
    let in_order = 0 < txn && txn < created && created <= meta_txn;
    let was_dropped = name.first() == Some(&layout::SNAPSHOT_DROPPED);
    let fits = match was_dropped {
        true => {
            let ids = [dropped, txn].map(u64::to_be_bytes).concat();
            created < dropped && dropped <= meta_txn && name[1..] == ids
        }
        false => dropped == 0,
    };
    if !in_order || !fits {
        return Err(format!("a snapshot of {txn}, named in {created}, dropped in {dropped}"));
    }
    let catalog = s::CATALOG.slice(value, 0).unwrap_or_default();
    if was_dropped {
        return tree::unwalked_catalog(scan, catalog).map(|()| None);
    }
    let text = std::str::from_utf8(name).ok();
    let text = text.filter(|text| (1..=layout::MAX_SNAPSHOT_NAME).contains(&text.len()));
    let Some(name) = text else {
        return Err(format!("the name {} of a snapshot", name.escape_ascii()));
    };
    Ok(Some(Listed { name: name.to_owned(), txn, catalog: catalog.to_vec() }))
}

/// Proves that everything that the snapshots see is there. They come from the oldest on.
pub(super) fn all(scan: &mut Scan<'_>, list: Vec<Listed>) {
    scan.named.queued.sort_unstable();
    // 0 is of what none has met.
    for (index, Listed { name, txn, catalog }) in (1..).zip(list) {
        if !scan.look() || scan.is_second() {
            return;
        }
        // Nothing leads to its pages but this.
        let before = scan.incomplete;
        scan.named.current = Some(Current { txn, index, parent: 0, until: u64::MAX });
        scan.within(Step::Snapshot(name), |scan| {
            let (_, tables) = tree::catalog_of(scan, &catalog, txn);
            for table in tables {
                if scan.look() {
                    table_of(scan, txn, index, table);
                }
            }
        });
        scan.named.current = None;
        scan.incomplete = before;
    }
}

/// A table that a leaf of the catalog lists which has been walked.
fn table_of(scan: &mut Scan<'_>, txn: u64, index: u32, table: tree::Listed) {
    let (leaf, faults) = (table.leaf, scan.fault_count);
    scan.named.current = Some(Current { txn, index, parent: leaf, until: u64::MAX });
    tree::table(scan, table);
    let until = scan.named.current.as_ref().map_or(0, |current| current.until);
    scan.named.join(leaf, until, scan.fault_count == faults);
}
