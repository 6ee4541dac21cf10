//! Hostile files: valid databases, spoiled, and used in every way there is.
//!
//! A [`Case`] is one file with what is to be done with it. It comes from a number ([`Case::made`]),
//! from bytes (a saved finding, or cargo-fuzz), and [`Case::run`] answers whether all went as it
//! may: an error or a right answer, never a panic, a signal, a loop without end or memory without
//! bound. The last three are seen from outside: `campaign` runs cases in child processes.
//!
//! | file | what it does |
//! | --- | --- |
//! | `bytes` | integers in an image, by the offsets of docs/format.md |
//! | `origins` | valid databases to start from |
//! | `mutate` | spoils them, kind by kind |
//! | `repair` | makes checksums right again |
//! | `exercise` | uses what came out |
//! | `sets` | the same for tables of sets |
//! | `orders` | functions of orders, and whether tables are in theirs |
//! | `salvaged` | what salvage must get out |
//! | `rotted` | rots the list of named snapshots, and writes |
//! | `far` | sparse files that say they are far longer |
//! | `lock_file` | spoils the memory that processes share |
//! | `campaign` | very many of all this, and a summary |

pub mod bytes;
pub mod campaign;
pub mod exercise;
mod far;
pub mod lock_file;
pub mod mutate;
pub mod orders;
pub mod origins;
pub mod repair;
mod rotted;
pub mod salvaged;
pub mod sets;

use exercise::{Exercise, Model, Seen, Wrong, model_of};
use fastrand::Rng;
use mutate::{Kind, Target};
use orders::Judgement;
use origins::Origin;
use recto::harness::sim::{Deadlock, ProcessOptions, SimDisk, SimOptions};
use recto::harness::{SHARED_LEN, check_image, open};
use recto::inspect::salvage::SalvageReport;
use recto::inspect::{FORMAT_VERSION, Fault, MetaSummary, PageKind, Report, SlotState};
use recto::{Builder, Database, Error, ReadChecksums, Sink};
use std::path::Path;

/// Longest image that is used.
pub const MOST_BYTES: usize = 4 << 20;
/// Addresses for a file on a simulated machine: room for what is written to it.
const RESERVE: usize = 16 << 20;

/// How a case is run, in the first byte of a saved one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options(pub u8);

impl Options {
    /// Checksums are repaired first.
    pub const REPAIR: u8 = 1;
    /// The direct page sink.
    pub const DIRECT: u8 = 1 << 4;
    /// The lock file is spoiled too.
    pub const LOCK_FILE: u8 = 1 << 5;
    /// On a real file, mapped.
    pub const REAL: u8 = 1 << 6;
    /// Commits in two phases.
    pub const TWO_PHASE: u8 = 1 << 7;

    /// With these bits, for pages of this size.
    pub fn new(bits: u8, page_size: usize) -> Options {
        Options(bits & !0b1110 | (page_size.trailing_zeros() as u8 - 12) << 1)
    }

    /// Bytes of a page, as the repairer takes it.
    pub fn page_size(self) -> usize {
        4096 << ((self.0 >> 1 & 7) % 5)
    }

    fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }
}

/// A file, and what is done with it.
#[derive(Clone, Debug)]
pub struct Case {
    /// How.
    pub options: Options,
    /// The file.
    pub image: Vec<u8>,
}

/// What salvage made of an image.
type Salvaged = Result<(SalvageReport, Model), Wrong>;

/// How a case was made.
#[derive(Clone, Default)]
pub struct Descent {
    /// Index of the origin.
    pub origin: usize,
    /// What was done to it.
    pub kinds: Vec<&'static Kind>,
}

