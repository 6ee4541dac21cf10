//! Builds database images from a description, by docs/format.md alone: neither the engine's codecs
//! nor the constants of the room under test are used. A test changes the description, or patches
//! bytes before they are sealed.

use crc32fast::Hasher;
use std::collections::BTreeMap;

#[derive(Clone)]
pub enum Value {
    Child(u64),
    Inline(Vec<u8>),
    /// At a multiple of 2^this bytes.
    Aligned(u8, Vec<u8>),
    Table(Vec<u8>),
    /// A tag and what it stands for.
    Tagged(u64, Vec<u8>),
    /// First page, length, birth; the checksum is that of the run.
    Run(u64, u64, u64),
}

/// Bytes to put at an offset.
pub type Patch = (usize, Vec<u8>);

#[derive(Clone)]
pub struct Node {
    pub level: u8,
    pub birth: u64,
    pub prefix: Vec<u8>,
    pub leftmost: u64,
    pub keys: Vec<(Vec<u8>, Value)>,
    /// Bytes of each value of a packed leaf, which are its keys; 0 in another page.
    pub packed: usize,
    /// Bytes of the heap that belong to no cell.
    pub dead: usize,
    pub patches: Vec<Patch>,
}

#[derive(Clone)]
pub struct Log {
    pub birth: u64,
    pub next: u64,
    pub entries: Vec<Free>,
    pub patches: Vec<Patch>,
}

#[derive(Clone)]
pub struct Run {
    pub value: Vec<u8>,
    pub padding: u8,
    pub crc: Option<u32>,
}

/// Start, length, birth, death.
pub type Free = (u64, u64, u64, u64);

#[derive(Clone, Default)]
pub struct Queue {
    pub pin: u64,
    pub head: u64,
    pub tail: u64,
    pub head_used: u64,
    pub pages: u64,
    pub inline: Vec<Free>,
}

#[derive(Clone)]
pub struct Meta {
    pub version: u64,
    pub page_size: u64,
    pub uuid: u8,
    pub txn: u64,
    pub page_count: u64,
    pub catalog: Vec<u8>,
    pub phase: u64,
    pub free_pages: u64,
    pub ready: Vec<(u64, u64)>,
    pub queues: [Queue; 5],
    /// Page, pages of the run or 0.
    pub manifest: Vec<(u64, u64)>,
    pub patches: Vec<Patch>,
}

#[derive(Clone)]
pub struct Image {
    pub page_size: usize,
    pub metas: [Option<Meta>; 2],
    pub nodes: BTreeMap<u64, Node>,
    pub logs: BTreeMap<u64, Log>,
    pub runs: BTreeMap<u64, Run>,
    /// Bytes of the whole file to change after everything is sealed.
    pub raw: Vec<Patch>,
    pub pages_in_file: u64,
}

