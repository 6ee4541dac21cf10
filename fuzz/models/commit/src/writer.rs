//! The write transaction: what it may use again (rules 2 to 5), its pages, and building (rule 8).

use crate::config::Config;
use crate::explore::Found;
use crate::planted::Bug;
use crate::state::{GHOSTS, Named, PAGES, REPAIR, SYNC_FAILED, State, TREE, Txn, WAITS};
use crate::step::Step;

/// Everything that the writer may do next. `marked`: the repair mark is up.
pub fn steps(c: &Config, s: &State, marked: bool, found: &mut Found) {
    let free = s.opening == 0 || c.bug(Bug::RepairWithoutWriterLock);
    // Whoever built it has died: the next makes it durable first, or takes it back.
    let unlisted = awaited(c) && s.txn(s.words.newest).unlisted > s.txn(s.words.durable).id;
    let may_begin = free && (!marked || s.opening != 0) && !unlisted && s.ghosts < c.most;
    let alone = s.leader == 0 && s.words.newest == s.words.visible;
    if c.split {
        if s.writer == 0 && may_begin && (c.group || alone) {
            let mut q = *s;
            (q.writer, q.protected) = (10, 1 << s.words.newest);
            found.next(q, Step::Collects(b'b'));
        }
        collect(c, s, found);
        if s.writer == 20 && free && s.ghosts < c.most {
            allocate(c, s, found);
        }
    } else if s.writer == 0 && may_begin && (c.group || alone) {
        allocate(c, s, found);
    }
    // A builder that leads a repair does nothing else meanwhile.
    if s.writer == 1 && free {
        spill(c, s, found);
        build(c, s, found);
    }
    if matches!(s.writer, 1 | WAITS) && free && s.kills > 0 {
        dies(s, found);
    }
}

/// Rule 8: who builds what the list does not name keeps the writer lock until it is durable.
fn awaited(c: &Config) -> bool {
    !c.bug(Bug::DeferredOnUnlisted)
        && !c.bug(Bug::UnlistedRolledBack)
        && !c.bug(Bug::UnlistedNotAwaited)
}

fn dies(s: &State, found: &mut Found) {
    let mut q = *s;
    q.kills -= 1;
    q.end_writer();
    found.next(q, Step::WriterDies);
}

/// Rule 2, a step at a time: F, D with the slots, V, the readers.
fn collect(c: &Config, s: &State, found: &mut Found) {
    let order: &[u8; 4] = match c.bug {
        Some(Bug::FlushTargetReadLast) => b"vdfr",
        Some(Bug::ReadersBeforeVisible) => b"fdrv",
        _ => b"fdvr",
    };
    if (10..14).contains(&s.writer) {
        let mut q = *s;
        let what = order[usize::from(s.writer) - 10];
        match what {
            b'f' => q.protected |= 1 << s.words.flushing,
            b'd' => {
                q.protected |= 1 << s.words.durable;
                if c.protect_slots {
                    q.protected |= 1 << s.cache(PAGES) | 1 << s.cache(PAGES + 1);
                }
            }
            b'v' => q.protected |= 1 << s.words.visible,
            _ if s.reader_step >= 2 => q.protected |= 1 << s.reader,
            _ => {}
        }
        q.protected &= !1;
        q.writer = if s.writer == 13 { 20 } else { s.writer + 1 };
        found.next(q, Step::Collects(what));
    }
    if s.writer >= 10 && s.kills > 0 {
        dies(s, found);
    }
}

/// Rule 36: whether nothing keeps a page for a named snapshot of the base. One that was dropped is
/// needed as long as a state that lists it is.
fn is_free_of_named(c: &Config, s: &State, birth: u8, death: u8) -> bool {
    let base = s.txn(s.words.newest);
    let sees = |id: u8| id != 0 && birth <= id && id < death;
    if sees(base.named.id) && !c.bug(Bug::NamedNotProtected) {
        return false;
    }
    let dropped = base.dropped;
    if !sees(dropped.id) || c.bug(Bug::DroppedNotAwaited) {
        return true;
    }
    let w = &s.words;
    let listing = |ghost: u8| (dropped.created..dropped.dropped).contains(&s.txn(ghost).id);
    let states = [s.reader, w.visible, w.durable, w.flushing, s.cache(PAGES), s.cache(PAGES + 1)];
    s.txn(w.visible).id >= dropped.dropped && !states.into_iter().any(|g| g != 0 && listing(g))
}

