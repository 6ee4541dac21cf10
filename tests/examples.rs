//! The programs in `examples/` run and say what they should. Cargo builds them beside the tests.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn example(name: &str) -> Command {
    // target/PROFILE/deps/THIS, and target/PROFILE/examples/NAME
    let here = std::env::current_exe().unwrap();
    let program: PathBuf =
        here.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    let mut command = Command::new(&program);
    command.current_dir(std::env::temp_dir());
    assert!(program.exists(), "{}: `cargo test --examples` builds it", program.display());
    command
}

fn said(command: &mut Command) -> String {
    let out = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(out.status.success(), "{:?}", out.status);
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn the_first_steps() {
    let dir = tempfile::tempdir().unwrap();
    let said = said(example("quick").arg(dir.path().join("x.recto")));
    assert!(said.contains("apples are red") && said.contains("blackberry is black"), "{said}");
    assert!(said.contains("3 fruits"), "{said}");
}

#[test]
fn a_load_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.recto");
    for (keys, there) in [("20000", "0 keys are there"), ("30000", "20000 keys are there")] {
        let said = said(example("load").arg(&path).arg(keys));
        assert!(said.starts_with(there), "{said}");
    }
}

#[test]
fn indexes_agree() {
    let dir = tempfile::tempdir().unwrap();
    let said = said(example("index").arg(dir.path().join("x.recto")));
    let wanted = ["is taken: true", "Bergen: 333", "Ghent: 333", "Lyon: 334", "Oslo: 0"];
    assert!(wanted.iter().all(|line| said.contains(line)), "{said}");
}

#[test]
fn a_series_is_read_by_range_and_thinned_out() {
    let dir = tempfile::tempdir().unwrap();
    let said = said(example("series").arg(dir.path().join("x.recto")));
    let wanted = [
        "samples: 2880",
        "around midnight: 7",
        "newest on the roof: 2.00 at 7190",
        "at 1234 or before: roof at 1230",
        "hour -2: -1.50 on average",
        "gone: 360, thinned out: 720",
    ];
    assert!(wanted.iter().all(|line| said.contains(line)), "{said}");
}

#[test]
fn the_nearest_ones_are_of_the_same_group() {
    let dir = tempfile::tempdir().unwrap();
    let said = said(example("neighbours").arg(dir.path().join("x.recto")));
    assert!(said.starts_with("0.000 text 77 of group 7"), "{said}");
    assert_eq!(said.lines().filter(|line| line.ends_with("of group 7")).count(), 5, "{said}");
}

/// The follower may come late to some ticks; to one of them it does not.
#[test]
fn one_process_follows_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.recto");
    let mut follower = example("follow").arg(&path).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let heard = std::thread::spawn(move || lines.map_while(Result::ok).next());
    while !heard.is_finished() {
        said(example("follow").arg(&path).args(["write", "1"]));
    }
    follower.kill().unwrap();
    follower.wait().unwrap();
    let line = heard.join().unwrap().expect("it has said something");
    assert!(line.starts_with("transaction "), "{line}");
}
