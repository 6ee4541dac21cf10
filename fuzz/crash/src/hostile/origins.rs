//! Valid databases to start from: small ones that together hold every kind of page, table, value
//! and free space, each with the states it went through before.
//!
//! Built by the engine itself on a simulated machine, so they are the same on every machine and at
//! every time.

use recto::harness::sim::{ProcessOptions, SimDisk, SimOptions};
use recto::harness::{SHARED_LEN, new_file, open};
use recto::inspect::{self, MetaChoice, PageKind};
use recto::{Builder, Database, Durability, Order, ReadTxn, Result, Sink, TableOptions};
use std::ops::ControlFlow;

/// A valid database.
pub struct Origin {
    /// What it is made for.
    pub name: &'static str,
    /// Bytes of a page.
    pub page_size: usize,
    /// The file, cut off behind its last page.
    pub image: Vec<u8>,
    /// The same file at earlier moments.
    pub earlier: Vec<Vec<u8>>,
    /// Pages with a header that the newest meta leads to: most of the others say nothing.
    pub live: Vec<usize>,
}

impl Origin {
    fn new(
        name: &'static str,
        page_size: usize,
        image: Vec<u8>,
        earlier: Vec<Vec<u8>>,
    ) -> Result<Origin> {
        let mut live = Vec::new();
        inspect::walk(&image, &MetaChoice::Newest, &mut |page| {
            if matches!(page.kind, PageKind::Branch | PageKind::Leaf | PageKind::FreeLog) {
                live.push(page.id.0 as usize);
            }
            ControlFlow::Continue(())
        })?;
        Ok(Origin { name, page_size, image, earlier, live })
    }
}

/// Builds a database in steps and keeps what the file was in between.
struct Making {
    disk: SimDisk,
    db: Database,
    page_size: usize,
    states: Vec<Vec<u8>>,
    /// Reads that go on to the end.
    held: Vec<ReadTxn>,
}

impl Making {
    fn new(page_size: usize, sink: Sink, manifest: usize, lists: usize) -> Result<Making> {
        let mut file = new_file(page_size);
        // Different ones have uuids of their own, so that metas of another file are of another
        // database.
        for meta in [0, page_size] {
            file[meta + 16] ^= (page_size >> 10) as u8 ^ manifest as u8 ^ (lists as u8) << 1;
            super::repair::meta(&mut file[meta..meta + super::bytes::META]);
        }
        let mut options = SimOptions::new(1, SHARED_LEN);
        options.page_size = page_size as u32;
        let disk = SimDisk::from_image(&file, options)?;
        let direct = sink == Sink::Direct;
        let process = disk.process(ProcessOptions { direct, ..ProcessOptions::default() });
        let mut builder = Builder::default();
        builder.sink(sink).growth_step(16 << 10).manifest_limit(manifest).free_limit(lists);
        super::orders::give(&mut builder);
        let db = open(process, &builder)?;
        Ok(Making { disk, db, page_size, states: Vec::new(), held: Vec::new() })
    }

    /// Takes note of the file as it is.
    fn keep(&mut self) -> Result<()> {
        self.db.flush()?;
        let mut bytes = self.disk.bytes();
        // Whichever of the metas is taken.
        let pages = [0, self.page_size].map(|meta| super::bytes::get(&bytes, meta + 40, 8));
        bytes.truncate(pages[0].max(pages[1]) as usize * self.page_size);
        self.states.push(bytes);
        Ok(())
    }

    fn put(&self, table: &str, keys: std::ops::Range<u32>, len: usize) -> Result<()> {
        let mut txn = self.db.write()?;
        let mut open = txn.open_table(table)?;
        for i in keys {
            open.put(format!("key {i:03}").as_bytes(), &vec![i as u8; len])?;
        }
        txn.commit()
    }

    fn delete(&self, table: &str, keys: impl Iterator<Item = u32>) -> Result<()> {
        let mut txn = self.db.write()?;
        let mut open = txn.open_table(table)?;
        for i in keys {
            open.delete(format!("key {i:03}").as_bytes())?;
        }
        txn.commit()
    }

