//! The workloads: everything that stores to the file in a different way, in small.

use crate::world::World;

/// Inserts, deletes, splits, merges, values on pages of their own, dropped tables, growth, reuse of freed
/// pages, commits too large for a manifest, group commits, deferred commits, readers, two processes.
pub fn script(w: &mut World) {
    w.durable(0, |t| t.put("main", "first", 20));
    w.durable(0, |t| (0..120).for_each(|i| t.put("main", &format!("key{i:04}"), 60)));
    w.durable(1, |t| (0..120).step_by(3).for_each(|i| t.delete("main", &format!("key{i:04}"))));
    w.hold_reader(2);
    for i in 0..6 {
        w.durable(i % 2, |t| t.put("main", &format!("key{:04}", i * 17), 30 + i));
    }
    w.deferred(0, |t| t.put("main", "deferred", 10));
    w.deferred(1, |t| t.put("big", "value", 9_000));
    w.durable(0, |t| t.put("main", "key0001", 500));
    w.end_reader();
    group(w);
    // Two-phase: more pages than a manifest takes.
    w.durable(0, |t| (0..90).for_each(|i| t.put("wide", &format!("{i:05}"), 1_300)));
    w.hold_reader(2);
    w.deferred(1, |t| t.drop_table("wide"));
    w.durable(1, |t| (0..12).for_each(|i| t.put("again", &format!("{i}"), 3_000)));
    for i in 0..8 {
        w.deferred(i % 2, |t| {
            t.put("again", &format!("{i}"), 200);
            t.put("main", &format!("churn{}", i % 3), 700);
        });
    }
    w.end_reader();
    group(w);
    w.deferred(0, |t| (0..70).for_each(|i| t.put("wide", &format!("{i:05}"), 900)));
    w.durable(1, |t| t.put("big", "value", 14_000));
    w.durable(0, |t| t.drop_table("again"));
    for i in 0..5 {
        w.durable(i % 2, |t| t.put("big", &format!("v{i}"), 4_000 + 1_000 * i));
    }
    w.durable(0, |t| (0..70).for_each(|i| t.delete("wide", &format!("{i:05}"))));
    w.durable(0, |t| t.drop_table("main"));
    // The end of the file is given back.
    w.durable(0, |t| (0..300).for_each(|i| t.put("tail", &format!("{i:05}"), 1_300)));
    w.durable(0, |t| t.drop_table("tail"));
    for i in 0..6 {
        w.durable(i % 2, |t| t.put("end", "of", i));
    }
}

/// Two commits are built before either is flushed: one flush carries both. Then a flush is led by one process while
/// another has built a deferred commit on top.
fn group(w: &mut World) {
    let a = w.build(0, |t| t.put("group", "a", 50));
    let b = w.build(1, |t| t.put("group", "b", 5_000));
    w.deferred(0, |t| t.put("group", "c", 70));
    w.finish_commit(0, a);
    w.finish_commit(1, b);
    w.durable(0, |t| t.delete("group", "a"));
    // A deferred commit is visible, and its pages die in commits that are built and not yet visible: a reader
    // that comes now must find them.
    w.deferred(0, |t| t.put("group", "d", 10));
    let c = w.build(1, |t| t.put("group", "d", 20));
    let d = w.build(0, |t| t.put("group", "d", 30));
    let e = w.build(1, |t| t.put("group", "d", 40));
    w.hold_reader(2);
    w.finish_commit(1, c);
    w.finish_commit(0, d);
    w.finish_commit(1, e);
    w.end_reader();
}

/// The same kinds of commits, few of each: it is run once for each of its events.
pub fn short_script(w: &mut World) {
    w.durable(0, |t| (0..40).for_each(|i| t.put("main", &format!("key{i:04}"), 120)));
    w.durable(1, |t| t.put("main", "key0003", 200));
    w.deferred(0, |t| t.put("main", "key0009", 210));
    w.hold_reader(2);
    w.deferred(1, |t| t.put("big", "value", 9_000));
    w.durable(0, |t| t.put("main", "key0011", 220));
    group(w);
    w.durable(1, |t| (0..24).for_each(|i| t.put("wide", &format!("{i:05}"), 1_900)));
    w.end_reader();
    w.deferred(0, |t| t.drop_table("wide"));
    for i in 0..4 {
        w.durable(i % 2, |t| t.put("main", &format!("key{i:04}"), 300));
    }
    w.deferred(1, |t| t.put("big", "value", 100));
}
