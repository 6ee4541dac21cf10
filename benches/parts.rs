//! The parts by themselves, in memory: no disk and no flush in these figures.
//!
//!     cargo bench -p recto-benches --bench parts [-- FILTER]

use recto_benches as work;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn parts(c: &mut Criterion) {
    for work in work::all() {
        let mut group = c.benchmark_group(work.name);
        group.throughput(Throughput::Elements(work.times));
        // Made by the closure, so that what a filter leaves out is not made.
        group.bench_function("each", |b| {
            let mut run = (work.ready)(work.keys[0]);
            b.iter(&mut run);
        });
        group.finish();
    }
}

criterion_group!(all, parts);
criterion_main!(all);
