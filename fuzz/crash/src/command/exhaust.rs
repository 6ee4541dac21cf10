//! To be written.

use crate::Outcome;

#[derive(clap::Args, Debug)]
pub struct Exhaust {}

impl Exhaust {
    pub fn run(self) -> Outcome {
        Err("not written yet".into())
    }
}
