//! Which of the two meta pages is followed, and what is said about the other.

use super::layout::{self, meta as m};
use super::meta::{Meta, Refusal};
use super::pages::Pages;
use super::report::{MetaSummary, SlotState};
use crate::error::{Error, Result};
use crate::types::{PageId, TxnId};

/// Which meta page to follow.
#[derive(Clone, Debug, Default)]
pub enum MetaChoice {
    /// The newest valid one, as an opener takes it.
    #[default]
    Newest,
    /// The one in this slot, 0 or 1, even if its manifest does not match.
    Slot(u8),
    /// These bytes: a transaction that is built but stands in no slot yet.
    At(Box<[u8; layout::META_SIZE]>),
}

/// An opened meta page.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenedMeta {
    /// The one chosen.
    pub summary: MetaSummary,
    /// What the two slots hold.
    pub slots: [SlotState; 2],
    pub(super) meta: Meta,
    /// Set if the manifest does not match (only when a slot or bytes were asked for by name).
    pub(super) manifest_fault: Option<String>,
    /// How the other slot contradicts this one although both are valid.
    pub(super) contradiction: Option<&'static str>,
}

type Read = std::result::Result<Meta, Refusal>;

fn read_slot(pages: &dyn Pages, slot: u8, offset: u64) -> Read {
    match pages.read(offset, layout::META_SIZE) {
        Ok(b) => match b.first_chunk() {
            Some(bytes) => Meta::decode(bytes, Some(slot), pages.len()),
            None => Err(Refusal::NoMagic),
        },
        Err(e) => Err(Refusal::Damaged(format!("cannot be read: {e}"), None)),
    }
}

/// Both slots. The verso stands where the recto's page size says; without that it is looked for.
fn read_slots(pages: &dyn Pages) -> [Read; 2] {
    let recto = read_slot(pages, 0, 0);
    let known = match &recto {
        Ok(meta) => Some(meta.page_size),
        Err(Refusal::Damaged(_, size)) => *size,
        Err(_) => None,
    };
    let size = known.or_else(|| probe(pages));
    let verso = match size {
        Some(size) => match read_slot(pages, 1, size as u64) {
            Ok(meta) if meta.page_size != size => Err(Refusal::Damaged(
                format!("it stands at byte {size}, its page size is {}", meta.page_size),
                None,
            )),
            other => other,
        },
        None => Err(Refusal::NoMagic),
    };
    [recto, verso]
}

/// The page size by the place where the verso stands. The first place that looks like one decides,
/// also if it turns out damaged: what lies behind it is data, and data may look like anything.
fn probe(pages: &dyn Pages) -> Option<usize> {
    let [least, most] = layout::PAGE_SIZES;
    std::iter::successors(Some(least), |size| Some(size * 2)).take_while(|&s| s <= most).find(
        |&size| {
            pages.read(size as u64, layout::META_SIZE).is_ok_and(|b| {
                m::MAGIC.slice(&b, 0) == Some(&layout::MAGIC[..])
                    && m::PAGE_SIZE.get(&b, 0) == Some(size as u64)
            })
        },
    )
}

