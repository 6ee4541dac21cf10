//! Where a salvage begins: a meta page, or what can be found without one.

use super::Source;
use crate::error::{Error, Result};
use crate::format::checksum::page_crc;
use crate::inspect::layout::{self, header, meta as m, table as t};
use crate::inspect::meta::Meta;
use crate::inspect::node::{Body, Cell, Node, Run};
use crate::inspect::opening::OpenedMeta;
use crate::inspect::order::Keys;
use crate::inspect::pages::Pages;
use crate::inspect::report::SlotState;
use crate::inspect::tree::Descriptor;
use crate::types::PageId;
use std::sync::atomic::{AtomicBool, Ordering};

/// Pages of each size that are looked at to find the size.
const SAMPLE: u64 = 4_096;
/// Pages in a catalog that are looked at to find out whether it is one.
const CATALOG_PAGES: usize = 64;

/// Where to begin.
pub struct Start {
    pub source: Source,
    /// The meta page; made up where there is none.
    pub meta: Meta,
    /// Descriptor of the catalog.
    pub catalog: Vec<u8>,
    pub slots: [SlotState; 2],
}

impl Start {
    /// At what has been opened.
    pub fn of(opened: OpenedMeta) -> Start {
        let OpenedMeta { meta, slots, .. } = opened;
        let catalog = m::CATALOG.slice(&meta.bytes[..], 0).unwrap_or_default().to_vec();
        Start { source: Source::Snapshot, meta, catalog, slots }
    }

    /// Whether pages may lie about that a newer transaction than this one has written. Both slots
    /// hold a meta from the first moment on: also an empty one has held one.
    pub fn newer_may_lie_about(&self) -> bool {
        match self.source {
            Source::Snapshot => false,
            Source::Meta(_) => !self.slots.iter().all(|slot| matches!(slot, SlotState::Valid(_))),
            _ => true,
        }
    }
}

/// Finds the beginning.
pub fn find(pages: &dyn Pages, cancelled: Option<&AtomicBool>) -> Result<Start> {
    let (metas, mut slots) = metas(pages)?;
    if let Some((meta, valid)) = choose(metas, &mut slots, pages.len()) {
        let slot = meta.slot.unwrap_or(0);
        let source = if valid { Source::Meta(slot) } else { Source::RefusedMeta(slot) };
        let catalog = m::CATALOG.slice(&meta.bytes[..], 0).unwrap_or_default().to_vec();
        return Ok(Start { source, meta, catalog, slots });
    }
    let page_size = page_size(pages)?;
    let count = pages.len() / page_size as u64;
    let found = [layout::VERSION, layout::VERSION_1].into_iter().find_map(|version| {
        let search = Search { pages, page_size, count, version, cancelled };
        search.newest_catalog().map(|found| (version, found))
    });
    let (version, source, txn, catalog) = match found {
        Some((version, c)) => {
            let source = Source::Catalog(PageId(c.root));
            (version, source, c.birth, descriptor(c.root, c.level + 1))
        }
        None => (layout::VERSION, Source::Nothing, 0, vec![0; layout::DESCRIPTOR_SIZE]),
    };
    let meta = Meta {
        id_limit: 0,
        slot: None,
        version,
        txn,
        page_size,
        page_count: count,
        uuid: [0; 16],
        phase: layout::PHASE_TWO,
        free_pages: 0,
        ready: Vec::new(),
        queues: Vec::new(),
        manifest: Vec::new(),
        body_end: 0,
        bytes: Box::new([0; layout::META_SIZE]),
    };
    Ok(Start { source, meta, catalog, slots })
}

/// The snapshot of an open database that this meta page describes.
pub fn at(pages: &dyn Pages, meta: &[u8; layout::META_SIZE]) -> Result<Start> {
    let meta = Meta::decode(meta, None, pages.len()).map_err(|_| {
        Error::corrupt(PageId::NONE, "the meta page of the snapshot cannot be read")
    })?;
    let catalog = m::CATALOG.slice(&meta.bytes[..], 0).unwrap_or_default().to_vec();
    let slots = [SlotState::Unread, SlotState::Unread];
    Ok(Start { source: Source::Snapshot, meta, catalog, slots })
}

/// A descriptor that says where a tree is and nothing else.
fn descriptor(root: u64, depth: u64) -> Vec<u8> {
    let mut b = vec![0; layout::DESCRIPTOR_SIZE];
    b[t::ROOT.at..t::ROOT.end()].copy_from_slice(&root.to_le_bytes());
    b[t::ENTRIES.at..t::ENTRIES.end()].copy_from_slice(&u64::MAX.to_le_bytes());
    b[t::DEPTH.at..t::DEPTH.end()].copy_from_slice(&(depth as u16).to_le_bytes());
    b
}

/// Metas whose own checksum holds, with whether an opener would take them.
type Metas = Vec<(Meta, bool)>;

