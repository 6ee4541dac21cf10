//! What a database tells of itself: counters, figures of the file, readers and what they hold back,
//! slow ones to a callback, spans and events, metrics. `docs/observing.md` has all names.

mod common;

use common::sim::{enter, machine, refused};
use common::{Process, assert_clean, memory_dir, open_at, role, say, spread, write};
use metrics::{CounterFn, GaugeFn, HistogramFn, Key, KeyName, Metadata, SharedString, Unit};
use recto::harness::{build, make_durable};
use recto::{Builder, Counters, Database, Durability, Info, Reader, ReaderLimit, Sink};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};

const SINKS: [Sink; 2] = [Sink::Staged, Sink::Direct];

fn counters(db: &Database) -> Counters {
    db.info().unwrap().counters
}

/// Overwrites `n` keys.
fn fill(db: &Database, durability: Durability, n: u64, round: u64) {
    write(db, durability, |txn| {
        let mut table = txn.open_table("main").unwrap();
        for i in 0..n {
            table.put(&spread(i), &round.to_le_bytes().repeat(12)).unwrap();
        }
    });
}

#[test]
fn counters_say_what_a_handle_has_done() {
    for sink in SINKS {
        let dir = memory_dir();
        let path = dir.path().join("x.recto");
        let db = open_at(&path, Builder::default().sink(sink));
        let other = open_at(&path, &Builder::default());
        assert_eq!(counters(&db), Counters::default());
        let start = db.info().unwrap();

        fill(&db, Durability::Durable, 500, 1);
        let one = counters(&db);
        assert_eq!((one.durable_commits, one.flushes, one.grouped_commits), (1, 1, 0));
        assert_eq!(one.ended_openings, 1);
        assert_eq!(one.pages_copied, 0, "nothing was there to copy");
        assert_eq!(one.pages_written, one.pages_added + one.pages_reused);
        assert_eq!(one.bytes_written, one.pages_written * 4096);

        // Some leaves of this tree are copied, and the way to them; an overflow value is of ten
        // pages.
        write(&db, Durability::Deferred, |txn| {
            let mut table = txn.open_table("main").unwrap();
            table.put(&spread(7), b"changed").unwrap();
            table.put(&spread(400), &[1; 40_000]).unwrap();
        });
        let two = counters(&db);
        assert_eq!((two.durable_commits, two.deferred_commits, two.flushes), (1, 1, 1));
        assert!(two.pages_copied > 0 && two.pages_copied <= 8, "{two:?}");
        let written = two.pages_written - one.pages_written;
        assert!(written >= two.pages_copied + 10, "{two:?}");
        assert_eq!(two.pages_added + two.pages_reused, two.pages_written);

        drop(db.write().unwrap());
        db.write().unwrap().commit().unwrap(); // durable, and so is what it stands on
        let mut txn = db.write().unwrap();
        txn.open_table("other").unwrap().put(b"key", b"").unwrap();
        txn.abort();
        let three = counters(&db);
        assert_eq!((three.aborts, three.unchanged_commits, three.flushes), (2, 1, 2));
        assert_eq!((three.durable_commits, three.deferred_commits), (1, 1));

        for round in 0..20 {
            fill(&db, Durability::Deferred, 3_000, round);
        }
        db.flush().unwrap();
        let (end, info) = (counters(&db), db.info().unwrap());
        assert!(end.pages_reused > 0, "{end:?}");
        assert_eq!(start.file_bytes + end.bytes_grown - end.bytes_cut, info.file_bytes);
        assert_eq!(info.commits - start.commits, end.durable_commits + end.deferred_commits);
        assert_eq!(
            (end.failed_flushes, end.repairs, end.roll_backs, end.pages_spilled),
            (0, 0, 0, 0)
        );
        // They are those of the handle and of its clones.
        assert_eq!(counters(&db.clone()), end);
        assert_eq!(counters(&other), Counters::default());
        assert_clean(&db);
    }
}

