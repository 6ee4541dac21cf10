//! `compare settings`: how each engine is set, as a table in Markdown that stands in README.md too.

use crate::engine::{Abilities, Engine, Settings};
use crate::for_each_engine;

pub fn print() {
    print!("{}", table());
}

/// The table.
pub fn table() -> String {
    let mut table = String::from(
        "| engine | version | a durable commit | else | crash-consistent without sync | append or bulk | many keys at once |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    macro_rules! line {
        ($engine:ty) => {
            table += &line(<$engine>::NAME, &<$engine>::SETTINGS, &<$engine>::ABILITIES);
        };
    }
    for_each_engine!(line);
    table
}

/// The versions that Cargo.lock holds.
fn versions(packages: &[&str]) -> String {
    let lock = include_str!("../Cargo.lock");
    let version = |package: &str| {
        let (_, rest) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
        Some(rest.split_once('"')?.0)
    };
    let all = packages.iter().map(|p| format!("{p} {}", version(p).unwrap_or("unknown")));
    all.collect::<Vec<_>>().join(", ")
}

fn line(name: &str, set: &Settings, able: &Abilities) -> String {
    let or_none = |what: Option<&'static str>| what.unwrap_or("none");
    format!(
        "| {name} | {} | {} | {} | {} | {} | {} |\n",
        versions(set.packages),
        set.durable,
        set.other,
        or_none(able.deferred),
        or_none(able.append),
        able.get_many.unwrap_or("a loop")
    )
}
