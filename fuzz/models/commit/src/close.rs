//! The last handle closes: rule 26 at the other end of a session.

use crate::config::Config;
use crate::disk::ALL;
use crate::explore::Found;
use crate::planted::Bug;
use crate::recover::{LOOKED, TO_LOOK, stamped};
use crate::state::{CELLS, GHOSTS, PAGES, State, TOLD_FIRST};
use crate::step::Step;

/// `State::opening`: D's content stands in the other slot, and is synced.
pub const SYNCS: u8 = 41;

/// Everything that it may do next. Nobody else has the database open.
pub fn steps(c: &Config, s: &State, marked: bool, found: &mut Found) {
    if s.opening == SYNCS {
        return synced(c, s, found);
    }
    let w = &s.words;
    let alone = s.writer == 0 && s.leader == 0 && s.opening == 0 && s.second == 0 && s.reader == 0;
    if s.closes == 0 || !alone || marked || w.newest != w.durable {
        return;
    }
    let mut q = *s;
    q.closes -= 1;
    let durable = *s.txn(w.durable);
    let other = s.other_slot();
    let there = s.cache(other);
    let settled = durable.mode == 2 && there != 0 && s.txn(there).id == durable.id;
    let left =
        c.bug(Bug::CloseLeavesManifest) || c.bug(Bug::CloseLeavesOneSlot) && durable.mode == 2;
    if settled || left {
        return closed(c, q, found);
    }
    if usize::from(s.ghosts) + 1 == GHOSTS {
        return;
    }
    (q.chosen, q.chosen_slot, q.known_id) = (w.durable, w.durable_slot, w.last_id);
    q.chosen = stamped(c, &mut q, durable.id);
    q.write(c, other, q.chosen);
    q.opening = SYNCS;
    found.next(q, Step::Closes(SYNCS));
}

fn synced(c: &Config, s: &State, found: &mut Found) {
    let told = s.error & TOLD_FIRST != 0;
    if !told {
        let mut q = *s;
        q.sync_begins(ALL);
        q.sync_succeeds(c);
        (q.words.durable, q.words.durable_slot) = (s.chosen, 1 - s.chosen_slot);
        (q.words.newest, q.words.visible, q.words.list) = (s.chosen, s.chosen, s.chosen);
        closed(c, q, found);
    }
    if told || s.fails > 0 {
        let mut q = *s;
        q.fails -= u8::from(!told);
        q.sync_begins(ALL);
        q.sync_fails();
        gone(&mut q, TO_LOOK);
        found.next(q, Step::OpeningSyncFails(SYNCS));
    }
    if s.kills > 0 {
        let mut q = *s;
        q.kills -= 1;
        q.sync_aborts();
        gone(&mut q, TO_LOOK);
        found.next(q, Step::OpenerDies);
    }
}

fn gone(q: &mut State, first: u8) {
    q.end_processes();
    q.words.first = first;
}

/// It is closed. Until the next opening any one page, or meta, may rot, and the lock file may be
/// another: what is acknowledged is found all the same.
fn closed(c: &Config, mut q: State, found: &mut Found) {
    gone(&mut q, if c.saves > 0 { TO_LOOK } else { LOOKED });
    for rotten in 0..CELLS {
        let at = |cell: usize| if cell == rotten { 0 } else { q.cache(cell) };
        let taken = q.select(c, q.size, &at);
        // The same snapshot may stand there as another session has stamped it.
        let same = |ghost: u8| q.txn(ghost).id == q.txn(q.acked).id;
        if !taken.is_some_and(|(ghost, _)| q.is_built_on(ghost, q.acked) || same(ghost)) {
            let what = if rotten < PAGES { "page" } else { "slot" };
            let what = format!("a {what} that rots behind a close takes g{} back", q.acked);
            return found.wrong(what, Step::Closes(0));
        }
    }
    found.next(q, Step::Closes(0));
}
