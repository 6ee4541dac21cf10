//! The state of the model: transactions, what the page cache and the disk hold, the words in shared
//! memory, and who is at which step.
//!
//! Contents are *ghosts*: number 1 is the first transaction, 2 the next one that was begun, and so
//! on, whatever ids they bear. Ghost 0 in a cell is anything torn or never written. All fields are
//! bytes, so that a state can be hashed as it lies in memory.

use crate::config::Config;
use bytemuck::{Pod, Zeroable, bytes_of};

/// Pages of the tree that every transaction sees.
pub const TREE: usize = if cfg!(feature = "three") { 3 } else { 2 };
/// Pages of the file behind the two slots.
pub const PAGES: usize = 8;
/// Ghosts 0 to 7.
pub const GHOSTS: usize = 8;
/// Cells: the pages, then the slots.
pub const CELLS: usize = PAGES + 2;

/// A transaction as its meta describes it.
#[derive(Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Txn {
    pub id: u8,
    /// Itself and all that it was built on, by ghost.
    pub ancestors: u8,
    pub deferred: u8,
    /// 0 no meta yet, 1 sealed (`manifest` counts), 2 two-phase.
    pub mode: u8,
    /// Page count.
    pub high: u8,
    /// Larger than the list of pages: no record of what it wrote.
    pub unlisted: u8,
    /// No id above it is used before a meta with a greater one is durable. 0: not modelled.
    pub id_limit: u8,
    /// The page reserved for the next free-log page, and the free-log page; `PAGES` for none.
    pub tail: u8,
    pub log: u8,
    /// Who wrote the free-log page.
    pub log_writer: u8,
    /// Free pages that were free-log pages, as a set: no reader ever sees them as such.
    pub was_log: u8,
    /// Where each page of the tree is, and who wrote it.
    pub page: [u8; TREE],
    pub writer: [u8; TREE],
    /// Ids of birth and death of each page, as the free log has them; 0 and 0: never used.
    pub birth: [u8; PAGES],
    pub death: [u8; PAGES],
    /// Ghost that each page must hold; 0: not listed.
    pub manifest: [u8; PAGES],
    /// The snapshot that has a name, and the one that was dropped.
    pub named: Named,
    pub dropped: Named,
}

/// A named snapshot. All zero: there is none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Named {
    /// Id of the snapshot, of the transaction that named it, of the one that dropped it.
    pub id: u8,
    pub created: u8,
    pub dropped: u8,
    /// Where its pages are, and who wrote them.
    pub page: [u8; TREE],
    pub writer: [u8; TREE],
}

impl Named {
    /// Its pages, and who wrote each.
    pub fn pages(self) -> impl Iterator<Item = (u8, u8)> {
        let there = self.id != 0;
        (0..TREE).filter(move |_| there).map(move |i| (self.page[i], self.writer[i]))
    }
}

/// A page or a slot.
#[derive(Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Cell {
    /// What the page cache shows.
    pub cache: u8,
    /// What the disk may hold, as a set of ghosts.
    pub disk: u8,
    /// The same, counted from the begin of the sync that runs.
    pub since: u8,
    /// `DIRTY`, `SYNCING`.
    pub flags: u8,
}

pub const DIRTY: u8 = 1;
pub const SYNCING: u8 = 2;

/// The words in the lock file.
#[derive(Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Words {
    /// There is a lock file that may be believed.
    pub valid: u8,
    /// Newest built, visible, durable; the slot of the durable one; the flush target.
    pub newest: u8,
    pub visible: u8,
    pub durable: u8,
    pub durable_slot: u8,
    pub flushing: u8,
    /// `REPAIR`, `SYNC_FAILED`.
    pub suspect: u8,
    pub last_id: u8,
    /// Highest page count ever built.
    pub high: u8,
    /// The flush target, once its sync has succeeded and before it is shown (rule 13). Only where
    /// transactions may be unlisted: others can be proved again.
    pub synced: u8,
    /// Newest ghost whose records stand in the list of pages.
    pub list: u8,
    /// The next who opens is the first.
    pub first: u8,
}

