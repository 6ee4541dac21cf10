//! The text format that LMDB's `mdb_dump` writes and `mdb_load` reads (Berkeley DB's before them).
//!
//! A stream of databases, one after the other; lines end in `\n`:
//!
//! ```text
//! dump   = (header data)*
//! header = "VERSION=3" field* "HEADER=END"
//! field  = "format=bytevalue" | "format=print" | "type=btree" | "database=" name
//!        | "align=" bytes | "key_type=" name | "value_type=" name
//!        | "sequence=" number | "duplicates=1" | "dupsort=1" | "dupfixed=1" | "value_size=" bytes
//!        | "reversekey=1" | "integerkey=1" | "plainkey=1" | "key_order=" name | other "=" value
//! data   = (" " key, " " value)* "DATA=END"
//! ```
//!
//! A table of sets is what LMDB calls `MDB_DUPSORT`: a key stands in front of each of its values.
//! `duplicates` and `dupsort` both say so, since older readers know one of them; `dupfixed` says
//! that all values have one size, and ours alone says which.
//!
//! `reversekey` and `integerkey` are LMDB's orders of keys; ours are `plainkey`, for whole keys in
//! the order of their bytes, and `key_order`, for that of a program's own function.
//!
//! Keys and values are hexadecimal digits (bytevalue), or printable bytes as they are with `\\` for
//! a backslash and `\hh` for other bytes (print). `mdb_dump` of LMDB 0.9.24 and older leaves a
//! backslash unescaped in print format, so that such a line cannot be told from an escape; where it
//! makes no sense, the error says so.

use crate::text::{decode_hex, encode_hex, hex_byte, hex_digits};
use recto::{Order, TableKind, TableOptions};
use std::io::{self, BufRead, Write};

/// How keys and values stand in a dump.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// Hexadecimal digits.
    #[default]
    ByteValue,
    /// Printable bytes as they are.
    Print,
}

/// What every dump begins with.
pub const FIRST_LINE: &[u8] = b"VERSION=3\n";

/// Writes databases in dump format.
pub struct Writer<W> {
    out: W,
    format: Format,
}

impl<W: Write> Writer<W> {
    /// A writer of one format.
    pub fn new(out: W, format: Format) -> Writer<W> {
        Writer { out, format }
    }

    /// Begins a database; one without a name is what `mdb_load` puts into the unnamed one.
    /// `map_size` tells `mdb_load` how large a map to make, as it does not grow by itself. A name
    /// with a line break cannot stand in a header. What a table of bytes does not have is not
    /// written; `mdb_load` says of such lines that it leaves them out.
    pub fn begin(
        &mut self,
        name: Option<&str>,
        options: &TableOptions,
        sequence: u64,
        map_size: u64,
    ) -> io::Result<()> {
        let format = match self.format {
            Format::ByteValue => "bytevalue",
            Format::Print => "print",
        };
        write!(self.out, "VERSION=3\nformat={format}\n")?;
        if let Some(name) = name {
            writeln!(self.out, "database={name}")?;
        }
        if options.align > 1 {
            writeln!(self.out, "align={}", options.align)?;
        }
        for (field, name) in [("key_type", &options.key_type), ("value_type", &options.value_type)]
        {
            if !name.is_empty() {
                writeln!(self.out, "{field}={name}")?;
            }
        }
        if sequence > 0 {
            writeln!(self.out, "sequence={sequence}")?;
        }
        write!(self.out, "type=btree\nmapsize={map_size}\n")?;
        if let TableKind::Set { value_size } = options.kind {
            self.out.write_all(b"duplicates=1\ndupsort=1\n")?;
            if value_size > 0 {
                write!(self.out, "dupfixed=1\nvalue_size={value_size}\n")?;
            }
        }
        match &options.order {
            Order::Plain => self.out.write_all(b"plainkey=1\n")?,
            Order::Reversed => self.out.write_all(b"reversekey=1\n")?,
            Order::Integers => self.out.write_all(b"integerkey=1\n")?,
            Order::Custom(name) => writeln!(self.out, "key_order={name}")?,
            _ => {}
        }
        self.out.write_all(b"HEADER=END\n")
    }

    /// A pair of the database begun.
    pub fn pair(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.item(key)?;
        self.item(value)
    }

    fn item(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(b" ")?;
        match self.format {
            Format::ByteValue => encode_hex(bytes, &mut self.out)?,
            Format::Print => encode_print(bytes, &mut self.out)?,
        }
        self.out.write_all(b"\n")
    }

