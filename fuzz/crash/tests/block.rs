//! A small part of `crash block`: power cuts below each file system that can be made here.
//!
//! The campaign runs as a process of its own, as its users run it: it leaves the mount namespace,
//! which a thread of a test process should not.

use recto_crash::block::{FileSystem, missing};
use std::process::Command;

/// Runs `crash block`; what it printed, and its exit code.
fn crash_block(arguments: &[&str]) -> (String, Option<i32>) {
    let keep = tempfile::tempdir().unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_crash"))
        .args(["block", "--keep"])
        .arg(keep.path())
        .args(arguments)
        .output()
        .unwrap();
    let text = [out.stdout, out.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat();
    (text, out.status.code())
}

/// So many states of a recording, none of which may have lost anything.
fn cut_below(system: FileSystem, states: usize) {
    if let Some(why) = missing(&[system]) {
        println!("{} is left out: {why}", system.name());
        return;
    }
    let (states_text, name) = (states.to_string(), system.name());
    let arguments = ["--fs", name, "--seed", "1", "--states", &states_text];
    let (text, code) = crash_block(&arguments);
    assert_eq!(code, Some(0), "{text}");
    let line = text.lines().find(|l| l.starts_with("seed 1: ")).expect(&text);
    let judged: usize = line.split_whitespace().nth(2).and_then(|n| n.parse().ok()).expect(&text);
    // Second cuts come on top.
    assert!(judged > states && line.ends_with(" 0 lost something"), "{text}");
}

#[test]
fn ext4() {
    cut_below(FileSystem::Ext4, 60);
}

#[test]
fn ext4_small_blocks() {
    cut_below(FileSystem::Ext4Small, 30);
}

#[test]
fn xfs() {
    cut_below(FileSystem::Xfs, 30);
}

#[test]
fn btrfs() {
    cut_below(FileSystem::Btrfs, 30);
}

/// Acknowledged too early, never synced, synced without a flush: all found, or the tests above mean
/// nothing.
#[test]
fn wrong_protocols_are_found() {
    if let Some(why) = missing(&[FileSystem::Ext4]) {
        println!("left out: {why}");
        return;
    }
    let (text, code) = crash_block(&["--planted", "--seed", "1"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("NOT FOUND"), "{text}");
}
