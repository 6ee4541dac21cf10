//! To be written.

use crate::Outcome;

#[derive(clap::Args, Debug)]
pub struct Faults {}

impl Faults {
    pub fn run(self) -> Outcome {
        Err("not written yet".into())
    }
}
