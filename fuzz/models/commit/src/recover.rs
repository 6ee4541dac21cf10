//! Repair (rules 18 to 23), the first opener, and opening without words (rules 24 to 27).

use crate::config::Config;
use crate::disk::ALL;
use crate::explore::Found;
use crate::flush::set_manifest;
use crate::planted::Bug;
use crate::state::{
    GHOSTS, PAGES, REPAIR, SYNC_FAILED, State, TOLD_FIRST, TOLD_SECOND, TREE, WAITS, Words,
};
use crate::step::{Repair, Step};
use bytemuck::Zeroable;

/// `Words::first`: the first opener has found the words to be true of the disk; has still to look;
/// has begun to write.
pub const LOOKED: u8 = 1;
pub const TO_LOOK: u8 = 2;
pub const OPENING: u8 = 3;

/// Rules 9 and 18: whether somebody has to repair before anything else.
pub fn is_marked(c: &Config, s: &State) -> bool {
    let w = &s.words;
    let settled = c.bug(Bug::DeadLeaderJudgedByVisible) && s.is_built_on(w.visible, w.flushing);
    let stale = w.flushing != 0 && s.leader == 0 && !settled;
    w.suspect != 0 && !c.bug(Bug::FailedSyncForgotten)
        || stale && !c.bug(Bug::DeadLeaderIgnored)
        || w.first != 0 && w.newest != w.durable && !c.bug(Bug::FirstOpenerDoesNotRepair)
}

/// A sync while nobody else writes: it succeeds or fails as a whole.
fn sync(c: &Config, s: &State, from: u8, to: u8, found: &mut Found) {
    let told = s.error & TOLD_FIRST != 0;
    // A builder has had the file open since before its pages were written.
    let late = s.second != 0 && s.writer == 0 && s.error & TOLD_SECOND == 0;
    if !told || late {
        let mut q = *s;
        q.sync_begins(ALL);
        q.sync_succeeds(c);
        q.opening = to;
        found.next(q, Step::Opening { from, to });
    }
    if told || s.fails > 0 {
        let mut q = *s;
        q.fails -= u8::from(!told);
        q.sync_begins(ALL);
        q.sync_fails();
        q.unasked |= u8::from(c.copies);
        if q.words.valid != 0 && from < 30 {
            q.words.suspect |= SYNC_FAILED;
        }
        (q.error, q.opening, q.chosen, q.chosen_slot, q.known_id) = (0, 0, 0, 0, 0);
        found.next(q, Step::OpeningSyncFails(from));
    }
}

fn dies(s: &State, found: &mut Found) {
    if s.kills > 0 {
        let mut q = *s;
        q.kills -= 1;
        if s.words.valid == 0 {
            q.end_processes();
        } else {
            (q.opening, q.chosen, q.chosen_slot) = (0, 0, 0);
        }
        found.next(q, Step::OpenerDies);
    }
}

/// The last id that may have been used, as far as metas tell.
fn known_id(c: &Config, s: &State) -> u8 {
    let limit = |ghost: u8| match c.bug(Bug::IdLimitIgnored) {
        true => 0,
        false => s.txn(ghost).id_limit,
    };
    let of = |slot: usize| s.txn(s.cache(slot)).id.max(limit(s.cache(slot)));
    of(PAGES).max(of(PAGES + 1)).max(s.words.last_id)
}

