//! The free space: ready list, queues and their log pages.
//!
//! Every extent is claimed like any page, so that nothing is free twice, or free and in use.

use super::layout::{self, header, log};
use super::meta::{Extent, FreeEntry, Meta, Queue};
use super::owners::PageKind;
use super::scan::{PageInfo, Scan, Step, Tree};
use crate::types::{PageId, TxnId};

/// Claims and proves all free space of the meta page, and its sum.
pub(super) fn free_space(scan: &mut Scan<'_>, meta: &Meta) {
    let before = std::mem::replace(&mut scan.incomplete, false);
    let mut total = 0u64;
    scan.push(Step::Meta);
    for (i, extent) in meta.ready.iter().enumerate() {
        scan.push(Step::Ready(i));
        claim_free(scan, *extent, PageKind::Ready, 0);
        total += extent.len;
        scan.pop();
    }
    scan.pop();
    for (i, queue) in meta.queues.iter().enumerate() {
        if scan.stopped {
            return;
        }
        scan.push(Step::Queue(i));
        let role = match i {
            0 => Role::Main,
            layout::POOL => Role::Pool,
            _ => Role::Side,
        };
        let mut walk = QueueWalk { scan, queue, role, last_death: 0, total: 0 };
        walk.all();
        total = total.saturating_add(walk.total);
        scan.pop();
    }
    if !scan.incomplete && total != meta.free_pages {
        scan.push(Step::Meta);
        let said = meta.free_pages;
        scan.fault(None, || format!("free_pages says {said}, the lists hold {total}"));
        scan.pop();
    }
    scan.incomplete |= before;
}

fn claim_free(scan: &mut Scan<'_>, extent: Extent, kind: PageKind, birth: u64) {
    if scan.claim(extent.start, extent.len, kind) {
        scan.show(&PageInfo {
            id: PageId(extent.start),
            pages: extent.len,
            kind,
            level: 0,
            tree: Tree::None,
            count: 0,
            used_bytes: 0,
            birth: TxnId(birth),
        });
    }
}

/// What a queue is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Main,
    Side,
    Pool,
}

struct QueueWalk<'s, 'a> {
    scan: &'s mut Scan<'a>,
    queue: &'s Queue,
    role: Role,
    last_death: u64,
    /// Pages in entries that have not been taken.
    total: u64,
}

impl QueueWalk<'_, '_> {
    fn all(&mut self) {
        let Queue { pin, head, tail, head_used, pages, inline } = self.queue;
        let (pin, txn) = (*pin, self.scan.txn);
        if self.role != Role::Side && pin != 0 {
            let name = if self.role == Role::Main { "main queue" } else { "pool" };
            self.scan.fault(None, || format!("the {name} is pinned by {pin}"));
        }
        if self.role == Role::Side && pin == 0 && (*pages > 0 || !inline.is_empty()) {
            self.scan.fault(None, || "entries in a queue that nothing pins".into());
        }
        if pin > txn {
            self.scan.fault(None, || format!("pinned by {pin}, the meta is of {txn}"));
        }
        let end = self.log_pages(*head, *pages, *head_used);
        if let Some(end) = end
            && end != *tail
        {
            self.scan.fault(None, || format!("the log ends at page {end}, its tail is {tail}"));
        }
        if *pages > 0 && *tail == 0 {
            self.scan.fault(None, || "written log pages, and none reserved as the next".into());
        }
        if *tail != 0 && self.scan.claim(*tail, 1, PageKind::Reserved) {
            self.scan.show(&PageInfo {
                id: PageId(*tail),
                pages: 1,
                kind: PageKind::Reserved,
                level: 0,
                tree: Tree::None,
                count: 0,
                used_bytes: 0,
                birth: TxnId::NONE,
            });
        }
        for (i, entry) in inline.iter().enumerate() {
            self.scan.push(Step::Inline(i));
            self.entry(None, entry, txn);
            self.scan.pop();
        }
    }

