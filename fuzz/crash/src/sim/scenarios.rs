//! Scripts that were written by hand: everything that stores to the file in a different way.

use super::script::Script;
use recto::Sink;

const SHORT: &str = include_str!("../../scenarios/short.txt");
const LONG: &str = include_str!("../../scenarios/long.txt");
const FREE_LOG: &str = include_str!("../../scenarios/free-log.txt");
const POOL: &str = include_str!("../../scenarios/pool.txt");

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

/// A free log with pages of its own, and a file that becomes smaller.
pub fn free_log(sink: Sink) -> Script {
    parsed("free-log", FREE_LOG, sink)
}

/// Free pages that are sorted, more than once, by a writer that has few in its lists.
pub fn pool(sink: Sink) -> Script {
    parsed("pool", POOL, sink)
}

/// All of them, by name.
pub fn all(direct: bool) -> Vec<(&'static str, Script)> {
    let sink = if direct { Sink::Direct } else { Sink::Staged };
    vec![
        ("short", short(sink)),
        ("long", long(sink)),
        ("free-log", free_log(sink)),
        ("pool", pool(sink)),
    ]
}
