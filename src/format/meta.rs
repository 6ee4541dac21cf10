//! The meta page: everything a snapshot is, in 4,096 bytes (docs/format.md).

use super::bytes::*;
use super::descriptor::{self, TableDescriptor};
use super::freelog::{self, ENTRY_SIZE, FreeEntry, Queue};
use crate::types::{PageId, TxnId};

/// Bytes of a meta page that count, whatever the page size.
pub const SIZE: usize = 4096;
/// First eight bytes of a database.
pub const MAGIC: [u8; 8] = *b"recto\r\n\x1a";
/// The format this build reads and writes.
pub const VERSION: u32 = 1;
/// Bytes of the pages that a manifest names at most: opening may read them all.
pub const MANIFEST_BYTES: u64 = 4 << 20;
/// Bytes of pages that the list may name when a deferred commit is shown: a first opener may read them all.
pub const UNPROVED_BYTES: u64 = 256 << 20;
/// Most ids that are reserved at a time for commits that are shown before they are durable (rule 29).
pub const IDS_AHEAD: u64 = 1 << 16;
/// And the first time by each handle.
pub const IDS_FIRST: u64 = 1 << 10;
/// Features that this build knows: of those that must be known to write, and of those that must be known to read.
pub const KNOWN_TO_WRITE: u32 = 0;
pub const KNOWN_TO_READ: u32 = 0;
/// Smallest and largest page.
pub const PAGE_SIZES: std::ops::RangeInclusive<usize> = 4096..=65536;
/// Free-log queues: the main one, the sides, the pool.
pub const QUEUES: usize = 5;
/// The queue of what was freed, in the order of its death.
pub const MAIN: usize = 0;
/// Queues for entries pinned by old readers.
pub const SIDES: [usize; 3] = [1, 2, 3];
/// The queue of maps: pages that nobody sees, those first that should be used first.
pub const POOL: usize = 4;
/// Ready extents a built meta holds at most, so that a manifest finds room.
pub const READY_MAX: usize = 64;
/// Inline free entries a built meta holds at most, all queues together.
pub const INLINE_MAX: usize = 64;

pub(crate) const AT_VERSION: usize = 8;
pub(crate) const AT_PAGE_SIZE: usize = 12;
pub(crate) const AT_UUID: usize = 16;
pub(crate) const AT_TXN: usize = 32;
pub(crate) const AT_PAGE_COUNT: usize = 40;
pub(crate) const AT_CATALOG: usize = 48;
pub(crate) const AT_MANIFEST_COUNT: usize = 112;
pub(crate) const AT_PHASE: usize = 116;
pub(crate) const AT_FREE_PAGES: usize = 120;
pub(crate) const AT_READY_COUNT: usize = 128;
pub(crate) const AT_QUEUES: usize = 136;
pub(crate) const QUEUE_SIZE: usize = 32;
pub(crate) const AT_WRITE_FEATURES: usize = 300;
pub(crate) const AT_READ_FEATURES: usize = 304;
pub(crate) const AT_SESSION: usize = 312;
pub(crate) const AT_ID_LIMIT: usize = 320;
pub(crate) const AT_COMMITS: usize = 328;
pub(crate) const AT_CRC: usize = 508;
pub(crate) const AT_BODY: usize = 512;
pub(crate) const READY_SIZE: usize = 8;
pub(crate) const MANIFEST_SIZE: usize = 12;

/// Who owns the free pages of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SpaceState {
    /// Extents that are reusable now: first page and length.
    pub ready: Vec<(PageId, u64)>,
    /// Everything else that is free.
    pub queues: [Queue; QUEUES],
    /// Pages in all of these, log entries included.
    pub free_pages: u64,
}

/// A page that must verify before a meta with a manifest is trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ManifestEntry {
    /// The page, or the first of the run.
    pub page: PageId,
    /// Its checksum.
    pub crc: u32,
    /// 0 for a page with a header, else the pages of an overflow run.
    pub pages: u16,
}

