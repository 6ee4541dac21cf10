//! Reading the two slots of a database, the manifest of a meta, and what the list of pages names:
//! bounded reads of a file that may hold anything. What is made of it is decided in
//! [`open`](super::open).

use super::image::BuiltImage;
use super::list::live_records_of;
use crate::error::{Error, Result};
use crate::format::meta::{self, Meta, MetaFault, Phase};
use crate::pager::written::Written;
use crate::shared::Shared;
use crate::shared::layout::byte;
use crate::shared::words::Content;
use crate::storage::Platform;
use crate::types::{PageId, TxnId};
use std::time::Duration;

/// Looks at two bad metas, and the pause between two looks: about a second. A meta page is stored
/// by one call, which takes less on the busiest machine.
const LOOKS: u32 = 5_000;
const PAUSE: Duration = Duration::from_micros(100);

/// An intact meta of a slot.
#[derive(Clone)]
pub struct Found {
    pub meta: Meta,
    pub phase: Phase,
    pub content: Content,
}

impl Found {
    /// Of two metas the newer has the greater age.
    pub fn age(&self) -> (TxnId, TxnId) {
        (self.meta.txn, self.meta.id_limit)
    }
}

type MetaRead = std::result::Result<Found, MetaFault>;

fn decode(bytes: &[u8]) -> MetaRead {
    let (meta, phase) = Meta::decode(bytes)?;
    let content = Content { txn: meta.txn, crc: meta::crc_of(bytes) };
    Ok(Found { meta, phase, content })
}

/// What the two slots hold.
pub struct Slots {
    /// Those that are intact; of one database.
    pub metas: [Option<Found>; 2],
    pub uuid: [u8; 16],
    pub page_size: usize,
}

impl Slots {
    /// Features of either slot that must be known to write, and are not.
    pub fn unknown_to_write(&self) -> u32 {
        self.metas.iter().flatten().fold(0, |bits, found| bits | found.meta.unknown_to_write)
    }

    /// Rules 24, 29: no id above it was ever shown. Refused metas count too.
    pub fn last_id(&self) -> TxnId {
        let ids = self.metas.iter().flatten().map(|found| found.meta.txn.max(found.meta.id_limit));
        ids.max().unwrap_or(TxnId::NONE)
    }
}

/// A newer meta that was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    pub txn: TxnId,
    pub slot: usize,
    /// The page of its manifest that does not verify; none if the file is too short or the meta
    /// itself is damaged.
    pub page: PageId,
}

/// A meta page that was not taken although it is newer than the one that was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RefusedMeta {
    /// Its transaction.
    pub txn: u64,
    /// 0 recto, 1 verso.
    pub slot: usize,
    /// The page it lists that is not what it should be; None if the meta page itself is damaged, or
    /// the file is too short for it.
    pub page: Option<u64>,
}

/// The meta that is taken.
pub struct Chosen {
    pub found: Found,
    pub slot: usize,
    pub refused: Option<Refused>,
}

/// Reads pages of the file for the opening and counts them.
pub struct Reader<'a> {
    pub platform: &'a dyn Platform,
    pub pages: u64,
    pub page_size: usize,
    /// Records that the list of pages can have: what is shown here a repair has to prove by the
    /// same measure.
    pub list_limit: usize,
}

