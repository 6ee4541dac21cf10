//! A database that a verb makes of the pairs of another file: it is there as a whole or not at all.
//! It grows under a name of its own, and gets its name when everything is on the device.

use crate::database::lock_file;
use crate::failure::{Failure, Outcome};
use crate::pairs::PairsMut;
use crate::say;
use crate::text::one_line;
use recto::inspect::salvage::{Recovered, SalvageReport};
use recto::{Database, Durability, Error, Order, TableOptions};
use std::fs::{File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Bytes of pairs that are put into a table in one go.
const BATCH: usize = 1 << 20;
/// Bytes, and tables, that one commit takes.
const COMMIT: usize = 64 << 20;
const COMMIT_TABLES: usize = 256;
/// Tables without pairs, or with numbers, that one commit takes: each costs more the more there are
/// in it.
const COMMIT_EMPTY: usize = 1000;

/// The database that is being made, through the public API.
pub struct NewDatabase<'a> {
    path: &'a Path,
    /// Where it grows.
    growing: PathBuf,
    db: Option<Database>,
    table: String,
    options: TableOptions,
    batch: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
    txn: Option<recto::WriteTxn>,
    txn_bytes: usize,
    txn_tables: usize,
    /// The file may have been made.
    begun: bool,
    /// Writing failed, not reading.
    failed: bool,
}

impl<'a> NewDatabase<'a> {
    /// A database at a path where nothing is yet.
    pub fn at(path: &'a Path) -> Outcome<NewDatabase<'a>> {
        if path.symlink_metadata().is_ok() {
            return Err(Failure::at(path, "exists already; choose another name with -o"));
        }
        let mut growing = path.as_os_str().to_owned();
        growing.push(format!(".making-{}", std::process::id()));
        let growing = PathBuf::from(growing);
        for path in [growing.clone(), lock_file(&growing)] {
            if path.symlink_metadata().is_ok() {
                return Err(Failure::at(&path, "is in the way; delete it"));
            }
        }
        Ok(NewDatabase {
            path,
            growing,
            db: None,
            table: String::new(),
            options: TableOptions::default(),
            batch: Vec::new(),
            bytes: 0,
            txn: None,
            txn_bytes: 0,
            txn_tables: 0,
            begun: false,
            failed: false,
        })
    }

    /// Takes a pair.
    pub fn take(&mut self, pair: &Recovered<'_>) -> recto::Result<()> {
        let done = self.try_take(pair);
        self.failed |= done.is_err();
        done
    }

    fn try_take(&mut self, pair: &Recovered<'_>) -> recto::Result<()> {
        if self.table != pair.table || self.bytes >= BATCH {
            self.put(pair.page_size)?;
            self.table = pair.table.to_owned();
            self.options = without_function(pair.options);
        }
        self.bytes += pair.key.len() + pair.value.len() + 64;
        self.batch.push((pair.key.to_vec(), pair.value.to_vec()));
        Ok(())
    }

    /// Puts the batch into its table.
    fn put(&mut self, page_size: usize) -> recto::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut txn = match self.txn.take() {
            Some(txn) => txn,
            None => {
                let mut txn = self.open(page_size)?.write()?;
                txn.set_durability(Durability::Deferred);
                txn
            }
        };
        let mut table = PairsMut::open(&mut txn, &self.table, &self.options)?;
        for (key, value) in self.batch.drain(..) {
            table.put(&key, &value)?;
        }
        self.txn_bytes += std::mem::take(&mut self.bytes);
        self.txn_tables += 1;
        if self.txn_bytes >= COMMIT || self.txn_tables >= COMMIT_TABLES {
            (self.txn_bytes, self.txn_tables) = (0, 0);
            txn.commit()?;
        } else {
            self.txn = Some(txn);
        }
        Ok(())
    }

    fn open(&mut self, page_size: usize) -> recto::Result<&Database> {
        if self.db.is_none() {
            self.begun = true;
            let mut builder = Database::builder();
            builder.page_size(page_size);
            // SAFETY: the file is made here under a name that did not exist; nothing but recto
            // changes it, as the help text of the tool says of databases.
            self.db = Some(unsafe { builder.open(&self.growing)? });
        }
        self.db.as_ref().ok_or_else(|| Error::ReadOnly { path: Some(self.growing.clone()) })
    }

