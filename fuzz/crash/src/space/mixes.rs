//! Twenty-seven ways to use a database, for as many commits as one likes.

use super::world::{Txn, World};

/// One of them.
pub struct Mix {
    pub name: &'static str,
    roll_backs: bool,
    begin: fn(&mut World),
    /// What happens at commit number `n`.
    commit: fn(&mut World, u64),
}

impl Mix {
    /// A database that is to be used like this.
    pub fn world(&self, seed: u64) -> World {
        let mut world = World::new(seed, self.roll_backs);
        (self.begin)(&mut world);
        world
    }

    pub fn step(&self, world: &mut World, n: u64) {
        (self.commit)(world, n);
    }
}

/// All of them.
pub const MIXES: [Mix; 27] = [
    of("small", |w| load(w, 5_000), |w, _| w.commit(true, small)),
    of("large", |w| load(w, 100), |w, _| w.commit(true, large)),
    of("mixed", |w| load(w, 2_500), |w, _| w.commit(true, mixed)),
    of("mixed, a larger tree", |w| load(w, 20_000), |w, _| w.commit(true, mixed)),
    of("short values", |w| load(w, 1_500), |w, _| w.commit(true, |t| short(t, 600))),
    of(
        "short values, a larger tree",
        |w| load(w, 100_000),
        |w, _| w.commit(true, |t| short(t, 3_000)),
    ),
    of("in turns", |w| load(w, 2_500), |w, n| in_turns(w, n, 2)),
    of("now and then", |w| load(w, 2_500), |w, n| in_turns(w, n, 10)),
    of("growing and shrinking", |w| load(w, 2_500), waves),
    of("tables", |w| load(w, 500), tables),
    of("readers", |w| load(w, 2_500), readers),
    of("three readers stay", |w| readers_stay(w, 3), short_readers),
    of("two stay, others overlap", |w| readers_stay(w, 2), |w, _| overlapping(w, 2, 12)),
    of("three stay, others overlap", |w| readers_stay(w, 3), |w, _| overlapping(w, 3, 50)),
    of("three that change, others overlap", three_long, changing),
    of("one that changes, others overlap", |w| load(w, 4_096), long_and_short),
    of("three readers stay, six come and go", |w| readers_stay(w, 3), six_readers),
    of("three names stay, six come and go", |w| names_stay(w, 3), six_names),
    of("three names stay, readers overlap", |w| names_stay(w, 3), |w, _| overlapping(w, 0, 50)),
    of("three names stay, deferred", |w| names_stay(w, 3), deferred),
    of("names of all ages", |w| load(w, 500), ages),
    of("deferred", |w| load(w, 2_500), deferred),
    of("deferred, a larger tree", |w| load(w, 20_000), deferred),
    of("deferred, from the beginning", load_deferred, deferred),
    Mix { name: "roll-backs", roll_backs: true, begin: |w| load(w, 600), commit: roll_backs },
    of("large deletes", |w| load(w, 20_000), deletes),
    of("a million holes", holes, in_holes),
];

const fn of(name: &'static str, begin: fn(&mut World), commit: fn(&mut World, u64)) -> Mix {
    Mix { name, roll_backs: false, begin, commit }
}

fn load(w: &mut World, leaves: usize) {
    w.commit(true, |t| (0..leaves).for_each(|leaf| t.put(leaf)));
}

/// The durable snapshot is the empty database.
fn load_deferred(w: &mut World) {
    for part in 0..100 {
        w.commit(false, |t| (25 * part..25 * part + 25).for_each(|leaf| t.put(leaf)));
    }
}

fn small(t: &mut Txn<'_>) {
    let count = t.rng.usize(1..=8);
    some_leaves(t, count);
}

fn some_leaves(t: &mut Txn<'_>, count: usize) {
    for _ in 0..count {
        let leaf = t.rng.usize(..t.leaves());
        t.put(leaf);
    }
}

