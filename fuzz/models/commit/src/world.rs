//! What happens to them all: deaths, readers, other programs, a device that fails, and all next
//! states of a state.

use crate::config::Config;
use crate::disk;
use crate::explore::Found;
use crate::planted::Bug;
use crate::recover::{self, LOOKED, TO_LOOK};
use crate::state::{
    CELLS, Cell, DIRTY, GHOSTS, PAGES, SEEN, SYNCING, State, TOLD_FIRST, TOLD_SECOND, Words,
};
use crate::step::{LockFile, Step};
use crate::{close, flush, writer};
use bytemuck::Zeroable;

/// Every state that may come next.
pub fn next(c: &Config, s: &State, found: &mut Found) {
    if s.tainted >> s.words.durable & 1 != 0 {
        let what = format!("g{} is durable, with copies of what came back", s.words.durable);
        return found.wrong(what, Step::Builds(s.words.durable));
    }
    if s.cuts > 0 {
        disk::cut(c, s, found);
        if found.wrong.is_some() {
            return;
        }
    }
    if s.words.valid == 0 {
        recover::open(c, s, found);
        return evicts(s, found);
    }
    if s.words.first >= TO_LOOK {
        recover::look(c, s, found);
        return evicts(s, found);
    }
    let marked = recover::is_marked(c, s);
    recover::repair(c, s, marked, found);
    writer::steps(c, s, marked, found);
    flush::steps(c, s, marked, found);
    if c.shrink {
        shrink(c, s, marked, found);
    }
    close::steps(c, s, marked, found);
    deaths(c, s, found);
    lock_file(c, s, found);
    readers(c, s, found);
    handles(c, s, found);
    if c.write_backs {
        write_backs(c, s, found);
    }
    evicts(s, found);
}

/// Rule 7, by the holder of the writer lock.
fn shrink(c: &Config, s: &State, marked: bool, found: &mut Found) {
    let early = c.bug(Bug::CutBeforeDurable);
    let w = &s.words;
    let idle = s.writer == 0 && s.leader == 0 && s.opening == 0 && !marked;
    if !idle || w.newest != w.durable && !early {
        return;
    }
    let mut seen = vec![w.newest];
    if !early {
        seen.extend([w.visible, w.durable, s.reader]);
        if c.protect_slots {
            seen.extend([s.cache(PAGES), s.cache(PAGES + 1)]);
        }
    }
    let pages = seen.into_iter().filter(|g| *g != 0).map(|g| s.txn(g).high).max().unwrap_or(0);
    if pages < s.size {
        let mut q = *s;
        q.size = pages;
        q.disk_size |= 1 << (pages - 1);
        for page in usize::from(pages)..PAGES {
            q.write(c, page, 0);
            q.cell[page].flags &= !DIRTY;
        }
        found.next(q, Step::Truncates(pages));
    }
}

fn deaths(c: &Config, s: &State, found: &mut Found) {
    if s.kills == 0 {
        return;
    }
    let mut q = *s;
    q.kills -= 1;
    if s.leader != 0 {
        let mut q = q;
        (q.leader, q.target, q.before, q.second_leads) = (0, 0, 0, 0);
        if s.second_leads != 0 {
            q.second = 0;
        }
        q.sync_aborts();
        if !c.group {
            q.end_writer();
        }
        found.next(q, Step::LeaderDies(s.leader));
    }
    if s.opening != 0 && s.opening != close::SYNCS {
        let mut q = q;
        (q.opening, q.chosen) = (0, 0);
        if c.spill {
            // If there is a writer, it is he who repairs.
            q.end_writer();
        }
        found.next(q, Step::OpenerDies);
    }
    if c.all_die && s.words.newest != s.words.durable {
        q.end_processes();
        q.sync_aborts();
        q.words.first = if c.saves > 0 { TO_LOOK } else { LOOKED };
        found.next(q, Step::AllDie(LockFile::Kept));
    }
}

/// It is lost, saved, or what was saved comes back: from its own disk, or from another path.
fn lock_file(c: &Config, s: &State, found: &mut Found) {
    let gone = |q: &mut State| {
        q.end_processes();
        q.sync_aborts();
        q.booted = 0;
    };
    if s.lock_losses > 0 {
        let mut q = *s;
        q.lock_losses -= 1;
        gone(&mut q);
        q.words = Words::zeroed();
        found.next(q, Step::AllDie(LockFile::Lost));
    }
    if s.saves > 0 && s.opening == 0 {
        let mut q = *s;
        q.saves -= 1;
        q.saved = s.words;
        found.next(q, Step::SavesLockFile);
    }
    if c.all_die && s.kills > 0 && s.saved.valid != 0 {
        let mut q = *s;
        q.kills -= 1;
        gone(&mut q);
        q.words = Words { first: s.saved.first.max(TO_LOOK), ..s.saved };
        (q.saved, q.io) = (Words::zeroed(), 1);
        found.next(q, Step::AllDie(LockFile::Older));
    }
}

