//! The lock file is input like any other: before the database is opened, between two sessions, and
//! while it is in use, words of it become anything.
//!
//! A stranger can make checks good, so most times those of the images are.
//!
//! Only words are spoiled that the engine itself stores to while others have it open (everything
//! behind the identity), in the thread that uses the database: a word that changes while it is
//! looked at is `shared`'s own test.

use fastrand::Rng;
use recto::harness::sim::SimDisk;
use recto::harness::{LOCK_FILE_PARTS, LOCK_FILE_SESSION, mend_image};

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
    spoil_some(disk, rng);
    if rng.bool() {
        spoil_images(disk, rng);
    }
    if rng.u8(..4) > 0 {
        for_images(disk, |words, _| mend_image(words, disk.lock_file_word(LOCK_FILE_SESSION / 8)));
    }
}

/// The words of both images, changed.
pub fn for_images(disk: &SimDisk, mut change: impl FnMut(&mut [u64], usize)) {
    let images = LOCK_FILE_PARTS.iter().find(|(name, ..)| *name == "images");
    let (at, len) = images.map_or((0, 0), |(_, at, len)| (at / 8, len / 8));
    for image in 0..2 {
        let at = at + image * len / 2;
        let mut words: Vec<u64> = (at..at + len / 2).map(|w| disk.lock_file_word(w)).collect();
        let before = words.clone();
        change(&mut words, image);
        for (i, (word, before)) in words.iter().zip(before).enumerate() {
            if *word != before {
                disk.spoil_lock_file(at + i, *word);
            }
        }
    }
}

/// Words of the meta in an image, and those behind it, which are seldom met by chance.
fn spoil_images(disk: &SimDisk, rng: &mut Rng) {
    const META_WORDS: usize = 512;
    let which = rng.usize(..2);
    for_images(disk, |words, image| {
        if image != which {
            return;
        }
        for _ in 0..rng.usize(1..3) {
            let at = if rng.bool() { META_WORDS + rng.usize(..5) } else { rng.usize(3..64) };
            let little = words[at].wrapping_add([1, 2, u64::MAX, 1 << 32][rng.usize(..4)]);
            words[at] = if rng.bool() { nonsense(rng) } else { little };
        }
    });
}

fn spoil_some(disk: &SimDisk, rng: &mut Rng) {
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
