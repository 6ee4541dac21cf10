//! What somebody sees who runs `crash` for the first time: the verdict in a line, a failure in
//! words, and how to see it again.

use std::process::{Command, Output};

fn crash(args: &[&str], bug: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crash"));
    let Output { status, stdout, stderr } =
        command.args(args).env("CRASH_PLANTED", bug).output().expect("crash runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn the_verdict_is_the_first_line_and_the_last() {
    let (code, out, _) = crash(&["sim", "--scripts", "3", "--threads", "1"], "");
    assert_eq!(code, Some(0), "{out}");
    let (first, last) = (out.lines().next(), out.lines().last());
    assert!(first.is_some_and(|line| line.starts_with("no data lost: 3 scripts, ")), "{out}");
    assert_eq!(first, last);
}

#[test]
fn a_failure_says_what_was_found_and_allowed_and_how_to_see_it_again() {
    let bug = "AcknowledgedWithoutSync";
    let (code, out, _) = crash(&["sim", "--seed", "1", "--threads", "1"], bug);
    assert_eq!(code, Some(1), "{out}");
    let words = "found an empty database; allowed: main 1 key, wide 1 key [";
    assert!(out.contains(words), "{out}");
    assert!(out.starts_with("FAILED: 1 of 1 scripts, "), "{out}");
    let again = out.lines().find_map(|line| line.strip_prefix("again: ")).expect("a command");
    let args: Vec<_> = again.split(' ').skip(1).collect();
    let (code, out, _) = crash(&args, bug);
    assert_eq!(code, Some(1));
    assert!(out.starts_with("FAILED: ") && out.contains(words), "{out}");
}

#[test]
fn a_short_exhaust_has_no_table_of_faults() {
    let (code, out, _) = crash(&["exhaust", "--operations", "1", "--threads", "1"], "");
    assert_eq!(code, Some(0), "{out}");
    assert!(!out.contains("never reached") && !out.contains("other's turn"), "{out}");
}

#[test]
fn what_is_missing_is_named() {
    let (code, _, err) = crash(&["replay"], "");
    assert_eq!((code, err.as_str()), (Some(2), "crash: what to run: FILE or --seed SEED\n"));
    let (code, _, err) = crash(&["replay", "/no/such.txt"], "");
    assert_eq!(code, Some(2));
    assert!(err.starts_with("crash: /no/such.txt: No such file"), "{err}");
    let (code, out, _) = crash(
        &[
            "planted",
            "--only",
            "CutBeforeDurable",
            "--threads",
            "1",
            "--cuts",
            "500",
            "--hunter",
            "pitfalls",
        ],
        "",
    );
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("is the control"), "{out}");
}