/// One value of 5 to 400 KB.
fn large(t: &mut Txn<'_>) {
    let (value, len) = (t.rng.usize(..50), t.rng.u64(2..=98));
    t.put_large(value, len);
}

fn mixed(t: &mut Txn<'_>) {
    // The large value first, last, or in between.
    let at = t.rng.u32(..4);
    for i in 0..4 {
        if i == at {
            large(t);
        } else {
            let leaf = t.rng.usize(..t.leaves());
            t.put(leaf);
        }
    }
}

/// A few small values, and one of many that take a few pages.
fn short(t: &mut Txn<'_>, values: usize) {
    some_leaves(t, 3);
    let (value, len) = (t.rng.usize(..values), t.rng.u64(2..=8));
    t.put_large(value, len);
}

/// A large value in one commit out of `of`, small ones in the others.
fn in_turns(w: &mut World, n: u64, of: u64) {
    w.commit(true, if n.is_multiple_of(of) { large } else { small });
}

/// Values of all lengths, most of them short; lengths rise and fall with time.
fn waves(w: &mut World, n: u64) {
    let phase = n % 4_000;
    let longest = 1 + phase.min(4_000 - phase) / 10;
    w.commit(true, |t| {
        small(t);
        for _ in 0..2 {
            let value = t.rng.usize(..120);
            let len = t.rng.u64(longest / 2 + 1..=longest + 1);
            t.put_large(value, len);
        }
    });
}

/// A table is filled in some commits and dropped in one; others change.
fn tables(w: &mut World, n: u64) {
    const TABLE: usize = 2_000;
    let (round, step) = (n / 100, n % 100);
    w.commit(true, |t| {
        if step < 20 {
            let first = 500 + (round % 3) as usize * TABLE + step as usize * TABLE / 20;
            (first..first + TABLE / 20).for_each(|leaf| t.put(leaf));
            t.put_large(50 + (round % 3 * 20 + step) as usize, 40);
        } else if step == 20 {
            let table = (round + 1) % 3;
            let first = 500 + table as usize * TABLE;
            (first..first + TABLE).for_each(|leaf| t.erase(leaf));
            (0..20).for_each(|v| t.put_large(50 + (table * 20 + v) as usize, 0));
        }
        for _ in 0..4 {
            let leaf = t.rng.usize(..500);
            t.put(leaf);
        }
        large(t);
    });
}

/// Up to three readers, some of which stay for thousands of commits.
fn readers(w: &mut World, n: u64) {
    if w.readers() < 3 && w.rng.u32(..400) == 0 {
        w.hold();
    }
    if w.readers() > 0 && w.rng.u32(..1_000) == 0 {
        let which = w.rng.usize(..w.readers());
        w.release(which);
    }
    let durable = n.is_multiple_of(3);
    w.commit(durable, mixed);
}

/// So many readers that stay.
fn readers_stay(w: &mut World, count: usize) {
    load(w, 2_500);
    for _ in 0..count {
        w.hold();
        (0..50).for_each(|_| w.commit(true, small));
    }
}

/// One more, which is soon gone.
fn short_readers(w: &mut World, n: u64) {
    if n.is_multiple_of(4) {
        if w.readers() > 3 {
            w.release(3);
        }
        w.hold();
    }
    w.commit(true, small);
}

/// Beside those, one begins at each commit, and is gone `life` commits later.
fn overlapping(w: &mut World, stay: usize, life: usize) {
    overlapping_with(w, stay, life, small);
}

