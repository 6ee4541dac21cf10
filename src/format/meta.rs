//! The meta page: everything a snapshot is, in 4,096 bytes (docs/format.md).

use super::descriptor::TableDescriptor;
use super::fields::{
    self, MANIFEST_SIZE, QUEUE_SIZE, READY_SIZE, manifest, meta as m, queue, ready,
};
use super::freelog::{self, ENTRY_SIZE, FreeEntry, Queue};
use crate::error::Error;
use crate::types::{PageId, TxnId};

/// Bytes of a meta page that count, whatever the page size.
pub const SIZE: usize = fields::META_SIZE;
/// First eight bytes of a database.
pub const MAGIC: [u8; 8] = *b"recto\r\n\x1a";
/// The format this build reads and writes.
pub const VERSION: u32 = 2;
/// Bytes of the pages that a manifest names at most: opening may read them all.
pub const MANIFEST_BYTES: u64 = 4 << 20;
/// Bytes of pages that the list may name when a deferred commit is shown: a first opener may read
/// them all.
pub const UNPROVED_BYTES: u64 = 256 << 20;
/// Most ids that are reserved at a time for commits that are shown before they are durable (rule
/// 29).
pub const IDS_AHEAD: u64 = 1 << 16;
/// More ids no transaction has: savepoints give it new ones. So many that nobody comes to it; but
/// an id that a damaged lock file names is told from one that was used.
pub const IDS_OF_ONE: u64 = 1 << 32;
/// And the first time by each handle.
pub const IDS_FIRST: u64 = 1 << 10;
/// Feature that must be known to read: tables whose values are aligned.
pub const ALIGNED_VALUES: u32 = 1;
/// And tables with options behind their descriptors.
pub const TABLE_OPTIONS: u32 = 2;
/// And tables with a set of values for each key.
pub const SETS: u32 = 4;
/// And tables whose keys stand whole, in whatever order.
pub const ORDERS: u32 = 8;
/// And tables that have given out numbers.
pub const SEQUENCES: u32 = 16;
/// Feature that must be known to write: named snapshots, whose pages are not to be used again.
pub const NAMED_SNAPSHOTS: u32 = 1;
/// Features that this build knows: of those that must be known to write, and of those that must be
/// known to read.
pub const KNOWN_TO_WRITE: u32 = NAMED_SNAPSHOTS;
pub const KNOWN_TO_READ: u32 = ALIGNED_VALUES | TABLE_OPTIONS | SETS | ORDERS | SEQUENCES;
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

/// What a meta page says of how its pages became durable.
const SEALED: u64 = 1;
const TWO_PHASE: u64 = 2;

/// Where a queue stands in a meta page.
const fn queue_at(index: usize) -> usize {
    m::QUEUES.at + index * QUEUE_SIZE
}

/// Where the body of a meta page begins: ready extents, inline entries, manifest.
const BODY: usize = m::BODY.at;

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
    /// Tree of what is not a user's: the named snapshots.
    pub system: TableDescriptor,
    /// Free pages.
    pub space: SpaceState,
    /// Session in which it was written, random; 0 until the first one writes.
    pub session: u64,
    /// No id above it was used before a meta with a greater limit was durable (rule 29). 0 as long
    /// as nothing was written.
    pub id_limit: TxnId,
    /// Transactions since the database was made; those that were rolled back do not count.
    pub commits: u64,
    /// Features that must be known to write, and are not.
    pub unknown_to_write: u32,
    /// Features that must be known to read: used in this snapshot or in one before it.
    pub read_features: u32,
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

impl MetaFault {
    /// The error for a meta that is intact and not for this build.
    pub fn of_the_future(&self) -> Option<Error> {
        match *self {
            MetaFault::Version(found) => {
                Some(Error::Version { path: None, found, supported: VERSION })
            }
            MetaFault::Features(unknown) => {
                Some(Error::Features { path: None, unknown, to_write: false })
            }
            _ => None,
        }
    }
}

/// Whether a page may have this size.
pub fn valid_page_size(size: usize) -> bool {
    size.is_power_of_two() && PAGE_SIZES.contains(&size)
}

/// Whether the crc of a meta page is that of its bytes. It stands in this place, and covers the
/// page in this way, in every version.
fn crc_is_good(b: &[u8; SIZE]) -> bool {
    // It ends where the body begins.
    let Some((head, body)) = b.split_first_chunk::<BODY>() else { return false };
    let mut head = *head;
    seal_with(&mut head, 0);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head);
    hasher.update(body);
    hasher.finalize() == crc_of(b)
}

