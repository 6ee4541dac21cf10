//! Scripts that were written by hand: everything that stores to the file in a different way.

use super::script::Script;
use recto::Sink;

const SHORT: &str = include_str!("../../scenarios/short.txt");
const LONG: &str = include_str!("../../scenarios/long.txt");

fn parsed(name: &str, text: &str, sink: Sink) -> Script {
    let mut script = Script::parse(text).unwrap_or_else(|e| panic!("scenario {name}: {e}"));
    script.setup.sink = sink;
    script
}

/// One of each kind of commit.
pub fn short(sink: Sink) -> Script {
    parsed("short", SHORT, sink)
}

/// All kinds of changes.
pub fn long(sink: Sink) -> Script {
    parsed("long", LONG, sink)
}

/// All of them, by name.
pub fn all(direct: bool) -> Vec<(&'static str, Script)> {
    let sink = if direct { Sink::Direct } else { Sink::Staged };
    vec![("short", short(sink)), ("long", long(sink))]
}