/// The first opener, with words that may be those of another moment, or of another life of the
/// file.
pub fn look(c: &Config, s: &State, found: &mut Found) {
    match s.opening {
        31 => {
            let mut q = *s;
            rewrite(c, &mut q);
            q.opening = 32;
            found.next(q, Step::Opening { from: 31, to: 32 });
            return dies(s, found);
        }
        32 => {
            sync(c, s, 32, 33, found);
            return dies(s, found);
        }
        33 => return adopted(c, s, found),
        _ => {}
    }
    let cache = |i: usize| s.cache(i);
    let Some((ghost, slot)) = s.select(c, s.size, &cache) else {
        found
            .wrong("the first opener finds no valid meta".into(), Step::Opening { from: 0, to: 0 });
        return;
    };
    let w = &s.words;
    let same = |other: u8| match c.bug(Bug::NumbersCompared) {
        true => other != 0 && s.txn(other).id == s.txn(ghost).id,
        false => other == ghost,
    };
    let mut q = *s;
    q.words.last_id = if c.bug(Bug::IdLimitIgnored) { w.last_id } else { known_id(c, s) };
    let step = Step::Chose { ghost, slot };
    if w.first != OPENING
        && same(w.durable)
        && (slot == w.durable_slot || c.bug(Bug::NumbersCompared))
    {
        q.words.first = LOOKED;
    } else if w.first != OPENING && same(w.flushing) {
        if c.bug(Bug::FlushTargetNotAdopted) || c.bug(Bug::NumbersCompared) {
            q.words.first = LOOKED;
        } else {
            q.words.first = OPENING;
            (q.opening, q.chosen, q.chosen_slot) = (31, ghost, slot);
        }
    } else {
        q.words = Words { last_id: q.words.last_id, ..Words::zeroed() };
    }
    found.next(q, step);
}

/// F may have been acknowledged: it is D before anything else is stored there. W and what stands
/// above it stay.
fn adopted(c: &Config, s: &State, found: &mut Found) {
    let mut q = *s;
    let ghost = s.chosen;
    let step = Step::Opening { from: 33, to: 0 };
    if !s.is_built_on(ghost, s.acked) {
        found.wrong(format!("g{ghost} is adopted, and acknowledged g{} is lost", s.acked), step);
    }
    (q.words.durable, q.words.durable_slot, q.words.flushing) = (ghost, s.chosen_slot, 0);
    (q.words.first, q.acked) = (LOOKED, ghost);
    (q.opening, q.chosen, q.chosen_slot) = (0, 0, 0);
    if q.is_built_on(ghost, q.words.visible)
        && let Some(what) = q.show(c, ghost)
    {
        found.wrong(what, step);
    }
    if !q.is_built_on(q.words.newest, ghost) {
        q.words.newest = ghost;
    }
    found.next(q, step);
}

/// Rule 26: verified copies of the manifest's pages, and the slot, with the same bytes.
fn rewrite(c: &Config, q: &mut State) {
    let t = *q.txn(q.chosen);
    for page in (0..PAGES).filter(|p| t.mode == 1 && t.manifest[*p] != 0) {
        let ghost = if c.bug(Bug::RewritesTheCache) { q.cache(page) } else { t.manifest[page] };
        q.write(c, page, ghost);
    }
    q.write(c, PAGES + usize::from(q.chosen_slot), q.chosen);
}

/// Rule 26: what was chosen is not there any more, or a page of its manifest is not. Then it was
/// not durable, and the other meta is chosen.
fn has_left_the_cache(c: &Config, s: &State) -> bool {
    let t = s.txn(s.chosen);
    let lost = |p: usize| s.bytes_of(c, s.cache(p)) != s.bytes_of(c, t.manifest[p]);
    let manifest = (0..PAGES).filter(|p| t.mode == 1 && t.manifest[*p] != 0);
    let gone = s.cache(PAGES + usize::from(s.chosen_slot)) != s.chosen || { manifest }.any(lost);
    gone && !c.bug(Bug::RewritesTheCache)
}

/// Opening without words.
pub fn open(c: &Config, s: &State, found: &mut Found) {
    let other = PAGES + 1 - usize::from(s.chosen_slot);
    match s.opening {
        0 => choose(c, s, found),
        1 if has_left_the_cache(c, s) => {
            let mut q = *s;
            (q.opening, q.chosen, q.chosen_slot, q.known_id) = (0, 0, 0, 0);
            found.next(q, Step::Opening { from: 1, to: 0 });
        }
        1 => {
            let mut q = *s;
            rewrite(c, &mut q);
            q.opening = 2;
            if c.bug(Bug::BothSlotsInOneSync) {
                q.write(c, other, s.chosen);
                q.opening = 4;
            }
            found.next(q, Step::Opening { from: 1, to: q.opening });
        }
        2 => sync(c, s, 2, if c.open == 2 { 5 } else { 3 }, found),
        3 => {
            let mut q = *s;
            if c.sessions && usize::from(s.ghosts) + 1 == GHOSTS {
                return;
            }
            let stamped = stamp(c, &mut q);
            q.write(c, other, stamped);
            q.opening = 4;
            found.next(q, Step::Opening { from: 3, to: 4 });
        }
        4 => sync(c, s, 4, 5, found),
        _ => opened(c, s, found),
    }
    if s.opening != 0 {
        dies(s, found);
    }
}