/// How the pages of a meta became durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Phase {
    /// With the meta, in one sync: these pages prove it.
    Sealed(Vec<ManifestEntry>),
    /// Before the meta was stored.
    TwoPhase,
}

/// A snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Meta {
    /// Of the database.
    pub uuid: [u8; 16],
    /// Bytes of a page.
    pub page_size: usize,
    /// Transaction that made the snapshot.
    pub txn: TxnId,
    /// High-water mark.
    pub page_count: u64,
    /// Tree of tables.
    pub catalog: TableDescriptor,
    /// Free pages.
    pub space: SpaceState,
    /// Session in which it was written, random; 0 until the first one writes.
    pub session: u64,
    /// No id above it was used before a meta with a greater limit was durable (rule 29). 0 as long as nothing was written.
    pub id_limit: TxnId,
    /// Transactions since the database was made; those that were rolled back do not count.
    pub commits: u64,
    /// Features that must be known to write, and are not.
    pub unknown_to_write: u32,
}

/// Why a meta page is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetaFault {
    /// No magic: not a meta page.
    NotAMeta,
    /// Intact, and of a version this build does not know.
    Version(u32),
    /// Intact, with features that must be known to read, and are not.
    Features(u32),
    /// Anything else.
    Bad(&'static str),
}

/// Whether a page may have this size.
pub fn valid_page_size(size: usize) -> bool {
    size.is_power_of_two() && PAGE_SIZES.contains(&size)
}

/// Whether the crc of a meta page is that of its bytes. It stands in this place, and covers the page in this way, in every version.
fn crc_is_good(b: &[u8]) -> bool {
    let mut copy = [0; SIZE];
    copy.copy_from_slice(b);
    put_u32(&mut copy, AT_CRC, 0);
    crc32fast::hash(&copy) == word32(b, AT_CRC)
}

/// Whether bytes, damaged or not, say that they are a meta page of a database with pages of this size.
pub fn claims_page_size(bytes: &[u8], size: usize) -> bool {
    bytes.starts_with(&MAGIC) && get_u32(bytes, AT_PAGE_SIZE) == Some(size as u32)
}

impl Meta {
    /// The snapshot a new database starts with: nothing, twice.
    pub fn empty(uuid: [u8; 16], page_size: usize) -> Meta {
        Meta {
            uuid,
            page_size,
            txn: TxnId::FIRST,
            page_count: 2,
            catalog: TableDescriptor::default(),
            space: SpaceState::default(),
            session: 0,
            id_limit: TxnId::NONE,
            commits: 0,
            unknown_to_write: 0,
        }
    }

    /// The same content in the other slot, or again, as newer than `limit` says and written in `session`; no id above the new limit has
    /// been used (rule 29).
    pub fn renewed(&self, session: u64, limit: TxnId, ahead: u64) -> Meta {
        let limit = limit.max(self.id_limit).0.saturating_add(ahead);
        let id_limit = TxnId(limit.min(TxnId::MAX.0));
        Meta { session, id_limit, ..self.clone() }
    }

    /// Whether two metas are the same snapshot, whoever wrote them.
    pub fn same_snapshot(&self, other: &Meta) -> bool {
        *self == Meta { session: self.session, id_limit: self.id_limit, ..other.clone() }
    }

    fn body_used(&self) -> usize {
        let inline: usize = self.space.queues.iter().map(|q| q.inline.len()).sum();
        self.space.ready.len() * READY_SIZE + inline * ENTRY_SIZE
    }

    /// Entries a manifest of this meta can have.
    pub fn manifest_room(&self) -> usize {
        (SIZE - AT_BODY).saturating_sub(self.body_used()) / MANIFEST_SIZE
    }