#[test]
fn spilled_pages_are_counted() {
    let db = Database::builder().stage_bytes(16 << 12).in_memory().unwrap();
    fill(&db, Durability::Durable, 5_000, 1);
    let spilled = counters(&db);
    assert!(spilled.pages_spilled > 100 && spilled.pages_written >= spilled.pages_spilled);
    assert_clean(&db);
}

/// Whoever commits next to others is told apart: who has led a flush, and who was carried along.
#[test]
fn commits_that_share_a_flush_are_counted() {
    let db = Database::in_memory().unwrap();
    let built = [0u8, 1, 2].map(|n| {
        let mut txn = db.write().unwrap();
        txn.open_table("main").unwrap().put(&[n], b"").unwrap();
        build(txn, Durability::Durable).unwrap().unwrap().0
    });
    for id in [built[2], built[0], built[1]] {
        make_durable(&db, id).unwrap();
    }
    let now = counters(&db);
    assert_eq!((now.durable_commits, now.flushes, now.grouped_commits), (3, 1, 2));
    std::thread::scope(|s| {
        for n in 0..4u8 {
            let db = &db;
            s.spawn(move || (0..50u8).for_each(|i| common::put(db, &[n, i], b"value")));
        }
    });
    let now = counters(&db);
    assert_eq!(now.durable_commits, 203);
    assert_eq!(now.flushes, now.durable_commits - now.grouped_commits, "{now:?}");
    assert_clean(&db);
}

#[test]
fn failed_flushes_repairs_and_roll_backs_are_counted() {
    let disk = machine(8);
    let db = enter(&disk, &Database::builder());
    common::sim::put(&db, Durability::Durable, 0..1);
    let opening = counters(&db);
    assert_eq!((opening.ended_openings, opening.repairs, opening.flushes), (1, 0, 1));
    let before = disk.bytes();
    common::sim::put(&db, Durability::Deferred, 1..2);
    refused(&disk, &db, &before);
    assert!(counters(&db).failed_flushes > 0);
    drop(db.write().unwrap());
    let now = counters(&db);
    assert_eq!((now.repairs, now.roll_backs), (1, 1), "{now:?}");
    common::sim::put(&db, Durability::Durable, 1..2);
    assert_eq!(counters(&db).repairs, 1);
    common::sim::assert_durable(&disk, 0..2);
    assert_clean(&db);
}

/// The figures of `info` are those that the full check counts.
#[test]
fn figures_of_the_file_are_those_of_the_check() {
    for page_size in [4096, 16_384] {
        // The list is long at once.
        let db = Database::builder().page_size(page_size).free_limit(2).in_memory().unwrap();
        let mut readers = Vec::new();
        for round in 0..30 {
            let durability =
                if round % 3 == 0 { Durability::Durable } else { Durability::Deferred };
            fill(&db, durability, 2_000, round);
            if round % 7 == 0 {
                readers.push(db.read().unwrap());
            }
        }
        let mut txn = db.write().unwrap();
        for value in 0..2_000u64 {
            txn.open_set("set").unwrap().insert(b"key", &value.to_be_bytes()).unwrap();
        }
        txn.create_snapshot("named").unwrap();
        txn.commit().unwrap();
        let (info, report) = (db.info().unwrap(), db.check(None).unwrap());
        assert!(report.is_clean());
        let pages = &report.pages;
        assert_eq!(info.used_pages(), pages.branch + pages.leaf + pages.overflow);
        assert_eq!(info.free_pages, report.free_pages());
        assert_eq!((info.log_pages, info.reserved_pages), (pages.free_log, pages.reserved));
        assert!(info.log_pages > 0, "the list of free pages is long");
        assert_eq!((info.commits, info.lag()), (31, 0));
        let tables = db.read().unwrap().tables().unwrap();
        assert_eq!(tables.len(), report.tables.len());
        for (table, counted) in tables.iter().zip(&report.tables) {
            let stats = &table.stats;
            assert_eq!((&table.name, stats.pages()), (&counted.name, counted.pages()));
            assert_eq!((stats.entries, stats.pairs), (counted.entries, counted.pairs));
            assert_eq!((stats.depth, stats.leaf_pages), (counted.depth, counted.leaf_pages));
        }
        fill(&db, Durability::Deferred, 1, 99);
        assert!(db.info().unwrap().lag() >= 1);
        assert_clean(&db);
    }
}