fn choose(c: &Config, s: &State, found: &mut Found) {
    let Some((ghost, slot)) = s.select(c, s.size, &|i| s.cache(i)) else {
        let step = Step::Chose { ghost: 0, slot: 0 };
        return found.wrong("opening finds no valid meta".into(), step);
    };
    let mut q = *s;
    (q.chosen, q.chosen_slot) = (ghost, slot);
    q.known_id = if c.bug(Bug::IdsUsedTwice) { s.txn(ghost).id } else { known_id(c, s) };
    let other = s.cache(PAGES + 1 - usize::from(slot));
    let newer = other != 0 && s.txn(other).id > s.txn(ghost).id;
    q.opening = match (c.open, newer) {
        (0, _) => 5,
        (1 | 2 | 4, true) => 3,
        (1, false) => 5,
        (5, _) if s.booted == 1 => {
            if newer {
                3
            } else {
                5
            }
        }
        _ => 1,
    };
    if q.opening != 5 && !c.bug(Bug::FailedEraseForgotten) {
        q.booted = 0;
    }
    found.next(q, Step::Chose { ghost, slot });
}

/// The same transaction in a meta with a new session and a higher limit of ids: another content, so
/// a ghost of its own.
fn stamp(c: &Config, q: &mut State) -> u8 {
    if !c.sessions || c.bug(Bug::SessionNotStamped) {
        return q.chosen;
    }
    let id = q.txn(q.chosen).id;
    let ghost = stamped(c, q, id);
    (q.chosen, q.chosen_slot) = (ghost, 1 - q.chosen_slot);
    ghost
}

/// A ghost of the same content as the chosen one under this id. All that it leads to is durable.
pub fn stamped(c: &Config, q: &mut State, id: u8) -> u8 {
    let ghost = q.ghosts + 1;
    let mut t = *q.txn(q.chosen);
    (t.id, t.ancestors, t.mode, t.manifest) = (id, t.ancestors | 1 << ghost, 2, [0; PAGES]);
    if c.id_limit > 0 {
        t.id_limit = q.known_id + c.id_limit;
    }
    q.txn[usize::from(ghost)] = t;
    (q.id[usize::from(ghost)], q.ghosts) = (t.id, ghost);
    // What it holds was shown before.
    q.shown |= 1 << ghost;
    ghost
}

fn opened(c: &Config, s: &State, found: &mut Found) {
    let (ghost, step) = (s.chosen, Step::Opening { from: 5, to: 0 });
    if s.refused >> ghost & 1 != 0 {
        found.wrong(format!("opening shows g{ghost}, which was refused before"), step);
    }
    if !s.is_built_on(ghost, s.acked) {
        found.wrong(format!("opening shows g{ghost}, and acknowledged g{} is lost", s.acked), step);
    }
    let mut q = *s;
    let high = s.txn(ghost).high;
    let words = Words {
        valid: 1,
        newest: ghost,
        durable: ghost,
        durable_slot: s.chosen_slot,
        ..Words::zeroed()
    };
    q.words = Words { last_id: s.known_id, high, list: ghost, ..words };
    (q.booted, q.acked) = (0, ghost);
    q.refused |= !s.txn(ghost).ancestors;
    q.end_processes();
    if let Some(what) = q.show(c, ghost) {
        found.wrong(what, step);
    }
    found.next(q, step);
}