/// Rule 4: whether a page that was born and died under these ids may be used again.
fn is_reusable(c: &Config, s: &State, birth: u8, death: u8, was_log: bool) -> bool {
    if c.named && !is_free_of_named(c, s, birth, death) {
        return false;
    }
    let is_free_of = |ghost: u8| {
        let id = s.txn(ghost).id;
        ghost == 0 || !(birth <= id && id < death)
    };
    if c.split {
        return (1..GHOSTS as u8).all(|g| s.protected >> g & 1 == 0 || is_free_of(g));
    }
    let w = &s.words;
    let [a, b] = [s.cache(PAGES), s.cache(PAGES + 1)];
    if c.bug(Bug::OnlySlotsProtected) {
        return [a, b, w.newest, s.reader].into_iter().all(is_free_of);
    }
    let mut protected = vec![w.newest];
    if !was_log && !c.bug(Bug::ReadersNotProtected) {
        protected.push(s.reader);
    }
    if !c.bug(Bug::VisibleNotProtected) {
        protected.push(w.visible);
    }
    if c.bug(Bug::OnlyNewestSlotProtected) {
        protected.push(if s.txn(a).id > s.txn(b).id { a } else { b });
    } else {
        protected.push(w.durable);
        if !c.bug(Bug::FlushTargetNotProtected) {
            protected.push(w.flushing);
        }
        if c.protect_slots {
            protected.extend([a, b]);
        }
    }
    protected.into_iter().all(is_free_of)
}

/// What a transaction does with the free log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Log {
    Nothing,
    /// Writes a free-log page where one was reserved, and reserves the next.
    Spills,
    /// Reads the free-log page to its end: it is free.
    Drains,
}

