//! The leader of a flush: rules 9 to 16.

use crate::config::Config;
use crate::disk::ALL;
use crate::explore::Found;
use crate::planted::Bug;
use crate::state::{
    GHOSTS, PAGES, REPAIR, SEEN, SYNC_FAILED, State, TOLD_FIRST, TOLD_SECOND, TREE, WAITS,
};
use crate::step::Step;

/// Rule 10: makes the meta of `ghost`, with a manifest of all pages that it leads to and that were
/// born after D, if they fit.
pub fn set_manifest(c: &Config, s: &mut State, ghost: u8) -> bool {
    let durable = *s.txn(s.words.durable);
    let t = *s.txn(ghost);
    let mut manifest = [0; PAGES];
    let mut count = 0;
    for i in s.pages_since(ghost, s.words.durable) {
        count += 1;
        if !c.bug(Bug::ManifestOfLastCommit) || t.writer[i] == ghost {
            manifest[usize::from(t.page[i])] = t.writer[i];
        }
    }
    // Rule 37: what a named snapshot sees is not done with; of one that was dropped it is only if
    // it was durable before.
    for (page, writer) in t.named.pages().chain(t.dropped.pages()) {
        let told = c.bug(Bug::NamedPagesTold) && !t.page.contains(&page);
        let place = &mut manifest[usize::from(page)];
        if s.id[usize::from(writer)] > durable.id && *place == 0 && !told {
            *place = writer;
            count += 1;
        }
    }
    if usize::from(t.log) < PAGES && t.birth[usize::from(t.log)] > durable.id {
        count += 1;
        manifest[usize::from(t.log)] = t.log_writer;
    }
    if c.bug(Bug::DeadPagesInManifest) {
        for (page, place) in manifest.iter_mut().enumerate() {
            let is_dead = *place == 0 && t.death[page] != 0 && t.birth[page] > durable.id;
            let writer = (1..GHOSTS as u8).find(|g| s.id[usize::from(*g)] == t.birth[page]);
            if let (true, Some(writer)) = (is_dead, writer) {
                *place = writer;
                count += 1;
            }
        }
    }
    let sealed = count <= c.manifest && t.unlisted <= durable.id;
    let t = &mut s.txn[usize::from(ghost)];
    (t.mode, t.manifest) = if sealed { (1, manifest) } else { (2, [0; PAGES]) };
    if c.id_limit > 0 {
        t.id_limit = t.id_limit.max(t.id + c.id_limit);
    }
    sealed
}

/// Everything that a leader may do next.
pub fn steps(c: &Config, s: &State, marked: bool, found: &mut Found) {
    if s.leader == 0 {
        let idle = s.opening == 0 && !marked && (c.group || s.writer == 0 || s.writer == WAITS);
        if idle && s.words.newest != s.words.durable {
            begin(c, s, false, found);
            if s.second != 0 && s.second - 1 <= s.txn(s.words.durable).id {
                begin(c, s, true, found);
            }
        }
        return;
    }
    let (ghost, slot) = (s.target, slot_of(c, s));
    let next = |step: u8, change: &dyn Fn(&mut State), found: &mut Found| {
        let mut q = *s;
        q.leader = step;
        change(&mut q);
        found.next(q, Step::Flush { ghost, step });
    };
    let end = |q: &mut State| {
        (q.target, q.before, q.second_leads, q.words.flushing) = (0, 0, 0, 0);
        q.words.synced = 0;
    };
    match s.leader {
        1 => {
            let mut q = *s;
            mark(c, &mut q);
            found.next(q, Step::Flush { ghost, step: q.leader });
        }
        2 => next(3, &|q| q.sync_begins(range(c, q)), found),
        3 | 12 => synced(c, s, found),
        4 => {
            let mut q = *s;
            q.leader = 5;
            if c.unlisted && !c.bug(Bug::SyncedNotSaid) {
                q.words.synced = ghost;
            }
            let shown = if s.is_built_on(ghost, s.words.visible) { q.show(c, ghost) } else { None };
            let step = Step::Flush { ghost, step: 5 };
            if let Some(what) = shown {
                found.wrong(what, step);
            }
            found.next(q, step);
        }
        5 => next(
            6,
            &|q| {
                (q.words.durable, q.words.durable_slot) = (ghost, (slot - PAGES) as u8);
                q.acked = ghost;
                q.flush_ended();
            },
            found,
        ),
        6 => next(0, &end, found),
        11 if c.bug(Bug::TwoPhaseWithoutDataSync) => next(13, &|_| {}, found),
        11 => next(12, &|q| q.sync_begins(ALL), found),
        13 => next(2, &|q| q.write(c, slot, ghost), found),
        // Failed: the mark first; then, as an option, the old bytes of the slot and a sync.
        20 if c.restore => next(21, &|q| failed(q), found),
        20 => next(
            0,
            &|q| {
                failed(q);
                end(q);
            },
            found,
        ),
        21 => next(22, &|q| q.write(c, slot, q.before), found),
        22 => restored(c, s, found),
        30 => next(
            0,
            &|q| {
                failed(q);
                definite(c, q);
            },
            found,
        ),
        _ => {}
    }
}