/// Repair: holds the writer lock and the flush lock.
pub fn repair(c: &Config, s: &State, marked: bool, found: &mut Found) {
    let late = s.second != 0 && s.second - 1 > s.txn(s.words.durable).id;
    // A builder that needs room in the list may lead one, and one that waits for its flush.
    let builder = (c.spill || c.copies) && s.writer == 1 || s.writer == WAITS;
    let locked = s.writer == 0 || builder && marked;
    if s.opening == 0 && s.leader == 0 && locked {
        if marked {
            begin(c, s, s.words.first != 0, found);
        } else if late && s.writer == 0 && s.words.newest != s.words.durable {
            begin(c, s, true, found);
        }
    }
    match s.opening {
        11 => sync(c, s, 11, 13, found),
        12 => sync(c, s, 12, 15, found),
        13 => {
            let mut q = *s;
            let slot = s.other_slot();
            q.write(c, slot, s.chosen);
            q.opening = if c.bug(Bug::RepairWithoutSync) { 15 } else { 12 };
            found.next(q, Step::Opening { from: 13, to: q.opening });
        }
        15 => forward(c, s, found),
        21 => sync(c, s, 21, 22, found),
        22 => back(c, s, found),
        _ => {}
    }
}

/// Whether a page of the target is there, and in the list.
fn is_proved(c: &Config, s: &State, page: u8, writer: u8) -> bool {
    let listed = s.id[usize::from(writer)] <= s.txn(s.words.list).id;
    let there = s.bytes_of(c, s.cache(usize::from(page))) == s.bytes_of(c, writer);
    if listed { there } else { c.bug(Bug::MissingRecordsSkipped) }
}

/// All pages of a transaction that were born after D are proved.
fn is_all_proved(c: &Config, s: &State, ghost: u8) -> bool {
    let t = s.txn(ghost);
    let log = usize::from(t.log) < PAGES
        && t.birth[usize::from(t.log)] > s.txn(s.words.durable).id
        && !is_proved(c, s, t.log, t.log_writer);
    let mut pages = s.pages_since(ghost, s.words.durable);
    let mut named = s.named_since(ghost, s.words.durable);
    t.high <= s.size
        && !log
        && pages.all(|i| is_proved(c, s, t.page[i], t.writer[i]))
        && named.all(|(page, writer)| is_proved(c, s, page, writer))
}

fn begin(c: &Config, s: &State, late: bool, found: &mut Found) {
    let w = s.words;
    let mut q = *s;
    if w.synced != 0 {
        // Rule 19: for a leader that died in rule 13.
        (q.words.durable, q.words.flushing, q.words.synced) = (w.synced, 0, 0);
        q.words.durable_slot =
            if w.durable == w.synced { w.durable_slot } else { 1 - w.durable_slot };
        q.acked = w.synced;
        return found.next(q, Step::Opening { from: 19, to: 0 });
    }
    q.words.suspect |= REPAIR;
    q.chosen = w.newest;
    if w.newest == w.durable {
        q.opening = 15;
        return found.next(q, Step::Repairs { ghost: w.newest, how: Repair::Nothing });
    }
    let t = *s.txn(w.newest);
    // Where no sync has failed and every failure would have been told of, nothing needs a proof.
    let unlisted = t.unlisted > s.txn(w.durable).id;
    let sound = match unlisted {
        true if c.bug(Bug::UnlistedRolledBack) => false,
        true => w.suspect & SYNC_FAILED == 0 && !late || c.bug(Bug::UnlistedFlushedAfterFailure),
        false => c.bug(Bug::RepairUnverified) || is_all_proved(c, s, w.newest),
    };
    if sound && !(c.roll_back && s.io != 0) {
        let stale_kept = c.bug(Bug::DeadLeaderNotRewritten) && w.suspect == 0;
        if !unlisted && !c.bug(Bug::RepairWithoutRewriting) && !stale_kept {
            let pages: Vec<u8> = s.pages_since(w.newest, w.durable).map(|i| t.page[i]).collect();
            let log = [t.log].into_iter().filter(|_| {
                usize::from(t.log) < PAGES && t.birth[usize::from(t.log)] > s.txn(w.durable).id
            });
            let named: Vec<u8> = s.named_since(w.newest, w.durable).map(|(page, _)| page).collect();
            for page in pages.into_iter().chain(log).chain(named) {
                let ghost = q.cache(usize::from(page));
                q.write(c, usize::from(page), ghost);
            }
        }
        let sealed = set_manifest(c, &mut q, w.newest);
        if c.bug(Bug::RepairWithoutWriterLock) {
            q.words.flushing = w.newest;
        }
        let no_sync = c.bug(Bug::RepairWithoutSync);
        if sealed {
            let slot = q.other_slot();
            q.write(c, slot, w.newest);
        }
        q.opening = match (sealed, no_sync) {
            (true, false) => 12,
            (true, true) => 15,
            (false, false) => 11,
            (false, true) => 13,
        };
        let how = if sealed { Repair::ForwardSealed } else { Repair::ForwardTwoPhase };
        return found.next(q, Step::Repairs { ghost: w.newest, how });
    }
    let step = Step::Repairs { ghost: w.durable, how: Repair::Back };
    let calm = (s.kills, s.fails, s.cuts, s.evicts) == (c.kills, c.fails, c.cuts, c.evicts);
    if c.unlisted && unlisted && calm && s.io == 0 {
        let what = format!("g{} is rolled back, and nothing has failed", w.newest);
        found.wrong(what, step);
    }
    let there = |page: u8, writer: u8| s.cache(usize::from(page)) == writer;
    let v = s.txn(w.visible);
    if c.unlisted
        && !s.is_built_on(w.durable, w.visible)
        && s.pages_since(w.visible, w.durable).all(|i| there(v.page[i], v.writer[i]))
        && t.unlisted > s.txn(w.durable).id
    {
        let what = format!("deferred g{} is rolled back, of which every page is there", w.visible);
        found.wrong(what, step);
    }
    if c.bug(Bug::RollBackWithoutErasing) {
        q.opening = 22;
    } else {
        let slot = q.other_slot();
        let mut ghost = w.durable;
        if c.saves > 0 && !c.bug(Bug::RollBackNotStamped) {
            if usize::from(s.ghosts) + 1 == GHOSTS {
                return;
            }
            // Another content, under a new id: words from before the roll-back are true of nothing
            // any more.
            q.words.last_id += 1;
            (q.chosen, q.known_id) = (w.durable, q.words.last_id);
            let id = q.words.last_id;
            ghost = stamped(c, &mut q, id);
        }
        q.write(c, slot, ghost);
        (q.chosen, q.opening) = (ghost, 21);
    }
    found.next(q, step);
}