    fn drop_table(&self, table: &str) -> Result<()> {
        let mut txn = self.db.write()?;
        txn.drop_table(table)?;
        txn.commit()
    }

    fn name(&self, name: &str) -> Result<()> {
        let mut txn = self.db.write()?;
        txn.create_snapshot(name)?;
        txn.commit()
    }

    /// Small commits that are not flushed.
    fn deferred(&self, table: &str, rounds: u32) -> Result<()> {
        for round in 0..rounds {
            let mut txn = self.db.write()?;
            txn.set_durability(Durability::Deferred);
            txn.open_table(table)?.put(format!("key {:03}", round % 7).as_bytes(), &[3; 40])?;
            txn.commit()?;
        }
        Ok(())
    }
}

fn origin(
    name: &'static str,
    mut making: Making,
    work: impl FnOnce(&mut Making) -> Result<()>,
) -> Result<Origin> {
    making.keep()?;
    work(&mut making)?;
    making.keep()?;
    let image = making.states.pop().unwrap_or_default();
    Origin::new(name, making.page_size, image, making.states)
}

/// So many come first that are small.
pub const SMALL: usize = 15;

/// All of them.
pub fn all() -> Result<Vec<Origin>> {
    let staged = |page_size| Making::new(page_size, Sink::Staged, usize::MAX, usize::MAX);
    let mut all = vec![
        origin("small log", Making::new(4096, Sink::Staged, usize::MAX, 2)?, small_log)?,
        origin("empty", staged(4096)?, |_| Ok(()))?,
        origin("leaf", staged(4096)?, |m| m.put("t", 0..9, 20))?,
        origin("branch", staged(4096)?, |m| {
            m.put("t", 0..60, 150)?;
            m.keep()?;
            m.put("t", 30..40, 160)
        })?,
        origin("deep", staged(4096)?, deep)?,
        origin("overflow", staged(4096)?, overflow)?,
        origin("tables", staged(4096)?, tables)?,
        origin("dropped", staged(4096)?, dropped)?,
        origin("deleted", staged(4096)?, |m| {
            m.put("t", 0..90, 100)?;
            m.keep()?;
            m.delete("t", (0..90).filter(|i| i % 3 > 0))
        })?,
        origin("deferred", staged(4096)?, |m| {
            m.put("t", 0..20, 60)?;
            m.deferred("t", 30)?;
            m.keep()?;
            m.deferred("t", 10)
        })?,
        origin("pinned", staged(4096)?, pinned)?,
        origin("two-phase", Making::new(4096, Sink::Staged, 0, usize::MAX)?, |m| {
            m.put("t", 0..30, 120)?;
            m.keep()?;
            m.put("t", 5..9, 3000)
        })?,
        origin("direct", Making::new(4096, Sink::Direct, usize::MAX, usize::MAX)?, |m| {
            m.put("t", 0..25, 100)?;
            m.keep()?;
            m.put("u", 0..3, 5000)
        })?,
        origin("sets", staged(4096)?, sets)?,
        origin("orders", staged(4096)?, orders)?,
    ];
    all.push(origin("free log", staged(4096)?, free_log)?);
    all.push(origin("named", staged(4096)?, named)?);
    all.push(origin("many names", staged(4096)?, many_names)?);
    for (name, page_size) in
        [("8 KiB", 8192), ("16 KiB", 16_384), ("32 KiB", 32_768), ("64 KiB", 65_536)]
    {
        all.push(origin(name, staged(page_size)?, |m| {
            m.put("t", 0..40, 300)?;
            m.keep()?;
            m.put("t", 10..14, 3 * page_size / 2)
        })?);
    }
    all.push(origin("aligned", staged(4096)?, aligned)?);
    Ok(all)
}

