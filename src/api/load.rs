//! Pairs in any order, and more than memory holds, that come into a table in the order of their
//! keys.

use super::db::Database;
use super::set_mut::SetTableMut;
use super::table_mut::TableMut;
use super::transaction::WriteTxn;
use crate::commit::engine::Engine;
use crate::error::{Error, Result};
use crate::format::order::KeyOrder;
use crate::sort::{LEAST_MEMORY, Settings, Sorter};
use crate::tree::{self, TableDescriptor};
use crate::txn::write::{TableId, Writer};
use crate::types::{Order, TableKind};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// What a [`Loader`] may use.
///
/// ```
/// let options = recto::LoadOptions::default().memory(1 << 30).temp_dir("/var/tmp");
/// ```
#[derive(Clone, Debug)]
pub struct LoadOptions {
    memory: usize,
    directory: Option<PathBuf>,
    order: Order,
}

impl Default for LoadOptions {
    fn default() -> LoadOptions {
        LoadOptions { memory: LoadOptions::MEMORY, directory: None, order: Order::Packed }
    }
}

impl LoadOptions {
    /// Bytes of memory that are used unless others are asked for: 256 MiB.
    pub const MEMORY: usize = 256 << 20;
    /// Bytes that are used at least.
    pub const LEAST_MEMORY: usize = LEAST_MEMORY;

    /// Bytes of memory for pairs that are being sorted or merged, and no more, but for one value at
    /// a time that is longer, and for where they stand in temporary files: 24 bytes for each block
    /// of a 64th of this memory, 1 KiB at least and 256 KiB at most. That is nothing with the
    /// default, 3 MiB for 32 GiB, and 24 MiB for each GiB of pairs with the least memory. With the
    /// default, 32 GiB of pairs are written to temporary files once and read once; more, or less
    /// memory, may take another pass.
    pub fn memory(self, bytes: usize) -> Self {
        LoadOptions { memory: bytes.max(LEAST_MEMORY), ..self }
    }

    /// The order of the keys of the table that the pairs are for: it must be that of the table.
    /// Default: that of the bytes.
    ///
    /// ```
    /// use recto::{LoadOptions, Order, TableKind, TableOptions};
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let options = LoadOptions::default().order(Order::Integers);
    /// let mut loader = db.loader(TableKind::Map, &options);
    /// for (port, name) in [(8080u32, "proxy"), (22, "ssh"), (443, "https")] {
    ///     loader.push(&port.to_le_bytes(), name.as_bytes())?;
    /// }
    /// let mut txn = db.write()?;
    /// let options = TableOptions::default().ordered(Order::Integers);
    /// let ports = txn.open_table_with("ports", &options)?.id();
    /// loader.finish(&mut txn, ports)?;
    /// assert_eq!(txn.view(ports)?.last()?.unwrap().1, b"proxy");
    /// # Ok(()) }
    /// ```
    pub fn order(self, order: Order) -> Self {
        LoadOptions { order, ..self }
    }

    /// Where temporary files are made: as long as all pairs together, and twice as long for a while
    /// where these take several passes. Default: the directory of the database; of one in memory,
    /// the system's directory for temporary files, which may lie in memory too.
    pub fn temp_dir(self, directory: impl Into<PathBuf>) -> Self {
        LoadOptions { directory: Some(directory.into()), ..self }
    }
}