/// The crc that a meta page says.
pub fn crc_of(b: &[u8]) -> u32 {
    m::CRC.of(b) as u32
}

fn seal_with(b: &mut [u8], crc: u32) {
    m::CRC.put(b, 0, crc.into());
}

/// Makes the crc of a meta page good.
pub fn seal(b: &mut [u8]) {
    seal_with(b, 0);
    let crc = crc32fast::hash(b);
    seal_with(b, crc);
}

/// Whether bytes, damaged or not, say that they are a meta page of a database with pages of this
/// size.
pub fn claims_page_size(bytes: &[u8], size: usize) -> bool {
    bytes.starts_with(&MAGIC) && m::PAGE_SIZE.get(bytes, 0) == Some(size as u64)
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
            system: TableDescriptor::default(),
            space: SpaceState::default(),
            session: 0,
            id_limit: TxnId::NONE,
            commits: 0,
            unknown_to_write: 0,
            read_features: 0,
        }
    }

    /// The same content in the other slot, or again, as newer than `limit` says and written in
    /// `session`; no id above the new limit has been used (rule 29).
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
        (SIZE - BODY).saturating_sub(self.body_used()) / MANIFEST_SIZE
    }

    /// Encodes. The caller has made sure that everything fits ([`READY_MAX`], [`INLINE_MAX`],
    /// [`Meta::manifest_room`]).
    pub fn encode(&self, phase: &Phase) -> Box<[u8; SIZE]> {
        let mut b: Box<[u8; SIZE]> = Box::new([0; SIZE]);
        let out = &mut b[..];
        out[m::MAGIC.range(0)].copy_from_slice(&MAGIC);
        m::VERSION.put(out, 0, VERSION.into());
        m::PAGE_SIZE.put(out, 0, self.page_size as u64);
        out[m::UUID.range(0)].copy_from_slice(&self.uuid);
        m::TXN.put(out, 0, self.txn.0);
        m::PAGE_COUNT.put(out, 0, self.page_count);
        self.catalog.encode(&mut out[m::CATALOG.range(0)]);
        m::FREE_PAGES.put(out, 0, self.space.free_pages);
        m::READY_COUNT.put(out, 0, self.space.ready.len() as u64);
        m::SESSION.put(out, 0, self.session);
        m::ID_LIMIT.put(out, 0, self.id_limit.0);
        m::COMMITS.put(out, 0, self.commits);
        m::READ_FEATURES.put(out, 0, self.read_features.into());
        if !self.system.root.is_none() {
            m::WRITE_FEATURES.put(out, 0, NAMED_SNAPSHOTS.into());
            self.system.encode(&mut out[m::SYSTEM.range(0)]);
        }
        let mut at = BODY;
        for &(start, len) in &self.space.ready {
            ready::START.put(out, at, start.0);
            ready::LENGTH.put(out, at, len);
            at += READY_SIZE;
        }
        for (i, q) in self.space.queues.iter().enumerate() {
            let head = queue_at(i);
            queue::PIN.put(out, head, q.pin.0);
            queue::HEAD.put(out, head, q.head.0);
            queue::TAIL.put(out, head, q.tail.0);
            queue::HEAD_USED.put(out, head, q.head_used.into());
            queue::INLINE_COUNT.put(out, head, q.inline.len() as u64);
            queue::PAGES.put(out, head, q.pages.into());
            for e in &q.inline {
                e.encode(&mut out[at..at + ENTRY_SIZE]);
                at += ENTRY_SIZE;
            }
        }
        match phase {
            Phase::TwoPhase => m::PHASE.put(out, 0, TWO_PHASE),
            Phase::Sealed(entries) => {
                m::PHASE.put(out, 0, SEALED);
                m::MANIFEST_COUNT.put(out, 0, entries.len() as u64);
                for e in entries {
                    manifest::PAGE.put(out, at, e.page.0);
                    manifest::CRC.put(out, at, e.crc.into());
                    manifest::PAGES.put(out, at, e.pages.into());
                    at += MANIFEST_SIZE;
                }
            }
        }
        seal(out);
        b
    }

    /// Decodes and checks everything that can be checked without other pages.
    pub fn decode(bytes: &[u8]) -> Result<(Meta, Phase), MetaFault> {
        use MetaFault::Bad;
        let b = bytes.first_chunk().ok_or(Bad("shorter than a meta page"))?;
        if b[m::MAGIC.range(0)] != MAGIC {
            return Err(MetaFault::NotAMeta);
        }
        // First, so that a flipped bit in the version or in a feature word does not look like a
        // file of the future.
        if !crc_is_good(b) {
            return Err(Bad("checksum does not match"));
        }
        let version = m::VERSION.of(b) as u32;
        if version != VERSION {
            return Err(MetaFault::Version(version));
        }
        let read_features = m::READ_FEATURES.of(b) as u32;
        let unknown = read_features & !KNOWN_TO_READ;
        if unknown != 0 {
            return Err(MetaFault::Features(unknown));
        }
        let page_size = m::PAGE_SIZE.of(b) as usize;
        if !valid_page_size(page_size) {
            return Err(Bad("impossible page size"));
        }
        let page_count = m::PAGE_COUNT.of(b);
        let txn = TxnId(m::TXN.of(b));
        if !(2..=PageId::MAX.0).contains(&page_count) || txn == TxnId::NONE || txn > TxnId::MAX {
            return Err(Bad("impossible page count or transaction id"));
        }
        let id_limit = TxnId(m::ID_LIMIT.of(b));
        if id_limit != TxnId::NONE && !(txn..=TxnId::MAX).contains(&id_limit) {
            return Err(Bad("impossible limit of transaction ids"));
        }
        let tree = |field: super::fields::Field| {
            TableDescriptor::decode_plain(&b[field.range(0)], page_count).map_err(Bad)
        };
        let catalog = tree(m::CATALOG)?;
        let write_features = m::WRITE_FEATURES.of(b) as u32;
        let system = match write_features & NAMED_SNAPSHOTS {
            0 => TableDescriptor::default(),
            _ => tree(m::SYSTEM)?,
        };
        let mut at = BODY;
        let space = decode_space(b, page_count, &mut at).ok_or(Bad("damaged free space"))?;
        let phase = decode_phase(b, page_count, at).ok_or(Bad("damaged manifest"))?;
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&b[m::UUID.range(0)]);
        let meta = Meta {
            uuid,
            page_size,
            txn,
            page_count,
            catalog,
            system,
            space,
            session: m::SESSION.of(b),
            id_limit,
            commits: m::COMMITS.of(b),
            unknown_to_write: write_features & !KNOWN_TO_WRITE,
            read_features,
        };
        Ok((meta, phase))
    }
}

