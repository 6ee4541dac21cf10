//! Calls within a write transaction, beside their model.

use super::checks::{edits, looks, looks_at_set, moved, set_edits};
use super::*;

/// One call within a write transaction.
pub(super) struct Call<'w> {
    pub(super) writing: &'w mut Writing,
    pub(super) ids: &'w mut Vec<(TableId, u64)>,
    pub(super) loaders: &'w mut Vec<Loading>,
    /// What the transaction has begun from.
    pub(super) base: &'w Model,
    pub(super) next: u64,
    pub(super) max_key: usize,
}

const OPENING: &[ErrorKind] =
    &[ErrorKind::InvalidArgument, ErrorKind::TableOptions, ErrorKind::NoSuchOrder];

impl Call<'_> {
    /// The name of a table now.
    fn name_of(&self, serial: u64) -> Option<String> {
        let mut all = self.writing.model.iter();
        all.find(|(_, table)| table.serial == serial).map(|(name, _)| name.clone())
    }

    pub(super) fn perform(&mut self, op: &Op) -> Taken<()> {
        let done = self.perform_or(op);
        if self.writing.broken {
            // What it says then need not be what the model has.
            return Broken;
        }
        done
    }

    fn perform_or(&mut self, op: &Op) -> Taken<()> {
        let broken = self.writing.broken;
        match op {
            Op::Open(name) => {
                let name = name.get();
                let opened = self.writing.txn.open(&name);
                self.opened(name, opened, &TableOptions::default(), OPENING)
            }
            Op::OpenWith(name, options) => {
                let (name, options) = (name.get(), options.get());
                let opened = self.writing.txn.open_with(&name, &options);
                self.opened(name, opened, &options, OPENING)
            }
            Op::OpenOrdered(which) => {
                let (name, number, is_set) = ORDERED[usize::from(*which) % ORDERED.len()];
                let txn = &mut self.writing.txn;
                let options = if is_set { TableOptions::set() } else { TableOptions::default() };
                let options = options.ordered(order(number));
                let opened = match is_set {
                    true => txn.open_set_with(name, &options).map(|set| set.id()),
                    false => txn.open_with(name, &options),
                };
                self.opened(name.into(), opened, &options, OPENING)
            }
            Op::Create(name, options) => {
                let name = name.get();
                let there = self.writing.model.contains_key(&name);
                let txn = &mut self.writing.txn;
                let made = match options {
                    None => txn.create_table(&name).map(|table| table.id()),
                    Some(options) => txn.create_table_with(&name, &options.get()).map(|t| t.id()),
                };
                assert!(broken || !there || made.is_err(), "{name:?} is made twice");
                let may =
                    [ErrorKind::InvalidArgument, ErrorKind::TableExists, ErrorKind::NoSuchOrder];
                let options = options.map(Options::get).unwrap_or_default();
                self.opened(name, made, &options, &may)
            }
            Op::OpenSet(name, options) => {
                let (name, txn) = (name.get(), &mut self.writing.txn);
                let (opened, options) = match options {
                    None => (txn.open_set(&name), TableOptions::set()),
                    Some(options) => (txn.open_set_with(&name, &options.get()), options.get()),
                };
                let opened = opened.map(|set| set.id());
                self.opened(name, opened, &options, OPENING)
            }
            Op::DropTable(name) => {
                let name = name.get();
                let dropped = taken(self.writing.txn.drop_table(&name), &[]);
                self.checked(dropped, |model, there| {
                    assert_eq!(there, model.remove(&name).is_some());
                })
            }
            Op::Rename(from, to) => {
                let (from, to) = (from.get(), to.get());
                let may =
                    [ErrorKind::NoSuchTable, ErrorKind::TableExists, ErrorKind::InvalidArgument];
                let renamed = taken(self.writing.txn.rename_table(&from, &to), &may);
                self.checked(renamed, |model, ()| {
                    let table = model.remove(&from).expect("it was there");
                    assert!(model.insert(to, table).is_none());
                })
            }
            Op::Copy(from, to) => {
                let (from, to, next) = (from.get(), to.get(), self.next);
                let may =
                    [ErrorKind::NoSuchTable, ErrorKind::TableExists, ErrorKind::InvalidArgument];
                let copied = taken(self.writing.txn.copy_table(&from, &to), &may);
                self.checked(copied, |model, ()| {
                    let table = Modelled { serial: next, ..model[&from].clone() };
                    assert!(model.insert(to, table).is_none());
                })
            }
            Op::Edit(at, edit) => self.edit(*at, edit),
            Op::EditSet(at, edit) => self.edit_set(*at, edit),
            Op::Look(at, look) => self.look(*at, look),
            Op::LookSet(at, key, values, turns) => self.look_at_set(*at, key, values, *turns),
            Op::ById(id, key, value, how) => self.by_id(*id, key, value, *how),
            Op::NewCursor(which) => {
                if let Some((id, serial)) = of(self.ids, *which)
                    && self.writing.cursors.len() < 4
                {
                    self.writing.cursors.push((self.writing.txn.cursor(*id), Some(*serial)));
                }
                Done(())
            }
            Op::NewSetCursor(which) => {
                if let Some((id, serial)) = of(self.ids, *which)
                    && self.writing.set_cursors.len() < 4
                {
                    self.writing.set_cursors.push((self.writing.txn.set_cursor(*id), *serial));
                }
                Done(())
            }
            Op::MoveSet(which, how, key, value) => self.move_set_cursor(*which, *how, key, value),
            Op::ChangeSet(which, deletes, key, value) => {
                self.change_set_at(*which, *deletes, key, value)
            }
            Op::Move(which, how, key) => self.move_cursor(*which, *how, key),
            Op::Change(which, how, key, value) => self.change_at(*which, *how, key, value),
            Op::Save => {
                let saved = taken(self.writing.txn.savepoint(), &[]);
                if let Done(savepoint) = saved {
                    if broken {
                        return Broken;
                    }
                    let Writing { model, named, saved, .. } = &mut *self.writing;
                    saved.push((savepoint, model.clone(), named.clone()));
                }
                Done(())
            }
            Op::Back(down) => {
                let Some(at) = below(self.writing.saved.len(), *down) else { return Done(()) };
                self.writing.saved.truncate(at + 1);
                let (savepoint, model, named) = &self.writing.saved[at];
                match taken(self.writing.txn.rollback_to(savepoint), &[]) {
                    Done(()) => {
                        (self.writing.model, self.writing.named) = (model.clone(), named.clone());
                        self.writing.broken = false;
                        Done(())
                    }
                    _ => Broken,
                }
            }
            Op::Keep(down) => {
                let Some(at) = below(self.writing.saved.len(), *down) else { return Done(()) };
                if broken {
                    return Broken;
                }
                let mut gone = self.writing.saved.drain(at..);
                let (savepoint, ..) = gone.next().expect("one at least");
                self.writing.txn.release(savepoint).expect("it stands");
                for (savepoint, ..) in gone {
                    let ended = self.writing.txn.release(savepoint);
                    assert!(matches!(ended, Err(Error::NoSuchSavepoint)), "{ended:?}");
                }
                Done(())
            }
            Op::Nested(name, key, value, how) => self.nested(*name, key, value, *how),
            Op::NameSnapshot(name) => {
                let name = name.get();
                let may = [ErrorKind::SnapshotExists, ErrorKind::InvalidArgument];
                match taken(self.writing.txn.create_snapshot(&name), &may) {
                    Done(()) if !broken => {
                        let base = Arc::new(self.base.clone());
                        assert!(self.writing.named.insert(name, base).is_none());
                        Done(())
                    }
                    other => unit(other),
                }
            }
            Op::DropSnapshot(name) => {
                let name = name.get();
                match taken(self.writing.txn.drop_snapshot(&name), &[]) {
                    Done(there) if !broken => {
                        assert_eq!(there, self.writing.named.remove(&name).is_some());
                        Done(())
                    }
                    other => unit(other),
                }
            }
            Op::Typed(number, text, value, how) => self.typed(*number, text, value, *how),
            Op::TypedSet(key, value, how) => self.typed_set(key, *value, *how),
            Op::Otherwise(key) => {
                let there = self.writing.model.get("typed").is_some();
                match taken(
                    self.writing.txn.typed(&OTHERWISE),
                    &[ErrorKind::NoSuchTable, ErrorKind::TableOptions],
                ) {
                    // One that was made by its bytes has no types.
                    Done(table) => {
                        assert!(there || broken);
                        let read = table.get(*key);
                        assert!(read.is_ok() || read.is_err_and(|e| e.kind() == ErrorKind::Decode));
                        Done(())
                    }
                    other => unit(other),
                }
            }
            Op::Finish(which, id, stop) => self.finish_load(*which, *id, *stop),
            _ => unreachable!("of the session"),
        }
    }

    /// Does to the model what was done, unless that is broken.
    fn checked<T>(&mut self, done: Taken<T>, change: impl FnOnce(&mut Model, T)) -> Taken<()> {
        match done {
            Done(done) if !self.writing.broken => {
                change(&mut self.writing.model, done);
                Done(())
            }
            Done(_) | Refused => Done(()),
            Broken => Broken,
        }
    }

    fn opened(
        &mut self,
        name: String,
        opened: Result<TableId>,
        options: &TableOptions,
        may: &[ErrorKind],
    ) -> Taken<()> {
        match taken(opened, may) {
            Done(id) if !self.writing.broken => {
                let (next, rows) = (self.next, no_rows(options));
                let made = || Modelled::new(next, rows.clone());
                let table = self.writing.model.entry(name).or_insert_with(made);
                let right = matches!(
                    (&table.rows, &rows),
                    (Rows::Map(_), Rows::Map(_)) | (Rows::Set(..), Rows::Set(..))
                );
                assert!(right, "opened as what it is not");
                self.ids.push((id, table.serial));
                Done(())
            }
            other => unit(other),
        }
    }

    /// The name of the table that is meant; none if there is none.
    fn find(&mut self, at: At) -> (Option<TableId>, Option<String>) {
        match at {
            At::Name(name) => (None, Some(name.get())),
            At::Id(which) => match of(self.ids, which) {
                None => (None, Some("a".into())),
                Some(&mut (id, serial)) => (Some(id), self.name_of(serial)),
            },
        }
    }

    fn edit(&mut self, at: At, edit: &Edit) -> Taken<()> {
        let (id, name) = self.find(at);
        let (broken, next) = (self.writing.broken, self.next);
        let txn = &mut self.writing.txn;
        let opened = match id {
            Some(id) => txn.edit(id),
            None => txn.open_table(name.as_deref().unwrap_or("a")),
        };
        let may = [ErrorKind::InvalidArgument, ErrorKind::TableOptions, ErrorKind::NoSuchTableId];
        let mut table = match taken(opened, &may) {
            Done(table) => table,
            other => return unit(other),
        };
        if broken {
            let _ = edits(&mut table, &mut new_map(0), edit, None);
            return Broken;
        }
        let name = name.expect("an id without a table gives none");
        let modelled = self.writing.model.entry(name).or_insert_with(|| new_map(next));
        let (id, serial) = (table.id(), modelled.serial);
        let done = edits(&mut table, modelled, edit, Some(self.max_key));
        if self.ids.len() < 12 {
            self.ids.push((id, serial));
        }
        done
    }

    fn edit_set(&mut self, at: At, edit: &SetEdit) -> Taken<()> {
        let (id, name) = self.find(at);
        let (broken, next) = (self.writing.broken, self.next);
        let txn = &mut self.writing.txn;
        let opened = match id {
            Some(id) => txn.edit_set(id),
            None => txn.open_set(name.as_deref().unwrap_or("set")),
        };
        let may = [ErrorKind::InvalidArgument, ErrorKind::TableOptions, ErrorKind::NoSuchTableId];
        let mut set = match taken(opened, &may) {
            Done(set) => set,
            other => return unit(other),
        };
        if broken {
            let mut none = Modelled::new(0, no_rows(&TableOptions::set()));
            let _ = set_edits(&mut set, &mut none, edit, None);
            return Broken;
        }
        let name = name.expect("an id without a table gives none");
        let made = || Modelled::new(next, no_rows(&TableOptions::set()));
        let modelled = self.writing.model.entry(name).or_insert_with(made);
        set_edits(&mut set, modelled, edit, Some(self.max_key))
    }

    fn look(&mut self, at: At, look: &Look) -> Taken<()> {
        let (id, name) = self.find(at);
        let txn = &self.writing.txn;
        let table = match id {
            Some(id) => txn.view(id),
            None => txn.table(name.as_deref().unwrap_or("a")),
        };
        let may = [ErrorKind::NoSuchTable, ErrorKind::TableOptions, ErrorKind::NoSuchTableId];
        let table = match taken(table, &may) {
            Done(table) => table,
            other => return unit(other),
        };
        if self.writing.broken {
            return Broken;
        }
        let name = name.expect("an id without a table gives none");
        let Some(Rows::Map(pairs)) = self.writing.model.get(&name).map(|table| &table.rows) else {
            panic!("{name:?} is no table")
        };
        looks(&table, pairs, look, self.max_key);
        Done(())
    }

    fn look_at_set(&mut self, at: At, key: &Bytes, values: &Keys, turns: u32) -> Taken<()> {
        let (id, name) = self.find(at);
        let txn = &self.writing.txn;
        let set = match id {
            Some(id) => txn.view_set(id),
            None => txn.set(name.as_deref().unwrap_or("set")),
        };
        let may = [ErrorKind::NoSuchTable, ErrorKind::TableOptions, ErrorKind::NoSuchTableId];
        let set = match taken(set, &may) {
            Done(set) => set,
            other => return unit(other),
        };
        if self.writing.broken {
            return Broken;
        }
        let name = name.expect("an id without a table gives none");
        let Some(Rows::Set(_, pairs)) = self.writing.model.get(&name).map(|table| &table.rows)
        else {
            panic!("{name:?} is no set")
        };
        looks_at_set(&set, pairs, key, values, turns);
        Done(())
    }

    fn by_id(&mut self, which: u8, key: &Bytes, value: &Bytes, how: u8) -> Taken<()> {
        let Some(&mut (id, serial)) = of(self.ids, which) else { return Done(()) };
        let (name, key, value) = (self.name_of(serial), key.key(), value.get());
        let txn = &mut self.writing.txn;
        let may = [
            ErrorKind::NoSuchTableId,
            ErrorKind::TableOptions,
            ErrorKind::KeyTooLong,
            // In a table of integers.
            ErrorKind::InvalidArgument,
        ];
        let there = match how % 3 {
            0 => taken(txn.put(id, &key, &value), &may),
            1 => taken(txn.delete(id, &key), &may),
            _ => taken(txn.get(id, &key).map(|found| found.is_some()), &may),
        };
        self.checked(there, |model, there| {
            let table = model.get_mut(&name.expect("no table of this id is there")).expect("it is");
            let Rows::Map(pairs) = &mut table.rows else { panic!("sets by pairs") };
            let expected = match how % 3 {
                0 => pairs.insert(key, value),
                1 => pairs.remove(&key),
                _ => pairs.get(&key).cloned(),
            };
            assert_eq!(there, expected.is_some());
        })
    }

    fn move_cursor(&mut self, which: u8, how: u8, key: &Bytes) -> Taken<()> {
        let (txn, broken, key) = (&self.writing.txn, self.writing.broken, key.key());
        let count = self.writing.cursors.len();
        let Some(at) = usize::from(which).checked_rem(count) else { return Done(()) };
        let (cursor, serial) = &mut self.writing.cursors[at];
        let before = cursor.key().map(<[u8]>::to_vec);
        let found = match how % 7 {
            0 => cursor.seek(txn, &key),
            1 => cursor.seek_back(txn, &key),
            2 => cursor.first(txn),
            3 => cursor.last(txn),
            4 => cursor.next(txn),
            5 => cursor.prev(txn),
            _ => cursor.current(txn),
        };
        let found = found.map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())));
        let may = [ErrorKind::NoSuchTableId, ErrorKind::TableOptions, ErrorKind::KeyTooLong];
        let found = match taken(found, &may) {
            Done(found) if !broken => found,
            other => return unit(other),
        };
        let table = self.writing.model.values().find(|table| Some(table.serial) == *serial);
        let Some(Modelled { rows: Rows::Map(pairs), .. }) = table else {
            panic!("a cursor in no table finds {found:?}")
        };
        let wanted = match (how % 7, &before) {
            (0, _) => Some(pairs.at(&key)),
            (1, _) => pairs.behind(&key).checked_sub(1),
            (2, _) => Some(0),
            (3, _) => pairs.len().checked_sub(1),
            // From nowhere it may begin at an end, or find nothing.
            (_, None) => return Done(()),
            (4, Some(at)) => Some(pairs.behind(at)),
            (5, Some(at)) => pairs.at(at).checked_sub(1),
            (_, Some(at)) => pairs.find(at),
        };
        assert_eq!(found.as_ref().map(|(k, v)| (k, v)), pairs.nth(wanted));
        Done(())
    }

    fn move_set_cursor(&mut self, which: u8, how: u8, key: &Bytes, value: &Bytes) -> Taken<()> {
        let Writing { txn, set_cursors, model, broken, .. } = &mut *self.writing;
        let Some((cursor, serial)) = of(set_cursors, which) else { return Done(()) };
        let (key, value) = (key.key(), value.key());
        let before = cursor.pair().map(|(key, value)| (key.to_vec(), value.to_vec()));
        let found = set_move!(cursor, how, &key, &value, txn);
        let found = found.map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())));
        let may = [ErrorKind::NoSuchTableId, ErrorKind::TableOptions, ErrorKind::KeyTooLong];
        let found = match taken(found, &may) {
            Done(found) if !*broken => found,
            other => return unit(other),
        };
        let table = model.values().find(|table| table.serial == *serial);
        let Some(Modelled { rows: Rows::Set(_, pairs), .. }) = table else {
            panic!("a cursor in no table of sets finds {found:?}")
        };
        if let Some(wanted) = moved(pairs, how, before.as_ref(), &key, &value) {
            assert_eq!(found.as_ref().map(|(k, v)| (k, v)), pairs.nth(wanted));
        }
        Done(())
    }

    fn change_set_at(&mut self, which: u8, deletes: bool, key: &Bytes, value: &Bytes) -> Taken<()> {
        let Writing { txn, set_cursors, model, broken, .. } = &mut *self.writing;
        let Some((cursor, serial)) = of(set_cursors, which) else { return Done(()) };
        let (key, value) = (key.key(), value.key());
        let before = cursor.pair().map(|(key, value)| (key.to_vec(), value.to_vec()));
        let changed = match deletes {
            true => cursor.delete(txn),
            false => cursor.insert(txn, &key, &value),
        };
        let may = [
            ErrorKind::NoSuchTableId,
            ErrorKind::TableOptions,
            ErrorKind::KeyTooLong,
            ErrorKind::ValueTooLong,
            ErrorKind::InvalidArgument,
        ];
        let changed = match taken(changed, &may) {
            Done(changed) if !*broken => changed,
            other => return unit(other),
        };
        let table = model.values_mut().find(|table| table.serial == *serial);
        let Some(Modelled { rows: Rows::Set(_, pairs), .. }) = table else {
            // Where it stands nowhere it has nothing to ask of the table.
            assert!(deletes && !changed, "a cursor in no table of sets changes something");
            return Done(());
        };
        match (deletes, before) {
            (true, Some((key, value))) => assert_eq!(changed, pairs.take(&key, &value)),
            (true, None) => assert!(!changed),
            (false, _) => {
                assert_eq!(changed, pairs.add((key.clone(), value.clone())));
                assert_eq!(cursor.pair(), Some((&key[..], &value[..])));
            }
        }
        Done(())
    }

    fn change_at(&mut self, which: u8, how: u8, key: &Bytes, value: &Bytes) -> Taken<()> {
        let (key, value) = (key.key(), value.get());
        let Writing { txn, cursors, model, broken, .. } = &mut *self.writing;
        let Some((cursor, serial)) = of(cursors, which) else { return Done(()) };
        let before = cursor.key().map(<[u8]>::to_vec);
        let changed = match how % 3 {
            0 => cursor.put(txn, &value),
            1 => cursor.delete(txn),
            _ => cursor.insert(txn, &key, &value),
        };
        let may = [
            ErrorKind::NoSuchTableId,
            ErrorKind::TableOptions,
            ErrorKind::KeyTooLong,
            ErrorKind::InvalidArgument,
        ];
        let changed = match taken(changed, &may) {
            Done(changed) if !*broken => changed,
            other => return unit(other),
        };
        let table = model.values_mut().find(|table| Some(table.serial) == *serial);
        let Some(Modelled { rows: Rows::Map(pairs), .. }) = table else {
            // Where it stands nowhere it has nothing to ask of the table.
            assert!(!changed && before.is_none(), "a cursor in no table changes something");
            return Done(());
        };
        match (how % 3, before) {
            (0, Some(at)) => {
                assert!(changed, "also where it was deleted meanwhile");
                pairs.insert(at, value);
            }
            (1, Some(at)) => assert_eq!(changed, pairs.remove(&at).is_some()),
            (2, _) => assert_eq!(changed, pairs.insert(key, value).is_some()),
            (_, None) => assert!(!changed),
            _ => {}
        }
        Done(())
    }

    fn nested(&mut self, name: Name, key: &Bytes, value: &Bytes, how: u8) -> Taken<()> {
        let (name, key, value) = (name.get(), key.key(), value.get());
        let (broken, next) = (self.writing.broken, self.next);
        let mut nested = match taken(self.writing.txn.nested(), &[]) {
            Done(nested) => nested,
            other => return unit(other),
        };
        let may = [ErrorKind::InvalidArgument, ErrorKind::TableOptions, ErrorKind::KeyTooLong];
        let put = nested.open_table(&name).and_then(|mut table| table.put(&key, &value));
        let put = taken(put, &may);
        let opens = matches!(put, Done(_));
        let ended = match how % 3 {
            0 => nested.commit(),
            1 => nested.rollback(),
            _ => {
                drop(nested);
                Ok(())
            }
        };
        if broken {
            return Broken;
        }
        match (taken(ended, &[]), how % 3) {
            (Done(()), 0) if opens => {
                let table = self.writing.model.entry(name).or_insert_with(|| new_map(next));
                let Rows::Map(pairs) = &mut table.rows else { panic!("a pair in a table of sets") };
                pairs.insert(key, value);
                Done(())
            }
            // The table may have been made before its put was refused.
            (Done(()), 0) => {
                if matches!(put, Refused) && self.writing.txn.table(&name).is_ok() {
                    self.writing.model.entry(name).or_insert_with(|| new_map(next));
                }
                Done(())
            }
            // Whatever it was, it is undone.
            (Done(()), _) => Done(()),
            _ => Broken,
        }
    }

    fn typed(&mut self, number: u32, text: &Bytes, value: &Bytes, how: u8) -> Taken<()> {
        let (text, value, next) = (text.text(), value.text(), self.next);
        let key = <(u32, &str)>::to_bytes((number % 8, &text));
        let may = [ErrorKind::TableOptions];
        let id = match taken(self.writing.txn.open_typed(&TYPED), &may) {
            Done(id) if !self.writing.broken => id,
            other => return unit(other),
        };
        let table = self.writing.model.entry("typed".into()).or_insert_with(|| new_map(next));
        let Rows::Map(pairs) = &mut table.rows else { panic!("a typed table of sets") };
        let txn = &mut self.writing.txn;
        let arg = (number % 8, &text[..]);
        let may = [ErrorKind::KeyTooLong];
        let there = match how % 4 {
            0 => taken(id.put(txn, arg, &value), &may),
            1 => taken(id.put_if_absent(txn, arg, &value), &may),
            2 => taken(id.delete(txn, arg), &may),
            _ => {
                // Bytes that somebody has put by hand need not be text.
                let read = id.get(txn, arg).map(|found| found.map(str::to_owned));
                match taken(read, &[ErrorKind::Decode, ErrorKind::KeyTooLong]) {
                    Done(found) => {
                        assert_eq!(
                            found.as_ref().map(String::as_bytes),
                            pairs.get(&key).map(|v| &v[..])
                        );
                        let beginning = id.view(txn).and_then(|table| {
                            let range = table.prefix((number % 8,))?;
                            range.map(|pair| pair.map(drop)).collect::<Result<Vec<()>>>()
                        });
                        let _ = taken(beginning, &[ErrorKind::Decode]);
                        return Done(());
                    }
                    other => return unit(other),
                }
            }
        };
        let there = match there {
            Done(there) => there,
            other => return unit(other),
        };
        let bytes = value.into_bytes();
        match how % 4 {
            0 => assert_eq!(there, pairs.insert(key, bytes).is_some()),
            1 => {
                assert_eq!(there, !pairs.contains_key(&key));
                if there {
                    pairs.insert(key, bytes);
                }
            }
            _ => assert_eq!(there, pairs.remove(&key).is_some()),
        }
        Done(())
    }

    fn typed_set(&mut self, key: &Bytes, value: i16, how: u8) -> Taken<()> {
        let (text, next) = (key.text(), self.next);
        let pair = (<&str>::to_bytes(&text), i16::to_bytes(value));
        let id =
            match taken(self.writing.txn.open_typed_set(&TYPED_SET), &[ErrorKind::TableOptions]) {
                Done(id) if !self.writing.broken => id,
                other => return unit(other),
            };
        let made = || Modelled::new(next, no_rows(&TableOptions::set_of(2)));
        let table = self.writing.model.entry("typed set".into()).or_insert_with(made);
        let Rows::Set(_, pairs) = &mut table.rows else { panic!("a typed set of pairs") };
        let txn = &mut self.writing.txn;
        let may = [ErrorKind::KeyTooLong];
        match how % 3 {
            0 => match taken(id.insert(txn, &text, value), &may) {
                Done(new) => assert_eq!(new, pairs.add(pair)),
                other => return unit(other),
            },
            1 => match taken(id.remove(txn, &text, value), &may) {
                Done(there) => assert_eq!(there, pairs.take(&pair.0, &pair.1)),
                other => return unit(other),
            },
            _ => match taken(id.contains(txn, &text, value), &may) {
                Done(there) => assert_eq!(there, pairs.place(&pair.0, &pair.1).is_ok()),
                other => return unit(other),
            },
        }
        Done(())
    }

    fn finish_load(&mut self, which: u8, id: u8, stop: Option<u8>) -> Taken<()> {
        let Some(&mut (id, serial)) = of(self.ids, id) else { return Done(()) };
        let Some(at) = usize::from(which).checked_rem(self.loaders.len()) else { return Done(()) };
        let Loading { loader, order, pushed, .. } = self.loaders.remove(at);
        let name = self.name_of(serial);
        let mut left = stop.unwrap_or(u8::MAX);
        let loaded = loader.finish_with(&mut self.writing.txn, id, |_| {
            left = left.saturating_sub(1);
            // Any error will do.
            if left == 0 { Err(Error::ReadOnly { path: None }) } else { Ok(()) }
        });
        let may = [
            ErrorKind::NoSuchTableId,
            ErrorKind::TableOptions,
            ErrorKind::KeyTooLong,
            ErrorKind::ValueTooLong,
            ErrorKind::InvalidArgument,
            ErrorKind::NoSuchOrder,
        ];
        let loaded = match loaded {
            // What was put counts as half-way.
            Err(Error::ReadOnly { .. }) => return Broken,
            other => taken(other, &may),
        };
        self.checked(loaded, |model, loaded| {
            let table = model.get_mut(&name.expect("a load into no table")).expect("it is there");
            assert_eq!(loaded.pushed, pushed.len() as u64);
            let mut new = 0;
            let (Rows::Map(into) | Rows::Set(_, into)) = &table.rows;
            let by_bytes = into.is_by_bytes() && Pairs::new(&order).is_by_bytes();
            assert!(by_bytes || into.order == order, "loaded in another order");
            for (key, value) in pushed {
                new += u64::from(match &mut table.rows {
                    Rows::Map(pairs) => pairs.insert(key, value).is_none(),
                    Rows::Set(_, pairs) => pairs.add((key, value)),
                });
            }
            assert_eq!(loaded.new, new);
        })
    }
}
