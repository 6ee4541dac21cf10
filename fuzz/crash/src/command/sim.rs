//! To be written.

use crate::Outcome;

#[derive(clap::Args, Debug)]
pub struct Sim {}

impl Sim {
    pub fn run(self) -> Outcome {
        Err("not written yet".into())
    }
}
