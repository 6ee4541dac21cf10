//! Any bytes as a database file: every call gives an answer or an error, never a panic and never a
//! loop without end; where the check passes, the right answer.
//!
//! Input: a saved case of `crash hostile`, one byte of options and the image. Half of the mutations
//! are the campaign's own, which know the format; the other half are the fuzzer's. The image goes
//! onto a simulated machine, so nothing of one run is left for the next.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target, fuzzer_mutate};
use recto_crash::hostile::mutate::{Target, mutate};
use recto_crash::hostile::{Case, Options};

const MOST_BYTES: usize = 64 * 4096;

fuzz_target!(|data: &[u8]| -> Corpus {
    if data.len() > MOST_BYTES {
        return Corpus::Reject;
    }
    let Some(mut case) = Case::decode(data) else { return Corpus::Reject };
    // No real files here.
    case.options.0 &= !Options::REAL;
    if let Err(what) = case.run(None) {
        panic!("{what}");
    }
    Corpus::Keep
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut rng = fastrand::Rng::with_seed(seed.into());
    match Case::decode(&data[..size]) {
        Some(mut case) if rng.bool() => {
            mutate(&mut Target {
                page_size: case.options.page_size(),
                image: &mut case.image,
                rng: &mut rng,
                origin: None,
                others: &[],
            });
            let bytes = case.encode();
            let len = bytes.len().min(max_size);
            data[..len].copy_from_slice(&bytes[..len]);
            len
        }
        _ => fuzzer_mutate(data, size, max_size),
    }
});
