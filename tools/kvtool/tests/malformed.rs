//! Files that are not what they should be: cut off at any length, with bytes changed, with another
//! magic, version or page size. Every verb gives an answer or an error; none panics, is ended by a
//! signal or hangs.

mod common;
use common::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const PAGE: usize = 4096;

/// What a page's header and its dense arrays take: there every byte is changed.
const DENSE: usize = 160;
/// What the fields of a meta page take.
const META: usize = 560;
/// Elsewhere every so many bytes one is changed.
const STRIDE: usize = 83;

/// A small database with everything in it: branch and leaf pages, overflow runs, free pages, two
/// tables.
fn sound() -> (Place, Vec<u8>) {
    let p = Place::new();
    let lines: String = (0..60).map(|i| format!("key{i:03}\t{}\n", "v".repeat(150 + i))).collect();
    p.load(&lines);
    p.file("in/large", [5; 9000]);
    p.run("load", [p.path("in").to_str().unwrap(), "-t", "files"]).ok();
    for key in ["key010", "key020", "key030"] {
        p.run("del", [key]).ok();
    }
    p.run("put", ["key005", "new"]).ok();
    p.assert_clean();
    let bytes = std::fs::read(p.db()).unwrap();
    // Room to grow into is of no interest.
    let used = bytes.iter().rposition(|&b| b != 0).unwrap() + 1;
    assert!(used.div_ceil(PAGE) >= 8, "too small to say anything: {used} bytes");
    (p, bytes)
}

const READERS: [(&str, &[&str]); 7] = [
    ("scan", &[]),
    ("info", &[]),
    ("check", &[]),
    ("get", &["key040"]),
    ("dump", &["-a"]),
    ("tables", &[]),
    ("get", &["large", "-t", "files", "--raw"]),
];

/// A place whose database is made anew from bytes for every run.
struct Bench {
    place: Place,
}

impl Bench {
    fn new() -> Bench {
        Bench { place: Place::new() }
    }

    fn set(&self, bytes: &[u8]) {
        std::fs::write(self.place.db(), bytes).unwrap();
        // What another file's users shared.
        match std::fs::remove_file(lock_of(&self.place.db())) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => panic!("{e}"),
            _ => {}
        }
    }

    /// Runs a verb: it must end by itself, with one of the codes there are, and say why if it could
    /// not.
    fn run(&self, verb: &str, args: &[&str], case: &str) -> Ran {
        let ran = self.place.run(verb, args);
        let fine = match ran.code {
            Some(0) => true,
            Some(1) => matches!(verb, "check" | "get" | "del" | "scan" | "dump" | "stat"),
            Some(2) => {
                ran.stderr.starts_with("kvtool: ") && ran.stderr.trim_end().lines().count() <= 2
            }
            _ => false,
        };
        assert!(fine, "{case}: {verb} {args:?}: {:?}\n{}", ran.code, ran.stderr);
        ran
    }

    /// Runs every verb that reads, and one that writes.
    fn run_all(&self, bytes: &[u8], case: &str) {
        self.set(bytes);
        for (verb, args) in READERS {
            self.run(verb, args, case);
        }
        assert_eq!(std::fs::read(self.place.db()).unwrap(), bytes, "{case}: a reader wrote");
        self.run("put", &["new key", "new value"], case);
    }
}

/// Spreads cases over two threads.
fn over<T: Sync>(cases: &[T], run: impl Fn(&Bench, &T) + Sync) {
    let (left, right) = cases.split_at(cases.len() / 2);
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        for half in [left, right] {
            let (run, done) = (&run, &done);
            scope.spawn(move || {
                let bench = Bench::new();
                for case in half {
                    run(&bench, case);
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if done % 1_000 == 0 {
                        alive(&format!("malformed: {done} of {} changed files", cases.len()));
                    }
                }
            });
        }
    });
}

#[test]
fn cut_off_at_any_length() {
    let (p, bytes) = sound();
    // Behind the last page, room to grow into: the first two pages of it stand for the others.
    let end = bytes.iter().rposition(|&b| b != 0).unwrap() + 2 * PAGE;
    let mut lengths: Vec<usize> = (0..end).step_by(1021).collect();
    for page in (0..end).step_by(PAGE) {
        lengths.extend([page, page + 1, (page + PAGE).min(bytes.len()) - 1]);
    }
    over(&lengths, |bench, &len| bench.run_all(&bytes[..len], &format!("cut to {len} bytes")));
    drop(p);
}

#[test]
fn any_byte_changed() {
    let (p, bytes) = sound();
    let used = bytes.iter().rposition(|&b| b != 0).unwrap() + 1;
    let dense = |at: usize| at % PAGE < if at < 2 * PAGE { META } else { DENSE };
    let places: Vec<usize> = (0..used).filter(|&at| dense(at) || at % STRIDE == 0).collect();
    over(&places, |bench, &at| {
        let mut changed = bytes.clone();
        changed[at] ^= [0xff, 0x01, 0x80, 0x10][at % 4];
        bench.set(&changed);
        let case = format!("byte {at} changed");
        for (verb, args) in [READERS[0], READERS[1 + at % (READERS.len() - 1)]] {
            bench.run(verb, args, &case);
        }
    });
    drop(p);
}