#[test]
fn readers_are_shown_with_what_they_hold_back() {
    let dir = memory_dir();
    let db = open_at(&dir.path().join("x.recto"), &Builder::default());
    fill(&db, Durability::Durable, 2_000, 1);
    assert_eq!((db.readers().unwrap(), db.held_back().unwrap()), (vec![], 0));
    let old = db.read().unwrap();
    fill(&db, Durability::Durable, 2_000, 2);
    let middle = db.read().unwrap();
    fill(&db, Durability::Durable, 2_000, 3);
    let new = db.read().unwrap();

    let readers = db.readers().unwrap();
    assert_eq!(
        readers.iter().map(|r| r.txn).collect::<Vec<_>>(),
        [old.id(), middle.id(), new.id()]
    );
    assert_eq!(readers.iter().map(|r| r.behind).collect::<Vec<_>>(), [2, 1, 0]);
    let held: Vec<_> = readers.iter().map(|r| r.pages_held.unwrap()).collect();
    assert_eq!(held, db.pages_held(&[old.id(), middle.id(), new.id()]).unwrap());
    assert!(held[0] > 20 && held[1] > 20 && held[2] == 0, "{held:?}");
    for reader in &readers {
        assert_eq!(reader.slot.unwrap().pid, std::process::id());
        assert!(reader.is_alive() && !reader.is_pending());
        let command = reader.command.as_ref().expect("it has the file open");
        assert!(command.contains("observing"), "{command}");
        assert_eq!(reader.outdated.is_some(), reader.behind > 0);
        let text = reader.to_string();
        assert!(text.starts_with(&format!("process {} (", std::process::id())), "{text}");
        assert!(
            text.contains(&format!("reads transaction {}, {} behind", reader.txn, reader.behind))
        );
    }
    // What both see counts once.
    let all = db.held_back().unwrap();
    assert!(all >= held[0].max(held[1]) && all <= held[0] + held[1], "{all} of {held:?}");
    assert_eq!(db.info().unwrap().oldest_reader(), readers[0].outdated.max(readers[1].outdated));

    drop((old, middle, new));
    assert_eq!(db.held_back().unwrap(), 0);
    let mut txn = db.write().unwrap();
    txn.create_snapshot("named").unwrap();
    txn.commit().unwrap();
    fill(&db, Durability::Durable, 2_000, 4);
    assert!(db.held_back().unwrap() > 20, "a named snapshot does too");
    assert_clean(&db);
}

/// Of another process its command is shown while it lives.
#[test]
fn readers_of_another_process_are_shown() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    fill(&db, Durability::Durable, 100, 1);
    let mut child = Process::start("child", &["read", path.to_str().unwrap()]);
    child.expect("reading");
    fill(&db, Durability::Durable, 100, 2);
    let readers = db.readers().unwrap();
    assert_eq!(readers.len(), 1);
    assert!(readers[0].slot.unwrap().pid != std::process::id() && readers[0].is_alive());
    assert!(readers[0].command.as_ref().unwrap().contains("observing"), "{readers:?}");
    child.kill();
    for reader in db.readers().unwrap() {
        assert!(
            !reader.is_alive()
                && reader.command.is_none()
                && reader.to_string().ends_with("; dead")
        );
    }
    assert_clean(&db);
}

/// Keeps a snapshot until it is killed.
#[test]
fn child() {
    let Some(args) = role() else { return };
    let db = open_at(Path::new(&args[1]), &Builder::default());
    let _txn = db.read().unwrap();
    say("reading");
    common::hear();
}

/// A handle that hands readers above a limit to this list, and waits for nothing: it looks at its
/// first commit.
fn told_of(path: &Path, limit: ReaderLimit) -> (Database, Arc<Mutex<Vec<Reader>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&told);
    let callback = move |reader: &Reader| list.lock().unwrap().push(reader.clone());
    (open_at(path, Builder::default().on_slow_reader(limit, callback)), told)
}

