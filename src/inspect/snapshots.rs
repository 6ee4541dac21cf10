//! Named snapshots: what the system tree lists, and that each page of their trees is still there.
//!
//! A page that a snapshot sees is one of the trees of the meta page, unchanged, or free with an
//! interval that the snapshot lies in. What the snapshot shares with the trees has been proved with
//! them; the rest is walked like a tree, once for each snapshot.

use super::layout::{self, header, snapshot as s};
use super::meta::{Extent, Meta};
use super::named::Current;
use super::owners::PageKind;
use super::scan::{Scan, Step};
use super::tree;
use std::collections::HashSet;
use std::ops::Range;

/// A named snapshot as the system tree lists it.
pub(super) struct Listed {
    name: String,
    txn: u64,
    catalog: Vec<u8>,
}

impl Scan<'_> {
    /// Takes note of a free entry.
    pub fn note_queued(&mut self, extent: Extent, birth: u64, death: u64) {
        if !self.named.ids.is_empty() {
            self.named.queued.push((extent.start, extent.len, birth, death));
        }
    }

    /// Pages of the snapshot being walked. True if they are to be walked: nobody else has them, or
    /// they have no header to tell their birth.
    pub fn find_in_snapshot(&mut self, pages: Range<u64>, kind: PageKind) -> bool {
        let owner = self.owners.owner(pages.start);
        let shared =
            owner == Some(kind) && pages.clone().all(|page| self.owners.owner(page) == owner);
        let Some(current) = &mut self.named.current else { return false };
        let txn = current.txn;
        if shared && kind == PageKind::Overflow {
            return true;
        }
        if shared {
            let at = pages.start * self.page_size as u64;
            let bytes = self.pages.read(at, header::BIRTH.end());
            let birth = bytes.ok().and_then(|b| header::BIRTH.get(&b, 0)).unwrap_or(u64::MAX);
            if birth > txn {
                self.fault(Some(pages.start), || {
                    format!("in use again: born in {birth}, the snapshot is of {txn}")
                });
            }
            return false;
        }
        let twice = pages.clone().any(|page| !current.seen.insert(page));
        if twice {
            self.fault(Some(pages.start), || "the snapshot has the page twice".into());
            return false;
        }
        for page in pages {
            let interval = self.named.interval(page);
            if interval.as_ref().is_some_and(|interval| interval.contains(&txn)) {
                continue;
            }
            let owner = self.owners.owner(page);
            self.fault(Some(page), || {
                let now = match (interval, owner) {
                    (Some(free), _) => format!("free for all but {} to {}", free.start, free.end),
                    (None, Some(owner)) => format!("in use as {}", owner.words()),
                    (None, None) => "nobody's".into(),
                };
                format!("a {} of the snapshot, of {txn}, is {now}", kind.words())
            });
            return false;
        }
        true
    }
}

/// Proves the system tree of a meta page, and says what it lists.
pub(super) fn listed(scan: &mut Scan<'_>, meta: &Meta) -> Vec<Listed> {
    let Some(system) = meta.system().filter(|_| !scan.stopped) else { return Vec::new() };
    let mut list = Vec::new();
    let pairs = tree::system(scan, system);
    scan.push(Step::System);
    for (key, value) in pairs {
        match entry(&key, &value, meta.txn) {
            Ok(listed) => list.extend(listed),
            Err(what) => scan.fault(None, || what),
        }
    }
    scan.pop();
    scan.named.ids = list.iter().map(|listed| listed.txn).collect();
    list
}

/// One entry; None if it is of a snapshot that was dropped, whose pages may be gone.
fn entry(key: &[u8], value: &[u8], meta_txn: u64) -> Result<Option<Listed>, String> {
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
    if was_dropped {
        return Ok(None);
    }
    let text = std::str::from_utf8(name).ok();
    let text = text.filter(|text| (1..=layout::MAX_SNAPSHOT_NAME).contains(&text.len()));
    let Some(name) = text else {
        return Err(format!("the name {} of a snapshot", name.escape_ascii()));
    };
    let catalog = s::CATALOG.slice(value, 0).unwrap_or_default().to_vec();
    Ok(Some(Listed { name: name.to_owned(), txn, catalog }))
}

/// Proves that everything that the snapshots see is there.
pub(super) fn all(scan: &mut Scan<'_>, list: Vec<Listed>) {
    scan.named.queued.sort_unstable();
    for Listed { name, txn, catalog } in list {
        if !scan.look() || scan.is_second() {
            return;
        }
        // Nothing leads to its pages but this.
        let before = scan.incomplete;
        scan.named.current = Some(Current { txn, seen: HashSet::new() });
        scan.within(Step::Snapshot(name), |scan| {
            let (_, tables) = tree::catalog_of(scan, &catalog, txn);
            for table in tables {
                if scan.look() {
                    tree::table(scan, table);
                }
            }
        });
        scan.named.current = None;
        scan.incomplete = before;
    }
}