/// The metas there are. The verso is looked for at every size, as the recto may be gone.
fn metas(pages: &dyn Pages) -> Result<(Metas, [SlotState; 2])> {
    let mut slots = [SlotState::Empty, SlotState::Refused("no meta page was found".into())];
    let mut found: Metas = Vec::new();
    let [least, most] = layout::PAGE_SIZES;
    let sizes = std::iter::successors(Some(least), |size| Some(size * 2));
    let sizes: Vec<usize> = sizes.take_while(|&size| size <= most).collect();
    let places = [(0, 0)].into_iter().chain(sizes.iter().map(|&size| (1, size)));
    for (slot, at) in places {
        if let Some((known, _)) = found.first()
            && slot == 1
            && known.page_size != at
        {
            continue;
        }
        let bytes = pages.read(at as u64, layout::META_SIZE);
        let Some(bytes) = bytes.as_ref().ok().and_then(|b| b.first_chunk()) else {
            slots[slot] = SlotState::Refused("it cannot be read".into());
            continue;
        };
        // Any length of the file will do: what is not there is lost, the rest is not.
        let refused = match Meta::decode(bytes, Some(slot as u8), u64::MAX) {
            Ok(meta) if slot == 1 && meta.page_size != at => continue,
            Ok(meta) => {
                let fits = meta.page_count <= pages.len() / meta.page_size as u64;
                let sealed = meta.phase == layout::PHASE_SEALED;
                let why = if !fits {
                    Some("the file is shorter than its pages".to_owned())
                } else if sealed {
                    meta.verify_manifest(pages).err()
                } else {
                    None
                };
                slots[slot] = match &why {
                    None => SlotState::Valid(crate::types::TxnId(meta.txn)),
                    Some(why) => SlotState::Refused(why.clone()),
                };
                found.push((meta, why.is_none()));
                continue;
            }
            Err(refusal) => match refusal.of_the_future() {
                Some(error) if slot == 0 || found_at(bytes, at) => return Err(error),
                _ => refusal,
            },
        };
        if slot == 0 || found_at(bytes, at) {
            slots[slot] = refused.state();
        }
        if slot == 1 && found_at(bytes, at) {
            // What lies behind it is data, and data may look like anything.
            break;
        }
    }
    for state in &mut slots {
        if let SlotState::Empty = state {
            *state = SlotState::Refused("it is empty".into());
        }
    }
    Ok((found, slots))
}

/// The meta that an opener takes; if it refuses both, the newer one.
fn choose(mut metas: Metas, slots: &mut [SlotState; 2], len: u64) -> Option<(Meta, bool)> {
    if let [(recto, valid), (verso, verso_valid)] = &metas[..]
        && recto.uuid != verso.uuid
    {
        let fits = |meta: &Meta| meta.page_count <= len / meta.page_size as u64;
        let of_verso = !fits(recto) && fits(verso);
        // Where an opener gives up, the one whose manifest says that its pages stand here.
        let vouched = !valid && *verso_valid && verso.phase == layout::PHASE_SEALED;
        let other = usize::from(!of_verso && !vouched);
        metas.remove(other);
        slots[other] = SlotState::Refused("it belongs to another database".into());
    }
    // The last one of equals is taken: the recto.
    metas.into_iter().rev().max_by_key(|(meta, valid)| (*valid, meta.txn, meta.id_limit))
}

/// Whether bytes at this place say that they are the verso.
fn found_at(bytes: &[u8; layout::META_SIZE], at: usize) -> bool {
    bytes.starts_with(&layout::MAGIC) && m::PAGE_SIZE.get(&bytes[..], 0) == Some(at as u64)
}

/// The size with which the most bytes verify.
fn page_size(pages: &dyn Pages) -> Result<usize> {
    let [least, most] = layout::PAGE_SIZES;
    let sizes = std::iter::successors(Some(least), |size| Some(size * 2));
    let verified = |&size: &usize| {
        let count = pages.len() / size as u64;
        let step = count.div_ceil(SAMPLE).max(1);
        let ids = (2..count).step_by(step as usize);
        ids.filter(|&id| read(pages, size, id).is_some()).count() as u64 * size as u64
    };
    let best = sizes.take_while(|&size| size <= most).map(|size| (verified(&size), size));
    // The smaller one of equals: a page of a larger size holds none of a smaller one that verifies.
    match best.max_by_key(|&(bytes, size)| (bytes, std::cmp::Reverse(size))) {
        Some((bytes, size)) if bytes > 0 => Ok(size),
        _ => {
            let detail = "no meta page is left, and no page of any size verifies";
            Err(Error::no_database(detail))
        }
    }
}