    /// What has come of reading `file`: if everything, the database gets its name.
    pub fn end(
        &mut self,
        file: &Path,
        report: recto::Result<SalvageReport>,
    ) -> Outcome<SalvageReport> {
        match report {
            Ok(report) if report.cancelled => Err(interrupted()),
            Ok(report) => {
                let done = self.finish(file, &report);
                done.map(|()| report).map_err(|e| Failure::engine(self.path, e))
            }
            // An error about writing is one of the new database.
            Err(e) if self.failed => Err(Failure::engine(self.path, e)),
            Err(e) => Err(Failure::engine(file, e)),
        }
    }

    /// Everything is there and on the device: it gets owner and mode of `file`, and its name, which
    /// nobody else may have taken meanwhile.
    fn finish(&mut self, file: &Path, report: &SalvageReport) -> recto::Result<()> {
        self.put(report.page_size)?;
        if let Some(txn) = self.txn.take() {
            txn.commit()?;
        }
        let db = self.open(report.page_size)?;
        // Those without pairs are tables too, and some have given out numbers.
        let left = report.tables.iter().filter(|table| table.pairs == 0 || table.sequence > 0);
        for some in left.collect::<Vec<_>>().chunks(COMMIT_EMPTY) {
            let mut txn = db.write()?;
            txn.set_durability(Durability::Deferred);
            for table in some {
                let options = without_function(&table.options);
                let mut opened = PairsMut::open(&mut txn, &table.name, &options)?;
                opened.raise_sequence(table.sequence)?;
            }
            txn.commit()?;
        }
        db.flush()?;
        self.db = None;
        for table in &report.tables {
            if let Order::Custom(order) = &table.options.order {
                let (table, order) = (one_line(&table.name), one_line(order));
                say(&format!(
                    "table {table:?} was in the order {order:?} of a program's own, and is in the order of \
                     its bytes now"
                ));
            }
        }
        let io = |what| move |source| Error::Io { what, path: None, source };
        give_as(&self.growing, file).map_err(io("set the owner and mode of the new file"))?;
        std::fs::hard_link(&self.growing, self.path).map_err(io("give the file its name"))?;
        // The second name goes with the rest that this has made.
        self.remove();
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = File::open(directory.unwrap_or(Path::new(".")));
        directory.and_then(|directory| directory.sync_all()).map_err(io("sync the directory"))
    }

    /// Takes away what was made under the temporary name.
    fn remove(&mut self) {
        self.txn = None;
        self.db = None;
        if !std::mem::take(&mut self.begun) {
            return;
        }
        for path in [self.growing.clone(), lock_file(&self.growing)] {
            if let Err(e) = std::fs::remove_file(&path)
                && e.kind() != ErrorKind::NotFound
            {
                say(&one_line(&format!("{}: cannot be removed: {e}", path.display())));
            }
        }
    }
}

impl Drop for NewDatabase<'_> {
    /// Leaves nothing behind that did not become a whole.
    fn drop(&mut self) {
        self.remove();
    }
}

/// Gives the new database to the owner and group of the file it is made of, as far as this user
/// may, with its mode: as the engine does with a lock file.
fn give_as(new: &Path, file: &Path) -> io::Result<()> {
    let (new, like) = (File::open(new)?, file.metadata()?);
    // Both, or at least the group.
    let (owner, group) = (Some(like.uid()), Some(like.gid()));
    let _ = fchown(&new, owner, group).or_else(|_| fchown(&new, None, group));
    let mut mode = like.permissions().mode() & 0o666 | 0o600;
    if new.metadata()?.gid() != like.gid() {
        // Another group: for everybody else it is everybody else.
        mode = mode & !0o070 | (mode & 0o007) << 3;
    }
    new.set_permissions(Permissions::from_mode(mode))?;
    new.sync_all()
}

/// The end by Ctrl-C.
pub fn interrupted() -> Failure {
    Failure::said("interrupted; nothing was made")
}

/// The same options in the order of the bytes, where the order is a function of a program's own:
/// only that program has it.
fn without_function(options: &TableOptions) -> TableOptions {
    match &options.order {
        Order::Custom(_) => options.clone().ordered(Order::Packed),
        _ => options.clone(),
    }
}
