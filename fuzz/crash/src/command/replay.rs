//! To be written.

use crate::Outcome;

#[derive(clap::Args, Debug)]
pub struct Replay {}

impl Replay {
    pub fn run(self) -> Outcome {
        Err("not written yet".into())
    }
}
