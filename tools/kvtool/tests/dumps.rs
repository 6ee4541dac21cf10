//! The dump format: files that LMDB's tools wrote, our own back and forth, and LMDB's tools
//! themselves where they are installed.

mod common;
use common::*;
use std::path::{Path, PathBuf};

/// A file that mdb_dump 0.9.24 wrote.
fn golden(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "data", name].iter().collect();
    path.to_str().unwrap().to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn load_dump(p: &Place, path: &str) -> Ran {
    p.run("load", [path, "--format", "dump"])
}

#[test]
fn reads_bytevalue_of_mdb_dump() {
    let p = Place::new();
    load_dump(&p, &golden("plain.dump")).ok();
    assert_eq!(p.run("get", ["key"]).ok(), "value\n");
    assert_eq!(p.run("get", ["\\x00\\xff\\n"]).ok(), "\n");
    assert_eq!(p.run("get", ["zz"]).ok(), "\\\\\\x09\\xff \n");
    let long: Vec<u8> = (0..5000).map(|i| (i % 251) as u8).collect();
    assert_eq!(p.run("get", ["zzz", "--raw"]).stdout, long);
    p.run("compare", [&golden("plain.dump"), "--format", "dump"]).ok();
    p.assert_clean();
}

#[test]
fn reads_print_of_mdb_dump() {
    let p = Place::new();
    load_dump(&p, &golden("print.dump")).ok();
    assert_eq!(p.scan(), "key one\t\\xc3\\xa9 \\x0a~\nkey two\t\n");
    p.assert_clean();
}