/// Rule 21.
fn forward(c: &Config, s: &State, found: &mut Found) {
    let mut q = *s;
    let ghost = s.chosen;
    let step = Step::Opening { from: 15, to: 0 };
    if ghost != s.words.durable {
        q.words.durable_slot = 1 - s.words.durable_slot;
    }
    if s.is_built_on(ghost, s.words.visible)
        && let Some(what) = q.show(c, ghost)
    {
        found.wrong(what, step);
    }
    (q.words.durable, q.words.flushing, q.words.first) = (ghost, 0, 0);
    (q.acked, q.opening, q.chosen) = (ghost, 0, 0);
    q.flush_ended();
    // Rule 23: pages of the builder itself were in the cache when the sync failed, and are in no
    // list.
    let again = s.writer == 1 && s.words.suspect & SYNC_FAILED != 0 && s.spilled != 0;
    if !again || c.bug(Bug::BuilderTakesMarkDown) {
        q.words.suspect = 0;
    }
    found.next(q, step);
}

/// Rule 22.
fn back(c: &Config, s: &State, found: &mut Found) {
    let mut q = *s;
    let (w, step) = (s.words, Step::Opening { from: 22, to: 0 });
    if s.io == 0 && !s.is_built_on(w.durable, w.visible) {
        let what = format!("deferred commits up to g{} are lost by a death alone", w.visible);
        found.wrong(what, step);
    }
    let durable = if c.bug(Bug::RollBackWithoutErasing) { w.durable } else { s.chosen };
    if durable != w.durable {
        (q.words.durable, q.words.durable_slot, q.acked) = (durable, 1 - w.durable_slot, durable);
    }
    (q.words.newest, q.words.visible, q.words.list) = (durable, durable, durable);
    q.refused |= !s.txn(durable).ancestors;
    (q.words.flushing, q.words.suspect, q.words.first) = (0, 0, 0);
    (q.opening, q.chosen) = (0, 0);
    q.end_writer();
    if c.bug(Bug::IdsUsedTwice) {
        q.words.last_id = s.txn(w.durable).id;
    }
    q.known_id = 0;
    found.next(q, step);
}

const _: () = assert!(TREE < PAGES);
