//! The page cache over a disk: stores, syncs, what a power cut may leave, and which meta an opening
//! takes.

use crate::config::Config;
use crate::explore::Found;
use crate::planted::Bug;
use crate::recover::{LOOKED, TO_LOOK};
use crate::state::{CELLS, Cell, DIRTY, GHOSTS, PAGES, SYNCING, State, TREE, Words};
use crate::step::{LockFile, Step};
use bytemuck::Zeroable;

/// All cells.
pub const ALL: u16 = u16::MAX;

impl State {
    /// A store through the page cache. Until a sync the disk may hold what it held, the new bytes,
    /// or a torn page.
    pub fn write(&mut self, c: &Config, at: usize, ghost: u8) {
        let page = at < PAGES;
        let same = |h: u8| h == ghost || page && c.no_birth;
        let cell = &mut self.cell[at];
        // Equal bytes over equal bytes cannot tear.
        let equal = page
            && ghost != 0
            && cell.disk & 1 == 0
            && cell.disk != 0
            && (1..GHOSTS as u8).all(|h| cell.disk >> h & 1 == 0 || same(h))
            && cell.cache != 0
            && same(cell.cache);
        cell.flags |= DIRTY;
        if equal {
            return;
        }
        cell.cache = ghost;
        if ghost == 0 || cell.disk != 1 << ghost {
            cell.disk |= 1 << ghost | 1;
            cell.since |= 1 << ghost | 1;
        }
    }

    /// A sync of some cells begins: it will write what they hold now.
    pub fn sync_begins(&mut self, cells: u16) {
        for (i, cell) in self.cell.iter_mut().enumerate() {
            if cell.flags & DIRTY != 0 && cells >> i & 1 != 0 {
                cell.flags = SYNCING;
                cell.since = 1 << cell.cache;
            } else {
                cell.since = 0;
            }
        }
        self.size_since = 1 << (self.size - 1);
    }

    pub fn sync_succeeds(&mut self, c: &Config) {
        for cell in &mut self.cell {
            if cell.flags & SYNCING != 0 {
                cell.disk = cell.since;
                cell.flags &= DIRTY;
            }
            cell.since = 0;
        }
        if c.sync_size {
            self.disk_size = self.size_since;
        }
        self.size_since = 0;
    }

    /// The kernel calls the pages clean.
    pub fn sync_fails(&mut self) {
        for cell in &mut self.cell {
            cell.flags &= DIRTY;
            cell.since = 0;
        }
        (self.size_since, self.io) = (0, 1);
    }

    /// Who waited for it has died: the pages stay dirty.
    pub fn sync_aborts(&mut self) {
        for cell in &mut self.cell {
            if cell.flags & SYNCING != 0 {
                cell.flags = DIRTY;
            }
            cell.since = 0;
        }
        self.size_since = 0;
    }

    /// Rule 24: the newest meta with a page count inside the file whose manifest, if any, matches;
    /// and its slot.
    pub fn select(&self, c: &Config, size: u8, at: &dyn Fn(usize) -> u8) -> Option<(u8, u8)> {
        // Of two metas of one transaction the one with the higher limit is the newer.
        let mut slots: Vec<(u8, u8, u8, u8)> = (0..2)
            .map(|slot: u8| (slot, at(PAGES + usize::from(slot))))
            .filter(|&(_, ghost)| ghost != 0 && self.txn(ghost).high <= size)
            .map(|(slot, ghost)| {
                let newer = if c.sessions || c.closes > 0 { ghost } else { 0 };
                (self.txn(ghost).id, newer, 1 - slot, ghost)
            })
            .collect();
        slots.sort_unstable();
        let sound = |ghost: u8| {
            let t = self.txn(ghost);
            t.mode != 1
                || c.bug(Bug::ManifestNotChecked)
                || (0..PAGES).all(|page| {
                    let wanted = t.manifest[page];
                    wanted == 0
                        || (page as u8) < size
                            && self.bytes_of(c, at(page)) == self.bytes_of(c, wanted)
                })
        };
        let found = slots.into_iter().rev().find(|&(.., ghost)| sound(ghost));
        found.map(|(_, _, slot, ghost)| (ghost, 1 - slot))
    }

    /// Whether every page that a transaction leads to is there.
    pub fn is_intact(&self, c: &Config, ghost: u8, size: u8, at: &dyn Fn(usize) -> u8) -> bool {
        let t = self.txn(ghost);
        let holds = |page: u8, writer: u8| {
            let found = at(usize::from(page));
            page < size && found != 0 && self.bytes_of(c, found) == self.bytes_of(c, writer)
        };
        (0..TREE).all(|i| holds(t.page[i], t.writer[i]))
            && (usize::from(t.log) == PAGES || holds(t.log, t.log_writer))
            && t.named.pages().all(|(page, writer)| holds(page, writer))
    }
}

