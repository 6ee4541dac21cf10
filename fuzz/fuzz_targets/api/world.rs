//! What a program of calls does with a database: opens it, begins and ends transactions, reads.

use super::call::Call;
use super::checks::{looks, looks_at_set, same};
use super::*;

impl World {
    pub(super) fn new(input: &Input) -> Option<World> {
        let (opening, size) = (input.opening, input.opening.page_size());
        let builder = opening.builder();
        let is_size = size.is_power_of_two() && (4096..=65_536).contains(&size);
        let (disk, db) = match input.disk && is_size {
            true => {
                let disk = machine(&new_file(size), size, 1).expect("memory suffices");
                let db = open(process(&disk, opening), &builder).expect("a new file");
                (Some(disk), db)
            }
            false => match builder.in_memory() {
                Ok(db) => (None, db),
                Err(e) => {
                    assert!(!is_size && e.kind() == ErrorKind::InvalidArgument, "{e}");
                    return None;
                }
            },
        };
        let max_key = db.max_key_len();
        Some(World {
            disk,
            db: Some(db),
            opening,
            committed: Model::new(),
            named: BTreeMap::new(),
            writing: None,
            readers: Vec::new(),
            ids: Vec::new(),
            serials: 0,
            loaders: Vec::new(),
            changes: Vec::new(),
            max_key,
        })
    }

    fn db(&self) -> &Database {
        self.db.as_ref().expect("it is open between operations")
    }

    /// A number for a table that is made.
    fn serial(&mut self) -> u64 {
        self.serials += 1;
        self.serials
    }