/// A file with a reader that holds back many pages, and one that holds back none.
fn with_slow_reader(path: &Path) -> (Database, recto::ReadTxn, u64) {
    let db = open_at(path, &Builder::default());
    fill(&db, Durability::Durable, 2_000, 1);
    let old = db.read().unwrap();
    for round in 2..4 {
        fill(&db, Durability::Durable, 2_000, round);
    }
    let held = db.pages_held(&[old.id()]).unwrap()[0];
    assert!(held > 20);
    (db, old, held)
}

#[test]
fn a_reader_that_holds_back_too_many_pages_is_told_of_once() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let (db, old, held) = with_slow_reader(&path);
    let new = db.read().unwrap();

    let (above, none) = told_of(&path, ReaderLimit::new().pages(held * 2));
    fill(&above, Durability::Durable, 1, 5);
    assert_eq!(*none.lock().unwrap(), []);
    let (off, nobody) = told_of(&path, ReaderLimit::new());
    fill(&off, Durability::Durable, 1, 6);
    assert_eq!(*nobody.lock().unwrap(), []);

    let (watched, told) = told_of(&path, ReaderLimit::new().pages(held - 1));
    drop(watched.write().unwrap());
    assert_eq!(*told.lock().unwrap(), [], "only commits look");
    fill(&watched, Durability::Durable, 1, 7);
    {
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].txn, old.id());
        assert!(told[0].pages_held.unwrap() >= held && told[0].command.is_some());
    }
    assert_eq!(counters(&watched).slow_readers, 1);
    // Looks of later seconds find it too, and say nothing.
    for round in 0..3 {
        std::thread::sleep(Duration::from_millis(1_100));
        fill(&watched, Durability::Deferred, 1, 8 + round);
    }
    assert_eq!(told.lock().unwrap().len(), 1);
    assert_clean(&watched);
    drop((old, new, db));
}

/// What its snapshot sees waits for the name, and ending the reader would free nothing.
#[test]
fn a_reader_of_a_named_snapshot_is_told_of_when_the_name_is_gone() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let db = open_at(&path, &Builder::default());
    fill(&db, Durability::Durable, 2_000, 1);
    let mut txn = db.write().unwrap();
    txn.create_snapshot("named").unwrap();
    txn.commit().unwrap();
    for round in 2..4 {
        fill(&db, Durability::Durable, 2_000, round);
    }
    let reader = db.read_snapshot("named").unwrap();
    let held = db.held_back().unwrap();
    assert!(held > 20);
    let limits = [ReaderLimit::new().pages(20), ReaderLimit::new().outdated(Duration::ZERO)];
    let watched = limits.map(|limit| told_of(&path, limit));
    for (round, (watched, told)) in watched.iter().enumerate() {
        fill(watched, Durability::Durable, 1, 5 + round as u64);
        assert_eq!(*told.lock().unwrap(), []);
    }
    let shown = db.readers().unwrap();
    assert_eq!((shown.len(), shown[0].txn), (1, reader.id()));
    assert_eq!(shown[0].pages_held, Some(0));
    assert!(db.held_back().unwrap() >= held, "the name does");

    let mut txn = db.write().unwrap();
    assert!(txn.drop_snapshot("named").unwrap());
    txn.commit().unwrap();
    drop(watched);
    let (watched, told) = told_of(&path, limits[0]);
    fill(&watched, Durability::Durable, 1, 9);
    let told: Vec<_> = told.lock().unwrap().iter().map(|it| (it.txn, it.pages_held)).collect();
    let pages = db.readers().unwrap()[0].pages_held;
    assert!(pages.is_some_and(|pages| pages > 20), "{pages:?}");
    assert_eq!(told, [(reader.id(), pages)]);
    assert_clean(&db);
}

