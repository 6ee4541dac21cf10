//! Keys, values and the order in which they are asked for. All of it follows from numbers, so that
//! another process makes the same ones.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What keys look like. Keys that are in a database have even numbers, those that never are odd
/// ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// 8 bytes, spread over all values.
    U64,
    /// 8 bytes, ascending.
    Sequential,
    /// A UUID as text, 36 bytes.
    Uuid,
    /// A URL with long shared prefixes, about 80 bytes.
    Url,
}

/// A number spread over all values, a different one for each `i`.
pub fn spread(i: u64) -> u64 {
    let mut x = i.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Shape {
    /// Appends key number `i`.
    fn write(self, i: u64, to: &mut Vec<u8>) {
        use std::io::Write;
        let a = spread(i);
        match self {
            Shape::U64 => to.extend_from_slice(&a.to_be_bytes()),
            Shape::Sequential => to.extend_from_slice(&i.to_be_bytes()),
            Shape::Uuid => {
                let b = spread(a);
                let (high, low) = (a >> 32, b & 0xffff_ffff_ffff);
                let (mid, version, variant) =
                    (a >> 16 & 0xffff, a & 0xfff, b >> 48 & 0x3fff | 0x8000);
                write!(to, "{high:08x}-{mid:04x}-4{version:03x}-{variant:04x}-{low:012x}")
                    .expect("a vector takes everything");
            }
            Shape::Url => {
                let (site, section) = (a % 50, a / 50 % 40);
                write!(to, "https://shop-{site:02}.example.com/catalogue/section-{section:03}/item/{i:012}.html")
                    .expect("a vector takes everything");
            }
        }
    }
}

/// Many keys side by side.
#[derive(Default)]
pub struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    /// The keys of these numbers.
    pub fn of(shape: Shape, numbers: impl Iterator<Item = u64>) -> Keys {
        let mut keys = Keys::default();
        for i in numbers {
            shape.write(i, &mut keys.bytes);
            keys.ends.push(keys.bytes.len());
        }
        keys
    }

    pub fn get(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).map(|at| self.get(at))
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }
}

/// Values: slices of a block of random bytes, so that none has to be made while a clock runs. Which
/// slice follows from the number of the key and how often the value was replaced.
pub struct Values {
    block: Vec<u8>,
}

impl Values {
    const STARTS: u64 = 1 << 16;
    /// Always at hand. The block's length must be the same in every process, its last bytes follow
    /// from it.
    pub const LONGEST: usize = 1 << 20;

    /// Values of up to `longest` bytes, or [`Values::LONGEST`].
    pub fn new(longest: usize) -> Values {
        let mut block = vec![0; Values::STARTS as usize + longest.max(Values::LONGEST)];
        fastrand::Rng::with_seed(11).fill(&mut block);
        Values { block }
    }

    /// The value of a key in some version.
    #[inline]
    pub fn get(&self, index: usize, version: u32, len: usize) -> &[u8] {
        let start = spread((index as u64) << 24 ^ u64::from(version)) % Values::STARTS;
        &self.block[start as usize..][..len]
    }
}

/// What is added up over the values read: it touches the value where it begins.
#[inline(always)]
pub fn head(value: &[u8]) -> u64 {
    match value.first_chunk() {
        Some(first) => u64::from_le_bytes(*first),
        None => value.len() as u64,
    }
}

/// What is added up over the pairs of a scan.
#[inline(always)]
pub fn pair_head(key: &[u8], value: &[u8]) -> u64 {
    let last = key.last().copied().unwrap_or(0);
    head(value).wrapping_add(key.len() as u64 + u64::from(last))
}

/// Adds up all of a value.
#[inline(always)]
pub fn whole(value: &[u8]) -> u64 {
    let (words, rest) = value.as_chunks::<8>();
    let sum = words.iter().fold(0u64, |sum, w| sum.wrapping_add(u64::from_le_bytes(*w)));
    rest.iter().fold(sum, |sum, b| sum.wrapping_add(u64::from(*b)))
}

/// Indexes below `len` with a few very frequent ones (Zipf's law with exponent 0.99, as YCSB draws
/// them), the frequent ones spread over all.
pub struct Zipf {
    len: u64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    const THETA: f64 = 0.99;

    pub fn new(len: usize) -> Zipf {
        let zeta = |n: usize| (1..=n).map(|i| (i as f64).powf(-Zipf::THETA)).sum::<f64>();
        let all = zeta(len);
        let eta = (1.0 - (2.0 / len as f64).powf(1.0 - Zipf::THETA)) / (1.0 - zeta(2) / all);
        Zipf { len: len as u64, zeta: all, eta }
    }

    pub fn draw(&self, rng: &mut fastrand::Rng) -> usize {
        let u = rng.f64();
        let rank = if u * self.zeta < 1.0 {
            0
        } else if u * self.zeta < 1.0 + 0.5f64.powf(Zipf::THETA) {
            1
        } else {
            let power = 1.0 / (1.0 - Zipf::THETA);
            (self.len as f64 * (self.eta * u - self.eta + 1.0).powf(power)) as u64
        };
        (spread(rank.min(self.len - 1)) % self.len) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn keys_differ_and_sequential_ones_ascend() {
        for shape in [Shape::U64, Shape::Sequential, Shape::Uuid, Shape::Url] {
            let keys = Keys::of(shape, 0..10_000);
            assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 10_000, "{shape:?}");
        }
        assert!(Keys::of(Shape::Sequential, 0..1000).iter().is_sorted());
    }

    #[test]
    fn the_most_frequent_key_of_zipf_has_its_share() {
        let zipf = Zipf::new(1000);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut counts = vec![0; 1000];
        (0..100_000).for_each(|_| counts[zipf.draw(&mut rng)] += 1);
        let most = counts.iter().max().copied().unwrap_or(0);
        assert!((10_000..17_000).contains(&most), "{most}");
    }
}