/// What a page may hold after a cut, as far as it matters to the metas that may stand in the slots.
fn choices(c: &Config, s: &State, page: usize, slots: [u8; 2], size: u8) -> Vec<u8> {
    if page as u8 >= size {
        return vec![0];
    }
    let mut choices = Vec::new();
    for ghost in (0..GHOSTS as u8).filter(|g| s.cell[page].disk >> g & 1 != 0) {
        let bytes = s.bytes_of(c, ghost);
        let mut relevant = 0;
        for t in slots.iter().filter(|g| ghost != 0 && **g != 0).map(|g| s.txn(*g)) {
            let is = |writer: u8| writer != 0 && s.bytes_of(c, writer) == bytes;
            if is(t.manifest[page]) {
                relevant = t.manifest[page];
            }
            for i in (0..TREE).filter(|&i| usize::from(t.page[i]) == page && is(t.writer[i])) {
                relevant = t.writer[i];
            }
            if usize::from(t.log) == page && is(t.log_writer) {
                relevant = t.log_writer;
            }
            let named = t.named.pages().filter(|(at, by)| usize::from(*at) == page && is(*by));
            relevant = named.map(|(_, by)| by).last().unwrap_or(relevant);
        }
        if !choices.contains(&relevant) {
            choices.push(relevant);
        }
    }
    if choices.is_empty() {
        choices.push(0);
    }
    choices
}

/// Every image that a power cut may leave now, and what an opening makes of it.
pub fn cut(c: &Config, s: &State, found: &mut Found) {
    let sizes = (1..=PAGES as u8).filter(|z| s.disk_size >> (z - 1) & 1 != 0);
    let metas =
        |slot: usize| (0..GHOSTS as u8).filter(move |g| s.cell[PAGES + slot].disk >> g & 1 != 0);
    for size in sizes {
        for a in metas(0) {
            for b in metas(1) {
                let all: [Vec<u8>; PAGES] =
                    std::array::from_fn(|page| choices(c, s, page, [a, b], size));
                let mut index = [0; PAGES];
                loop {
                    let mut image = [0; CELLS];
                    (0..PAGES).for_each(|page| image[page] = all[page][index[page]]);
                    (image[PAGES], image[PAGES + 1]) = (a, b);
                    after_cut(c, s, &image, size, found);
                    let next = (0..PAGES).find(|&page| {
                        index[page] = (index[page] + 1) % all[page].len();
                        index[page] != 0
                    });
                    if next.is_none() {
                        break;
                    }
                }
            }
        }
    }
}

fn after_cut(c: &Config, s: &State, image: &[u8; CELLS], size: u8, found: &mut Found) {
    found.images += 1;
    let good = (0..PAGES).filter(|&p| image[p] != 0).fold(0, |set, p| set | 1 << p);
    let slots = [image[PAGES], image[PAGES + 1]];
    let step = |lock_file| Step::Cut { slots, good, lock_file };
    let at = |cell: usize| image[cell];
    let wrong = match s.select(c, size, &at) {
        None => Some("no meta is valid: the database is lost".to_string()),
        Some((ghost, _)) if !s.is_intact(c, ghost, size, &at) => {
            Some(format!("g{ghost} is taken, and a page of it is not there: corruption"))
        }
        Some((ghost, _)) if s.refused >> ghost & 1 != 0 => {
            Some(format!("g{ghost} comes back, which was refused or failed for good"))
        }
        Some((ghost, _)) if !s.is_built_on(ghost, s.acked) => {
            Some(format!("g{ghost} is taken, and g{}, acknowledged as durable, is lost", s.acked))
        }
        Some((ghost, _)) => {
            if s.cuts > 1 {
                boots(c, s, image, size, ghost, found);
            }
            None
        }
    };
    if let Some(what) = wrong {
        found.wrong(format!("after the cut {what}"), step(LockFile::Lost));
    }
}

/// What runs after the cut: without the lock file's words, and, if the device only went away, with
/// what is left of them.
fn boots(c: &Config, s: &State, image: &[u8; CELLS], size: u8, ghost: u8, found: &mut Found) {
    let slots = [image[PAGES], image[PAGES + 1]];
    let good = (0..PAGES).filter(|&p| image[p] != 0).fold(0, |set, p| set | 1 << p);
    let step = |lock_file| Step::Cut { slots, good, lock_file };
    let mut q = *s;
    q.cuts -= 1;
    for (cell, ghost) in q.cell.iter_mut().zip(image) {
        *cell = Cell { cache: *ghost, disk: 1 << ghost, ..Cell::default() };
    }
    (q.size, q.disk_size, q.size_since) = (size, 1 << (size - 1), 0);
    q.end_processes();
    let mut booted = q;
    (booted.io, booted.booted) = (0, 1);
    if !c.bug(Bug::WordsBelievedAfterBoot) {
        booted.words = Words::zeroed();
        booted.saved = Words::zeroed();
    }
    (booted.acked, booted.refused) = (ghost, booted.refused | !booted.txn(ghost).ancestors);
    found.next(booted, step(LockFile::Lost));
    if !c.remount {
        return;
    }
    q.io = 1;
    let mut kept = |words: Words, lock_file| {
        let mut r = q;
        // A mark of an opening that was not finished stays.
        let first = if c.saves > 0 { words.first.max(TO_LOOK) } else { LOOKED };
        r.words = Words { first, ..words };
        if r.words.valid != 0 {
            found.next(r, step(lock_file));
        }
    };
    kept(s.words, LockFile::Kept);
    if s.saved.valid != 0 {
        if c.torn_list {
            kept(Words { list: s.saved.list, ..s.words }, LockFile::OlderList);
        } else {
            kept(s.saved, LockFile::Older);
        }
    }
}
