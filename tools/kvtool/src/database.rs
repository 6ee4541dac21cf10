//! How every command opens its database.

use crate::failure::{Failure, Outcome};
use crate::pairs::PairsMut;
use recto::inspect::{LOCK_MAGIC, MAGIC};
use recto::{Builder, Database, ReadTxn, TableOptions, WriteTxn};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The table that is meant when none is named.
pub const DEFAULT_TABLE: &str = "main";

/// Which table.
#[derive(clap::Args, Debug)]
pub struct TableArg {
    /// Table to use (default: main)
    #[arg(short = 't', long = "table", value_name = "TABLE")]
    pub named: Option<String>,
}

impl TableArg {
    /// The table's name.
    pub fn name(&self) -> &str {
        self.named.as_deref().unwrap_or(DEFAULT_TABLE)
    }
}

/// How long to wait for another writer.
#[derive(clap::Args, Debug)]
pub struct WaitArg {
    /// Give up when another writer holds the database for this many seconds (default: wait)
    #[arg(long, value_name = "SECONDS")]
    pub wait: Option<u64>,
}

impl WaitArg {
    /// Begins the write transaction.
    pub fn begin(&self, db: &Database, file: &Path) -> Outcome<WriteTxn> {
        match self.wait {
            Some(seconds) => db.write_timeout(Duration::from_secs(seconds)),
            None => db.write(),
        }
        .map_err(|e| Failure::engine(file, e))
    }
}

/// A database to read.
#[derive(clap::Args, Debug)]
pub struct ReadArg {
    #[command(flatten)]
    place: FileArg,
    /// Nobody writes meanwhile (a copy, a read-only file system): use no lock file, on any file
    /// system
    #[arg(long, display_order = 100)]
    no_lock: bool,
}

impl ReadArg {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.place.file
    }

    /// Opens it. Never makes a file, and gives the engine's own error so that `check` can go on.
    pub fn try_open(&self) -> Outcome<recto::Result<Database>> {
        require(self.path())?;
        Ok(self.place.open_with(Database::builder().read_only(true).no_lock(self.no_lock)))
    }

    /// Opens it to be changed. Never makes a file.
    pub fn open_to_change(&self) -> Outcome<Database> {
        self.place.open()
    }

    /// Opens it. Never makes a file.
    pub fn open(&self) -> Outcome<Database> {
        self.try_open()?.map_err(|e| Failure::engine(self.path(), e))
    }
}

/// Which state is read.
#[derive(clap::Args, Debug)]
pub struct SnapshotArg {
    /// Read this named snapshot (default: the newest state). Without a look at checksums; `check`
    /// looks at them
    #[arg(long, value_name = "NAME")]
    snapshot: Option<String>,
}

impl SnapshotArg {
    /// Whether one is named.
    pub fn is_given(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Begins to read.
    pub fn read(&self, db: &Database) -> recto::Result<ReadTxn> {
        match &self.snapshot {
            Some(name) => db.read_snapshot(name),
            None => db.read(),
        }
    }
}

/// A database, to be changed as it stands.
#[derive(clap::Args, Debug)]
pub struct FileArg {
    /// The database
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The file lies on a network file system or on FUSE, and only this machine opens it
    #[arg(long, display_order = 100)]
    allow_network: bool,
}

impl FileArg {
    /// Opens it. Never makes a file.
    pub fn open(&self) -> Outcome<Database> {
        require(&self.file)?;
        self.open_with(Database::builder().create(false))
            .map_err(|e| Failure::engine(&self.file, e))
    }

    fn open_with(&self, options: &mut recto::Builder) -> recto::Result<Database> {
        options.allow_network(self.allow_network);
        // SAFETY: the user names a database as an argument of a tool for databases; that nothing
        // but recto changes it meanwhile is said in the help text.
        unsafe { options.open(&self.file) }
    }
}

/// A database to be changed, which is made if there is none.
#[derive(clap::Args, Debug)]
pub struct NewArg {
    #[command(flatten)]
    place: FileArg,
    /// Bytes of a page, if the database is made: a power of two from 4096 to 65536 (default: 4096)
    #[arg(long, value_name = "BYTES", display_order = 100)]
    page_size: Option<usize>,
}

impl NewArg {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.place.file
    }

    fn options(&self) -> Builder {
        let mut options = Database::builder();
        if let Some(bytes) = self.page_size {
            options.page_size(bytes);
        }
        options
    }

    /// Where it is still to be made: fails as it would at this table or pair. It is tried in
    /// memory, so that what fails leaves no empty file behind.
    pub fn try_first(
        &self,
        table: &str,
        options: &TableOptions,
        pair: Option<(&[u8], &[u8])>,
    ) -> Outcome<()> {
        if self.path().symlink_metadata().is_ok() {
            return Ok(());
        }
        // What is wrong with the options is told when it is made.
        let Ok(db) = self.options().in_memory() else { return Ok(()) };
        let put = || {
            let mut txn = db.write()?;
            match (PairsMut::open(&mut txn, table, options)?, pair) {
                // A value of any length has room there.
                (PairsMut::Map(mut map), Some((key, _))) => map.put(key, b"").map(drop),
                (PairsMut::Sets(mut sets), Some((key, value))) => sets.insert(key, value).map(drop),
                (_, None) => Ok(()),
            }
        };
        put().map_err(|e| Failure::engine(self.path(), e))
    }

    /// Opens it, or makes it.
    pub fn open(&self) -> Outcome<Database> {
        let fail = |e| Failure::engine(self.path(), e);
        let db = self.place.open_with(&mut self.options()).map_err(fail)?;
        let found = db.info().map_err(fail)?.page_size;
        match self.page_size {
            Some(bytes) if bytes != found as usize => {
                let what = format!("there is one, with pages of {found} bytes, not {bytes}");
                Err(Failure::at(self.path(), what))
            }
            _ => Ok(db),
        }
    }
}

/// The lock file of a database. It stands beside what a symbolic link leads to.
pub fn lock_file(file: &Path) -> PathBuf {
    let mut name = file.canonicalize().unwrap_or_else(|_| file.to_owned()).into_os_string();
    name.push("-lock");
    name.into()
}

/// Device and inode.
pub fn identity(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

/// Where a meta page can stand: the second one is behind the first, whatever the size of a page.
const META_PLACES: [u64; 6] = [0, 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16];

/// Whether a file is a lock file or a database, also where only one meta page is left of it.
pub fn belongs_to_database(file: &File) -> io::Result<bool> {
    for at in META_PLACES {
        let mut start = [0; MAGIC.len()];
        let read = file.read_at(&mut start, at)?;
        if start[..read] == MAGIC || at == 0 && start[..read] == LOCK_MAGIC {
            return Ok(true);
        }
    }
    Ok(false)
}

fn require(file: &Path) -> Outcome<()> {
    match std::fs::metadata(file) {
        Ok(meta) if meta.is_file() => Ok(()),
        Ok(_) => Err(Failure::at(file, "not a regular file; give the path of a database")),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(Failure::at(file, "no such file; `kvtool put` and `kvtool load` make one"))
        }
        Err(e) => Err(Failure::at(file, e)),
    }
}
