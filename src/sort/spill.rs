//! Runs in a file: blocks of whole pairs one behind the other. Where each is, how long, and its
//! checksum stay in memory, so that nothing else is taken for it. Large values stand in a file of
//! their own, once, however often their keys are merged.

use super::Settings;
use super::record::{self, Record, Span};
use crate::error::{Error, Result};
use crate::os;
use crc32fast::Hasher;
use parking_lot::Mutex;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file without a name.
struct TempFile {
    file: File,
    directory: PathBuf,
}

impl TempFile {
    fn create(directory: &Path) -> Result<TempFile> {
        match os::create_nameless(directory) {
            Ok(file) => Ok(TempFile { file, directory: directory.to_owned() }),
            Err(e) => Err(failed("make a temporary file in", directory, e)),
        }
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        os::pwrite_all(&self.file, at, bytes)
            .map_err(|e| failed("write a temporary file in", &self.directory, e))
    }

    /// Reads what was written there with this checksum.
    fn read(&self, at: u64, bytes: &mut [u8], crc: u32) -> Result<()> {
        self.file.read_exact_at(bytes, at).map_err(|e| self.unreadable(e))?;
        if checksum(at, bytes) != crc {
            let why = format!("{} bytes at {at} are not those that were written", bytes.len());
            return Err(self.unreadable(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        Ok(())
    }

    fn unreadable(&self, source: io::Error) -> Error {
        failed("read a temporary file in", &self.directory, source)
    }
}

/// Also where a disk is full: it is not that of the database.
fn failed(what: &'static str, directory: &Path, source: io::Error) -> Error {
    Error::Io { what, path: Some(directory.to_owned()), source }
}

fn checksum(at: u64, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&at.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// Where large values stand.
pub struct Values {
    directory: PathBuf,
    /// None before the first one.
    file: Mutex<Option<(TempFile, u64)>>,
}

/// Bytes of what leads to a large value: where it is, its length, its checksum.
const REFERENCE: usize = 20;

impl Values {
    pub fn new(directory: &Path) -> Values {
        Values { directory: directory.to_owned(), file: Mutex::default() }
    }

    /// Keeps a value; what leads to it.
    pub fn put(&self, value: &[u8]) -> Result<[u8; REFERENCE]> {
        let mut file = self.file.lock();
        let (file, end) = match &mut *file {
            Some(file) => file,
            file => file.insert((TempFile::create(&self.directory)?, 0)),
        };
        file.write(*end, value)?;
        let mut reference = [0; REFERENCE];
        reference[..8].copy_from_slice(&end.to_le_bytes());
        reference[8..16].copy_from_slice(&(value.len() as u64).to_le_bytes());
        reference[16..].copy_from_slice(&checksum(*end, value).to_le_bytes());
        *end += value.len() as u64;
        Ok(reference)
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> u64 {
        self.file.lock().as_ref().map_or(0, |(_, end)| *end)
    }

    /// The value that a reference leads to, in place of what was in `value`.
    pub fn get(&self, reference: &[u8], value: &mut Vec<u8>) -> Result<()> {
        let word = |at: usize| Some(u64::from_le_bytes(*reference.get(at..)?.first_chunk()?));
        let crc = reference.get(16..).and_then(|bytes| bytes.first_chunk());
        let file = self.file.lock();
        let (Some((file, _)), Some(at), Some(len), Some(crc)) = (&*file, word(0), word(8), crc)
        else {
            return Err(super::not_ours());
        };
        let len = usize::try_from(len).map_err(|_| super::not_ours())?;
        value.clear();
        if value.try_reserve_exact(len).is_err() {
            return Err(super::no_memory("get memory for a large value"));
        }
        value.resize(len, 0);
        file.read(at, value, u32::from_le_bytes(*crc))
    }
}

/// A file that runs are appended to.
pub struct Output {
    file: Arc<TempFile>,
    end: u64,
}

impl Output {
    pub fn create(directory: &Path) -> Result<Output> {
        Ok(Output { file: Arc::new(TempFile::create(directory)?), end: 0 })
    }
}

/// Pairs in their order, in a file that is gone with the last of its runs.
pub struct Run {
    file: Arc<TempFile>,
    blocks: Vec<Block>,
    pub pairs: u64,
    pub bytes: u64,
}

#[derive(Clone, Copy)]
struct Block {
    at: u64,
    len: usize,
    crc: u32,
}

/// Writes a run.
pub struct RunWriter<'o> {
    output: &'o mut Output,
    values: &'o Values,
    /// Bytes after which a block is full.
    full: usize,
    large: usize,
    block: Vec<u8>,
    run: Run,
}

impl<'o> RunWriter<'o> {
    pub fn new(output: &'o mut Output, values: &'o Values, settings: &Settings) -> RunWriter<'o> {
        let run = Run { file: Arc::clone(&output.file), blocks: Vec::new(), pairs: 0, bytes: 0 };
        let (full, large) = (settings.block(), settings.large());
        RunWriter { output, values, full, large, block: Vec::new(), run }
    }

    /// Appends a pair; whether a block has been written.
    pub fn add(&mut self, record: &Record<'_>) -> Result<bool> {
        if !record.stored && record.value.len() > self.large {
            let reference = self.values.put(record.value)?;
            record::put(&mut self.block, record.key, &reference, true);
        } else {
            self.block.extend_from_slice(record.bytes);
        }
        self.run.pairs += 1;
        let full = self.block.len() >= self.full;
        if full {
            self.write()?;
        }
        Ok(full)
    }

    fn write(&mut self) -> Result<()> {
        let (at, len) = (self.output.end, self.block.len());
        self.output.file.write(at, &self.block)?;
        self.run.blocks.push(Block { at, len, crc: checksum(at, &self.block) });
        self.output.end += len as u64;
        self.run.bytes += len as u64;
        self.block.clear();
        Ok(())
    }

    pub fn finish(mut self) -> Result<Run> {
        if !self.block.is_empty() {
            self.write()?;
        }
        Ok(self.run)
    }
}

/// Reads a run, block by block.
pub struct RunReader<'r> {
    run: &'r Run,
    next: usize,
    block: Vec<u8>,
    span: Span,
}

impl<'r> RunReader<'r> {
    /// Before its first pair.
    pub fn new(run: &'r Run) -> RunReader<'r> {
        RunReader { run, next: 0, block: Vec::new(), span: Span::default() }
    }

    /// Goes to the next pair; false if there is none.
    pub fn advance(&mut self) -> Result<bool> {
        let mut at = self.span.end;
        if at == self.block.len() {
            let Some(&Block { at: from, len, crc }) = self.run.blocks.get(self.next) else {
                return Ok(false);
            };
            self.next += 1;
            self.block.resize(len, 0);
            self.run.file.read(from, &mut self.block, crc)?;
            at = 0;
        }
        self.span = Span::at(&self.block, at).ok_or_else(super::not_ours)?;
        Ok(true)
    }

    /// The pair that it is at.
    pub fn record(&self) -> Record<'_> {
        self.span.of(&self.block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::order::KeyOrder;

    fn settings(directory: &Path) -> Settings {
        let directory = directory.to_owned();
        Settings {
            sets: false,
            order: KeyOrder::PACKED,
            memory: 64 << 10,
            directory,
            max_key_len: 2022,
        }
    }

    /// A run of 1,000 pairs, one of them with a large value.
    fn run(output: &mut Output, values: &Values, settings: &Settings) -> Run {
        let mut writer = RunWriter::new(output, values, settings);
        for n in 0..1000u32 {
            let mut bytes = Vec::new();
            let value = vec![n as u8; if n == 500 { 50_000 } else { 20 }];
            record::put(&mut bytes, &n.to_be_bytes(), &value, false);
            writer.add(&Span::at(&bytes, 0).unwrap().of(&bytes)).unwrap();
        }
        writer.finish().unwrap()
    }

    /// Reads all of it; how many pairs there were before an error.
    fn read(run: &Run, values: &Values) -> (u32, Option<Error>) {
        let (mut reader, mut count, mut value) = (RunReader::new(run), 0u32, Vec::new());
        loop {
            match reader.advance() {
                Ok(true) => {}
                Ok(false) => return (count, None),
                Err(e) => return (count, Some(e)),
            }
            let record = reader.record();
            assert_eq!(record.key, count.to_be_bytes());
            assert_eq!(record.stored, count == 500);
            if record.stored {
                if let Err(e) = values.get(record.value, &mut value) {
                    return (count, Some(e));
                }
                assert_eq!(value, vec![500u32 as u8; 50_000]);
            } else {
                assert_eq!(record.value, vec![count as u8; 20]);
            }
            count += 1;
        }
    }

    #[test]
    fn a_file_that_gives_other_bytes_is_an_error_that_names_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        let values = Values::new(dir.path());
        let mut output = Output::create(dir.path()).unwrap();
        let runs = [run(&mut output, &values, &settings), run(&mut output, &values, &settings)];
        for run in &runs {
            assert_eq!((run.pairs, run.blocks.len() > 20), (1000, true));
            let (count, error) = read(run, &values);
            assert!(count == 1000 && error.is_none(), "{count}: {error:?}");
        }
        let names_it = |error: Option<Error>| {
            let error = error.expect("damage is noticed").to_string();
            assert!(error.contains("read a temporary file in"), "{error}");
            assert!(error.contains(dir.path().to_str().unwrap()), "{error}");
        };
        let file = &output.file.file;
        // One bit; a block that stands in the place of another; an end that is missing.
        let Block { at, len, .. } = runs[0].blocks[3];
        let mut sound = vec![0; len];
        file.read_exact_at(&mut sound, at).unwrap();
        let mut damaged = sound.clone();
        damaged[17] ^= 4;
        file.write_all_at(&damaged, at).unwrap();
        names_it(read(&runs[0], &values).1);
        file.write_all_at(&sound, at).unwrap();
        assert_eq!(read(&runs[0], &values).0, 1000);
        let same = runs[1].blocks[3];
        assert_eq!(same.len, len, "the same content, elsewhere");
        let mut there = runs[1].blocks.clone();
        there[3] = Block { at: same.at, ..runs[0].blocks[3] };
        let moved = Run { file: Arc::clone(&output.file), blocks: there, pairs: 1000, bytes: 0 };
        names_it(read(&moved, &values).1);
        // A large value.
        let large = values.file.lock();
        large.as_ref().unwrap().0.file.write_all_at(&[9], 40_000).unwrap();
        drop(large);
        let (count, error) = read(&runs[0], &values);
        assert_eq!(count, 500);
        names_it(error);
        file.set_len(output.end - 1).unwrap();
        let mut end = RunReader::new(&runs[1]);
        end.next = runs[1].blocks.len() - 1;
        names_it(end.advance().err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "files have no names");
    }
}
