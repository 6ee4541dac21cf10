# The everyday commands, for `just` (https://just.systems); `just` alone lists them. Each is one line that can be typed
# as well, and CONTRIBUTING.md says more about them.

_list:
    @just --list --unsorted

# The tests of one room of src/: `just room shared`
room name:
    cargo test --lib {{ name }}::

# One file of tests/: `just topic handles`
topic name:
    cargo test --test {{ name }}

# kvtool's tests; what it prints is written anew with `just tool KVTOOL_SNAPSHOTS=write`
tool *env:
    env {{ env }} cargo test -p kvtool

# All tests but those of the crash harness: half of the time
quick:
    cargo test --workspace --exclude recto-crash

# What the compiler, clippy, rustfmt and rustdoc have to say
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy -p recto --lib -- -D warnings
    cargo clippy -p kvtool --lib --bins -- -D warnings
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps

# The snapshot of the public API (tests/public_api.txt), written anew
api:
    RECTO_API=write cargo test --test public_api

# Everything that a change must pass
ci:
    .ci/run

# A verb of the crash harness: `just crash sim --seconds 60`
crash *args:
    cargo run --release -p recto-crash -- {{ args }}

# One rule taken away: is it found? `just planted OwnFreesReused`
planted name:
    cargo run --release -p recto-crash -- planted --only {{ name }} --seconds-each 60

# The commit words and the reader table in the model checker loom
loom:
    RUSTFLAGS='--cfg loom' cargo test --lib --release --target-dir target/loom shared::loom

# The models of the protocols, their small configurations
models:
    cargo run --quiet --release --locked --manifest-path fuzz/models/commit/Cargo.toml -- matrix --quick
    cargo run --quiet --release --locked --manifest-path fuzz/models/commit/Cargo.toml -- planted --quick
    cargo run --quiet --release --locked --manifest-path fuzz/models/readers/Cargo.toml -- --quick

# A target of cargo-fuzz, for two minutes: `just fuzz ops` (needs `cargo install cargo-fuzz`)
fuzz target:
    RUSTC_BOOTSTRAP=1 cargo fuzz run {{ target }} -- -max_total_time=120

# Instructions of the parts, beside what is kept (needs valgrind)
counts:
    cargo bench -p recto-benches --bench counts
