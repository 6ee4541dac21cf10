//! `kvtool completions`: what shells and manuals want to know of the arguments, made from the
//! arguments themselves.

use super::Status;
use crate::Cli;
use crate::failure::{Failure, Outcome};
use clap::CommandFactory;
use std::io;
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kvtool completions bash > ~/.local/share/bash-completion/completions/kvtool
  kvtool completions zsh > ~/.zfunc/_kvtool
  kvtool completions fish > ~/.config/fish/completions/kvtool.fish
  kvtool completions --man /usr/local/share/man/man1")]
pub struct Completions {
    /// The shell
    #[arg(required_unless_present = "man", conflicts_with = "man")]
    shell: Option<clap_complete::Shell>,
    /// Write a manual page for each verb into this directory
    #[arg(long, value_name = "DIR")]
    man: Option<PathBuf>,
}

impl Completions {
    pub fn run(self) -> Outcome<Status> {
        let mut command = Cli::command();
        if let Some(shell) = self.shell {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut command, "kvtool", &mut text);
            io::Write::write_all(&mut io::stdout(), &text).map_err(Failure::output)?;
        }
        if let Some(dir) = &self.man {
            let fail = |e| Failure::at(dir, e);
            std::fs::create_dir_all(dir).map_err(fail)?;
            clap_mangen::generate_to(command, dir).map_err(fail)?;
        }
        Ok(Status::Fine)
    }
}