/// Takes pairs in any order, also more than memory holds, and puts them into a table in the order
/// of their keys: each page of a new table is written about once, and filled as by
/// [`TableMut::append`]. Random pairs put one by one touch a page each instead
/// (docs/performance.md, *Loading unsorted pairs*, has figures).
///
/// Pairs are sorted in bounded memory ([`LoadOptions::memory`]); where that is not enough, they go
/// to temporary files, in which nothing is believed without its checksum. Files have no names, so
/// they are gone when the loader is, and also when the process is killed. It takes no transaction
/// before [`Loader::finish`]: others may write while it is filled.
///
/// Of several values of a key the one pushed last stays, as with `put`; in a table of sets each
/// value stays, once.
///
/// Thread rules: it may be sent to another thread. A thread of its own sorts and writes what was
/// pushed while more is pushed; one more merges while `finish` puts. In a forked child every call
/// gives [`Error::Forked`]. It keeps the database open.
///
/// ```
/// use recto::{LoadOptions, TableKind};
/// # fn main() -> recto::Result<()> {
/// # let db = recto::Database::in_memory()?;
/// let mut loader = db.loader(TableKind::Map, &LoadOptions::default());
/// for n in 0..10_000u32 {
///     let key = n.wrapping_mul(2_654_435_761).to_be_bytes(); // in no order
///     loader.push(&key, &n.to_le_bytes())?;
/// }
/// let mut txn = db.write()?;
/// let table = txn.open("numbers")?;
/// let loaded = loader.finish(&mut txn, table)?;
/// assert_eq!((loaded.pushed, loaded.new), (10_000, 10_000));
/// txn.commit()?;
/// # Ok(()) }
/// ```
pub struct Loader {
    engine: Arc<Engine>,
    /// Kind of the table, and nothing else of it.
    shape: TableDescriptor,
    /// As it was asked for.
    order: Order,
    sorter: Sorter,
    longest_key: usize,
    shortest_value: usize,
    longest_value: usize,
}

/// What a [`Loader`] has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// Pairs that were pushed.
    pub pushed: u64,
    /// Of them those that the table has more now: their key was not there, and did not come again;
    /// in a table of sets the pair itself.
    pub new: u64,
    /// Sorted runs in temporary files: 0 where memory was enough.
    pub runs: usize,
    /// How often runs were merged into longer ones, before the last merge into the table.
    pub passes: usize,
    /// Bytes that were written to temporary files, in all.
    pub temp_bytes: u64,
}

/// How far [`Loader::finish_with`] is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LoadProgress {
    /// Pairs that were merged, those of every pass counted.
    pub merged: u64,
    /// How many there are to merge, at most: those that others replace fall out on the way.
    pub of: u64,
}

impl Database {
    /// Takes pairs in any order for a table of this kind, which need not exist before
    /// [`Loader::finish`]. Nothing is allocated, and no file made, before they come.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// use recto::{LoadOptions, TableKind};
    /// let mut loader = db.loader(TableKind::Set { value_size: 4 }, &LoadOptions::default());
    /// loader.push(b"even", &2u32.to_be_bytes())?;
    /// let mut txn = db.write()?;
    /// let numbers = txn.open_set_with("numbers", &recto::TableOptions::set_of(4))?.id();
    /// assert_eq!(loader.finish(&mut txn, numbers)?.new, 1);
    /// # Ok(()) }
    /// ```
    pub fn loader(&self, kind: TableKind, options: &LoadOptions) -> Loader {
        Loader::of_kind(&self.engine, kind, options)
    }
}

impl Loader {
    pub(crate) fn of_kind(engine: &Arc<Engine>, kind: TableKind, options: &LoadOptions) -> Loader {
        let (is_set, value_size) = match kind {
            TableKind::Map => (false, 0),
            TableKind::Set { value_size } => (true, value_size),
        };
        let order = match &options.order {
            // One that is not known is said with the first pair.
            Order::Custom(name) => engine.custom_order(name).unwrap_or(KeyOrder::UNKNOWN),
            order => KeyOrder::of(order),
        };
        let shape = TableDescriptor { is_set, value_size, order, ..TableDescriptor::default() };
        Loader::new(engine, shape, options)
    }

    fn new(engine: &Arc<Engine>, shape: TableDescriptor, options: &LoadOptions) -> Loader {
        let directory = options.directory.clone().unwrap_or_else(|| {
            match engine.platform.data_path().and_then(|path| path.parent()) {
                Some(directory) => directory.to_owned(),
                None => std::env::temp_dir(),
            }
        });
        let settings = Settings {
            sets: shape.is_set,
            order: shape.order,
            memory: options.memory,
            directory,
            max_key_len: crate::format::node::max_key_len(engine.page_size),
        };
        Loader {
            engine: Arc::clone(engine),
            shape,
            sorter: Sorter::new(settings),
            order: options.order.clone(),
            longest_key: 0,
            shortest_value: usize::MAX,
            longest_value: 0,
        }
    }