/// `State::writer`: it has built what the list does not name, and waits for its flush.
pub const WAITS: u8 = 2;

pub const REPAIR: u8 = 1;
pub const SYNC_FAILED: u8 = 2;

/// Everything.
#[derive(Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct State {
    pub txn: [Txn; GHOSTS],
    pub cell: [Cell; CELLS],
    /// Ids by ghost, kept when the transaction is forgotten: pages bear them.
    pub id: [u8; GHOSTS],
    pub ghosts: u8,
    /// Length of the file in pages; lengths that the disk may have, as bits of length - 1.
    pub size: u8,
    pub disk_size: u8,
    pub size_since: u8,

    pub words: Words,
    /// The lock file as it was at some moment: an older image on its disk, or one at another path.
    pub saved: Words,

    /// Writer: 0 none, 10 to 13 collecting what is protected, 20 about to allocate, 1 has
    /// allocated, `WAITS`.
    pub writer: u8,
    pub protected: u8,
    pub building: u8,
    pub rewrites: u8,
    /// Of these, the pages that are in the page cache already.
    pub spilled: u8,
    /// The reserved page is written too.
    pub spills_log: u8,
    /// Reader: 0 none, 1 to 3 its steps; where it stands.
    pub reader_step: u8,
    pub reader: u8,
    /// Leader of a flush: its step, its target, what the slot held before.
    pub leader: u8,
    pub target: u8,
    pub before: u8,
    /// Opening or repair: its step, its target, the slot of that, the last id it knows.
    pub opening: u8,
    pub chosen: u8,
    pub chosen_slot: u8,
    pub known_id: u8,

    /// A second handle: 0 closed, else 1 + the last id that may have been written before it was
    /// opened.
    pub second: u8,
    /// The second handle leads the flush.
    pub second_leads: u8,
    /// A failed write-back that the first handle, or the second, will be told of; bit 2: somebody
    /// has been told.
    pub error: u8,

    /// Where transactions copy pages: a write-back has failed of which who asks is told; the base
    /// of the one that is built was durable when it began; ghosts that hold copies of what came
    /// back from the disk.
    pub unasked: u8,
    pub base_durable: u8,
    pub tainted: u8,

    /// Booted again: the page cache is the disk.
    pub booted: u8,
    /// Last ghost acknowledged as durable.
    pub acked: u8,
    /// Ghosts that may not come back.
    pub refused: u8,
    /// Something was lost by a failing device, not by a death.
    pub io: u8,
    /// Ghosts, and ids, that were visible once.
    pub shown: u8,
    pub shown_ids: [u8; 4],

    /// What may still happen.
    pub cuts: u8,
    pub kills: u8,
    pub fails: u8,
    pub evicts: u8,
    pub lock_losses: u8,
    pub reads: u8,
    pub saves: u8,
    pub closes: u8,
}

pub const TOLD_FIRST: u8 = 1;
pub const TOLD_SECOND: u8 = 2;
pub const SEEN: u8 = 4;

impl State {
    /// One transaction on the disk, the database open.
    pub fn begin(c: &Config) -> State {
        let mut s = State::zeroed();
        let mut first = Txn { id: 1, ancestors: 2, mode: 2, high: TREE as u8, ..Txn::zeroed() };
        (first.tail, first.log) = (PAGES as u8, PAGES as u8);
        for i in 0..TREE {
            (first.page[i], first.writer[i], first.birth[i]) = (i as u8, 1, 1);
        }
        if c.log {
            (first.tail, first.high) = (TREE as u8, TREE as u8 + 1);
            first.birth[TREE] = 1;
        }
        if c.id_limit > 0 {
            first.id_limit = 1 + c.id_limit;
        }
        s.txn[1] = first;
        (s.id[1], s.ghosts) = (1, 1);
        for (i, cell) in s.cell.iter_mut().enumerate() {
            let ghost = u8::from(!(TREE..PAGES).contains(&i));
            *cell = Cell { cache: ghost, disk: 1 << ghost, ..Cell::default() };
        }
        (s.size, s.disk_size) = (c.size, 1 << (c.size - 1));
        let ids = Words { valid: 1, newest: 1, visible: 1, durable: 1, ..Words::zeroed() };
        s.words = Words { last_id: 1, high: first.high, list: 1, ..ids };
        (s.acked, s.shown, s.shown_ids[0]) = (1, 2, 2);
        (s.cuts, s.kills, s.fails, s.evicts) = (c.cuts, c.kills, c.fails, c.evicts);
        (s.lock_losses, s.reads, s.saves) = (c.lock_losses, c.reader, c.saves);
        s.closes = c.closes;
        s
    }