    /// Walks the written pages; answers the page that must be the tail, unless the way there is
    /// broken.
    fn log_pages(&mut self, head: u64, pages: u64, head_used: u64) -> Option<u64> {
        if pages == 0 && head_used != 0 {
            self.scan.fault(None, || format!("{head_used} entries taken from no page"));
        }
        let mut id = head;
        // Ends early at the first page that is not this log's own, so the count need not be
        // trusted.
        for n in 0..pages {
            if !self.scan.look() || !self.scan.claim(id, 1, PageKind::FreeLog) {
                return None;
            }
            self.scan.push(Step::Page(PageKind::FreeLog, id));
            let next = self.log_page(id, if n == 0 { head_used } else { 0 });
            self.scan.pop();
            id = next?;
        }
        Some(id)
    }

    /// Proves one log page and answers the next.
    fn log_page(&mut self, id: u64, used: u64) -> Option<u64> {
        let bytes = self.scan.read(id)?;
        let word = |f: layout::Field| f.get(&bytes, 0).unwrap_or(0);
        let (kind, level, count) = (word(header::KIND), word(header::LEVEL), word(header::COUNT));
        let need = log::ENTRIES.at as u64 + count * layout::FREE_SIZE as u64;
        if kind != layout::KIND_LOG
            || level != 0
            || count == 0
            || need > bytes.len() as u64
            || used > count
        {
            self.scan.cut_off(Some(id), || {
                format!("kind {kind}, level {level}, {count} entries, {used} of them taken")
            });
            return None;
        }
        for field in [header::HEAP_LEN, header::HEAP_DEAD, header::PREFIX_LEN, header::ZERO] {
            if !field.is_zero(&bytes, 0) {
                self.scan.fault(Some(id), || format!("{} is not zero in a log page", field.name));
            }
        }
        let birth = word(header::BIRTH);
        self.scan.born(id, 0, birth);
        self.scan.show(&PageInfo {
            id: PageId(id),
            pages: 1,
            kind: PageKind::FreeLog,
            level: 0,
            tree: Tree::None,
            count,
            used_bytes: need,
            birth: TxnId(birth),
        });
        for i in used..count {
            let at = log::ENTRIES.at + i as usize * layout::FREE_SIZE;
            if let Some(entry) = FreeEntry::read(&bytes, at) {
                self.scan.push(Step::Entry(i as usize));
                self.entry(Some(id), &entry, birth);
                self.scan.pop();
            }
        }
        Some(word(log::NEXT))
    }

    /// Proves one entry that stands in what transaction `written` wrote.
    fn entry(&mut self, page: Option<u64>, entry: &FreeEntry, written: u64) {
        let FreeEntry { extent, birth, death } = *entry;
        if self.role == Role::Pool {
            return self.map(page, entry);
        }
        claim_free(self.scan, extent, PageKind::Queued, birth);
        self.total = self.total.saturating_add(extent.len);
        if birth >= death || death > written {
            self.scan.fault(page, || {
                format!("born in {birth}, dead in {death}, noted in {written}: out of order")
            });
        }
        if self.role == Role::Main && death < self.last_death {
            let last = self.last_death;
            self.scan.fault(page, || format!("dead in {death}, after an entry dead in {last}"));
        }
        self.last_death = self.last_death.max(death);
        let is_pinned = self.scan.note_queued(extent, birth, death);
        self.scan.tick(if is_pinned { 0 } else { extent.len });
        self.scan.held.add(birth..death, extent.len);
    }

    /// Proves a map of free pages.
    fn map(&mut self, page: Option<u64>, entry: &FreeEntry) {
        let FreeEntry { extent: Extent { start, len }, birth: bits, death } = *entry;
        let groups = len == 1 || len > 1 && bits == u64::MAX;
        if death != 0 || bits == 0 || !groups || start % layout::GROUP != 0 {
            self.scan.cut_off(page, || {
                format!("no map of free pages: {len} groups at page {start}, bits {bits:x}, dead in {death}")
            });
            return;
        }
        for extent in entry.map_extents() {
            claim_free(self.scan, extent, PageKind::Pooled, 0);
            self.total = self.total.saturating_add(extent.len);
        }
    }
}
