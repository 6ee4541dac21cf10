//! To be written.

use crate::Outcome;

#[derive(clap::Args, Debug)]
pub struct Block {}

impl Block {
    pub fn run(self) -> Outcome {
        Err("not written yet".into())
    }
}