fn put(b: &mut [u8], at: usize, size: usize, value: u64) {
    b[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
}

fn get(b: &[u8], at: usize, size: usize) -> u64 {
    let mut eight = [0; 8];
    eight[..size].copy_from_slice(&b[at..at + size]);
    u64::from_le_bytes(eight)
}

pub fn crc_with_number(page: u64, bytes: &[u8]) -> u32 {
    let mut h = Hasher::new();
    h.update(&page.to_le_bytes());
    h.update(bytes);
    h.finalize()
}

fn apply(b: &mut [u8], patches: &[Patch]) {
    for (at, bytes) in patches {
        b[*at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// Root, depth, then entries, branch, leaf and overflow pages.
pub fn descriptor(root: u64, depth: u64, counts: [u64; 4]) -> Vec<u8> {
    let mut b = vec![0; 64];
    put(&mut b, 0, 8, root);
    for (i, n) in counts.into_iter().enumerate() {
        put(&mut b, 8 + 8 * i, 8, n);
    }
    put(&mut b, 40, 2, depth);
    b
}

impl Node {
    pub fn leaf(birth: u64, prefix: &str, keys: Vec<(Vec<u8>, Value)>) -> Node {
        let prefix = prefix.as_bytes().to_vec();
        Node { level: 0, birth, prefix, leftmost: 0, keys, packed: 0, dead: 0, patches: vec![] }
    }

    /// A packed leaf of these numbers, of four bytes each.
    pub fn packed(birth: u64, values: &[u32]) -> Node {
        let values = values.iter().map(|n| (n.to_be_bytes().to_vec(), Value::Inline(vec![])));
        Node { packed: 4, ..Node::leaf(birth, "", values.collect()) }
    }

    pub fn branch(level: u8, birth: u64, prefix: &str, left: u64, keys: &[(&str, u64)]) -> Node {
        let keys = keys.iter().map(|(k, c)| (k.as_bytes().to_vec(), Value::Child(*c))).collect();
        Node { level, leftmost: left, ..Node::leaf(birth, prefix, keys) }
    }

    /// Where the heads start, and the slots.
    pub fn heads(&self) -> usize {
        let start = if self.level > 0 { 32 } else { 24 };
        (start + self.prefix.len()).next_multiple_of(4)
    }

    pub fn slots(&self) -> usize {
        self.heads() + 4 * self.keys.len()
    }

    fn encode(&self, page_size: usize, runs: &BTreeMap<u64, u32>) -> Vec<u8> {
        let mut b = vec![0; page_size];
        if self.packed > 0 {
            b[4] = 4;
            put(&mut b, 6, 2, self.keys.len() as u64);
            put(&mut b, 8, 8, self.birth);
            put(&mut b, 20, 2, self.packed as u64);
            for (value, at) in self.keys.iter().zip((24..).step_by(self.packed)) {
                b[at..at + self.packed].copy_from_slice(&value.0);
            }
            apply(&mut b, &self.patches);
            return b;
        }
        let branch = self.level > 0;
        b[4] = if branch { 1 } else { 2 };
        b[5] = self.level;
        put(&mut b, 6, 2, self.keys.len() as u64);
        put(&mut b, 8, 8, self.birth);
        put(&mut b, 18, 2, self.dead as u64);
        put(&mut b, 20, 2, self.prefix.len() as u64);
        let start = if branch { 32 } else { 24 };
        if branch {
            put(&mut b, 24, 8, self.leftmost);
        }
        b[start..start + self.prefix.len()].copy_from_slice(&self.prefix);
        let mut heap = page_size;
        for (i, (key, value)) in self.keys.iter().enumerate() {
            let suffix = &key[self.prefix.len()..];
            let mut head = [0; 4];
            let n = suffix.len().min(4);
            head[..n].copy_from_slice(&suffix[..n]);
            put(&mut b, self.heads() + 4 * i, 4, u32::from_be_bytes(head).into());
            let mut cell = vec![0; if branch { 8 } else { 4 }];
            put(&mut cell, if branch { 6 } else { 0 }, 2, suffix.len() as u64);
            cell.extend_from_slice(&suffix[n..]);
            match value {
                Value::Child(child) => put(&mut cell, 0, 6, *child),
                Value::Inline(value) => {
                    put(&mut cell, 2, 2, value.len() as u64);
                    cell.extend_from_slice(value);
                }
                Value::Aligned(shift, value) => {
                    put(&mut cell, 2, 2, 0x8004);
                    let align = 1 << shift;
                    let len = 4 + align - 1 + value.len();
                    let at = cell.len();
                    cell.resize(at + len, 0);
                    put(&mut cell, at, 2, (len - 2) as u64);
                    cell[at + 2] = *shift;
                    // Where the cell begins is known: the heap grows down.
                    let place = (heap - cell.len() + at + 4).next_multiple_of(align);
                    let from = place - (heap - cell.len());
                    cell[at + 3] = (from - at - 4) as u8;
                    cell[from..from + value.len()].copy_from_slice(value);
                }
                Value::Table(descriptor) => {
                    put(&mut cell, 2, 2, 0xc000 + descriptor.len() as u64);
                    cell.extend_from_slice(descriptor);
                }
                Value::Tagged(tag, bytes) => {
                    put(&mut cell, 2, 2, *tag);
                    cell.extend_from_slice(bytes);
                }
                Value::Run(first, len, birth) => {
                    put(&mut cell, 2, 2, 0x8000);
                    for word in [first, len, birth] {
                        cell.extend_from_slice(&word.to_le_bytes());
                    }
                    let crc = runs.get(first).copied().unwrap_or(0);
                    cell.extend_from_slice(&crc.to_le_bytes());
                    cell.extend_from_slice(&[0; 4]);
                }
            }
            heap -= cell.len();
            b[heap..heap + cell.len()].copy_from_slice(&cell);
            put(&mut b, self.slots() + 2 * i, 2, heap as u64);
        }
        heap -= self.dead;
        put(&mut b, 16, 2, (page_size - heap) as u64);
        apply(&mut b, &self.patches);
        b
    }
}

impl Log {
    fn encode(&self, page_size: usize) -> Vec<u8> {
        let mut b = vec![0; page_size];
        b[4] = 3;
        put(&mut b, 6, 2, self.entries.len() as u64);
        put(&mut b, 8, 8, self.birth);
        put(&mut b, 24, 8, self.next);
        for (i, entry) in self.entries.iter().enumerate() {
            put_free(&mut b, 32 + 24 * i, entry);
        }
        apply(&mut b, &self.patches);
        b
    }
}

fn put_free(b: &mut [u8], at: usize, entry: &Free) {
    put(b, at, 6, entry.0);
    put(b, at + 6, 2, entry.1);
    put(b, at + 8, 8, entry.2);
    put(b, at + 16, 8, entry.3);
}

/// Stores the checksum of a meta page.
pub fn seal_meta(b: &mut [u8]) {
    put(b, 508, 4, 0);
    let crc = crc32fast::hash(&b[..4096]);
    put(b, 508, 4, crc.into());
}

/// Stores the checksum of a page with a header.
pub fn seal_page(page: u64, b: &mut [u8]) {
    let crc = crc_with_number(page, &b[4..]);
    put(b, 0, 4, crc.into());
}

impl Meta {
    fn encode(&self, file: &[u8]) -> Vec<u8> {
        let mut b = vec![0; 4096];
        b[..8].copy_from_slice(b"recto\x0d\x0a\x1a");
        put(&mut b, 8, 4, self.version);
        put(&mut b, 12, 4, self.page_size);
        b[16..32].fill(self.uuid);
        put(&mut b, 32, 8, self.txn);
        put(&mut b, 40, 8, self.page_count);
        b[48..112].copy_from_slice(&self.catalog);
        put(&mut b, 112, 4, self.manifest.len() as u64);
        put(&mut b, 116, 4, self.phase);
        put(&mut b, 120, 8, self.free_pages);
        put(&mut b, 128, 4, self.ready.len() as u64);
        for (i, q) in self.queues.iter().enumerate() {
            let at = 136 + 32 * i;
            put(&mut b, at, 8, q.pin);
            put(&mut b, at + 8, 8, q.head);
            put(&mut b, at + 16, 8, q.tail);
            put(&mut b, at + 24, 2, q.head_used);
            put(&mut b, at + 26, 2, q.inline.len() as u64);
            put(&mut b, at + 28, 4, q.pages);
        }
        let mut at = 512;
        for (start, len) in &self.ready {
            put(&mut b, at, 6, *start);
            put(&mut b, at + 6, 2, *len);
            at += 8;
        }
        for entry in self.queues.iter().flat_map(|q| &q.inline) {
            put_free(&mut b, at, entry);
            at += 24;
        }
        let size = self.page_size as usize;
        for (page, pages) in &self.manifest {
            let start = *page as usize * size;
            let skip = if *pages == 0 { 4 } else { 0 };
            let bytes = &file[start + skip..start + size * (*pages).max(1) as usize];
            put(&mut b, at, 6, *page);
            put(&mut b, at + 6, 4, crc_with_number(*page, bytes).into());
            put(&mut b, at + 10, 2, *pages);
            at += 12;
        }
        apply(&mut b, &self.patches);
        seal_meta(&mut b);
        b
    }
}

impl Image {
    pub fn build(&self) -> Vec<u8> {
        let size = self.page_size;
        let mut file = vec![0; size * self.pages_in_file as usize];
        let mut crcs = BTreeMap::new();
        for (&first, run) in &self.runs {
            let mut bytes = run.value.clone();
            bytes.resize(run.value.len().next_multiple_of(size), run.padding);
            file[first as usize * size..][..bytes.len()].copy_from_slice(&bytes);
            crcs.insert(first, run.crc.unwrap_or_else(|| crc_with_number(first, &bytes)));
        }
        let nodes = self.nodes.iter().map(|(&id, n)| (id, n.encode(size, &crcs)));
        for (id, mut page) in nodes.chain(self.logs.iter().map(|(&id, l)| (id, l.encode(size)))) {
            seal_page(id, &mut page);
            file[id as usize * size..][..size].copy_from_slice(&page);
        }
        for (slot, meta) in self.metas.iter().enumerate() {
            if let Some(meta) = meta {
                let page = meta.encode(&file);
                file[slot * size..][..4096].copy_from_slice(&page);
            }
        }
        apply(&mut file, &self.raw);
        file
    }

    pub fn meta(&mut self) -> &mut Meta {
        self.metas[0].as_mut().unwrap()
    }

    pub fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    pub fn log(&mut self, id: u64) -> &mut Log {
        self.logs.get_mut(&id).unwrap()
    }

    /// Changes the map in the sample's pool.
    pub fn pool(&mut self, change: impl FnOnce(&mut Free)) {
        change(&mut self.meta().queues[4].inline[0]);
    }

    /// The descriptor of a table in the sample's catalog.
    pub fn table(&mut self, name: &str) -> &mut Vec<u8> {
        let keys = &mut self.node(2).keys;
        match keys.iter_mut().find(|(k, _)| k == name.as_bytes()) {
            Some((_, Value::Table(bytes))) => bytes,
            _ => panic!("no table {name}"),
        }
    }

    /// What stands beside a key of a leaf.
    pub fn body(&mut self, leaf: u64, key: &str) -> &mut Value {
        let entry = self.node(leaf).keys.iter_mut().find(|(k, _)| k == key.as_bytes());
        &mut entry.unwrap().1
    }

    /// Puts bytes over those that stand for a set.
    pub fn patch_set(&mut self, leaf: u64, key: &str, at: usize, bytes: &[u8]) {
        match self.body(leaf, key) {
            Value::Tagged(_, body) => body[at..at + bytes.len()].copy_from_slice(bytes),
            _ => panic!("no set beside {key}"),
        }
    }

    /// Adds to a number of a descriptor.
    pub fn add(&mut self, name: &str, at: usize, size: usize, n: u64) {
        let b = self.table(name);
        let value = get(b, at, size) + n;
        put(b, at, size, value);
    }
}

/// Several values of a key.
pub fn set(size: usize, values: &[&[u8]]) -> Value {
    let mut b = vec![0; 6];
    put(&mut b, 2, 2, size as u64);
    put(&mut b, 4, 2, values.len() as u64);
    let mut end = 0;
    for value in values.iter().filter(|_| size == 0) {
        end += value.len() as u16;
        b.extend_from_slice(&end.to_le_bytes());
    }
    values.iter().for_each(|value| b.extend_from_slice(value));
    let len = b.len() - 2;
    put(&mut b, 0, 2, len as u64);
    Value::Tagged(0x8001, b)
}

/// The tree of the values of a key: entries, branch and leaf pages.
pub fn set_tree(size: u64, root: u64, depth: u64, counts: [u64; 3]) -> Value {
    let mut b = vec![0; 36];
    put(&mut b, 0, 2, 34);
    put(&mut b, 2, 2, size);
    put(&mut b, 4, 2, depth);
    put(&mut b, 6, 6, root);
    for (i, n) in counts.into_iter().enumerate() {
        put(&mut b, 12 + 8 * i, 8, n);
    }
    Value::Tagged(0x8002, b)
}

/// [`sample`] with two tables of sets.
///
/// | pages | what |
/// | --- | --- |
/// | 28; 29, 30, 31 | few, with values of any length; the tree of the values of c |
/// | 32; 33, 34, 35 | packed, with values of 4 bytes; the tree of the values of many |
/// | 36, 37 | beyond the page count |
pub fn sample_with_sets() -> Image {
    let mut image = sample(4096);
    let word = |n: u32| n.to_be_bytes();
    let of_sets = |root, counts, size: u64, pairs| {
        let mut b = descriptor(root, 1, counts);
        put(&mut b, 42, 1, 1);
        put(&mut b, 46, 2, size);
        put(&mut b, 56, 8, pairs);
        Value::Table(b)
    };
    let tables = &mut image.node(2).keys;
    tables.push((b"few".to_vec(), of_sets(28, [3, 0, 1, 3], 0, 10)));
    tables.push((b"packed".to_vec(), of_sets(32, [3, 0, 1, 3], 4, 11)));
    let values = |from: u32, to: u32| {
        let keys = (from..to).map(|n| entry(&format!("value {n}"), "")).collect();
        Node::leaf(7, "value ", keys)
    };
    let few = vec![
        entry("a", "only"),
        (b"b".to_vec(), set(0, &[b"", b"x", b"xyz"])),
        (b"c".to_vec(), set_tree(0, 29, 2, [6, 1, 2])),
    ];
    image.nodes.insert(28, Node::leaf(8, "", few));
    image.nodes.insert(29, Node::branch(1, 7, "", 30, &[("value 3", 31)]));
    image.nodes.insert(30, values(0, 3));
    image.nodes.insert(31, values(3, 6));
    let packed = vec![
        (b"many".to_vec(), set_tree(4, 33, 2, [8, 1, 2])),
        (b"one".to_vec(), Value::Inline(word(5).to_vec())),
        (b"two".to_vec(), set(4, &[&word(6), &word(7)])),
    ];
    image.nodes.insert(32, Node::leaf(8, "", packed));
    let separators = vec![(word(10).to_vec(), Value::Child(35))];
    let root = Node { level: 1, leftmost: 34, ..Node::leaf(7, "", separators) };
    image.nodes.insert(33, root);
    image.nodes.insert(34, Node::packed(7, &[1, 2, 3, 4]));
    image.nodes.insert(35, Node::packed(6, &[10, 11, 12, 13]));
    let meta = image.meta();
    (meta.catalog, meta.page_count) = (descriptor(2, 1, [5, 0, 1, 0]), 36);
    meta.patches.push((304, vec![4]));
    image.pages_in_file = 38;
    image
}

pub fn entry(key: &str, value: &str) -> (Vec<u8>, Value) {
    (key.as_bytes().to_vec(), Value::Inline(value.as_bytes().to_vec()))
}

/// A database with everything in it. Newest transaction 9 in slot 0, transaction 8 (empty) in slot
/// 1.
///
/// | pages | what |
/// | --- | --- |
/// | 2 | catalog: alpha, beta, empty |
/// | 3; 4, 5; 6, 7, 8, 9 | alpha: three levels |
/// | 10; 11 and 12 | beta: a leaf, an overflow run |
/// | 13, 14; 15 | log of queue 0; its reserved page |
/// | 16 | reserved page of queue 1 |
/// | 17 to 27 | free |
/// | 28, 29 | beyond the page count |
pub fn sample(page_size: usize) -> Image {
    let mut nodes = BTreeMap::new();
    let leaf = |birth, from: u32| {
        let keys = (from..from + 4).map(|i| entry(&format!("key{i:02}"), &format!("value {i}")));
        Node::leaf(birth, "key", keys.collect())
    };
    let long = page_size as u64 + 900;
    nodes.insert(
        2,
        Node::leaf(
            9,
            "",
            vec![
                (b"alpha".to_vec(), Value::Table(descriptor(3, 3, [16, 3, 4, 0]))),
                (b"beta".to_vec(), Value::Table(descriptor(10, 1, [4, 0, 1, 2]))),
                (b"empty".to_vec(), Value::Table(descriptor(0, 0, [0; 4]))),
            ],
        ),
    );
    nodes.insert(3, Node::branch(2, 9, "", 4, &[("key08", 5)]));
    nodes.insert(4, Node::branch(1, 9, "key", 6, &[("key04", 7)]));
    nodes.insert(5, Node::branch(1, 7, "key1", 8, &[("key12", 9)]));
    nodes.insert(6, Node { dead: 40, ..leaf(9, 0) });
    nodes.insert(7, leaf(3, 4));
    nodes.insert(8, leaf(7, 8));
    nodes.insert(9, leaf(4, 12));
    nodes.insert(
        10,
        Node::leaf(
            9,
            "",
            vec![
                entry("", "the empty key"),
                entry("a", "same head"),
                entry("a\0", "longer by a zero"),
                (b"long key with a long value".to_vec(), Value::Run(11, long, 9)),
            ],
        ),
    );
    let log = |birth, next, entries: &[Free]| Log {
        birth,
        next,
        entries: entries.to_vec(),
        patches: vec![],
    };
    let mut logs = BTreeMap::new();
    logs.insert(13, log(5, 14, &[(20, 2, 1, 3), (22, 1, 1, 4)]));
    logs.insert(14, log(6, 15, &[(24, 2, 2, 5)]));
    let value = (0..long).map(|i| (i % 251) as u8).collect();
    let queue = |pin, head, tail, head_used, pages, free| Queue {
        pin,
        head,
        tail,
        head_used,
        pages,
        inline: vec![free],
    };
    let meta = Meta {
        version: 2,
        page_size: page_size as u64,
        uuid: 0x5a,
        txn: 9,
        page_count: 28,
        catalog: descriptor(2, 1, [3, 0, 1, 0]),
        phase: 1,
        free_pages: 11,
        ready: vec![(20, 2), (17, 3)],
        queues: [
            queue(0, 13, 15, 1, 2, (26, 1, 3, 7)),
            queue(4, 16, 16, 0, 0, (27, 1, 2, 6)),
            Queue::default(),
            Queue::default(),
            Queue { inline: vec![(0, 1, 1 << 23, 0)], ..Queue::default() },
        ],
        manifest: vec![(2, 0), (3, 0), (4, 0), (6, 0), (10, 0), (11, 2)],
        patches: vec![],
    };
    let older = Meta {
        txn: 8,
        page_count: 2,
        catalog: vec![0; 64],
        phase: 2,
        free_pages: 0,
        ready: vec![],
        queues: Default::default(),
        manifest: vec![],
        ..meta.clone()
    };
    Image {
        page_size,
        metas: [Some(meta), Some(older)],
        nodes,
        logs,
        runs: [(11, Run { value, padding: 0, crc: None })].into(),
        raw: vec![],
        pages_in_file: 30,
    }
}