#[test]
fn a_reader_that_is_too_old_is_told_of() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let (_db, old, _) = with_slow_reader(&path);
    let (young, none) = told_of(&path, ReaderLimit::new().outdated(Duration::from_secs(1 << 30)));
    fill(&young, Durability::Durable, 1, 5);
    assert_eq!(*none.lock().unwrap(), []);
    let (watched, told) = told_of(&path, ReaderLimit::new().outdated(Duration::ZERO));
    fill(&watched, Durability::Deferred, 1, 6);
    let found: Vec<_> = told.lock().unwrap().iter().map(|reader| reader.txn).collect();
    assert_eq!(found, [old.id()]);
    assert_clean(&watched);
}

/// The commit has happened, and nothing is locked.
#[test]
fn a_callback_may_commit_and_may_panic() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let (db, old, _) = with_slow_reader(&path);
    let (other, calls) = (db.clone(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&calls);
    let callback = move |_: &Reader| {
        counted.fetch_add(1, Ordering::SeqCst);
        other.flush().unwrap();
        common::put(&other, b"from the callback", b"");
        panic!("this panic is part of the test");
    };
    let limit = ReaderLimit::new().pages(1);
    let watched = open_at(&path, Builder::default().on_slow_reader(limit, callback));
    fill(&watched, Durability::Deferred, 1, 5);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    common::put(&watched, b"afterwards", b"");
    let txn = watched.read().unwrap();
    let table = txn.table("main").unwrap();
    assert!(table.contains_key(b"from the callback").unwrap());
    assert!(table.contains_key(b"afterwards").unwrap());
    drop(old);
    assert_clean(&watched);
}

/// A callback that commits through its own handle is not called again by that.
#[test]
fn a_callback_is_not_called_by_its_own_commits() {
    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let (_db, _old, _) = with_slow_reader(&path);
    let own = Arc::new(Mutex::new(None::<Database>));
    let (handle, calls) = (Arc::clone(&own), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&calls);
    let callback = move |_: &Reader| {
        counted.fetch_add(1, Ordering::SeqCst);
        let db = handle.lock().unwrap().clone().unwrap();
        fill(&db, Durability::Deferred, 1, 9);
    };
    let limit = ReaderLimit::new().pages(1);
    let db = open_at(&path, Builder::default().on_slow_reader(limit, callback));
    *own.lock().unwrap() = Some(db.clone());
    fill(&db, Durability::Deferred, 1, 5);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    *own.lock().unwrap() = None;
    assert_clean(&db);
}

/// Everything of interest once: spans, events and metrics of all kinds.
fn scenario() {
    let disk = machine(8);
    let db = enter(&disk, &Database::builder());
    common::sim::put(&db, Durability::Durable, 0..1);
    let before = disk.bytes();
    common::sim::put(&db, Durability::Deferred, 1..2);
    refused(&disk, &db, &before);
    drop(db.write().unwrap());
    common::sim::put(&db, Durability::Durable, 1..2);
    assert_clean(&db);
    drop(db);

    let dir = memory_dir();
    let path = dir.path().join("x.recto");
    let (db, old, _) = with_slow_reader(&path);
    let (watched, told) = told_of(&path, ReaderLimit::new().pages(1));
    common::put(&watched, b"key", b"");
    assert_eq!(told.lock().unwrap().len(), 1);
    drop((old, db));
    write(&watched, Durability::Durable, |txn| {
        let mut table = txn.open_table("big").unwrap();
        table.put(b"key", &vec![1; 16 << 20]).unwrap();
    });
    write(&watched, Durability::Durable, |txn| assert!(txn.drop_table("big").unwrap()));
    for round in 0..20 {
        common::put(&watched, b"key", &[round]);
    }
    assert!(counters(&watched).bytes_cut > 0);
    assert_clean(&watched);
}

/// What a subscriber hears: names of spans and events, each with its fields.
#[derive(Default)]
struct Heard {
    spans: BTreeMap<&'static str, BTreeSet<&'static str>>,
    events: BTreeMap<String, BTreeSet<&'static str>>,
    /// Spans that are entered, by number, with the names of all.
    open: Vec<u64>,
    names: Vec<&'static str>,
    /// Spans that were entered in others.
    inside: BTreeSet<(&'static str, &'static str)>,
}

