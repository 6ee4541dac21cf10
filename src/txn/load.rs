//! Pairs that come in the order of their keys.

use super::write::{State, Writer};
use crate::error::Result;
use crate::pager::workspace::Workspace;
use crate::sort::{Sorted, Step};
use crate::tree::{self, RightmostPath, TableDescriptor};

/// Bytes of values of one key that are inserted at once.
const GROUP: usize = 64 << 10;

/// Values of one key, which ascend.
#[derive(Default)]
struct Group {
    key: Vec<u8>,
    values: Vec<u8>,
    ends: Vec<usize>,
}

impl Group {
    /// Whether a value of this key belongs to it.
    fn takes(&self, key: &[u8]) -> bool {
        self.ends.is_empty() || self.key == key && self.values.len() < GROUP
    }

    fn take(&mut self, key: &[u8], value: &[u8]) {
        if self.ends.is_empty() {
            self.key.clear();
            self.key.extend_from_slice(key);
        }
        self.values.extend_from_slice(value);
        self.ends.push(self.values.len());
    }

    /// Inserts them, and is empty; how many were new.
    fn insert(
        &mut self,
        pages: &mut Workspace,
        desc: &mut TableDescriptor,
        edge: &mut RightmostPath,
    ) -> Result<u64> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        let values: Vec<&[u8]> =
            begins.zip(&self.ends).map(|(begin, &end)| &self.values[begin..end]).collect();
        let new = tree::insert_values(pages, desc, edge, &self.key, &values)?;
        self.values.clear();
        self.ends.clear();
        Ok(new)
    }
}

impl Writer {
    /// Puts sorted pairs whose lengths have been looked at into an open table, of whichever kind;
    /// how many were not there before. Behind all others they take the fast way of ascending keys,
    /// which writes each page about once.
    ///
    /// One change, half-way from its beginning: whatever the error, some pairs may be there, and it
    /// breaks the transaction. So does `step` by false.
    pub fn load(&mut self, table: usize, sorted: &Sorted, step: &mut Step<'_>) -> Result<u64> {
        let mut is_begun = false;
        let done = self.change_table(table, |pages, d, edge| {
            is_begun = true;
            let (mut new, mut group) = (0, Group::default());
            sorted.for_each(step, |key, value| {
                if !d.is_set {
                    new += u64::from(!tree::insert(pages, d, edge, key, value)?);
                    return Ok(());
                }
                if !group.takes(key) {
                    new += group.insert(pages, d, edge)?;
                }
                group.take(key, value);
                Ok(())
            })?;
            if !group.ends.is_empty() {
                new += group.insert(pages, d, edge)?;
            }
            Ok(new)
        });
        if done.is_err() && is_begun {
            self.state = State::Broken;
        }
        done
    }
}
