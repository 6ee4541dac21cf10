//! Several values of a key at once, as a load has them: a new key gets the list or the tree of them
//! as a whole, and a tree that is there is led to anew once for all of them. The rules are those of
//! [`super::sets`].

use super::PageSink;
use super::insert::{RightmostPath, check_key, check_set_value, put};
use super::search::Path;
use super::set::Set;
use super::set_values::get_set;
use super::sets::{Was, body, encode, grow_tree, insert_in_tree, insert_pair, store_tree};
use crate::error::Result;
use crate::format::descriptor::TableDescriptor;
use crate::format::node::counted_len;

/// Inserts values of a key, which ascend; how many of them it did not have.
pub fn insert_values<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    edge: &mut RightmostPath,
    key: &[u8],
    values: &[&[u8]],
) -> Result<u64> {
    let page_size = sink.page_size();
    check_key(page_size, desc.order, key)?;
    values.iter().try_for_each(|value| check_set_value(page_size, desc, value))?;
    let path = match edge.take(sink, desc, key)? {
        Some(path) => Some(path),
        None => Path::find(sink, desc, key)?,
    };
    if values.is_empty() || path.as_ref().is_some_and(|path| path.place.found) {
        return insert_among(sink, desc, edge, key, values);
    }
    let count = values.len() as u64;
    desc.pairs = desc.pairs.saturating_add(count);
    let key_len = counted_len(key.len(), desc.order);
    match encode(page_size, key_len, values, desc.value_size, usize::MAX) {
        Some(bytes) => {
            put(sink, desc, edge, path, key, body(&bytes))?;
        }
        None => {
            let tree = grow_tree(sink, desc, values)?;
            store_tree(sink, desc, key, &tree, None)?;
        }
    }
    Ok(count)
}

/// The same where the key is there.
fn insert_among<S: PageSink>(
    sink: &mut S,
    desc: &mut TableDescriptor,
    edge: &mut RightmostPath,
    key: &[u8],
    values: &[&[u8]],
) -> Result<u64> {
    let (mut new, mut rest) = (0, values);
    while let Some((first, behind)) = rest.split_first() {
        if let Some(set @ Set::Tree(mut tree)) = get_set(sink, desc, key)? {
            let (before, was) = (tree.entries, Was::of(&set));
            let mut edge = RightmostPath::default();
            for value in rest {
                insert_in_tree(sink, &mut tree, &mut edge, value)?;
            }
            let more = tree.entries - before;
            if more > 0 {
                store_tree(sink, desc, key, &tree, Some(was))?;
                desc.pairs = desc.pairs.saturating_add(more);
            }
            return Ok(new + more);
        }
        new += u64::from(insert_pair(sink, desc, edge, key, first)?);
        rest = behind;
    }
    Ok(new)
}
