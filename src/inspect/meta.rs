//! The meta page: decoding, and the proof of its manifest.
//!
//! Written from docs/format.md alone: the engine's own codec is not asked. Nothing here trusts a
//! count before it has been compared with the room there is.

use super::layout::{self, Field, meta as m};
use super::pages::Pages;
use super::report::{MetaSummary, SlotState};
use crate::error::Error;
use crate::format::checksum::page_crc;
use crate::types::{PageId, TxnId};
use crc32fast::Hasher;

/// A decoded meta page whose checksum, sizes and counts hold.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    pub slot: Option<u8>,
    pub version: u64,
    pub txn: u64,
    pub id_limit: u64,
    pub page_size: usize,
    pub page_count: u64,
    pub uuid: [u8; 16],
    pub phase: u64,
    pub free_pages: u64,
    pub ready: Vec<Extent>,
    pub queues: Vec<Queue>,
    pub manifest: Vec<Listed>,
    /// First byte behind the manifest; zeros from here on.
    pub body_end: usize,
    pub bytes: Box<[u8; layout::META_SIZE]>,
}

/// Pages side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub start: u64,
    pub len: u64,
}

/// An extent of free pages with the interval of snapshots that see it; in the pool a map of free
/// pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FreeEntry {
    pub extent: Extent,
    pub birth: u64,
    pub death: u64,
}

/// A free-log queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Queue {
    pub pin: u64,
    pub head: u64,
    pub tail: u64,
    pub head_used: u64,
    pub pages: u64,
    pub inline: Vec<FreeEntry>,
}

/// A page or run of the manifest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed {
    pub page: u64,
    pub crc: u64,
    /// 0: a page with a header; else an overflow run of so many pages.
    pub pages: u64,
}

/// Why a meta page is none.
pub(super) enum Refusal {
    Empty,
    NoMagic,
    /// Intact, but of another format version.
    Version(u64),
    /// Intact, with features that must be known to read, and are not.
    Features(u64),
    /// The text, and the page size if the checksum vouches for it.
    Damaged(String, Option<usize>),
}

impl Refusal {
    pub fn state(&self) -> SlotState {
        match self {
            Refusal::Empty => SlotState::Empty,
            Refusal::NoMagic => SlotState::Refused("no meta page: the magic is missing".into()),
            Refusal::Version(v) => SlotState::Refused(format!("format version {v}")),
            Refusal::Features(bits) => {
                SlotState::Refused(format!("features {bits:#x} that cannot be read"))
            }
            Refusal::Damaged(why, _) => SlotState::Refused(why.clone()),
        }
    }

    /// The error for a slot that is intact and of a newer format: whatever the other slot holds,
    /// the file is not for this build.
    pub fn of_the_future(&self) -> Option<Error> {
        match *self {
            Refusal::Version(v) => Some(Error::Version {
                path: None,
                found: v as u32,
                supported: layout::VERSION as u32,
            }),
            Refusal::Features(bits) => {
                Some(Error::Features { path: None, unknown: bits as u32, to_write: false })
            }
            _ => None,
        }
    }
}

/// Reads a field; outside the slice it is 0, which no bounds in this file leave room for.
fn word(field: Field, b: &[u8], base: usize) -> u64 {
    field.get(b, base).unwrap_or(0)
}

impl FreeEntry {
    /// The entry at `at`, None outside `b`.
    pub fn read(b: &[u8], at: usize) -> Option<FreeEntry> {
        use layout::free as f;
        let extent = Extent { start: f::START.get(b, at)?, len: f::LENGTH.get(b, at)? };
        Some(FreeEntry { extent, birth: f::BIRTH.get(b, at)?, death: f::DEATH.get(b, at)? })
    }

    /// The extents of an entry that is a map, in order.
    pub fn map_extents(&self) -> Vec<Extent> {
        let Extent { start, len: groups } = self.extent;
        if self.birth == u64::MAX {
            return vec![Extent { start, len: groups * layout::GROUP }];
        }
        let mut extents: Vec<Extent> = Vec::new();
        for at in (0..layout::GROUP).filter(|at| self.birth >> at & 1 == 1) {
            match extents.last_mut() {
                Some(last) if last.start + last.len == start + at => last.len += 1,
                _ => extents.push(Extent { start: start + at, len: 1 }),
            }
        }
        extents
    }
}

impl Meta {
    pub fn summary(&self) -> MetaSummary {
        MetaSummary {
            slot: self.slot,
            version: self.version as u32,
            txn: TxnId(self.txn),
            page_size: self.page_size,
            page_count: self.page_count,
            uuid: self.uuid,
            two_phase: self.phase == layout::PHASE_TWO,
            manifest_count: self.manifest.len() as u64,
            free_pages: self.free_pages,
        }
    }