#[test]
fn reads_several_databases() {
    let p = Place::new();
    load_dump(&p, &golden("named.dump")).ok();
    assert_eq!(p.run("scan", ["-t", "fruit"]).ok(), "apple\tred\nof\tfruit\n");
    assert_eq!(p.run("scan", ["-t", "two words"]).ok(), "apple\tred\nof\ttwo words\n");
    p.run("compare", [&golden("named.dump"), "--format", "dump"]).ok();
    p.run("put", ["apple", "green", "-t", "fruit"]).ok();
    let ran = p.run("compare", [&golden("named.dump"), "--format", "dump"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.starts_with(b"differs  fruit  apple\n"), "{ran:?}");
    // One table for all, if one is named; small batches cross from one database to the next.
    p.run("load", [&golden("named.dump"), "--format", "dump", "-t", "one", "--batch", "3"]).ok();
    assert_eq!(p.run("scan", ["-t", "one"]).ok(), "apple\tred\nof\ttwo words\n");
    p.assert_clean();
}

#[test]
fn several_values_per_key_make_a_table_of_sets() {
    let p = Place::new();
    load_dump(&p, &golden("dupsort.dump")).ok();
    assert_eq!(p.scan(), "a\t1\na\t2\n");
    p.run("compare", [&golden("dupsort.dump"), "--format", "dump"]).ok();
    assert!(p.run("tables", NO_ARGS).ok().contains(" sets\n"));
    let dump = p.run("dump", NO_ARGS).ok();
    assert!(dump.contains("\nduplicates=1\ndupsort=1\nHEADER=END\n 61\n 31\n 61\n 32\n"), "{dump}");
    // Not into a table that has one value for each key, whether another dump or a user made it.
    let q = Place::new();
    q.load("a\told\n");
    let said = load_dump(&q, &golden("dupsort.dump")).said(2);
    assert!(said.contains("table \"main\": its keys have one value each"), "{said}");
    assert!(said.contains("dupsort.dump line ") && said.contains("-t picks another"), "{said}");
    assert_eq!(q.scan(), "a\told\n");
    // What has one value for each key may go into a table of sets.
    q.run("create", ["-t", "sets", "--set"]).ok();
    let one = q.run("dump", NO_ARGS).ok();
    q.feed("load", &["-", "-t", "sets"], one.as_bytes()).ok();
    q.run("load", [&golden("dupsort.dump"), "-t", "sets"]).ok();
    assert_eq!(q.run("scan", ["-t", "sets"]).ok(), "a\t1\na\t2\na\told\n");
    // And compare says of the pairs which are there.
    let ran = q.run("compare", [&golden("dupsort.dump")]);
    assert_eq!(ran.code, Some(1));
    let told = String::from_utf8(ran.stdout).unwrap();
    let expected = "missing  main  a\t1\nmissing  main  a\t2\nextra    main  a\told\n";
    assert!(told.starts_with(expected), "{told}");
    p.assert_clean();
    q.assert_clean();
}

/// Sets behind single values, and one table for both: values would be lost.
#[test]
fn sets_do_not_go_into_one_table_with_others() {
    let one = "VERSION=3\nformat=print\ndatabase=one\nHEADER=END\n a\n 1\nDATA=END\n";
    let sets = one
        .replace("database=one", "database=sets\ndupsort=1")
        .replace(" a\n 1\n", " a\n 1\n a\n 2\n");
    let both = format!("{one}{sets}");
    for verb in ["load", "compare"] {
        let p = Place::new();
        p.run("create", NO_ARGS).ok();
        let said = p.feed(verb, &["-", "-t", "all"], both.as_bytes()).said(2);
        assert!(said.contains("line 12: a database with sets of values, behind one"), "{said}");
        assert!(p.run("tables", NO_ARGS).ok().lines().count() == 1, "{said}");
        let said = p.feed(verb, &["-"], both.replace("=sets", "=one").as_bytes()).said(2);
        assert!(said.contains("table") && said.contains("one"), "{verb}: {said}");
    }
    let p = Place::new();
    p.feed("load", &["-"], both.as_bytes()).ok();
    p.feed("compare", &["-"], both.as_bytes()).ok();
    p.feed("load", &["-", "-t", "all"], format!("{sets}{one}").as_bytes()).ok();
    assert_eq!(p.run("scan", ["-t", "all"]).ok(), "a\t1\na\t2\n");
    p.assert_clean();
}

#[test]
fn values_of_one_size_have_that_of_the_first() {
    let dump = |flags: &str, values: &[&str]| {
        let data: String = values.iter().map(|value| format!(" k\n {value}\n")).collect();
        format!("VERSION=3\nformat=print\n{flags}HEADER=END\n{data}DATA=END\n")
    };
    let made = |p: &Place| {
        let table = p.run("tables", ["--json"]).ok();
        serde_json::from_str::<serde_json::Value>(&table).unwrap()["value_size"].clone()
    };
    let fixed = "duplicates=1\ndupsort=1\ndupfixed=1\n";
    let p = Place::new();
    p.feed("load", &["-"], dump(fixed, &["abc", "abd"]).as_bytes()).ok();
    assert_eq!(made(&p), 3);
    // Again, and more of them, in batches.
    p.feed("load", &["-", "--batch", "1"], dump(fixed, &["abd", "abe"]).as_bytes()).ok();
    assert_eq!(p.scan(), "k\tabc\nk\tabd\nk\tabe\n");
    let ours = p.run("dump", NO_ARGS).ok();
    assert!(ours.contains("\ndupfixed=1\nvalue_size=3\nHEADER=END\n"), "{ours}");
    let again = Place::new();
    again.feed("load", &["-"], ours.as_bytes()).ok();
    assert_eq!(made(&again), 3);
    // Of several sizes: the line is named, and a table of any size takes them.
    let wrong = dump(fixed, &["abc", "abcd"]);
    let q = Place::new();
    let said = q.feed("load", &["-"], wrong.as_bytes()).said(2);
    assert!(said.contains("line 10: ") && said.contains("kvtool create -t NAME --set"), "{said}");
    let q = Place::new();
    q.run("create", ["-t", "main", "--set"]).ok();
    q.feed("load", &["-"], wrong.as_bytes()).ok();
    assert_eq!(q.scan(), "k\tabc\nk\tabcd\n");
    let said = q.feed("load", &["-"], ours.as_bytes()).said(2);
    assert!(said.contains("its values have any length, not 3 bytes"), "{said}");
    // Without values nobody knows.
    let r = Place::new();
    r.feed("load", &["-"], dump(fixed, &[]).as_bytes()).ok();
    assert_eq!(made(&r), serde_json::Value::Null);
    // Other orders are said.
    let ran = r.feed("load", &["-"], dump("dupsort=1\nintegerdup=1\n", &["b", "a"]).as_bytes());
    let note = "values were in integer order, and are in the order of their bytes now";
    assert!(ran.code == Some(0) && ran.stderr.contains(note), "{ran:?}");
    for p in [p, again, q, r] {
        p.assert_clean();
    }
}

#[test]
fn a_dump_that_was_cut_off_is_refused() {
    let p = Place::new();
    let whole = std::fs::read(golden("named.dump")).unwrap();
    // At the end of the first database it is whole; nothing can be told.
    let first_end = whole.windows(9).position(|w| w == b"DATA=END\n").unwrap() + 9;
    for len in 0..whole.len() - 1 {
        if len == first_end || len == first_end - 1 {
            continue;
        }
        let path = p.file("cut.dump", &whole[..len]);
        let said = load_dump(&p, path.to_str().unwrap()).said(2);
        assert!(said.contains("cut.dump"), "{len}: {said}");
    }
    assert!(!p.db().exists() || p.run("tables", NO_ARGS).ok().lines().count() == 1);
}

/// A database with everything that is awkward: every byte, empty ones, backslashes, two tables.
fn awkward() -> Place {
    let p = Place::new();
    let mut lines = String::from("\\x00empty\t\nback\\\\slash\t\\\\00\\\\\\\\5c\n");
    for byte in 0..=255 {
        lines += &format!("byte\\x{byte:02x}\t{}\n", format!("\\x{byte:02x}").repeat(20));
    }
    p.load(&lines);
    p.file("in/large", vec![7; 100_000]);
    p.run("load", [p.path("in").to_str().unwrap(), "-t", "\u{fc}ber = "]).ok();
    p.feed("load", &["-", "-t", "none"], b"").ok();
    p
}

#[test]
fn dump_and_load_back() {
    let p = awkward();
    for print in [false, true] {
        let q = Place::new();
        let dump = q.path("all.dump");
        let mut args = vec!["-a", "-o", dump.to_str().unwrap()];
        if print {
            args.push("-p");
        }
        assert_eq!(p.run("dump", &args).ok(), "");
        load_dump(&q, dump.to_str().unwrap()).ok();
        let tables = q.run("tables", ["--json"]).ok();
        assert_eq!(tables.lines().count(), 3, "{tables}");
        assert_eq!(q.scan(), p.scan());
        assert_eq!(q.run("dump", ["-a"]).ok(), p.run("dump", ["-a"]).ok());
        q.run("compare", [dump.to_str().unwrap(), "--format", "dump"]).ok();
        q.assert_clean();
        // One table, through a pipe.
        let one = p.run("dump", if print { &["-p"][..] } else { &[] }).ok();
        assert!(!one.contains("database="), "{one}");
        let r = Place::new();
        r.feed("load", &["-", "--format", "dump"], one.as_bytes()).ok();
        assert_eq!(r.scan(), p.scan());
    }
    let named = p.run("dump", ["-t", "\u{fc}ber = "]).ok();
    assert!(named.contains("\ndatabase=\u{fc}ber = \n"), "{named}");
    assert!(p.run("dump", ["-o", "/no/such/dir/x"]).said(2).contains("/no/such/dir/x"));
}

/// One of LMDB's tools that has nothing to say; None where it is not installed.
fn lmdb(tool: &str, args: &[&str], input: Option<&Path>) -> Option<String> {
    let (stdout, stderr) = lmdb_tool(tool, args, input)?;
    assert_eq!(stderr, "", "{tool} {args:?}");
    Some(stdout)
}

/// The lines after the headers, which differ in sizes.
fn data(dump: &str) -> Vec<&str> {
    dump.lines().filter(|l| l.starts_with(' ') || l.starts_with("database=")).collect()
}

#[test]
fn mdb_load_takes_our_dump_and_back() {
    let p = awkward();
    for print in [false, true] {
        let q = Place::new();
        let (ours, env) = (q.path("ours.dump"), q.path("env.mdb"));
        let (ours, env) = (ours.to_str().unwrap(), env.to_str().unwrap());
        // Its own print format does not tell backslashes apart before 0.9.25; ours does, so it
        // reads both.
        let format = if print { "-p" } else { "-o" };
        let args = if print { vec![format, "-o", ours] } else { vec![format, ours] };
        p.run("dump", args).ok();
        if lmdb("mdb_load", &["-n", env], Some(Path::new(ours))).is_none() {
            return;
        }
        let theirs = lmdb("mdb_dump", &["-n", env], None).unwrap();
        assert_eq!(data(&theirs), data(&p.run("dump", NO_ARGS).ok()));
        q.feed("load", &["-", "--format", "dump"], theirs.as_bytes()).ok();
        assert_eq!(q.scan(), p.scan());
        q.assert_clean();
    }
}

#[test]
fn mdb_load_takes_all_tables_and_back() {
    let p = Place::new();
    for table in ["one", "two"] {
        let lines: String =
            (0..2000).map(|i| format!("{table}{i:05}\t{}\n", "v".repeat(i % 900))).collect();
        p.feed("load", &["-", "-t", table], lines.as_bytes()).ok();
    }
    let q = Place::new();
    let (ours, env) = (q.path("ours.dump"), q.path("env.mdb"));
    let (ours, env) = (ours.to_str().unwrap(), env.to_str().unwrap());
    p.run("dump", ["-a", "-o", ours]).ok();
    if lmdb("mdb_load", &["-n", env], Some(Path::new(ours))).is_none() {
        return;
    }
    let theirs = lmdb("mdb_dump", &["-n", "-a", env], None).unwrap();
    assert_eq!(data(&theirs), data(&std::fs::read_to_string(ours).unwrap()));
    q.feed("load", &["-", "--format", "dump"], theirs.as_bytes()).ok();
    assert_eq!(q.run("dump", ["-a"]).ok(), p.run("dump", ["-a"]).ok());
}

/// Sets of few and of many values, of any and of one length, through LMDB's tools and back.
#[test]
fn mdb_load_takes_sets_and_back() {
    let p = Place::new();
    p.run("create", ["-t", "any", "--set"]).ok();
    p.run("create", ["-t", "fixed", "--set", "--value-size", "8"]).ok();
    let (mut any, mut fixed) = (String::new(), String::new());
    for i in 0..3_000u32 {
        let n = i.wrapping_mul(2_654_435_761) >> 7;
        let key = if n.is_multiple_of(2) { 0 } else { n % 500 };
        // From 1 to 511 bytes, which is what LMDB takes.
        any += &format!("key{key}\\x00\tvalue {n} {}\n", "\\xff".repeat((n % 490) as usize));
        fixed += &format!("key{key}\t{n:08}\n");
    }
    any += &format!("long\t{}\nlong\tv\n", "v".repeat(511));
    p.feed("load", &["-", "-t", "any"], any.as_bytes()).ok();
    p.feed("load", &["-", "-t", "fixed"], fixed.as_bytes()).ok();
    p.run("put", ["a", "1", "-t", "map"]).ok();
    for print in [&["-a"][..], &["-a", "-p"]] {
        let q = Place::new();
        let (ours, env) = (q.path("ours.dump"), q.path("env.mdb"));
        p.run("dump", [print, &["-o", text(&ours)]].concat()).ok();
        let Some(()) = mdb_load(&ours, &env) else { return };
        let theirs = lmdb("mdb_dump", &["-n", "-a", text(&env)], None).unwrap();
        let ours_now = p.run("dump", ["-a"]).ok();
        for (n, (theirs, ours)) in data(&theirs).iter().zip(data(&ours_now)).enumerate() {
            assert_eq!(*theirs, ours, "line {n} of the data, {print:?}");
        }
        assert_eq!(data(&theirs).len(), data(&ours_now).len());
        let theirs = q.file("theirs.dump", theirs);
        q.run("load", [text(&theirs)]).ok();
        // Whole but for a size that depends on how full pages are.
        let whole = |dump: &str| -> Vec<String> {
            dump.lines().filter(|l| !l.starts_with("mapsize=")).map(String::from).collect()
        };
        assert!(whole(&q.run("dump", ["-a"]).ok()) == whole(&ours_now), "value_size too");
        p.run("compare", [text(&theirs)]).ok();
        q.run("compare", [text(&ours)]).ok();
        q.assert_clean();
    }
    p.assert_clean();
}

/// `mdb_load`, which names words of the header that it does not know: some it writes itself.
fn mdb_load(dump: &Path, env: &Path) -> Option<()> {
    let (_, said) = lmdb_tool("mdb_load", &["-n", "-f", text(dump), text(env)], None)?;
    let known = |line: &str| line.contains("unrecognized keyword ignored: ");
    assert!(said.lines().all(known), "{said}");
    Some(())
}

/// A dump never goes over a database, least of all the one it reads, nor over a lock file.
#[test]
fn a_dump_spares_databases() {
    let p = Place::new();
    p.load("a\t1\n");
    let lock = format!("{}-lock", p.db().display());
    std::fs::hard_link(p.db(), p.path("link")).unwrap();
    let before = (std::fs::read(p.db()).unwrap(), std::fs::read(&lock).unwrap().len());
    for output in [p.db().display().to_string(), p.path("link").display().to_string(), lock.clone()]
    {
        let said = p.run("dump", ["-o", &output]).said(2);
        assert!(said.contains("belongs to a database"), "{said}");
    }
    assert_eq!((std::fs::read(p.db()).unwrap(), std::fs::read(&lock).unwrap().len()), before);
    let other = p.file("other", "an old dump");
    p.run("dump", ["-o", other.to_str().unwrap()]).ok();
    p.assert_clean();
}

/// Pages here hold keys without the prefix that they share.
#[test]
fn mdb_load_has_room_for_keys_with_prefixes_in_common() {
    let url = |i: u32| format!("https://www.example.org/catalogue/products/item/{i:08}\t1\n");
    let long = |i: u32| format!("{}{i:010}\t1\n", "x".repeat(490));
    // One pair a page, and four keys a branch.
    let worst = |i: u32| format!("{}{i:010}\t{}\n", "x".repeat(501), "v".repeat(850));
    let lines = |count, line: &dyn Fn(u32) -> String| (0..count).map(line).collect::<String>();
    for lines in [lines(40_000, &url), lines(10_000, &long), lines(3_000, &worst)] {
        let p = Place::new();
        p.load(&lines);
        let (ours, env) = (p.path("ours.dump"), p.path("env.mdb"));
        p.run("dump", ["-a", "-o", text(&ours)]).ok();
        if lmdb("mdb_load", &["-n", text(&env)], Some(&ours)).is_none() {
            return;
        }
        let theirs = lmdb("mdb_dump", &["-n", "-a", text(&env)], None).unwrap();
        assert_eq!(data(&theirs), data(&std::fs::read_to_string(&ours).unwrap()));
    }
}

/// Refused, and the output file is as it was; what opening changes in a lock file is its own.
#[track_caller]
fn spared(p: &Place, file: &Path, output: &Path) {
    let state = || {
        let bytes = std::fs::read(output).unwrap();
        let kept = if bytes.starts_with(&recto::inspect::LOCK_MAGIC) { 16 } else { bytes.len() };
        (bytes.len(), bytes[..kept].to_vec())
    };
    let before = state();
    for verify in [&[][..], &["--no-verify"]] {
        let mut command = kvtool();
        command.arg("dump").arg(file).arg("-o").arg(output).args(verify);
        let said = finish(command, b"").said(2);
        assert!(said.contains("belongs to a database"), "{said}");
        assert!(state() == before, "{} has changed", output.display());
    }
    p.assert_clean();
}

/// A database whose first meta page is gone, which opens by its second one.
fn without_first_page(p: &Place, name: &str, page: usize) -> PathBuf {
    let path = p.path(name);
    for value in ["1", "2", "3"] {
        let mut command = kvtool();
        command.arg("put").arg(&path).args(["key", value, "--page-size", &page.to_string()]);
        finish(command, b"").ok();
    }
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..page].fill(0);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_dump_spares_a_database_without_its_first_page() {
    for page in [4096, 8192, 16_384, 32_768, 65_536] {
        let p = Place::new();
        p.load("a\t1\n");
        let damaged = without_first_page(&p, "damaged", page);
        spared(&p, &damaged, &damaged);
        spared(&p, &p.db(), &damaged);
    }
}

#[test]
fn a_dump_spares_the_lock_file_behind_a_link() {
    let p = Place::new();
    p.load("a\t1\n");
    std::fs::create_dir(p.path("elsewhere")).unwrap();
    let link = p.path("elsewhere/link");
    std::os::unix::fs::symlink(p.db(), &link).unwrap();
    spared(&p, &link, &lock_of(&p.db()));
    spared(&p, &link, &p.db());
    // Its place is taken, also where nobody needs one.
    std::fs::remove_file(lock_of(&p.db())).unwrap();
    let mut command = kvtool();
    command.arg("dump").arg(&link).args(["--no-lock", "-o"]).arg(lock_of(&p.db()));
    assert!(finish(command, b"").said(2).contains("belongs to a database"));
    assert!(!lock_of(&p.db()).exists());
}

#[test]
fn a_dump_spares_the_lock_file_of_another_database() {
    let p = Place::new();
    p.load("a\t1\n");
    // SAFETY: nothing but recto changes the file.
    let other = unsafe { recto::Database::open(p.path("other")) }.unwrap();
    spared(&p, &p.db(), &lock_of(&p.path("other")));
    other.read().unwrap();
}

#[test]
fn a_dump_takes_the_place_of_a_longer_one() {
    let p = Place::new();
    p.load("a\t1\n");
    let old = p.file("old", "an older dump\n".repeat(1000));
    p.run("dump", ["-o", text(&old)]).ok();
    assert_eq!(std::fs::read_to_string(old).unwrap(), p.run("dump", NO_ARGS).ok());
    assert!(p.run("dump", ["-o", text(p.dir.path())]).said(2).contains("directory"));
}

/// Every checksum is good, and a key is missing: the table counts one more than it has.
#[test]
fn a_table_that_counts_more_keys_is_not_whole() {
    const PAGE: usize = 4096;
    let p = Place::new();
    // So many pages that no manifest names the catalog's.
    let lines: String = (0..20_000).map(|i| format!("key{i:05}\t{i:0200}\n")).collect();
    p.load(&lines);
    std::fs::remove_file(format!("{}-lock", p.db().display())).unwrap();
    let mut bytes = std::fs::read(p.db()).unwrap();
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let newest = if word(PAGE + 32) > word(32) { PAGE } else { 0 };
    let (id, root) = (word(newest + 48), word(newest + 48) * PAGE);
    // One cell, of a key of four bytes, with the tag of a descriptor: `entries` is its second word.
    let cell = root + usize::from(u16::from_le_bytes([bytes[root + 28], bytes[root + 29]]));
    assert_eq!(bytes[cell..cell + 4], [4, 0, 0x40, 0xc0]);
    bytes[cell + 12] += 1;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&(id as u64).to_le_bytes());
    crc.update(&bytes[root + 4..root + PAGE]);
    bytes[root..root + 4].copy_from_slice(&crc.finalize().to_le_bytes());
    std::fs::write(p.db(), bytes).unwrap();
    for verb in ["dump", "scan"] {
        let said = p.run(verb, NO_ARGS).said(1);
        assert!(said.contains("20,000 of 20,001 pairs"), "{verb}: {said}");
    }
    assert_eq!(p.run("check", NO_ARGS).code, Some(1));
}
