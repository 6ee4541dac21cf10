//! The programs in `examples/` run and say what they should. Cargo builds them beside the tests.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn example(name: &str) -> Command {
    // target/PROFILE/deps/THIS, and target/PROFILE/examples/NAME
    let here = std::env::current_exe().unwrap();
    let program: PathBuf =
        here.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    let mut command = Command::new(&program);
    command.current_dir(std::env::temp_dir());
    assert!(program.exists(), "{}: `cargo build --examples` builds it", program.display());
    command
}

fn said(command: &mut Command) -> String {
    let out = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(out.status.success(), "{:?}", out.status);
    String::from_utf8(out.stdout).unwrap()
}

/// The same of a program that is told something.
fn said_to(command: &mut Command, input: &str) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{:?}", out.status);
    String::from_utf8(out.stdout).unwrap()
}

/// The full check of what a program has left.
fn check(path: &Path) {
    let report = recto::check_file(path, None).unwrap();
    assert!(report.is_clean(), "{:#?}", report.faults);
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
fn a_series_is_read_by_range_and_thinned_out_and_old_samples_go() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.recto");
    let series = |args: &[&str]| said(example("series").arg(&path).args(args));
    // From two hours before 1970 to two hours after, every ten seconds.
    let sample =
        |sensor: &str, second: i64| format!("{sensor} {second} {}\n", second as f32 / 3600.0);
    let seconds = || (-7200..7200).step_by(10);
    let cellar = seconds().map(|second| format!("cellar {second} 12\n"));
    let roof = seconds().map(|second| sample("roof", second));
    let input: String = cellar.chain(roof).collect();
    assert_eq!(said_to(example("series").arg(&path).arg("add"), &input), "2880 samples\n");
    let shown = series(&["show", "roof", "-5", "11"]);
    assert_eq!(shown, "before: -0.00 at -10\n0.00 at 0\n0.00 at 10\n");
    assert!(series(&["hours", "roof"]).starts_with("hour -2: -1.50 on average of 360\n"));
    // A sample that comes again is counted once.
    said_to(example("series").arg(&path).arg("add"), "roof 7190 3\n");
    assert!(series(&["hours", "roof"]).contains("hour 1: 1.50 on average of 360\n"));
    assert_eq!(series(&["thin", "7190", "20"]), "thinned out: 720\n");
    assert_eq!(series(&["keep", "10790"]), "gone: 360\n");
    assert!(series(&["show", "cellar", "-7200", "-3600"]).is_empty());
    assert!(series(&["show", "roof", "-3600", "-3570"]).contains("-0.99 at -3580"));
    assert!(series(&["hours", "cellar"]).starts_with("hour -2: 12.00"), "averages stay");
    check(&path);
}

/// A watcher sees each trade that another process makes, once and in order.
#[test]
fn trades_are_watched_by_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.recto");
    let exchange = || {
        let mut command = example("exchange");
        command.arg(&path);
        command
    };
    let mut watcher = exchange().arg("watch").stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(watcher.stdout.take().unwrap()).lines();
    let heard = std::thread::spawn(move || lines.map_while(Result::ok).take(3).collect::<Vec<_>>());
    let orders = "sell ACME 10 101\nsell ACME 10 100\nsell OTHER 5 1\nbuy ACME 5 99\n\
                  buy ACME 15 101\nsell ACME 7 98\n";
    assert_eq!(said_to(exchange().arg("trade"), orders), "6 orders, 3 trades\n");
    let heard = heard.join().unwrap();
    watcher.kill().unwrap();
    watcher.wait().unwrap();
    let trades = heard.iter().map(|line| line.split(',').next().unwrap());
    let trades: Vec<&str> = trades.collect();
    assert_eq!(trades, ["ACME: 10 at 100", "ACME: 5 at 101", "ACME: 5 at 99"]);
    let book = said(exchange().args(["book", "ACME"]));
    assert!(book.contains("Sell 5 at 101") && book.contains("Sell 2 at 98"), "{book}");
    assert!(!book.contains("Buy") && book.contains("last 99, 20 pieces in 3 trades"), "{book}");
    check(&path);
}

