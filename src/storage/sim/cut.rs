//! A moment at which the power may fail, and the disks that may be found afterwards.
//!
//! One [`CutPoint`] is cheap to take and gives as many images as there are seeds. The first
//! [`SPECIAL_SEEDS`] are chosen by hand: the extremes, and the mixtures of data and meta pages that
//! break a wrong commit protocol soonest. The others are random, by sector.
//!
//! Thread rules: plain data.

use super::history::LockFile;
use super::medium::{Medium, PAGE, Page, SECTOR, mix, pages_in, zero_page};
use super::rng::Rng;
use super::{SimDisk, SimOptions};
use crate::error::Result;
use std::sync::Arc;

/// Seeds below this number name the mixtures of [`Special`], in their order.
pub const SPECIAL_SEEDS: u64 = Special::ALL.len() as u64;

/// From this seed on a remount finds file and lock file as they were at two moments
/// ([`CutPoint::remount`]).
pub const PARTS: u64 = 1 << 48;

/// The mixtures that are chosen by hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Special {
    /// Nothing that was not synced.
    Nothing,
    /// Everything that was written.
    Everything,
    /// Everything but the two meta pages.
    AllButMetas,
    /// The two meta pages and nothing else.
    OnlyMetas,
    /// Nothing but the pages of the latest write.
    OnlyLastWrite,
    /// Everything but the pages of the latest write.
    AllButLastWrite,
    /// Everything but meta page 0.
    AllButRecto,
    /// Everything but meta page 1.
    AllButVerso,
    /// Everything, in a file that still has its old length.
    OldLength,
    /// The new length of the file, and nothing else.
    OnlyLength,
    /// Everything, of the meta pages their first sector only.
    MetaHeads,
    /// Everything, of the meta pages all but their first sector.
    MetaTails,
    /// Everything, of each data page the first half only.
    DataHeads,
}

impl Special {
    /// All of them; a seed is an index here.
    pub const ALL: [Special; 13] = [
        Special::Nothing,
        Special::Everything,
        Special::AllButMetas,
        Special::OnlyMetas,
        Special::OnlyLastWrite,
        Special::AllButLastWrite,
        Special::AllButRecto,
        Special::AllButVerso,
        Special::OldLength,
        Special::OnlyLength,
        Special::MetaHeads,
        Special::MetaTails,
        Special::DataHeads,
    ];
}

/// One sector of the file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Sector {
    /// Page of 4,096 bytes.
    pub page: u64,
    /// Sector in it.
    pub sector: usize,
}

/// The state of a disk at one moment.
#[derive(Clone)]
pub struct CutPoint {
    pub(super) medium: Medium,
    pub(super) options: SimOptions,
    /// Content of the lock file, where it was asked for.
    pub(super) lock_file: Option<Arc<LockFile>>,
    /// Number of events before this moment.
    pub event: u64,
}

impl CutPoint {
    /// What the disk holds after the power has failed at this moment: the same seed, the same
    /// bytes.
    pub fn image(&self, seed: u64) -> Vec<u8> {
        let (pages, len) = self.pages(seed);
        let mut bytes = Vec::with_capacity(pages.len() * PAGE);
        pages.iter().for_each(|page| bytes.extend_from_slice(&page.0));
        bytes.truncate(len as usize);
        bytes
    }

    /// A machine that boots with what [`CutPoint::image`] gives, without a lock file or with one
    /// that was left from before the cut.
    pub fn boot(&self, seed: u64) -> Result<SimDisk> {
        let (pages, len) = self.pages(seed);
        let mut rng = Rng::new(seed ^ 0x10c7);
        let mut options = self.options.clone();
        options.boot += 1;
        options.seed = rng.next_u64();
        let lock_file = self.lock_file.as_ref().and_then(|old| old.after_cut(&mut rng));
        SimDisk::from_pages(pages, len, options, lock_file)
    }

