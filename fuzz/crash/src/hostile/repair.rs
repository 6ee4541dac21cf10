//! Makes every checksum of an image right again after a mutation: without that few mutants get
//! beyond the first page.
//!
//! In this order, as each sum covers those before it: pages with a header; overflow references, and
//! the leaves they stand in; manifests; metas.

use super::bytes::{META, Node, get, put};

/// Repairs an image whose pages have this size.
pub fn repair(image: &mut [u8], page_size: usize) {
    let pages = image.len() / page_size;
    (2..pages).for_each(|id| seal(image, page_size, id));
    for id in 2..pages {
        if overflow_references(image, page_size, id) {
            seal(image, page_size, id);
        }
    }
    for slot in 0..2 {
        let start = slot * page_size;
        if image.len() >= start + META {
            manifest(image, page_size, start);
            meta(&mut image[start..start + META]);
        }
    }
}

/// The checksum of a page that has a header, or seems to.
fn seal(image: &mut [u8], page_size: usize, id: usize) {
    let page = &mut image[id * page_size..][..page_size];
    if (1..=6).contains(&page[4]) {
        let crc = numbered_crc(id as u64, &page[4..]);
        put(page, 0, 4, crc.into());
    }
}

/// Repairs the references in a leaf; true if there was one.
fn overflow_references(image: &mut [u8], page_size: usize, id: usize) -> bool {
    let page = id * page_size;
    let Some(node) = Node::of(&image[page..page + page_size]) else { return false };
    let mut any = false;
    for index in 0..node.count {
        let Some(at) = node.overflow(&image[page..page + page_size], index) else { continue };
        let (first, len) = (get(image, page + at, 8), get(image, page + at + 8, 8));
        if let Some(run) = pages_of(image, page_size, first, len.div_ceil(page_size as u64)) {
            let crc = numbered_crc(first, run);
            put(image, page + at + 24, 4, crc.into());
            any = true;
        }
    }
    any
}

fn pages_of(image: &[u8], page_size: usize, first: u64, pages: u64) -> Option<&[u8]> {
    let start = usize::try_from(first).ok()?.checked_mul(page_size)?;
    let len = usize::try_from(pages).ok()?.checked_mul(page_size)?;
    image.get(start..start.checked_add(len)?)
}

/// Puts the checksums that pages have now into the manifest, as far as it can be found.
fn manifest(image: &mut [u8], page_size: usize, meta: usize) {
    let inline: u64 = (0..5).map(|queue| get(image, meta + 136 + 32 * queue + 26, 2)).sum();
    let mut at = 512 + get(image, meta + 128, 4) as usize * 8 + inline as usize * 24;
    for _ in 0..get(image, meta + 112, 4) {
        if at + 12 > META {
            return;
        }
        let (page, pages) = (get(image, meta + at, 6), get(image, meta + at + 10, 2));
        if let Some(bytes) = pages_of(image, page_size, page, pages.max(1)) {
            let crc = numbered_crc(page, if pages == 0 { &bytes[4..] } else { bytes });
            put(image, meta + at + 6, 4, crc.into());
        }
        at += 12;
    }
}

/// The checksum of a meta page.
pub fn meta(meta: &mut [u8]) {
    put(meta, 508, 4, 0);
    let crc = crc32fast::hash(meta);
    put(meta, 508, 4, crc.into());
}

fn numbered_crc(page: u64, bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&page.to_le_bytes());
    crc.update(bytes);
    crc.finalize()
}
