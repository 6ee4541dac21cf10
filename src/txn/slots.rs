//! Reading the two slots of a database, the manifest of a meta, and what the list of pages names: bounded reads of a file that may hold
//! anything. What is made of it is decided in [`open`](super::open).

use super::repair::verifies;
use super::state::{Written, live_records_of, load_image_of};
use crate::error::{Error, Result};
use crate::format::meta::{self, Meta, MetaFault, Phase};
use crate::format::page::verify;
use crate::planted::{Bug, planted};
use crate::shared::Shared;
use crate::shared::layout::byte;
use crate::storage::Platform;
use crate::types::{PageId, TxnId};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Looks at two bad metas, and the pause between two looks: about a second. A meta page is stored by one call, which takes
/// less on the busiest machine.
const LOOKS: u32 = 5_000;
const PAUSE: Duration = Duration::from_micros(100);

/// What the two slots hold.
pub struct Slots {
    /// Those that are intact; of one database.
    pub metas: [Option<(Meta, Phase)>; 2],
    pub uuid: [u8; 16],
    pub page_size: usize,
}

impl Slots {
    /// Features of either slot that must be known to write, and are not.
    pub fn unknown_to_write(&self) -> u32 {
        self.metas.iter().flatten().fold(0, |bits, (meta, _)| bits | meta.unknown_to_write)
    }
}

type MetaRead = std::result::Result<(Meta, Phase), MetaFault>;

/// Reads pages of the file for the opening and counts them.
pub struct Reader<'a> {
    pub platform: &'a dyn Platform,
    pub pages: u64,
    pub page_size: usize,
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
        Ok(bytes.map_or(Err(MetaFault::Bad("outside the file")), |bytes| Meta::decode(&bytes)))
    }

    /// Both slots. A slot that is intact and of a version or with features that this build cannot read refuses the whole file,
    /// whatever the other one holds: it may be the newer of the two, and what this build wrote would be written over it.
    pub fn slots(&mut self) -> Result<Slots> {
        let recto = self.meta_at(0)?;
        let mut faults: Vec<MetaFault> = recto.as_ref().err().cloned().into_iter().collect();
        let verso = match (&recto, faults.first().and_then(of_the_future)) {
            (_, Some(refusal)) => return Err(refusal),
            (Ok((m, _)), _) => self.verso_at(m.page_size)?,
            (Err(_), _) => self.find_verso(&mut faults)?,
        };
        let verso = match verso {
            Some(Err(fault)) => {
                if let Some(refusal) = of_the_future(&fault) {
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
            (Some(r), Some(v)) if r.0.uuid != v.0.uuid => {
                match !self.fits(&r.0)? && self.fits(&v.0)? {
                    true => (None, Some(v)),
                    false => (Some(r), None),
                }
            }
            other => other,
        };
        let Some((any, _)) = recto.as_ref().or(verso.as_ref()) else {
            return Err(refuse(&faults));
        };
        let (uuid, page_size) = (any.uuid, any.page_size);
        self.page_size = page_size;
        Ok(Slots { metas: [recto, verso], uuid, page_size })
    }

    /// The verso of pages of this size; None if what stands there does not say that it is one.
    fn verso_at(&mut self, size: usize) -> Result<Option<MetaRead>> {
        let bytes = self.meta_bytes(size as u64)?;
        Ok(bytes.filter(|b| meta::claims_page_size(b, size)).map(|b| Meta::decode(&b)))
    }

    /// The verso without a recto. The first place that looks like one decides, also if it is damaged: what lies behind it is data, and may
    /// look like anything, also like the metas of another database.
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

    /// Both slots, while others may be storing them: between the looks at the one and at the other two flushes may
    /// have passed, and either look can meet a half of a meta. Only while nobody has the database open are two bad metas final.
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

    /// Rule 24.
    pub fn choose(&mut self, slots: &Slots) -> Result<(Meta, usize)> {
        let mut order: Vec<usize> = (0..2).filter(|&i| slots.metas[i].is_some()).collect();
        let age = |i: usize| slots.metas[i].as_ref().map(|(m, _)| (m.txn, m.id_limit));
        order.sort_by_key(|&i| std::cmp::Reverse(age(i)));
        if planted(Bug::OlderMetaTaken) {
            order.reverse();
        }
        let mut why = String::from("no meta page");
        for slot in order {
            let Some((meta, phase)) = &slots.metas[slot] else { continue };
            match self.refusal(meta, phase)? {
                None => return Ok((meta.clone(), slot)),
                Some(refusal) => why = refusal,
            }
        }
        Err(Error::corrupt(PageId(0), format!("neither meta page can be trusted: {why}")))
    }

    /// Whether what readers would be shown is there. Deferred commits are in the page cache and need not be on the device:
    /// if the device has gone away and come back since, within one boot, the shared memory outlives their pages (hole 12). Whoever
    /// leads the next flush proves them again, and rewrites them (rule 20).
    pub fn visible_pages_survive(&mut self, shared: &Shared) -> Result<bool> {
        let words = shared.words();
        let durable = TxnId(words.durable.0.load(Ordering::SeqCst) >> 1);
        let visible = shared.visible();
        // An opening that was not finished has not rewritten what it chose (rules 26, 27): it is chosen again.
        if shared.identity().opening.load(Ordering::SeqCst) != 0 {
            return Ok(false);
        }
        if visible <= durable || planted(Bug::VisibleNotProved) {
            return Ok(true);
        }
        let Ok(image) = load_image_of(shared, self.page_size) else { return Ok(false) };
        for txn in [visible, image.meta.txn] {
            let Ok(live) = live_records_of(shared, image.list_end, txn) else { return Ok(false) };
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
        let bytes = self.bytes(at, u64::from(w.pages.max(1)) * size)?;
        if planted(Bug::ManifestChecksPageAlone) && w.pages == 0 {
            return Ok(bytes.is_some_and(|page| verify(id, page).is_ok()));
        }
        Ok(bytes.is_some_and(|bytes| verifies(id, bytes, w)))
    }

    fn fits(&self, meta: &Meta) -> Result<bool> {
        let len = self.platform.storage().len()?;
        Ok(meta.page_count.saturating_mul(meta.page_size as u64) <= len)
    }

    fn refusal(&mut self, meta: &Meta, phase: &Phase) -> Result<Option<String>> {
        if !self.fits(meta)? {
            return Ok(Some("the file is shorter than its pages".into()));
        }
        let Phase::Sealed(manifest) = phase else { return Ok(None) };
        if planted(Bug::ManifestNotChecked) {
            return Ok(None);
        }
        for m in manifest {
            if !self.page_verifies(m.page, Written { crc: m.crc, pages: u32::from(m.pages) })? {
                return Ok(Some(format!("page {} of its manifest does not verify", m.page)));
            }
        }
        Ok(None)
    }
}

/// The error for a slot that is intact and not for this build.
fn of_the_future(fault: &MetaFault) -> Option<Error> {
    match *fault {
        _ if planted(Bug::NewerSlotIgnored) => None,
        MetaFault::Version(found) => Some(Error::Version { found, supported: meta::VERSION }),
        MetaFault::Features(unknown) => Some(Error::Features { unknown, to_write: false }),
        _ => None,
    }
}

fn refuse(faults: &[MetaFault]) -> Error {
    let bad = faults.iter().find_map(|f| match f {
        MetaFault::Bad(what) if *what != "outside the file" => Some(*what),
        _ => None,
    });
    match bad {
        Some(what) => Error::corrupt(PageId(0), format!("both meta pages: {what}")),
        None => Error::NotADatabase { detail: "no meta page with the right magic".into() },
    }
}
