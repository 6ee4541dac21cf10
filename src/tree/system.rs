//! The system tree: what is not a user's. So far the named snapshots.

use super::search::{find, value_bytes};
use super::{PageSink, PageSource, Range, RightmostPath, TableDescriptor, insert, remove};
use crate::error::{Error, Result};
use crate::format::order::KeyOrder;
use crate::format::snapshot::{self, NamedSnapshot, key_of, key_of_dropped};
use std::ops::Bound;

/// A named snapshot as the system tree lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedSnapshot {
    /// None if it was dropped, and a state that lists it is still needed.
    pub name: Option<String>,
    pub snapshot: NamedSnapshot,
}

fn damaged(system: &TableDescriptor, what: &str) -> Error {
    Error::corrupt(system.root, format!("system tree: {what}"))
}

/// All named snapshots, those that were dropped too, which come last.
pub fn snapshots<S: PageSource>(
    src: &S,
    system: &TableDescriptor,
    page_count: u64,
) -> Result<Vec<ListedSnapshot>> {
    let mut list = Vec::new();
    for entry in Range::new(src, system, Bound::Unbounded, Bound::Unbounded)? {
        let (key, value) = entry?;
        let read = || {
            let name = snapshot::name_of(&key)?;
            let snapshot = NamedSnapshot::decode(value, page_count)?;
            if name.is_some() != (snapshot.dropped.0 == 0) {
                return Err("a named snapshot under the key of a dropped one");
            }
            Ok(ListedSnapshot { name, snapshot })
        };
        list.push(read().map_err(|what| damaged(system, what))?);
    }
    Ok(list)
}

/// The snapshot of this name.
pub fn snapshot<S: PageSource>(
    src: &S,
    system: &TableDescriptor,
    name: &str,
    page_count: u64,
) -> Result<Option<NamedSnapshot>> {
    let Some((leaf, value)) = find(src, system, KeyOrder::PACKED, &key_of(name))? else {
        return Ok(None);
    };
    let value = value_bytes(src, &leaf, value)?;
    NamedSnapshot::decode(value, page_count).map(Some).map_err(|what| damaged(system, what))
}

/// Puts a snapshot under its name, or under the key of one that was dropped.
pub fn put_snapshot<S: PageSink>(
    sink: &mut S,
    system: &mut TableDescriptor,
    name: Option<&str>,
    snapshot: &NamedSnapshot,
) -> Result<()> {
    let key = name.map_or_else(|| key_of_dropped(snapshot.dropped, snapshot.txn), key_of);
    insert(sink, system, &mut RightmostPath::default(), &key, &snapshot.encode()).map(drop)
}

/// Takes a snapshot out.
pub fn remove_snapshot<S: PageSink>(
    sink: &mut S,
    system: &mut TableDescriptor,
    name: Option<&str>,
    snapshot: &NamedSnapshot,
) -> Result<()> {
    let key = name.map_or_else(|| key_of_dropped(snapshot.dropped, snapshot.txn), key_of);
    remove(sink, system, &key).map(drop)
}