#[test]
fn writing_to_a_damaged_file() {
    let (p, bytes) = sound();
    let used = bytes.iter().rposition(|&b| b != 0).unwrap() + 1;
    let places: Vec<usize> = (0..used).filter(|at| at % PAGE < 48 && at % 2 == 0).collect();
    over(&places, |bench, &at| {
        let mut changed = bytes.clone();
        changed[at] ^= 0xff;
        bench.set(&changed);
        let case = format!("byte {at} changed");
        bench.run("put", &["key015", "new"], &case);
        bench.run("del", &["key025"], &case);
        bench.run("scan", &[], &case);
    });
    drop(p);
}

/// Bytes at the same offset in both meta pages.
fn in_both_metas(bytes: &[u8], offset: usize, new: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for meta in [0, PAGE] {
        changed[meta + offset..][..new.len()].copy_from_slice(new);
        // A checksum that fits: what is refused is the field and not the sum.
        let crc = crc32_with_zero_at(&changed[meta..meta + PAGE], 508);
        changed[meta + 508..meta + 512].copy_from_slice(&crc.to_le_bytes());
    }
    changed
}

/// The crc32 of docs/format.md over a page, with the four bytes at `at` taken as zero.
fn crc32_with_zero_at(page: &[u8], at: usize) -> u32 {
    let mut crc = !0u32;
    for (i, &byte) in page.iter().enumerate() {
        crc ^= u32::from(if (at..at + 4).contains(&i) { 0 } else { byte });
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[test]
fn the_checksum_above_is_the_format_s() {
    let (p, bytes) = sound();
    for meta in [&bytes[..PAGE], &bytes[PAGE..2 * PAGE]] {
        assert_eq!(crc32_with_zero_at(meta, 508).to_le_bytes(), meta[508..512]);
    }
    drop(p);
}

#[test]
fn another_magic_version_or_page_size() {
    let (p, bytes) = sound();
    let bench = Bench::new();
    for (offset, new, expected) in [
        (0, &b"RECTO\r\n\x1a"[..], "not a recto database"),
        (8, &3u32.to_le_bytes(), "version 3"),
        (8, &u32::MAX.to_le_bytes(), "version 4294967295"),
        (12, &8192u32.to_le_bytes(), ""),
        (12, &0u32.to_le_bytes(), ""),
        (12, &3u32.to_le_bytes(), ""),
        (12, &u32::MAX.to_le_bytes(), ""),
    ] {
        let case = format!("{new:?} at {offset}");
        bench.set(&in_both_metas(&bytes, offset, new));
        for (verb, args) in READERS.iter().filter(|(verb, _)| *verb != "check") {
            let said = bench.run(verb, args, &case).said(2);
            assert!(said.contains(expected), "{case}: {said}");
        }
        assert_ne!(bench.run("check", &[], &case).code, Some(0), "{case}");
        bench.run("put", &["a", "b"], &case).said(2);
    }
    drop(p);
}

#[test]
fn fields_of_the_meta_with_a_checksum_that_fits() {
    let (p, bytes) = sound();
    // Every field up to the end of the queues, and the first entries of the body.
    let offsets: Vec<usize> = (16..264).chain(512..600).collect();
    over(&offsets, |bench, &offset| {
        for new in [0x00, 0x01, 0xff] {
            bench.set(&in_both_metas(&bytes, offset, &[new]));
            let case = format!("{new:#x} at {offset} of both metas");
            for (verb, args) in [READERS[0], READERS[1 + offset % (READERS.len() - 1)]] {
                bench.run(verb, args, &case);
            }
        }
        // The file as the last of them left it.
        bench.run("put", &["a", "b"], &format!("0xff at {offset} of both metas"));
    });
    drop(p);
}

#[test]
fn random_bytes() {
    let bench = Bench::new();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut noise = |len: usize| -> Vec<u8> {
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    };
    for len in [1, 511, PAGE, 2 * PAGE, 20 * PAGE + 7] {
        bench.run_all(&noise(len), &format!("{len} random bytes"));
        bench.run_all(&vec![0; len], &format!("{len} zeros"));
    }
}

/// What `check` passes is right: no byte can change without a fault, an error, or one of the two
/// last commits as the answer (damage to the newest one alone looks like a crash while it was
/// written, and the one before it is taken).
#[test]
fn what_check_passes_is_right() {
    let (p, bytes) = sound();
    let answer = |place: &Place| place.run("dump", ["-a"]).stdout;
    let newest = answer(&p);
    p.run("put", ["key005", "another"]).ok();
    let bytes = {
        let before = bytes;
        let after = std::fs::read(p.db()).unwrap();
        assert_ne!(before, after);
        after
    };
    let right = [newest, answer(&p)];
    let used = bytes.iter().rposition(|&b| b != 0).unwrap() + 1;
    let places: Vec<usize> = (0..used).step_by(STRIDE).collect();
    let passed = AtomicUsize::new(0);
    over(&places, |bench, &at| {
        let mut changed = bytes.clone();
        changed[at] ^= 0x04;
        bench.set(&changed);
        if bench.run("check", &[], &format!("byte {at} changed")).code == Some(0) {
            passed.fetch_add(1, Ordering::Relaxed);
            let answer = answer(&bench.place);
            assert!(right.contains(&answer), "check passes with byte {at} changed");
        }
    });
    // The value of three pages and some leaves stand in both commits: no damage to them is passed
    // over.
    let found = places.len() - passed.into_inner();
    assert!(found >= 5 * PAGE / STRIDE, "only {found} of {} changes were found", places.len());
}