    /// Takes a pair.
    ///
    /// [`Error::KeyTooLong`], [`Error::ValueTooLong`] and, for a table of sets,
    /// [`Error::InvalidArgument`] as when it is put: nothing has happened, and others may be
    /// pushed. [`Error::Io`] with the directory of the temporary files, also where that has no room
    /// left: pairs are lost, every later call gives it again, and no transaction knows of it.
    ///
    /// It is copied: O(bytes), and the sorting in a thread of its own. It waits where pairs come
    /// faster than they are sorted and written.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.engine.check_alive()?;
        self.check_order()?;
        tree::check_pair(self.engine.page_size, &self.shape, key, value)?;
        self.sorter.push(key, value)?;
        self.longest_key = self.longest_key.max(key.len());
        self.shortest_value = self.shortest_value.min(value.len());
        self.longest_value = self.longest_value.max(value.len());
        Ok(())
    }

    /// An order without its function.
    fn check_order(&self) -> Result<()> {
        match &self.order {
            Order::Custom(order) if !self.shape.order.is_known() => {
                Err(Error::NoSuchOrder { table: String::new(), order: order.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Number of pairs taken so far.
    ///
    /// O(1).
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut loader = db.loader(recto::TableKind::Map, &recto::LoadOptions::default());
    /// loader.push(b"key", b"old")?;
    /// loader.push(b"key", b"new")?; // this one stays
    /// assert_eq!(loader.pushed(), 2);
    /// # Ok(()) }
    /// ```
    pub fn pushed(&self) -> u64 {
        self.sorter.pushed()
    }

    /// Puts all pairs into an open table of the transaction. What is there stays, but for values
    /// whose key was pushed.
    ///
    /// Errors before anything is put leave the transaction as it is: [`Error::NoSuchTableId`],
    /// [`Error::TableOptions`] where the table is of another kind, [`Error::InvalidArgument`] or
    /// [`Error::KeyTooLong`] where it takes no pairs of these lengths (a table of sets of another
    /// size, a database with other pages), and [`Error::Io`] of temporary files that are merged.
    /// Any other error comes half-way: that of a temporary file that gives other bytes than it
    /// got, [`Error::Io`] where there is no memory for a large value, or those of
    /// [`TableMut::put`]. The transaction can only be dropped then, or rolled back to a savepoint.
    pub fn finish(self, txn: &mut WriteTxn, table: TableId) -> Result<Loaded> {
        self.finish_with(txn, table, |_| Ok(()))
    }

    /// The same, with a function that is told how far it is, after some thousand pairs each time,
    /// and may end it: its error is that of the call, and what was put counts as half-way.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use recto::{LoadOptions, TableKind};
    /// # let db = recto::Database::in_memory()?;
    /// # let stop = std::sync::atomic::AtomicBool::new(false);
    /// # let mut loader = db.loader(TableKind::Map, &LoadOptions::default());
    /// # loader.push(b"key", b"value")?;
    /// # let mut txn = db.write()?;
    /// # let table = txn.open("main")?;
    /// loader.finish_with(&mut txn, table, |progress| {
    ///     println!("{} of {}", progress.merged, progress.of);
    ///     if stop.load(std::sync::atomic::Ordering::Relaxed) {
    ///         return Err(Box::<dyn std::error::Error>::from("stopped"));
    ///     }
    ///     Ok(())
    /// })?;
    /// # Ok(()) }
    /// ```
    pub fn finish_with<E: From<Error>>(
        self,
        txn: &mut WriteTxn,
        table: TableId,
        step: impl FnMut(LoadProgress) -> std::result::Result<(), E>,
    ) -> std::result::Result<Loaded, E> {
        self.engine.check_alive()?;
        let writer = txn.writer_mut();
        writer.check_usable()?;
        let index = match self.shape.is_set {
            true => writer.set_index_of(table)?,
            false => writer.index_of(table)?,
        };
        let has = writer.table(index).order;
        let by_bytes = has.is_by_bytes() && self.shape.order.is_by_bytes();
        if !by_bytes && !has.is_same(self.shape.order) {
            let what = "the pairs were not sorted in the order of the table (LoadOptions::order)";
            return Err(Error::InvalidArgument(what.into()).into());
        }
        self.put_all(writer, index, step)
    }

    fn put_all<E: From<Error>>(
        self,
        writer: &mut Writer,
        index: usize,
        mut step: impl FnMut(LoadProgress) -> std::result::Result<(), E>,
    ) -> std::result::Result<Loaded, E> {
        self.check_lengths(writer, index)?;
        let (mut stopped, pushed) = (None, self.pushed());
        let mut tell = |merged, of| match step(LoadProgress { merged, of }) {
            Ok(()) => true,
            Err(e) => {
                stopped = Some(e);
                false
            }
        };
        let done = self.sorter.sort(&mut tell).and_then(|sorted| {
            let new = writer.load(index, &sorted, &mut tell)?;
            let (runs, passes) = (sorted.runs(), sorted.passes());
            Ok(Loaded { pushed, new, runs, passes, temp_bytes: sorted.temp_bytes() })
        });
        match stopped {
            Some(e) => Err(e),
            None => Ok(done?),
        }
    }

    /// Whether the table takes pairs as long as the longest and the shortest.
    fn check_lengths(&self, writer: &Writer, index: usize) -> Result<()> {
        if self.pushed() == 0 {
            return Ok(());
        }
        let table = writer.table(index);
        // Of the orders one refuses other lengths, which none of the keys has.
        let key = vec![0; self.longest_key];
        let values: &[usize] = match table.is_set {
            true => &[self.shortest_value, self.longest_value],
            false => &[0],
        };
        for &len in values {
            tree::check_pair(writer.engine().page_size, table, &key, &vec![0; len])?;
        }
        Ok(())
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader")
            .field("kind", &self.shape.kind())
            .field("pushed", &self.pushed())
            .finish_non_exhaustive()
    }
}

/// Pushes all pairs.
fn filled<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    mut loader: Loader,
    pairs: impl IntoIterator<Item = (K, V)>,
) -> Result<Loader> {
    for (key, value) in pairs {
        loader.push(key.as_ref(), value.as_ref())?;
    }
    Ok(loader)
}

impl TableMut<'_> {
    /// Puts pairs that come in no order, also more than memory holds: as a [`Loader`] with
    /// [`LoadOptions::default`], which says what it costs, and what errors leave. None of them is
    /// in the table before the last one has come.
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// let mut txn = db.write()?;
    /// let mut words = txn.open_table("words")?;
    /// let text = "the order of words in a text is not the order of keys";
    /// let loaded = words.load(text.split(' ').map(|word| (word, b"")))?;
    /// assert_eq!((loaded.pushed, loaded.new), (13, 10));
    /// assert_eq!(&*words.first()?.unwrap().0, b"a");
    /// # Ok(()) }
    /// ```
    pub fn load<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Loaded> {
        load(self, |loader| filled(loader, pairs))
    }
}

impl SetTableMut<'_> {
    /// Inserts pairs that come in no order: as [`TableMut::load`].
    ///
    /// ```
    /// # fn main() -> recto::Result<()> {
    /// # let db = recto::Database::in_memory()?;
    /// # let mut txn = db.write()?;
    /// let mut by_city = txn.open_set("by_city")?;
    /// by_city.load([("Oslo", "bob"), ("Bergen", "cyd"), ("Oslo", "ada"), ("Oslo", "bob")])?;
    /// assert_eq!((by_city.len(), by_city.count(b"Oslo")?), (3, 2));
    /// # Ok(()) }
    /// ```
    pub fn load<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Loaded> {
        load_set(self, |loader| filled(loader, pairs))
    }
}

/// Has a loader for this table filled, and puts what it has taken.
pub(crate) fn load(
    table: &mut TableMut<'_>,
    fill: impl FnOnce(Loader) -> Result<Loader>,
) -> Result<Loaded> {
    let (writer, index) = table.parts();
    load_into(writer, index, fill)
}

/// The same for a table of sets.
pub(crate) fn load_set(
    table: &mut SetTableMut<'_>,
    fill: impl FnOnce(Loader) -> Result<Loader>,
) -> Result<Loaded> {
    let (writer, index) = table.parts();
    load_into(writer, index, fill)
}

fn load_into(
    writer: &mut Writer,
    index: usize,
    fill: impl FnOnce(Loader) -> Result<Loader>,
) -> Result<Loaded> {
    writer.check_usable()?;
    let &TableDescriptor { is_set, value_size, order, .. } = writer.table(index);
    let shape = TableDescriptor { is_set, value_size, order, ..TableDescriptor::default() };
    let loader = Loader::new(writer.engine(), shape, &LoadOptions::default());
    fill(loader)?.put_all(writer, index, |_| Ok(()))
}
