//! Several sorted sources as one.
//!
//! A tree of losers: the winner stands at the top, and each place below holds who lost there, so
//! that the next winner takes one comparison for each level. The first bytes of the keys behind
//! what all begin with are compared as a number (a *head*), and the keys only where that is equal.

use super::record::{Record, Span};
use super::spill::RunReader;
use crate::error::Result;
use crate::format::order::KeyOrder;
use std::cmp::Ordering;

/// A pair of a buffer: its head, and where it stands.
pub struct Entry {
    pub head: u64,
    pub at: usize,
}

/// How pairs are ordered.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Of the keys.
    pub order: KeyOrder,
    /// Bytes that all keys begin with.
    pub prefix_len: usize,
    /// Values of one key are ordered too, and each stays.
    pub sets: bool,
}

impl Rule {
    /// A number that rises with the keys.
    pub fn head(&self, key: &[u8]) -> u64 {
        match self.order.is_by_bytes() {
            true => head(key, self.prefix_len),
            false => self.order.head(key).into(),
        }
    }

    /// How two pairs are ordered; those of which only one stays are equal.
    pub fn compare(&self, a: &Record<'_>, b: &Record<'_>) -> Ordering {
        let keys = self.order.compare(a.key, b.key);
        if self.sets { keys.then_with(|| a.value.cmp(b.value)) } else { keys }
    }
}

/// The first bytes of a key behind what all keys begin with, as a number in their order.
fn head(key: &[u8], prefix_len: usize) -> u64 {
    let rest = key.get(prefix_len..).unwrap_or_default();
    if let Some(bytes) = rest.first_chunk() {
        return u64::from_be_bytes(*bytes);
    }
    let mut bytes = [0; 8];
    bytes[..rest.len()].copy_from_slice(rest);
    u64::from_be_bytes(bytes)
}

/// Pairs in their order.
pub enum Source<'a> {
    /// In memory.
    Buffer { bytes: &'a [u8], rest: std::slice::Iter<'a, Entry>, span: Span },
    /// In a file.
    Run(RunReader<'a>),
}

impl<'a> Source<'a> {
    pub fn of_buffer(bytes: &'a [u8], entries: &'a [Entry]) -> Source<'a> {
        Source::Buffer { bytes, rest: entries.iter(), span: Span::default() }
    }

    fn advance(&mut self) -> Result<bool> {
        match self {
            Source::Buffer { bytes, rest, span } => {
                let Some(entry) = rest.next() else { return Ok(false) };
                *span = Span::at(bytes, entry.at).ok_or_else(super::not_ours)?;
                Ok(true)
            }
            Source::Run(reader) => reader.advance(),
        }
    }

    fn record(&self) -> Record<'_> {
        match self {
            Source::Buffer { bytes, span, .. } => span.of(bytes),
            Source::Run(reader) => reader.record(),
        }
    }
}

/// The pairs of all sources in their order, each once.
pub struct Merge<'a> {
    sources: Vec<Source<'a>>,
    /// Of the pair that each source is at; None at its end.
    heads: Vec<Option<u64>>,
    /// The winner, then the losers of each place.
    tree: Vec<usize>,
    rule: Rule,
    /// What was handed out last, and how much of it is the key.
    last: Vec<u8>,
    last_key: Option<usize>,
    /// Pairs that sources have given.
    pub moved: u64,
}

impl<'a> Merge<'a> {
    /// The later a source stands, the later its pairs came.
    pub fn new(sources: Vec<Source<'a>>, rule: Rule) -> Result<Merge<'a>> {
        let count = sources.len();
        let mut merge = Merge {
            heads: vec![None; count],
            tree: vec![0; count.max(1)],
            sources,
            rule,
            last: Vec::new(),
            last_key: None,
            moved: 0,
        };
        for source in 0..count {
            merge.next_of(source)?;
        }
        let mut winners = vec![0; 2 * count];
        for source in 0..count {
            winners[count + source] = source;
        }
        for place in (1..count).rev() {
            let (one, other) = (winners[2 * place], winners[2 * place + 1]);
            let first = merge.is_before(one, other);
            winners[place] = if first { one } else { other };
            merge.tree[place] = if first { other } else { one };
        }
        if count > 1 {
            merge.tree[0] = winners[1];
        }
        Ok(merge)
    }

    fn next_of(&mut self, source: usize) -> Result<()> {
        let there = self.sources[source].advance()?;
        self.heads[source] = match there {
            true => Some(self.rule.head(self.sources[source].record().key)),
            false => None,
        };
        self.moved += u64::from(there);
        Ok(())
    }

    fn is_before(&self, one: usize, other: usize) -> bool {
        match (self.heads[one], self.heads[other]) {
            (None, _) => false,
            (_, None) => true,
            (Some(a), Some(b)) => match a.cmp(&b) {
                Ordering::Less => true,
                Ordering::Greater => false,
                Ordering::Equal => self.is_before_in_full(one, other),
            },
        }
    }

    fn is_before_in_full(&self, one: usize, other: usize) -> bool {
        let (a, b) = (self.sources[one].record(), self.sources[other].record());
        // Of those that are equal the last one first: it stays.
        self.rule.compare(&a, &b).then_with(|| other.cmp(&one)).is_lt()
    }

    /// Goes to the next pair; false if there is none.
    pub fn advance(&mut self) -> Result<bool> {
        loop {
            let mut winner = self.tree[0];
            if self.last_key.is_some() {
                self.next_of(winner)?;
                let mut place = (self.sources.len() + winner) / 2;
                while place > 0 {
                    if self.is_before(self.tree[place], winner) {
                        std::mem::swap(&mut self.tree[place], &mut winner);
                    }
                    place /= 2;
                }
                self.tree[0] = winner;
            }
            if self.heads.get(winner).is_none_or(Option::is_none) {
                return Ok(false);
            }
            let record = self.sources[winner].record();
            let is_same = self.last_key.is_some_and(|len| {
                let (key, value) = self.last.split_at(len);
                let last = Record { key, value, ..record };
                self.rule.compare(&record, &last).is_eq()
            });
            if !is_same {
                self.last.clear();
                self.last.extend_from_slice(record.key);
                self.last_key = Some(record.key.len());
                if self.rule.sets {
                    self.last.extend_from_slice(record.value);
                }
                return Ok(true);
            }
        }
    }

    /// The pair that it is at.
    pub fn record(&self) -> Record<'_> {
        self.sources[self.tree[0]].record()
    }
}