    /// The same boot of the machine, whose device has gone away and come back: the file is as after
    /// a cut, the lock file as it was, if this point has it, or as write-back has left it
    /// ([`SimDisk::remember_lock_file`]). Seeds from [`PARTS`] on take both from now and from one
    /// earlier moment: whole, or of the lock file a sector or a page.
    pub fn remount(&self, seed: u64) -> Result<SimDisk> {
        let mut rng = Rng::new(seed);
        let options = SimOptions { seed, ..self.options.clone() };
        let Some(lock_file) = self.lock_file.as_ref().filter(|_| seed >= PARTS) else {
            let (pages, len) = self.pages(seed);
            let lock_file = self.lock_file.as_ref().map(|old| old.after_remount(&mut rng));
            return SimDisk::from_pages(pages, len, options, lock_file);
        };
        let then = lock_file.moment(&mut rng);
        let (pages, len) = match (then, rng.below(8)) {
            (_, 0..=2) => self.special(Special::Everything),
            (_, 3) => self.special(Special::Nothing),
            (Some(then), 4..=6) => self.as_of(then.medium),
            _ => self.random(seed),
        };
        let lock_file = match then {
            Some(then) => lock_file.of_two_ages(then, &mut rng),
            None => lock_file.newest(),
        };
        SimDisk::from_pages(pages, len, options, Some(lock_file))
    }

    /// Everybody has died, the system lives: the file as its page cache shows it, the lock file as
    /// it was, if this point has it.
    pub fn all_dead(&self) -> Result<SimDisk> {
        let (pages, len) = self.special(Special::Everything);
        let lock_file = self.lock_file.as_ref().map(|lock_file| lock_file.newest());
        SimDisk::from_pages(pages, len, self.options.clone(), lock_file)
    }

    /// Everything that was written up to a version of the medium, and nothing since.
    fn as_of(&self, version: u64) -> (Vec<Page>, u64) {
        let newest = self.medium.lengths().len() - 1;
        self.build(newest, |page, choices| {
            choices[self.medium.rank(page, version).min(choices.len() - 1)].clone()
        })
    }

    /// Pages written since their last sync: what a cut here can lose. 0: every image is the same,
    /// but for the length.
    pub fn unsynced_pages(&self) -> usize {
        self.medium.dirty_count()
    }

    /// Pages (of 4,096 bytes) written since their last sync, with their newest content.
    pub fn unsynced(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.medium.newest_unsynced().map(|(number, page)| (number, &page.0[..]))
    }

    /// Two cut points of one machine with the same number give the same disks.
    pub fn version(&self) -> u64 {
        self.medium.version
    }

    /// Sectors of 512 bytes that were written since their last sync and differ from what is
    /// durable, in the newest content of their page.
    pub fn unsynced_sectors(&self) -> Vec<Sector> {
        let differs =
            |old: &Page, new: &Page, at: usize| old.0[at..at + SECTOR] != new.0[at..at + SECTOR];
        let newest = self.medium.newest_unsynced();
        newest
            .flat_map(|(page, new)| {
                let old = self.medium.durable(page);
                let all = (0..PAGE / SECTOR).filter(move |s| differs(&old, new, s * SECTOR));
                all.map(move |sector| Sector { page, sector })
            })
            .collect()
    }

    /// Whether the file has been given another length since that was durable.
    pub fn length_is_unsynced(&self) -> bool {
        self.medium.lengths().len() > 1
    }

    /// A machine that boots with the durable content, the newest length or the durable one, and of
    /// the newest content those sectors that `keep` names.
    pub fn boot_keeping(
        &self,
        newest_length: bool,
        keep: impl Fn(Sector) -> bool,
    ) -> Result<SimDisk> {
        let kept = if newest_length { self.medium.lengths().len() - 1 } else { 0 };
        let (pages, len) = self.build(kept, |page, choices| {
            let mut mixed = choices[0].clone();
            let new = &choices[choices.len() - 1];
            for sector in (0..PAGE / SECTOR).filter(|&sector| keep(Sector { page, sector })) {
                let at = sector * SECTOR;
                Arc::make_mut(&mut mixed).0[at..at + SECTOR]
                    .copy_from_slice(&new.0[at..at + SECTOR]);
            }
            mixed
        });
        let mut options = self.options.clone();
        options.boot += 1;
        SimDisk::from_pages(pages, len, options, None)
    }

    /// Whether cuts with different seeds can differ at all.
    pub fn is_settled(&self) -> bool {
        self.medium.dirty_count() == 0 && self.medium.lengths().len() == 1
    }

    fn pages(&self, seed: u64) -> (Vec<Page>, u64) {
        match Special::ALL.get(seed as usize) {
            Some(&special) if seed < SPECIAL_SEEDS => self.special(special),
            _ => self.random(seed),
        }
    }

