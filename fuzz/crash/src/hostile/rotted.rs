//! A page of the list of named snapshots rots while nobody has the database open, its checksum is
//! not mended, and somebody writes.
//!
//! What the list does not name is written over. So whoever writes proves it (rule 36): each write
//! is an error, or leaves what the snapshots see as it is, for when the page is right again.

use super::Case;
use super::exercise::{Model, Wrong, model_of};
use super::mutate::names::listed;
use fastrand::Rng;
use recto::harness::check_image;
use recto::inspect::{MetaChoice, PageKind, Tree, walk};
use recto::{Database, Error, TableKind};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Transactions that are tried: each writes most pages of small tables again.
const WRITES: u8 = 12;

/// A byte of the file, and the bit in it.
struct Bit {
    at: usize,
    mask: u8,
}

impl Case {
    /// Of an image that passes the check.
    pub(super) fn rots(&self, rng: &mut Rng) -> Result<(), Wrong> {
        let failed = |when: &str, e: Error| format!("{when} the list of snapshots rots: {e}");
        let disk = self.machine(&self.image)?;
        let db = self.open_on(&disk).map_err(|e| failed("before", e))?;
        let before = snapshots(&db).map_err(|e| failed("before", e))??;
        // So that the manifest of the last commit does not have the pages of the list: an opening
        // would prove them.
        if before.is_empty() || (0..3).any(|round| write(&db, 100 + round).is_err()) {
            return Ok(());
        }
        drop(db);
        let sound = disk.bytes();
        let Some(bit) = self.bit_of_the_list(&sound, rng) else { return Ok(()) };
        let mut rotten = sound;
        rotten[bit.at] ^= bit.mask;
        let disk = self.machine(&rotten)?;
        match self.open_on(&disk) {
            // It has them all the same.
            Ok(db) if db.info().is_ok_and(|info| info.refused.is_some()) => return Ok(()),
            Ok(db) => (0..WRITES).for_each(|round| drop(write(&db, round))),
            Err(_) => return Ok(()),
        }
        let mut after = disk.bytes();
        let size = self.options.page_size();
        let page = bit.at / size * size..bit.at / size * size + size;
        if after[page.clone()] == rotten[page] {
            after[bit.at] ^= bit.mask;
        }
        let disk = self.machine(&after)?;
        let db = self.open_on(&disk).map_err(|e| failed("after", e))?;
        let after_all = snapshots(&db).map_err(|e| failed("after", e))??;
        if let Some((name, _)) = before.iter().find(|&(name, was)| after_all.get(name) != Some(was))
        {
            return Err(format!("snapshot {name:?} was written over while its list had rotted"));
        }
        match check_image(&after) {
            Ok(report) if report.is_clean() => Ok(()),
            Ok(report) => Err(format!("writes beside a rotted list: {:?}", report.faults)),
            Err(e) => Err(failed("after", e)),
        }
    }

    /// Mostly one of the ids, which then names another state.
    fn bit_of_the_list(&self, image: &[u8], rng: &mut Rng) -> Option<Bit> {
        let size = self.options.page_size();
        let mut leaves = Vec::new();
        walk(&image, &MetaChoice::Newest, &mut |page| {
            if page.kind == PageKind::Leaf && page.tree == Tree::System {
                leaves.push(page.id.0 as usize * size);
            }
            ControlFlow::Continue(())
        })
        .ok()?;
        let start = *rng.choice(&leaves)?;
        let at = match rng.choice(listed(&image[start..start + size])) {
            Some(entry) if rng.u8(..4) > 0 => entry + 8 * rng.usize(..3),
            _ => return Some(Bit { at: start + rng.usize(..size), mask: 1 << rng.u32(..8) }),
        };
        Some(Bit { at: start + at, mask: 1 << rng.u32(..6) })
    }
}

/// What each snapshot holds that has a name.
fn snapshots(db: &Database) -> recto::Result<Result<BTreeMap<String, Model>, Wrong>> {
    let mut all = BTreeMap::new();
    for info in db.snapshots()? {
        let txn = db.read_snapshot(&info.name)?;
        match model_of(&txn) {
            Ok(model) => all.insert(info.name, model),
            Err(wrong) => return Ok(Err(format!("snapshot {:?}: {wrong}", info.name))),
        };
    }
    Ok(Ok(all))
}

/// Writes to each table, as long as none fails.
fn write(db: &Database, round: u8) -> recto::Result<()> {
    let tables = db.read()?.tables()?;
    let mut txn = db.write()?;
    for info in tables.iter().filter(|info| info.options.kind == TableKind::Map) {
        let mut table = txn.open_table(&info.name)?;
        for n in 0..90u32 {
            table.put(format!("key {n:03}").as_bytes(), &[round; 120])?;
        }
    }
    txn.commit()
}
