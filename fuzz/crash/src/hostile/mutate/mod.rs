//! Mutations of a valid image: what a bad disk, a foreign hand or somebody with a file editor and a
//! checksum tool could make of it.
//!
//! Each kind of mutation knows a part of the format (`pages`, `node`, `space`, `meta`) and spoils
//! it where it counts. Checksums are not minded here; `repair` comes after. Every mutation takes
//! any image, also one that others have spoiled before.

mod meta;
pub(super) mod names;
mod node;
mod orders;
mod pages;
mod sets;
mod space;

use super::bytes::get;
use super::origins::Origin;
use fastrand::Rng;
use std::sync::OnceLock;

/// A kind of mutation.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its name in tables.
    pub name: &'static str,
    spoil: fn(&mut Target<'_>),
    /// It puts whole pages elsewhere, which no checksum of a page at its own number can tell.
    pub moves_pages: bool,
    /// The origin that has what it spoils: where no other kind is used, no other origin is.
    pub origin: Option<&'static str>,
}

/// All kinds.
pub const KINDS: [Kind; 27] = [
    kind("bits", pages::bits),
    kind("bytes", pages::bytes),
    kind("copy within", pages::copy_within),
    kind("page header", node::header),
    kind("child", node::child),
    kind("knot", node::knot),
    kind("tower", node::tower),
    kind("shared", meta::shared),
    kind("slot", node::slot),
    kind("head", node::head),
    kind("cell", node::cell),
    kind("key order", node::order),
    kind("overflow", node::overflow),
    Kind { origin: Some("sets"), ..kind("sets", sets::sets) },
    Kind { origin: Some("orders"), ..kind("orders", orders::orders) },
    Kind { origin: Some("named"), ..kind("names", names::names) },
    kind("descriptor", meta::descriptor),
    kind("meta", meta::field),
    kind("manifest", meta::manifest),
    kind("ready", space::ready),
    kind("queue", space::queue),
    kind("free entry", space::entry),
    kind("free log", space::log_page),
    moving("swap", pages::swap),
    moving("stale", pages::stale),
    moving("foreign", pages::foreign),
    moving("length", pages::length),
];

const fn kind(name: &'static str, spoil: fn(&mut Target<'_>)) -> Kind {
    Kind { name, spoil, moves_pages: false, origin: None }
}

const fn moving(name: &'static str, spoil: fn(&mut Target<'_>)) -> Kind {
    Kind { moves_pages: true, ..kind(name, spoil) }
}

/// An image being spoiled.
pub struct Target<'a> {
    /// The file.
    pub image: &'a mut Vec<u8>,
    /// Bytes of its pages.
    pub page_size: usize,
    /// Decides everything.
    pub rng: &'a mut Rng,
    /// The database it was, for its earlier states; none for bytes of unknown descent.
    pub origin: Option<&'a Origin>,
    /// Other databases.
    pub others: &'a [Origin],
}

impl Target<'_> {
    /// Spoils it in one way.
    pub fn spoil(&mut self, kind: &Kind) {
        (kind.spoil)(self);
    }

    /// Whole pages.
    fn pages(&self) -> usize {
        self.image.len() / self.page_size
    }

    /// Any page behind the metas.
    fn any_page(&mut self) -> Option<usize> {
        let pages = self.pages();
        (pages > 2).then(|| self.rng.usize(2..pages))
    }

    /// Some page of a kind.
    fn page_of(&mut self, kinds: &[u8]) -> Option<usize> {
        let (image, size) = (&*self.image, self.page_size);
        let whole = image.len() / size;
        let fits = |id: &usize| *id < whole && kinds.contains(&image[id * size + 4]);
        let live = self.origin.map_or(&[][..], |origin| &origin.live);
        let mut ids: Vec<usize> = live.iter().copied().filter(fits).collect();
        if ids.is_empty() || self.rng.u8(..6) == 0 {
            ids = (2..whole).filter(fits).collect();
        }
        self.rng.choice(ids)
    }

    fn page(&mut self, id: usize) -> &mut [u8] {
        &mut self.image[id * self.page_size..][..self.page_size]
    }

    /// Where a meta starts: mostly that of the newer one.
    fn meta(&mut self) -> usize {
        let newer = [0, self.page_size].into_iter().max_by_key(|at| get(self.image, at + 32, 8));
        match self.rng.u8(..4) {
            0 => self.rng.usize(..2) * self.page_size,
            _ => newer.unwrap_or(0),
        }
    }

    /// A number that code may not be ready for.
    fn odd(&mut self) -> u64 {
        let pages = self.pages() as u64;
        let txn = get(self.image, 32, 8).max(get(self.image, self.page_size + 32, 8));
        let rng = &mut *self.rng;
        match rng.u8(..24) {
            0 => 0,
            1 => 1,
            2 => 2,
            3 => pages.wrapping_sub(1),
            4 => pages,
            5 => pages + 1,
            6 => txn,
            7 => txn.wrapping_add(1),
            8 => txn.wrapping_sub(1),
            9 => u64::from(u16::MAX),
            10 => 1 << rng.u32(..64),
            11 => (1 << rng.u32(..64)) - 1,
            12 => u64::MAX,
            13 => u64::MAX - rng.u64(..1000),
            14 => (1 << 48) - 1,
            15 => 1 << 61,
            16 => rng.u64(..),
            17 => rng.u64(..) >> rng.u32(..64),
            _ => rng.u64(..pages.max(1)),
        }
    }

    /// A number for a field of two bytes.
    fn odd_small(&mut self) -> u64 {
        match self.rng.u8(..8) {
            0 => 0,
            1 => 1,
            2 => 0xffff,
            3 => 0x8000 + self.rng.u64(..2) * 0x4040,
            4 => self.rng.u64(..32),
            5 => self.page_size as u64 - self.rng.u64(..64),
            _ => self.rng.u64(..self.page_size as u64 + 1),
        }
    }
}

/// The only kind that this process uses, where it has been told so.
static ONLY: OnceLock<&'static Kind> = OnceLock::new();

/// This process uses no other kind from now on; the names of all if there is none of this name.
pub fn only(name: &str) -> Result<(), String> {
    let kind = KINDS.iter().find(|kind| kind.name == name);
    let kind = kind
        .ok_or_else(|| format!("no such kind; there are {}", KINDS.map(|k| k.name).join(", ")))?;
    ONLY.set(kind).map_err(|_| "told twice".into())
}

/// Index of the only origin that is used, if the only kind is made for one.
pub fn only_origin(origins: &[Origin]) -> Option<usize> {
    let name = ONLY.get()?.origin?;
    origins.iter().position(|origin| origin.name == name)
}

/// Spoils an image in one to a few ways, and says in which.
pub fn mutate(target: &mut Target<'_>) -> Vec<&'static Kind> {
    let ways = match target.rng.u8(..16) {
        0..9 => 1,
        9..13 => 2,
        13..15 => 3,
        _ => target.rng.usize(4..9),
    };
    let mut kinds = Vec::with_capacity(ways);
    for _ in 0..ways {
        let drawn = &KINDS[target.rng.usize(..KINDS.len())];
        let kind = ONLY.get().copied().unwrap_or(drawn);
        target.spoil(kind);
        kinds.push(kind);
    }
    kinds
}