impl Case {
    /// Case `index` of a campaign.
    pub fn made(origins: &[Origin], seed: u64, index: u64) -> (Case, Descent) {
        let mut rng = Rng::with_seed(seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        rng = Rng::with_seed(rng.u64(..));
        // The first are the smallest; large pages cost the most time and say the least.
        let most = if rng.u8(..4) == 0 { origins.len() } else { origins.len().min(origins::SMALL) };
        let drawn = rng.usize(..most);
        let chosen = mutate::only_origin(origins).unwrap_or(drawn);
        let origin = &origins[chosen];
        let mut image = origin.image.clone();
        if let (0, Some(earlier)) = (rng.u8(..8), rng.choice(&origin.earlier)) {
            image.clone_from(earlier);
        }
        let kinds = mutate::mutate(&mut Target {
            image: &mut image,
            page_size: origin.page_size,
            rng: &mut rng,
            origin: Some(origin),
            others: origins,
        });
        let mut bits = 0;
        for (bit, one_in) in [
            // Dear to simulate: after every step it looks for stores that nobody told of.
            (Options::DIRECT, 16),
            (Options::LOCK_FILE, 8),
            (Options::REAL, 256),
            (Options::TWO_PHASE, 8),
        ] {
            if rng.u32(..one_in) == 0 {
                bits |= bit;
            }
        }
        if rng.u8(..7) > 0 {
            bits |= Options::REPAIR;
        }
        let options = Options::new(bits, origin.page_size);
        (Case { options, image }, Descent { origin: chosen, kinds })
    }

    /// From the bytes of a saved case.
    pub fn decode(bytes: &[u8]) -> Option<Case> {
        let (&options, image) = bytes.split_first()?;
        (image.len() <= MOST_BYTES)
            .then(|| Case { options: Options(options), image: image.to_vec() })
    }

    /// The bytes that [`Case::decode`] takes.
    pub fn encode(&self) -> Vec<u8> {
        [&[self.options.0], &self.image[..]].concat()
    }

    /// Runs it. Real files go into `place`; without one they are simulated like the others.
    ///
    /// # Errors
    /// What went wrong that may not.
    pub fn run(mut self, place: Option<&Path>) -> Result<Seen, Wrong> {
        let page_size = self.options.page_size();
        if self.options.has(Options::REPAIR) {
            let len = self.image.len().next_multiple_of(page_size).min(MOST_BYTES);
            self.image.resize(len, 0);
            repair::repair(&mut self.image, page_size);
        }
        let seed: u64 = crc32fast::hash(&self.image).into();
        let mut rng = Rng::with_seed(seed);
        let report = check_image(&self.image).ok();
        let passes = report.as_ref().is_some_and(|r| r.is_clean() && can_be_opened(&r.meta));
        let judgement = passes.then(|| orders::judge(&self.image, page_size));
        let clean = judgement.is_some_and(|judgement| judgement != Judgement::OutOfOrder);
        // A lock file that lies may have other lists.
        let lies = self.options.has(Options::LOCK_FILE);
        let free_once = !lies && report.as_ref().is_some_and(shares_pages_at_most);
        if clean && !lies {
            self.stays_sound(place, &mut Rng::with_seed(!seed))?;
        }
        // Whatever it is, salvage comes to an end with it.
        let salvaged = salvaged::run(&self.image);
        let seen = Seen { clean, ..Seen::default() };
        let mut exercise =
            Exercise { rng: &mut rng, model: None, seen, judgement, lies, free_once };
        match &salvaged {
            Ok((report, _)) => exercise.seen.salvaged = report.pairs(),
            Err(what) if clean => return Err(format!("salvage of what passes the check: {what}")),
            Err(_) => {}
        }
        match place {
            Some(place) if self.options.has(Options::REAL) => {
                self.on_a_file(place, &salvaged, &mut exercise)?;
            }
            _ => self.simulated(&salvaged, &mut exercise)?,
        }
        Ok(exercise.seen)
    }

    /// What is done with an image that passes the check beside using it.
    fn stays_sound(&self, place: Option<&Path>, rng: &mut Rng) -> Result<(), Wrong> {
        if rng.u8(..4) == 0 {
            self.is_checked_far_out(rng);
        }
        if let (Some(place), 0) = (place, rng.u8(..)) {
            self.is_read_far_out(place, rng)?;
        }
        if rng.bool() { self.rots(rng) } else { Ok(()) }
    }

    fn builder(&self) -> Builder {
        let mut builder = Builder::default();
        builder.read_checksums(match crc32fast::hash(&self.image) % 8 {
            0 => ReadChecksums::FirstTouch,
            1 => ReadChecksums::Always,
            _ => ReadChecksums::Off,
        });
        let direct = self.options.has(Options::DIRECT);
        builder.sink(if direct { Sink::Direct } else { Sink::Staged });
        builder.growth_step(64 << 10);
        orders::give(&mut builder);
        if self.options.has(Options::TWO_PHASE) {
            builder.manifest_limit(2);
        }
        builder
    }

    fn machine(&self, image: &[u8]) -> Result<SimDisk, Wrong> {
        let mut options = SimOptions::new(1, SHARED_LEN);
        options.page_size = self.options.page_size() as u32;
        options.reserve = RESERVE.max(2 * image.len());
        options.on_deadlock = Deadlock::GiveUp;
        SimDisk::from_image(image, options).map_err(|e| format!("the simulation: {e}"))
    }

    fn open_on(&self, disk: &SimDisk) -> recto::Result<Database> {
        let direct = self.options.has(Options::DIRECT);
        open(disk.process(ProcessOptions { direct, ..ProcessOptions::default() }), &self.builder())
    }

    /// Sessions one after another, two handles at a time, and a reboot.
    fn simulated(&self, salvaged: &Salvaged, exercise: &mut Exercise<'_>) -> Result<(), Wrong> {
        let disk = self.machine(&self.image)?;
        let spoil = self.options.has(Options::LOCK_FILE);
        if spoil && exercise.rng.bool() {
            lock_file::spoil(&disk, exercise.rng);
        }
        let first = self.open_on(&disk);
        exercise.begin(&first, !spoil)?;
        exercise.compare(salvaged)?;
        if let Ok(first) = &first {
            exercise.run(first)?;
            if spoil {
                lock_file::spoil(&disk, exercise.rng);
            }
            let second = self.open_on(&disk);
            exercise.opened(&second)?;
            if let Ok(second) = &second {
                exercise.run(second)?;
                if let Ok(txn) = first.read() {
                    exercise.read(&txn)?;
                }
            }
        }
        drop(first);
        if spoil {
            lock_file::spoil(&disk, exercise.rng);
        }
        let again = self.open_on(&disk);
        exercise.opened(&again)?;
        if let Ok(again) = &again {
            exercise.run(again)?;
        }
        drop(again);
        self.rebooted(&disk.bytes(), exercise)
    }

    /// Everything that was committed is there, and nothing else.
    fn rebooted(&self, bytes: &[u8], exercise: &mut Exercise<'_>) -> Result<(), Wrong> {
        let sound = exercise.model.is_some();
        match check_image(bytes) {
            Ok(report) if sound && !report.is_clean() => {
                return Err(format!("the check after all: {:?}", report.faults));
            }
            Err(e) if sound => return Err(format!("the check after all: {e}")),
            _ => {}
        }
        let disk = self.machine(bytes)?;
        let db = self.open_on(&disk);
        exercise.opened(&db)?;
        if let Ok(txn) = db.and_then(|db| db.read()) {
            exercise.read(&txn)?;
        }
        Ok(())
    }

    /// The same on a file that is really mapped, with a lock file that is really there.
    fn on_a_file(
        &self,
        place: &Path,
        salvaged: &Salvaged,
        exercise: &mut Exercise<'_>,
    ) -> Result<(), Wrong> {
        let failed = |e: std::io::Error| format!("cannot set up: {e}");
        let path = place.join("hostile.recto");
        let lock = place.join("hostile.recto-lock");
        std::fs::write(&path, &self.image).map_err(failed)?;
        let _ = std::fs::remove_file(&lock);
        let spoil = self.options.has(Options::LOCK_FILE);
        if spoil {
            let len = exercise.rng.usize(8..SHARED_LEN + 8192);
            let mut garbage: Vec<u8> = (0..len).map(|_| exercise.rng.u8(..)).collect();
            // What it is known by as a lock file, though nothing else in it is right.
            match exercise.rng.u8(..3) {
                0 => garbage.resize(SHARED_LEN, 7),
                1 => garbage[..8].copy_from_slice(&recto::inspect::LOCK_MAGIC),
                // Its making was cut short.
                _ => garbage.fill(0),
            }
            std::fs::write(&lock, garbage).map_err(failed)?;
        }
        let _ = recto::check_file(&path, None);
        // SAFETY: the files are this process's own, and nobody else knows them.
        let open = || unsafe { self.builder().open(&path) };
        let first = open();
        exercise.begin(&first, true)?;
        exercise.compare(salvaged)?;
        if let Ok(first) = &first {
            exercise.run(first)?;
            exercise.opened(&open())?;
        }
        drop(first);
        if spoil {
            // Between two sessions it may have become shorter, or have been written to.
            let mut bytes = std::fs::read(&lock).unwrap_or_default();
            bytes.truncate(exercise.rng.usize(..bytes.len() + 1));
            for _ in 0..exercise.rng.usize(..20).min(bytes.len()) {
                let at = exercise.rng.usize(..bytes.len());
                bytes[at] ^= exercise.rng.u8(..);
            }
            std::fs::write(&lock, bytes).map_err(failed)?;
            exercise.model = None;
        }
        let again = open();
        exercise.opened(&again)?;
        if let Ok(again) = &again {
            exercise.run(again)?;
        }
        drop(again);
        let bytes = std::fs::read(&path).map_err(failed)?;
        self.rebooted(&bytes, exercise)
    }
}

/// Whether a sound database is one that commits are made to: not of an older version, which the
/// check reads too, nor with transaction ids that are used up.
fn can_be_opened(meta: &MetaSummary) -> bool {
    const LAST_IDS: u64 = (1 << 48) - 10_000;
    meta.version == FORMAT_VERSION && meta.txn.0 < LAST_IDS
}

/// Whether trees share pages at most, and the check has nothing to say of the free lists: then what
/// is taken from these is in no tree. (A branch that leads to a free page, which is no node, may
/// lead to one of another tree a moment later.)
fn shares_pages_at_most(report: &Report) -> bool {
    const SHARED: [&str; 8] = [
        "are owned twice",
        "born in",
        "the descriptor says",
        "pages have no owner",
        "belong to nothing",
        "nothing leads to it",
        "lies below the separator",
        "is not below the next separator",
    ];
    let lists = [
        PageKind::FreeLog,
        PageKind::Reserved,
        PageKind::Ready,
        PageKind::Queued,
        PageKind::Pooled,
    ];
    let of_lists = |text: &str| lists.iter().any(|kind| text.contains(kind.words()));
    let shared = |f: &Fault| {
        SHARED.iter().any(|text| f.what.contains(text)) && !of_lists(&f.what) && !of_lists(&f.path)
    };
    report.fault_count == report.faults.len() as u64 && report.faults.iter().all(shared)
}

impl Exercise<'_> {
    /// The first opening: what the database holds, if it passed the check and `all_true` may be
    /// relied on.
    fn begin(&mut self, db: &recto::Result<Database>, all_true: bool) -> Result<(), Wrong> {
        self.seen.opened = db.is_ok();
        if let (Ok(db), true) = (db, all_true) {
            self.agrees_on_orders(db)?;
        }
        if !self.seen.clean {
            return Ok(());
        }
        match db {
            // Without a function a table cannot be read, and so nothing be told of it.
            Ok(_) if self.judgement == Some(Judgement::Unknown) => Ok(()),
            Ok(db) if all_true => {
                let txn = db.read().map_err(|e| format!("reading what passes the check: {e}"))?;
                self.model = Some(model_of(&txn)?);
                Ok(())
            }
            // The check reads an older version too, of which one slot is enough to refuse the file.
            Err(Error::Version { found, supported, .. }) if found < supported => Ok(()),
            Err(e) if all_true => Err(format!("a database that passes the check: {e}")),
            _ => Ok(()),
        }
    }

