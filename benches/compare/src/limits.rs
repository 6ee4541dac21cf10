//! What the machine gives without any engine, measured in the same run.

use crate::database::Data;
use crate::keys::{head, pair_head, whole};
use crate::outcome::{Guard, Outcome, expect_eq};
use crate::report::{Limit, median, time};
use memmap2::{Advice, MmapMut};
use std::collections::BTreeMap;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

/// Keys that are put into a BTreeMap, at most: it takes a multiple of their bytes.
const MOST_IN_MEMORY: usize = 20_000_000;

/// Bytes of the block for memory and disk bandwidth; little where there are few keys, for tests.
fn block_bytes(data: &Data) -> usize {
    if data.keys.len() < 100_000 { 4 << 20 } else { 1 << 30 }
}

/// Measures one thing in every round.
fn repeat(
    list: &mut Vec<Limit>,
    name: &str,
    unit: &str,
    rounds: usize,
    guard: &mut Guard,
    mut once: impl FnMut() -> Outcome<f64>,
) -> Outcome<()> {
    let mut figures = vec![];
    for _ in 0..rounds {
        guard.check()?;
        figures.push(once()?);
    }
    list.push(Limit {
        name: name.into(),
        unit: unit.into(),
        median: median(&figures).unwrap_or(0.0),
        min: figures.iter().copied().reduce(f64::min).unwrap_or(0.0),
        max: figures.iter().copied().reduce(f64::max).unwrap_or(0.0),
    });
    Ok(())
}

fn ns_each(start: Instant, ops: usize) -> f64 {
    start.elapsed().as_nanos() as f64 / ops as f64
}

/// The four limits that ratios depend on most.
pub fn in_a_line(limits: &[Limit]) -> String {
    let named = |name: &str| limits.iter().find(|limit| limit.name == name).map(|l| l.median);
    let [load, flush] = [LOAD, FLUSH].map(|name| named(name).map_or("-".into(), time));
    let [memory, disk] =
        [MEMORY, DISK].map(|name| named(name).map_or("-".into(), |v| format!("{v:.1}")));
    format!(
        "dependent load {load}, bare flush {flush}, sequential read {memory} GiB/s of memory, {disk} of the disk"
    )
}

/// Names of the limits that stand at the top too.
const LOAD: &str = "dependent load";
const FLUSH: &str = "4 KiB pwrite + fdatasync";
const MEMORY: &str = "memory, sequential read";
const DISK: &str = "disk, cold sequential read";

pub fn measure(data: &Data, dir: &Path, rounds: usize, guard: &mut Guard) -> Outcome<Vec<Limit>> {
    let mut list = vec![];
    disk(&mut list, data, dir, rounds, guard)?;
    memory(&mut list, data, rounds, guard)?;
    sorted_array(&mut list, data, rounds, guard)?;
    if data.keys.len() <= MOST_IN_MEMORY {
        btree_map(&mut list, data, rounds, guard)?;
    }
    Ok(list)
}

fn disk(
    list: &mut Vec<Limit>,
    data: &Data,
    dir: &Path,
    rounds: usize,
    guard: &mut Guard,
) -> Outcome<()> {
    let folder = dir.join("limits");
    std::fs::create_dir_all(&folder)?;
    let file = File::options().read(true).write(true).create_new(true).open(folder.join("file"))?;
    let size = block_bytes(data).min(256 << 20);
    let piece = vec![7u8; 1 << 20];
    for at in (0..size).step_by(piece.len()) {
        file.write_all_at(&piece, at as u64)?;
    }
    file.sync_all()?;
    let mut rng = fastrand::Rng::with_seed(5);
    for (name, len) in [(FLUSH, 4 << 10), ("16 KiB pwrite + fdatasync", 16 << 10)] {
        repeat(list, name, "ns", rounds, guard, || {
            let count = 100;
            let start = Instant::now();
            for _ in 0..count {
                let at = rng.usize(..(size - len) / 4096) * 4096;
                file.write_all_at(&piece[..len], at as u64)?;
                file.sync_data()?;
            }
            Ok(ns_each(start, count))
        })?;
    }
    repeat(list, DISK, "GiB/s", rounds, guard, || {
        crate::device::forget(&folder)?;
        let start = Instant::now();
        crate::device::cat(&folder)?;
        Ok(size as f64 / (1u64 << 30) as f64 / start.elapsed().as_secs_f64())
    })?;
    drop(file);
    Ok(std::fs::remove_dir_all(&folder)?)
}

/// Bytes of a cache line.
const LINE: usize = 64;

