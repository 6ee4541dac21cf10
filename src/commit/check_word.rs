//! The check over words of the shared memory that belong together (rule 32).

/// Of a lock file that is used again in one boot any part may be an older one, if the device was
/// gone meanwhile: what belongs together is told from what does not by a word over all of it, what
/// was before it, and the session (rule 32). The place in the list would not do: a process that
/// dies before its transaction is built leaves whole records in places that others use again.
pub fn check_word<const N: usize>(session: u64, words: [u64; N]) -> u64 {
    words.into_iter().fold(session | 1, |sum, word| {
        let sum = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        sum ^ sum >> 32
    })
}
