//! Transactions as users hold them: they own what they need and have no lifetime.

use super::commit_future::CommitFuture;
use super::cursor::Cursor;
use super::readers::tell_slow;
use super::set::SetTable;
use super::set_mut::SetTableMut;
use super::table::{Source, Table, TableStats};
use super::table_mut::TableMut;
use crate::commit::durability::Durability;
use crate::commit::report::CommitReport;
use crate::error::{Error, Result};
use crate::format::descriptor::TableDescriptor;
use crate::tree::{self, Listed};
use crate::txn::read::Snapshot;
use crate::txn::write::{TableId, Writer, check_kind, order_of, table_options};
use crate::types::{TableKind, TableOptions};
use std::sync::Arc;

/// A table's name with its statistics.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TableInfo {
    /// Name.
    pub name: String,
    /// Shape and size.
    pub stats: TableStats,
    /// What it was made with.
    pub options: TableOptions,
}

/// A consistent snapshot of the database as it was when the transaction began, for as long as it
/// lives.
///
/// It takes no system call to begin or end (but see [`Database::read`](crate::Database::read) for a
/// file that has become longer), never waits and makes nobody wait. It owns what it
/// needs: keep it in a struct, send it to another thread, share it between threads. While it lives
/// the pages it can see are not reused, so the file may grow by what changes meanwhile, but by no
/// more than those pages; with more than three readers of different ages, what some of them have
/// seen may wait a little longer.
///
/// A process must not let a value read from it outlive it through other means than a borrow
/// (`vmsplice`, `MSG_ZEROCOPY`).
///
/// ```
/// struct Session {
///     txn: recto::ReadTxn,
/// }
///
/// impl Session {
///     fn name(&self, id: &[u8]) -> recto::Result<Option<&[u8]>> {
///         self.txn.table("names")?.get(id)
///     }
/// }
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut w = db.write()?;
/// # w.open_table("names")?.put(b"7", b"Ada")?;
/// # w.commit()?;
/// let session = Session { txn: db.read()? };
/// assert_eq!(session.name(b"7")?, Some(&b"Ada"[..]));
/// let txn = &session.txn;
/// assert_eq!(txn.table_options("names")?.map(|options| options.align), Some(1));
/// assert!(txn.table_opt("others")?.is_none() && txn.set_opt("others")?.is_none());
/// assert!(txn.set("names").is_err() && txn.diff(txn, "names", ..)?.next().is_none());
/// assert_eq!(txn.id(), db.info()?.visible);
/// # Ok(()) }
/// ```
pub struct ReadTxn {
    snapshot: Snapshot,
}

impl ReadTxn {
    #[inline]
    pub(crate) fn new(snapshot: Snapshot) -> ReadTxn {
        ReadTxn { snapshot }
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Id of the transaction that made this snapshot.
    ///
    /// O(1). As [`Database::wait_for_commit`](crate::Database::wait_for_commit) takes it.
    #[inline]
    pub fn id(&self) -> u64 {
        self.snapshot.txn.0
    }

    /// Moves on to the newest visible snapshot; false if this is still the one. What it leaves may
    /// be used again from then on: for a reader that lives long, and looks again and again.
    ///
    /// No system call, no lock, never waits, but where [`Database::read`](crate::Database::read)
    /// does. If nothing is newer it takes 40 instructions, where dropping a transaction and
    /// beginning another takes 240. It keeps its place in the table of readers, so it never
    /// gives [`Error::ReadersFull`] (where the lock file may not be written, byte locks stand for
    /// that table, and it begins anew). For the time of the call, well below a microsecond, a write
    /// transaction that begins then can use no page again.
    ///
    /// Errors: [`Error::Forked`], and others if the lock file is damaged or the longer file cannot
    /// be mapped. It stays on its snapshot with any of them.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut reader = db.read()?;
    /// assert!(!reader.refresh()?);
    /// let mut txn = db.write()?;
    /// txn.open_table("main")?.put(b"news", b"")?;
    /// txn.commit()?;
    /// assert!(reader.table_opt("main")?.is_none());
    /// assert!(reader.refresh()?);
    /// assert!(reader.table("main")?.contains_key(b"news")?);
    /// # Ok(()) }
    /// ```
    ///
    /// Nothing that was borrowed from the snapshot before can be there any more:
    ///
    /// ```compile_fail,E0502
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut reader = db.read()?;
    /// let mut range = reader.table("main")?.iter()?;
    /// reader.refresh()?;
    /// range.next();
    /// # Ok(()) }
    /// ```
    ///
    /// Owned tables and ranges keep the snapshot that they were made in: `Arc::get_mut` gives a
    /// shared transaction to nobody.
    pub fn refresh(&mut self) -> Result<bool> {
        self.snapshot.refresh()
    }

    /// A table. [`Error::NoSuchTable`] if there is none of this name, [`Error::TableOptions`] if
    /// its keys have sets of values ([`ReadTxn::set`]).
    ///
    /// One descent of the list of tables, O(log *tables*): keep what it gives, rather than ask for
    /// each key.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// txn.open_table("main")?.put(b"key", b"value")?;
    /// txn.commit()?;
    /// let txn = db.read()?;
    /// let main = txn.table("main")?;
    /// assert_eq!(main.get(b"key")?, Some(&b"value"[..]));
    /// # Ok(()) }
    /// ```
    pub fn table(&self, name: &str) -> Result<Table<'_>> {
        self.table_opt(name)?.ok_or_else(|| Error::NoSuchTable(name.into()))
    }