    pub(super) fn step(&mut self, op: &Op) {
        match op {
            Op::Write(how) => self.write(*how),
            Op::Commit(durable, how) => self.commit(*durable, *how),
            Op::Abort => {
                if let Some(writing) = self.writing.take() {
                    writing.txn.abort();
                }
            }
            Op::Batch(name, key, value, fails) => self.batch(*name, key, value, *fails),
            Op::Read => {
                if self.readers.len() < 6 {
                    let txn = self.db().read().expect("a slot is free");
                    self.readers.push((Arc::new(txn), self.committed.clone()));
                }
            }
            Op::Refresh(which) => {
                let committed = self.committed.clone();
                if let Some((txn, model)) = of(&mut self.readers, *which)
                    && let Some(txn) = Arc::get_mut(txn)
                {
                    let before = txn.id();
                    let moved = txn.refresh().expect("nothing is lost");
                    assert_eq!(moved, txn.id() != before);
                    *model = committed;
                }
            }
            Op::EndRead(which) => {
                if !self.readers.is_empty() {
                    let at = usize::from(*which) % self.readers.len();
                    let (txn, model) = self.readers.remove(at);
                    same(&txn, &model);
                }
            }
            Op::ReadNamed(name) => {
                match (self.db().read_snapshot(&name.get()), self.named.get(&name.get())) {
                    (Ok(txn), Some(model)) => same(&txn, model),
                    (Err(Error::NoSuchSnapshot(_)), None) => {}
                    (other, model) => panic!("{:?}, and {} there", other.err(), model.is_some()),
                }
            }
            Op::Flush => {
                let writes = self.writing.is_some();
                match self.db().flush() {
                    Ok(()) => {}
                    // It may have to repair, or to build what is waited for.
                    Err(e) => assert!(writes && e.kind() == ErrorKind::WriterOnThisThread, "{e}"),
                }
            }
            Op::Open(..)
            | Op::OpenWith(..)
            | Op::OpenOrdered(_)
            | Op::Create(..)
            | Op::OpenSet(..)
            | Op::DropTable(_)
            | Op::Rename(..)
            | Op::Copy(..)
            | Op::Edit(..)
            | Op::EditSet(..)
            | Op::Look(..)
            | Op::LookSet(..)
            | Op::ById(..)
            | Op::NewCursor(_)
            | Op::Move(..)
            | Op::Change(..)
            | Op::NewSetCursor(_)
            | Op::MoveSet(..)
            | Op::ChangeSet(..)
            | Op::Save
            | Op::Back(_)
            | Op::Keep(_)
            | Op::Nested(..)
            | Op::NameSnapshot(_)
            | Op::DropSnapshot(_)
            | Op::Typed(..)
            | Op::TypedSet(..)
            | Op::Otherwise(_)
            | Op::Finish(..) => self.in_transaction(op),
            Op::Snapshots => {
                let names = self.db().snapshots().expect("intact");
                assert!(names.iter().map(|info| &info.name).eq(self.named.keys()));
            }
            Op::ReadTable(which, name, look) => {
                if let Some((txn, model)) = of(&mut self.readers, *which) {
                    let name = name.get();
                    let table =
                        taken(txn.table(&name), &[ErrorKind::NoSuchTable, ErrorKind::TableOptions]);
                    match (table, model.get(&name).map(|t| &t.rows)) {
                        (Done(table), Some(Rows::Map(pairs))) => {
                            looks(&table, pairs, look, self.max_key)
                        }
                        (Refused, None | Some(Rows::Set(..))) => {}
                        _ => panic!("{name:?} is there, or is not"),
                    }
                }
            }
            Op::ReadSet(which, name, key, values, turns) => {
                if let Some((txn, model)) = of(&mut self.readers, *which) {
                    let name = name.get();
                    let set =
                        taken(txn.set(&name), &[ErrorKind::NoSuchTable, ErrorKind::TableOptions]);
                    match (set, model.get(&name).map(|t| &t.rows)) {
                        (Done(set), Some(Rows::Set(_, pairs))) => {
                            looks_at_set(&set, pairs, key, values, *turns)
                        }
                        (Refused, None | Some(Rows::Map(_))) => {}
                        _ => panic!("{name:?} is there, or is not"),
                    }
                }
            }
            Op::Owned(which, name, keys, turns) => self.owned(*which, *name, keys, *turns),
            Op::Diff(one, other, name, keys) => self.diff(*one, *other, *name, keys),
            Op::NewLoader(map, size, memory, number) => {
                let kind = if *map { TableKind::Map } else { TableKind::Set { value_size: *size } };
                let memory = [0, 1, usize::MAX / 4, 70_000][usize::from(*memory) % 4];
                let order = order(*number);
                let options = LoadOptions::default().memory(memory).order(order.clone());
                if self.loaders.len() < 3 {
                    let loader = self.db().loader(kind, &options);
                    self.loaders.push(Loading { loader, kind, order, pushed: Vec::new() });
                }
            }
            Op::Push(which, key, value, count) => self.push(*which, key, value, *count),
            Op::Info => {
                let info = self.db().info().expect("it is there");
                assert!(info.durable <= info.visible && info.visible <= info.built);
                let _ = (info.lag(), info.used_pages(), info.oldest_reader(), format!("{info:?}"));
                let readers = self.db().readers().expect("it is there");
                readers.iter().for_each(|reader| drop(reader.to_string()));
                let held = self.db().held_back();
                let kinds = [ErrorKind::Busy, ErrorKind::WriterOnThisThread];
                assert!(held.is_ok() || held.is_err_and(|e| kinds.contains(&e.kind())));
            }
            Op::PagesHeld(ids) => match self.db().pages_held(ids) {
                Ok(held) => assert_eq!(held.len(), ids.len()),
                Err(e) => assert!(
                    [ErrorKind::Busy, ErrorKind::InvalidArgument].contains(&e.kind()),
                    "{e}"
                ),
            },
            Op::WaitFor(id) => {
                let now =
                    self.db().wait_for_commit(*id, Some(Duration::ZERO)).expect("it is there");
                assert_eq!(now, self.db().read().expect("a slot is free").id());
            }
            Op::Since(id) => {
                if self.changes.len() < 3 {
                    let changes = self.db().changes_since(*id);
                    self.changes.push(changes);
                    let changes = self.db().changes().expect("it is there");
                    match changes.with_snapshots() {
                        Ok(changes) => self.changes.push(changes),
                        Err(e) => panic!("{e}"),
                    }
                }
            }
            Op::Changes(which) => {
                if let Some(changes) = of(&mut self.changes, *which)
                    && let Some(news) = changes.wait(Some(Duration::ZERO)).expect("it is there")
                {
                    assert!(news.from() <= news.to() || news.snapshots().is_none());
                    match news.tables() {
                        Ok(_) => assert!(news.snapshots().is_some()),
                        Err(e) => assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{e}"),
                    }
                }
            }
            Op::Check => match self.db().check(None) {
                Ok(report) => {
                    assert_eq!(report.fault_count, 0, "{:?}", report.faults);
                    let _ = (report.fill(), report.entries(), report.usable_pages());
                }
                Err(e) => assert!(
                    [ErrorKind::Busy, ErrorKind::WriterOnThisThread].contains(&e.kind()),
                    "{e}"
                ),
            },
            Op::Salvage(name, keys, reverse) => self.salvage(*name, keys, *reverse),
            Op::WarmUp(stops) => {
                let step =
                    |_, _| if *stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
                self.db().warm_up(step).expect("it is there");
            }
            Op::Reopen(opening, close) => self.reopen(*opening, *close),
        }
    }

