//! Several threads or processes at one database.

use crate::child::{self, Done, Task};
use crate::contest::{Context, Sample};
use crate::database::{Data, Db};
use crate::engine::{Engine, Mode};
use crate::keys::Keys;
use crate::outcome::{Failure, Outcome, expect_eq, is_stopped};
use crate::workloads::read::{READS, get_all};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

/// Where a device is slow, commits end after this time.
const BUDGET: Duration = Duration::from_secs(2);
/// Commits of all threads or processes together.
const COMMITS: usize = 800;
/// Reads between two snapshots beside a writer.
const PER_SNAPSHOT: usize = 1_000;
/// Keys that the writer beside readers replaces in a commit.
const PER_COMMIT: usize = 10;

/// Random indexes of keys that belong to one of several parts.
pub fn picks_of_part(seed: u64, part: usize, parts: usize, keys: usize, count: usize) -> Vec<u32> {
    let mut rng = fastrand::Rng::with_seed(seed ^ (part as u64 + 1) << 32);
    (0..count).map(|_| (rng.usize(..keys / parts) * parts + part) as u32).collect()
}

fn joined<T>(thread: ScopedJoinHandle<'_, Outcome<T>>) -> Outcome<T> {
    thread.join().unwrap_or_else(|_| Err(Failure::Error("a thread panicked".into())))
}

/// Gives each part to a thread and lets all of them begin together. The time is from the begin of
/// the first to the end of the last, by their own clocks: this thread may be given a core too late
/// to take it.
fn side_by_side<P: Sync, T: Send>(
    cx: &Context,
    parts: &[P],
    work: impl Fn(&P) -> Outcome<T> + Sync,
    ops: impl Fn(&T) -> usize,
) -> Outcome<(Sample, Vec<T>)> {
    let barrier = Barrier::new(parts.len());
    let meter = cx.start();
    let done = std::thread::scope(|scope| {
        let (barrier, work) = (&barrier, &work);
        let start = |part| {
            scope.spawn(move || {
                barrier.wait();
                let start = Instant::now();
                let result = work(part)?;
                Ok((start, Instant::now(), result))
            })
        };
        let threads: Vec<_> = parts.iter().map(start).collect();
        threads.into_iter().map(joined).collect::<Outcome<Vec<_>>>()
    })?;
    let count = done.iter().map(|(_, _, result)| ops(result)).sum::<usize>().max(1);
    let mut sample = meter.stop(count as u64);
    let first = done.iter().map(|(start, _, _)| *start).min();
    let last = done.iter().map(|(_, end, _)| *end).max();
    if let (Some(first), Some(last)) = (first, last) {
        sample.figure = (last - first).as_nanos() as f64 / count as f64;
    }
    Ok((sample, done.into_iter().map(|(_, _, result)| result).collect()))
}

pub fn read_threads<E: Engine>(db: &Db<E>, cx: &mut Context, threads: usize) -> Outcome<Sample> {
    let reads = READS.min(cx.sizes().keys);
    let picks = cx.picks(reads * threads);
    let parts: Vec<_> = picks.chunks(reads).map(|part| cx.data.gather(part)).collect();
    let engine = db.engine()?;
    let read = |keys: &Keys| engine.read(|reader| get_all(reader, keys));
    let (mut sample, got) = side_by_side(cx, &parts, read, |_| reads)?;
    let add = |all: (u64, u64), one: &(u64, u64)| (all.0 + one.0, all.1.wrapping_add(one.1));
    let got = got.iter().fold((0, 0), add);
    let want = (picks.len() as u64, db.heads(cx.data, &picks));
    expect_eq("keys found by threads and sum of their values", got, want)?;
    sample.extra.push(("ns each thread".into(), sample.figure * threads as f64));
    Ok(sample)
}

pub fn beside_writer<E: Engine>(db: &mut Db<E>, cx: &mut Context) -> Outcome<Sample> {
    let data = cx.data;
    let reads = READS.min(cx.sizes().keys);
    // The writer changes even indexes and the reader asks for odd ones, so that each sum is known.
    let picks: Vec<u32> = cx.picks(reads).iter().map(|i| (i | 1).min(last_odd(data))).collect();
    let parts: Vec<_> = picks.chunks(PER_SNAPSHOT).map(|part| data.gather(part)).collect();
    let (len, first) = (db.value_len, db.clock);
    let batches = picks_of_part(cx.seed, 0, 2, data.keys.len(), 100_000);
    let engine = db.engine()?;
    let over = AtomicBool::new(false);
    let (mut sample, got, commits) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut commits = 0;
            for (batch, version) in batches.chunks(PER_COMMIT).zip(first..) {
                if over.load(Relaxed) {
                    break;
                }
                engine.put_all(batch.iter().map(|i| {
                    let i = *i as usize;
                    (data.keys.get(i), data.values.get(i, version, len))
                }))?;
                commits += 1;
            }
            Ok(commits)
        });
        let meter = cx.start();
        let got = parts.iter().try_fold((0, 0u64), |all, keys| {
            let (found, sum) = engine.read(|reader| get_all(reader, keys))?;
            Ok::<_, Failure>((all.0 + found, all.1.wrapping_add(sum)))
        });
        let sample = meter.stop(picks.len() as u64);
        over.store(true, Relaxed);
        let commits: usize = joined(writer)?;
        Ok::<_, Failure>((sample, got?, commits))
    })?;
    let want = (picks.len() as u64, db.heads(data, &picks));
    expect_eq("keys found beside a writer and sum of their values", got, want)?;
    for (batch, version) in batches.chunks(PER_COMMIT).take(commits).zip(first..) {
        db.note(batch, version);
    }
    db.clock += commits as u32;
    let seconds = sample.figure * sample.ops as f64 / 1e9;
    sample.device = None;
    sample.extra.push(("commits/s beside".into(), commits as f64 / seconds));
    Ok(sample)
}