    /// A table; None if there is none of this name, as before anybody has written to it.
    ///
    /// Errors: [`Error::TableOptions`] as in [`ReadTxn::table`].
    pub fn table_opt(&self, name: &str) -> Result<Option<Table<'_>>> {
        self.snapshot.engine().shared.check_alive()?;
        let s = &self.snapshot;
        let Some((mut d, options)) = s.stored_table(name)? else {
            return Ok(None);
        };
        check_kind(name, &d, false)?;
        d.order = order_of(s.engine(), &s.catalog(), name, &d, options)?;
        Ok(Some(Table::new(Source::Snapshot(s), d)))
    }

    /// A table whose keys have sets of values. [`Error::NoSuchTable`] if there is none of this
    /// name, [`Error::TableOptions`] if its keys have one value each.
    ///
    /// One descent of the list of tables.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// txn.open_set("tags")?.insert(b"rust", b"/a")?;
    /// txn.commit()?;
    /// let txn = db.read()?;
    /// assert_eq!(txn.set("tags")?.count(b"rust")?, 1);
    /// assert_eq!(txn.table("tags").err().map(|e| e.kind()), Some(recto::ErrorKind::TableOptions));
    /// # Ok(()) }
    /// ```
    pub fn set(&self, name: &str) -> Result<SetTable<'_>> {
        self.set_opt(name)?.ok_or_else(|| Error::NoSuchTable(name.into()))
    }

    /// The same; None if there is none of this name.
    pub fn set_opt(&self, name: &str) -> Result<Option<SetTable<'_>>> {
        self.snapshot.engine().shared.check_alive()?;
        let s = &self.snapshot;
        let Some((mut d, options)) = s.stored_table(name)? else {
            return Ok(None);
        };
        check_kind(name, &d, true)?;
        d.order = order_of(s.engine(), &s.catalog(), name, &d, options)?;
        Ok(Some(SetTable::new(Source::Snapshot(s), d)))
    }

    /// What a table was made with; None if there is none of this name. One descent of the list of
    /// tables.
    ///
    /// Errors: [`Error::Corrupt`], [`Error::Forked`].
    pub fn table_options(&self, name: &str) -> Result<Option<TableOptions>> {
        self.snapshot.engine().shared.check_alive()?;
        let s = &self.snapshot;
        let found = s.stored_table(name)?;
        found.map(|(d, options)| table_options(&s.catalog(), &d, options)).transpose()
    }

    /// All tables, in the order of their names.
    ///
    /// O(tables). Errors: [`Error::Corrupt`], [`Error::Forked`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// # txn.open_table("main")?.put(b"key", b"value")?;
    /// # txn.commit()?;
    /// for table in db.read()?.tables()? {
    ///     println!("{}: {} keys, {:?}", table.name, table.stats.entries, table.options.kind);
    /// }
    /// # assert_eq!(db.read()?.tables()?.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn tables(&self) -> Result<Vec<TableInfo>> {
        let s = &self.snapshot;
        s.engine().shared.check_alive()?;
        let tables = tree::tables(s, &s.catalog(), s.page_count());
        tables.and_then(|tables| infos(&s.catalog(), tables)).map_err(|e| s.engine().named(e))
    }
}

