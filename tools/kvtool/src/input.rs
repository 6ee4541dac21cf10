//! What `load` and `compare` read: pairs from lines, from a directory tree or from a dump.
//!
//! One pair at a time into buffers that are used again; a file of any length needs the memory of
//! its longest pair.

use crate::database::{DEFAULT_TABLE, TableArg, identity, lock_file};
use crate::dump;
use crate::failure::{Failure, Outcome};
use crate::output::HexArg;
use crate::pairs::is_set;
use crate::signals::Interrupt;
use crate::text::{Notation, one_line};
use recto::TableOptions;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, DirEntryExt, WalkDir};

/// Where pairs come from.
#[derive(clap::Args, Debug)]
pub struct InputArgs {
    /// What to read; `-` is standard input
    #[arg(value_name = "INPUT")]
    pub input: PathBuf,

    /// What INPUT is (default: dir for a directory, dump where it begins with VERSION=3, else tsv)
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,

    /// In a directory: leave out files and directories of this name (may be given again)
    #[arg(long, value_name = "NAME")]
    pub skip: Vec<OsString>,

    /// In tsv: take the bytes as they are, with no escapes
    #[arg(long, conflicts_with = "hex")]
    pub no_escapes: bool,
}

/// The forms that input has.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Lines of key, tab, value, with \xNN escapes
    Tsv,
    /// A directory tree: relative path of each file -> its contents
    Dir,
    /// The text format of LMDB's mdb_dump and mdb_load
    Dump,
}

/// A pair, in buffers to be used again.
#[derive(Default)]
pub struct Pair {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

impl Pair {
    /// Bytes in key and value.
    pub fn len(&self) -> u64 {
        (self.key.len() + self.value.len()) as u64
    }
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// The pairs that follow belong to this table. Always comes first.
    Table(String),
    /// A pair.
    Pair,
    /// That was all.
    End,
}

/// Pairs from anywhere.
pub struct Input {
    name: String,
    /// Length of the input, where it is known beforehand.
    total: Option<u64>,
    /// The table given by the user: takes everything, whatever a dump says.
    table: Option<String>,
    /// The first table has been told.
    started: bool,
    /// What the table told last is made with, as far as the input says.
    options: TableOptions,
    /// The last number that it has given out, as far as the input says.
    sequence: u64,
    source: Source,
}

type Bytes = BufReader<Box<dyn Read>>;

enum Source {
    Tsv(Tsv),
    Dir(Dir),
    Dump(dump::Reader<Bytes>),
}

impl Input {
    /// Opens what the user named, and looks at its first bytes where it has to tell what it is.
    /// `interrupt` is told where it waits for more.
    pub fn open(
        args: &InputArgs,
        hex: HexArg,
        table: &TableArg,
        interrupt: Option<&Interrupt>,
    ) -> Outcome<Input> {
        let stdin = args.input.as_os_str() == "-";
        let meta = match stdin {
            true => None,
            false => Some(std::fs::metadata(&args.input).map_err(|e| cannot_read(&args.input, e))?),
        };
        let is_dir = meta.as_ref().is_some_and(Metadata::is_dir);
        let mut bytes = None;
        let format = match args.format {
            Some(format) => format,
            None if is_dir => Format::Dir,
            None => {
                let mut input = open_bytes(&args.input, stdin, interrupt)?;
                let start = first_bytes(&mut input).map_err(|e| cannot_read(&args.input, e))?;
                let is_dump = start == dump::FIRST_LINE;
                bytes = Some(buffered(Box::new(Cursor::new(start).chain(input))));
                if is_dump { Format::Dump } else { Format::Tsv }
            }
        };
        if is_dir != (format == Format::Dir) {
            let what = if is_dir { "a directory" } else { "no directory" };
            return Err(Failure::at(&args.input, format!("{what}; change --format or INPUT")));
        }
        if format != Format::Dir && !args.skip.is_empty() {
            return Err(Failure::said("--skip is for --format dir only; leave it out"));
        }
        if format != Format::Tsv && args.no_escapes {
            return Err(Failure::said("--no-escapes is for --format tsv only; leave it out"));
        }
        let mut bytes = || match bytes.take() {
            Some(bytes) => Ok(bytes),
            None => open_bytes(&args.input, stdin, interrupt).map(buffered),
        };
        let source = match format {
            Format::Tsv => {
                let notation = if args.no_escapes { Notation::Plain } else { hex.notation() };
                Source::Tsv(Tsv::new(bytes()?, notation))
            }
            Format::Dir => Source::Dir(Dir::new(&args.input, args.skip.clone())),
            Format::Dump => {
                let reader = dump::Reader::new(bytes()?);
                // Its names are of no use where the table is given.
                let unnamed = table.named.is_some();
                Source::Dump(if unnamed { reader.without_names() } else { reader })
            }
        };
        let name = match stdin {
            true => "standard input".into(),
            false => args.input.display().to_string(),
        };
        let total = meta.filter(Metadata::is_file).map(|m| m.len());
        Ok(Input {
            name,
            total,
            table: table.named.clone(),
            started: false,
            options: TableOptions::default(),
            sequence: 0,
            source,
        })
    }

