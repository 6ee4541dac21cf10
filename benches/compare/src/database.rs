//! A database of one engine together with what must be in it: the model that every answer is held
//! against.

use crate::device::forget;
use crate::engine::{Engine, Mode, Reader};
use crate::keys::{Keys, Shape, Values, Zipf, head};
use crate::outcome::{Failure, Guard, Outcome, disk_used, expect_eq};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// How much of everything.
#[derive(Clone)]
pub struct Sizes {
    pub keys: usize,
    pub shape: Shape,
    pub value_len: usize,
}

/// Everything that is prepared once and used by all engines.
pub struct Data {
    pub sizes: Sizes,
    pub keys: Keys,
    /// Indexes of keys in the order of the keys.
    pub sorted: Vec<u32>,
    /// The same in an order that has nothing to do with the keys.
    pub shuffled: Vec<u32>,
    pub values: Values,
    zipf: OnceLock<Zipf>,
}

impl Data {
    pub fn new(sizes: &Sizes) -> Data {
        let keys = Keys::of(sizes.shape, (0..sizes.keys as u64).map(|i| 2 * i));
        let mut sorted: Vec<u32> = (0..sizes.keys as u32).collect();
        let mut shuffled = sorted.clone();
        sorted.sort_unstable_by(|a, b| keys.get(*a as usize).cmp(keys.get(*b as usize)));
        fastrand::Rng::with_seed(3).shuffle(&mut shuffled);
        let values = Values::new(sizes.value_len);
        Data { sizes: sizes.clone(), keys, sorted, shuffled, values, zipf: OnceLock::new() }
    }

    pub fn zipf(&self) -> &Zipf {
        self.zipf.get_or_init(|| Zipf::new(self.sizes.keys))
    }

    /// Keys side by side in the order in which they will be asked for.
    pub fn gather(&self, picks: &[u32]) -> Keys {
        Keys::of(self.sizes.shape, picks.iter().map(|i| 2 * u64::from(*i)))
    }
}

/// What a database is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Loaded at random; most workloads use it.
    Main,
    /// Loaded in order.
    Ordered,
    /// Overwritten and deleted from.
    Churn,
    /// Few values of 100 KiB.
    Large100k,
    /// Few values of 1 MiB.
    Large1m,
}

impl Role {
    pub const ALL: [Role; 5] =
        [Role::Main, Role::Ordered, Role::Churn, Role::Large100k, Role::Large1m];

    /// Length of the values.
    pub fn value_len(self, sizes: &Sizes) -> usize {
        match self {
            Role::Large100k => 100 << 10,
            Role::Large1m => Values::LONGEST,
            _ => sizes.value_len,
        }
    }

    /// Number of keys.
    pub fn keys(self, sizes: &Sizes) -> usize {
        match self {
            Role::Large100k => 64.min(sizes.keys),
            Role::Large1m => 24.min(sizes.keys),
            _ => sizes.keys,
        }
    }
}

/// A key that is not there.
pub const ABSENT: u32 = u32::MAX;

pub struct Db<E> {
    engine: Option<E>,
    pub dir: PathBuf,
    pub value_len: usize,
    /// For each key how often its value was replaced, or [`ABSENT`].
    pub versions: Vec<u32>,
    /// The version that the next commit writes.
    pub clock: u32,
    /// Bytes on the disk after loading and closing.
    pub loaded_bytes: u64,
}

impl<E: Engine> Db<E> {
    /// A new database without keys.
    pub fn create(dir: &Path, value_len: usize, keys: usize) -> Outcome<Db<E>> {
        if dir.exists() {
            std::fs::remove_dir_all(dir)?;
        }
        std::fs::create_dir_all(dir)?;
        let engine = Some(E::open(dir, Mode::Durable)?);
        let versions = vec![ABSENT; keys];
        Ok(Db { engine, dir: dir.into(), value_len, versions, clock: 0, loaded_bytes: 0 })
    }

