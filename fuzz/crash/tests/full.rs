//! A small part of `crash full`: work on full file systems that share blocks, where these can be
//! mounted.

use std::process::Command;

#[test]
fn a_full_disk_that_shares_blocks_is_no_signal() {
    let out =
        Command::new(env!("CARGO_BIN_EXE_crash")).args(["full", "--rounds", "3"]).output().unwrap();
    let said = [out.stdout, out.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat();
    println!("{said}");
    assert_eq!(out.status.code(), Some(0), "{said}");
}