    /// Ends the database begun.
    pub fn end(&mut self) -> io::Result<()> {
        self.out.write_all(b"DATA=END\n")
    }

    /// What is below.
    pub fn into_inner(self) -> W {
        self.out
    }
}

/// Printable ASCII but the backslash as it is, the rest `\hh`: every reader agrees on `\5c`, not on
/// `\\`.
fn encode_print(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    let mut rest = bytes;
    loop {
        let plain = rest
            .iter()
            .position(|&b| !(0x20..0x7f).contains(&b) || b == b'\\')
            .unwrap_or(rest.len());
        out.write_all(&rest[..plain])?;
        let Some(&odd) = rest.get(plain) else { return Ok(()) };
        let [high, low] = hex_digits(odd);
        out.write_all(&[b'\\', high, low])?;
        rest = &rest[plain + 1..];
    }
}

const STRAY_BACKSLASH: &str = "a backslash without two hexadecimal digits after it; mdb_dump before \
    0.9.25 leaves backslashes as they are, so dump again without -p";

fn decode_print(text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let mut rest = text;
    while let Some(plain) = rest.iter().position(|&b| b == b'\\') {
        out.extend_from_slice(&rest[..plain]);
        let after = &rest[plain + 1..];
        let (byte, used) = match after.get(..2).and_then(hex_byte) {
            Some(byte) => (byte, 3),
            None if after.first() == Some(&b'\\') => (b'\\', 2),
            None => return Err(STRAY_BACKSLASH.into()),
        };
        out.push(byte);
        rest = &rest[plain + used..];
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// What comes next in a dump.
#[derive(PartialEq, Eq, Debug)]
pub enum Next {
    /// A database begins; its name, if it has one, what its table is made with, and the last
    /// number that this has given out.
    Database(Option<String>, TableOptions, u64),
    /// A pair has been read.
    Pair,
    /// The dump is over.
    End,
}

/// Why a dump cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// The file cannot be read.
    Io(io::Error),
    /// The line last read is wrong.
    Wrong(String),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        ReadError::Io(error)
    }
}

fn wrong<T>(what: impl Into<String>) -> Result<T, ReadError> {
    Err(ReadError::Wrong(what.into()))
}

/// Reads a dump, line by line.
pub struct Reader<R> {
    input: R,
    line: Vec<u8>,
    line_number: u64,
    bytes_read: u64,
    /// Format of the database whose pairs are being read; none between databases.
    format: Option<Format>,
    /// Names of databases are not looked at.
    unnamed: bool,
    /// Values of the database begun have one size, and it is not said which.
    of_one_size: bool,
    notes: Vec<String>,
}

impl<R: BufRead> Reader<R> {
    /// A reader at the start of a dump.
    pub fn new(input: R) -> Reader<R> {
        Reader {
            input,
            line: Vec::new(),
            line_number: 0,
            bytes_read: 0,
            format: None,
            unnamed: false,
            of_one_size: false,
            notes: Vec::new(),
        }
    }

    /// The same for who has no use for the names of databases, and takes any: none is told.
    pub fn without_names(self) -> Reader<R> {
        Reader { unnamed: true, ..self }
    }

