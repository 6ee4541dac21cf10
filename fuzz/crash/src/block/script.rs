//! What transaction number n does, and what the database holds after it: functions of the seed
//! alone.
//!
//! The database carries the number of its newest transaction. So any process can go on where
//! another stopped, and whoever finds a database can tell what it must hold without having been
//! told what was done.

use super::own::STAMP;
use super::{Error, Result};
use recto::{ReadTxn, WriteTxn};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

const COUNT_TABLE: &str = "count";
const COUNT_KEY: &str = "n";

/// What a transaction can be done to.
pub trait Target {
    /// Inserts or replaces.
    fn put(&mut self, table: &str, key: &str, value: Vec<u8>) -> Result<()>;
    /// Removes; makes the table if there is none.
    fn delete(&mut self, table: &str, key: &str) -> Result<()>;
    /// Drops the table if there is one.
    fn drop_table(&mut self, table: &str) -> Result<()>;
}

impl Target for WriteTxn {
    fn put(&mut self, table: &str, key: &str, value: Vec<u8>) -> Result<()> {
        self.open_table(table)?.put(key.as_bytes(), &value)?;
        Ok(())
    }

    fn delete(&mut self, table: &str, key: &str) -> Result<()> {
        self.open_table(table)?.delete(key.as_bytes())?;
        Ok(())
    }

    fn drop_table(&mut self, table: &str) -> Result<()> {
        WriteTxn::drop_table(self, table)?;
        Ok(())
    }
}

/// Table, key, value.
#[derive(Default)]
pub struct Model(BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>);

impl Target for Model {
    fn put(&mut self, table: &str, key: &str, value: Vec<u8>) -> Result<()> {
        self.0.entry(table.into()).or_default().insert(key.into(), value);
        Ok(())
    }

    fn delete(&mut self, table: &str, key: &str) -> Result<()> {
        self.0.entry(table.into()).or_default().remove(key.as_bytes());
        Ok(())
    }

    fn drop_table(&mut self, table: &str) -> Result<()> {
        self.0.remove(table);
        Ok(())
    }
}

