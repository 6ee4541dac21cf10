//! Makes the seed corpora again:
//!
//!     cargo run --manifest-path fuzz/Cargo.toml --example seeds
//!
//! For `open_bytes` the smaller of the databases that `crash hostile` starts from; for `dump_text` the dumps of kvtool's own tests; for
//! `ops`, `api` and `node` streams of numbers, as any bytes are operations.

use recto_crash::hostile::{Case, Options, origins};
use std::path::{Path, PathBuf};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Longest seed of `open_bytes`, but for the one with a free-log page.
const MOST_BYTES: usize = 150 << 10;

/// The directory of a target's seeds. What was found and kept there stays.
fn corpus(target: &str) -> Outcome<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}

fn open_bytes() -> Outcome<()> {
    let dir = corpus("open_bytes")?;
    for (i, origin) in origins::all()?.into_iter().enumerate() {
        if origin.image.len() > MOST_BYTES && origin.name != "small log" {
            continue;
        }
        let bits = [
            Options::REPAIR,
            0,
            Options::REPAIR | Options::DIRECT,
            Options::REPAIR | Options::LOCK_FILE,
            Options::REPAIR | Options::TWO_PHASE,
        ][i % 5];
        let case = Case { options: Options::new(bits, origin.page_size), image: origin.image };
        let name = origin.name.replace(' ', "-");
        println!("open_bytes/{name}: {} bytes", case.image.len() + 1);
        std::fs::write(dir.join(name), case.encode())?;
    }
    Ok(())
}

fn dump_text() -> Outcome<()> {
    let dir = corpus("dump_text")?;
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/kvtool/tests/data");
    for entry in std::fs::read_dir(data)? {
        let entry = entry?;
        std::fs::copy(entry.path(), dir.join(entry.file_name()))?;
    }
    Ok(())
}

fn numbers(target: &str) -> Outcome<()> {
    let dir = corpus(target)?;
    for (name, seed, len) in [("short", 1u64, 64), ("middle", 2, 512), ("long", 3, 2048)] {
        let mut state = seed;
        let next = || {
            // Mostly small numbers, which name operations and lengths.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let byte = (state >> 56) as u8;
            if state >> 40 & 3 == 0 { byte } else { byte % 12 }
        };
        std::fs::write(dir.join(name), std::iter::repeat_with(next).take(len).collect::<Vec<_>>())?;
    }
    Ok(())
}

fn main() -> Outcome<()> {
    open_bytes()?;
    dump_text()?;
    numbers("ops")?;
    numbers("api")?;
    numbers("node")
}