#[derive(Clone, Default)]
struct Subscriber(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Fields {
    message: String,
    names: BTreeSet<&'static str>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => _ = self.names.insert(name),
        }
    }
}

impl tracing::Subscriber for Subscriber {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "recto"
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        let mut heard = self.0.lock().unwrap();
        let mut fields = Fields::default();
        span.record(&mut fields);
        let name = span.metadata().name();
        heard.spans.entry(name).or_default().extend(fields.names);
        heard.names.push(name);
        tracing::span::Id::from_u64(heard.names.len() as u64)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut heard = self.0.lock().unwrap();
        heard.events.entry(fields.message).or_default().extend(fields.names);
    }

    fn enter(&self, span: &tracing::span::Id) {
        let mut heard = self.0.lock().unwrap();
        let name_of = |heard: &Heard, id: u64| heard.names[id as usize - 1];
        let own = name_of(&heard, span.into_u64());
        if let Some(&outer) = heard.open.last() {
            let outer = name_of(&heard, outer);
            heard.inside.insert((outer, own));
        }
        heard.open.push(span.into_u64());
    }

    fn exit(&self, span: &tracing::span::Id) {
        let mut heard = self.0.lock().unwrap();
        assert_eq!(heard.open.pop(), Some(span.into_u64()), "spans end inside of each other");
    }
}

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/observing.md");
    std::fs::read_to_string(path).unwrap()
}

/// First cells of the table below a heading, and the words in backquotes in the last one.
fn table(heading: &str) -> BTreeMap<String, BTreeSet<String>> {
    let document = document();
    let (_, section) = document.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
    let rows = section.lines().skip_while(|line| !line.starts_with("| ---")).skip(1);
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let words = cells[cells.len() - 1].split('`').skip(1).step_by(2).map(String::from);
        (cells[0].trim_matches('`').to_owned(), words.collect())
    };
    rows.take_while(|line| line.starts_with('|')).map(row).collect()
}

/// Everything that is told stands in the document with its fields, and the other way round.
#[test]
fn spans_and_events_are_those_of_the_document() {
    let subscriber = Subscriber::default();
    tracing::subscriber::with_default(subscriber.clone(), scenario);
    let heard = subscriber.0.lock().unwrap();
    let owned = |set: &BTreeSet<&'static str>| set.iter().map(|s| s.to_string()).collect();
    let spans = heard.spans.iter().map(|(name, fields)| (name.to_string(), owned(fields)));
    assert_eq!(spans.collect::<BTreeMap<_, BTreeSet<_>>>(), table("### Spans"));
    let events = heard.events.iter().map(|(name, fields)| (name.clone(), owned(fields)));
    assert_eq!(events.collect::<BTreeMap<_, BTreeSet<_>>>(), table("### Events"));
    assert!(heard.inside.contains(&("commit", "flush")), "{:?}", heard.inside);
    assert_eq!(heard.open, [0; 0]);
}

/// A recorder that adds up what it is told.
#[derive(Default)]
struct Recorder(Mutex<BTreeMap<String, Arc<Value>>>);

#[derive(Default)]
struct Value(AtomicU64);

impl CounterFn for Value {
    fn increment(&self, more: u64) {
        self.0.fetch_add(more, Ordering::SeqCst);
    }
    fn absolute(&self, _: u64) {
        panic!("two handles of a file would overwrite each other");
    }
}

impl GaugeFn for Value {
    fn increment(&self, _: f64) {
        panic!("gauges are set");
    }
    fn decrement(&self, _: f64) {
        panic!("gauges are set");
    }
    fn set(&self, value: f64) {
        self.0.store(value as u64, Ordering::SeqCst);
    }
}