    /// Leaves the database's own files out of a directory tree. They must exist.
    pub fn leave_out_database(&mut self, file: &Path) {
        if let Source::Dir(dir) = &mut self.source {
            let files = [file.to_owned(), lock_file(file)];
            let found = files.iter().filter_map(|f| f.metadata().ok());
            dir.own_files.extend(found.map(|meta| identity(&meta)));
        }
    }

    /// Length of the input in bytes, where it is known beforehand.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// Bytes of input read so far.
    pub fn bytes_read(&self) -> u64 {
        match &self.source {
            Source::Tsv(tsv) => tsv.read,
            Source::Dir(dir) => dir.read,
            Source::Dump(reader) => reader.bytes_read(),
        }
    }

    /// Entries of a directory tree that are neither files nor directories.
    pub fn skipped(&self) -> u64 {
        match &self.source {
            Source::Dir(dir) => dir.skipped,
            _ => 0,
        }
    }

    /// What the user should know about the input.
    pub fn notes(&self) -> &[String] {
        match &self.source {
            Source::Dump(reader) => reader.notes(),
            _ => &[],
        }
    }

    /// Whether all values of the table told last have one size, which nothing but the first says.
    pub fn is_of_one_size(&self) -> bool {
        matches!(&self.source, Source::Dump(reader) if reader.is_of_one_size())
    }

    /// What the table told last is made with, as far as the input says.
    pub fn options(&self) -> &TableOptions {
        &self.options
    }

    /// The last number that the table told last has given out, as far as the input says.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Where the pair last read stands, for messages.
    pub fn place(&self) -> String {
        match &self.source {
            Source::Tsv(tsv) => format!("{} line {}", self.name, tsv.line_number),
            Source::Dir(dir) => dir.current.display().to_string(),
            Source::Dump(reader) => format!("{} line {}", self.name, reader.line_number()),
        }
    }

    /// Reads on; a pair is put into `pair`.
    pub fn next(&mut self, pair: &mut Pair) -> Outcome<Next> {
        let is_dump = matches!(self.source, Source::Dump(_));
        if !self.started && !is_dump {
            self.started = true;
            return Ok(Next::Table(self.table.clone().unwrap_or_else(|| DEFAULT_TABLE.into())));
        }
        let more = match &mut self.source {
            Source::Tsv(tsv) => tsv.next(pair),
            Source::Dir(dir) => return dir.next(pair),
            Source::Dump(reader) => loop {
                match reader.next(&mut pair.key, &mut pair.value) {
                    // One table takes all, and is what the first of them was.
                    Ok(dump::Next::Database(_, options, _))
                        if self.table.is_some() && self.started =>
                    {
                        if is_set(&options) && !is_set(&self.options) {
                            break Err(Wrong::Line(MIXED.into()));
                        }
                    }
                    Ok(dump::Next::Database(name, options, sequence)) => {
                        (self.started, self.options) = (true, options);
                        self.sequence = sequence;
                        let name = self.table.clone().or(name);
                        return Ok(Next::Table(name.unwrap_or_else(|| DEFAULT_TABLE.into())));
                    }
                    Ok(dump::Next::Pair) => break Ok(true),
                    Ok(dump::Next::End) => break Ok(false),
                    Err(dump::ReadError::Wrong(what)) => break Err(Wrong::Line(what)),
                    Err(dump::ReadError::Io(error)) => break Err(Wrong::Io(error)),
                }
            },
        };
        match more {
            Ok(true) => Ok(Next::Pair),
            Ok(false) => Ok(Next::End),
            Err(Wrong::Io(e)) => Err(Failure::said(format!("{}: {e}", self.name))),
            Err(Wrong::Line(what)) => Err(Failure::said(format!("{}: {what}", self.place()))),
        }
    }
}

fn open_bytes(file: &Path, stdin: bool, interrupt: Option<&Interrupt>) -> Outcome<Box<dyn Read>> {
    let input: Box<dyn Read> = match stdin {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(file).map_err(|e| cannot_read(file, e))?),
    };
    Ok(match interrupt.cloned() {
        Some(interrupt) => Box::new(Interruptible { input, interrupt }),
        None => input,
    })
}

