//! The search through all states, breadth first.

use crate::machine::{Model, State};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

/// How a search ended: all states, something wrong with a way to it, or the bound.
pub enum Verdict {
    Pass(usize),
    Fail(String, Vec<String>, usize),
    Bounded(usize),
}

/// Two of these with different seeds make a hash of 128 bits.
struct Mixer(u64);
impl Mixer {
    fn m(&mut self, x: u64) {
        self.0 = (self.0.rotate_left(5) ^ x).wrapping_mul(0x517cc1b727220a95);
        self.0 ^= self.0 >> 29;
    }
}
impl std::hash::Hasher for Mixer {
    fn finish(&self) -> u64 {
        let mut x = self.0;
        x ^= x >> 32;
        x = x.wrapping_mul(0xd6e8feb86659fd93);
        x ^= x >> 32;
        x
    }
    fn write(&mut self, b: &[u8]) {
        for c in b.chunks(8) {
            let mut v = [0u8; 8];
            v[..c.len()].copy_from_slice(c);
            self.m(u64::from_le_bytes(v));
        }
    }
    fn write_u8(&mut self, x: u8) {
        self.m(x as u64)
    }
    fn write_usize(&mut self, x: usize) {
        self.m(x as u64)
    }
}
fn hash_of(s: &State) -> u128 {
    use std::hash::{Hash, Hasher};
    let mut a = Mixer(0x9E3779B97F4A7C15);
    s.hash(&mut a);
    let mut b = Mixer(0xC2B2AE3D27D4EB4F);
    s.hash(&mut b);
    ((a.finish() as u128) << 64) | b.finish() as u128
}
impl Model {
    /// Goes through all states until something is wrong.
    pub fn check(&self) -> Verdict {
        let s0 = self.initial();
        let mut seen: HashMap<u128, (u128, String), std::hash::BuildHasherDefault<SameHash>> =
            HashMap::default();
        let h0 = hash_of(&s0);
        seen.insert(h0, (0, String::new()));
        let mut q = VecDeque::new();
        q.push_back((s0, h0));
        let mut n = 0;
        let trace =
            |seen: &HashMap<u128, (u128, String), std::hash::BuildHasherDefault<SameHash>>,
             mut h: u128,
             last: String| {
                let mut v = vec![last];
                while h != h0 {
                    let (p, l) = &seen[&h];
                    v.push(l.clone());
                    h = *p
                }
                v.reverse();
                v
            };
        while let Some((s, h)) = q.pop_front() {
            n += 1;
            let su = self.successors(&s);
            if su.is_empty() && !self.deadlock_ok && s.threads.iter().any(|t| !t.dead && !t.done) {
                let who: Vec<_> = s
                    .threads
                    .iter()
                    .enumerate()
                    .filter(|(_, t)| !t.dead && !t.done)
                    .map(|(i, t)| {
                        format!(
                            "{}@{}{}",
                            self.progs[i].name,
                            t.pc,
                            if t.asleep != 0 { " asleep" } else { "" }
                        )
                    })
                    .collect();
                return Verdict::Fail(
                    format!("STUCK: {}", who.join(",")),
                    trace(&seen, h, "(no step possible)".into()),
                    n,
                );
            }
            for (l, x) in su {
                match x {
                    Err(e) => return Verdict::Fail(e, trace(&seen, h, l), n),
                    Ok(x) => {
                        let hx = hash_of(&x);
                        if let std::collections::hash_map::Entry::Vacant(e) = seen.entry(hx) {
                            e.insert((h, if n < 400_000 { l } else { String::new() }));
                            q.push_back((x, hx))
                        }
                    }
                }
            }
            if seen.len() > self.max {
                return Verdict::Bounded(seen.len());
            }
        }
        Verdict::Pass(n)
    }
}
/// Hashes are their own hash.
#[derive(Default)]
struct SameHash(u64);
impl std::hash::Hasher for SameHash {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!()
    }
    fn write_u128(&mut self, x: u128) {
        self.0 = x as u64
    }
}

static TRACES: AtomicBool = AtomicBool::new(false);
static WRONG: AtomicBool = AtomicBool::new(false);

/// Whether ways to what is found are printed, also where it was expected.
pub fn print_traces(yes: bool) {
    TRACES.store(yes, Relaxed);
}

/// Whether all that ran went as it should.
pub fn all_as_expected() -> bool {
    !WRONG.load(Relaxed)
}

/// Runs a model that must pass, or must be refuted.
pub fn expect(name: &str, expect: bool, m: &Model) {
    let t = Instant::now();
    let v = m.check();
    let e = t.elapsed().as_secs_f64();
    let verbose = TRACES.load(Relaxed);
    if matches!(v, Verdict::Fail(..)) == expect {
        WRONG.store(true, Relaxed);
    }
    match v {
        Verdict::Pass(n) => println!(
            "{} {:<66} pass  {:>8} states {:5.1}s",
            if expect { "ok " } else { "???" },
            name,
            n,
            e
        ),
        Verdict::Bounded(n) => println!(
            "{} {:<66} no violation within {} states (bound) {:5.1}s",
            if expect { "ok~" } else { "???" },
            name,
            n,
            e
        ),
        Verdict::Fail(w, t, n) => {
            println!(
                "{} {:<66} FAIL  {:>8} states {:5.1}s  {} steps: {}",
                if expect { "???" } else { "ok " },
                name,
                n,
                e,
                t.len(),
                w
            );
            if verbose || expect {
                for x in t {
                    println!("        {}", x)
                }
            }
        }
    }
}