/// A transaction: which pages it rewrites, in which order it takes free ones, what it does with the
/// free log.
fn allocate(c: &Config, s: &State, found: &mut Found) {
    let base = *s.txn(s.words.newest);
    // Rule 5: a reader stands on what was rolled back.
    let pinned = s.reader != 0
        && (!c.split || s.reader_step >= 2)
        && !s.is_built_on(s.words.newest, s.reader)
        && !c.bug(Bug::DeadSnapshotNotProtected);
    // The highest count falls when nothing stands above it and nobody reads what was rolled back.
    let all_durable = s.words.newest == s.words.durable;
    let forgets = c.forget_high && all_durable && (!pinned || c.bug(Bug::HighForgotten));
    let high = if forgets { base.high } else { s.words.high };
    let mut dead: Vec<(u8, u8)> = Vec::new();
    let mut fresh: Vec<u8> = Vec::new();
    for page in 0..c.pages {
        let (birth, death) = (base.birth[usize::from(page)], base.death[usize::from(page)]);
        if birth == 0 {
            if !(pinned && page < high) {
                fresh.push(page);
            }
        } else if death != 0
            && !pinned
            && is_reusable(c, s, birth, death, base.was_log >> page & 1 != 0)
        {
            dead.push((death, page));
        }
    }
    dead.sort_unstable();
    let dead: Vec<u8> = dead.into_iter().rev().map(|(_, page)| page).collect();
    let logs: &[Log] = match (c.log, usize::from(base.log) == PAGES) {
        (false, _) => &[Log::Nothing],
        (true, true) => &[Log::Nothing, Log::Spills],
        (true, false) => &[Log::Nothing, Log::Drains],
    };
    let mut seen: Vec<State> = Vec::new();
    for rewrites in (1..1u8 << TREE).filter(|set| set.count_ones() <= u32::from(c.rewrites)) {
        for deferred in [false, true] {
            if !(if deferred { c.deferred } else { c.durable }) {
                continue;
            }
            for order in 0..c.orders {
                let list: Vec<u8> = match order {
                    0 => dead.iter().chain(&fresh).copied().collect(),
                    _ => fresh.iter().chain(&dead).copied().collect(),
                };
                if list.len() < rewrites.count_ones() as usize {
                    continue;
                }
                found.reuses += u64::from(order == 0 && !dead.is_empty());
                for &log in logs {
                    for unlisted in [false, true] {
                        if unlisted && !c.unlisted {
                            continue;
                        }
                        for naming in namings(c, s, &base) {
                            let want = Want { rewrites, deferred, unlisted, log, high, naming };
                            let taken = take(c, s, &base, &list, want, pinned, found);
                            let Some((q, step)) = taken else { continue };
                            if !seen.contains(&q) {
                                seen.push(q);
                                found.next(q, step);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What a transaction does with the named snapshot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    Nothing,
    /// Its base gets the name.
    Names,
    Drops,
}

fn namings(c: &Config, s: &State, base: &Txn) -> Vec<Naming> {
    let mut all = vec![Naming::Nothing];
    if c.named && base.named.id == 0 && base.dropped.id == 0 {
        all.push(Naming::Names);
    }
    // Rule 37.
    let durable = base.named.created <= s.txn(s.words.durable).id;
    if base.named.id != 0 && (durable || c.bug(Bug::DroppedUndurable)) {
        all.push(Naming::Drops);
    }
    all
}

#[derive(Clone, Copy)]
struct Want {
    rewrites: u8,
    deferred: bool,
    unlisted: bool,
    log: Log,
    /// Highest page count that counts from here on.
    high: u8,
    naming: Naming,
}

/// The state with this transaction begun; None if there are not enough pages.
fn take(
    c: &Config,
    s: &State,
    base: &Txn,
    list: &[u8],
    want: Want,
    pinned: bool,
    found: &mut Found,
) -> Option<(State, Step)> {
    let ghost = s.ghosts + 1;
    let id = s.words.last_id + 1;
    let Want { rewrites, deferred, unlisted, log, high, naming } = want;
    let mut q = *s;
    q.words.high = high;
    let mut t =
        Txn { id, ancestors: base.ancestors | 1 << ghost, deferred: deferred.into(), ..*base };
    (t.mode, t.manifest) = (0, [0; PAGES]);
    t.unlisted = if unlisted { id } else { base.unlisted };
    match naming {
        Naming::Nothing => {}
        Naming::Names => {
            let (page, writer) = (base.page, base.writer);
            t.named = Named { id: base.id, created: id, dropped: 0, page, writer };
        }
        Naming::Drops => {
            t.dropped = Named { dropped: id, ..base.named };
            t.named = Named::default();
        }
    }
    let step = Step::Allocates { ghost, rewrites, deferred };
    let mut list = list.iter().copied();
    let mut fresh = |q: &mut State, t: &mut Txn, found: &mut Found| {
        let page = list.next()?;
        (t.birth[usize::from(page)], t.death[usize::from(page)]) = (id, 0);
        t.was_log &= !(1 << page);
        t.high = t.high.max(page + 1);
        look_for_readers(c, s, ghost, page, step, found);
        if page >= q.size {
            q.size = page + 1;
            if c.grow_sync {
                (q.disk_size, q.size_since) = (1 << page, 1 << page);
            } else {
                q.disk_size |= 1 << page;
                q.size_since |= 1 << page;
            }
        }
        if c.direct {
            q.write(c, usize::from(page), 0);
        }
        Some(page)
    };
    if c.copies {
        q.base_durable = u8::from(s.words.newest == s.words.durable);
        let is_other = |i: &usize| {
            let shown = s.bytes_of(c, s.cache(usize::from(base.page[*i])));
            rewrites >> i & 1 != 0 && shown != s.bytes_of(c, base.writer[*i])
        };
        if (0..TREE).any(|i| is_other(&i)) || s.tainted & base.ancestors != 0 {
            q.tainted |= 1 << ghost;
        }
    }
    for i in (0..TREE).filter(|i| rewrites >> i & 1 != 0) {
        t.death[usize::from(t.page[i])] = id;
        t.page[i] = fresh(&mut q, &mut t, found)?;
        t.writer[i] = ghost;
    }
    match log {
        Log::Nothing => {}
        Log::Spills => {
            look_for_readers(c, s, ghost, t.tail, step, found);
            (t.log, t.log_writer) = (t.tail, ghost);
            t.birth[usize::from(t.log)] = id;
            t.tail = fresh(&mut q, &mut t, found)?;
        }
        Log::Drains => {
            let page = usize::from(t.log);
            // Rule 23: what it names is used only if it is what was built.
            if c.copies && s.words.newest != s.words.durable {
                let told = s.unasked != 0 || s.words.suspect & SYNC_FAILED != 0;
                if told && !c.bug(Bug::LogNotProved) {
                    return None; // it asks, and gives up; whoever begins next repairs
                }
                if s.bytes_of(c, s.cache(page)) != s.bytes_of(c, t.log_writer) {
                    let what = format!("g{ghost} writes where an older log page says");
                    found.wrong(what, step);
                }
            }
            t.death[page] = id;
            // Snapshots from before it was written have it reserved: a roll-back to one of them
            // will write there. Readers never will.
            if !c.bug(Bug::LogPageFreeTooEarly) {
                t.birth[page] = 1;
                t.was_log |= 1 << page;
            }
            (t.log, t.log_writer) = (PAGES as u8, 0);
        }
    }
    if c.shrink {
        while t.high > TREE as u8 {
            let last = usize::from(t.high) - 1;
            let (birth, death) = (t.birth[last], t.death[last]);
            let is_free = birth == 0
                || death != 0 && death != id && !pinned && is_reusable(c, s, birth, death, false);
            if !is_free {
                break;
            }
            (t.birth[last], t.death[last]) = (0, 0);
            t.high -= 1;
        }
    }
    q.txn[usize::from(ghost)] = t;
    (q.id[usize::from(ghost)], q.ghosts) = (id, ghost);
    (q.writer, q.protected, q.building, q.rewrites) = (1, 0, ghost, rewrites);
    q.spills_log = u8::from(log == Log::Spills);
    Some((q, step))
}

/// I2: nobody may see the page who may still look.
fn look_for_readers(c: &Config, s: &State, ghost: u8, page: u8, step: Step, found: &mut Found) {
    let reader = if c.split && s.reader_step < 3 { 0 } else { s.reader };
    for seen in [reader, s.words.visible, s.words.newest] {
        let leads_to = |seen: &Txn| {
            seen.page.contains(&page) || seen.named.pages().any(|(named, _)| named == page)
        };
        if seen != 0 && leads_to(s.txn(seen)) {
            let what = format!("g{ghost} writes to page {page}, which g{seen} leads to");
            found.wrong(what, step);
        }
    }
}

/// Some of its pages reach the page cache before it is built.
fn spill(c: &Config, s: &State, found: &mut Found) {
    if !c.spill || s.spilled != 0 {
        return;
    }
    for pages in (1..1u8 << TREE).filter(|set| set & !s.rewrites == 0) {
        let mut q = *s;
        write_pages(c, &mut q, pages);
        q.spilled = pages;
        found.next(q, Step::Spills { ghost: s.building, pages });
    }
}

fn write_pages(c: &Config, s: &mut State, pages: u8) {
    let t = *s.txn(s.building);
    for i in (0..TREE).filter(|i| pages >> i & 1 != 0) {
        s.write(c, usize::from(t.page[i]), s.building);
    }
}

/// Rule 8: all pages are in the page cache, then W moves.
fn build(c: &Config, s: &State, found: &mut Found) {
    let ghost = s.building;
    let t = *s.txn(ghost);
    // What stands before a transaction that is larger than the list is flushed first.
    let base = s.words.newest;
    if t.unlisted == t.id && base != s.words.durable && !c.bug(Bug::UnlistedOnUnflushed) {
        return;
    }
    // Rule 23: it has read all that it reads.
    if c.copies && s.base_durable == 0 && base != s.words.durable {
        if s.unasked != 0 && !c.bug(Bug::WriteBackNotAskedFor) {
            let mut q = *s;
            q.unasked = 0;
            q.words.suspect |= REPAIR | SYNC_FAILED;
            return found.next(q, Step::Asks(ghost));
        }
        if s.words.suspect & SYNC_FAILED != 0 {
            return; // it leads a repair
        }
    }
    let lost =
        (0..TREE).any(|i| s.spilled >> i & 1 != 0 && s.cache(usize::from(t.page[i])) != ghost);
    if lost {
        // It reads the page again, to change it once more.
        let mut q = *s;
        q.end_writer();
        if c.bug(Bug::SpilledPageNotVerified) {
            let what = format!("g{ghost} seals a page anew that is not the one it spilled");
            found.wrong(what, Step::Builds(ghost));
        }
        found.next(q, Step::GivesUp(ghost));
    }
    let mut q = *s;
    write_pages(c, &mut q, s.rewrites & !s.spilled);
    if s.spills_log != 0 {
        q.write(c, usize::from(t.log), ghost);
    }
    q.end_writer();
    if t.unlisted == t.id && awaited(c) {
        q.writer = WAITS;
    }
    (q.words.newest, q.words.list, q.words.last_id) = (ghost, ghost, t.id);
    q.words.high = q.words.high.max(t.high);
    let step = Step::Builds(ghost);
    // On what cannot be proved after a fault nothing is shown before it is durable, nor above
    // the limit of ids.
    let durable = s.txn(s.words.durable);
    let unproved = t.unlisted > durable.id
        && !c.bug(Bug::DeferredOnUnlisted)
        && !c.bug(Bug::UnlistedRolledBack);
    let no_id = c.id_limit > 0 && t.id > durable.id_limit && !c.bug(Bug::ShownAboveIdLimit);
    let early = c.bug(Bug::AcknowledgedWhenBuilt);
    let is_shown = t.deferred == 1 && !unproved && !no_id || early;
    if is_shown && let Some(what) = q.show(c, ghost) {
        found.wrong(what, step);
    }
    if early && t.deferred == 0 {
        q.acked = ghost;
    }
    if c.bug(Bug::DeferredStoresMeta) && t.deferred == 1 && q.leader == 0 {
        crate::flush::set_manifest(c, &mut q, ghost);
        let slot = q.other_slot();
        q.write(c, slot, ghost);
    }
    found.next(q, step);
}