/// Finds the meta page to follow, as "Which meta is valid" in docs/format.md says, and explains
/// what it refuses. Reads the two slots (up to six places if page 0 is destroyed) and the pages of
/// a manifest.
///
/// # Errors
/// `NotADatabase` if neither slot has the magic, `Version` if an intact one is of another format,
/// `Corrupt` if there is no valid one, with the reason for each slot.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("my.recto");
/// use recto::inspect::{FilePages, MetaChoice, open_meta};
/// # drop(unsafe { recto::Database::open(&path)? });
///
/// let opened = open_meta(&FilePages::open(&path)?, &MetaChoice::Newest)?;
/// assert_eq!(opened.summary.page_size, 4096);
/// println!("{:?}", opened.slots);
/// # Ok(()) }
/// ```
pub fn open_meta(pages: &dyn Pages, choice: &MetaChoice) -> Result<OpenedMeta> {
    if let MetaChoice::At(bytes) = choice {
        let meta =
            Meta::decode(bytes, None, pages.len()).map_err(|r| explain(&[r], pages.len()))?;
        let fault = meta.verify_manifest(pages).err();
        return Ok(opened(meta, [SlotState::Unread, SlotState::Unread], None, fault));
    }
    let slots = read_slots(pages);
    let mut states = [state_of(&slots[0]), state_of(&slots[1])];
    let contradiction = match &slots {
        [Ok(a), Ok(b)] => a.contradicts(b),
        _ => None,
    };
    match (choice, slots) {
        (MetaChoice::Slot(n), [recto, verso]) => match (n, recto, verso) {
            (0, Ok(meta), _) | (1, _, Ok(meta)) => {
                let fault = meta.verify_manifest(pages).err();
                Ok(opened(meta, states, contradiction, fault))
            }
            (0, Err(r), _) | (1, _, Err(r)) => Err(explain(&[r], pages.len())),
            _ => Err(Error::InvalidArgument(format!("meta slot {n}: there are 0 and 1"))),
        },
        (_, slots) => {
            let meta = newest(slots, &mut states, pages)?;
            let fault = match meta.phase {
                layout::PHASE_SEALED => None,
                _ => meta.verify_manifest(pages).err(),
            };
            Ok(opened(meta, states, contradiction, fault))
        }
    }
}

/// The newest slot that holds, a manifest included. A slot whose manifest does not match becomes a
/// refused one.
fn newest(slots: [Read; 2], states: &mut [SlotState; 2], pages: &dyn Pages) -> Result<Meta> {
    let (mut valid, mut refused) = (Vec::new(), Vec::new());
    for slot in slots {
        match slot {
            Ok(meta) => valid.push(meta),
            Err(r) => refused.push(r),
        }
    }
    // A newer format may have stored its first transaction beside an older meta: what it left is
    // not ours to judge.
    if let Some(refusal) = refused.iter().find_map(Refusal::of_the_future) {
        return Err(refusal);
    }
    // Stable: the recto stays first among equals.
    valid.sort_by_key(|meta| std::cmp::Reverse((meta.txn, meta.id_limit)));
    for meta in valid {
        if meta.phase != layout::PHASE_SEALED {
            return Ok(meta);
        }
        let Err(why) = meta.verify_manifest(pages) else { return Ok(meta) };
        if let Some(slot) = meta.slot {
            states[usize::from(slot)] = SlotState::Refused(why.clone());
        }
        refused.push(Refusal::Damaged(why, Some(meta.page_size)));
    }
    Err(explain(&refused, pages.len()))
}

fn state_of(slot: &Read) -> SlotState {
    match slot {
        Ok(meta) => SlotState::Valid(TxnId(meta.txn)),
        Err(refusal) => refusal.state(),
    }
}

fn opened(
    meta: Meta,
    slots: [SlotState; 2],
    contradiction: Option<&'static str>,
    manifest_fault: Option<String>,
) -> OpenedMeta {
    OpenedMeta { summary: meta.summary(), slots, meta, manifest_fault, contradiction }
}

/// The error for a file without a meta page to follow.
fn explain(refusals: &[Refusal], file_len: u64) -> Error {
    if let Some(refusal) = refusals.iter().find_map(Refusal::of_the_future) {
        return refusal;
    }
    if file_len < layout::META_SIZE as u64 {
        return Error::no_database(format!("{file_len} bytes hold no meta page"));
    }
    if refusals.iter().all(|r| matches!(r, Refusal::Empty | Refusal::NoMagic)) {
        return Error::no_database("neither meta page has the magic");
    }
    let texts: Vec<String> = refusals
        .iter()
        .map(|r| match r.state() {
            SlotState::Refused(why) => why,
            _ => "it is empty".into(),
        })
        .collect();
    Error::corrupt(PageId(0), format!("no valid meta page: {}", texts.join("; ")))
}