    pub fn decode(
        bytes: &[u8; layout::META_SIZE],
        slot: Option<u8>,
        file_len: u64,
    ) -> Result<Meta, Refusal> {
        let b = &bytes[..];
        if b.iter().all(|&x| x == 0) {
            return Err(Refusal::Empty);
        }
        if m::MAGIC.slice(b, 0) != Some(&layout::MAGIC[..]) {
            return Err(Refusal::NoMagic);
        }
        // The checksum comes before the version: a flipped bit in the version must not look like a
        // file of the future.
        let version = word(m::VERSION, b, 0);
        if meta_crc(b) != word(m::CRC, b, 0) {
            let text = format!("its checksum does not match (format version {version})");
            return Err(Refusal::Damaged(text, None));
        }
        if version != layout::VERSION && version != layout::VERSION_1 {
            return Err(Refusal::Version(version));
        }
        let unknown = word(m::READ_FEATURES, b, 0) & !layout::KNOWN_TO_READ;
        if unknown != 0 {
            return Err(Refusal::Features(unknown));
        }
        let page_size = word(m::PAGE_SIZE, b, 0) as usize;
        let [least, most] = layout::PAGE_SIZES;
        if !page_size.is_power_of_two() || page_size < least || page_size > most {
            return Err(Refusal::Damaged(format!("its page size is {page_size}"), None));
        }
        let refuse = |why: String| Refusal::Damaged(why, Some(page_size));
        let page_count = word(m::PAGE_COUNT, b, 0);
        if page_count < 2 || page_count > file_len / page_size as u64 || page_count > layout::LIMIT
        {
            return Err(refuse(format!(
                "its {page_count} pages of {page_size} bytes do not fit the file of {file_len} bytes"
            )));
        }
        let phase = word(m::PHASE, b, 0);
        if phase != layout::PHASE_SEALED && phase != layout::PHASE_TWO {
            return Err(refuse(format!("its phase is {phase}")));
        }
        let mut meta = Meta {
            slot,
            version,
            txn: word(m::TXN, b, 0),
            id_limit: word(m::ID_LIMIT, b, 0),
            page_size,
            page_count,
            uuid: m::UUID.slice(b, 0).and_then(|s| s.try_into().ok()).unwrap_or_default(),
            phase,
            free_pages: word(m::FREE_PAGES, b, 0),
            ready: Vec::new(),
            queues: Vec::new(),
            manifest: Vec::new(),
            body_end: m::BODY.at,
            bytes: Box::new(*bytes),
        };
        if meta.txn == 0 || meta.txn >= layout::LIMIT {
            return Err(refuse(format!("its transaction id is {}", meta.txn)));
        }
        if meta.id_limit != 0 && !(meta.txn..layout::LIMIT).contains(&meta.id_limit) {
            return Err(refuse(format!("its limit of transaction ids is {}", meta.id_limit)));
        }
        let listed = word(m::MANIFEST_COUNT, b, 0);
        if phase == layout::PHASE_TWO && listed != 0 {
            return Err(refuse(format!("it lists {listed} pages although its phase is 2")));
        }
        meta.decode_body().map_err(refuse)?;
        Ok(meta)
    }

    fn decode_body(&mut self) -> Result<(), String> {
        let Meta { bytes, ready, queues, manifest, body_end, .. } = self;
        let b = &bytes[..];
        let queue_at = |i: usize| m::QUEUES.at + i * layout::QUEUE_SIZE;
        let inline = |i: usize| word(layout::queue::INLINE_COUNT, b, queue_at(i));
        let ready_count = word(m::READY_COUNT, b, 0);
        let manifest_count = word(m::MANIFEST_COUNT, b, 0);
        // 32-bit counts times small sizes: no overflow in 64 bits.
        let need = ready_count * layout::READY_SIZE as u64
            + (0..layout::QUEUES).map(inline).sum::<u64>() * layout::FREE_SIZE as u64
            + manifest_count * layout::MANIFEST_SIZE as u64;
        if need > m::BODY.size as u64 {
            return Err(format!("its lists need {need} bytes, there are {}", m::BODY.size));
        }
        let mut at = m::BODY.at;
        for _ in 0..ready_count {
            use layout::ready as r;
            ready.push(Extent { start: word(r::START, b, at), len: word(r::LENGTH, b, at) });
            at += layout::READY_SIZE;
        }
        for i in 0..layout::QUEUES {
            use layout::queue as q;
            let base = queue_at(i);
            let mut entries = Vec::new();
            for _ in 0..inline(i) {
                entries.extend(FreeEntry::read(b, at));
                at += layout::FREE_SIZE;
            }
            queues.push(Queue {
                pin: word(q::PIN, b, base),
                head: word(q::HEAD, b, base),
                tail: word(q::TAIL, b, base),
                head_used: word(q::HEAD_USED, b, base),
                pages: word(q::PAGES, b, base),
                inline: entries,
            });
        }
        for _ in 0..manifest_count {
            use layout::manifest as l;
            let word = |field| word(field, b, at);
            manifest.push(Listed { page: word(l::PAGE), crc: word(l::CRC), pages: word(l::PAGES) });
            at += layout::MANIFEST_SIZE;
        }
        *body_end = at;
        Ok(())
    }

