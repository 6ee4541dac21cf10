//! A script: everything a run depends on, as text.
//!
//! ```text
//! page 4096
//! sink staged
//! stage 24
//! manifest 40 4 1
//! growth 2
//! machine 77
//! write-back 4000 fails 0 folio 4 evict 0
//! disk 0
//! lists 0
//! records 0
//! remember 0
//! limits ids 0 unproved 0 manifest 0
//! remounts 0
//! probe 4 outcomes 3 second 16
//! from 0 subsets 0
//! durable 0: put main 1 60; fill main 0 40 1 120
//! hold 2
//! deferred 1: drop main @ 5 kill
//! ```
//!
//! Lines that are missing have their default; `#` begins a comment.

use super::op::Op;
use super::orders::{BY_LENGTH, by_length};
use recto::harness::sim::Faults;
use recto::{Builder, Sink};
use std::fmt;

/// Processes of a script: 0 and 1 read and write, 2 too, 3 is kept for turns inside events.
pub const PROCESSES: u8 = 4;

/// The machine and how the processes open the database.
#[derive(Clone, PartialEq, Debug)]
pub struct Setup {
    /// Bytes of a page.
    pub page_size: usize,
    pub sink: Sink,
    /// Pages of dirty pages that a transaction keeps in memory.
    pub stage: usize,
    /// Pages in the manifests that the processes 0, 1 and 2 write.
    pub manifest: [usize; 3],
    /// Entries in the lists of free pages; 0: as many as there is room for.
    pub lists: usize,
    /// Records in the list of pages since the last durable commit; 0: as many as there is room for.
    pub records: usize,
    /// The lock file may be written back at every so-manieth event, page by page, and be found like
    /// that by a remount. 0: a remount finds it as it was.
    pub remember: u64,
    /// Ids that are reserved at a time for deferred commits; 0: as ever.
    pub ids_ahead: u64,
    /// Pages that may be listed when a deferred commit is shown; 0: as ever.
    pub unproved: u64,
    /// Pages that a manifest may name, those of runs counted; 0: as ever.
    pub manifest_pages: u64,
    /// Outcomes of a device that goes away and comes back, at each cut point, beside the death of
    /// everybody; 0: neither.
    pub remounts: u64,
    /// Pages by which the file grows.
    pub growth: u64,
    /// Seed of what the machine decides by itself.
    pub machine: u64,
    /// Chances out of 65,536: a dirty page is written back, that fails, a lost page leaves the
    /// cache.
    pub write_back: u32,
    pub write_back_fails: u32,
    pub folio: u64,
    pub evict: u32,
    /// Pages of 4,096 bytes that the disk has room for; 0: any number.
    pub disk: u64,
    /// One event in so many is a cut point, 0: none.
    pub probe: u64,
    /// Random outcomes of each cut, beside as many chosen ones.
    pub outcomes: u64,
    /// Operations before the first whose events are cut points.
    pub from: usize,
    /// Outcomes of a cut up to which all are tried: every subset of sectors, or else of pages.
    /// Instead of `outcomes`.
    pub subsets: u64,
    /// One recovery in so many is cut again at all its events, 0: none.
    pub second: u64,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            page_size: 4096,
            sink: Sink::Staged,
            stage: 24,
            manifest: [40, 4, 1],
            lists: 0,
            records: 0,
            remember: 0,
            ids_ahead: 0,
            unproved: 0,
            manifest_pages: 0,
            remounts: 0,
            growth: 2,
            machine: 11,
            write_back: 0,
            write_back_fails: 0,
            folio: 0,
            evict: 0,
            disk: 0,
            probe: 1,
            outcomes: 2,
            from: 0,
            subsets: 0,
            second: 40,
        }
    }
}

impl Setup {
    /// What the machine does by itself.
    pub fn faults(&self) -> Faults {
        Faults {
            write_back: self.write_back,
            write_back_fails: self.write_back_fails,
            folio_pages: self.folio,
            evict: self.evict,
            ..Faults::default()
        }
    }

