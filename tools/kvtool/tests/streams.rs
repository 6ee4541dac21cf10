//! Pipes that close, disks that are full, loads that are killed, and others at work on the same
//! file.

mod common;
use common::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// More output than any pipe holds.
fn filled() -> Place {
    let p = Place::new();
    let lines: String = (0..5000).map(|i| format!("key{i:06}\t{}\n", "value".repeat(50))).collect();
    p.load(&lines);
    p
}

#[test]
fn a_closed_pipe_is_no_error() {
    let p = filled();
    for (verb, args) in [
        ("scan", vec![]),
        ("scan", vec!["--json"]),
        ("scan", vec!["--hex", "--reverse"]),
        ("dump", vec![]),
        ("dump", vec!["-a", "-p"]),
    ] {
        let mut command = p.command(verb, &args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(!first.is_empty());
        // The reader is gone: the next write meets a closed pipe.
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(wait(&mut child, &command), Some(0), "{verb} {args:?}: {stderr}");
        assert_eq!(stderr, "", "{verb} {args:?}");
    }
}

#[test]
fn a_pipe_closed_from_the_start_is_no_error() {
    let p = filled();
    for (verb, args) in
        [("info", vec![]), ("tables", vec![]), ("get", vec!["key000001"]), ("check", vec![])]
    {
        let mut command = p.command(verb, &args);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(writer).stderr(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(wait(&mut child, &command), Some(0), "{verb}: {stderr}");
        assert_eq!(stderr, "", "{verb}");
    }
}

/// A flipped bit in every leaf but the first.
fn damaged() -> Place {
    const PAGE: usize = 4096;
    let p = filled();
    p.run("put", ["more", "1", "-t", "other"]).ok();
    let mut bytes = std::fs::read(p.db()).unwrap();
    let leaves: Vec<usize> = (2..bytes.len() / PAGE).filter(|n| bytes[n * PAGE + 4] == 2).collect();
    for leaf in &leaves[10..] {
        bytes[leaf * PAGE + 2000] ^= 1;
    }
    std::fs::write(p.db(), bytes).unwrap();
    p
}

/// Who reads on in a script goes by the exit status.
#[test]
fn a_closed_pipe_does_not_hide_what_was_found() {
    let (p, sound) = (damaged(), filled());
    let other = p.file("other.tsv", "key000001\tother\n");
    let (other, new) = (other.to_str().unwrap(), p.path("new"));
    for (verb, args) in [
        ("check", vec![]),
        ("check", vec!["--json"]),
        ("stat", vec![]),
        ("salvage", vec!["-o", new.to_str().unwrap()]),
        ("compare", vec![other, "--limit", "1000000"]),
    ] {
        let at = if verb == "compare" { &sound } else { &p };
        let mut command = at.command(verb, &args);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(writer).stderr(Stdio::null()).stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        assert_eq!(wait(&mut child, &command), Some(1), "{verb} {args:?}");
    }
    assert!(new.exists());
}

/// What is done stays done, and the message says so.
#[test]
fn a_full_standard_output_does_not_hide_what_was_done() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
        return eprintln!("skipped: there is no /dev/full");
    };
    let p = Place::new();
    p.load("a\t1\nb\t2\n");
    let old = p.file("old", include_bytes!("version-1/version-1.bin"));
    let input = p.file("in.tsv", "c\t3\n");
    let said = |verb: &str, db: &std::path::Path, args: &[&str]| {
        let mut command = kvtool();
        command.arg(verb).arg(db).args(args).stdout(full.try_clone().unwrap());
        let out = command.stdin(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(2), "{verb}: {stderr}");
        assert!(stderr.contains("standard output: "), "{verb}: {stderr}");
        stderr
    };
    let db = p.db();
    let stderr = said("load", &db, &[input.to_str().unwrap()]);
    assert!(stderr.contains("all of this input is loaded and committed"), "{stderr}");
    for (verb, args) in [
        ("put", &["d", "4", "--json"][..]),
        ("del", &["--prefix", "a"]),
        ("del", &["b", "--json"]),
        ("create", &["-t", "one", "--json"]),
        ("rename", &["one", "two", "--json"]),
        ("copy-table", &["two", "three", "--json"]),
        ("clear", &["two", "--json"]),
        ("drop", &["two", "--json"]),
    ] {
        let stderr = said(verb, &db, args);
        assert!(stderr.contains("done and committed"), "{verb}: {stderr}");
    }
    assert!(said("del", &db, &["--prefix", "a"]).contains("nothing to delete"));
    assert_eq!(p.scan(), "c\t3\nd\t4\n");
    for (verb, from) in [("salvage", &db), ("upgrade", &old)] {
        let new = p.path(verb);
        let stderr = said(verb, from, &["-o", new.to_str().unwrap()]);
        assert!(stderr.contains("the new database is there") && new.exists(), "{stderr}");
    }
    p.assert_clean();
}