    /// Whether the page belongs to the meta page `which` (0 recto, 1 verso).
    fn is_meta(&self, page: u64, which: u64) -> bool {
        let pages = u64::from(self.options.page_size) / PAGE as u64;
        page / pages.max(1) == which
    }

    fn special(&self, special: Special) -> (Vec<Page>, u64) {
        let newest = self.medium.lengths().len() - 1;
        let kept = match special {
            Special::Nothing | Special::OldLength | Special::OnlyMetas => 0,
            _ => newest,
        };
        self.build(kept, |page, choices| {
            let old = &choices[0];
            let new = &choices[choices.len() - 1];
            let (recto, verso) = (self.is_meta(page, 0), self.is_meta(page, 1));
            let meta = recto || verso;
            let (first, end) = self.medium.last_write;
            let last = (first..end).contains(&page);
            let keep = |yes: bool| if yes { new.clone() } else { old.clone() };
            match special {
                Special::Nothing | Special::OnlyLength => old.clone(),
                Special::Everything | Special::OldLength => new.clone(),
                Special::AllButMetas => keep(!meta),
                Special::OnlyMetas => keep(meta),
                Special::OnlyLastWrite => keep(last),
                Special::AllButLastWrite if last => choices[choices.len().max(2) - 2].clone(),
                Special::AllButLastWrite => new.clone(),
                Special::AllButRecto => keep(!recto),
                Special::AllButVerso => keep(!verso),
                Special::MetaHeads if meta => head_and_tail(new, old, SECTOR),
                Special::MetaTails if meta => head_and_tail(old, new, SECTOR),
                Special::DataHeads if !meta => head_and_tail(new, old, PAGE / 2),
                Special::MetaHeads | Special::MetaTails | Special::DataHeads => new.clone(),
            }
        })
    }

    fn random(&self, seed: u64) -> (Vec<Page>, u64) {
        let mut rng = Rng::new(seed);
        let lengths = self.medium.lengths().len();
        let kept = match rng.below(4) {
            0 => 0,
            1 => rng.index(lengths),
            _ => lengths - 1,
        };
        // How much of all this has reached the medium, out of 16; metas have a mind of their own.
        let data = [1, 4, 8, 12, 15][rng.index(5)];
        let metas = [0, 8, 16][rng.index(3)];
        let torn = [0, 1, 4][rng.index(3)];
        self.build(kept, |page, choices| {
            let meta = self.is_meta(page, 0) || self.is_meta(page, 1);
            let last = choices.len() - 1;
            if rng.chance(torn, 16) {
                let pair = [choices[0].clone(), choices[last].clone()];
                return mix(if rng.chance(1, 2) { &pair } else { choices }, &mut rng);
            }
            if rng.chance(1, 16) {
                return choices[rng.index(choices.len())].clone();
            }
            choices[if rng.chance(if meta { metas } else { data }, 16) { last } else { 0 }].clone()
        })
    }

    /// The pages of a file whose length is number `kept`; `choose` picks among what a page may
    /// hold.
    fn build(&self, kept: usize, mut choose: impl FnMut(u64, &[Page]) -> Page) -> (Vec<Page>, u64) {
        let len = self.medium.lengths()[kept];
        let count = pages_in(len);
        let mut pages: Vec<Page> = (0..count).map(|page| self.medium.durable(page)).collect();
        let touched: Vec<u64> = if !self.medium.was_cut() {
            self.medium.unsynced_pages().take_while(|&page| page < count).collect()
        } else {
            (0..count).collect()
        };
        for page in touched {
            let choices = self.medium.choices(page, kept);
            pages[page as usize] = match choices.as_slice() {
                [] => zero_page(),
                [only] => only.clone(),
                several => choose(page, several),
            };
        }
        let tail = (len % PAGE as u64) as usize;
        if let Some(last) = pages.last_mut().filter(|_| tail != 0) {
            Arc::make_mut(last).0[tail..].fill(0);
        }
        (pages, len)
    }
}

/// The first `at` bytes of one page and the rest of another.
fn head_and_tail(head: &Page, tail: &Page, at: usize) -> Page {
    let mut page = tail.clone();
    Arc::make_mut(&mut page).0[..at].copy_from_slice(&head.0[..at]);
    page
}
