//! Any bytes as a dump: an error that names a line, or pairs that come back from both formats of a
//! dump written anew.
#![no_main]

use kvtool::dump::{Format, Next, ReadError, Reader, Writer};
use kvtool::text::{Notation, one_line};
use libfuzzer_sys::fuzz_target;
use recto::TableOptions;

/// What a header says of a table: its name, what it is made with, its last number.
type Header = (Option<String>, TableOptions, u64);
/// Tables with their pairs, in order.
type Tables = Vec<(Header, Vec<(Vec<u8>, Vec<u8>)>)>;

fuzz_target!(|data: &[u8]| {
    notations(data);
    let (tables, whole) = read(data);
    if !whole {
        return;
    }
    for format in [Format::ByteValue, Format::Print] {
        let mut writer = Writer::new(Vec::new(), format);
        for ((name, options, number), pairs) in &tables {
            writer.begin(name.as_deref(), options, *number, 1 << 20).expect("memory suffices");
            pairs.iter().for_each(|(k, v)| writer.pair(k, v).expect("memory suffices"));
            writer.end().expect("memory suffices");
        }
        let text = writer.into_inner();
        if !tables.is_empty() {
            assert_eq!(read(&text), (tables.clone(), true));
        }
    }
});

/// What can be read, and whether that is all.
fn read(data: &[u8]) -> (Tables, bool) {
    let mut reader = Reader::new(data);
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let mut tables = Tables::new();
    loop {
        match reader.next(&mut key, &mut value) {
            Ok(Next::Database(name, options, number)) => {
                tables.push(((name, options, number), Vec::new()));
            }
            Ok(Next::Pair) => {
                let (_, pairs) = tables.last_mut().expect("pairs follow a header");
                pairs.push((key.clone(), value.clone()));
            }
            Ok(Next::End) => {
                assert_eq!(reader.bytes_read(), data.len() as u64);
                return (tables, true);
            }
            Err(ReadError::Wrong(what)) => {
                assert!(!what.is_empty() && reader.bytes_read() <= data.len() as u64);
                assert!(reader.line_number() <= data.len() as u64 && reader.notes().len() < 8);
                return (tables, false);
            }
            Err(ReadError::Io(e)) => panic!("{e}"),
        }
    }
}

/// Keys and values on a command line, both ways.
fn notations(data: &[u8]) {
    for notation in [Notation::Escaped, Notation::Hex] {
        let (mut text, mut back) = (Vec::new(), Vec::new());
        notation.encode(data, &mut text).expect("memory suffices");
        notation.decode(&text, &mut back).expect("what was written can be read");
        assert_eq!(back, data);
        assert!(!text.iter().any(|&b| b < b' ' || b > b'~'));
        // Any text is an error or bytes.
        let _ = notation.decode(data, &mut back);
        assert!(notation.shown(data).len() <= 300);
    }
    assert!(!one_line(&String::from_utf8_lossy(data)).contains(char::is_control));
}
