//! The lock file is input like any other: before the database is opened, between two sessions, and while it is in use, words of
//! it become anything.
//!
//! Only words are spoiled that the engine itself stores to while others have it open (everything behind the identity), in the thread
//! that uses the database: a word that changes while it is looked at is `shared`'s own test.

use fastrand::Rng;
use recto::harness::LOCK_FILE_PARTS;
use recto::harness::sim::SimDisk;

/// A word that is nothing, or looks like something.
fn nonsense(rng: &mut Rng) -> u64 {
    match rng.u8(..10) {
        0 => 0,
        1 => 1,
        2 => u64::MAX,
        3 => u64::MAX - rng.u64(..1 << 20),
        4 => 1 << rng.u32(..64),
        5 => rng.u64(..64),
        6 => rng.u64(..1 << 12) << 1,
        7 => rng.u64(..1 << 12) << 2 | rng.u64(..4),
        8 => rng.u64(..1 << 10) | rng.u64(..1 << 10) << 32,
        _ => rng.u64(..),
    }
}

/// Spoils a few words, or a whole part.
pub fn spoil(disk: &SimDisk, rng: &mut Rng) {
    for _ in 0..rng.usize(1..6) {
        let (_, at, len) = LOCK_FILE_PARTS[rng.usize(..LOCK_FILE_PARTS.len())];
        let words = (len / 8).min(4096);
        match rng.u8(..8) {
            0 => {
                let value = nonsense(rng);
                (0..words).for_each(|word| disk.spoil_lock_file(at / 8 + word, value));
            }
            1 => {
                for word in 0..words.min(64) {
                    disk.spoil_lock_file(at / 8 + word, nonsense(rng));
                }
            }
            2 => {
                // A little more or less than there was.
                let word = at / 8 + rng.usize(..words);
                let value = disk.lock_file_word(word);
                let off = [1, 2, 4, 8, u64::MAX, u64::MAX - 1][rng.usize(..6)];
                disk.spoil_lock_file(word, value.wrapping_add(off));
            }
            _ => disk.spoil_lock_file(at / 8 + rng.usize(..words.min(32)), nonsense(rng)),
        }
    }
}