fn readers(c: &Config, s: &State, found: &mut Found) {
    if c.reader == 0 {
        return;
    }
    let visible = s.words.visible;
    let mut q = *s;
    match (c.split, s.reader_step, s.reader) {
        (true, 0, _) | (false, _, 0) => {
            if s.reads == 0 {
                return;
            }
            (q.reader, q.reads) = (visible, s.reads - 1);
            if c.split {
                q.reader_step = 1;
                return found.next(q, Step::Begins { step: 1, ghost: visible });
            }
            found.next(q, Step::Pins(visible));
        }
        (true, 1, ghost) => {
            q.reader_step = 2;
            found.next(q, Step::Begins { step: 2, ghost });
        }
        (true, 2, ghost) => {
            (q.reader_step, q.reader) = if visible == ghost { (3, ghost) } else { (1, visible) };
            found.next(q, Step::Begins { step: q.reader_step, ghost: q.reader });
        }
        _ => {
            (q.reader, q.reader_step) = (0, 0);
            found.next(q, Step::Unpins);
        }
    }
}

/// Other programs, and a second handle.
fn handles(c: &Config, s: &State, found: &mut Found) {
    let mut q = *s;
    if c.foreign
        && s.error & TOLD_FIRST != 0
        && s.error & SEEN == 0
        && s.leader == 0
        && s.opening == 0
    {
        // Without a second handle: whoever flushes next was opened after it.
        q.error = if c.spill || c.unlisted { s.error | SEEN } else { 0 };
        found.next(q, Step::ForeignSync);
    }
    // It has the writer lock for a moment, and nothing is built above D: what is written from now
    // on is written while it is there.
    let durable = s.txn(s.words.durable).id;
    let settled = s.words.newest == s.words.durable && !recover::is_marked(c, s);
    if c.unlisted && s.second > 1 + durable && s.writer == 0 && settled && s.opening == 0 {
        let mut q = *s;
        q.second = 1 + durable;
        found.next(q, Step::SecondBegins);
    }
    if (c.spill || c.unlisted) && c.foreign && s.second == 0 && s.opening == 0 {
        let mut q = *s;
        let last = if s.writer != 0 && !c.bug(Bug::OpenedBesideWriter) {
            s.words.last_id + 1
        } else {
            s.txn(s.words.newest).id
        };
        q.second = 1 + last;
        if s.error & (TOLD_FIRST | SEEN) == TOLD_FIRST {
            q.error |= TOLD_SECOND;
        }
        found.next(q, Step::SecondOpens);
    }
}

/// The kernel writes a page, that fails, and it calls the page clean.
fn write_backs(c: &Config, s: &State, found: &mut Found) {
    for (i, cell) in s.cell.iter().enumerate().filter(|_| s.fails > 0) {
        let is_dirty = cell.flags & DIRTY != 0 && cell.flags & SYNCING == 0;
        if is_dirty && cell.disk != 1 << cell.cache {
            let mut q = *s;
            (q.fails, q.io) = (s.fails - 1, 1);
            q.cell[i].flags &= !DIRTY;
            q.unasked = c.copies.into();
            q.error = s.error & !SEEN | TOLD_FIRST | if s.second != 0 { TOLD_SECOND } else { 0 };
            found.next(q, Step::WriteBackFails(i as u8));
        }
    }
}

/// A clean page leaves the cache, and comes back as the disk has it.
fn evicts(s: &State, found: &mut Found) {
    for i in (0..CELLS).filter(|_| s.evicts > 0) {
        let cell = s.cell[i];
        if cell.flags != 0 || cell.disk == 1 << cell.cache {
            continue;
        }
        for ghost in (0..GHOSTS as u8).filter(|g| cell.disk >> g & 1 != 0 && *g != cell.cache) {
            let mut q = *s;
            q.evicts -= 1;
            q.cell[i] = Cell { cache: ghost, disk: 1 << ghost, ..Cell::default() };
            found.next(q, Step::Evicts { cell: i as u8, ghost });
        }
    }
}