    /// Encodes. The caller has made sure that everything fits ([`READY_MAX`], [`INLINE_MAX`],
    /// [`Meta::manifest_room`]).
    pub fn encode(&self, phase: &Phase) -> Box<[u8; SIZE]> {
        let mut b: Box<[u8; SIZE]> = Box::new([0; SIZE]);
        b[..8].copy_from_slice(&MAGIC);
        put_u32(&mut b[..], AT_VERSION, VERSION);
        put_u32(&mut b[..], AT_PAGE_SIZE, self.page_size as u32);
        b[AT_UUID..AT_UUID + 16].copy_from_slice(&self.uuid);
        put_u64(&mut b[..], AT_TXN, self.txn.0);
        put_u64(&mut b[..], AT_PAGE_COUNT, self.page_count);
        self.catalog.encode(&mut b[AT_CATALOG..AT_CATALOG + descriptor::SIZE]);
        put_u64(&mut b[..], AT_FREE_PAGES, self.space.free_pages);
        put_u32(&mut b[..], AT_READY_COUNT, self.space.ready.len() as u32);
        put_u64(&mut b[..], AT_SESSION, self.session);
        put_u64(&mut b[..], AT_ID_LIMIT, self.id_limit.0);
        put_u64(&mut b[..], AT_COMMITS, self.commits);
        let mut at = AT_BODY;
        for &(start, len) in &self.space.ready {
            put_u48(&mut b[..], at, start.0);
            put_u16(&mut b[..], at + 6, len as u16);
            at += READY_SIZE;
        }
        for (i, q) in self.space.queues.iter().enumerate() {
            let head = AT_QUEUES + i * QUEUE_SIZE;
            put_u64(&mut b[..], head, q.pin.0);
            put_u64(&mut b[..], head + 8, q.head.0);
            put_u64(&mut b[..], head + 16, q.tail.0);
            put_u16(&mut b[..], head + 24, q.head_used);
            put_u16(&mut b[..], head + 26, q.inline.len() as u16);
            put_u32(&mut b[..], head + 28, q.pages);
            for e in &q.inline {
                e.encode(&mut b[at..at + ENTRY_SIZE]);
                at += ENTRY_SIZE;
            }
        }
        match phase {
            Phase::TwoPhase => put_u32(&mut b[..], AT_PHASE, 2),
            Phase::Sealed(manifest) => {
                put_u32(&mut b[..], AT_PHASE, 1);
                put_u32(&mut b[..], AT_MANIFEST_COUNT, manifest.len() as u32);
                for m in manifest {
                    put_u48(&mut b[..], at, m.page.0);
                    put_u32(&mut b[..], at + 6, m.crc);
                    put_u16(&mut b[..], at + 10, m.pages);
                    at += MANIFEST_SIZE;
                }
            }
        }
        let crc = crc32fast::hash(&b[..]);
        put_u32(&mut b[..], AT_CRC, crc);
        b
    }

    /// Decodes and checks everything that can be checked without other pages.
    pub fn decode(bytes: &[u8]) -> Result<(Meta, Phase), MetaFault> {
        use MetaFault::Bad;
        let b = bytes.get(..SIZE).ok_or(Bad("shorter than a meta page"))?;
        if b[..8] != MAGIC {
            return Err(MetaFault::NotAMeta);
        }
        // First, so that a flipped bit in the version or in a feature word does not look like a file of the future.
        if !crc_is_good(b) {
            return Err(Bad("checksum does not match"));
        }
        if word32(b, AT_VERSION) != VERSION {
            return Err(MetaFault::Version(word32(b, AT_VERSION)));
        }
        let unknown = word32(b, AT_READ_FEATURES) & !KNOWN_TO_READ;
        if unknown != 0 {
            return Err(MetaFault::Features(unknown));
        }
        let page_size = word32(b, AT_PAGE_SIZE) as usize;
        if !valid_page_size(page_size) {
            return Err(Bad("impossible page size"));
        }
        let page_count = word64(b, AT_PAGE_COUNT);
        let txn = TxnId(word64(b, AT_TXN));
        if !(2..=PageId::MAX.0).contains(&page_count) || txn == TxnId::NONE || txn > TxnId::MAX {
            return Err(Bad("impossible page count or transaction id"));
        }
        let id_limit = TxnId(word64(b, AT_ID_LIMIT));
        if id_limit != TxnId::NONE && !(txn..=TxnId::MAX).contains(&id_limit) {
            return Err(Bad("impossible limit of transaction ids"));
        }
        let catalog =
            TableDescriptor::decode(&b[AT_CATALOG..AT_CATALOG + descriptor::SIZE], page_count)
                .map_err(Bad)?;
        let mut at = AT_BODY;
        let space = decode_space(b, page_count, &mut at).ok_or(Bad("damaged free space"))?;
        let phase = decode_phase(b, page_count, at).ok_or(Bad("damaged manifest"))?;
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&b[AT_UUID..AT_UUID + 16]);
        let meta = Meta {
            uuid,
            page_size,
            txn,
            page_count,
            catalog,
            space,
            session: word64(b, AT_SESSION),
            id_limit,
            commits: word64(b, AT_COMMITS),
            unknown_to_write: word32(b, AT_WRITE_FEATURES) & !KNOWN_TO_WRITE,
        };
        Ok((meta, phase))
    }
}

