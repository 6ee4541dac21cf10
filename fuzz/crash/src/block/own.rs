//! Which writes carry nothing but pages of the database: they may be torn at sectors. File systems
//! count on whole blocks for some of their own.
//!
//! Told by content, which is right on every file system, wherever the blocks lie: a page with a
//! good checksum, a meta page, or a page of a large value, which the script stamps. A page that was
//! written back half built is not known again; it is then never torn, which costs a little and
//! proves nothing wrong.

use std::collections::HashSet;

/// Begins each page of a large value.
pub const STAMP: &[u8; 8] = b"\xa7recto-v";

const META_MAGIC: &[u8; 8] = b"recto\r\n\x1a";

/// Knows the pages of a database.
pub struct Own {
    page_size: usize,
    /// What the checksum of a page would be if all after its number were zero: by it any page
    /// number is found at once, since checksums are linear.
    by_number: HashSet<u32>,
    /// The checksum of no number and as many zeros.
    zeros: u32,
}

impl Own {
    /// For databases of at most `pages` pages.
    pub fn new(page_size: usize, pages: u64) -> Own {
        let mut rest = crc32fast::Hasher::new();
        rest.update(&vec![0; page_size - 4]);
        let of = |number: u64| {
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&number.to_le_bytes());
            hasher.combine(&rest);
            hasher.finalize()
        };
        let zeros = rest.clone().finalize();
        Own { page_size, by_number: (0..pages).map(of).collect(), zeros }
    }

    /// Whether all of it is pages of the database.
    pub fn knows(&self, bytes: &[u8]) -> bool {
        bytes.len().is_multiple_of(self.page_size)
            && bytes.chunks(self.page_size).all(|page| self.knows_page(page))
    }

    fn knows_page(&self, page: &[u8]) -> bool {
        page.starts_with(META_MAGIC) || page.starts_with(STAMP) || self.has_checksum(page)
    }

    fn has_checksum(&self, page: &[u8]) -> bool {
        let Some((stored, rest)) = page.split_first_chunk::<4>() else { return false };
        // Kind and the zero field of a header.
        if !(1..=3).contains(&rest[0]) || rest[18..20] != [0, 0] {
            return false;
        }
        // crc(number, rest) = crc(number, zeros) ^ crc(zeros) ^ crc(rest).
        let difference = crc32fast::hash(rest) ^ self.zeros;
        self.by_number.contains(&(u32::from_le_bytes(*stored) ^ difference))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_database_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        // SAFETY: nobody else has the file.
        let db = unsafe { recto::Database::open(&path) }.unwrap();
        let mut txn = db.write().unwrap();
        let mut table = txn.open_table("main").unwrap();
        for i in 0..400u32 {
            table.put(&i.to_be_bytes(), &[7; 50]).unwrap();
        }
        txn.commit().unwrap();
        let pages = db.info().unwrap().page_count;
        drop(db);
        let bytes = std::fs::read(&path).unwrap();
        let own = Own::new(4096, 64);
        let known = bytes.chunks(4096).take(pages as usize).filter(|p| own.knows(p)).count();
        assert!(known >= 6, "{known} of {pages}");
        let mut changed = bytes[2 * 4096..3 * 4096].to_vec();
        assert!(own.knows(&changed));
        changed[100] ^= 1;
        assert!(!own.knows(&changed));
        assert!(!own.knows(&[0; 4096]));
        assert!(!own.knows(&bytes[2 * 4096..2 * 4096 + 1024]));
    }
}