    /// The check of a handle that has the functions of orders proves these.
    fn agrees_on_orders(&self, db: &Database) -> Result<(), Wrong> {
        // One without its function may be empty, which proves it.
        let judgement = self.judgement.filter(|judgement| *judgement != Judgement::Unknown);
        let (Some(judgement), Ok(report)) = (judgement, db.check(None)) else { return Ok(()) };
        let found = match (report.is_clean(), report.unproved_orders.is_empty()) {
            (_, false) => Judgement::Unknown,
            (true, true) => Judgement::InOrder,
            (false, true) => Judgement::OutOfOrder,
        };
        match found == judgement {
            true => Ok(()),
            false => Err(format!("orders are {judgement:?}, and found {found:?}: {report:?}")),
        }
    }

    /// What salvage got out of a sound database is what stands in it.
    fn compare(&mut self, salvaged: &Salvaged) -> Result<(), Wrong> {
        let (Some(model), Ok((report, found))) = (&self.model, salvaged) else { return Ok(()) };
        let filled = model.iter().filter(|(_, pairs)| !pairs.is_empty());
        let in_place =
            found.iter().filter(|(name, _)| report.tables.iter().any(|t| t.name == **name));
        if !filled.eq(in_place) {
            return Err("salvage of what passes the check gives other pairs".into());
        }
        // Beside a refused meta something newer may lie about, of which parts are lost.
        let refused = report.slots.iter().any(|slot| matches!(slot, SlotState::Refused(_)));
        if report.tables.iter().all(|table| table.is_whole()) && (refused || report.is_whole()) {
            return Ok(());
        }
        Err(format!("salvage of what passes the check misses something: {report:?}"))
    }

    /// An opening later on.
    fn opened(&mut self, db: &recto::Result<Database>) -> Result<(), Wrong> {
        match db {
            Err(e) if self.model.is_some() => {
                Err(format!("opening again a database that passes the check: {e}"))
            }
            _ => Ok(()),
        }
    }
}