    /// How process `p` opens the database.
    pub fn builder(&self, p: u8) -> Builder {
        let mut builder = Builder::default();
        builder.order(BY_LENGTH, by_length);
        builder.sink(self.sink).stage_bytes(self.stage * self.page_size);
        builder.manifest_limit(self.manifest[usize::from(p) % 3]);
        builder.free_limit(if self.lists == 0 { usize::MAX } else { self.lists });
        builder.list_limit(if self.records == 0 { usize::MAX } else { self.records });
        builder.growth_step(self.growth * self.page_size as u64);
        let bytes = |pages: u64| pages * self.page_size as u64;
        if self.ids_ahead > 0 {
            builder.ids_ahead(self.ids_ahead);
        }
        if self.unproved > 0 {
            builder.unproved_limit(bytes(self.unproved));
        }
        if self.manifest_pages > 0 {
            builder.manifest_bytes(bytes(self.manifest_pages));
        }
        builder
    }
}

/// See the head of the file.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Script {
    pub setup: Setup,
    pub ops: Vec<Op>,
}

impl Script {
    /// What `Display` has written, or a person.
    pub fn parse(text: &str) -> Result<Script, String> {
        let mut script = Script::default();
        for (n, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let done = script.parse_line(line);
            done.map_err(|e| format!("line {}: {e}", n + 1))?;
        }
        Ok(script)
    }

    fn parse_line(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |w: &str| w.parse::<u64>().map_err(|_| format!("no number: {w:?}"));
        let small = |w: &str| w.parse::<u32>().map_err(|_| format!("no number: {w:?}"));
        let s = &mut self.setup;
        match words[..] {
            ["page", n] => s.page_size = number(n)? as usize,
            ["sink", "staged"] => s.sink = Sink::Staged,
            ["sink", "direct"] => s.sink = Sink::Direct,
            ["stage", n] => s.stage = number(n)? as usize,
            ["growth", n] => s.growth = number(n)?,
            ["machine", n] => s.machine = number(n)?,
            ["lists", n] => s.lists = number(n)? as usize,
            ["records", n] => s.records = number(n)? as usize,
            ["remember", n] => s.remember = number(n)?,
            ["limits", "ids", a, "unproved", b, "manifest", c] => {
                (s.ids_ahead, s.unproved, s.manifest_pages) = (number(a)?, number(b)?, number(c)?);
            }
            ["remounts", n] => s.remounts = number(n)?,
            ["disk", n] => s.disk = number(n)?,
            ["manifest", a, b, c] => {
                s.manifest = [number(a)? as usize, number(b)? as usize, number(c)? as usize];
            }
            ["write-back", a, "fails", b, "folio", c, "evict", d] => {
                (s.write_back, s.write_back_fails) = (small(a)?, small(b)?);
                (s.folio, s.evict) = (number(c)?, small(d)?);
            }
            ["probe", a, "outcomes", b, "second", c] => {
                (s.probe, s.outcomes, s.second) = (number(a)?, number(b)?, number(c)?);
            }
            ["from", a, "subsets", b] => (s.from, s.subsets) = (number(a)? as usize, number(b)?),
            _ => self.ops.push(Op::parse(line)?),
        }
        Ok(())
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.setup;
        let sink = if s.sink == Sink::Direct { "direct" } else { "staged" };
        let [a, b, c] = s.manifest;
        writeln!(f, "page {}\nsink {sink}\nstage {}", s.page_size, s.stage)?;
        writeln!(f, "manifest {a} {b} {c}\ngrowth {}\nmachine {}", s.growth, s.machine)?;
        writeln!(
            f,
            "write-back {} fails {} folio {} evict {}",
            s.write_back, s.write_back_fails, s.folio, s.evict
        )?;
        writeln!(f, "disk {}\nlists {}", s.disk, s.lists)?;
        writeln!(f, "records {}\nremember {}", s.records, s.remember)?;
        let Setup { ids_ahead, unproved, manifest_pages, .. } = s;
        writeln!(f, "limits ids {ids_ahead} unproved {unproved} manifest {manifest_pages}")?;
        writeln!(f, "remounts {}", s.remounts)?;
        writeln!(f, "probe {} outcomes {} second {}", s.probe, s.outcomes, s.second)?;
        writeln!(f, "from {} subsets {}", s.from, s.subsets)?;
        self.ops.iter().try_for_each(|op| writeln!(f, "{op}"))
    }
}