    /// Number of the line last read, from 1.
    pub fn line_number(&self) -> u64 {
        self.line_number
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Whether all values of the database begun have one size, and nothing says which: that of the
    /// first one, as LMDB writes such dumps.
    pub fn is_of_one_size(&self) -> bool {
        self.of_one_size
    }

    /// What the user should know about the dump, so far.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Reads on to the next pair or database. A pair is put into `key` and `value`.
    pub fn next(&mut self, key: &mut Vec<u8>, value: &mut Vec<u8>) -> Result<Next, ReadError> {
        let Some(format) = self.format else { return self.header() };
        if !self.read_line()? {
            return wrong("the dump ends before DATA=END; it has been cut off");
        }
        if self.line == b"DATA=END" {
            self.format = None;
            return self.header();
        }
        self.item(format, key)?;
        if !self.read_line()? {
            return wrong("the dump ends after a key; it has been cut off");
        }
        if self.line == b"DATA=END" {
            return wrong("DATA=END where the value of the last key should be");
        }
        self.item(format, value)?;
        Ok(Next::Pair)
    }

    /// The next line without its end; false at the end of the file.
    fn read_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        let read = self.input.read_until(b'\n', &mut self.line)?;
        self.bytes_read += read as u64;
        self.line_number += u64::from(read > 0);
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        }
        Ok(read > 0)
    }

    /// Decodes the line last read.
    fn item(&self, format: Format, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let Some((b' ', text)) = self.line.split_first() else {
            return wrong("a line of data begins with a space, the last line is DATA=END");
        };
        out.clear();
        match format {
            Format::ByteValue => decode_hex(text, out),
            Format::Print => decode_print(text, out),
        }
        .map_err(ReadError::Wrong)
    }

    fn header(&mut self) -> Result<Next, ReadError> {
        let first = self.line_number == 0;
        if !self.read_line()? {
            return match first {
                true => wrong("empty, which no dump is"),
                false => Ok(Next::End),
            };
        }
        match self.line.strip_prefix(b"VERSION=") {
            Some(b"1" | b"2" | b"3") => {}
            Some(_) => return wrong("only versions 1 to 3 of the dump format are known"),
            None => return wrong("a dump begins with VERSION=3; if it is none, change --format"),
        }
        let mut header = Header::default();
        loop {
            if !self.read_line()? {
                return wrong("the dump ends before HEADER=END; it has been cut off");
            }
            if self.line == b"HEADER=END" {
                break;
            }
            if !(self.unnamed && self.line.starts_with(b"database=")) {
                header.field(&self.line)?;
            }
        }
        let kind = match (header.sets, header.value_size) {
            (true, size) => TableKind::Set { value_size: size.unwrap_or(0) },
            (false, None) => TableKind::Map,
            (false, Some(_)) => return wrong("value_size is of sets of values, with dupsort=1"),
        };
        header.options.kind = kind;
        self.of_one_size = header.of_one_size && header.value_size.is_none();
        self.format = Some(header.format);
        // Each once, however many databases it is true of.
        header.notes.retain(|note| !self.notes.contains(note));
        self.notes.append(&mut header.notes);
        Ok(Next::Database(header.name, header.options, header.sequence))
    }
}

/// What a header has said so far.
#[derive(Default)]
struct Header {
    format: Format,
    name: Option<String>,
    options: TableOptions,
    sequence: u64,
    /// Keys have sets of values.
    sets: bool,
    of_one_size: bool,
    value_size: Option<u16>,
    notes: Vec<String>,
}

impl Header {
    fn field(&mut self, line: &[u8]) -> Result<(), ReadError> {
        let Some(equals) = line.iter().position(|&b| b == b'=') else {
            return wrong("a line of the header is NAME=VALUE");
        };
        let (name, value) = (&line[..equals], &line[equals + 1..]);
        match (name, value) {
            (b"format", b"bytevalue") => self.format = Format::ByteValue,
            (b"format", b"print") => self.format = Format::Print,
            (b"format", _) => return wrong("only format=bytevalue and format=print are known"),
            (b"type", b"btree") => {}
            (b"type", _) => return wrong("only type=btree can be loaded"),
            (b"database", name) => match String::from_utf8(name.to_vec()) {
                Ok(name) if !name.is_empty() => self.name = Some(name),
                Ok(_) => {}
                Err(_) => return wrong("the database's name is not UTF-8; name a table with -t"),
            },
            (b"align", value) => {
                let align = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                let Some(align) = align else { return wrong("align is a number of bytes") };
                self.options.align = align;
            }
            (b"sequence", value) => {
                let last = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                let Some(last) = last else { return wrong("sequence is a number") };
                self.sequence = last;
            }
            (b"key_type" | b"value_type", value) => {
                let Ok(value) = String::from_utf8(value.to_vec()) else {
                    return wrong("the name of a type is not UTF-8");
                };
                let key = name == b"key_type";
                let types = &mut self.options;
                *(if key { &mut types.key_type } else { &mut types.value_type }) = value;
            }
            (b"value_size", value) => {
                let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                let Some(size @ 1..) = size else {
                    return wrong("value_size is a number of bytes from 1 to 65535");
                };
                self.value_size = Some(size);
            }
            (_, b"0") => {}
            (b"duplicates" | b"dupsort", _) => self.sets = true,
            (b"dupfixed", _) => (self.sets, self.of_one_size) = (true, true),
            (b"integerdup" | b"reversedup", _) => {
                self.sets = true;
                self.reordered(name == b"reversedup");
            }
            (b"keys", _) if value != b"1" => return wrong("a dump without keys cannot be loaded"),
            (b"reversekey", _) => self.options.order = Order::Reversed,
            (b"integerkey", _) => self.options.order = Order::Integers,
            (b"plainkey", _) => self.options.order = Order::Plain,
            (b"key_order", value) => {
                let order = value.escape_ascii();
                self.notes.push(format!(
                    "keys were in the order \"{order}\" of a program's own, and are in the order of their \
                     bytes now"
                ));
            }
            // Sizes of the map, of pages and of the reader table: recto needs none of them.
            _ => {}
        }
        Ok(())
    }