    /// A database filled for its role.
    pub fn load(dir: &Path, role: Role, data: &Data, guard: &mut Guard) -> Outcome<Db<E>> {
        let (value_len, keys) = (role.value_len(&data.sizes), role.keys(&data.sizes));
        let mut db = Db::create(dir, value_len, keys)?;
        let large: Vec<u32> = (0..keys as u32).collect();
        let (order, step) = match role {
            // Not timed; a commit rewrites nearly every leaf, so there are few of them, however
            // many keys.
            Role::Main | Role::Churn => (&data.shuffled, (keys / 20).max(50_000)),
            Role::Ordered => (&data.sorted, 1_000_000),
            Role::Large100k | Role::Large1m => (&large, 8),
        };
        for batch in order.chunks(step) {
            guard.check()?;
            db.put(data, batch)?;
        }
        db.close()?;
        db.loaded_bytes = disk_used(&db.dir);
        db.open(Mode::Durable)?;
        db.verify(data)?;
        Ok(db)
    }

    pub fn engine(&self) -> Outcome<&E> {
        self.engine.as_ref().ok_or_else(|| Failure::Error("the database is closed".into()))
    }

    pub fn close(&mut self) -> Outcome<()> {
        self.engine.take().map_or(Ok(()), E::close)
    }

    pub fn open(&mut self, mode: Mode) -> Outcome<()> {
        self.close()?;
        self.engine = Some(E::open(&self.dir, mode)?);
        Ok(())
    }

    /// Closes it, makes the system forget its pages, and opens it again.
    pub fn chill(&mut self) -> Outcome<()> {
        self.close()?;
        forget(&self.dir)?;
        self.open(Mode::Durable)
    }

    /// Puts new values for these keys in one transaction.
    pub fn put(&mut self, data: &Data, batch: &[u32]) -> Outcome<()> {
        let (version, len) = (self.clock, self.value_len);
        let pairs = batch.iter().map(|i| {
            let i = *i as usize;
            (data.keys.get(i), data.values.get(i, version, len))
        });
        self.engine()?.put_all(pairs)?;
        self.note(batch, version);
        self.clock += 1;
        Ok(())
    }

    /// Takes note that keys have a version now.
    pub fn note(&mut self, batch: &[u32], version: u32) {
        for i in batch {
            self.versions[*i as usize] = version;
        }
    }