#[test]
fn a_full_disk_is_an_error() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
        eprintln!("skipped: there is no /dev/full");
        return;
    };
    let p = filled();
    for verb in ["scan", "dump", "info", "check"] {
        let mut command = p.command(verb, NO_ARGS);
        command.stdout(full.try_clone().unwrap()).stderr(Stdio::piped());
        let out = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{verb}: {stderr}");
        assert!(stderr.contains("standard output"), "{verb}: {stderr}");
    }
    assert!(p.run("dump", ["-o", "/dev/full"]).said(2).contains("/dev/full"));
}

/// `ulimit -f`, whose signal would end the process without a word.
#[test]
fn a_file_size_limit_is_an_error() {
    let p = filled();
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -f 4; exec \"$0\" dump \"$1\" -o \"$2\""]);
    shell.arg(env!("CARGO_BIN_EXE_kvtool")).arg(p.db()).arg(p.path("out"));
    let said = finish(shell, b"").said(2);
    assert!(said.contains("out: ") && said.contains("choose another place"), "{said}");
}

/// Waits until `done` says so; fails if it never does.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Who may not write to the lock file has no slot there, and is shown all the same.
#[test]
fn info_shows_a_reader_without_write_access() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    let p = filled();
    let open_to_all = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open_to_all(p.dir.path(), 0o755);
    open_to_all(&p.db(), 0o644);
    open_to_all(&lock_of(&p.db()), 0o644);
    // One that may write has to be there, or the lock file would not be believed.
    // SAFETY: nothing but recto changes the file while it is open.
    let db = unsafe { recto::Database::open(p.db()) }.unwrap();
    let mut command = p.command("scan", NO_ARGS);
    command.uid(65_534).gid(65_534).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => {
            return eprintln!("skipped: not root, or kvtool lies where nobody else may go: {e}");
        }
    };
    let mut first = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    lines.read_line(&mut first).unwrap(); // it reads now, and fills the pipe
    assert!(!first.is_empty());
    let shown = p.run("info", NO_ARGS).ok();
    let txn = db.info().unwrap().visible;
    let line = format!(
        "  without write access to the lock file (process unknown): reads transaction {txn}, the last"
    );
    assert!(shown.contains(&line), "{shown}");
    let json = p.run("info", ["--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["readers"][0]["txn"], txn, "{json}");
    assert!(json["readers"][0]["pid"].is_null() && json["readers"][0]["alive"] == true, "{json}");
    drop(lines);
    assert_eq!(wait(&mut child, &command), Some(0));
    p.assert_clean();
}

#[test]
fn a_killed_load_leaves_its_last_commit() {
    let p = Place::new();
    p.load("before\t1\n");
    let mut command = p.command("load", ["-", "--batch", "10"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for i in 0..25 {
        writeln!(stdin, "key{i:02}\tvalue").unwrap();
    }
    stdin.flush().unwrap();
    // Readers beside it see each commit, and never a part of one.
    until("two commits", || {
        let keys = p.scan().lines().count() - 1;
        assert_eq!(keys % 10, 0, "a part of a batch is visible");
        keys == 20
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(p.scan().lines().count(), 21);
    // Nobody is in the way of the next writer.
    p.run("put", ["after", "1", "--wait", "60"]).ok();
    assert_eq!(p.scan().lines().count(), 22);
    p.assert_clean();
}

fn send(signal: &str, child: &Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

/// A load that has committed three pairs and waits for more.
fn waiting_load(p: &Place, mut command: Command) -> (Child, ChildStdin) {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"a\t1\nb\t2\nc\t3\n").unwrap();
    until("three commits", || p.db().exists() && p.run("count", NO_ARGS).stdout == b"3\n");
    (child, stdin)
}

/// Whatever asks it to end, it says how far it came, also while it waits for input.
#[test]
fn a_load_that_is_told_to_end_says_how_far_it_came() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let p = Place::new();
        let command = p.command("load", ["-", "--batch", "1"]);
        let (mut child, _stdin) = waiting_load(&p, command);
        // It may still be on its way to the input: then it says so after it.
        send(signal, &child);
        let command = p.command("load", NO_ARGS);
        assert_eq!(wait(&mut child, &command), Some(2), "{signal}");
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let expected = "interrupted (3 pairs in 3 commits of this input loaded; --skip-pairs 3";
        assert!(stderr.contains(expected), "{signal}: {stderr}");
        p.assert_clean();
    }
}

/// As under `nohup`.
#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    let p = Place::new();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" load \"$1\" - --batch 1"]);
    command.arg(env!("CARGO_BIN_EXE_kvtool")).arg(p.db());
    let (mut child, mut stdin) = waiting_load(&p, command);
    send("-HUP", &child);
    thread::sleep(Duration::from_millis(100));
    stdin.write_all(b"d\t4\n").unwrap();
    drop(stdin);
    assert_eq!(wait(&mut child, &p.command("load", NO_ARGS)), Some(0));
    assert_eq!(p.scan().lines().count(), 4);
}

#[test]
fn a_salvage_that_is_told_to_end_leaves_nothing_behind() {
    for (signal, number) in [("-TERM", 15), ("-HUP", 1)] {
        let p = filled();
        // Long enough to be met in the middle: without metas every page is read, and most of them
        // are a hole.
        let mut bytes = std::fs::read(p.db()).unwrap();
        bytes[..2 * 4096].fill(0);
        std::fs::write(p.db(), bytes).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(p.db()).unwrap();
        file.set_len(64 << 30).unwrap();
        let mut command = p.command("salvage", ["-o", p.path("new").to_str().unwrap()]);
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        // Once it hears it; one that does not, ends of it.
        let start = Instant::now();
        let hears = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
            u64::from_str_radix(caught.trim(), 16).unwrap() >> (number - 1) & 1 == 1
        };
        while !hears() && start.elapsed() < Duration::from_secs(2) {
            thread::sleep(Duration::from_millis(5));
        }
        send(signal, &child);
        assert_eq!(wait(&mut child, &command), Some(2), "{signal}");
        let left = std::fs::read_dir(p.dir.path()).unwrap();
        let left: Vec<_> = left.map(|e| e.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("new")), "{left:?}");
    }
}

#[test]
fn slow_input_holds_up_nobody_before_its_first_pair() {
    let p = Place::new();
    p.load("a\t1\n");
    let mut command = p.command("load", ["-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    p.run("put", ["b", "2", "--wait", "60"]).ok();
    drop(child.stdin.take());
    assert_eq!(wait(&mut child, &command), Some(0));
    assert_eq!(p.scan(), "a\t1\nb\t2\n");
}

#[test]
fn writers_take_turns() {
    let p = Place::new();
    p.load("start\t0\n");
    thread::scope(|scope| {
        for writer in 0..4 {
            let p = &p;
            scope.spawn(move || {
                let lines: String = (0..50).map(|i| format!("w{writer}-{i:02}\t{i}\n")).collect();
                p.feed("load", &["-", "--batch", "7"], lines.as_bytes()).ok();
            });
        }
        for _ in 0..5 {
            let lines = p.scan().lines().count();
            assert!((1..=201).contains(&lines));
            p.run("info", NO_ARGS).ok();
        }
    });
    assert_eq!(p.scan().lines().count(), 201);
    p.assert_clean();
}