fn last_odd(data: &Data) -> u32 {
    (data.keys.len() as u32 / 2) * 2 - 1
}

/// Durable commits of one key until `count` are done or the time is up; how long each took.
pub fn timed_commits<E: Engine>(
    engine: &E,
    count: usize,
    mut pair: impl FnMut(usize) -> (Vec<u8>, Vec<u8>),
) -> Outcome<Vec<u64>> {
    let begin = Instant::now();
    let mut latencies = Vec::with_capacity(count);
    for at in 0..count {
        let (key, value) = pair(at);
        let start = Instant::now();
        engine.put_all(std::iter::once((&key[..], &value[..])))?;
        latencies.push(start.elapsed().as_nanos() as u64);
        if begin.elapsed() > BUDGET || is_stopped() {
            break;
        }
    }
    Ok(latencies)
}

pub fn commit_threads<E: Engine>(
    db: &mut Db<E>,
    cx: &mut Context,
    threads: usize,
) -> Outcome<Sample> {
    let data = cx.data;
    let (keys, len, first) = (data.keys.len(), db.value_len, db.clock);
    let count = COMMITS / threads;
    let parts: Vec<_> =
        (0..threads).map(|t| picks_of_part(cx.seed, t, threads, keys, count)).collect();
    let engine = db.engine()?;
    let commit = |picks: &Vec<u32>| {
        timed_commits(engine, count, |at| {
            let i = picks[at] as usize;
            let value = data.values.get(i, first + at as u32, len);
            (data.keys.get(i).to_vec(), value.to_vec())
        })
    };
    let (mut sample, done) = side_by_side(cx, &parts, commit, Vec::len)?;
    note_commits(db, data, &parts, &done.iter().map(Vec::len).collect::<Vec<_>>())?;
    sample.latencies_ns = done.concat();
    cx.guard.check()?;
    Ok(sample)
}

/// Takes note of what each part has done: its n-th commit wrote version `clock + n`.
fn note_commits<E: Engine>(
    db: &mut Db<E>,
    data: &Data,
    parts: &[Vec<u32>],
    done: &[usize],
) -> Outcome<()> {
    let first = db.clock;
    for (picks, done) in parts.iter().zip(done) {
        for (pick, version) in picks[..*done].iter().zip(first..) {
            db.note(&[*pick], version);
        }
    }
    db.clock += done.iter().max().copied().unwrap_or(0) as u32;
    for (picks, done) in parts.iter().zip(done) {
        db.verify_some(data, &picks[..*done])?;
    }
    Ok(())
}

/// Every process works on its own part; the time is from the word to go to the answer of the last.
fn processes<E: Engine>(
    db: &Db<E>,
    cx: &Context,
    parts: usize,
    task: Task,
) -> Outcome<(Sample, Vec<Done>)> {
    let mut children = vec![];
    for part in 0..parts {
        let sizes = cx.sizes();
        let spec = child::Spec {
            engine: E::NAME.into(),
            dir: db.dir.clone(),
            shape: sizes.shape,
            keys: sizes.keys,
            value_len: db.value_len,
            seed: cx.seed,
            part,
            parts,
            first: db.clock,
            task,
        };
        children.push(child::Child::start(&spec)?);
    }
    children.iter_mut().try_for_each(child::Child::wait_until_ready)?;
    let meter = cx.start();
    children.iter_mut().try_for_each(child::Child::go)?;
    let done: Vec<Done> = children.iter_mut().map(child::Child::done).collect::<Outcome<_>>()?;
    Ok((meter.stop(done.iter().map(|d| d.ops as u64).sum()), done))
}

pub fn commit_processes<E: Engine>(
    db: &mut Db<E>,
    cx: &mut Context,
    count: usize,
) -> Outcome<Sample> {
    let each = COMMITS / count;
    let (mut sample, done) = processes(db, cx, count, Task::Commit(each))?;
    let keys = cx.data.keys.len();
    let parts: Vec<_> = (0..count).map(|p| picks_of_part(cx.seed, p, count, keys, each)).collect();
    note_commits(db, cx.data, &parts, &done.iter().map(|d| d.ops).collect::<Vec<_>>())?;
    sample.latencies_ns = done.into_iter().flat_map(|d| d.latencies_ns).collect();
    Ok(sample)
}

pub fn read_processes<E: Engine>(
    db: &mut Db<E>,
    cx: &mut Context,
    count: usize,
) -> Outcome<Sample> {
    let keys = cx.data.keys.len();
    let reads = READS.min(keys);
    // Opened again, so that engines with a write-ahead log have everything in the file.
    db.open(Mode::Durable)?;
    let (sample, done) = processes(db, cx, count, Task::Read(reads))?;
    for (part, done) in done.iter().enumerate() {
        let picks = picks_of_part(cx.seed, part, count, keys, reads);
        let want = (picks.len(), db.heads(cx.data, &picks));
        expect_eq("keys found by a process and their sum", (done.found as usize, done.sum), want)?;
    }
    Ok(sample)
}