/// Tables whose values are aligned, in leaves and in runs, and that have names of types.
fn aligned(m: &mut Making) -> Result<()> {
    let mut txn = m.db.write()?;
    for (name, align) in [("a", 8), ("b", 64), ("c", 4096)] {
        txn.create_table_with(name, &TableOptions::aligned(align).types("bytes", "[u64]"))?;
    }
    txn.commit()?;
    m.put("a", 0..50, 72)?;
    m.put("b", 0..30, 0)?;
    m.put("b", 10..50, 130)?;
    m.keep()?;
    m.put("a", 45..55, 3000)?;
    m.put("c", 0..3, 16)?;
    m.keep()?;
    m.delete("a", (0..50).filter(|i| i % 3 > 0))?;
    m.put("b", 20..30, 200)
}

/// Tables of sets, of values of any length and of one size: keys with one value, with a few, and
/// with trees of them, of several levels too, of ordinary leaves and of packed ones.
fn sets(m: &mut Making) -> Result<()> {
    let tables = [("any", 0), ("eight", 8), ("four", 4), ("sixteen", 16), ("wide", 1900)];
    for (name, size) in tables {
        let mut txn = m.db.write()?;
        let mut table = txn.open_set_with(name, &TableOptions::set_of(size))?;
        for key in 0..30u64 {
            for n in 0..[1, 4, 1, 0][key as usize % 4] {
                let value = super::sets::value_of(size, key * 3 + n * n);
                // Two of the wide ones would be a tree.
                if size < 1000 || key < 3 && n == 0 {
                    table.insert(format!("key {key:03}").as_bytes(), &value)?;
                }
            }
        }
        let many = [200, 600, 1100, 300, 0][tables.iter().position(|t| t.0 == name).unwrap_or(0)];
        for n in 0..many {
            table.insert(b"many", &super::sets::value_of(size, n * 7 % 1999))?;
        }
        txn.commit()?;
    }
    m.put("map", 0..20, 60)?;
    m.keep()?;
    let deep = |name: &str, half: usize, groups: std::ops::Range<u8>| -> Result<()> {
        let mut txn = m.db.write()?;
        let mut table = txn.open_set(name)?;
        for group in groups {
            for member in 0..5u8 {
                let value = [vec![b'a' + group; half], vec![member * 40; half]].concat();
                table.insert(b"deep", &value)?;
            }
        }
        txn.commit()
    };
    deep("wide", 950, 0..4)?;
    deep("any", 970, 0..4)?;
    m.keep()?;
    let mut txn = m.db.write()?;
    for (name, size) in [("any", 0), ("four", 4), ("eight", 8)] {
        let mut table = txn.open_set(name)?;
        (0..400).step_by(3).try_for_each(|n| {
            table.remove(b"many", &super::sets::value_of(size, n * 7 % 1999)).map(drop)
        })?;
        table.delete_range(&b"key 020"[..]..&b"key 024"[..])?;
    }
    txn.commit()
}

/// Tables with whole keys in every order, of one value and of sets, with aligned values and runs,
/// of several levels; each has given out numbers. The name of the type of some keys is that of the
/// function of others.
fn orders(m: &mut Making) -> Result<()> {
    let custom = |n: usize| Order::Custom(super::orders::FUNCTIONS[n].0.into());
    let maps = [
        ("bytes", TableOptions::default().ordered(Order::Plain).types("by length", "")),
        ("down", TableOptions::default().ordered(custom(0))),
        ("ends", TableOptions::aligned(16).ordered(Order::Reversed).types("down", "bytes")),
        ("numbers", TableOptions::default().ordered(Order::Integers)),
    ];
    let sets = [
        ("set by length", TableOptions::set().ordered(custom(1))),
        ("set of numbers", TableOptions::set_of(8).ordered(Order::Integers)),
    ];
    let key = |name: &str, n: u32| match (name, n % 4) {
        ("numbers" | "set of numbers", 0) => (u64::from(n) << (n % 50)).to_le_bytes().to_vec(),
        ("numbers" | "set of numbers", _) => n.to_le_bytes().to_vec(),
        // Long ones with equal heads, so that a few leaves make several levels.
        ("bytes", 0) => [vec![b'l'; 1500], n.to_be_bytes().to_vec()].concat(),
        _ => format!("{} key {n:03}", "x".repeat(n as usize % 7)).into_bytes(),
    };
    let fill = |m: &Making, keys: std::ops::Range<u32>, len: usize| -> Result<()> {
        let mut txn = m.db.write()?;
        for (name, options) in &maps {
            let mut table = txn.open_table_with(name, options)?;
            for n in keys.clone() {
                table.put(&key(name, n), &vec![n as u8; if n == 7 { 5000 } else { len }])?;
            }
            table.take_sequence(3)?;
        }
        for (name, options) in &sets {
            let mut table = txn.open_set_with(name, options)?;
            let (size, many) = if *name == "set of numbers" { (8, 520) } else { (0, 250) };
            for n in keys.clone() {
                let values = [1, 3, 1, 2][n as usize % 4];
                let values = if n == 9 { many } else { values };
                for value in 0..values {
                    table.insert(&key(name, n), &super::sets::value_of(size, value * 7 % 1999))?;
                }
            }
            table.take_sequence(5)?;
        }
        txn.commit()
    };
    fill(m, 0..24, 100)?;
    m.keep()?;
    fill(m, 21..28, 120)?;
    m.keep()?;
    let mut txn = m.db.write()?;
    for (name, _) in &maps {
        let mut table = txn.open_table(name)?;
        (0..28).step_by(5).try_for_each(|n| table.delete(&key(name, n)).map(drop))?;
    }
    for (name, _) in &sets {
        let mut table = txn.open_set(name)?;
        (0..28).step_by(5).try_for_each(|n| table.remove_all(&key(name, n)).map(drop))?;
    }
    txn.commit()
}