/// Two workers share the jobs; each is run once, the urgent ones first.
#[test]
fn workers_share_the_jobs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.recto");
    let jobs = || {
        let mut command = example("jobs");
        command.arg(&path);
        command
    };
    for n in 0..6u8 {
        // What is added last is the most urgent.
        let line = format!("echo {n} >> {}", dir.path().join("ran").display());
        said(jobs().args(["add", &(9 - n).to_string(), &line]));
    }
    said(jobs().args(["add", "0", "exit 3"]));
    assert!(said(jobs().arg("list")).starts_with("7 waits (urgency 0): exit 3\n6 waits"));
    let work = || jobs().arg("work").stdout(Stdio::piped()).spawn().unwrap();
    let workers = [work(), work()].map(|worker| worker.wait_with_output().unwrap());
    assert!(workers.iter().all(|worker| worker.status.success()));
    let mut ran = std::fs::read_to_string(dir.path().join("ran")).unwrap();
    ran = ran.lines().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    assert_eq!(ran, "012345", "each");
    let all = std::fs::read_to_string(dir.path().join("ran")).unwrap();
    assert_eq!(all.lines().count(), 6, "and each once");
    let list = said(jobs().arg("list"));
    assert_eq!(list.lines().filter(|line| line.contains("has ended with Some(0)")).count(), 6);
    assert!(list.contains("7 has ended with Some(3): exit 3") && !list.contains("waits"), "{list}");
    check(&path);
}

#[test]
fn a_command_runs_once_while_its_output_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.recto");
    let marks = dir.path().join("marks");
    let line = format!("echo ran >> {}; echo out", marks.display());
    let cache =
        |seconds: &str| said(example("cache").arg(&path).args([seconds, "sh", "-c", &line]));
    assert_eq!(cache("0"), "out\n"); // over when it comes
    assert_eq!(cache("3600"), "out\n");
    assert_eq!(cache("3600"), "out\n");
    assert_eq!(std::fs::read_to_string(&marks).unwrap(), "ran\nran\n");
    let list = said(example("cache").arg(&path));
    assert!(list.starts_with("1 entries\nfor ") && list.contains(": 4 bytes of sh -c"), "{list}");
    check(&path);
}

#[test]
fn words_are_found_in_the_files_that_have_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.recto");
    let text = |name: &str| dir.path().join("texts").join(name);
    std::fs::create_dir_all(text("more")).unwrap();
    std::fs::write(text("a.txt"), "The checks of a Commit.").unwrap();
    std::fs::write(text("more/b.txt"), "A commit is checked, and a power cut is not.").unwrap();
    std::fs::write(text("c.bin"), [0xff, 0xfe, 0]).unwrap();
    let search = |args: &[&str]| said(example("search").arg(&path).args(args));
    let texts = text("");
    let add = ["add", texts.to_str().unwrap()];
    assert_eq!(search(&add), "2 new or changed, 0 gone; 2 files, 10 words\n");
    assert_eq!(search(&add), "0 new or changed, 0 gone; 2 files, 10 words\n");
    let found = |query: &[&str]| {
        let said = search(&[&["find"], query].concat());
        let mut names: Vec<_> =
            said.lines().map(|line| line[line.len() - 5..].to_owned()).collect();
        names.sort(); // they come in the order in which they were put in
        names
    };
    assert_eq!(found(&["commit"]), ["a.txt", "b.txt"]);
    assert_eq!(found(&["commit", "power"]), ["b.txt"]);
    assert_eq!(found(&["check*"]), ["a.txt", "b.txt"]);
    assert_eq!(found(&["checks"]), ["a.txt"]);
    // A file that has changed, and one that has gone.
    std::fs::write(text("a.txt"), "Nothing of the kind, at all").unwrap();
    std::fs::remove_file(text("more/b.txt")).unwrap();
    assert_eq!(search(&add), "1 new or changed, 1 gone; 1 files, 6 words\n");
    assert!(found(&["commit"]).is_empty() && found(&["kind"]) == ["a.txt"]);
    check(&path);
}

#[test]
fn the_nearest_ones_are_of_the_same_group() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.recto");
    // Vectors around ten centres.
    let mut rng = fastrand::Rng::with_seed(1);
    let centres: Vec<Vec<f32>> = (0..10).map(|_| (0..48).map(|_| rng.f32()).collect()).collect();
    let mut line = |number: usize| {
        let near = |x: &f32| format!(" {}", x + rng.f32() / 8.0);
        let numbers: String = centres[number % 10].iter().map(near).collect();
        format!("text {number} of group {}\t{numbers}\n", number % 10)
    };
    let mut lines: String = (0..1_000).map(&mut line).collect();
    lines.push_str("a short one\t1 2 3\n");
    let add = |lines: &str| said_to(example("neighbours").arg(&path).arg("add"), lines);
    assert_eq!(add(&lines), "1001 vectors\n");
    assert_eq!(add(&line(7)), "1001 vectors\n"); // one that is there
    let like = ["like", "text 77 of group 7", "5"];
    let said = said(example("neighbours").arg(&path).args(like));
    assert!(said.starts_with("0.000 text 77 of group 7\n"), "{said}");
    assert_eq!(said.lines().filter(|line| line.ends_with("of group 7")).count(), 5, "{said}");
    check(&path);
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
