//! Types of keys and values that are derived, and random ones, for the tests of typed tables.
#![allow(dead_code)] // each test uses some of it

use fastrand::Rng;
use recto::typed::{Key, Value};

/// Short text over few characters: zero bytes, those that are escaped, the ends of the alphabet.
pub fn text(rng: &mut Rng) -> String {
    let characters = ['\0', '\u{1}', '\u{2}', 'a', 'b', '\u{7f}', 'é', '\u{10ffff}'];
    (0..rng.usize(..5)).map(|_| characters[rng.usize(..characters.len())]).collect()
}

pub fn bytes(rng: &mut Rng) -> Vec<u8> {
    (0..rng.usize(..5)).map(|_| [0, 1, 2, 0x7f, 0xfe, 0xff][rng.usize(..6)]).collect()
}

#[derive(Key, Value, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Level {
    Debug,
    Warning = 7,
    Error,
    Other(String, u8),
    Named { a: u16, b: Option<String> },
}

#[derive(Key, Value, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ticket {
    pub queue: String,
    pub level: Level,
    pub number: u32,
    pub note: String,
}

#[derive(Key, Value, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[recto(name = "user id")]
pub struct UserId(pub u64);

#[derive(Key, Value, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Both<A, B> {
    pub a: A,
    pub b: B,
}

#[derive(Key, Value, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Nothing;

#[derive(Key, Value, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Hash<const N: usize> {
    pub r#type: u8,
    pub out: [u8; N],
}

pub fn level(rng: &mut Rng) -> Level {
    match rng.u8(..5) {
        0 => Level::Debug,
        1 => Level::Warning,
        2 => Level::Error,
        3 => Level::Other(text(rng), rng.u8(..2)),
        _ => Level::Named { a: rng.u16(..3), b: rng.bool().then(|| text(rng)) },
    }
}

pub fn ticket(rng: &mut Rng) -> Ticket {
    Ticket { queue: text(rng), level: level(rng), number: rng.u32(..2), note: text(rng) }
}

#[derive(Clone, Copy, PartialEq, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Place {
    pub x: f64,
    pub y: f64,
    pub kind: u32,
    pub flags: u32,
}