impl std::fmt::Debug for ReadTxn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadTxn").field("id", &self.id()).finish()
    }
}

/// Whether options are those of a table of sets, or are not, as the call wants.
fn check_asked(options: &TableOptions, is_set: bool) -> Result<()> {
    let what = match (options.kind, is_set) {
        (TableKind::Map, false) | (TableKind::Set { .. }, true) => return Ok(()),
        (TableKind::Set { .. }, _) => "options of a table of sets, which `open_set_with` opens",
        (TableKind::Map, _) => "options of a table that has one value for each key",
    };
    Err(Error::InvalidArgument(what.into()))
}

fn infos(catalog: &TableDescriptor, tables: Vec<Listed>) -> Result<Vec<TableInfo>> {
    tables.into_iter().map(|listed| info(catalog, listed)).collect()
}

/// What users see of a table of this catalog.
pub(super) fn info(catalog: &TableDescriptor, listed: Listed) -> Result<TableInfo> {
    let options = table_options(catalog, &listed.descriptor, &listed.options)?;
    Ok(TableInfo { name: listed.name, stats: TableStats::of(&listed.descriptor), options })
}

/// The write transaction: one at a time over all threads and processes. It sees its own changes;
/// nobody else does before [`WriteTxn::commit`]. Dropping it aborts it.
///
/// It may be sent to another thread, and counts as the transaction of the thread that used it last.
/// An error of an operation that could have left something half done, or a panic in it, makes every
/// later one fail with [`Error::TransactionBroken`]: drop it, the database is as it was. Or, where
/// there is a savepoint ([`WriteTxn::savepoint`], [`WriteTxn::nested`]), go back to that.
///
/// ```
/// # fn main() -> recto::Result<()> {
/// let db = recto::Database::in_memory()?;
/// let mut txn = db.write()?;
/// txn.open_table("fruit")?.put(b"apple", b"red")?;
/// txn.commit()?;
///
/// let mut txn = db.write()?;
/// txn.open_table("fruit")?.delete(b"apple")?;
/// drop(txn);
/// assert_eq!(db.read()?.table("fruit")?.get(b"apple")?, Some(&b"red"[..]));
/// # Ok(()) }
/// ```
///
/// ```
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// # let mut txn = db.write()?;
/// use recto::{Durability, TableOptions};
/// let words = txn.create_table("words")?.id(); // must not be there; `open` takes either
/// let tags = txn.open_set("tags")?.id();
/// txn.edit(words)?.put(b"ant", b"1")?; // one of them at a time to change
/// let (seen, set) = (txn.view(words)?, txn.view_set(tags)?); // any number to read
/// assert_eq!((seen.len(), set.is_empty()), (1, true));
/// assert_eq!(txn.cursor(words).first(&txn)?, Some((&b"ant"[..], &b"1"[..])));
/// txn.create_table_with("vectors", &TableOptions::aligned(64))?;
/// assert_eq!(txn.open_with("vectors", &TableOptions::aligned(16))?, txn.open("vectors")?);
/// assert_eq!(txn.table_options("vectors")?.unwrap().align, 64);
/// assert_eq!((txn.table("words")?.len(), txn.set("tags")?.len()), (1, 0));
/// assert!(txn.table_opt("none")?.is_none() && txn.set_opt("none")?.is_none());
/// assert!(txn.drop_table("vectors")? && txn.tables()?.len() == 2);
/// println!("transaction {}", txn.id());
/// txn.set_durability(Durability::Deferred);
/// txn.abort(); // all of it
/// # Ok(()) }
/// ```
pub struct WriteTxn {
    writer: Writer,
}

