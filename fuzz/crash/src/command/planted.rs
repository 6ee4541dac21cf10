//! To be written.

use crate::Outcome;

#[derive(clap::Args, Debug)]
pub struct Planted {}

impl Planted {
    pub fn run(self) -> Outcome {
        Err("not written yet".into())
    }
}