    fn write(&mut self, how: u8) {
        let held = self.writing.is_some();
        let begun = match how % 3 {
            0 => self.db().write().map(Some),
            1 => self.db().try_write(),
            _ => self.db().write_timeout(Duration::ZERO).map(Some),
        };
        match begun {
            Ok(Some(txn)) => {
                assert!(!held, "two write transactions");
                let model = self.committed.clone();
                let named = self.named.clone();
                let (saved, cursors, set_cursors) = Default::default();
                let broken = false;
                self.writing =
                    Some(Writing { txn, model, named, saved, broken, cursors, set_cursors });
            }
            Ok(None) => assert!(held),
            Err(e) => {
                let kinds = [ErrorKind::WriterOnThisThread, ErrorKind::Busy];
                assert!(held && kinds.contains(&e.kind()), "{e}");
            }
        }
    }

    fn commit(&mut self, durable: bool, how: u8) {
        let Some(Writing { mut txn, model, named, broken, .. }) = self.writing.take() else {
            return;
        };
        txn.set_durability(if durable { Durability::Durable } else { Durability::Deferred });
        let done = match how % 4 {
            0 => txn.commit_with_report().map(drop),
            1 => txn.commit_async().wait().map(drop),
            2 => {
                let future = txn.commit_async();
                while !future.is_ready() {
                    std::thread::yield_now();
                }
                future.wait().map(drop)
            }
            _ => txn.commit(),
        };
        match done {
            Ok(()) => {
                assert!(!broken, "a broken transaction is committed");
                (self.committed, self.named) = (model, named);
            }
            Err(e) => {
                let full = [ErrorKind::DatabaseFull, ErrorKind::DiskFull].contains(&e.kind());
                assert!(full || broken && e.kind() == ErrorKind::TransactionBroken, "{e}");
            }
        }
    }

    fn batch(&mut self, name: Name, key: &Bytes, value: &Bytes, fails: bool) {
        let (name, key, value) = (name.get(), key.key(), value.get());
        let put = (name.clone(), key.clone(), value.clone());
        let done = self.db().batch(move |txn| {
            let (name, key, value) = &put;
            let there = txn.open_table(name)?.put(key, value)?;
            if fails { Err(Error::InvalidArgument("on purpose".into())) } else { Ok(there) }
        });
        let may = [
            ErrorKind::KeyTooLong,
            ErrorKind::InvalidArgument,
            ErrorKind::TableOptions,
            ErrorKind::WriterOnThisThread,
        ];
        if let Done(there) = taken(done, &may) {
            assert!(!fails && self.writing.is_none());
            let serial = self.serial();
            let table = self.committed.entry(name).or_insert_with(|| new_map(serial));
            let Rows::Map(pairs) = &mut table.rows else { panic!("a pair in a table of sets") };
            assert_eq!(there, pairs.insert(key, value).is_some());
        }
    }