    /// The order of the values is another one here.
    fn reordered(&mut self, reversed: bool) {
        let was = if reversed { "reverse byte" } else { "integer" };
        let note = format!("values were in {was} order, and are in the order of their bytes now");
        self.notes.push(note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs = Vec<(Option<String>, Vec<u8>, Vec<u8>)>;

    fn read(text: &[u8]) -> Result<Pairs, String> {
        let mut reader = Reader::new(text);
        let (mut key, mut value, mut name) = (Vec::new(), Vec::new(), None);
        let mut pairs = Vec::new();
        loop {
            match reader.next(&mut key, &mut value) {
                Ok(Next::Database(n, ..)) => name = n,
                Ok(Next::Pair) => pairs.push((name.clone(), key.clone(), value.clone())),
                Ok(Next::End) => return Ok(pairs),
                Err(ReadError::Wrong(what)) => {
                    return Err(format!("{}: {what}", reader.line_number()));
                }
                Err(ReadError::Io(error)) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn reads_what_it_wrote() {
        let all: Vec<u8> = (0..=255).collect();
        for format in [Format::ByteValue, Format::Print] {
            let mut writer = Writer::new(Vec::new(), format);
            let mut expected = Pairs::new();
            for name in [None, Some("second"), Some("a = b ")] {
                writer.begin(name, &TableOptions::default(), 0, 1 << 20).unwrap();
                for (key, value) in [(&b""[..], &all[..]), (b"key", b""), (&all, b"\\00\\\\x")] {
                    writer.pair(key, value).unwrap();
                    expected.push((name.map(String::from), key.to_vec(), value.to_vec()));
                }
                writer.end().unwrap();
            }
            assert_eq!(read(&writer.into_inner()).unwrap(), expected);
        }
    }

    #[test]
    fn takes_both_ways_to_write_a_backslash() {
        let text = b"VERSION=3\nformat=print\nHEADER=END\n a\\\\b\n c\\5Cd\xff\nDATA=END\n";
        assert_eq!(read(text).unwrap(), [(None, b"a\\b".to_vec(), b"c\\d\xff".to_vec())]);
    }

    #[test]
    fn names_the_line_that_is_wrong() {
        let head = "VERSION=3\nformat=bytevalue\nHEADER=END\n";
        for (text, expected) in [
            ("".to_string(), "0: empty"),
            ("key\tvalue\n".to_string(), "1: a dump begins with"),
            ("VERSION=4\n".to_string(), "1: only versions"),
            ("VERSION=3\nHEADER\n".to_string(), "2: a line of the header"),
            ("VERSION=3\ntype=recno\n".to_string(), "2: only type=btree"),
            ("VERSION=3\nformat=other\n".to_string(), "2: only format="),
            ("VERSION=3\nvalue_size=0\n".to_string(), "2: value_size is a number"),
            ("VERSION=3\nvalue_size=65536\n".to_string(), "2: value_size is a number"),
            ("VERSION=3\nsequence=-1\n".to_string(), "2: sequence is a number"),
            ("VERSION=3\nvalue_size=4\nHEADER=END\n".to_string(), "3: value_size is of sets"),
            ("VERSION=3\ntype=btree\n".to_string(), "2: the dump ends before HEADER=END"),
            (format!("{head} 00\n"), "4: the dump ends after a key"),
            (format!("{head} 00\n 00\n"), "5: the dump ends before DATA=END"),
            (format!("{head} 00\nDATA=END\n"), "5: DATA=END where the value"),
            (format!("{head}00\n"), "4: a line of data begins with a space"),
            (format!("{head} 0\n 00\nDATA=END\n"), "4: 1 hexadecimal digits"),
            (format!("{head} 00\n 0x\nDATA=END\n"), "5: `0x` is no hex"),
            (format!("{head} 00\n 00\nDATA=END\nmore\n"), "7: a dump begins with"),
            ("VERSION=3\nformat=print\nHEADER=END\n a\\b\n".to_string(), "4: a backslash without"),
        ] {
            let error = read(text.as_bytes()).unwrap_err();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_name_that_is_not_used_may_be_anything() {
        let text = b"VERSION=3\ndatabase=caf\xe9\nHEADER=END\n 61\n 62\nDATA=END\n";
        assert!(read(text).unwrap_err().contains("not UTF-8; name a table with -t"));
        let mut reader = Reader::new(&text[..]).without_names();
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let options = TableOptions::default();
        assert_eq!(reader.next(&mut key, &mut value).unwrap(), Next::Database(None, options, 0));
        assert_eq!(reader.next(&mut key, &mut value).unwrap(), Next::Pair);
    }

    #[test]
    fn options_of_a_table_come_back() {
        for (options, sequence) in [
            TableOptions::aligned(64),
            TableOptions::default().types("u64", ""),
            TableOptions::aligned(8).types("(u32, str)", "[f64]"),
            TableOptions::set(),
            TableOptions::set_of(8).types("str", "u64"),
            TableOptions::default().ordered(Order::Plain),
            TableOptions::set().ordered(Order::Reversed),
            TableOptions::aligned(8).ordered(Order::Integers),
        ]
        .into_iter()
        .zip([0, 1, 0, u64::MAX, 7, 0, 1, 2, 3])
        {
            let mut writer = Writer::new(Vec::new(), Format::Print);
            writer.begin(Some("t"), &options, sequence, 1 << 20).unwrap();
            writer.end().unwrap();
            let text = writer.into_inner();
            let mut reader = Reader::new(&text[..]);
            let next = reader.next(&mut Vec::new(), &mut Vec::new()).unwrap();
            assert_eq!(next, Next::Database(Some("t".into()), options, sequence));
        }
        let wrong = read(b"VERSION=3\nalign=many\nHEADER=END\nDATA=END\n").unwrap_err();
        assert_eq!(wrong, "2: align is a number of bytes");
        let wrong = read(b"VERSION=3\nkey_type=\xff\nHEADER=END\nDATA=END\n").unwrap_err();
        assert_eq!(wrong, "2: the name of a type is not UTF-8");
    }

    #[test]
    fn a_flag_that_is_off_is_no_flag() {
        assert_eq!(read(b"VERSION=3\ndupsort=0\nHEADER=END\nDATA=END\n").unwrap(), []);
    }

    /// Only the program has the function.
    #[test]
    fn an_order_of_a_programs_own_is_told() {
        let options = TableOptions::default().ordered(Order::Custom("of words".into()));
        let mut writer = Writer::new(Vec::new(), Format::Print);
        writer.begin(Some("t"), &options, 0, 1 << 20).unwrap();
        writer.end().unwrap();
        let text = writer.into_inner();
        let mut reader = Reader::new(&text[..]);
        let next = reader.next(&mut Vec::new(), &mut Vec::new()).unwrap();
        assert_eq!(next, Next::Database(Some("t".into()), TableOptions::default(), 0));
        let [note] = reader.notes() else { panic!("{:?}", reader.notes()) };
        assert!(note.starts_with("keys were in the order \"of words\""), "{note}");
    }

    #[test]
    fn flags_of_sets() {
        let sets = TableOptions::set();
        for (flags, of_one_size, notes) in [
            ("duplicates=1\n", false, &[][..]),
            ("dupsort=1\n", false, &[]),
            ("duplicates=1\ndupsort=1\ndupfixed=1\n", true, &[]),
            ("dupsort=1\ndupfixed=1\nintegerdup=1\n", true, &["values were in integer order"]),
            ("dupsort=1\nreversedup=1\n", false, &["values were in reverse byte order"]),
        ] {
            let text = format!("VERSION=3\n{flags}HEADER=END\nDATA=END\n");
            let mut reader = Reader::new(text.as_bytes());
            let next = reader.next(&mut Vec::new(), &mut Vec::new()).unwrap();
            assert_eq!(next, Next::Database(None, sets.clone(), 0), "{flags}");
            assert_eq!(reader.is_of_one_size(), of_one_size, "{flags}");
            assert_eq!(reader.notes().len(), notes.len(), "{flags}");
            for (note, begins) in reader.notes().iter().zip(notes) {
                assert!(note.starts_with(begins), "{note}");
            }
        }
    }
}