impl HistogramFn for Value {
    fn record(&self, seconds: f64) {
        assert!((0.0..3_600.0).contains(&seconds), "{seconds} s");
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Recorder {
    /// Counts under the name with the labels but that of the database, which each must have.
    fn of(&self, key: &Key) -> Arc<Value> {
        let labels: Vec<_> = key.labels().map(|label| (label.key(), label.value())).collect();
        assert!(labels.iter().any(|(name, value)| *name == "database" && !value.is_empty()));
        let rest = labels.iter().filter(|(name, _)| *name != "database");
        let name = rest.fold(key.name().to_owned(), |name, (_, value)| format!("{name} {value}"));
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }

    fn names(&self) -> BTreeSet<String> {
        let names = self.0.lock().unwrap();
        names.keys().map(|name| name.split(' ').next().unwrap().to_owned()).collect()
    }

    fn value(&self, name: &str) -> u64 {
        self.0.lock().unwrap().get(name).map_or(0, |value| value.0.load(Ordering::SeqCst))
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> metrics::Counter {
        metrics::Counter::from_arc(self.of(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> metrics::Gauge {
        metrics::Gauge::from_arc(self.of(key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> metrics::Histogram {
        metrics::Histogram::from_arc(self.of(key))
    }
}

/// Names of the fields of the counters.
fn fields() -> BTreeSet<String> {
    let text = format!("{:?}", Counters::default());
    let fields = text.trim_start_matches("Counters { ").trim_end_matches(" }").split(", ");
    fields.map(|field| field.split(':').next().unwrap().to_owned()).collect()
}

#[test]
fn metrics_are_those_of_the_document_and_of_the_counters() {
    let recorder = Recorder::default();
    let (info, old) = metrics::with_local_recorder(&recorder, || {
        let dir = memory_dir();
        let db = open_at(&dir.path().join("x.recto"), Builder::default().stage_bytes(16 << 12));
        for round in 0..10 {
            let durability = if round < 5 { Durability::Durable } else { Durability::Deferred };
            fill(&db, durability, 3_000, round);
        }
        drop(db.write().unwrap());
        db.flush().unwrap();
        db.write().unwrap().commit().unwrap();
        assert_clean(&db);
        (db.info().unwrap(), counters(&db))
    });
    assert_eq!(info.counters, old);
    let Info { counters, file_bytes, page_count, free_pages, .. } = info;
    for (name, value) in [
        ("recto_durable_commits_total", counters.durable_commits),
        ("recto_deferred_commits_total", counters.deferred_commits),
        ("recto_unchanged_commits_total", counters.unchanged_commits),
        ("recto_aborts_total", counters.aborts),
        ("recto_flushes_total", counters.flushes),
        ("recto_pages_written_total", counters.pages_written),
        ("recto_bytes_written_total", counters.bytes_written),
        ("recto_pages_copied_total", counters.pages_copied),
        ("recto_pages_spilled_total", counters.pages_spilled),
        ("recto_pages_reused_total", counters.pages_reused),
        ("recto_pages_added_total", counters.pages_added),
        ("recto_bytes_grown_total", counters.bytes_grown),
        ("recto_commit_seconds ok", 11),
        ("recto_flush_seconds ok", counters.flushes),
        ("recto_file_bytes", file_bytes),
        ("recto_pages", page_count),
        ("recto_free_pages", free_pages),
    ] {
        assert_eq!(recorder.value(name), value, "{name}");
        assert!(value > 0, "{name}");
    }

    let recorder = Recorder::default();
    metrics::with_local_recorder(&recorder, scenario);
    assert!(recorder.value("recto_flush_seconds error") > 0);
    let mut documented: BTreeSet<String> =
        fields().iter().map(|field| format!("recto_{field}_total")).collect();
    documented.extend(table("### Gauges and durations").into_keys());
    let unknown: Vec<_> = recorder.names().difference(&documented).cloned().collect();
    assert_eq!(unknown, [""; 0]);
    let told = recorder.names();
    for name in table("### Gauges and durations").into_keys() {
        assert!(told.contains(&name), "{name} is told to nobody");
    }
    let counted: BTreeSet<_> = table("### Counters").into_keys().collect();
    assert_eq!(counted, fields(), "the table of counters");
}