    /// Whether every page of the manifest is what the manifest says. Reads no more bytes than the
    /// file has.
    pub fn verify_manifest(&self, pages: &dyn Pages) -> Result<(), String> {
        let total: u64 = self.manifest.iter().map(|l| l.pages.max(1)).sum();
        let most = layout::MANIFEST_BYTES / self.page_size as u64;
        if total > most.min(self.page_count) {
            return Err(format!("the manifest lists {total} pages, at most {most} may be"));
        }
        for l in &self.manifest {
            let end = l.page + l.pages.max(1);
            if l.page < 2 || end > self.page_count {
                return Err(format!("the manifest lists pages {}..{end}", l.page));
            }
            let crc = if l.pages == 0 {
                self.header_page_crc(pages, l.page)?
            } else {
                let bytes = l.pages * self.page_size as u64;
                run_crc(pages, self.page_size, l.page, bytes, |_| true)?.0
            };
            if u64::from(crc) != l.crc {
                return Err(format!("page {} is not what the manifest says", l.page));
            }
        }
        Ok(())
    }

    fn header_page_crc(&self, pages: &dyn Pages, page: u64) -> Result<u32, String> {
        let b = pages
            .read(page * self.page_size as u64, self.page_size)
            .map_err(|e| format!("page {page} of the manifest cannot be read: {e}"))?;
        let crc = page_crc(PageId(page), &b);
        if layout::header::CRC.get(&b, 0) != Some(crc.into()) {
            return Err(format!("page {page} of the manifest fails its own checksum"));
        }
        Ok(crc)
    }

    /// Whether there are features that this build does not know: then what it takes for unused may
    /// be used.
    pub fn has_unknown_features(&self) -> bool {
        let b = &self.bytes[..];
        let to_write = word(m::WRITE_FEATURES, b, 0) & !layout::KNOWN_TO_WRITE;
        let others = !m::FEATURES.is_zero(b, 0) || to_write != 0;
        others || self.read_features() & !layout::KNOWN_TO_READ != 0
    }

    /// Features that must be known to read.
    pub fn read_features(&self) -> u64 {
        word(m::READ_FEATURES, &self.bytes[..], 0)
    }

    /// The descriptor of the system tree, where a feature says that there is one.
    pub fn system(&self) -> Option<&[u8]> {
        let b = &self.bytes[..];
        let said = word(m::WRITE_FEATURES, b, 0) & layout::NAMED_SNAPSHOTS != 0;
        said.then(|| m::SYSTEM.slice(b, 0)).flatten()
    }

    /// What two metas of one transaction, or of one file, cannot disagree on.
    pub fn contradicts(&self, other: &Meta) -> Option<&'static str> {
        if self.uuid != other.uuid {
            return Some("the two meta pages belong to different databases");
        }
        if self.version != other.version {
            return Some("the two meta pages are of different format versions");
        }
        // A copy of a meta may be stored with another phase and without its manifest: its content
        // counts.
        let same = self.page_count == other.page_count
            && m::CATALOG.slice(&self.bytes[..], 0) == m::CATALOG.slice(&other.bytes[..], 0)
            && m::SYSTEM.slice(&self.bytes[..], 0) == m::SYSTEM.slice(&other.bytes[..], 0)
            && self.free_pages == other.free_pages
            && self.ready == other.ready
            && self.queues == other.queues;
        (self.txn == other.txn && !same)
            .then_some("the two meta pages hold one transaction with different content")
    }
}

fn meta_crc(b: &[u8]) -> u64 {
    let mut h = Hasher::new();
    h.update(&b[..m::CRC.at]);
    h.update(&[0; m::CRC.size]);
    h.update(&b[m::CRC.end()..]);
    h.finalize().into()
}

/// Checksum of the whole pages that hold `len` bytes from page `first` on, and whether everything
/// behind `len` is zero. Reads piece by piece; `go_on` is told the pages read and may end it (the
/// result is then meaningless).
pub(super) fn run_crc(
    pages: &dyn Pages,
    page_size: usize,
    first: u64,
    len: u64,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<(u32, bool), String> {
    const STEP: u64 = 1 << 20;
    let mut h = Hasher::new();
    h.update(&first.to_le_bytes());
    let (start, size) = (first * page_size as u64, len.next_multiple_of(page_size as u64));
    let (mut at, mut padded) = (0, true);
    while at < size {
        let n = STEP.min(size - at);
        let b = pages
            .read(start + at, n as usize)
            .map_err(|e| format!("the run at page {first} cannot be read: {e}"))?;
        h.update(&b);
        let tail = len.saturating_sub(at).min(n) as usize;
        padded &= b[tail..].iter().all(|&x| x == 0);
        at += n;
        if !go_on(n / page_size as u64) {
            break;
        }
    }
    Ok((h.finalize(), padded))
}
