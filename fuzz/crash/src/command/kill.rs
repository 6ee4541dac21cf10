//! To be written.

use crate::Outcome;

#[derive(clap::Args, Debug)]
pub struct Kill {}

impl Kill {
    pub fn run(self) -> Outcome {
        Err("not written yet".into())
    }
}
