//! Maps from page numbers.

use crate::types::PageId;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Page numbers are their own hash, spread by one multiplication.
#[derive(Default)]
pub struct PageHasher(u64);

impl Hasher for PageHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("only page numbers are hashed")
    }
    fn write_u64(&mut self, n: u64) {
        let spread = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ (spread >> 32);
    }
}

/// A map from page numbers.
pub type PageMap<V> = HashMap<PageId, V, BuildHasherDefault<PageHasher>>;