/// One cycle through all cache lines of a block: where it goes on stands at the begin of each line.
/// Without huge pages, as the map of a file has none.
fn chase_ring(bytes: usize) -> Outcome<MmapMut> {
    let mut ring = MmapMut::map_anon(bytes)?;
    ring.advise(Advice::NoHugePage)?;
    let mut order: Vec<u32> = (0..(bytes / LINE) as u32).collect();
    fastrand::Rng::with_seed(9).shuffle(&mut order);
    for (at, next) in order.iter().zip(order.iter().cycle().skip(1)) {
        let line = &mut ring[*at as usize * LINE..][..4];
        line.copy_from_slice(&next.to_ne_bytes());
    }
    Ok(ring)
}

#[inline(always)]
fn next_line(ring: &[u8], at: usize) -> usize {
    ring[at * LINE..].first_chunk().map_or(0, |next| u32::from_ne_bytes(*next) as usize)
}

/// Follows several chains at the same time.
fn chase<const CHAINS: usize>(ring: &[u8], begin: &mut [usize; CHAINS], steps: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..steps {
        for at in begin.iter_mut() {
            *at = next_line(ring, *at);
        }
    }
    black_box(&begin);
    ns_each(start, steps * CHAINS)
}

fn memory(list: &mut Vec<Limit>, data: &Data, rounds: usize, guard: &mut Guard) -> Outcome<()> {
    let bytes = block_bytes(data);
    let ring = chase_ring(bytes)?;
    let mut rng = fastrand::Rng::with_seed(10);
    let mut one = [0];
    repeat(list, LOAD, "ns", rounds, guard, || Ok(chase(&ring, &mut one, 1_000_000)))?;
    let mut eight = [(); 8].map(|()| rng.usize(..bytes / LINE));
    repeat(list, "dependent load, 8 chains", "ns", rounds, guard, || {
        Ok(chase(&ring, &mut eight, 500_000))
    })?;
    repeat(list, MEMORY, "GiB/s", rounds, guard, || {
        let start = Instant::now();
        black_box(whole(&ring));
        Ok(bytes as f64 / (1u64 << 30) as f64 / start.elapsed().as_secs_f64())
    })
}

const READS: usize = 300_000;

fn random_picks(data: &Data) -> Vec<u32> {
    let mut rng = fastrand::Rng::with_seed(12);
    (0..READS.min(data.keys.len())).map(|_| rng.u32(..data.keys.len() as u32)).collect()
}

/// Binary search over keys that stand side by side in order; their values are elsewhere.
fn sorted_array(
    list: &mut Vec<Limit>,
    data: &Data,
    rounds: usize,
    guard: &mut Guard,
) -> Outcome<()> {
    let sorted = data.gather(&data.sorted);
    let picks = random_picks(data);
    let asked = data.gather(&picks);
    repeat(list, "sorted array, get", "ns", rounds, guard, || {
        let mut found = 0;
        let start = Instant::now();
        for key in asked.iter() {
            let (mut low, mut len) = (0, sorted.len());
            while len > 1 {
                let half = len / 2;
                low = if sorted.get(low + half) <= key { low + half } else { low };
                len -= half;
            }
            found += usize::from(sorted.get(low) == key);
        }
        let ns = ns_each(start, picks.len());
        expect_eq("keys found by binary search", found, picks.len())?;
        Ok(ns)
    })
}

fn btree_map(list: &mut Vec<Limit>, data: &Data, rounds: usize, guard: &mut Guard) -> Outcome<()> {
    let len = data.sizes.value_len;
    let map: BTreeMap<Box<[u8]>, Box<[u8]>> = data
        .shuffled
        .iter()
        .map(|i| (data.keys.get(*i as usize).into(), data.values.get(*i as usize, 0, len).into()))
        .collect();
    let picks = random_picks(data);
    let asked = data.gather(&picks);
    let gets = || {
        let heads = asked.iter().filter_map(|key| map.get(key)).map(|value| head(value));
        heads.fold((0, 0u64), |(count, sum), head| (count + 1, sum.wrapping_add(head)))
    };
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    for threads in if cores > 1 { vec![1, cores] } else { vec![1] } {
        let name = format!("BTreeMap, get, {threads} thread{}", if threads > 1 { "s" } else { "" });
        repeat(list, &name, "ns", rounds, guard, || {
            let start = Instant::now();
            let found: usize = std::thread::scope(|scope| {
                let all: Vec<_> =
                    (0..threads).map(|_| scope.spawn(|| black_box(gets()).0)).collect();
                all.into_iter().map(|thread| thread.join().unwrap_or(0)).sum()
            });
            let ns = ns_each(start, picks.len() * threads);
            expect_eq("keys found in a BTreeMap", found, picks.len() * threads)?;
            Ok(ns)
        })?;
    }
    repeat(list, "BTreeMap, scan", "ns", rounds, guard, || {
        let start = Instant::now();
        let sum = map.iter().fold(0u64, |sum, (k, v)| sum.wrapping_add(pair_head(k, v)));
        black_box(sum);
        Ok(ns_each(start, map.len()))
    })
}