fn decode_space(b: &[u8], page_count: u64, at: &mut usize) -> Option<SpaceState> {
    let mut space = SpaceState { free_pages: m::FREE_PAGES.of(b), ..Default::default() };
    let ready = m::READY_COUNT.of(b) as usize;
    if ready > (SIZE - BODY) / READY_SIZE {
        return None;
    }
    space.ready.reserve_exact(ready);
    for _ in 0..ready {
        let (start, len) = (PageId(ready::START.get(b, *at)?), ready::LENGTH.get(b, *at)?);
        if !freelog::extent_fits(start, len, page_count) {
            return None;
        }
        space.ready.push((start, len));
        *at += READY_SIZE;
    }
    let inside = |p: u64| p == 0 || (2..page_count).contains(&p);
    for (i, q) in space.queues.iter_mut().enumerate() {
        let head = queue_at(i);
        let inline = queue::INLINE_COUNT.get(b, head)? as usize;
        if inline > (b.len() - *at) / ENTRY_SIZE {
            return None;
        }
        *q = Queue {
            pin: TxnId(queue::PIN.get(b, head)?),
            head: PageId(queue::HEAD.get(b, head)?),
            tail: PageId(queue::TAIL.get(b, head)?),
            head_used: queue::HEAD_USED.get(b, head)? as u16,
            pages: queue::PAGES.get(b, head)? as u32,
            inline: Vec::with_capacity(inline),
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
    let count = m::MANIFEST_COUNT.of(b) as usize;
    match m::PHASE.of(b) {
        TWO_PHASE => (count == 0).then_some(Phase::TwoPhase),
        SEALED => {
            let mut entries = Vec::new();
            // Opening reads all of them.
            let most = MANIFEST_BYTES / m::PAGE_SIZE.of(b).max(1);
            let mut left = most.min(page_count);
            for _ in 0..count {
                let entry = ManifestEntry {
                    page: PageId(manifest::PAGE.get(b, at)?),
                    crc: manifest::CRC.get(b, at)? as u32,
                    pages: manifest::PAGES.get(b, at)? as u16,
                };
                let pages = u64::from(entry.pages).max(1);
                if !freelog::extent_fits(entry.page, pages, page_count) {
                    return None;
                }
                left = left.checked_sub(pages)?;
                entries.push(entry);
                at += MANIFEST_SIZE;
            }
            Some(Phase::Sealed(entries))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
