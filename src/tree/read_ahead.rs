//! Which pages a scan asks for before it comes to them, where they have to be fetched from a
//! device.
//!
//! The map is advised against read-ahead of the kernel's (`storage`), so a scan says itself what it
//! will want: the leaves that come next, and, since a device gives neighbours cheaply, what lies
//! around them. Whether it will come to those is not known: it may end, its table may lie scattered
//! among others, or the memory may be too small to keep them until then. So no more of them are
//! asked for than a multiple of the leaves that have been read: a bound for what is fetched in
//! vain.

use super::PageSource;
use crate::types::PageId;

/// How many leaves ahead of the scan the source is told of.
const AHEAD: usize = 16;
/// A scan asks once in so many leaves whether pages have to be fetched: first after a few, then a
/// page further ahead each time.
const LOOK_AFTER: u32 = 8;
const LOOK_EVERY: u32 = 32;
/// Bytes that are asked for at once where neighbours are, aligned to as many.
const NEIGHBOURHOOD: usize = 1 << 20;
/// Bytes of neighbourhoods that may be asked for with each leaf; they are saved up. As much takes
/// about as long to come as seven single pages of 4 KiB do.
const NEIGHBOURS: usize = 128 << 10;
/// Fetching ends when so many leaves in a row were there without.
const SETTLED: u32 = 512;
/// A neighbourhood that there is not, nor one beside it.
const NOWHERE: u64 = u64::MAX / 2;

/// What one scan has asked for.
pub(super) struct ReadAhead {
    /// Leaves until the next look, while nothing has to be fetched.
    look_in: u32,
    fetching: bool,
    /// Leaves in a row, while fetching, that were there.
    present: u32,
    /// Bytes of neighbourhoods that may be asked for.
    allowed: usize,
    /// The neighbourhood that the scan was found in last.
    here: u64,
    /// The one that was asked for last.
    asked: u64,
}

impl ReadAhead {
    pub fn new() -> ReadAhead {
        ReadAhead {
            look_in: LOOK_AFTER,
            fetching: false,
            present: 0,
            allowed: 0,
            here: NOWHERE,
            asked: NOWHERE,
        }
    }

    /// The scan has come to a leaf; `ahead(n)` is the n-th after it under the same branch, if there
    /// is one.
    #[inline]
    pub fn entered<S: PageSource>(&mut self, src: &S, ahead: impl Fn(usize) -> Option<PageId>) {
        if !self.fetching {
            self.look_in -= 1;
            if self.look_in > 0 {
                return;
            }
        }
        self.ask(src, ahead);
    }

    #[cold]
    fn ask<S: PageSource>(&mut self, src: &S, ahead: impl Fn(usize) -> Option<PageId>) {
        if !self.fetching {
            self.look_in = LOOK_EVERY;
            let Some(far) = ahead(AHEAD).or_else(|| ahead(1)) else { return };
            if src.is_resident(far) {
                return;
            }
            (self.fetching, self.present) = (true, 0);
            (1..AHEAD).map_while(&ahead).for_each(|near| src.will_need(near, 1));
        }
        self.allowed = self.allowed.saturating_add(NEIGHBOURS);
        if let Some(far) = ahead(AHEAD) {
            self.fetch(src, far);
        }
    }

    fn fetch<S: PageSource>(&mut self, src: &S, far: PageId) {
        let around = (NEIGHBOURHOOD / src.page_size()) as u64;
        let first_of = |place: u64| PageId(place.saturating_mul(around));
        let place = far.0 / around;
        if place == self.here {
            return;
        }
        // From neighbour to neighbour, as in a table that was loaded in order: the next one is
        // asked for as well.
        let next = match place.wrapping_sub(self.here) as i64 {
            1 => place.checked_add(1),
            -1 => place.checked_sub(1),
            _ => None,
        };
        let here = Some(far).filter(|_| place != self.asked);
        let wanted = [here, next.map(first_of)].map(|page| page.filter(|p| !src.is_resident(*p)));
        if wanted == [None, None] {
            self.present += 1;
            if self.present == SETTLED {
                self.fetching = false;
            }
            return;
        }
        self.present = 0;
        for page in wanted.into_iter().flatten() {
            if self.allowed < NEIGHBOURHOOD {
                return src.will_need(far, 1);
            }
            self.allowed -= NEIGHBOURHOOD;
            self.asked = page.0 / around;
            src.will_need(first_of(self.asked), around);
        }
        self.here = place;
    }
}