    fn owned(&mut self, which: u8, name: Name, keys: &Keys, turns: u32) {
        let Some((txn, model)) = of(&mut self.readers, which) else { return };
        let (name, keys) = (name.get(), keys.get());
        let may = [ErrorKind::NoSuchTable, ErrorKind::TableOptions];
        let Done(table) = taken(txn.owned_table(&name), &may) else { return };
        let Some(Modelled { rows: Rows::Map(pairs), .. }) = model.get(&name) else {
            panic!("{name:?} is no table")
        };
        assert_eq!(table.len(), pairs.len() as u64);
        let mut expected: Vec<_> =
            pairs.iter().filter(|(key, _)| pairs.is_in(key, &keys)).collect();
        let mut range = table.range(keys).expect("any bounds");
        let mut cursor = table.cursor();
        for turn in 0..40 {
            let forward = turns.rotate_right(turn) & 1 > 0;
            let found = if forward { range.next_ref() } else { range.next_back_ref() };
            let wanted = match (expected.is_empty(), forward) {
                (true, _) => None,
                (_, true) => Some(expected.remove(0)),
                (_, false) => expected.pop(),
            };
            let wanted = wanted.map(|(key, value)| (&key[..], &value[..]));
            assert_eq!(found.expect("intact"), wanted);
            if let Some((key, value)) = wanted {
                assert_eq!(cursor.seek(key).expect("intact"), Some((key, value)));
            }
        }
    }

    fn diff(&mut self, one: u8, other: u8, name: Name, keys: &Keys) {
        if self.readers.is_empty() {
            return;
        }
        let count = self.readers.len();
        let [(newer, new), (older, old)] =
            [one, other].map(|n| &self.readers[usize::from(n) % count]);
        let (name, keys) = (name.get(), keys.get());
        newer.diff_tables(older).expect("of one handle");
        let rows = |model: &'_ Model| model.get(&name).map(|table| table.rows.clone());
        let (new, old) = match (rows(new), rows(old)) {
            (Some(Rows::Set(_, new)), Some(Rows::Set(_, old))) => (new, old),
            (Some(Rows::Set(_, pairs)), None) => (pairs.clone(), Pairs::new(&pairs.order)),
            (None, Some(Rows::Set(_, pairs))) => (Pairs::new(&pairs.order), pairs),
            (new, old) => return diff_maps(newer, older, &name, &keys, new, old),
        };
        let diff = newer.diff_set(older, &name, keys.clone());
        let may: &[ErrorKind] =
            if new.order == old.order { &[] } else { &[ErrorKind::InvalidArgument] };
        let Done(mut diff) = taken(diff, may) else { return };
        let is_in = |pair: &&Pair| new.is_in(&pair.0, &keys);
        let only = |of: &Pairs, other: &Pairs, change| -> Vec<(Pair, PairChange)> {
            let others = of.list.iter().filter(is_in);
            let only = others.filter(|pair| other.place(&pair.0, &pair.1).is_err());
            only.map(|pair| (pair.clone(), change)).collect()
        };
        let mut expected = only(&new, &old, PairChange::Added);
        expected.extend(only(&old, &new, PairChange::Removed));
        expected.sort_by(|(a, _), (b, _)| (new.compare)(&a.0, &b.0).then_with(|| a.1.cmp(&b.1)));
        for turn in 0.. {
            // From both ends, in turns of three and one.
            let forward = turn % 4 > 0;
            let found = if forward { diff.next() } else { diff.next_back() };
            let found = found.map(|change| change.expect("intact"));
            let found = found.map(|(key, value, change)| ((key.to_vec(), value.to_vec()), change));
            let wanted = match (expected.is_empty(), forward) {
                (true, _) => None,
                (_, true) => Some(expected.remove(0)),
                (_, false) => expected.pop(),
            };
            assert_eq!(found, wanted);
            if wanted.is_none() {
                break;
            }
        }
    }

