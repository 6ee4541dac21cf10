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

fn line(name: &str, set: &Settings, able: &Abilities) -> String {
    let or_none = |what: Option<&'static str>| what.unwrap_or("none");
    format!(
        "| {name} | {} | {} | {} | {} | {} | {} |\n",
        set.version,
        set.durable,
        set.other,
        or_none(able.deferred),
        or_none(able.append),
        able.get_many.unwrap_or("a loop")
    )
}