fn word32(b: &[u8], at: usize) -> u32 {
    get_u32(b, at).unwrap_or(0)
}

fn word64(b: &[u8], at: usize) -> u64 {
    get_u64(b, at).unwrap_or(0)
}

fn decode_space(b: &[u8], page_count: u64, at: &mut usize) -> Option<SpaceState> {
    let mut space = SpaceState { free_pages: word64(b, AT_FREE_PAGES), ..Default::default() };
    let ready = word32(b, AT_READY_COUNT) as usize;
    if ready > (SIZE - AT_BODY) / READY_SIZE {
        return None;
    }
    for _ in 0..ready {
        let (start, len) = (PageId(get_u48(b, *at)?), u64::from(get_u16(b, *at + 6)?));
        if !freelog::extent_fits(start, len, page_count) {
            return None;
        }
        space.ready.push((start, len));
        *at += READY_SIZE;
    }
    let inside = |p: u64| p == 0 || (2..page_count).contains(&p);
    for (i, q) in space.queues.iter_mut().enumerate() {
        let head = AT_QUEUES + i * QUEUE_SIZE;
        let inline = get_u16(b, head + 26)?;
        *q = Queue {
            pin: TxnId(get_u64(b, head)?),
            head: PageId(get_u64(b, head + 8)?),
            tail: PageId(get_u64(b, head + 16)?),
            head_used: get_u16(b, head + 24)?,
            pages: get_u32(b, head + 28)?,
            inline: Vec::new(),
        };
        let empty = q.head == q.tail;
        if u64::from(q.pages) > page_count
            || !inside(q.head.0)
            || !inside(q.tail.0)
            || empty != (q.pages == 0)
        {
            return None;
        }
        for _ in 0..inline {
            q.inline.push(FreeEntry::decode(b.get(*at..)?, page_count, i == POOL)?);
            *at += ENTRY_SIZE;
        }
    }
    Some(space)
}

fn decode_phase(b: &[u8], page_count: u64, mut at: usize) -> Option<Phase> {
    let count = word32(b, AT_MANIFEST_COUNT) as usize;
    match word32(b, AT_PHASE) {
        2 => (count == 0).then_some(Phase::TwoPhase),
        1 => {
            let mut manifest = Vec::new();
            // Opening reads all of them.
            let most = MANIFEST_BYTES / u64::from(word32(b, AT_PAGE_SIZE)).max(1);
            let mut left = most.min(page_count);
            for _ in 0..count {
                let m = ManifestEntry {
                    page: PageId(get_u48(b, at)?),
                    crc: get_u32(b, at + 6)?,
                    pages: get_u16(b, at + 10)?,
                };
                let pages = u64::from(m.pages).max(1);
                if !freelog::extent_fits(m.page, pages, page_count) {
                    return None;
                }
                left = left.checked_sub(pages)?;
                manifest.push(m);
                at += MANIFEST_SIZE;
            }
            Some(Phase::Sealed(manifest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
