//! The image of a built transaction, as it stands in the shared memory.

use super::check_word::check_word;
use super::engine::Engine;
use crate::error::{Error, Result};
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

    /// Rule 31: the same, for whoever builds on it, flushes it, or takes it back. A newer build may
    /// have come since this handle was opened.
    pub(super) fn load_known_image(&self) -> Result<BuiltImage> {
        let image = self.load_image()?;
        check_known(&image.meta)?;
        Ok(image)
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

/// Of the bytes of the meta and the words behind it.
fn image_check(shared: &Shared, meta: &[u8], others: [u64; 5]) -> u64 {
    let session = shared.identity().session.load(Ordering::Relaxed);
    let [list_end, unlisted, list_bytes, judged_at, list_check] = others;
    let crc = meta::crc_of(meta).into();
    check_word(session, [crc, list_end, unlisted, list_bytes, judged_at, list_check])
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
    let others = [list_end, unlisted.0, list_bytes, judged_at.0, list_check];
    let whole = check == image_check(shared, &bytes, others);
    // Whoever can make the check good can also write what nobody ever comes to.
    if whole && list_end.max(list_bytes) < ABSURD {
        match Meta::decode(&bytes) {
            Ok((meta, _)) if meta.txn == txn && meta.page_size == page_size => {
                return Ok(BuiltImage {
                    meta,
                    list_end,
                    unlisted,
                    list_bytes,
                    judged_at,
                    list_check,
                });
            }
            Err(fault) => {
                if let Some(newer) = fault.of_the_future() {
                    return Err(newer);
                }
            }
            Ok(_) => {}
        }
    }
    Err(shared.damaged("the image of the newest transaction is damaged"))
}

/// Rule 31: a meta that is encoded again keeps no feature that this build does not know.
pub(super) fn check_known(meta: &Meta) -> Result<()> {
    match meta.unknown_to_write {
        0 => Ok(()),
        unknown => Err(Error::Features { path: None, unknown, to_write: true }),
    }
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
        let BuiltImage { list_end, unlisted, list_bytes, judged_at, list_check, .. } = *image;
        place.list_end.store(list_end, Ordering::Relaxed);
        place.unlisted.store(unlisted.0, Ordering::Relaxed);
        place.list_bytes.store(list_bytes, Ordering::Relaxed);
        place.judged_at.store(judged_at.0, Ordering::Relaxed);
        place.list_check.store(list_check, Ordering::Relaxed);
        let others = [list_end, unlisted.0, list_bytes, judged_at.0, list_check];
        place.check.store(image_check(shared, &bytes[..], others), Ordering::Relaxed);
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

    /// Found by `crash hostile` once it made the checks good again.
    #[test]
    fn sums_that_nobody_comes_to_are_damage() {
        let engine = &*engine();
        let place = engine.words().copy_built(|side| side).unwrap().1;
        let image = &engine.shared.images()[place].0;
        let built = engine.load_image().unwrap();
        let words = image.meta.iter().map(|w| w.load(Ordering::SeqCst).to_le_bytes());
        let bytes: Vec<u8> = words.flatten().collect();
        let with = |list_end, list_bytes| {
            image.list_end.store(list_end, Ordering::SeqCst);
            image.list_bytes.store(list_bytes, Ordering::SeqCst);
            let (unlisted, judged_at) = (built.unlisted.0, built.judged_at.0);
            let others = [list_end, unlisted, list_bytes, judged_at, built.list_check];
            image.check.store(image_check(&engine.shared, &bytes, others), Ordering::SeqCst);
            engine.load_image().map(drop)
        };
        assert!(with(7, 4096).is_ok());
        assert!(matches!(with(u64::MAX, 0), Err(Error::LockFile { .. })));
        assert!(matches!(with(0, u64::MAX - 1), Err(Error::LockFile { .. })));
        assert!(with(0, 0).is_ok());
    }
}
