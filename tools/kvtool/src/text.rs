//! Keys and values as text, both ways.
//!
//! Two notations. *Escaped*: printable ASCII stands for itself, a backslash is `\\`, every other
//! byte is `\xNN`; so a tab or a newline never stands in it, and lines of `key TAB value` come
//! apart again. On input `\n`, `\t`, `\r` and `\0` are taken too, and bytes beyond ASCII as they
//! are. *Hex*: two digits a byte.

use std::io::{self, Write};

/// A notation for bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notation {
    /// Printable ASCII, and backslash escapes for the rest.
    Escaped,
    /// Two hexadecimal digits a byte.
    Hex,
    /// The bytes themselves. For input only.
    Plain,
}

impl Notation {
    /// Puts the bytes that `text` stands for into `out`, in place of what was there. The error says
    /// what is wrong with the text.
    pub fn decode(self, text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        out.clear();
        match self {
            Notation::Escaped => unescape(text, out),
            Notation::Hex => decode_hex(text, out),
            Notation::Plain => {
                out.extend_from_slice(text);
                Ok(())
            }
        }
    }

    /// Writes `bytes` in this notation.
    pub fn encode(self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        match self {
            Notation::Escaped => escape(bytes, out),
            Notation::Hex => encode_hex(bytes, out),
            Notation::Plain => out.write_all(bytes),
        }
    }

    /// The same as a string, for messages. Never longer than about 200 characters.
    pub fn shown(self, bytes: &[u8]) -> String {
        const MOST: usize = 64;
        let mut out = Vec::new();
        // Writing to a Vec does not fail, and both notations are ASCII.
        let _ = self.encode(&bytes[..bytes.len().min(MOST)], &mut out);
        if bytes.len() > MOST {
            out.extend_from_slice(b"...");
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}

fn is_plain(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte) && byte != b'\\'
}

fn escape(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    let mut rest = bytes;
    loop {
        let plain = rest.iter().position(|&b| !is_plain(b)).unwrap_or(rest.len());
        out.write_all(&rest[..plain])?;
        let Some(&odd) = rest.get(plain) else { return Ok(()) };
        if odd == b'\\' {
            out.write_all(b"\\\\")?;
        } else {
            let [high, low] = hex_digits(odd);
            out.write_all(&[b'\\', b'x', high, low])?;
        }
        rest = &rest[plain + 1..];
    }
}

fn unescape(text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let mut rest = text;
    while let Some(plain) = rest.iter().position(|&b| b == b'\\') {
        out.extend_from_slice(&rest[..plain]);
        let (byte, used) = match rest[plain + 1..] {
            [b'x', ref digits @ ..] => match digits.get(..2).and_then(hex_byte) {
                Some(byte) => (byte, 4),
                None => return Err("\\x wants two hexadecimal digits after it".into()),
            },
            [b'\\', ..] => (b'\\', 2),
            [b'n', ..] => (b'\n', 2),
            [b't', ..] => (b'\t', 2),
            [b'r', ..] => (b'\r', 2),
            [b'0', ..] => (0, 2),
            _ => return Err("a backslash is written \\\\ and any byte \\xNN".into()),
        };
        out.push(byte);
        rest = &rest[plain + used..];
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// Writes `bytes` as lower-case hexadecimal digits.
pub fn encode_hex(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    let mut digits = [0; 512];
    for chunk in bytes.chunks(digits.len() / 2) {
        for (pair, &byte) in digits.chunks_exact_mut(2).zip(chunk) {
            pair.copy_from_slice(&hex_digits(byte));
        }
        out.write_all(&digits[..chunk.len() * 2])?;
    }
    Ok(())
}

/// Appends the bytes that pairs of hexadecimal digits stand for.
pub fn decode_hex(text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    if !text.len().is_multiple_of(2) {
        return Err(format!("{} hexadecimal digits are no whole bytes", text.len()));
    }
    out.reserve(text.len() / 2);
    for pair in text.chunks_exact(2) {
        match hex_byte(pair) {
            Some(byte) => out.push(byte),
            None => {
                return Err(format!("`{}` is no hexadecimal byte", Notation::Escaped.shown(pair)));
            }
        }
    }
    Ok(())
}

/// The two digits of a byte.
pub fn hex_digits(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// The byte that two digits stand for; none if they are not two, or no digits.
pub fn hex_byte(digits: &[u8]) -> Option<u8> {
    let value = |digit: u8| char::from(digit).to_digit(16).map(|v| v as u8);
    match digits {
        [high, low] => Some(value(*high)? << 4 | value(*low)?),
        _ => None,
    }
}

/// The text with control characters made visible, so that it stays on its line.
pub fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// A number of bytes in the unit that fits.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut number, mut unit) = (bytes as f64, "bytes");
    for next in UNITS {
        if number < 999.5 {
            break;
        }
        (number, unit) = (number / 1024.0, next);
    }
    match number {
        _ if unit == "bytes" => format!("{bytes} {unit}"),
        n if n < 99.95 => format!("{n:.1} {unit}"),
        n => format!("{n:.0} {unit}"),
    }
}

/// A time in its two largest units.
pub fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let at = UNITS.iter().position(|(length, _)| seconds >= *length).unwrap_or(3);
    let (length, unit) = UNITS[at];
    let whole = format!("{} {unit}", seconds / length);
    match UNITS.get(at + 1) {
        Some((next, name)) if seconds % length / next > 0 => {
            format!("{whole} {} {name}", seconds % length / next)
        }
        _ => whole,
    }
}

/// A number with its digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(notation: Notation, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        notation.encode(bytes, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn decoded(notation: Notation, text: &str) -> Result<Vec<u8>, String> {
        let mut out = b"left over".to_vec();
        notation.decode(text.as_bytes(), &mut out).map(|()| out)
    }

    #[test]
    fn every_byte_survives_both_notations() {
        let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
        for notation in [Notation::Escaped, Notation::Hex] {
            for len in [0, 1, 255, 256, 257, all.len()] {
                let text = encoded(notation, &all[..len]);
                assert!(text.bytes().all(|b| (0x20..0x7f).contains(&b)), "{text}");
                assert_eq!(decoded(notation, &text).unwrap(), &all[..len]);
            }
        }
    }

    #[test]
    fn escapes_as_documented() {
        assert_eq!(encoded(Notation::Escaped, b"a b\\\n\xc3\xa9~\x7f"), r"a b\\\x0a\xc3\xa9~\x7f");
        assert_eq!(decoded(Notation::Escaped, r"\\x41\x41\n\t\r\0").unwrap(), b"\\x41A\n\t\r\0");
        assert_eq!(decoded(Notation::Escaped, "\u{e9}").unwrap(), b"\xc3\xa9");
        for bad in [r"\", r"a\q", r"\x", r"\x4", r"\xg0", r"\X41"] {
            assert!(decoded(Notation::Escaped, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hex_as_documented() {
        assert_eq!(decoded(Notation::Hex, "00fFA5").unwrap(), b"\x00\xff\xa5");
        for bad in ["0", "000", "0g", "g0", " 00"] {
            assert!(decoded(Notation::Hex, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_in_groups() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn messages_stay_on_one_line() {
        assert_eq!(one_line("a\nb\u{1b}c\u{e9}"), "a\\nb\\u{1b}c\u{e9}");
    }
}
