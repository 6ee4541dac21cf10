//! What one recording is made of: the file system, and the options of the database on it.
//!
//! A plan is written as one word of text, `fs=ext4,seed=7,...`: children get it as an argument, and
//! it stands beside an image that was kept.

use super::Result;
use recto::{Builder, Database, Sink};
use std::fmt;
use std::str::FromStr;

/// A file system and how it is made and mounted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, clap::ValueEnum)]
pub enum FileSystem {
    /// Blocks of 4 KiB
    Ext4,
    /// Blocks of 1 KiB
    #[value(name = "ext4-1k")]
    Ext4Small,
    /// Blocks of 4 KiB, data=writeback
    #[value(name = "ext4-writeback")]
    Ext4Writeback,
    /// As mkfs makes it
    Xfs,
    /// One copy of everything; recto turns copy-on-write off for its file
    Btrfs,
}

impl FileSystem {
    /// The name users give.
    pub fn name(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "ext4",
            FileSystem::Ext4Small => "ext4-1k",
            FileSystem::Ext4Writeback => "ext4-writeback",
            FileSystem::Xfs => "xfs",
            FileSystem::Btrfs => "btrfs",
        }
    }

    /// The name the kernel gives.
    pub fn kind(self) -> &'static str {
        match self {
            FileSystem::Xfs => "xfs",
            FileSystem::Btrfs => "btrfs",
            _ => "ext4",
        }
    }

    /// The program that makes one.
    pub fn make_tool(self) -> String {
        format!("mkfs.{}", self.kind())
    }

    /// Its arguments before the device.
    pub fn make_arguments(self) -> &'static [&'static str] {
        const LAZY: &str = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";
        match self {
            FileSystem::Ext4 | FileSystem::Ext4Writeback => &["-q", "-F", "-b", "4096", "-E", LAZY],
            FileSystem::Ext4Small => &["-q", "-F", "-b", "1024", "-E", LAZY],
            FileSystem::Xfs => &["-q", "-f", "-K"],
            FileSystem::Btrfs => &["-q", "-f", "-K", "-m", "single", "-d", "single"],
        }
    }

    /// Bytes of the disk: the least that its mkfs takes, or a little more.
    pub fn disk_bytes(self) -> u64 {
        match self {
            FileSystem::Xfs => 300 << 20,
            FileSystem::Btrfs => 128 << 20,
            _ => 48 << 20,
        }
    }

    fn mount_options(self) -> &'static str {
        match self {
            FileSystem::Ext4Writeback => "data=writeback",
            _ => "",
        }
    }
}

/// A protocol that is wrong on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Wrong {
    /// None.
    #[default]
    Nothing,
    /// Commits are acknowledged between build and sync.
    EarlyAck,
    /// Commits are acknowledged and never synced.
    NoSync,
    /// The file system passes no flush on to the disk.
    NoBarrier,
}

impl Wrong {
    /// All that are wrong.
    pub const ALL: [Wrong; 3] = [Wrong::EarlyAck, Wrong::NoSync, Wrong::NoBarrier];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Wrong::Nothing => "nothing",
            Wrong::EarlyAck => "early-ack",
            Wrong::NoSync => "no-sync",
            Wrong::NoBarrier => "no-barrier",
        }
    }
}

/// One recording.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Where the database lies.
    pub system: FileSystem,
    /// Everything random comes from it.
    pub seed: u64,
    /// Transactions.
    pub commits: u64,
    /// The direct sink instead of the staged one.
    pub direct: bool,
    /// Bytes of a page.
    pub page_size: usize,
    /// Manifest entries allowed: a small number makes nearly every commit two-phase.
    pub manifest: usize,
    /// The processes open the database at the same time, and race for making it.
    pub together: bool,
    /// What is wrong on purpose.
    pub wrong: Wrong,
}

impl Plan {
    /// A plan whose options depend on the seed.
    pub fn random(system: FileSystem, seed: u64, commits: u64, wrong: Wrong) -> Plan {
        let mut rng = fastrand::Rng::with_seed(seed);
        Plan {
            system,
            seed,
            commits,
            direct: rng.bool(),
            page_size: if rng.u8(..4) == 0 { 16384 } else { 4096 },
            manifest: if rng.u8(..3) == 0 { rng.usize(..6) } else { usize::MAX },
            together: rng.bool(),
            wrong,
        }
    }

    /// How the database is opened.
    pub fn builder(&self) -> Builder {
        let mut builder = Database::builder();
        builder.sink(if self.direct { Sink::Direct } else { Sink::Staged });
        builder.page_size(self.page_size).manifest_limit(self.manifest);
        builder
    }

    /// How the file system is mounted.
    pub fn mount_options(&self) -> String {
        let mut options = vec![];
        let own = self.system.mount_options();
        if !own.is_empty() {
            options.push(own);
        }
        if self.wrong == Wrong::NoBarrier {
            options.push("nobarrier");
        }
        options.join(",")
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { system, seed, commits, direct, page_size, manifest, together, wrong } = self;
        let (system, wrong) = (system.name(), wrong.name());
        write!(
            f,
            "fs={system},seed={seed},commits={commits},direct={direct},page={page_size},\
             manifest={manifest},together={together},wrong={wrong}"
        )
    }
}

impl FromStr for Plan {
    type Err = super::Error;

    fn from_str(text: &str) -> Result<Plan> {
        use clap::ValueEnum;
        let mut plan = Plan::random(FileSystem::Ext4, 0, 0, Wrong::Nothing);
        for field in text.trim().split(',') {
            let (name, value) = field.split_once('=').ok_or("a plan is name=value, ...")?;
            match name {
                "fs" => plan.system = FileSystem::from_str(value, false)?,
                "seed" => plan.seed = value.parse()?,
                "commits" => plan.commits = value.parse()?,
                "direct" => plan.direct = value.parse()?,
                "page" => plan.page_size = value.parse()?,
                "manifest" => plan.manifest = value.parse()?,
                "together" => plan.together = value.parse()?,
                "wrong" => {
                    let all = Wrong::ALL.into_iter().chain([Wrong::Nothing]);
                    let found = all.into_iter().find(|w| w.name() == value);
                    plan.wrong = found.ok_or("no such wrong protocol")?;
                }
                _ => return Err(format!("a plan has no {name:?}").into()),
            }
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_as_text() {
        for seed in 0..20 {
            let wrong = Wrong::ALL[seed as usize % 3];
            let plan = Plan::random(FileSystem::Ext4Small, seed, 9, wrong);
            let text = plan.to_string();
            assert_eq!(text.parse::<Plan>().unwrap().to_string(), text);
        }
        assert!("fs=ext9".parse::<Plan>().is_err());
        assert!("speed=7".parse::<Plan>().is_err());
    }
}
