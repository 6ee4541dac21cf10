//! The image of a built transaction, as it stands in the shared memory.

use super::check_word::check_word;
use super::engine::Engine;
use crate::error::Result;
use crate::format::meta::{self, Meta, Phase};
use crate::shared::Shared;
use crate::shared::layout::Image;
use crate::shared::sync::AtomicU64;
use crate::shared::words::WriterHeld;
use crate::storage::Platform;
use crate::types::TxnId;
use std::sync::atomic::Ordering;

/// A built transaction as the shared memory holds it.
#[derive(Clone, Debug)]
pub struct BuiltImage {
    /// The snapshot.
    pub meta: Meta,
    /// One past its last record in the list of pages.
    pub list_end: u64,
    /// Newest transaction whose pages are not in the list, 0 none.
    pub unlisted: TxnId,
    /// Bytes of all pages that were ever listed, up to this transaction.
    pub list_bytes: u64,
    /// The snapshot that was visible when it was decided what this one may use again.
    pub judged_at: TxnId,
    /// Check of the last record that was ever listed, up to this transaction.
    pub list_check: u64,
}

impl Engine {
    /// The image of the newest built transaction.
    pub(crate) fn load_image(&self) -> Result<BuiltImage> {
        load_image_of(&self.shared, self.page_size)
    }

    /// Rule 8: image first, then W in one word.
    pub(crate) fn store_image(&self, lock: &impl WriterHeld, image: &BuiltImage) {
        store_image_in(&self.shared, lock, &*self.platform, image);
    }
}

/// Records and bytes that nobody ever comes to: with fewer no sum overflows.
const ABSURD: u64 = 1 << 60;

/// Makes the check of an image good that has been changed: its words, in their order in the lock
/// file.
#[cfg(feature = "harness")]
pub fn mend_image(words: &mut [u64], session: u64) {
    let (meta_words, rest) = words.split_at_mut(meta::SIZE / 8);
    let mut bytes: Vec<u8> = meta_words.iter().flat_map(|word| word.to_le_bytes()).collect();
    meta::seal(&mut bytes);
    let crc = meta::crc_of(&bytes);
    for (word, bytes) in meta_words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    if let [list_end, unlisted, list_bytes, judged_at, list_check, check, ..] = rest {
        let others = [crc.into(), *list_end, *unlisted, *list_bytes, *judged_at, *list_check];
        *check = check_word(session, others);
    }
}

fn image_check(session: u64, image_crc: u32, image: &BuiltImage) -> u64 {
    let BuiltImage { list_end, unlisted, list_bytes, judged_at, list_check, .. } = image;
    let words = [image_crc.into(), *list_end, unlisted.0, *list_bytes, judged_at.0, *list_check];
    check_word(session, words)
}

/// What is said where W never stands still.
pub const NEVER_STILL: &str = "the newest transaction was another one at each of 10,000 looks";

/// The image of the newest built transaction.
pub fn load_image_of(shared: &Shared, page_size: usize) -> Result<BuiltImage> {
    let mut bytes = [0u8; meta::SIZE];
    let copied = shared.words().copy_built(|side| {
        let image = &shared.images()[side].0;
        let load = |w: &AtomicU64| w.load(Ordering::Relaxed);
        for (chunk, w) in bytes.chunks_exact_mut(8).zip(&image.meta) {
            chunk.copy_from_slice(&load(w).to_le_bytes());
        }
        let numbers = [&image.list_end, &image.list_bytes, &image.list_check].map(load);
        (numbers, [&image.unlisted, &image.judged_at].map(|w| TxnId(load(w))), load(&image.check))
    });
    let (txn, (numbers, [unlisted, judged_at], check)) =
        copied.ok_or_else(|| shared.damaged(NEVER_STILL))?;
    let [list_end, list_bytes, list_check] = numbers;
    let crc = meta::crc_of(&bytes);
    let session = shared.identity().session.load(Ordering::Relaxed);
    if let Ok((meta, _)) = Meta::decode(&bytes) {
        let built = BuiltImage { meta, list_end, unlisted, list_bytes, judged_at, list_check };
        let whole = check == image_check(session, crc, &built);
        // Whoever can make the check good can also write what nobody ever comes to.
        let whole = whole && list_end.max(list_bytes) < ABSURD;
        let meta = &built.meta;
        if meta.txn == txn && meta.page_size == page_size && whole {
            return Ok(built);
        }
    }
    Err(shared.damaged("the image of the newest transaction is damaged"))
}

/// Rule 8.
pub fn store_image_in(
    shared: &Shared,
    lock: &impl WriterHeld,
    platform: &dyn Platform,
    image: &BuiltImage,
) {
    let words = shared.words();
    words.build(lock, image.meta.txn, |side| {
        let place: &Image = &shared.images()[side].0;
        let bytes = image.meta.encode(&Phase::TwoPhase);
        for (chunk, w) in bytes.chunks_exact(8).zip(&place.meta) {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            w.store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
        place.list_end.store(image.list_end, Ordering::Relaxed);
        place.unlisted.store(image.unlisted.0, Ordering::Relaxed);
        place.list_bytes.store(image.list_bytes, Ordering::Relaxed);
        place.judged_at.store(image.judged_at.0, Ordering::Relaxed);
        place.list_check.store(image.list_check, Ordering::Relaxed);
        let crc = meta::crc_of(&bytes[..]);
        let session = shared.identity().session.load(Ordering::Relaxed);
        place.check.store(image_check(session, crc, image), Ordering::Relaxed);
        words.raise_last_id(lock, image.meta.txn);
        words.raise_page_high(lock, image.meta.page_count);
        platform.step("build: image stored");
    });
    platform.step("build: built moved");
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::commit::tests::engine;
    use crate::error::Error;

    /// Found by `crash hostile` once it made the checks good again.
    #[test]
    fn sums_that_nobody_comes_to_are_damage() {
        let engine = &*engine();
        let place = engine.words().copy_built(|side| side).unwrap().1;
        let image = &engine.shared.images()[place].0;
        let session = engine.shared.identity().session.load(Ordering::SeqCst);
        let built = engine.load_image().unwrap();
        let crc = {
            let first = image.meta.iter().map(|w| w.load(Ordering::SeqCst).to_le_bytes());
            meta::crc_of(&first.flatten().collect::<Vec<_>>())
        };
        let with = |list_end, list_bytes| {
            image.list_end.store(list_end, Ordering::SeqCst);
            image.list_bytes.store(list_bytes, Ordering::SeqCst);
            let changed = BuiltImage { list_end, list_bytes, ..built.clone() };
            image.check.store(image_check(session, crc, &changed), Ordering::SeqCst);
            engine.load_image().map(drop)
        };
        assert!(with(7, 4096).is_ok());
        assert!(matches!(with(u64::MAX, 0), Err(Error::LockFile { .. })));
        assert!(matches!(with(0, u64::MAX - 1), Err(Error::LockFile { .. })));
        assert!(with(0, 0).is_ok());
    }
}
