//! The catalog: a tree whose keys are the names of tables and whose values are their descriptors.

use super::cursor::Cursor;
use super::diff::{Found, Version, Walk};
use super::insert::{RightmostPath, put};
use super::search::{Path, find};
use super::{PageSink, PageSource};
use crate::error::{Error, Result};
use crate::format::descriptor::{self, MAX_NAME_LEN, TableDescriptor};
use crate::format::node::Value;
use crate::format::node::build::Body;
use crate::format::node::key::KeyParts;
use crate::format::order::KeyOrder;

/// A table as the catalog lists it.
#[derive(Clone, Debug)]
pub struct Listed {
    pub name: String,
    pub descriptor: TableDescriptor,
    /// Its options, as they are encoded.
    pub options: Vec<u8>,
}

/// The descriptor of a table, as the catalog has it, and its encoded options.
pub fn stored_table<'s, S: PageSource>(
    src: &'s S,
    catalog: &TableDescriptor,
    name: &str,
    page_count: u64,
) -> Result<Option<(TableDescriptor, &'s [u8])>> {
    let Some((leaf, value)) = find(src, catalog, KeyOrder::PACKED, name.as_bytes())? else {
        return Ok(None);
    };
    let descriptor = descriptor_of(value, page_count);
    descriptor.map(Some).map_err(|what| leaf.corrupt(&format!("table {name:?}: {what}")))
}

/// All tables, in the order of their names.
pub fn tables<S: PageSource>(
    src: &S,
    catalog: &TableDescriptor,
    page_count: u64,
) -> Result<Vec<Listed>> {
    let bad = |what: &str| Error::corrupt(catalog.root, format!("catalog: {what}"));
    let mut tables = Vec::new();
    let mut cursor = Cursor::new(src, catalog)?;
    let mut more = cursor.first()?;
    while more && let Some((name, value)) = cursor.raw_entry()? {
        // More leaves than it counts are a cycle of damaged pages.
        if cursor.leaves() > catalog.leaf_pages.saturating_add(2) {
            return Err(bad("more leaves than it counts"));
        }
        tables.push(listed(name, value, page_count).map_err(bad)?);
        more = cursor.next()?;
    }
    Ok(tables)
}

/// The tables whose descriptors or options differ between two catalogs, in the order of their
/// names: as each has them, None where it has no such table.
pub fn changed_tables(
    (old, old_count): (Version<'_>, u64),
    (new, new_count): (Version<'_>, u64),
) -> Result<Vec<(Option<Listed>, Option<Listed>)>> {
    let mut walk = Walk::over_all(old, new)?;
    let mut tables = Vec::new();
    while let Some(unlike) = walk.step()? {
        let listed = |found: Option<Found<'_>>, catalog: &TableDescriptor, page_count| {
            let listed = found.map(|found| listed(unlike.key, found.value, page_count)).transpose();
            listed.map_err(|what| Error::corrupt(catalog.root, format!("catalog: {what}")))
        };
        tables.push((
            listed(unlike.old, &old.desc, old_count)?,
            listed(unlike.new, &new.desc, new_count)?,
        ));
    }
    Ok(tables)
}

fn listed(
    name: KeyParts<'_>,
    value: Value<'_>,
    page_count: u64,
) -> std::result::Result<Listed, &'static str> {
    let name = String::from_utf8(name.to_vec()).map_err(|_| "a name is not UTF-8")?;
    let (descriptor, options) = descriptor_of(value, page_count)?;
    Ok(Listed { name, descriptor, options: options.to_vec() })
}

fn descriptor_of(
    value: Value<'_>,
    page_count: u64,
) -> std::result::Result<(TableDescriptor, &[u8]), &'static str> {
    match value {
        Value::Table(bytes) => TableDescriptor::decode_stored(bytes, page_count),
        _ => Err("a value where a table descriptor must be"),
    }
}

/// Stores the descriptor of a table, with its encoded options, under its name, of [`MAX_NAME_LEN`]
/// bytes or less.
pub fn put_table<S: PageSink>(
    sink: &mut S,
    catalog: &mut TableDescriptor,
    name: &str,
    table: &TableDescriptor,
    options: &[u8],
) -> Result<()> {
    debug_assert!(name.len() <= MAX_NAME_LEN);
    let mut room = [0; descriptor::SIZE + descriptor::MAX_OPTIONS];
    let bytes = &mut room[..descriptor::SIZE + options.len()];
    table.encode(bytes);
    bytes[descriptor::SIZE..].copy_from_slice(options);
    let path = Path::find(sink, catalog, name.as_bytes())?;
    let edge = &mut RightmostPath::default();
    put(sink, catalog, edge, path, name.as_bytes(), Body::table(bytes))?;
    Ok(())
}