/// Random numbers for transaction n.
pub fn rng_of(seed: u64, n: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Transaction n: every way to store, in small.
pub fn apply(seed: u64, n: u64, to: &mut dyn Target) -> Result<()> {
    let mut rng = rng_of(seed, n);
    let rng = &mut rng;
    to.put(COUNT_TABLE, COUNT_KEY, n.to_le_bytes().to_vec())?;
    if n == 1 {
        return fill(to, rng, "main", 120, 60);
    }
    match rng.u8(..100) {
        ..45 => change(to, rng, 1..5),
        45..58 => change(to, rng, 20..40),
        // Values on pages of their own.
        58..70 => {
            let (key, len) = (rng.u8(..4), rng.usize(3_000..60_000));
            to.put("big", &format!("v{key}"), value(rng, len))
        }
        70..74 => to.delete("big", &format!("v{}", rng.u8(..4))),
        // More pages than a manifest takes, sometimes.
        74..80 => {
            let (table, keys) = (format!("wide{}", rng.u8(..2)), rng.usize(40..220));
            fill(to, rng, &table, keys, 1_300)
        }
        80..87 => to.drop_table(&format!("wide{}", rng.u8(..2))),
        87..90 => to.drop_table("big"),
        90..92 => to.drop_table("main"),
        // The file grows, and its end is given back later.
        92..95 => fill(to, rng, "tail", 300, 1_300),
        _ => to.drop_table("tail"),
    }
}

fn change(to: &mut dyn Target, rng: &mut fastrand::Rng, keys: std::ops::Range<u32>) -> Result<()> {
    for _ in 0..rng.u32(keys) {
        let key = format!("key{:04}", rng.u32(..300));
        if rng.u8(..4) == 0 {
            to.delete("main", &key)?;
        } else {
            let len = rng.usize(..400);
            to.put("main", &key, value(rng, len))?;
        }
    }
    Ok(())
}

fn fill(
    to: &mut dyn Target,
    rng: &mut fastrand::Rng,
    table: &str,
    keys: usize,
    len: usize,
) -> Result<()> {
    (0..keys).try_for_each(|i| to.put(table, &format!("key{i:04}"), value(rng, len)))
}

/// Bytes that differ from call to call; each page of a large value is stamped.
fn value(rng: &mut fastrand::Rng, len: usize) -> Vec<u8> {
    let (start, step) = (rng.u8(..), rng.u8(..) | 1);
    let mut value: Vec<u8> = (0..len)
        .map(|i| start.wrapping_add((i as u8).wrapping_mul(step)) ^ (i >> 8) as u8)
        .collect();
    for page in value.chunks_mut(4096).filter(|_| len > 2_000) {
        if let Some(place) = page.first_chunk_mut() {
            *place = *STAMP;
        }
    }
    value
}

/// Number of the newest transaction that a write transaction stands on.
pub fn count_in(txn: &WriteTxn) -> Result<u64> {
    match txn.table(COUNT_TABLE) {
        Ok(table) => read_count(table.get(COUNT_KEY.as_bytes())?),
        Err(recto::Error::NoSuchTable(_)) => Ok(0),
        Err(e) => Err(e.into()),
    }
}

fn read_count(bytes: Option<&[u8]>) -> Result<u64> {
    let bytes =
        bytes.and_then(|b| b.try_into().ok()).ok_or("the number of the transaction is gone")?;
    Ok(u64::from_le_bytes(bytes))
}

/// The states of one seed, as digests.
pub struct History {
    seed: u64,
    model: Model,
    digests: Vec<u64>,
}

impl History {
    /// Computes states when they are asked for.
    pub fn new(seed: u64) -> History {
        let model = Model::default();
        let digests = vec![model.digest()];
        History { seed, model, digests }
    }

    /// Its seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether a snapshot is exactly one state, and which.
    pub fn recognise(&mut self, txn: &ReadTxn) -> Result<u64> {
        let tables = txn.tables()?;
        let n = match tables.iter().any(|t| t.name == COUNT_TABLE) {
            true => read_count(txn.table(COUNT_TABLE)?.get(COUNT_KEY.as_bytes())?)?,
            false => 0,
        };
        while (self.digests.len() as u64) <= n {
            // The verifier goes one transaction beyond the end; nothing goes further.
            if self.digests.len() > 100_000 {
                return Err(format!("it says to be at transaction {n}").into());
            }
            apply(self.seed, self.digests.len() as u64, &mut self.model)?;
            self.digests.push(self.model.digest());
        }
        let mut digest = DefaultHasher::new();
        for info in &tables {
            info.name.hash(&mut digest);
            info.stats.entries.hash(&mut digest);
            for pair in txn.table(&info.name)?.iter()? {
                let (key, value) = pair?;
                (&*key, value).hash(&mut digest);
            }
        }
        if self.digests[n as usize] == digest.finish() {
            return Ok(n);
        }
        Err(self.difference(n, txn)?.into())
    }

    /// The first thing in which a snapshot is not state n.
    fn difference(&self, n: u64, txn: &ReadTxn) -> Result<String> {
        let mut model = Model::default();
        (1..=n).try_for_each(|i| apply(self.seed, i, &mut model))?;
        let found: Vec<_> = txn.tables()?.into_iter().map(|t| t.name).collect();
        let wanted: Vec<_> = model.0.keys().cloned().collect();
        if found != wanted {
            return Ok(format!("state {n} has tables {wanted:?}, found {found:?}"));
        }
        for (name, wanted) in &model.0 {
            let mut found = BTreeMap::new();
            for pair in txn.table(name)?.iter()? {
                let (key, value) = pair?;
                found.insert(key.to_vec(), value.to_vec());
            }
            let differs = |key: &&Vec<u8>| wanted.get(*key) != found.get(*key);
            if let Some(key) = wanted.keys().chain(found.keys()).find(differs) {
                let [wanted, found] = [wanted, &found].map(|t| t.get(key).map(Vec::len));
                let key = key.escape_ascii();
                return Ok(format!(
                    "state {n}, table {name:?}, key {key}: wanted {wanted:?} bytes, found {found:?}"
                ));
            }
        }
        Ok(format!("state {n} differs in the order or number of its pairs"))
    }
}

impl Model {
    fn digest(&self) -> u64 {
        let mut digest = DefaultHasher::new();
        for (name, pairs) in &self.0 {
            name.hash(&mut digest);
            (pairs.len() as u64).hash(&mut digest);
            for (key, value) in pairs {
                (&key[..], &value[..]).hash(&mut digest);
            }
        }
        digest.finish()
    }
}

/// Applies transaction n to a write transaction.
pub fn apply_next(seed: u64, txn: &mut WriteTxn) -> Result<u64> {
    let n = count_in(txn)? + 1;
    apply(seed, n, txn).map_err(|e| Error::from(format!("transaction {n}: {e}")))?;
    Ok(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_and_model_go_together() {
        let db = recto::Database::in_memory().unwrap();
        let mut history = History::new(5);
        assert_eq!(history.recognise(&db.read().unwrap()).unwrap(), 0);
        for n in 1..=60 {
            let mut txn = db.write().unwrap();
            assert_eq!(apply_next(5, &mut txn).unwrap(), n);
            txn.commit().unwrap();
            if n % 7 == 0 {
                assert_eq!(history.recognise(&db.read().unwrap()).unwrap(), n);
            }
        }
        assert_eq!(History::new(5).recognise(&db.read().unwrap()).unwrap(), 60);
        assert!(History::new(6).recognise(&db.read().unwrap()).is_err());
        let mut txn = db.write().unwrap();
        Target::put(&mut txn, "main", "key0001", vec![1, 2, 3]).unwrap();
        txn.commit().unwrap();
        let told = history.recognise(&db.read().unwrap()).unwrap_err().to_string();
        assert!(told.contains("key0001"), "{told}");
    }
}
