//! The blocks of the disk, and the log of what happened to them.
//!
//! A disk has two layers of sparse blocks: `base`, and `over` it what was written since. A crash
//! state is a base with a layer that was put together from the log; dropping the layer undoes the
//! state and everything that its recovery wrote.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// Bytes of a block.
pub const BLOCK: usize = 4096;

type Block = Arc<[u8; BLOCK]>;

static ZEROS: LazyLock<Block> = LazyLock::new(|| Arc::new([0; BLOCK]));

/// Blocks by number; the others are not in this layer.
pub type Layer = HashMap<u64, Block>;

/// Something that happened to the disk, or that a process did meanwhile.
pub enum Entry {
    /// Bytes at an offset.
    Write(u64, Vec<u8>),
    /// What was written before is safe.
    Flush,
    /// A process had got so far.
    Note(Note),
}

/// What the processes say about their progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Note {
    /// From here on transaction n may be found.
    Begun(u64),
    /// From here on nothing older than transaction n may be found; 0 is the empty database.
    Acked(u64),
}

impl std::str::FromStr for Note {
    type Err = ();

    fn from_str(line: &str) -> Result<Note, ()> {
        let (word, n) = line.trim().split_once(' ').ok_or(())?;
        let n = n.parse().map_err(|_| ())?;
        match word {
            "begun" => Ok(Note::Begun(n)),
            "acked" => Ok(Note::Acked(n)),
            _ => Err(()),
        }
    }
}

/// A disk that remembers.
pub struct Disk {
    /// Bytes.
    pub size: u64,
    /// What a state starts from.
    pub base: Layer,
    /// What was written since.
    pub over: Layer,
    /// What happened since somebody took the log.
    pub log: Vec<Entry>,
    /// Reads so far, to prove that the kernel did not answer from its memory of another state.
    pub reads: u64,
}

impl Disk {
    /// A disk full of zeros.
    pub fn new(size: u64) -> Disk {
        Disk { size, base: Layer::new(), over: Layer::new(), log: Vec::new(), reads: 0 }
    }

    /// Bytes at an offset; fewer at the end of the disk.
    pub fn read(&mut self, offset: u64, len: usize) -> Vec<u8> {
        self.reads += 1;
        let end = offset.saturating_add(len as u64).min(self.size);
        let mut out = Vec::with_capacity(len);
        let mut at = offset;
        while at < end {
            let (number, from) = (at / BLOCK as u64, at as usize % BLOCK);
            let to = BLOCK.min(from + (end - at) as usize);
            let block = self.over.get(&number).or_else(|| self.base.get(&number));
            out.extend_from_slice(&block.unwrap_or(&ZEROS)[from..to]);
            at += (to - from) as u64;
        }
        out
    }

    /// A write of the loop device.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        put(&mut self.over, &self.base, offset, bytes);
        self.log.push(Entry::Write(offset, bytes.to_vec()));
    }

    /// Writes to the base, below the layer.
    pub fn write_base(&mut self, offset: u64, bytes: &[u8]) {
        put(&mut self.base, &Layer::new(), offset, bytes);
    }

    /// Writes to the layer without a trace in the log.
    pub fn write_over(&mut self, offset: u64, bytes: &[u8]) {
        put(&mut self.over, &self.base, offset, bytes);
    }

    /// Makes what the disk holds now the base.
    pub fn settle(&mut self) {
        self.base.extend(self.over.drain());
        self.log.clear();
    }
}

/// Puts bytes into a layer; the rest of a block that is not in it yet comes from the layer below.
fn put(layer: &mut Layer, below: &Layer, offset: u64, bytes: &[u8]) {
    let mut done = 0;
    while done < bytes.len() {
        let at = offset + done as u64;
        let (number, from) = (at / BLOCK as u64, at as usize % BLOCK);
        let len = (BLOCK - from).min(bytes.len() - done);
        let part = &bytes[done..done + len];
        if len == BLOCK && part.iter().all(|&b| b == 0) {
            layer.insert(number, Arc::clone(&ZEROS));
        } else {
            let block = layer
                .entry(number)
                .or_insert_with(|| Arc::clone(below.get(&number).unwrap_or(&ZEROS)));
            Arc::make_mut(block)[from..from + len].copy_from_slice(part);
        }
        done += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_cover_each_other() {
        let mut disk = Disk::new(20_000);
        disk.write_base(4_000, &[1; 200]);
        disk.write(4_100, &[2; 10]);
        let mut want = vec![1; 100];
        want.extend([2; 10]);
        want.extend([1; 90]);
        want.extend([0; 50]);
        assert_eq!(disk.read(4_000, 250), want);
        disk.write(0, &[0; 8192]);
        assert_eq!(disk.read(4_090, 20), [0; 20]);
        disk.over.clear();
        assert_eq!(disk.read(4_000, 200), [1; 200]);
        assert_eq!(disk.read(19_990, 100).len(), 10);
        assert_eq!(disk.log.len(), 2);
    }

    #[test]
    fn notes() {
        assert_eq!("begun 7\n".parse(), Ok(Note::Begun(7)));
        assert_eq!("acked 0".parse(), Ok(Note::Acked(0)));
        assert!("acked".parse::<Note>().is_err());
    }
}