impl Reader<'_> {
    fn bytes(&mut self, offset: u64, len: u64) -> Result<Option<&[u8]>> {
        self.pages += len.div_ceil(self.page_size as u64);
        let view = self.platform.storage().refresh()?;
        Ok(view.slice(self.platform, offset, len))
    }

    /// Somebody who has the database open may store it meanwhile.
    fn meta_bytes(&mut self, offset: u64) -> Result<Option<Vec<u8>>> {
        self.pages += meta::SIZE.div_ceil(self.page_size) as u64;
        let view = self.platform.storage().refresh()?;
        Ok(view.copy(self.platform, offset, meta::SIZE as u64))
    }

    fn meta_at(&mut self, offset: u64) -> Result<MetaRead> {
        let bytes = self.meta_bytes(offset)?;
        Ok(bytes.map_or(Err(MetaFault::Bad("outside the file")), |bytes| decode(&bytes)))
    }

    /// Both slots. A slot that is intact and of a version or with features that this build cannot
    /// read refuses the whole file, whatever the other one holds: it may be the newer of the two,
    /// and what this build wrote would be written over it (rule 31).
    pub fn slots(&mut self) -> Result<Slots> {
        let recto = self.meta_at(0)?;
        let mut faults: Vec<MetaFault> = recto.as_ref().err().cloned().into_iter().collect();
        let verso = match (&recto, faults.first().and_then(MetaFault::of_the_future)) {
            (_, Some(refusal)) => return Err(refusal),
            (Ok(found), _) => self.verso_at(found.meta.page_size)?,
            (Err(_), _) => self.find_verso(&mut faults)?,
        };
        let verso = match verso {
            Some(Err(fault)) => {
                if let Some(refusal) = fault.of_the_future() {
                    return Err(refusal);
                }
                faults.push(fault);
                None
            }
            Some(Ok(verso)) => Some(verso),
            None => None,
        };
        let (recto, verso) = match (recto.ok(), verso) {
            // Two databases: the recto's, unless the file cannot be its own.
            (Some(r), Some(v)) if r.meta.uuid != v.meta.uuid => {
                match !self.meta_fits(&r.meta)? && self.meta_fits(&v.meta)? {
                    true => (None, Some(v)),
                    false => (Some(r), None),
                }
            }
            other => other,
        };
        let Some(any) = recto.as_ref().or(verso.as_ref()) else {
            return Err(refuse(&faults));
        };
        let (uuid, page_size) = (any.meta.uuid, any.meta.page_size);
        self.page_size = page_size;
        Ok(Slots { metas: [recto, verso], uuid, page_size })
    }

    /// The verso of pages of this size; None if what stands there does not say that it is one.
    fn verso_at(&mut self, size: usize) -> Result<Option<MetaRead>> {
        let bytes = self.meta_bytes(size as u64)?;
        Ok(bytes.filter(|b| meta::claims_page_size(b, size)).map(|b| decode(&b)))
    }

    /// The verso without a recto. The first place that looks like one decides, also if it is
    /// damaged: what lies behind it is data, and may look like anything, also like the metas of
    /// another database.
    fn find_verso(&mut self, faults: &mut Vec<MetaFault>) -> Result<Option<MetaRead>> {
        let mut size = *meta::PAGE_SIZES.start();
        while size <= *meta::PAGE_SIZES.end() {
            if let Some(found) = self.verso_at(size)? {
                return Ok(Some(found));
            }
            if let Err(fault @ MetaFault::Bad(_)) = self.meta_at(size as u64)? {
                faults.push(fault);
            }
            size *= 2;
        }
        Ok(None)
    }

    /// Both slots, while others may be storing them: between the looks at the one and at the other
    /// two flushes may have passed, and either look can meet a half of a meta. Only while nobody
    /// has the database open are two bad metas final.
    pub fn slots_beside_others(&mut self) -> Result<Slots> {
        let mut looks = 0;
        loop {
            let others = self.platform.locks().held_elsewhere(byte::GATE, byte::GATE)?.is_some();
            match self.slots() {
                Err(Error::Corrupt { .. }) if others && looks < LOOKS => looks += 1,
                other => return other,
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Rule 24. `synced`: what the lock file says of the slots.
    pub fn choose(&mut self, slots: &Slots, synced: [Option<Content>; 2]) -> Result<Chosen> {
        let found = |slot: usize| slots.metas[slot].as_ref().map(|found| (slot, found));
        let mut order: Vec<(usize, &Found)> = (0..2).filter_map(found).collect();
        order.sort_by_key(|(_, found)| std::cmp::Reverse(found.age()));
        // A meta that is known to have been synced and is damaged now.
        let lost = (0..2).find_map(|slot| match (&slots.metas[slot], synced[slot]) {
            (None, Some(c)) => Some(Refused { txn: c.txn, slot, page: PageId::NONE }),
            _ => None,
        });
        let mut refused: Option<Refused> = None;
        for (slot, found) in order {
            let synced = synced[slot] == Some(found.content) && self.meta_fits(&found.meta)?;
            let Some(page) = (if synced { None } else { self.refusal(found)? }) else {
                let newer = refused.or(lost).filter(|r| r.txn >= found.meta.txn);
                return Ok(Chosen { found: found.clone(), slot, refused: newer });
            };
            refused.get_or_insert(Refused { txn: found.meta.txn, slot, page });
        }
        let why = match refused {
            None => "no meta page".to_owned(),
            Some(Refused { page: PageId::NONE, .. }) => "the file is shorter than its pages".into(),
            Some(Refused { page, .. }) => format!("page {page} of its manifest does not verify"),
        };
        Err(Error::corrupt(PageId(0), format!("neither meta page can be trusted: {why}")))
    }

    /// Whether what readers would be shown is there. Deferred commits are in the page cache and
    /// need not be on the device: if the device has gone away and come back since, within one boot,
    /// the shared memory outlives their pages (rule 28). Whoever leads the next flush proves them
    /// again, and rewrites them (rule 20). What was built on top of them is looked at as far as
    /// that is bounded; if it is lost, so are they, and nobody has been promised more.
    pub fn visible_pages_survive(&mut self, shared: &Shared, image: &BuiltImage) -> Result<bool> {
        let (visible, built) = (shared.visible(), image.meta.txn);
        for txn in [Some(visible), (built != visible).then_some(built)].into_iter().flatten() {
            let Ok(live) = live_records_of(shared, image, txn, self.list_limit) else {
                return Ok(false);
            };
            let pages: u64 = live.values().map(|w| w.pages()).sum();
            if pages * self.page_size as u64 > meta::UNPROVED_BYTES {
                // Never that of a deferred commit, which is durable before it is shown if it needs
                // so much.
                return Ok(txn != visible);
            }
            for (id, w) in live {
                if !self.page_verifies(id, w)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn page_verifies(&mut self, id: PageId, w: Written) -> Result<bool> {
        let size = self.page_size as u64;
        let Some(at) = id.0.checked_mul(size) else { return Ok(false) };
        let bytes = self.bytes(at, w.pages() * size)?;
        Ok(bytes.is_some_and(|bytes| w.is(id, bytes)))
    }

    fn meta_fits(&self, meta: &Meta) -> Result<bool> {
        fits(self.platform, meta.page_count, meta.page_size)
    }

    /// The page because of which a meta cannot be trusted; page 0 if the file is too short for it.
    pub fn refusal(&mut self, found: &Found) -> Result<Option<PageId>> {
        if !self.meta_fits(&found.meta)? {
            return Ok(Some(PageId::NONE));
        }
        let Phase::Sealed(manifest) = &found.phase else { return Ok(None) };
        for m in manifest {
            if !self.page_verifies(m.page, m.into())? {
                return Ok(Some(m.page));
            }
        }
        Ok(None)
    }
}

/// Whether the file is as long as so many pages. It is before a transaction is built; but a device
/// that has been gone may not have kept the length.
pub(super) fn fits(platform: &dyn Platform, page_count: u64, page_size: usize) -> Result<bool> {
    Ok(page_count.saturating_mul(page_size as u64) <= platform.storage().len()?)
}

fn refuse(faults: &[MetaFault]) -> Error {
    let bad = faults.iter().find_map(|f| match f {
        MetaFault::Bad(what) if *what != "outside the file" => Some(*what),
        _ => None,
    });
    match bad {
        Some(what) => Error::corrupt(PageId(0), format!("both meta pages: {what}")),
        None => Error::no_database("no meta page with the right magic"),
    }
}