/// Long keys in groups that share their first half: separators between leaves of one group are long
/// too, so that a few pages make a tree of several levels.
fn deep(m: &mut Making) -> Result<()> {
    let half = m.db.max_key_len() / 2 - 40;
    for members in [0..4u8, 4..6] {
        let mut txn = m.db.write()?;
        let mut open = txn.open_table("t")?;
        for group in 0..6u8 {
            for member in members.clone() {
                let key = [vec![b'a' + group; half], vec![member * 40; half]].concat();
                open.put(&key, &[member; 30])?;
            }
        }
        txn.commit()?;
        m.keep()?;
    }
    Ok(())
}

fn overflow(m: &mut Making) -> Result<()> {
    m.put("t", 0..3, 3000)?;
    m.put("t", 3..4, 20_000)?;
    m.keep()?;
    m.put("t", 1..2, 9000)?;
    m.put("u", 0..2, 2100)
}

fn tables(m: &mut Making) -> Result<()> {
    let long = "a name that is long ".repeat(51);
    for (i, name) in ["a", "b", "cc", "", &long].into_iter().enumerate() {
        let name = if name.is_empty() { "empty one" } else { name };
        m.put(name, 0..[3, 8, 20, 0, 2][i], 30)?;
    }
    m.keep()?;
    for i in 0..70 {
        let mut txn = m.db.write()?;
        txn.set_durability(Durability::Deferred);
        txn.create_table(&format!("table number {i}"))?;
        txn.commit()?;
    }
    Ok(())
}

fn dropped(m: &mut Making) -> Result<()> {
    m.put("t", 0..60, 150)?;
    m.put("u", 0..4, 5000)?;
    m.keep()?;
    m.drop_table("t")?;
    m.keep()?;
    m.put("v", 0..20, 100)?;
    m.drop_table("u")
}

/// Frees with readers on old snapshots: entries in the main queue and in side queues.
fn pinned(m: &mut Making) -> Result<()> {
    m.put("t", 0..20, 50)?;
    let first = m.db.read()?;
    m.put("t", 3..9, 70)?;
    let second = m.db.read()?;
    m.deferred("t", 20)?;
    m.keep()?;
    m.put("t", 0..2, 20)?;
    m.keep()?;
    drop(first);
    m.put("t", 4..6, 20)?;
    drop(second);
    Ok(())
}

/// Named snapshots, one of which was dropped while a reader might still ask for it.
fn named(m: &mut Making) -> Result<()> {
    m.put("t", 0..60, 150)?;
    m.put("u", 0..3, 5000)?;
    m.name("first")?;
    m.put("t", 10..20, 160)?;
    m.name("second")?;
    m.drop_table("u")?;
    m.name("third")?;
    m.keep()?;
    m.held.push(m.db.read()?);
    let mut txn = m.db.write()?;
    txn.drop_snapshot("second")?;
    txn.open_table("t")?.delete_range("key 03".as_bytes()..)?;
    txn.commit()
}

