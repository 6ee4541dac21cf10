//! SQLite: one table WITHOUT ROWID in WAL mode. One connection writes; each reader takes one from a
//! pool.

use crate::engine::{ABLE, Abilities, Engine, Mode, Reader, Settings};
use crate::outcome::Outcome;
use rusqlite::{CachedStatement, Connection, Statement};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const GET: &str = "SELECT value FROM pairs WHERE key = ?1";
const PUT: &str = "INSERT INTO pairs VALUES (?1, ?2) \
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
const DELETE: &str = "DELETE FROM pairs WHERE key = ?1";
const SCAN: &str = "SELECT key, value FROM pairs WHERE key >= ?1 ORDER BY key";
const SCAN_BACK: &str = "SELECT key, value FROM pairs ORDER BY key DESC";
/// A transaction takes its snapshot when it first reads.
const FIRST_READ: &str = "SELECT 1 FROM pairs LIMIT 1";

pub struct Sqlite {
    path: PathBuf,
    synchronous: &'static str,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &Path, synchronous: &str) -> Outcome<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(60))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "mmap_size", 1i64 << 40)?;
    connection.pragma_update(None, "cache_size", -(256 << 10))?;
    Ok(connection)
}

fn run(connection: &Connection, sql: &str) -> Outcome<()> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

impl Sqlite {
    /// One write transaction around one statement.
    fn write(&self, sql: &str, work: impl FnOnce(&mut Statement) -> Outcome<()>) -> Outcome<()> {
        let connection = locked(&self.writer);
        run(&connection, "BEGIN IMMEDIATE")?;
        let outcome = connection.prepare_cached(sql).map_err(Into::into);
        let outcome = outcome.and_then(|mut statement| work(&mut statement));
        run(&connection, if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        outcome
    }

    /// One read transaction.
    fn with_reader<R>(&self, work: impl FnOnce(&Connection) -> Outcome<R>) -> Outcome<R> {
        let pooled = locked(&self.readers).pop();
        let connection = match pooled {
            Some(connection) => connection,
            None => connect(&self.path, self.synchronous)?,
        };
        run(&connection, "BEGIN")?;
        let outcome = work(&connection);
        run(&connection, "COMMIT")?;
        locked(&self.readers).push(connection);
        outcome
    }
}

impl Engine for Sqlite {
    const NAME: &'static str = "sqlite";
    const ABILITIES: Abilities = Abilities {
        processes: true,
        writer_processes: true,
        deferred: Some("synchronous = NORMAL"),
        max_value: 1 << 30,
        ..ABLE
    };
    const SETTINGS: Settings = Settings {
        packages: &["libsqlite3-sys", "rusqlite"],
        durable: "WAL, synchronous = FULL",
        other: "WITHOUT ROWID, mmap_size as large as it takes, cache of 256 MiB a connection, prepared statements; one \
                connection writes",
    };
    type Reader<'a> = View<'a>;

    fn open(dir: &Path, mode: Mode) -> Outcome<Sqlite> {
        let path = dir.join("data.sqlite");
        let synchronous = if mode == Mode::Durable { "FULL" } else { "NORMAL" };
        let writer = connect(&path, synchronous)?;
        writer.execute_batch(
            "CREATE TABLE IF NOT EXISTS pairs (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
        )?;
        Ok(Sqlite { path, synchronous, writer: Mutex::new(writer), readers: Mutex::default() })
    }

    fn read<R>(&self, work: impl FnOnce(&mut View<'_>) -> Outcome<R>) -> Outcome<R> {
        self.with_reader(|connection| {
            let get = connection.prepare_cached(GET)?;
            work(&mut View { connection, get })
        })
    }

    fn begin_end(&self) -> Outcome<()> {
        self.with_reader(|connection| {
            connection.prepare_cached(FIRST_READ)?.exists([])?;
            Ok(())
        })
    }

    fn put_all<'a>(&self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Outcome<()> {
        self.write(PUT, |put| {
            for pair in pairs {
                put.execute(pair)?;
            }
            Ok(())
        })
    }

    fn delete_all<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Outcome<()> {
        self.write(DELETE, |delete| {
            for key in keys {
                delete.execute([key])?;
            }
            Ok(())
        })
    }
}

/// A connection in a read transaction.
pub struct View<'t> {
    connection: &'t Connection,
    get: CachedStatement<'t>,
}

impl View<'_> {
    #[inline(always)]
    fn walk(
        statement: &mut Statement,
        from: impl rusqlite::Params,
        limit: u64,
        mut seen: impl FnMut(&[u8], &[u8]),
    ) -> Outcome<u64> {
        let mut rows = statement.query(from)?;
        let mut count = 0;
        while count < limit
            && let Some(row) = rows.next()?
        {
            seen(row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
            count += 1;
        }
        Ok(count)
    }
}

impl Reader for View<'_> {
    #[inline(always)]
    fn get<R>(&mut self, key: &[u8], found: impl FnOnce(&[u8]) -> R) -> Outcome<Option<R>> {
        let mut rows = self.get.query([key])?;
        Ok(match rows.next()? {
            Some(row) => Some(found(row.get_ref(0)?.as_blob()?)),
            None => None,
        })
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        limit: u64,
        seen: impl FnMut(&[u8], &[u8]),
    ) -> Outcome<u64> {
        let mut statement = self.connection.prepare_cached(SCAN)?;
        View::walk(&mut statement, [from.unwrap_or(&[])], limit, seen)
    }

    fn scan_back(&mut self, seen: impl FnMut(&[u8], &[u8])) -> Outcome<u64> {
        let mut statement = self.connection.prepare_cached(SCAN_BACK)?;
        View::walk(&mut statement, [], u64::MAX, seen)
    }
}
