//! Everything that goes to standard output, in the form that was asked for.
//!
//! Text is for people and for `load --format tsv`: keys and values escaped (or hex), columns
//! aligned. With `--json` each line is one JSON value; keys and values are strings when they are
//! UTF-8 and `{"hex":"..."}` when they are not (always with `--hex`).

use crate::failure::{Failure, Outcome};
use crate::text::{Notation, encode_hex};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;

/// `--json`, for commands that print numbers.
#[derive(clap::Args, Debug, Clone, Copy)]
pub struct JsonArg {
    /// Print JSON, one value a line
    #[arg(long)]
    pub json: bool,
}

/// `--hex`, for commands that take or print keys and values.
#[derive(clap::Args, Debug, Clone, Copy)]
pub struct HexArg {
    /// Keys and values are hexadecimal digits, in what is read and what is printed
    #[arg(long)]
    pub hex: bool,
}

impl HexArg {
    /// The notation of keys and values.
    pub fn notation(self) -> Notation {
        if self.hex { Notation::Hex } else { Notation::Escaped }
    }
}

/// Standard output, buffered.
pub struct Output {
    out: BufWriter<File>,
    notation: Notation,
    json: bool,
}

impl Output {
    /// Standard output in the given form.
    pub fn new(notation: Notation, json: bool) -> Outcome<Output> {
        // A descriptor of our own leaves out the line buffer that `Stdout` would put in between.
        let file = io::stdout().as_fd().try_clone_to_owned().map_err(Failure::output)?;
        Ok(Output { out: BufWriter::with_capacity(1 << 16, File::from(file)), notation, json })
    }

    /// For commands that print no keys.
    pub fn plain(json: JsonArg) -> Outcome<Output> {
        Output::new(Notation::Escaped, json.json)
    }

    /// Prints a value if JSON was asked for, and nothing otherwise.
    pub fn only_json(json: JsonArg, value: &Value) -> Outcome<()> {
        if !json.json {
            return Ok(());
        }
        let mut out = Output::plain(json)?;
        out.object(value)?;
        out.finish()
    }

    /// Whether JSON was asked for.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.out.write_all(bytes).map_err(Failure::output)
    }

    /// A pair, on a line of its own.
    pub fn pair(&mut self, key: &[u8], value: &[u8]) -> Outcome<()> {
        self.write_pair(key, value).map_err(Failure::output)
    }

    fn write_pair(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        if self.json {
            self.out.write_all(b"{\"key\":")?;
            self.json_bytes(key)?;
            self.out.write_all(b",\"value\":")?;
            self.json_bytes(value)?;
            return self.out.write_all(b"}\n");
        }
        self.notation.encode(key, &mut self.out)?;
        self.out.write_all(b"\t")?;
        self.notation.encode(value, &mut self.out)?;
        self.out.write_all(b"\n")
    }

    /// The value that was asked for: alone on its line, or with its key in JSON.
    pub fn found(&mut self, key: &[u8], value: &[u8]) -> Outcome<()> {
        if self.json {
            return self.pair(key, value);
        }
        self.notation
            .encode(value, &mut self.out)
            .and_then(|()| self.out.write_all(b"\n"))
            .map_err(Failure::output)
    }

    fn json_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.notation == Notation::Escaped
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            return Ok(serde_json::to_writer(&mut self.out, text)?);
        }
        self.out.write_all(b"{\"hex\":\"")?;
        encode_hex(bytes, &mut self.out)?;
        self.out.write_all(b"\"}")
    }

    /// Bytes as a JSON value, by the same rule as in [`Output::pair`].
    pub fn json_value(&self, bytes: &[u8]) -> Value {
        if self.notation == Notation::Escaped
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            return json!(text);
        }
        let mut hex = Vec::new();
        let _ = encode_hex(bytes, &mut hex); // writing to a Vec does not fail
        json!({ "hex": String::from_utf8_lossy(&hex) })
    }

    /// Bytes in the notation that was asked for, whole.
    pub fn text_value(&self, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        let _ = self.notation.encode(bytes, &mut out); // writing to a Vec does not fail
        String::from_utf8_lossy(&out).into_owned()
    }

    /// A line of text.
    pub fn line(&mut self, text: &str) -> Outcome<()> {
        self.out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.write_all(b"\n"))
            .map_err(Failure::output)
    }

    /// A JSON value on its line.
    pub fn object(&mut self, value: &Value) -> Outcome<()> {
        serde_json::to_writer(&mut self.out, value)
            .map_err(io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"))
            .map_err(Failure::output)
    }

    /// Names and what they stand for, in two columns.
    pub fn fields(&mut self, fields: &[(&str, String)]) -> Outcome<()> {
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in fields {
            self.line(&format!("{name:width$}  {value}"))?;
        }
        Ok(())
    }

    /// Rows in columns; the first column to the left, numbers after it to the right.
    pub fn columns(&mut self, rows: &[Vec<String>]) -> Outcome<()> {
        let mut widths = Vec::new();
        for row in rows {
            widths.resize(row.len().max(widths.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in rows {
            let mut line = String::new();
            for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match i {
                    0 => line.push_str(&format!("{cell:width$}")),
                    _ => line.push_str(&format!("  {cell:>width$}")),
                }
            }
            self.line(&line)?;
        }
        Ok(())
    }

    /// Sees that everything has been written.
    pub fn finish(mut self) -> Outcome<()> {
        self.out.flush().map_err(Failure::output)
    }
}
