//! How programs of the machine are written down.

use crate::machine::Op::*;
use crate::machine::*;

/// A number from the registers.
#[macro_export]
macro_rules! value {
    (|$r:ident| $e:expr) => {
        Box::new(move |$r: &Registers| -> u8 { $e }) as Value
    };
}
/// A number.
#[macro_export]
macro_rules! constant {
    ($e:expr) => {{
        let z = $e as u8;
        Box::new(move |_r: &Registers| -> u8 { z }) as Value
    }};
}
/// A computation in the registers; the label to go on at, if not the next step.
#[macro_export]
macro_rules! compute {
    (|$r:ident| $e:block) => {
        Compute(Box::new(move |$r: &mut Registers| -> Option<u8> { $e }))
    };
}
/// What must hold here.
pub fn assert_that(m: &'static str, g: impl Fn(&Registers) -> bool + 'static) -> Op {
    Assert(Box::new(g), m)
}
/// Goes on at a label.
pub fn jmp(n: u8) -> Op {
    Compute(Box::new(move |_| Some(n)))
}
/// Names of locations.
pub fn names(v: &[&str]) -> Vec<String> {
    v.iter().map(|s| s.to_string()).collect()
}
/// A model that is searched up to five million states.
pub fn model(
    memory: Memory,
    locations: usize,
    locks: usize,
    init: Vec<(usize, u8)>,
    progs: Vec<Program>,
    kills: u8,
    nm: Vec<String>,
) -> Model {
    Model {
        locations,
        locks,
        init,
        progs,
        kills,
        memory,
        max: 5_000_000,
        names: nm,
        deadlock_ok: false,
    }
}
/// All registers zero.
pub const Z: Registers = [0; REGISTERS];
