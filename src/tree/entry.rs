//! The place of a key, kept from the look at it to the change of it: one descent for both.

use super::insert::{RightmostPath, check_lengths, put_value};
use super::remove::remove_at;
use super::search::{Path, node_at, value_bytes};
use super::{PageSink, PageSource};
use crate::error::Result;
use crate::format::descriptor::TableDescriptor;
use crate::format::order::KeyOrder;

/// Where a key stands in a tree, or where it would stand. It is of use until that tree changes, and
/// whoever keeps it sees to it that nothing else changes meanwhile (T6).
#[derive(Debug)]
pub struct Located {
    path: Option<Path>,
    order: KeyOrder,
}

impl Located {
    /// Looks for a key. One descent.
    pub fn find<S: PageSource>(src: &S, desc: &TableDescriptor, key: &[u8]) -> Result<Located> {
        src.check()?;
        Ok(Located { path: Path::find(src, desc, key)?, order: desc.order })
    }

    /// Whether the key is there.
    pub fn is_there(&self) -> bool {
        self.path.as_ref().is_some_and(|path| path.place.found)
    }

    /// The value of the key; None if it is not there.
    pub fn value<'a, S: PageSource>(&self, src: &'a S) -> Result<Option<&'a [u8]>> {
        let path = self.path.as_ref().filter(|path| path.place.found);
        let Some(path) = path else { return Ok(None) };
        let leaf = node_at(src, path.leaf, 0, self.order)?;
        value_bytes(src, &leaf, leaf.value(path.place.index)?).map(Some)
    }

    /// Puts the key there, or gives it another value.
    pub fn put<S: PageSink>(
        self,
        sink: &mut S,
        desc: &mut TableDescriptor,
        edge: &mut RightmostPath,
        key: &[u8],
        value: &[u8],
    ) -> Result<()> {
        check_lengths(sink.page_size(), desc.order, key, value)?;
        *edge = RightmostPath::default();
        put_value(sink, desc, edge, self.path, key, value).map(|_| ())
    }

    /// Removes the key, if it is there.
    pub fn remove<S: PageSink>(self, sink: &mut S, desc: &mut TableDescriptor) -> Result<()> {
        match self.path {
            Some(path) if path.place.found => remove_at(sink, desc, &path),
            _ => Ok(()),
        }
    }
}