fn overlapping_with(w: &mut World, stay: usize, life: usize, work: impl FnMut(&mut Txn<'_>)) {
    if w.readers() >= stay + life {
        w.release_oldest_but(stay);
    }
    w.hold();
    w.commit(true, work);
}

/// Three readers, and what each sees alone is most of the file.
fn three_long(w: &mut World) {
    load(w, 500);
    for _ in 0..3 {
        w.hold();
        (0..30).for_each(|_| w.commit(true, |t| some_leaves(t, 500)));
    }
}

/// Most leaves in each commit, and a reader at each, which is gone 40 commits later; but for three,
/// of which the oldest ends now and then, and the oldest of the others stays in its place.
fn changing(w: &mut World, n: u64) {
    let turn = n % 85;
    if turn == 80 {
        w.release_oldest_but(0);
    }
    if turn < 80 {
        overlapping_with(w, 3, 40, |t| some_leaves(t, 500));
    } else {
        w.commit(true, |t| some_leaves(t, 60));
    }
}

/// One that ends after 512 commits, and 32 that last for 256 each.
fn long_and_short(w: &mut World, n: u64) {
    if n.is_multiple_of(512) {
        w.release_oldest_but(0);
    }
    if n.is_multiple_of(8) {
        if w.readers() >= 33 {
            w.release_oldest_but(1);
        }
        w.hold();
    }
    w.commit(true, |t| {
        some_leaves(t, 6);
        large(t);
    });
}

/// So many names that stay.
fn names_stay(w: &mut World, count: usize) {
    load(w, 2_500);
    for _ in 0..count {
        w.name();
        (0..50).for_each(|_| w.commit(true, small));
    }
}

/// Six more readers, with much that changes between them, all gone at once; then small commits.
fn six_readers(w: &mut World, n: u64) {
    match n % 250 {
        0..6 => {
            w.hold();
            w.commit(true, |t| some_leaves(t, 1_000));
        }
        6 => (0..6).for_each(|_| w.release_oldest_but(3)),
        _ => w.commit(true, small),
    }
}

/// The same with names.
fn six_names(w: &mut World, n: u64) {
    match n % 250 {
        0..6 => {
            w.name();
            w.commit(true, |t| some_leaves(t, 1_000));
        }
        6 => w.names()[3..].iter().for_each(|&name| w.drop_name(name)),
        _ => w.commit(true, small),
    }
}

/// A name in each tenth commit. Most are dropped four names later, each eighth 64 later.
fn ages(w: &mut World, n: u64) {
    if n.is_multiple_of(10) {
        w.name();
        let names = w.names();
        let newest = names.last().map_or(0, |name| name.0);
        for name in names {
            let life = if name.0 / 10 % 8 == 0 { 64 } else { 4 };
            if (newest - name.0) / 10 >= life {
                w.drop_name(name);
            }
        }
    }
    w.commit(n.is_multiple_of(3), |t| some_leaves(t, 40));
}

fn deferred(w: &mut World, _: u64) {
    // Others flush too.
    if w.rng.u32(..1_500) == 0 {
        w.flush();
    }
    w.commit(false, mixed);
}

fn roll_backs(w: &mut World, _: u64) {
    match w.rng.u32(..3_000) {
        0..100 => w.flush(),
        100 => {
            w.hold();
            w.roll_back();
        }
        101..105 => w.roll_back(),
        105..110 if w.readers() < 2 => w.hold(),
        200..300 if w.readers() > 0 => w.release(0),
        _ => {}
    }
    w.commit(false, mixed);
}

/// Now and then most of the leaves go in one commit; small commits write them again.
fn deletes(w: &mut World, n: u64) {
    w.commit(true, |t| {
        if n % 10_000 == 5_000 {
            (0..20_000).filter(|leaf| leaf % 8 != 0).for_each(|leaf| t.erase(leaf));
        }
        let leaf = n as usize * 8 % 20_000;
        (leaf..leaf + 8).for_each(|leaf| t.put(leaf));
        if n.is_multiple_of(8) {
            large(t);
        }
    });
}

const HOLES: usize = 1_000_000;

/// Every other page is free.
fn holes(w: &mut World) {
    load(w, 2 * HOLES);
    w.commit(true, |t| (0..2 * HOLES).step_by(2).for_each(|leaf| t.erase(leaf)));
}

fn in_holes(w: &mut World, _: u64) {
    w.commit(true, |t| {
        for _ in 0..3 {
            let leaf = t.rng.usize(..HOLES) * 2 + 1;
            t.put(leaf);
        }
        large(t);
    });
}