    /// What a key must have.
    pub fn value<'d>(&self, data: &'d Data, index: u32) -> &'d [u8] {
        let index = index as usize;
        data.values.get(index, self.versions[index], self.value_len)
    }

    /// What the heads of the values of these keys add up to.
    pub fn heads(&self, data: &Data, picks: &[u32]) -> u64 {
        picks.iter().fold(0u64, |sum, i| sum.wrapping_add(head(self.value(data, *i))))
    }

    /// Reads these keys and compares all of their values.
    pub fn verify_some(&self, data: &Data, picks: &[u32]) -> Outcome<()> {
        self.engine()?.read(|reader| {
            for i in picks {
                let want = self.value(data, *i);
                let same = reader.get(data.keys.get(*i as usize), |value| value == want)?;
                expect_eq("value of a key that was written", same, Some(true))?;
            }
            Ok(())
        })
    }

    /// Reads everything and compares it.
    pub fn verify(&self, data: &Data) -> Outcome<()> {
        let here = |i: &&u32| self.versions.get(**i as usize).is_some_and(|v| *v != ABSENT);
        let mut want = data.sorted.iter().filter(here);
        let mut wrong = None;
        let count = self.engine()?.read(|reader| {
            reader.scan(None, u64::MAX, |key, value| {
                let right = want.next().is_some_and(|i| {
                    key == data.keys.get(*i as usize) && value == self.value(data, *i)
                });
                if !right && wrong.is_none() {
                    wrong = Some(format!("pair with key {}", key.escape_ascii()));
                }
            })
        })?;
        match wrong {
            Some(wrong) => Err(Failure::Wrong(wrong)),
            None => expect_eq("number of pairs", count, count + want.count() as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest::Context;
    use crate::device::Device;
    use crate::engine::{ABLE, Abilities, Settings};
    use crate::workloads::{read, scan};
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

    /// Keeps pairs in memory, and loses or changes one if it is told to.
    struct Liar(Mutex<Pairs>);

    impl Engine for Liar {
        const NAME: &'static str = "liar";
        const ABILITIES: Abilities = ABLE;
        const SETTINGS: Settings = Settings { packages: &[], durable: "not", other: "nothing" };
        type Reader<'a> = Pairs;

        fn open(_dir: &Path, _mode: Mode) -> Outcome<Liar> {
            Ok(Liar(Mutex::default()))
        }

        fn read<R>(&self, work: impl FnOnce(&mut Pairs) -> Outcome<R>) -> Outcome<R> {
            let mut pairs = self.0.lock().expect("no panic before").clone();
            work(&mut pairs)
        }

        fn put_all<'a>(&self, new: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Outcome<()> {
            let mut pairs = self.0.lock().expect("no panic before");
            pairs.extend(new.map(|(key, value)| (key.to_vec(), value.to_vec())));
            Ok(())
        }

        fn delete_all<'a>(&self, _keys: impl Iterator<Item = &'a [u8]>) -> Outcome<()> {
            Ok(())
        }
    }

    impl Reader for Pairs {
        fn get<R>(&mut self, key: &[u8], found: impl FnOnce(&[u8]) -> R) -> Outcome<Option<R>> {
            Ok(BTreeMap::get(self, key).map(|value| found(value)))
        }

        fn scan(
            &mut self,
            from: Option<&[u8]>,
            limit: u64,
            mut seen: impl FnMut(&[u8], &[u8]),
        ) -> Outcome<u64> {
            let pairs = self.range(from.unwrap_or(&[]).to_vec()..).take(limit as usize);
            Ok(pairs.map(|(key, value)| seen(key, value)).count() as u64)
        }

        fn scan_back(&mut self, mut seen: impl FnMut(&[u8], &[u8])) -> Outcome<u64> {
            Ok(self.iter().rev().map(|(key, value)| seen(key, value)).count() as u64)
        }
    }

    /// What verifying, getting, seeking and scanning say after `harm` was done to the pairs.
    fn outcomes(harm: impl FnOnce(&mut Pairs, &Data)) -> [bool; 4] {
        let data = Data::new(&Sizes { keys: 1000, shape: Shape::U64, value_len: 20 });
        let dir = tempfile::tempdir().expect("a directory");
        let mut guard = Guard::new(dir.path(), u64::MAX);
        let role = Role::Main;
        let db = Db::<Liar>::load(&dir.path().join("db"), role, &data, &mut guard);
        // Loading closes and opens, which forgets everything here.
        assert!(matches!(db, Err(Failure::Wrong(_))));
        let mut db = Db::<Liar>::create(&dir.path().join("db"), 20, 1000).expect("in memory");
        db.put(&data, &data.sorted).expect("in memory");
        harm(&mut db.engine().expect("open").0.lock().expect("no panic before"), &data);
        let device = Device::of(dir.path());
        let mut cx = Context { data: &data, guard: &mut guard, device: &device, seed: 1 };
        let wrong = |outcome: Outcome<()>| match outcome {
            Ok(()) => false,
            Err(Failure::Wrong(_)) => true,
            Err(failure) => panic!("{failure}"),
        };
        [
            wrong(db.verify(&data)),
            wrong(read::hit(&db, &mut cx).map(drop)),
            wrong(scan::seek(&db, &mut cx).map(drop)),
            wrong(scan::forward(&db, &mut cx).map(drop)),
        ]
    }

    #[test]
    fn right_answers_pass() {
        assert_eq!(outcomes(|_, _| ()), [false; 4]);
    }

    #[test]
    fn wrong_answers_are_found() {
        let picked =
            |data: &Data| data.keys.get(fastrand::Rng::with_seed(1).u32(..1000) as usize).to_vec();
        let lost = outcomes(|pairs, data| drop(pairs.remove(&picked(data))));
        assert_eq!(lost, [true; 4], "a key is lost");
        let changed =
            outcomes(|pairs, data| pairs.get_mut(&picked(data)).expect("is there")[0] ^= 1);
        assert_eq!(changed, [true; 4], "a value has changed");
        let more = outcomes(|pairs, _| drop(pairs.insert(vec![0xff; 9], vec![0; 20])));
        assert!(more[0] && more[3], "there is a key too many");
    }
}