    fn push(&mut self, which: u8, key: &Bytes, value: &Bytes, count: u8) {
        let max_key = self.max_key;
        let Some(Loading { loader, kind, order, pushed }) = of(&mut self.loaders, which) else {
            return;
        };
        let of_order = Pairs::new(order);
        let is_set = matches!(kind, TableKind::Set { .. });
        for n in 0..=count % 32 {
            let (mut key, value) =
                (of_order.key(key), if is_set { value.key() } else { value.get() });
            if n > 0 {
                key.push(n);
            }
            let before = loader.pushed();
            match loader.push(&key, &value) {
                Ok(()) => {
                    assert!(key.len() <= of_order.max_key(max_key));
                    pushed.push((key, value));
                }
                Err(e) => {
                    let size = match kind {
                        TableKind::Set { value_size } => usize::from(*value_size),
                        _ => 0,
                    };
                    let right = match e.kind() {
                        ErrorKind::KeyTooLong => key.len() > of_order.max_key(max_key),
                        // Of no function.
                        ErrorKind::NoSuchOrder => matches!(order, Order::Custom(_)),
                        ErrorKind::InvalidArgument
                            if *order == Order::Integers && ![4, 8].contains(&key.len()) =>
                        {
                            true
                        }
                        ErrorKind::ValueTooLong | ErrorKind::InvalidArgument => {
                            value.len() > max_key
                                || size > max_key
                                || size > 0 && value.len() != size
                        }
                        _ => false,
                    };
                    assert!(right, "{e}");
                    assert_eq!(loader.pushed(), before);
                }
            }
        }
    }

    fn salvage(&mut self, name: Option<Name>, keys: &Keys, reverse: bool) {
        let name = name.map(Name::get);
        let (low, high) = keys.get();
        let mut part = Part::default();
        (part.table, part.reverse) = (name.as_deref(), reverse);
        (part.start, part.end) =
            (low.as_ref().map(|key| &key[..]), high.as_ref().map(|key| &key[..]));
        let mut count = 0u64;
        let report = self.db().salvage(part, SalvageOptions::default(), &mut |_| {
            count += 1;
            Ok(())
        });
        match report {
            Ok(report) => assert!(report.is_whole() && report.pairs() == count, "{report:?}"),
            Err(e) => {
                let kinds = [ErrorKind::NoSuchTable, ErrorKind::Busy, ErrorKind::InvalidArgument];
                assert!(kinds.contains(&e.kind()), "{e}");
            }
        }
    }

    /// Closes the database and opens it with other options.
    fn reopen(&mut self, opening: Opening, close: bool) {
        let Some(disk) = &self.disk else { return };
        let opening = Opening { page_size: self.opening.page_size, ..opening };
        self.writing = None;
        for (txn, model) in self.readers.drain(..) {
            same(&txn, &model);
        }
        self.changes.clear();
        self.loaders.clear();
        self.ids.clear();
        let db = self.db.take().expect("it is open");
        match close {
            true => db.close().expect("the device takes everything"),
            false => drop(db),
        }
        let db = open(process(disk, opening), &opening.builder()).expect("it was closed");
        same(&db.read().expect("a slot is free"), &self.committed);
        self.opening = opening;
        self.db = Some(db);
    }