/// A branch or leaf page, or a free-log page, that verifies.
fn read(pages: &dyn Pages, size: usize, id: u64) -> Option<std::borrow::Cow<'_, [u8]>> {
    let b = pages.read(id * size as u64, size).ok()?;
    let kind = header::KIND.get(&b, 0)?;
    let stored = header::CRC.get(&b, 0)?;
    let whole_keys = layout::KIND_PLAIN_BRANCH..=layout::KIND_PLAIN_LEAF;
    let kinds = layout::KIND_BRANCH..=layout::KIND_LOG;
    let good = (kinds.contains(&kind) || whole_keys.contains(&kind))
        && u64::from(page_crc(PageId(id), &b)) == stored;
    good.then_some(b)
}

/// A page that may be the root of a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    birth: u64,
    level: u64,
    root: u64,
}

/// The search for catalogs where nothing leads to them.
pub struct Search<'a> {
    pub pages: &'a dyn Pages,
    pub page_size: usize,
    pub count: u64,
    /// Format version.
    pub version: u64,
    pub cancelled: Option<&'a AtomicBool>,
}

impl Search<'_> {
    /// Every commit that changes anything writes the root of the catalog: the newest page that
    /// leads to nothing but table descriptors is it, the highest one among equally old ones.
    fn newest_catalog(&self) -> Option<Candidate> {
        let mut best: Option<Candidate> = None;
        for id in 2..self.count {
            if self.cancelled.is_some_and(|c| c.load(Ordering::Relaxed)) {
                break;
            }
            let Some(bytes) = read(self.pages, self.page_size, id) else { continue };
            let Ok(node) = Node::parse(&bytes) else { continue };
            let candidate = Candidate { birth: node.birth, level: node.level, root: id };
            // Looked into only if it could be the one.
            if best.is_none_or(|best| candidate > best)
                && candidate.birth < layout::LIMIT
                && self.is_catalog(&node)
            {
                best = Some(candidate);
            }
        }
        best
    }

    /// Whether everything that can be read below a page is table descriptors, and one of them at
    /// least leads to a tree.
    pub fn is_catalog(&self, node: &Node<'_>) -> bool {
        self.tables_below(node, &mut { CATALOG_PAGES }) == Some(true)
    }

    /// The same without asking for a tree: of the descriptors of empty tables too.
    pub fn may_list_tables(&self, node: &Node<'_>) -> bool {
        self.tables_below(node, &mut { CATALOG_PAGES }).is_some()
    }

    /// None if something below is no table descriptor; else whether one leads to a tree. Looks at
    /// `left` pages at most; what is beyond them is taken to be alike.
    fn tables_below(&self, node: &Node<'_>, left: &mut usize) -> Option<bool> {
        let mut sound = true;
        let cells = node.cells(Keys::Packed, &mut |_| sound = false);
        let kind_fits = node.branch == (node.level > 0) && node.level < layout::MAX_DEPTH;
        if !sound || !kind_fits || cells.is_empty() {
            return None;
        }
        if !node.branch {
            return self.lists_tables(node, &cells, left);
        }
        let child = |cell: &Cell<'_>| match cell.body {
            Body::Child(child) => Some(child),
            _ => None,
        };
        let children = std::iter::once(node.leftmost()).chain(cells.iter().filter_map(child));
        let mut leads = false;
        for child in children {
            let Some(bytes) = self.look(child, left) else { continue };
            match Node::parse(&bytes) {
                Ok(below) if below.level + 1 == node.level && below.birth <= node.birth => {
                    leads |= self.tables_below(&below, left)?;
                }
                _ => {}
            }
        }
        Some(leads)
    }

    /// None if a value of a leaf is no descriptor, or one of a tree that cannot be; else whether
    /// one is of a tree that is there.
    fn lists_tables(&self, leaf: &Node<'_>, cells: &[Cell<'_>], left: &mut usize) -> Option<bool> {
        let mut leads = false;
        for cell in cells {
            let name = cell.key(leaf);
            if name.is_empty() || std::str::from_utf8(&name).is_err() {
                return None;
            }
            let long = |run: Run| {
                // The descriptor of a table with a long name.
                self.version == layout::VERSION_1 && run.len == layout::DESCRIPTOR_SIZE as u64
            };
            let descriptor = match (cell.body.descriptor(self.version), cell.body) {
                (Some(descriptor), _) => descriptor,
                (None, Body::Overflow(run)) if long(run) => continue,
                _ => return None,
            };
            let d = Descriptor::decode(descriptor, self.page_size).ok()?;
            if d.root == 0 {
                continue;
            }
            let Some(root) = self.look(d.root, left) else { continue };
            let is_root = Node::parse(&root)
                .is_ok_and(|root| root.level + 1 == d.depth && root.birth <= leaf.birth);
            if !is_root {
                return None;
            }
            leads = true;
        }
        Some(leads)
    }

    fn look(&self, id: u64, left: &mut usize) -> Option<std::borrow::Cow<'_, [u8]>> {
        *left = left.checked_sub(1)?;
        (2..self.count).contains(&id).then(|| read(self.pages, self.page_size, id)).flatten()
    }
}