    pub fn txn(&self, ghost: u8) -> &Txn {
        &self.txn[usize::from(ghost)]
    }

    pub fn cache(&self, cell: usize) -> u8 {
        self.cell[cell].cache
    }

    /// The slot that does not hold the durable transaction.
    pub fn other_slot(&self) -> usize {
        PAGES + (1 - usize::from(self.words.durable_slot))
    }

    /// Whether `ghost` was built on `ancestor`, or is it.
    pub fn is_built_on(&self, ghost: u8, ancestor: u8) -> bool {
        ancestor == 0 || self.txn(ghost).ancestors & 1 << ancestor != 0
    }

    /// Logical pages of the tree of `ghost` that were born after `durable`.
    pub fn pages_since(&self, ghost: u8, durable: u8) -> impl Iterator<Item = usize> + use<> {
        let (t, id) = (*self.txn(ghost), self.txn(durable).id);
        (0..TREE).filter(move |&i| t.birth[usize::from(t.page[i])] > id)
    }

    /// Pages, and who wrote each, that were born after `durable` and that only a named snapshot of
    /// `ghost` sees.
    pub fn named_since(&self, ghost: u8, durable: u8) -> impl Iterator<Item = (u8, u8)> + use<> {
        let (t, id, ids) = (*self.txn(ghost), self.txn(durable).id, self.id);
        let only = move |page: u8| !t.page.contains(&page);
        t.named.pages().filter(move |&(page, writer)| only(page) && ids[usize::from(writer)] > id)
    }

    /// Everybody is gone.
    pub fn end_processes(&mut self) {
        (self.writer, self.protected, self.building, self.rewrites) = (0, 0, 0, 0);
        (self.spilled, self.spills_log) = (0, 0);
        (self.leader, self.target, self.before, self.second_leads) = (0, 0, 0, 0);
        (self.opening, self.chosen, self.chosen_slot, self.known_id) = (0, 0, 0, 0);
        (self.reader, self.reader_step, self.second, self.error) = (0, 0, 0, 0);
        (self.unasked, self.base_durable) = (0, 0);
    }

    /// The writer gives up what it was building.
    pub fn end_writer(&mut self) {
        (self.writer, self.protected, self.building, self.rewrites) = (0, 0, 0, 0);
        (self.spilled, self.spills_log, self.base_durable) = (0, 0, 0);
    }

    /// A flush or a repair has ended: whoever waits for its outcome knows it.
    pub fn flush_ended(&mut self) {
        if self.writer == WAITS {
            self.end_writer();
        }
    }

    /// A snapshot becomes visible. What is wrong, if that id was shown for another one before.
    pub fn show(&mut self, c: &Config, ghost: u8) -> Option<String> {
        self.words.visible = ghost;
        let id = self.txn(ghost).id;
        if c.id_limit == 0 || self.shown & 1 << ghost != 0 {
            return None;
        }
        let ids = &mut self.shown_ids[usize::from(id / 8)];
        let twice = *ids & 1 << (id % 8) != 0;
        *ids |= 1 << (id % 8);
        self.shown |= 1 << ghost;
        twice.then(|| format!("g{ghost} is shown under id {id}, as another one was before"))
    }