/// Input that may be long in coming.
struct Interruptible {
    input: Box<dyn Read>,
    interrupt: Interrupt,
}

impl Read for Interruptible {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.interrupt.waiting() {
            Some(_waiting) => self.input.read(out),
            None => Err(io::Error::other("interrupted")),
        }
    }
}

fn buffered(input: Box<dyn Read>) -> Bytes {
    BufReader::with_capacity(1 << 18, input)
}

/// Reads until it is known whether the input begins as a dump does, and no further: a pipe gives as
/// little at a time as it likes.
fn first_bytes(input: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut start = [0; dump::FIRST_LINE.len()];
    let mut len = 0;
    while len < start.len() && dump::FIRST_LINE.starts_with(&start[..len]) {
        match input.read(&mut start[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(start[..len].to_vec())
}

fn cannot_read(file: &Path, error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => {
            Failure::at(file, "no such file; INPUT is a file, a directory or - for standard input")
        }
        _ => Failure::at(file, error),
    }
}

const MIXED: &str = "a database with sets of values, behind one with a value for each key, and -t \
    names one table for both; leave out -t, or take the dump apart";

/// Why a line gives no pair.
enum Wrong {
    Io(io::Error),
    Line(String),
}

/// Lines of key, tab, value.
struct Tsv {
    input: Bytes,
    line: Vec<u8>,
    line_number: u64,
    read: u64,
    notation: Notation,
}

impl Tsv {
    fn new(input: Bytes, notation: Notation) -> Tsv {
        Tsv { input, line: Vec::new(), line_number: 0, read: 0, notation }
    }

    fn next(&mut self, pair: &mut Pair) -> Result<bool, Wrong> {
        self.line.clear();
        let read = self.input.read_until(b'\n', &mut self.line).map_err(Wrong::Io)?;
        if read == 0 {
            return Ok(false);
        }
        self.read += read as u64;
        self.line_number += 1;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        }
        let Some(tab) = self.line.iter().position(|&b| b == b'\t') else {
            return Err(Wrong::Line("no tab; a line is key, tab, value".into()));
        };
        let decode = |what: &str, text: &[u8], out: &mut Vec<u8>| {
            self.notation.decode(text, out).map_err(|e| Wrong::Line(format!("{what}: {e}")))
        };
        decode("key", &self.line[..tab], &mut pair.key)?;
        decode("value", &self.line[tab + 1..], &mut pair.value)?;
        Ok(true)
    }
}

/// The files of a directory tree, in the order of their names.
struct Dir {
    root: PathBuf,
    walk: Box<dyn Iterator<Item = walkdir::Result<DirEntry>>>,
    /// Device and inode of files that are not part of the input.
    own_files: Vec<(u64, u64)>,
    current: PathBuf,
    skipped: u64,
    read: u64,
}

impl Dir {
    fn new(root: &Path, skip: Vec<OsString>) -> Dir {
        let walk = WalkDir::new(root).min_depth(1).sort_by_file_name().into_iter();
        let walk =
            walk.filter_entry(move |e| e.depth() == 0 || !skip.iter().any(|n| n == e.file_name()));
        Dir {
            root: root.to_owned(),
            walk: Box::new(walk),
            own_files: Vec::new(),
            current: root.to_owned(),
            skipped: 0,
            read: 0,
        }
    }

    fn next(&mut self, pair: &mut Pair) -> Outcome<Next> {
        for entry in self.walk.by_ref() {
            let entry = entry.map_err(|e| {
                Failure::said(format!("{}; {UNREADABLE}", one_line(&e.to_string())))
            })?;
            let kind = entry.file_type();
            if kind.is_dir() || self.own_files.iter().any(|own| is_same(&entry, *own)) {
                continue;
            }
            if !kind.is_file() {
                self.skipped += 1;
                continue;
            }
            self.current = entry.into_path();
            let relative = self.current.strip_prefix(&self.root).unwrap_or(&self.current);
            pair.key.clear();
            pair.key.extend_from_slice(relative.as_os_str().as_bytes());
            pair.value.clear();
            File::open(&self.current)
                .and_then(|mut file| file.read_to_end(&mut pair.value))
                .map_err(|e| Failure::at(&self.current, format!("{e}; {UNREADABLE}")))?;
            self.read += pair.value.len() as u64;
            return Ok(Next::Pair);
        }
        Ok(Next::End)
    }
}

const UNREADABLE: &str = "make it readable, or leave it out with --skip NAME";

fn is_same(entry: &DirEntry, own: (u64, u64)) -> bool {
    // The inode costs nothing, the device a system call.
    entry.ino() == own.1 && entry.metadata().is_ok_and(|m| identity(&m) == own)
}
