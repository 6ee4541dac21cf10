//! A slice of `crash kill`: some cycles, every special case once, and proof that something would be
//! found.
//!
//! No result depends on how fast the machine is: who does not come to his point in time is killed
//! where he is.

use recto_crash::kill::point::{POINTS, UNNAMED};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Plays, and returns the exit code and what was said.
fn play(args: &[&str]) -> (i32, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_crash")).arg("kill").args(args).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    (out.status.code().unwrap_or(-1), said + &errors)
}

#[test]
fn sixty_cycles_and_every_special_case() {
    let dir = tempfile::tempdir().unwrap();
    let seed = fastrand::u64(..).to_string();
    for place in [None, dir.path().to_str()] {
        let mut args = vec!["--cycles", "30", "--seed", &seed];
        // The special cases once, where other users can come to.
        match place {
            None => args.extend(["--special", "1"]),
            Some(dir) => args.extend(["--special", "0", "--dir", dir]),
        }
        let (code, said) = play(&args);
        println!("{said}");
        assert_eq!(code, 0, "{said}");
    }
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 0, "files are left behind");
}

#[test]
fn acknowledging_too_early_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--cycles", "1000", "--special", "0", "--early", "--dir"];
    let (code, said) = play(&[&args[..], &[dir.path().to_str().unwrap()]].concat());
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("LOST"), "{said}");
    // The files of the loss are kept.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        // The simulation has steps of its own in its tests.
        if path.is_dir() && !path.ends_with("sim") {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_point_of_the_engine_is_in_the_list() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src"), &mut files);
    let mut engine = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for call in text.split("step(\"").skip(1) {
            engine.insert(call.split('"').next().unwrap().to_owned());
        }
    }
    let points = POINTS.iter().map(|(name, _)| *name);
    let listed: BTreeSet<String> = points.chain(UNNAMED).map(str::to_owned).collect();
    assert_eq!(engine, listed);
    assert_eq!(listed.len(), POINTS.len() + UNNAMED.len(), "a point is listed twice");
}
