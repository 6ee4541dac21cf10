//! To be written.

use crate::Outcome;

#[derive(clap::Args, Debug)]
pub struct Hostile {}

impl Hostile {
    pub fn run(self) -> Outcome {
        Err("not written yet".into())
    }
}