/// Rule 15. Until then another process that had the file open is told of the failure too.
fn failed(s: &mut State) {
    s.words.suspect |= REPAIR | SYNC_FAILED;
    s.error &= !told(s);
    s.flush_ended();
}

fn told(s: &State) -> u8 {
    if s.second_leads != 0 { TOLD_SECOND } else { TOLD_FIRST }
}

fn slot_of(c: &Config, s: &State) -> usize {
    if c.bug(Bug::SlotByParity) && s.target != 0 {
        return PAGES + usize::from(s.txn(s.target).id & 1);
    }
    s.other_slot()
}

/// Cells that the sync covers.
fn range(c: &Config, s: &State) -> u16 {
    if !c.bug(Bug::SyncOfLastCommit) {
        return ALL;
    }
    let t = s.txn(s.target);
    let own = (0..TREE).filter(|&i| t.writer[i] == s.target);
    own.fold(3 << PAGES, |cells, i| cells | 1 << t.page[i])
}

/// Rule 9: F := W.
fn begin(c: &Config, s: &State, second: bool, found: &mut Found) {
    let mut q = *s;
    (q.target, q.second_leads) = (s.words.newest, second.into());
    if c.bug(Bug::TargetMarkedLate) {
        q.leader = 1;
        found.next(q, Step::Targets { ghost: q.target, sealed: false, second });
        return;
    }
    if c.fresh {
        for i in s.pages_since(q.target, s.words.durable) {
            let page = usize::from(s.txn(q.target).page[i]);
            q.write(c, page, q.cache(page));
        }
        for (page, _) in s.named_since(q.target, s.words.durable) {
            q.write(c, usize::from(page), q.cache(usize::from(page)));
        }
    }
    let sealed = mark(c, &mut q);
    found.next(q, Step::Targets { ghost: q.target, sealed, second });
}

fn mark(c: &Config, q: &mut State) -> bool {
    q.words.flushing = q.target;
    let sealed = set_manifest(c, q, q.target);
    let slot = slot_of(c, q);
    q.before = q.cache(slot);
    if sealed || c.bug(Bug::TwoPhaseInOneSync) {
        q.write(c, slot, q.target);
        q.leader = 2;
    } else {
        q.leader = 11;
    }
    sealed
}

/// The end of a sync.
fn synced(c: &Config, s: &State, found: &mut Found) {
    let data = s.leader == 12;
    let is_told = s.error & told(s) != 0;
    if !is_told {
        let mut q = *s;
        q.leader = if data { 13 } else { 4 };
        q.sync_succeeds(c);
        found.next(q, Step::Flush { ghost: s.target, step: q.leader });
    }
    let handles = c.spill || c.unlisted;
    let mut refused = |mut q: State| {
        q.leader = if data { 30 } else { 20 };
        found.next(q, Step::FlushSyncFails { ghost: s.target, step: s.leader });
    };
    if handles && is_told {
        // An older failure: this time all pages get there.
        let mut q = *s;
        q.sync_succeeds(c);
        q.io = 1;
        refused(q);
    }
    if s.fails > 0 || is_told && !handles {
        let mut q = *s;
        // Also where this sync is told of an older failure: what it loses itself is another one.
        if c.copies && !c.bug(Bug::SyncAskedOnly) {
            q.unasked = 1;
        }
        if handles {
            // All who have the file open will be told.
            q.fails -= 1;
            q.error = (q.error | TOLD_FIRST) & !SEEN | if s.second != 0 { TOLD_SECOND } else { 0 };
        } else {
            q.fails -= u8::from(!is_told);
            q.error &= !told(s);
        }
        q.sync_fails();
        refused(q);
    }
}

/// The sync after the old bytes of the slot were put back.
fn restored(c: &Config, s: &State, found: &mut Found) {
    let is_told = s.error & TOLD_FIRST != 0;
    let ghost = s.target;
    if !is_told {
        let mut q = *s;
        q.sync_begins(ALL);
        q.sync_succeeds(c);
        q.leader = 0;
        definite(c, &mut q);
        found.next(q, Step::Flush { ghost, step: 0 });
    }
    if is_told || s.fails > 0 {
        let mut q = *s;
        q.fails -= u8::from(!is_told);
        q.sync_begins(ALL);
        q.sync_fails();
        q.error &= !TOLD_FIRST;
        (q.leader, q.target, q.words.flushing, q.before) = (0, 0, 0, 0);
        found.next(q, Step::FlushSyncFails { ghost, step: 22 });
    }
}

/// The failure is reported. If nobody has seen the newest transaction, and nobody can have built on
/// it, it is gone for good.
fn definite(c: &Config, q: &mut State) {
    (q.target, q.before, q.words.flushing, q.second_leads) = (0, 0, 0, 0);
    if c.definite && !c.group && q.words.visible != q.words.newest {
        q.refused |= 1 << q.words.newest;
        q.words.newest = q.words.visible;
        if c.bug(Bug::IdsUsedTwice) {
            q.words.last_id = q.txn(q.words.visible).id;
        }
    }
    if c.bug(Bug::MarkClearedByRestore) {
        q.words.suspect = 0;
    }
}