    pub(super) fn finish(mut self) {
        self.writing = None;
        for (txn, model) in &self.readers {
            same(txn, model);
        }
        self.readers.clear();
        self.changes.clear();
        let db = self.db.take().expect("it is open");
        same(&db.read().expect("a slot is free"), &self.committed);
        for (name, model) in &self.named {
            same(&db.read_snapshot(name).expect("it is listed"), model);
        }
        let report = db.check(None).expect("check runs");
        assert_eq!(report.fault_count, 0, "{:?}", report.faults);
        drop(db);
        self.loaders.clear();
        threads_end();
    }

    fn in_transaction(&mut self, op: &Op) {
        let next = self.serial();
        let Some(writing) = &mut self.writing else { return };
        let mut call = Call {
            writing,
            ids: &mut self.ids,
            loaders: &mut self.loaders,
            base: &self.committed,
            next,
            max_key: self.max_key,
        };
        let was_broken = call.writing.broken;
        let done = call.perform(op);
        if was_broken {
            return;
        }
        if matches!(done, Broken) {
            let writing = self.writing.as_mut().expect("as before");
            // What has failed in a nested transaction is undone with it.
            let tables = writing.txn.tables().map_err(|e| e.kind());
            writing.broken = tables == Err(ErrorKind::TransactionBroken);
        }
    }
}

/// A thread of a handle ends by itself, and nobody waits for it: what it has in its last moments is
/// no leak.
pub(super) fn threads_end() {
    let is_ours = |task: std::io::Result<std::fs::DirEntry>| {
        let name = task.and_then(|task| std::fs::read_to_string(task.path().join("comm")));
        name.is_ok_and(|name| name.starts_with("recto-"))
    };
    for _ in 0..1_000 {
        let Ok(mut tasks) = std::fs::read_dir("/proc/self/task") else { return };
        if !tasks.any(is_ours) {
            return;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

pub(super) fn process(disk: &SimDisk, opening: Opening) -> Arc<recto::harness::sim::SimProcess> {
    disk.process(ProcessOptions { direct: opening.sink, ..ProcessOptions::default() })
}

/// What differs between two tables that are not both of sets.
pub(super) fn diff_maps(
    newer: &ReadTxn,
    older: &ReadTxn,
    name: &str,
    keys: &Ends,
    new: Option<Rows>,
    old: Option<Rows>,
) {
    let may = [ErrorKind::NoSuchTable, ErrorKind::TableOptions, ErrorKind::InvalidArgument];
    let Done(diff) = taken(newer.diff(older, name, keys.clone()), &may) else {
        let order = |rows: &Option<Rows>| match rows {
            Some(Rows::Map(pairs)) => Some(pairs.order.clone()),
            _ => None,
        };
        let (new, old) = (order(&new), order(&old));
        assert!(new.is_none() || old.is_none() || new != old, "maps of one order");
        return;
    };
    let (new, old) = match (new, old) {
        (Some(Rows::Map(new)), Some(Rows::Map(old))) => (new, old),
        (Some(Rows::Map(pairs)), None) => (pairs.clone(), Pairs::new(&pairs.order)),
        (None, Some(Rows::Map(pairs))) => (Pairs::new(&pairs.order), pairs),
        // A map that has become a table of sets, or the other way round.
        _ => return diff.for_each(|change| drop(change.expect("intact"))),
    };
    let mut all: Vec<_> = new.keys().chain(old.keys()).filter(|key| new.is_in(key, keys)).collect();
    all.sort_by(|a, b| (new.compare)(a, b));
    all.dedup();
    let mut expected = all.into_iter().filter(|key| new.get(key) != old.get(key));
    for change in diff {
        let (key, change): (_, Change<'_>) = change.expect("intact");
        let wanted = expected.next().expect("no more than there are");
        assert_eq!(&key[..], &wanted[..]);
        assert_eq!(change.new(), new.get(wanted).map(|v| &v[..]));
        assert_eq!(change.old(), old.get(wanted).map(|v| &v[..]));
    }
    assert!(expected.next().is_none());
}