impl WriteTxn {
    pub(crate) fn new(writer: Writer) -> WriteTxn {
        WriteTxn { writer }
    }

    /// Id that the transaction will have, if no savepoint is made any more: each may raise it.
    ///
    /// O(1).
    pub fn id(&self) -> u64 {
        self.writer.txn().0
    }

    /// A table for reading, as this transaction has left it. [`Error::NoSuchTable`] if there is
    /// none.
    ///
    /// One descent of the list of tables.
    pub fn table(&self, name: &str) -> Result<Table<'_>> {
        self.table_opt(name)?.ok_or_else(|| Error::NoSuchTable(name.into()))
    }

    /// The same; None if there is none.
    pub fn table_opt(&self, name: &str) -> Result<Option<Table<'_>>> {
        let Some(d) = self.writer.lookup(name)? else { return Ok(None) };
        check_kind(name, &d, false)?;
        Ok(Some(Table::new(Source::Writer(&self.writer), d)))
    }

    /// A table of sets for reading, as this transaction has left it; errors as in
    /// [`ReadTxn::set`].
    ///
    /// One descent of the list of tables.
    pub fn set(&self, name: &str) -> Result<SetTable<'_>> {
        self.set_opt(name)?.ok_or_else(|| Error::NoSuchTable(name.into()))
    }

    /// The same; None if there is none of this name.
    pub fn set_opt(&self, name: &str) -> Result<Option<SetTable<'_>>> {
        let Some(d) = self.writer.lookup(name)? else { return Ok(None) };
        check_kind(name, &d, true)?;
        Ok(Some(SetTable::new(Source::Writer(&self.writer), d)))
    }

    /// A table whose keys have sets of values, to change; made if there is none of this name.
    /// [`Error::TableOptions`] if its keys have one value each.
    ///
    /// One descent of the list of tables, if it is not open yet. Errors as of
    /// [`WriteTxn::open_table`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut tags = txn.open_set("tags")?;
    /// tags.insert(b"rust", b"/b")?;
    /// tags.insert(b"rust", b"/a")?;
    /// let pages = tags.get(b"rust")?.collect::<recto::Result<Vec<_>>>()?;
    /// assert_eq!(pages, ["/a", "/b"].map(str::as_bytes));
    /// # Ok(()) }
    /// ```
    pub fn open_set(&mut self, name: &str) -> Result<SetTableMut<'_>> {
        self.open_set_with(name, &TableOptions::set())
    }

    /// The same, made with these options if there is none of this name. They are such as
    /// [`TableOptions::set_of`] gives; [`Error::InvalidArgument`] where they are of another table.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// use recto::TableOptions;
    /// let mut friends = txn.open_set_with("friends", &TableOptions::set_of(4))?;
    /// friends.insert(b"ada", &7u32.to_be_bytes())?;
    /// assert!(friends.insert(b"ada", b"of another length").is_err());
    /// assert_eq!(friends.as_set().value_size(), Some(4));
    /// # Ok(()) }
    /// ```
    pub fn open_set_with(&mut self, name: &str, options: &TableOptions) -> Result<SetTableMut<'_>> {
        check_asked(options, true)?;
        let index = self.writer.open_table_with(name, options)?;
        Ok(SetTableMut::new(&mut self.writer, index))
    }

    /// One of the open tables of sets, for reading: any number at a time. Ids of other tables give
    /// [`Error::TableOptions`], and those of tables of sets give it where a [`Table`] is meant.
    ///
    /// O(1).
    pub fn view_set(&self, table: TableId) -> Result<SetTable<'_>> {
        let index = self.writer.set_index_of(table)?;
        Ok(SetTable::new(Source::Writer(&self.writer), *self.writer.table(index)))
    }

    /// One of the open tables of sets, to change it.
    ///
    /// O(1). Errors as of [`WriteTxn::view_set`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let users = txn.open("users")?;
    /// let by_city = txn.open_set("by_city")?.id();
    /// txn.put(users, b"ada", b"Oslo")?;
    /// txn.edit_set(by_city)?.insert(b"Oslo", b"ada")?;
    /// # Ok(()) }
    /// ```
    pub fn edit_set(&mut self, table: TableId) -> Result<SetTableMut<'_>> {
        let index = self.writer.set_index_of(table)?;
        Ok(SetTableMut::new(&mut self.writer, index))
    }

    /// A table to change; made if there is none of this name.
    ///
    /// One descent of the list of tables, if this transaction has not opened it; a name of 1 to
    /// 1,024 bytes.
    ///
    /// Errors: [`Error::TableOptions`] if its keys have sets of values ([`WriteTxn::open_set`]),
    /// [`Error::InvalidArgument`] for the name; those of every change ([`TableMut`]), since it may
    /// be made.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// txn.open_table("fruit")?.put(b"apple", b"red")?;
    /// txn.open_table("fruit")?.put(b"banana", b"yellow")?; // the same one
    /// assert_eq!(txn.table("fruit")?.len(), 2);
    /// # Ok(()) }
    /// ```
    pub fn open_table(&mut self, name: &str) -> Result<TableMut<'_>> {
        let index = self.writer.open_table(name)?;
        Ok(TableMut::new(&mut self.writer, index))
    }

    /// A table to change, made with these options if there is none of this name.
    /// [`Error::TableOptions`] if there is one without what they ask for: values less aligned than
    /// they say, other names of types; [`Error::InvalidArgument`] where they cannot be.
    ///
    /// One descent of the list of tables, if this transaction has not opened it.
    ///
    /// ```
    /// use recto::TableOptions;
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let options = TableOptions::aligned(align_of::<f32>());
    /// let mut vectors = txn.open_table_with("vectors", &options)?;
    /// vectors.put(b"a", bytemuck::cast_slice(&[1.0f32, 2.0, 3.0]))?;
    /// txn.commit()?;
    ///
    /// let txn = db.read()?;
    /// let value = txn.table("vectors")?.get(b"a")?.unwrap();
    /// // Never panics here: every value of this table is aligned.
    /// let vector: &[f32] = bytemuck::cast_slice(value);
    /// assert_eq!(vector, [1.0, 2.0, 3.0]);
    /// # Ok(()) }
    /// ```
    pub fn open_table_with(&mut self, name: &str, options: &TableOptions) -> Result<TableMut<'_>> {
        check_asked(options, false)?;
        let index = self.writer.open_table_with(name, options)?;
        Ok(TableMut::new(&mut self.writer, index))
    }

    /// As [`WriteTxn::open_table_with`], to be used beside other tables of this transaction.
    ///
    /// It costs as much.
    pub fn open_with(&mut self, name: &str, options: &TableOptions) -> Result<TableId> {
        check_asked(options, false)?;
        let index = self.writer.open_table_with(name, options)?;
        Ok(self.writer.id_of(index))
    }

    /// What a table was made with; None if there is none of this name.
    ///
    /// One descent of the list of tables. Errors: [`Error::Corrupt`], [`Error::TransactionBroken`].
    pub fn table_options(&self, name: &str) -> Result<Option<TableOptions>> {
        self.writer.options(name)
    }

    /// Opens a table, or makes it, to be used beside other tables of this transaction: the id
    /// borrows nothing, and [`WriteTxn::get`], [`WriteTxn::put`], [`WriteTxn::delete`],
    /// [`WriteTxn::view`], [`WriteTxn::edit`] and [`WriteTxn::cursor`] take it. These give
    /// [`Error::NoSuchTableId`] once the table was dropped, or its making undone, and for ids of
    /// other transactions.
    ///
    /// One descent of the list of tables, if this transaction has not opened it; with the id a
    /// table is found in O(1). Errors as of [`WriteTxn::open_table`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let (users, by_mail) = (txn.open("users")?, txn.open("by_mail")?);
    /// // A user, and where it is found by its address.
    /// if let Some(old) = txn.get(users, b"7")?.map(<[u8]>::to_vec) {
    ///     txn.delete(by_mail, &old)?;
    /// }
    /// txn.put(users, b"7", b"ada@example.org")?;
    /// txn.put(by_mail, b"ada@example.org", b"7")?;
    /// txn.commit()?;
    /// # Ok(()) }
    /// ```
    pub fn open(&mut self, name: &str) -> Result<TableId> {
        let index = self.writer.open_table(name)?;
        Ok(self.writer.id_of(index))
    }

    /// The value of a key in one of the open tables.
    ///
    /// As [`Table::get`]: one descent of the tree.
    pub fn get(&self, table: TableId, key: &[u8]) -> Result<Option<&[u8]>> {
        self.view(table)?.get(key)
    }

    /// As [`TableMut::put`], in one of the open tables.
    pub fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<bool> {
        let index = self.writer.index_of(table)?;
        self.writer.put(index, key, value)
    }

    /// As [`TableMut::delete`], in one of the open tables.
    pub fn delete(&mut self, table: TableId, key: &[u8]) -> Result<bool> {
        let index = self.writer.index_of(table)?;
        self.writer.delete(index, key)
    }

    /// One of the open tables, for reading: any number at a time.
    ///
    /// O(1).
    pub fn view(&self, table: TableId) -> Result<Table<'_>> {
        let index = self.writer.index_of(table)?;
        Ok(Table::new(Source::Writer(&self.writer), *self.writer.table(index)))
    }

    /// One of the open tables, to change it: with all that [`TableMut`] has.
    ///
    /// O(1).
    pub fn edit(&mut self, table: TableId) -> Result<TableMut<'_>> {
        let index = self.writer.index_of(table)?;
        Ok(TableMut::new(&mut self.writer, index))
    }

    /// A cursor in one of the open tables; it borrows nothing.
    ///
    /// O(1), and reads nothing before it moves.
    pub fn cursor(&self, table: TableId) -> Cursor {
        Cursor::new(table)
    }

    /// A new table. [`Error::TableExists`] if there is one of this name. Names have 1 to
    /// 1,024 bytes.
    ///
    /// It costs one change of the list of tables.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// txn.create_table("new")?.put(b"key", b"value")?;
    /// let again = txn.create_table("new").map(drop);
    /// assert_eq!(again.unwrap_err().kind(), recto::ErrorKind::TableExists);
    /// # Ok(()) }
    /// ```
    pub fn create_table(&mut self, name: &str) -> Result<TableMut<'_>> {
        let index = self.writer.create_table(name, &TableOptions::default())?;
        Ok(TableMut::new(&mut self.writer, index))
    }

    /// The same with these options.
    ///
    /// Errors: [`Error::TableExists`], and [`Error::InvalidArgument`] for options that cannot be.
    pub fn create_table_with(
        &mut self,
        name: &str,
        options: &TableOptions,
    ) -> Result<TableMut<'_>> {
        check_asked(options, false)?;
        let index = self.writer.create_table(name, options)?;
        Ok(TableMut::new(&mut self.writer, index))
    }

    /// Drops a table and gives all its pages back; false if there is none. Reads the whole tree
    /// except for values on pages of their own.
    ///
    /// Errors: those of every change ([`TableMut`]).
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// txn.open_table("old")?.put(b"key", b"value")?;
    /// assert!(txn.drop_table("old")?);
    /// assert!(!txn.drop_table("old")?); // it is not there any more
    /// # Ok(()) }
    /// ```
    pub fn drop_table(&mut self, name: &str) -> Result<bool> {
        self.writer.drop_table(name)
    }

    /// Makes the table `to` with all that `from` holds, as it stands now, and with its options; the
    /// two have nothing in common then. [`Error::NoSuchTable`]; [`Error::TableExists`] if there is
    /// a table `to`, open or not: drop it first.
    ///
    /// Every page is read and written once, values on pages of their own too, and no key is looked
    /// at, which takes less than half of the time of putting the pairs (docs/performance.md, *Calls
    /// of tables*). Pages stay as full as they are; a load in order makes a smaller table. Needs
    /// memory for the largest value. A page with damaged bits is copied with them, unless they make
    /// it impossible ([`Error::Corrupt`]): pages are not verified, as by no other change, but
    /// values on pages of their own are.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// txn.open_table("prices")?.put(b"pear", b"3")?;
    /// txn.copy_table("prices", "prices of 2026")?;
    /// txn.open_table("prices")?.put(b"pear", b"4")?;
    /// assert_eq!(txn.table("prices of 2026")?.get(b"pear")?, Some(&b"3"[..]));
    /// # Ok(()) }
    /// ```
    pub fn copy_table(&mut self, from: &str, to: &str) -> Result<()> {
        self.writer.copy_table(from, to)
    }

    /// Gives a table another name. [`Error::NoSuchTable`], [`Error::TableExists`]. Costs two
    /// changes of the catalog, however large it is; its ids stay.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// txn.create_table("new prices")?.put(b"pear", b"3")?;
    /// txn.drop_table("prices")?;
    /// txn.rename_table("new prices", "prices")?;
    /// assert_eq!(txn.table("prices")?.get(b"pear")?, Some(&b"3"[..]));
    /// txn.commit()?;
    /// # Ok(()) }
    /// ```
    pub fn rename_table(&mut self, from: &str, to: &str) -> Result<()> {
        self.writer.rename_table(from, to)
    }

    /// All tables as this transaction has left them, in the order of their names.
    ///
    /// O(tables). Errors: [`Error::Corrupt`], [`Error::TransactionBroken`].
    pub fn tables(&self) -> Result<Vec<TableInfo>> {
        infos(self.writer.catalog(), self.writer.tables()?)
    }

    /// When [`WriteTxn::commit`] returns; overrides the default of the handle.
    ///
    /// O(1). A durable transaction begins to write its pages while it goes on: call this before the
    /// first change where that is not wanted.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// txn.set_durability(recto::Durability::Deferred);
    /// txn.open_table("main")?.put(b"key", b"value")?;
    /// txn.commit()?; // visible to all; durable with the next flush
    /// db.flush()?;
    /// # Ok(()) }
    /// ```
    pub fn set_durability(&mut self, durability: Durability) {
        self.writer.set_durability(durability);
    }

    /// Makes the changes visible, and durable as set. Costs one device flush when durable (two for
    /// a transaction with more pages than a manifest takes, about 130), shared with all commits
    /// that wait at the same time.
    ///
    /// Any error but one means that the transaction did not happen, and never will.
    /// [`Error::OutcomeUnknown`] means that the transaction was complete, and something failed
    /// before it was known to be durable, the device in most cases: it may be there after all. A
    /// transaction that changed nothing writes nothing; if it is durable and stands on deferred
    /// commits these are flushed, since it may have changed nothing because of what it found in
    /// them. Where a repair has to come first (a flush has failed, a process died in one, or this
    /// handle was opened beside commits that were not durable) it waits for whoever has the write
    /// transaction by then.
    ///
    /// The other errors: [`Error::DiskFull`] and [`Error::Io`] when its last pages found no place;
    /// [`Error::TransactionBroken`] after an operation that failed half-way or panicked, when what
    /// it is based on was rolled back, or when the device has refused pages meanwhile and nobody
    /// can say that none of those was among them that the transaction has read (`put` and `delete`
    /// can give it too): begin again; [`Error::Corrupt`].
    ///
    /// [`WriteTxn::commit_with_report`] says what it has done, and [`WriteTxn::commit_async`] does
    /// not wait.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// txn.open_table("main")?.put(b"key", b"value")?;
    /// txn.commit()?; // on the device when this returns
    /// assert_eq!(db.read()?.table("main")?.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn commit(self) -> Result<()> {
        let engine = Arc::clone(self.writer.engine());
        self.writer.commit()?;
        tell_slow(&engine);
        Ok(())
    }

    /// As [`WriteTxn::commit`], and says what that has written and how long its parts took: a few
    /// looks at the clock more.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// txn.open_table("main")?.put(b"key", b"value")?;
    /// let id = txn.id();
    /// let report = txn.commit_with_report()?;
    /// assert_eq!(report.id, Some(id));
    /// assert_eq!(report.flush, recto::FlushKind::Own);
    /// println!("{} pages, flushed in {:?}", report.pages_written, report.flush_time);
    /// # Ok(()) }
    /// ```
    pub fn commit_with_report(self) -> Result<CommitReport> {
        let engine = Arc::clone(self.writer.engine());
        let report = self.writer.commit_with_report()?;
        tell_slow(&engine);
        Ok(report)
    }

    /// Builds the transaction, gives the write transaction up, and has it made durable by a thread
    /// of the handle: a future of the outcome, which needs no runtime ([`CommitFuture`]). The next
    /// write transaction can begin at once, and stands on this one. All that is built until a flush
    /// begins shares it, of whatever thread or process; a flush that somebody else leads serves as
    /// well. The thread starts with the first of these calls, and ends with the handle.
    ///
    /// The future is ready when the transaction is durable, whatever its durability is; that says
    /// when it is visible. [`Durability::Durable`], the default: when it is durable, so nobody
    /// sees what a power cut could take back. [`Durability::Deferred`]: when this returns. Ready
    /// means visible in both cases. One that changed nothing is ready when what it stands on is
    /// durable: it may have changed nothing because of what it found there.
    ///
    /// Whatever can say that the transaction does not happen is found before this returns: the
    /// future is ready then, with the error. Errors are those of [`WriteTxn::commit`], and
    /// [`Error::Io`] if the thread cannot be started. [`Error::OutcomeUnknown`] may take later ones
    /// with it, which stand on what was rolled back. (Of a deferred one that was rolled back
    /// [`Database::flush`](crate::Database::flush) tells as well.)
    ///
    /// This waits for no flush, but in these cases: the transaction is too large to be proved
    /// later, or a flush has failed; it is deferred, and cannot be shown before it is durable (one
    /// in 65,536, which reserves ids for those that follow); or too much waits for a flush already.
    /// Too much is 256 MiB, or 24,576 pages written or given up; or, where more than 16 MiB of the
    /// file are free, a quarter of what is in use, but 16 MiB at least. The file grows by what is
    /// replaced while a flush takes its time: so that is no more than this, and one transaction for
    /// each thread and process that commits. Putting the pages into the page cache takes its time
    /// as ever.
    ///
    /// To drop the future changes nothing: the commit goes on. The last clone of the handle that is
    /// dropped waits for it, no longer than a second;
    /// [`Database::close`](crate::Database::close) waits as long as it takes. A process that ends
    /// before has not been promised anything, and the next who opens the database finds the
    /// transaction or does not. After `fork` the child finds [`Error::Forked`] in the future.
    ///
    /// A repair (a flush has failed, or a process died in one) needs the write transaction: a task
    /// that holds one and awaits an earlier commit may wait for itself then. So commit first, then
    /// await.
    ///
    /// ```
    /// async fn save(db: &recto::Database, key: &[u8], value: &[u8]) -> recto::Result<u64> {
    ///     let mut txn = db.write()?; // blocks while somebody else writes
    ///     txn.open_table("main")?.put(key, value)?;
    ///     let report = txn.commit_async().await?; // on the device
    ///     Ok(report.bytes_written)
    /// }
    /// ```
    pub fn commit_async(self) -> CommitFuture {
        let engine = Arc::clone(self.writer.engine());
        let promise = self.writer.commit_in_background();
        tell_slow(&engine);
        CommitFuture::new(promise)
    }

    /// Undoes everything; the same as dropping the transaction.
    ///
    /// O(pages changed); it waits for no device.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// txn.open_table("main")?.put(b"key", b"value")?;
    /// txn.abort();
    /// assert!(db.read()?.table_opt("main")?.is_none());
    /// # Ok(()) }
    /// ```
    pub fn abort(self) {}

    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }

    pub(crate) fn writer_mut(&mut self) -> &mut Writer {
        &mut self.writer
    }

    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn into_writer(self) -> Writer {
        self.writer
    }
}

impl std::fmt::Debug for WriteTxn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteTxn").field("id", &self.id()).finish()
    }
}