    /// Forgets what can make no difference any more, so that equal states look equal.
    pub fn canonical(&mut self, c: &Config) {
        for cell in &mut self.cell {
            if cell.flags & SYNCING == 0 {
                cell.since = 0;
            }
        }
        let mut named = self.protected;
        for slot in PAGES..CELLS {
            named |= self.cell[slot].disk | 1 << self.cell[slot].cache;
        }
        for w in [&self.words, &self.saved] {
            named |=
                1 << w.newest | 1 << w.visible | 1 << w.durable | 1 << w.flushing | 1 << w.list;
        }
        for ghost in [self.reader, self.building, self.target, self.before, self.chosen] {
            named |= 1 << ghost;
        }
        named &= !1;
        let mut keep = named;
        for page in 0..PAGES {
            let relevant = self.relevant(c, page, named);
            keep |= self.wanted(page, named) & !1;
            keep |= relevant & (self.cell[page].disk | 1 << self.cell[page].cache) & !1;
            let cell = &mut self.cell[page];
            if cell.cache != 0 && relevant & 1 << cell.cache == 0 {
                cell.cache = 0;
            }
            let fold = |set: u8| {
                let left = set & relevant & !1;
                if set & !(relevant & !1) != 0 { left | 1 } else { left }
            };
            (cell.disk, cell.since) = (fold(cell.disk), fold(cell.since));
        }
        for ghost in 1..GHOSTS {
            if named & 1 << ghost == 0 {
                self.txn[ghost] = Txn::zeroed();
            } else {
                self.txn[ghost].ancestors &= named | 1 << self.acked;
            }
            if keep & 1 << ghost == 0 {
                self.id[ghost] = 0;
            }
        }
        self.refused &= named;
        self.shown &= named;
        self.tainted &= named;
    }

    /// Ghosts that a named transaction wants to find in a page.
    fn wanted(&self, page: usize, named: u8) -> u8 {
        let mut set = 0;
        for t in (1..GHOSTS).filter(|g| named & 1 << g != 0).map(|g| &self.txn[g]) {
            if t.manifest[page] != 0 {
                set |= 1 << t.manifest[page];
            }
            for i in (0..TREE).filter(|&i| usize::from(t.page[i]) == page) {
                set |= 1 << t.writer[i];
            }
            if usize::from(t.log) == page && t.log_writer != 0 {
                set |= 1 << t.log_writer;
            }
            for (_, writer) in t.named.pages().filter(|(at, _)| usize::from(*at) == page) {
                set |= 1 << writer;
            }
            for (_, writer) in t.dropped.pages().filter(|(at, _)| usize::from(*at) == page) {
                set |= 1 << writer;
            }
        }
        set
    }

    /// These, and all whose bytes are the same.
    fn relevant(&self, c: &Config, page: usize, named: u8) -> u8 {
        let wanted = self.wanted(page, named);
        let mut all = wanted;
        for g in (1..GHOSTS as u8).filter(|g| wanted & 1 << g == 0) {
            let bytes = self.bytes_of(c, g);
            let same = |h: &u8| wanted & 1 << *h != 0 && self.bytes_of(c, *h) == bytes;
            if bytes != 0 && (1..GHOSTS as u8).any(|h| same(&h)) {
                all |= 1 << g;
            }
        }
        all
    }

    /// What tells the bytes that a ghost has written to a page from those of others: its id, unless
    /// pages bear none.
    pub fn bytes_of(&self, c: &Config, ghost: u8) -> u8 {
        match ghost {
            0 => 0,
            _ if c.no_birth => 1,
            _ => self.id[usize::from(ghost)],
        }
    }

    /// A hash of 64 bits. Two states with the same one count as one.
    pub fn hash(&self) -> u64 {
        let (mut a, mut b) = (0x9e37_79b9_7f4a_7c15_u64, 0xd1b5_4a32_d192_ed03_u64);
        let (words, rest) = bytes_of(self).as_chunks::<8>();
        for word in words {
            let x = u64::from_le_bytes(*word);
            a = (a ^ x).wrapping_mul(0xff51_afd7_ed55_8ccd);
            a ^= a >> 32;
            b = (b.rotate_left(29) ^ x).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        }
        for byte in rest {
            a = (a ^ u64::from(*byte)).wrapping_mul(0xff51_afd7_ed55_8ccd);
            a ^= a >> 29;
        }
        let mut hash = a ^ b.rotate_left(17);
        hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^ hash >> 33
    }
}