/// Hundreds of named snapshots, of a few states that share most of their pages.
fn many_names(m: &mut Making) -> Result<()> {
    m.put("t", 0..90, 150)?;
    m.put("u", 0..2, 5000)?;
    let mut txn = m.db.write()?;
    let mut sets = txn.open_set("sets")?;
    (0..500u32).try_for_each(|n| sets.insert(b"many", &n.to_be_bytes()).map(drop))?;
    txn.commit()?;
    for round in 0..5u32 {
        let mut txn = m.db.write()?;
        (0..60).try_for_each(|n| txn.create_snapshot(&format!("{n:02} of {round}")))?;
        let mut table = txn.open_table("t")?;
        table.put(format!("key {:03}", round * 17).as_bytes(), &[round as u8; 170])?;
        let gone = format!("key {:03}", round * 20)..format!("key {:03}", round * 20 + 3);
        table.delete_range(gone.start.as_bytes()..gone.end.as_bytes())?;
        txn.open_set("sets")?.remove(b"many", &(round * 7).to_be_bytes())?;
        txn.commit()?;
        m.keep()?;
    }
    let mut txn = m.db.write()?;
    (0..60).step_by(7).try_for_each(|n| txn.drop_snapshot(&format!("{n:02} of 1")).map(drop))?;
    txn.open_table("t")?.clear()?;
    txn.commit()
}

/// More free entries than the meta page holds: every other leaf is rewritten while somebody reads
/// the old ones.
fn free_log(m: &mut Making) -> Result<()> {
    let keys = 290;
    m.put("t", 0..keys, 1900)?;
    m.held.push(m.db.read()?);
    for half in [0..keys / 2, keys / 2..keys] {
        let mut txn = m.db.write()?;
        let mut open = txn.open_table("t")?;
        for key in half.filter(|key| key % 4 == 0) {
            open.put(format!("key {key:03}").as_bytes(), &[1; 1900])?;
        }
        txn.commit()?;
        m.keep()?;
    }
    m.deferred("t", 6)
}

/// The same in a small file, and a pool, by one who has few entries in each list.
fn small_log(m: &mut Making) -> Result<()> {
    m.put("t", 0..120, 900)?;
    m.delete("t", (0..120).filter(|i| i % 12 < 8 && i % 24 != 1))?;
    m.keep()?;
    let reader = m.db.read()?;
    for i in 0..9 {
        m.put("t", 13 * i..13 * i + 1, 600)?;
    }
    m.keep()?;
    drop(reader);
    for i in 0..7 {
        m.put("t", 11 * i..11 * i + 1, 300)?;
        m.keep()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::bytes::get;
    use super::*;
    use recto::harness::check_image;

    #[test]
    fn origins_are_sound_and_hold_what_they_are_for() {
        let all = all().unwrap();
        let (mut logs, mut sides, mut deep, mut pools) = (0, false, false, false);
        for (position, origin) in all.iter().enumerate() {
            for image in origin.earlier.iter().chain([&origin.image]) {
                let report = check_image(image).unwrap();
                assert!(report.is_clean(), "{}: {:?}", origin.name, report.faults);
                logs += usize::from(report.pages.free_log > 0);
                deep |= report.tables.iter().any(|t| t.depth > 2);
                for meta in [0, origin.page_size] {
                    sides |= (1..4).any(|queue| get(image, meta + 136 + 32 * queue + 26, 2) > 0);
                    pools |= get(image, meta + 136 + 32 * 4 + 28, 4) > 0;
                }
            }
            let pages = origin.image.len() / origin.page_size;
            assert!(
                position >= SMALL || pages * origin.page_size < 256 << 10,
                "{}: {pages}",
                origin.name
            );
        }
        assert!(logs >= 2 && sides && deep && pools, "{logs} {sides} {deep} {pools}");
    }
}
