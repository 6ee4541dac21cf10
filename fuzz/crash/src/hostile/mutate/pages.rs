//! Bytes and pages, whatever they are.

use super::Target;

/// A few bits, anywhere.
pub fn bits(t: &mut Target<'_>) {
    for _ in 0..t.rng.usize(1..5) {
        if !t.image.is_empty() {
            let at = t.rng.usize(..t.image.len());
            t.image[at] ^= 1 << t.rng.u8(..8);
        }
    }
}

/// A few bytes, mostly where pages begin.
pub fn bytes(t: &mut Target<'_>) {
    let pages = t.pages();
    for _ in 0..t.rng.usize(1..9) {
        if pages == 0 {
            return;
        }
        let id = match t.page_of(&[1, 2, 3, 4]) {
            Some(id) if t.rng.bool() && id < pages => id,
            _ => t.rng.usize(..pages),
        };
        let start = id * t.page_size;
        let at = if t.rng.bool() { t.rng.usize(..64) } else { t.rng.usize(..t.page_size) };
        t.image[start + at] = if t.rng.bool() { t.rng.u8(..) } else { 0xff };
    }
}

/// Some bytes of the file also stand elsewhere, or one byte over and over.
pub fn copy_within(t: &mut Target<'_>) {
    let len = t.rng.usize(1..600).min(t.image.len());
    if len == 0 {
        return;
    }
    let from = t.rng.usize(..t.image.len() - len + 1);
    let to = t.rng.usize(..t.image.len() - len + 1);
    match t.rng.u8(..3) {
        0 => t.image[to..to + len].fill([0, 0xff, 1][t.rng.usize(..3)]),
        _ => t.image.copy_within(from..from + len, to),
    }
}

/// Two pages change places, or one stands in the place of another too.
pub fn swap(t: &mut Target<'_>) {
    let pages = t.pages();
    if pages < 2 {
        return;
    }
    let lowest = if t.rng.u8(..6) == 0 { 0 } else { 2.min(pages - 1) };
    let (a, b) = (t.rng.usize(lowest..pages), t.rng.usize(lowest..pages));
    let of_a = t.page(a).to_vec();
    let of_b = t.page(b).to_vec();
    t.page(b).copy_from_slice(&of_a);
    if t.rng.bool() {
        t.page(a).copy_from_slice(&of_b);
    }
}

/// A page is as it was at an earlier time: a write that was lost.
pub fn stale(t: &mut Target<'_>) {
    let Some(origin) = t.origin else { return swap(t) };
    let Some(earlier) = t.rng.choice(&origin.earlier) else { return };
    let pages = t.pages().min(earlier.len() / t.page_size);
    for _ in 0..t.rng.usize(1..3) {
        if pages > 0 {
            let id = t.rng.usize(..pages);
            let old = &earlier[id * t.page_size..][..t.page_size];
            t.image[id * t.page_size..][..t.page_size].copy_from_slice(old);
        }
    }
}

/// A page, or a meta, of another database.
pub fn foreign(t: &mut Target<'_>) {
    let Some(other) = t.rng.choice(t.others) else { return };
    let size = t.page_size.min(other.page_size);
    let (pages, theirs) = (t.pages(), other.image.len() / other.page_size);
    if pages == 0 || theirs == 0 {
        return;
    }
    let (to, from) = match t.rng.u8(..3) {
        0 => (t.rng.usize(..2.min(pages)), t.rng.usize(..2.min(theirs))),
        _ => (t.rng.usize(..pages), t.rng.usize(..theirs)),
    };
    let page = &other.image[from * other.page_size..][..size];
    t.image[to * t.page_size..][..size].copy_from_slice(page);
}

/// The file is shorter or longer.
pub fn length(t: &mut Target<'_>) {
    let len = t.image.len();
    let whole = t.rng.usize(..t.pages() + 1) * t.page_size;
    match t.rng.u8(..6) {
        0 => t.image.truncate(t.rng.usize(..len + 1)),
        1 | 2 => t.image.truncate(whole),
        3 => t.image.truncate(len.saturating_sub(t.rng.usize(1..3) * t.page_size)),
        4 => t.image.resize(len + t.rng.usize(1..3 * t.page_size), t.rng.u8(..)),
        _ => {
            let more = t.rng.usize(1..4) * t.page_size;
            let from = t.rng.usize(..len + 1).saturating_sub(more);
            let end = (from + more).min(len);
            t.image.extend_from_within(from..end);
        }
    }
}
