//! Typed tables against plain collections: the order of every type of keys, what comes back, and
//! what foreign bytes give.

mod common;

use common::assert_clean;
use fastrand::Rng;
use recto::typed::{Beginning, Key, KeyPrefix, Pod, PodSlice, TableDef, Value};
use recto::{Database, Error};
use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Bound::*;
use std::time::Duration;

// ---- Keys ----

/// Keys of one kind that are worth comparing: their limits, their neighbours, and random ones.
struct Sample<K: Key> {
    keys: Vec<K::Owned>,
}

/// Compares all pairs: the order of the bytes is that of the type, and what is read is what was
/// written, whatever follows. How many comparisons that were.
fn order<K: Key>(sample: Sample<K>, cmp: impl Fn(&K::Owned, &K::Owned) -> Ordering) -> usize
where
    K::Owned: Debug,
{
    let keys = sample.keys;
    let name = K::type_name();
    let part = |key: &K::Owned| {
        let mut out = Vec::new();
        K::encode_part(K::arg(key), &mut out);
        out
    };
    let whole: Vec<Vec<u8>> = keys.iter().map(|key| K::to_bytes(K::arg(key))).collect();
    let parts: Vec<Vec<u8>> = keys.iter().map(part).collect();
    for (n, a) in keys.iter().enumerate() {
        let back = K::from_bytes(&whole[n]).unwrap_or_else(|e| panic!("{name} {a:?}: {e}"));
        assert_eq!(cmp(&back, a), Ordering::Equal, "{name}: {back:?}, not {a:?}");
        assert_eq!(K::to_bytes(K::arg(&back)), whole[n], "{name}: {a:?}");
        for (m, b) in keys.iter().enumerate() {
            let wanted = cmp(a, b);
            assert_eq!(whole[n].cmp(&whole[m]), wanted, "{name}: {a:?} and {b:?}");
            assert_eq!(parts[n].cmp(&parts[m]), wanted, "{name}: {a:?} and {b:?}, parts");
            let begins = parts[n].starts_with(&parts[m]);
            assert!(begins == (wanted == Ordering::Equal), "{name}: {b:?} begins {a:?}");
        }
    }
    // As parts of something, with what follows the other way round.
    for pair in parts.chunks(2) {
        let [a, b] = pair else { continue };
        let mut bytes = [&a[..], &b[..], &[7]].concat();
        let mut reader = recto::typed::KeyReader::new(&mut bytes);
        let read = K::into_owned(K::decode_part(&mut reader).unwrap());
        assert_eq!(part(&read), *a, "{name}");
        let read = K::into_owned(K::decode_part(&mut reader).unwrap());
        assert_eq!(part(&read), *b, "{name}");
        assert_eq!(reader.rest(), [7]);
    }
    keys.len() * keys.len() * 2
}

/// The limits of an integer and what is next to them, powers of two and their neighbours, random
/// ones of every size.
macro_rules! integers {
    ($rng:expr, $count:expr, $($number:ident)*) => {
        0usize $(+ {
            let mut keys = vec![0, 1, $number::MIN, $number::MAX, $number::MIN + 1, $number::MAX - 1];
            for bit in 0..$number::BITS {
                let power = (1 as $number) << bit;
                keys.extend([power, power.wrapping_sub(1), power.wrapping_neg(), !power]);
            }
            for _ in 0..$count {
                keys.push($rng.$number(..) >> $rng.u32(..$number::BITS));
            }
            order::<$number>(Sample { keys }, Ord::cmp)
        })*
    };
}

macro_rules! floats {
    ($rng:expr, $count:expr, $($number:ident $bits:ident)*) => {
        0usize $(+ {
            let mut keys = Vec::new();
            for key in [
                0.0, 1.0, $number::MIN_POSITIVE, $number::MAX, $number::INFINITY, $number::NAN,
                $number::EPSILON, $number::from_bits(1),
            ] {
                keys.extend([key, -key]);
            }
            keys.extend((0..$count).map(|_| $number::from_bits($rng.$bits(..))));
            keys.extend((0..$count / 4).map(|_| $rng.i16(..) as $number / 16.0));
            order::<$number>(Sample { keys }, |a, b| a.total_cmp(b))
        })*
    };
}

/// Short text over few characters: zero bytes, those that are escaped, the ends of the alphabet.
fn text(rng: &mut Rng) -> String {
    let characters = ['\0', '\u{1}', '\u{2}', 'a', 'b', '\u{7f}', 'é', '\u{10ffff}'];
    (0..rng.usize(..5)).map(|_| characters[rng.usize(..characters.len())]).collect()
}

fn bytes(rng: &mut Rng) -> Vec<u8> {
    (0..rng.usize(..5)).map(|_| [0, 1, 2, 0x7f, 0xfe, 0xff][rng.usize(..6)]).collect()
}

fn many<T>(count: usize, mut one: impl FnMut() -> T) -> Vec<T> {
    (0..count).map(|_| one()).collect()
}

fn ordered<K: Key>(keys: Vec<K::Owned>) -> usize
where
    K::Owned: Ord + Debug,
{
    order::<K>(Sample { keys }, Ord::cmp)
}

#[test]
fn numbers_keep_their_order() {
    let rng = &mut Rng::with_seed(1);
    let mut compared = integers!(rng, 120, u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 usize isize);
    compared += floats!(rng, 300, f32 u32 f64 u64);
    compared += ordered::<u8>((0..=255).collect());
    compared += ordered::<i8>((-128..=127).collect());
    assert!(compared > 1_000_000, "{compared}");
}

#[test]
fn what_is_one_thing_keeps_its_order() {
    let rng = &mut Rng::with_seed(2);
    let mut characters = many(300, || rng.char(..));
    characters.extend(['\0', '\u{d7ff}', '\u{e000}', char::MAX]);
    let durations = many(200, || Duration::new(rng.u64(..4), rng.u32(..3) * 333_333_333));
    let addresses = many(200, || Ipv4Addr::from(rng.u32(..)));
    let compared = ordered::<bool>(vec![false, true])
        + ordered::<char>(characters)
        + ordered::<()>(vec![(), ()])
        + ordered::<Duration>(durations)
        + ordered::<Ipv4Addr>(addresses)
        + ordered::<Ipv6Addr>(many(200, || Ipv6Addr::from(rng.u128(..))))
        + ordered::<&str>(many(500, || text(rng)))
        + ordered::<String>(many(200, || text(rng)))
        + ordered::<&[u8]>(many(500, || bytes(rng)))
        + ordered::<Vec<u8>>(many(200, || bytes(rng)));
    assert!(compared > 1_000_000, "{compared}");
}

#[test]
fn groups_keep_their_order() {
    let rng = &mut Rng::with_seed(3);
    let small = |rng: &mut Rng| rng.u8(..3);
    let number = |rng: &mut Rng| rng.i16(-2..2);
    let maybe = |rng: &mut Rng| rng.bool().then(|| text(rng));
    let mut compared = ordered::<[u8; 3]>(many(300, || [small(rng), small(rng), small(rng)]));
    compared += ordered::<[u8; 0]>(vec![[], []]);
    compared += ordered::<[i16; 2]>(many(300, || [number(rng), number(rng)]));
    compared += ordered::<[&str; 2]>(many(300, || [text(rng), text(rng)]));
    compared += ordered::<(&str,)>(many(300, || (text(rng),)));
    compared += ordered::<(&str, u8)>(many(300, || (text(rng), small(rng))));
    compared += ordered::<(u8, &str)>(many(300, || (small(rng), text(rng))));
    compared += ordered::<(&str, &str)>(many(300, || (text(rng), text(rng))));
    compared += ordered::<(&[u8], &[u8])>(many(300, || (bytes(rng), bytes(rng))));
    compared += ordered::<(&[u8], i16, &str)>(many(300, || (bytes(rng), number(rng), text(rng))));
    compared += ordered::<((&str, &str), &str)>(many(300, || ((text(rng), text(rng)), text(rng))));
    compared += ordered::<(bool, &str, Option<&str>, &[u8])>(many(300, || {
        (rng.bool(), text(rng), maybe(rng), bytes(rng))
    }));
    compared += ordered::<(u8, u8, &str, u8, u8)>(many(200, || {
        (small(rng), small(rng), text(rng), small(rng), small(rng))
    }));
    compared += ordered::<(u8, (), &str, u8, &str, u8, &str, i16)>(many(200, || {
        let (a, b, c) = (text(rng), text(rng), text(rng));
        (small(rng), (), a, small(rng), b, small(rng), c, number(rng))
    }));
    compared += ordered::<Option<u8>>(many(100, || rng.bool().then(|| rng.u8(..))));
    compared += ordered::<Option<&str>>(many(200, || maybe(rng)));
    compared += ordered::<Option<Option<&str>>>(many(200, || rng.bool().then(|| maybe(rng))));
    compared += ordered::<[Option<&str>; 2]>(many(200, || [maybe(rng), maybe(rng)]));
    compared += ordered::<Reverse<u32>>(many(100, || Reverse(rng.u32(..))));
    compared += ordered::<Reverse<&str>>(many(300, || Reverse(text(rng))));
    compared += ordered::<(Reverse<&str>, &str)>(many(300, || (Reverse(text(rng)), text(rng))));
    compared += ordered::<Reverse<(&str, Reverse<&[u8]>)>>(many(200, || {
        Reverse((text(rng), Reverse(bytes(rng))))
    }));
    assert!(compared > 1_000_000, "{compared}");
}

#[test]
fn types_of_other_crates_keep_their_order() {
    use jiff::civil::{Date, DateTime, Time};
    use jiff::{Timestamp, ToSpan};
    let rng = &mut Rng::with_seed(4);
    let mut stamps = many(300, || {
        let seconds = i128::from(rng.i32(..)) << rng.u32(..8);
        let nanoseconds = seconds * 1_000_000_000 + rng.i128(-2..3);
        Timestamp::from_nanosecond(nanoseconds).unwrap_or_default()
    });
    stamps.extend([Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH]);
    let mut dates = many(300, || {
        Date::ZERO.checked_add((rng.i64(-3_000_000..3_000_000)).days()).unwrap_or(Date::ZERO)
    });
    dates.extend([Date::MIN, Date::MAX]);
    let mut times = many(300, || {
        Time::new(rng.i8(0..24), rng.i8(0..60), rng.i8(0..60), rng.i32(0..1_000_000_000)).unwrap()
    });
    times.extend([Time::MIN, Time::MAX]);
    let both = many(300, || {
        DateTime::from_parts(dates[rng.usize(..dates.len())], times[rng.usize(..times.len())])
    });
    let compared = ordered::<uuid::Uuid>(many(300, || uuid::Uuid::from_u128(rng.u128(..))))
        + ordered::<Timestamp>(stamps)
        + ordered::<Date>(dates)
        + ordered::<Time>(times)
        + ordered::<DateTime>(both);
    assert!(compared > 500_000, "{compared}");
}

/// Any bytes give a key or an error; what gives a key has no other form.
#[test]
fn foreign_bytes_are_keys_or_errors() {
    fn any<K: Key>(rng: &mut Rng) -> (u32, u32) {
        let (mut keys, mut errors) = (0, 0);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..rng.usize(..14))
                .map(|_| if rng.bool() { rng.u8(..) } else { rng.u8(..3) })
                .collect();
            match K::from_bytes(&bytes) {
                Ok(key) => {
                    assert_eq!(K::to_bytes(K::arg(&key)), bytes, "{}", K::type_name());
                    keys += 1;
                }
                Err(Error::Decode { .. }) => errors += 1,
                Err(e) => panic!("{}: {e}", K::type_name()),
            }
        }
        (keys, errors)
    }
    let rng = &mut Rng::with_seed(5);
    let found = [
        any::<u8>(rng),
        any::<i64>(rng),
        any::<f32>(rng),
        any::<bool>(rng),
        any::<char>(rng),
        any::<&str>(rng),
        any::<(&str, u8)>(rng),
        any::<(&[u8], &[u8])>(rng),
        any::<Option<Option<u16>>>(rng),
        any::<[Option<&str>; 2]>(rng),
        any::<Reverse<(&str, u8)>>(rng),
        any::<Duration>(rng),
        any::<jiff::Timestamp>(rng),
        any::<jiff::civil::DateTime>(rng),
        any::<Ticket>(rng),
        any::<Level>(rng),
    ];
    // Each has errors; the times and few others are found by nobody who guesses.
    assert!(found.iter().all(|(_, errors)| *errors > 0), "{found:?}");
    assert!(found.iter().filter(|(keys, _)| *keys > 0).count() >= 12, "{found:?}");
    assert!(u64::from_bytes(b"seven b").unwrap_err().to_string().contains("u64"));
}

// ---- Derived types ----

#[derive(Key, Value, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
enum Level {
    Debug,
    Warning = 7,
    Error,
    Other(String, u8),
    Named { a: u16, b: Option<String> },
}

#[derive(Key, Value, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Ticket {
    queue: String,
    level: Level,
    number: u32,
    note: String,
}

#[derive(Key, Value, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[recto(name = "user id")]
struct UserId(u64);

#[derive(Key, Value, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Both<A, B> {
    a: A,
    b: B,
}

#[derive(Key, Value, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Nothing;

#[derive(Key, Value, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Hash<const N: usize> {
    r#type: u8,
    out: [u8; N],
}

fn level(rng: &mut Rng) -> Level {
    match rng.u8(..5) {
        0 => Level::Debug,
        1 => Level::Warning,
        2 => Level::Error,
        3 => Level::Other(text(rng), rng.u8(..2)),
        _ => Level::Named { a: rng.u16(..3), b: rng.bool().then(|| text(rng)) },
    }
}

fn ticket(rng: &mut Rng) -> Ticket {
    Ticket { queue: text(rng), level: level(rng), number: rng.u32(..2), note: text(rng) }
}

#[test]
fn derived_keys_keep_the_order_of_derived_ord() {
    let rng = &mut Rng::with_seed(6);
    let compared = ordered::<Level>(many(400, || level(rng)))
        + ordered::<Ticket>(many(600, || ticket(rng)))
        + ordered::<(Level, u8)>(many(200, || (level(rng), rng.u8(..2))))
        + ordered::<UserId>(many(100, || UserId(rng.u64(..))))
        + ordered::<Nothing>(vec![Nothing, Nothing])
        + ordered::<Hash<2>>(many(100, || Hash { r#type: rng.u8(..2), out: [rng.u8(..), 0] }))
        + ordered::<Both<String, i32>>(many(200, || Both { a: text(rng), b: rng.i32(-2..3) }))
        + ordered::<Both<u8, Level>>(many(200, || Both { a: rng.u8(..2), b: level(rng) }));
    assert!(compared > 1_000_000, "{compared}");
    assert_eq!(<UserId as Key>::to_bytes(&UserId(7)), u64::to_bytes(7));
    assert_eq!(<Level as Key>::to_bytes(&Level::Error), [8]);
    assert_eq!(<UserId as Key>::type_name(), "user id(u64)");
    assert_eq!(<Ticket as Key>::type_name(), "Ticket(str,Level,u32,str)");
    assert_eq!(<Both<u8, String> as Value>::type_name(), "Both(u8,str)");
}

#[test]
fn derived_keys_have_prefixes() {
    const TICKETS: TableDef<Ticket, UserId> = TableDef::new("tickets");
    let db = Database::in_memory().unwrap();
    let rng = &mut Rng::with_seed(7);
    let mut txn = db.write().unwrap();
    let mut tickets = txn.typed_mut(&TICKETS).unwrap();
    let mut model = BTreeMap::new();
    for n in 0..2_000 {
        let key = ticket(rng);
        assert_eq!(tickets.put(&key, &UserId(n)).unwrap(), model.insert(key, UserId(n)).is_some());
    }
    let pairs = |range: recto::TypedRange<'_, Ticket, UserId>| range.map(Result::unwrap).collect();
    for _ in 0..100 {
        let wanted = ticket(rng);
        let found: Vec<_> = pairs(tickets.prefix((&wanted.queue[..], &wanted.level)).unwrap());
        let all = model.clone().into_iter();
        let like = |t: &Ticket| (&t.queue, &t.level) == (&wanted.queue, &wanted.level);
        assert_eq!(found, all.filter(|(t, _)| like(t)).collect::<Vec<_>>());
        let found: Vec<_> = pairs(tickets.range(&wanted..).unwrap());
        assert!(found.iter().map(|(t, _)| t).eq(model.range(wanted.clone()..).map(|(t, _)| t)));
    }
    txn.commit().unwrap();
    assert_clean(&db);
}

// ---- Values ----

fn back<V: Value>(value: V::Owned)
where
    V::Owned: PartialEq + Debug,
    for<'a> V::Ref<'a>: Debug,
{
    let mut bytes = Vec::new();
    V::encode(V::arg(&value), &mut bytes).unwrap();
    assert_eq!(V::decode_owned(&bytes).unwrap(), value, "{}", V::type_name());
    V::decode(&bytes).unwrap();
    assert!(V::WIDTH.is_none_or(|width| width == bytes.len()));
    // As parts, with something behind them.
    let mut parts = b"front".to_vec();
    V::encode_part(V::arg(&value), &mut parts).unwrap();
    V::encode_part(V::arg(&value), &mut parts).unwrap();
    parts.push(7);
    let mut rest = &parts[5..];
    for _ in 0..2 {
        assert_eq!(V::decode_owned(V::split(&mut rest).unwrap()).unwrap(), value);
    }
    assert_eq!(rest, [7]);
}

#[test]
fn values_come_back() {
    let rng = &mut Rng::with_seed(8);
    for _ in 0..500 {
        back::<u8>(rng.u8(..));
        back::<i128>(rng.i128(..));
        back::<usize>(rng.usize(..));
        back::<isize>(-rng.isize(0..));
        back::<f64>(rng.f64());
        back::<bool>(rng.bool());
        back::<char>(rng.char(..));
        back::<()>(());
        back::<Duration>(Duration::new(rng.u64(..), rng.u32(..1_000_000_000)));
        back::<&str>(text(rng));
        back::<String>(text(rng).repeat(100));
        back::<Vec<u8>>(bytes(rng));
        back::<[u16; 3]>([rng.u16(..), 1, 2]);
        back::<[&str; 3]>([text(rng), text(rng), text(rng)]);
        back::<(u32, f32)>((rng.u32(..), 0.5));
        back::<(&str, u8, &[u8])>((text(rng).repeat(60), rng.u8(..), bytes(rng)));
        back::<(u8, u8, u8, &str, u8, u8, &str, u8)>((1, 2, 3, text(rng), 4, 5, text(rng), 6));
        back::<Option<u64>>(rng.bool().then(|| rng.u64(..)));
        back::<Option<(&str, Option<&str>)>>(rng.bool().then(|| (text(rng), Some(text(rng)))));
        back::<uuid::Uuid>(uuid::Uuid::from_u128(rng.u128(..)));
        back::<jiff::Timestamp>(jiff::Timestamp::from_second(rng.i64(-9_000..9_000)).unwrap());
        back::<Level>(level(rng));
        back::<Ticket>(ticket(rng));
        back::<UserId>(UserId(rng.u64(..)));
        back::<Nothing>(Nothing);
        back::<Hash<3>>(Hash { r#type: 1, out: [1, 2, rng.u8(..)] });
        back::<Both<u8, Option<Level>>>(Both { a: 1, b: Some(level(rng)) });
    }
    assert_eq!(<(u32, f32)>::WIDTH, Some(8));
    assert_eq!(<Both<u8, u16> as Value>::WIDTH, Some(3));
    assert_eq!(<Ticket as Value>::WIDTH, None);
}

/// Any bytes give a value or an error, and what gives a value has no other form.
#[test]
fn foreign_bytes_are_values_or_errors() {
    fn any<V: Value>(rng: &mut Rng) {
        let mut errors = 0;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..rng.usize(..14))
                .map(|_| if rng.bool() { rng.u8(..) } else { rng.u8(..3) })
                .collect();
            let owned = V::decode_owned(&bytes);
            assert_eq!(V::decode(&bytes).is_ok(), owned.is_ok(), "{}", V::type_name());
            match owned {
                Ok(value) => {
                    let mut again = Vec::new();
                    V::encode(V::arg(&value), &mut again).unwrap();
                    assert_eq!(again, bytes, "{}", V::type_name());
                }
                Err(Error::Decode { .. }) => errors += 1,
                Err(e) => panic!("{}: {e}", V::type_name()),
            }
        }
        assert!(errors > 0, "{}", V::type_name());
    }
    let rng = &mut Rng::with_seed(9);
    any::<u32>(rng);
    any::<bool>(rng);
    any::<char>(rng);
    any::<()>(rng);
    any::<Duration>(rng);
    any::<&str>(rng);
    any::<(u8, &str)>(rng);
    any::<(&str, &[u8], &str)>(rng);
    any::<[&str; 2]>(rng);
    any::<[[u8; 2]; 2]>(rng);
    any::<Option<u16>>(rng);
    any::<Option<(&str, bool)>>(rng);
    any::<jiff::civil::DateTime>(rng);
    any::<Level>(rng);
    any::<Ticket>(rng);
    any::<Both<(), Nothing>>(rng);
}

#[derive(serde::Serialize, serde::Deserialize, Clone, PartialEq, Debug)]
struct User {
    name: String,
    roles: Vec<u16>,
    parent: Option<u64>,
}

#[test]
fn codecs_give_back_what_they_got() {
    use recto::typed::{Json, Postcard};
    const COMPACT: TableDef<u32, Postcard<User>> = TableDef::new("compact");
    const READABLE: TableDef<u32, Json<User>> = TableDef::new("readable");
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let (compact, readable) =
        (txn.open_typed(&COMPACT).unwrap(), txn.open_typed(&READABLE).unwrap());
    let user = |n: u32| User {
        name: format!("user {n}"),
        roles: (0..n as u16 % 7).collect(),
        parent: n.checked_sub(1).map(u64::from),
    };
    for n in 0..500 {
        compact.put(&mut txn, n, &user(n)).unwrap();
        readable.put(&mut txn, n, &user(n)).unwrap();
    }
    for n in 0..500 {
        assert_eq!(compact.get(&txn, n).unwrap(), Some(user(n)));
        assert_eq!(readable.get(&txn, n).unwrap(), Some(user(n)));
    }
    let renamed = |old: Option<User>| Some(User { name: "Ada".into(), ..old.unwrap() });
    let ada = compact.edit(&mut txn).unwrap().update(7, renamed).unwrap().unwrap();
    assert_eq!(compact.take(&mut txn, 7).unwrap(), Some(ada));
    // Bytes of somebody else, and some too many.
    let key = u32::to_bytes(1);
    for table in [compact.id(), readable.id()] {
        let mut bytes = txn.get(table, &key).unwrap().unwrap().to_vec();
        bytes.extend(b" x");
        txn.put(table, &key, &bytes).unwrap();
        txn.put(table, &u32::to_bytes(2), b"{\"name").unwrap();
    }
    for n in [1, 2] {
        assert!(matches!(compact.get(&txn, n), Err(Error::Decode { .. })));
        assert!(matches!(readable.get(&txn, n), Err(Error::Decode { .. })));
    }
    // What a codec refuses breaks nothing.
    type Pairs = BTreeMap<(u8, u8), u8>;
    const REFUSED: TableDef<u8, Json<Pairs>> = TableDef::new("refused");
    let refused = txn.open_typed(&REFUSED).unwrap();
    let map = Pairs::from([((1, 2), 3)]);
    assert!(matches!(refused.put(&mut txn, 1, &map), Err(Error::Encode { .. })));
    assert!(refused.view(&txn).unwrap().is_empty());
    txn.commit().unwrap();
    assert_clean(&db);
}

// ---- Tables ----

const WORDS: TableDef<(&str, i32), &str> = TableDef::new("words");

/// Everything that a typed table does, against a map.
#[test]
fn tables_do_what_maps_do() {
    let db = Database::in_memory().unwrap();
    let rng = &mut Rng::with_seed(10);
    let mut model: BTreeMap<(String, i32), String> = BTreeMap::new();
    let key = |rng: &mut Rng| (text(rng), rng.i32(-3..4));
    for _ in 0..60 {
        let mut txn = db.write().unwrap();
        let mut words = txn.typed_mut(&WORDS).unwrap();
        for _ in 0..150 {
            let (k, value) = (key(rng), text(rng));
            let arg = (&k.0[..], k.1);
            match rng.u8(..16) {
                0 => {
                    let absent = !model.contains_key(&k);
                    assert_eq!(words.put_if_absent(arg, &value).unwrap(), absent);
                    model.entry(k).or_insert(value);
                }
                1 => {
                    let old = words.replace(arg, &value).unwrap();
                    assert_eq!(old, model.insert(k, value));
                }
                2 => assert_eq!(words.delete(arg).unwrap(), model.remove(&k).is_some()),
                3 => assert_eq!(words.take(arg).unwrap(), model.remove(&k)),
                4 => {
                    let new = |old: Option<&str>| match old {
                        Some(old) if old.len() % 2 == 1 => None,
                        Some(old) => Some(format!("{old}+")),
                        None => Some(value.clone()),
                    };
                    let wanted = new(model.get(&k).map(|v| &v[..]));
                    assert_eq!(words.update(arg, new).unwrap(), wanted);
                    match wanted {
                        Some(value) => drop(model.insert(k, value)),
                        None => drop(model.remove(&k)),
                    }
                }
                5 => {
                    let now = model.get(&k).cloned();
                    let expected = if rng.bool() { now.clone() } else { Some("no".to_string()) };
                    let new = rng.bool().then_some(value);
                    let swapped =
                        words.compare_and_swap(arg, expected.as_deref(), new.as_deref()).unwrap();
                    assert_eq!(swapped, expected == now);
                    match new {
                        _ if !swapped => {}
                        Some(value) => drop(model.insert(k, value)),
                        None => drop(model.remove(&k)),
                    }
                }
                6 => assert_eq!(words.pop_first().unwrap(), model.pop_first()),
                7 => assert_eq!(words.pop_last().unwrap(), model.pop_last()),
                8 => {
                    let above = model.last_key_value().is_none_or(|(last, _)| k > *last);
                    match words.append(arg, &value) {
                        Ok(()) => {
                            assert!(above);
                            model.insert(k, value);
                        }
                        Err(Error::OutOfOrder) => assert!(!above),
                        Err(e) => panic!("{e}"),
                    }
                }
                9 if rng.u8(..8) == 0 => {
                    let to = key(rng);
                    let range = (Excluded(arg), Included((&to.0[..], to.1)));
                    let gone = words.delete_range(range).unwrap();
                    let len = model.len();
                    model.retain(|key, _| !(k < *key && *key <= to));
                    assert_eq!(gone, (len - model.len()) as u64);
                }
                10 if rng.u8(..4) == 0 => {
                    let gone = words.delete_prefix((&k.0[..],)).unwrap();
                    let len = model.len();
                    model.retain(|key, _| key.0 != k.0);
                    assert_eq!(gone, (len - model.len()) as u64);
                }
                11 if rng.u8(..8) == 0 => {
                    let gone = words.retain(arg.., |(_, n), v| n >= 0 || v.len() > 1).unwrap();
                    let len = model.len();
                    model.retain(|key, v| *key < k || key.1 >= 0 || v.len() > 1);
                    assert_eq!(gone, (len - model.len()) as u64);
                }
                12 if rng.u8(..100) == 0 => {
                    assert_eq!(words.clear().unwrap(), model.len() as u64);
                    model.clear();
                }
                _ => {
                    assert_eq!(words.put(arg, &value).unwrap(), model.contains_key(&k));
                    model.insert(k, value);
                }
            }
        }
        txn.commit().unwrap();
        let txn = db.read().unwrap();
        let words = txn.typed(&WORDS).unwrap();
        assert_eq!(words.len(), model.len() as u64);
        compare(&words, &model, rng, key);
    }
    assert_clean(&db);
}

type Words<'t> = recto::TypedTable<'t, (&'static str, i32), &'static str>;

/// Every way to read.
fn compare(
    words: &Words<'_>,
    model: &BTreeMap<(String, i32), String>,
    rng: &mut Rng,
    key: impl Fn(&mut Rng) -> (String, i32),
) {
    let owned = |pair: Option<((String, i32), &str)>| pair.map(|(k, v)| (k, v.to_string()));
    let cloned =
        |pair: Option<(&(String, i32), &String)>| pair.map(|(k, v)| (k.clone(), v.clone()));
    let all: Vec<_> = words.iter().unwrap().map(|p| owned(p.ok()).unwrap()).collect();
    assert!(all.iter().cloned().eq(model.clone()));
    assert!(words.keys().unwrap().map(Result::unwrap).eq(model.keys().cloned()));
    assert!(words.values().unwrap().map(Result::unwrap).eq(model.values().map(|v| &v[..])));
    assert!(words.keys().unwrap().rev().map(Result::unwrap).eq(model.keys().rev().cloned()));
    assert!(
        words.values().unwrap().rev().map(|v| v.unwrap()).eq(model.values().rev().map(|v| &v[..]))
    );
    assert_eq!(owned(words.first().unwrap()), cloned(model.first_key_value()));
    assert_eq!(owned(words.last().unwrap()), cloned(model.last_key_value()));
    let mut cursor = words.cursor();
    for _ in 0..30 {
        let (a, b) = (key(rng), key(rng));
        let (from, to) = ((&a.0[..], a.1), (&b.0[..], b.1));
        assert_eq!(words.get(from).unwrap(), model.get(&a).map(|v| &v[..]));
        assert_eq!(words.contains_key(from).unwrap(), model.contains_key(&a));
        let many = words.get_many([from, to]).unwrap();
        assert_eq!(many, [&a, &b].map(|k| model.get(k).map(|v| &v[..])));
        let after = cloned(model.range(&a..).next());
        let before = cloned(model.range(..=&a).next_back());
        assert_eq!(owned(words.at_or_after(from).unwrap()), after);
        assert_eq!(owned(words.at_or_before(from).unwrap()), before);
        let lent = |pair: Option<((&str, i32), &str)>| {
            pair.map(|((a, b), v)| ((a.to_string(), b), v.to_string()))
        };
        assert_eq!(lent(cursor.seek(from).unwrap()), after);
        assert_eq!(lent(cursor.current().unwrap()), after);
        assert_eq!(lent(cursor.seek_back(from).unwrap()), before);
        // Both ends in turns, the keys lent.
        let mut range = words.range(from..to).unwrap();
        let mut wanted = model.iter().filter(|(k, _)| **k >= a && **k < b);
        loop {
            let ahead = rng.bool();
            let pair = if ahead { range.next_ref() } else { range.next_back_ref() };
            let want = if ahead { wanted.next() } else { wanted.next_back() };
            assert_eq!(lent(pair.unwrap()), cloned(want));
            if want.is_none() {
                break;
            }
        }
        assert_eq!(words.range(..to).unwrap().count(), model.range(..&b).count());
        assert_eq!(words.range(..=to).unwrap().count(), model.range(..=&b).count());
        assert_eq!(words.range(from..).unwrap().count(), model.range(&a..).count());
        let of = words.prefix((&a.0[..],)).unwrap().map(|p| p.unwrap().0);
        assert!(of.eq(model.keys().filter(|k| k.0 == a.0).cloned()));
    }
}

#[test]
fn prefixes_hold_what_begins_with_them() {
    const TABLE: TableDef<(&[u8], &str, u16), ()> = TableDef::new("table");
    const TEXT: TableDef<&str, ()> = TableDef::new("text");
    fn bytes_of<K: Key>(prefix: impl KeyPrefix<K>) -> Vec<u8> {
        let mut out = Vec::new();
        prefix.encode_prefix(&mut out);
        out
    }
    let db = Database::in_memory().unwrap();
    let rng = &mut Rng::with_seed(11);
    let mut txn = db.write().unwrap();
    let (table, words) = (txn.open_typed(&TABLE).unwrap(), txn.open_typed(&TEXT).unwrap());
    let mut model = BTreeMap::new();
    for _ in 0..3_000 {
        let (a, b, c) = (bytes(rng), text(rng), rng.u16(..3));
        table.put(&mut txn, (&a, &b, c), ()).unwrap();
        words.put(&mut txn, &b, ()).unwrap();
        model.insert((a, b, c), ());
    }
    for _ in 0..300 {
        let (a, b) = (bytes(rng), text(rng));
        let view = table.view(&txn).unwrap();
        let one = view.prefix((&a[..],)).unwrap().keys().map(Result::unwrap);
        assert!(one.eq(model.keys().filter(|k| k.0 == a).cloned()));
        let two = view.prefix((&a[..], &b[..])).unwrap().keys().map(Result::unwrap);
        assert!(two.eq(model.keys().filter(|k| k.0 == a && k.1 == b).cloned()));
        // The last but one is escaped, the last one not.
        let begins = view.prefix(Beginning((&a[..],), &b[..])).unwrap().keys().map(Result::unwrap);
        assert!(begins.eq(model.keys().filter(|k| k.0 == a && k.1.starts_with(&b)).cloned()));
        let begins = view.prefix(Beginning((), &a[..])).unwrap().keys().map(Result::unwrap);
        assert!(begins.eq(model.keys().filter(|k| k.0.starts_with(&a)).cloned()));
        let last = bytes_of::<(u8, &[u8])>(Beginning((7,), &a[..]));
        assert_eq!(last, [&[7], &a[..]].concat());
        let found = words.view(&txn).unwrap().prefix(&b[..]).unwrap().count();
        let all = words.view(&txn).unwrap().keys().unwrap();
        assert_eq!(found, all.filter(|k| k.as_ref().unwrap().starts_with(&b)).count());
    }
    // A number needs no type, and a struct in front none of its fields.
    assert_eq!(bytes_of::<(u16, u8)>((258,)), [1, 2]);
    assert_eq!(bytes_of::<(u16, u8, u8)>((258, 3)), [1, 2, 3]);
    txn.commit().unwrap();
    assert_clean(&db);
}

/// A walk that deletes and puts, and others that stand by.
#[test]
fn cursors_have_types() {
    const QUEUE: TableDef<(u8, &str), u32> = TableDef::new("queue");
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let queue = txn.open_typed(&QUEUE).unwrap();
    for n in 0..100u32 {
        queue.put(&mut txn, ((n % 3) as u8, &format!("job\0{n:03}")), n).unwrap();
    }
    let mut cursor = queue.cursor(&txn);
    let mut met = Vec::new();
    let mut next = cursor.seek(&txn, (1, "")).unwrap();
    while let Some(((kind, name), n)) = next {
        if kind != 1 {
            break;
        }
        assert_eq!(name, format!("job\0{n:03}"));
        met.push(n);
        assert!(cursor.delete(&mut txn).unwrap());
        assert_eq!(cursor.current(&txn).unwrap(), None);
        next = cursor.next(&txn).unwrap();
    }
    assert_eq!(met, (0..100).filter(|n| n % 3 == 1).collect::<Vec<_>>());
    assert_eq!(cursor.current(&txn).unwrap(), Some(((2, "job\x00002"), 2)));
    assert!(cursor.put(&mut txn, 7).unwrap());
    assert_eq!(queue.get(&txn, (2, "job\x00002")).unwrap(), Some(7));
    assert!(!cursor.insert(&mut txn, (1, "new"), 8).unwrap());
    assert_eq!(cursor.prev(&txn).unwrap().map(|(key, _)| key), Some((0, "job\x00099")));
    assert_eq!(cursor.first(&txn).unwrap().map(|(key, _)| key), Some((0, "job\x00000")));
    assert_eq!(cursor.last(&txn).unwrap().map(|(key, _)| key), Some((2, "job\x00098")));
    assert_eq!(cursor.seek_back(&txn, (2, "")).unwrap(), Some(((1, "new"), 8)));
    txn.commit().unwrap();
    assert_clean(&db);
}

/// Bytes that somebody else has put are errors where they are read, and nothing more.
#[test]
fn foreign_bytes_in_a_table_are_errors() {
    const NUMBERS: TableDef<u32, u64> = TableDef::new("numbers");
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let numbers = txn.open_typed(&NUMBERS).unwrap();
    for n in 0..10 {
        numbers.put(&mut txn, n, n.into()).unwrap();
    }
    txn.put(numbers.id(), &u32::to_bytes(5), b"five").unwrap();
    txn.put(numbers.id(), b"key", &7u64.to_le_bytes()).unwrap();
    let decode = |e: &Error| matches!(e, Error::Decode { .. });
    let view = numbers.view(&txn).unwrap();
    assert!(view.get(5).is_err_and(|e| decode(&e)) && view.last().is_err_and(|e| decode(&e)));
    assert!(view.get_many([1, 5]).is_err_and(|e| decode(&e)));
    // A range ends with its first error.
    let mut range = view.iter().unwrap();
    assert_eq!(range.by_ref().take_while(Result::is_ok).count(), 5);
    assert!(range.next().is_none() && range.next_back().is_none());
    let mut range = view.iter().unwrap();
    assert!(range.next_back_ref().is_err() && range.next_ref().unwrap().is_none());
    // Values alone look at no key, keys alone at no value.
    assert_eq!(view.values().unwrap().filter(Result::is_ok).count(), 5);
    assert_eq!(view.keys().unwrap().filter(Result::is_ok).count(), 10);
    assert_eq!(view.as_bytes().iter().unwrap().count(), 11);
    let mut edit = numbers.edit(&mut txn).unwrap();
    assert!(edit.pop_last().is_err_and(|e| decode(&e)));
    assert!(edit.take(5).is_err() && edit.replace(5, 1).is_err() && edit.update(5, |n| n).is_err());
    assert_eq!(edit.len(), 11);
    // What went before the error is gone, the rest is there.
    assert!(edit.retain(.., |n, _| n > 1).is_err_and(|e| decode(&e)));
    assert_eq!((edit.len(), edit.first().unwrap()), (9, Some((2, 2))));
    assert!(!edit.contains_key(0).unwrap() && edit.contains_key(9).unwrap());
    let mut cursor = numbers.cursor(&txn);
    assert!(cursor.last(&txn).is_err_and(|e| decode(&e)));
    assert_eq!(cursor.prev(&txn).unwrap(), Some((9, 9)));
    assert!(numbers.put(&mut txn, 5, 5).unwrap());
    txn.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn a_key_that_is_too_long_breaks_nothing() {
    const LONG: TableDef<(&str, u8), ()> = TableDef::new("long");
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let long = txn.open_typed(&LONG).unwrap();
    let max = db.max_key_len() - 2; // an end, and a byte behind it
    assert!(!long.put(&mut txn, (&"x".repeat(max), 1), ()).unwrap());
    let error = long.put(&mut txn, (&"x".repeat(max + 1), 1), ()).unwrap_err();
    assert!(matches!(error, Error::KeyTooLong { .. }), "{error}");
    assert_eq!(long.view(&txn).unwrap().len(), 1);
    txn.commit().unwrap();
    assert_clean(&db);
}

/// What encodes inside of what encodes has a buffer of its own.
#[test]
fn tables_are_used_inside_of_each_other() {
    const INNER: TableDef<&str, &str> = TableDef::new("inner");
    const OUTER: TableDef<&str, (&str, u8)> = TableDef::new("outer");
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    txn.typed_mut(&INNER).unwrap().put("key", "inside").unwrap();
    txn.commit().unwrap();
    let txn = db.read().unwrap();
    let inner = txn.typed(&INNER).unwrap();
    let mut write = db.write().unwrap();
    let mut outer = write.typed_mut(&OUTER).unwrap();
    outer.update("a longer key", |_| Some((inner.get("key").unwrap()?.into(), 1))).unwrap();
    assert_eq!(outer.get("a longer key").unwrap(), Some(("inside", 1)));
    assert_eq!(outer.len(), 1);
    write.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn ids_end_with_their_transaction() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let words = txn.open_typed(&WORDS).unwrap();
    assert_eq!(words, txn.open_typed(&WORDS).unwrap());
    assert_eq!(words, txn.typed_mut(&WORDS).unwrap().id());
    words.put(&mut txn, ("a", 1), "b").unwrap();
    txn.commit().unwrap();
    let mut txn = db.write().unwrap();
    let gone = |e: &Error| matches!(e, Error::NoSuchTableId);
    assert!(words.put(&mut txn, ("a", 1), "c").is_err_and(|e| gone(&e)));
    assert!(words.get(&txn, ("a", 1)).is_err_and(|e| gone(&e)));
    let words = txn.open_typed(&WORDS).unwrap();
    assert!(txn.drop_table(WORDS.name()).unwrap());
    assert!(words.get(&txn, ("a", 1)).is_err_and(|e| gone(&e)));
    assert!(matches!(txn.typed(&WORDS).map(|_| ()), Err(Error::NoSuchTable(_))));
    assert!(txn.typed_opt(&WORDS).unwrap().is_none());
    drop(txn);
    assert!(db.read().unwrap().typed_opt(&WORDS).unwrap().is_some());
    assert_clean(&db);
}

// ---- Plain old data ----

#[derive(Clone, Copy, PartialEq, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Place {
    x: f64,
    y: f64,
    kind: u32,
    flags: u32,
}

#[test]
fn plain_old_data_is_never_read_where_it_is_not_aligned() {
    let place = Place { x: 1.0, y: -2.0, kind: 3, flags: 4 };
    let bytes = bytemuck::bytes_of(&place);
    let mut room = [0u64; 8];
    let room: &mut [u8] = bytemuck::cast_slice_mut(&mut room);
    for at in 0..16 {
        let there = &mut room[at..at + bytes.len()];
        there.copy_from_slice(bytes);
        assert_eq!(<Pod<Place>>::decode_owned(there).unwrap(), place);
        assert_eq!(<PodSlice<f64>>::decode_owned(&there[..16]).unwrap(), [1.0, -2.0]);
        let (one, many) = (<Pod<Place>>::decode(there), <PodSlice<f64>>::decode(&there[..16]));
        if at % 8 == 0 {
            assert_eq!((one.unwrap(), many.unwrap()), (&place, &[1.0, -2.0][..]));
        } else {
            assert!(matches!(one, Err(Error::Unaligned { align: 8, .. })), "{at}");
            assert!(matches!(many, Err(Error::Unaligned { align: 8, .. })), "{at}");
        }
        // Nothing stands anywhere.
        assert_eq!(<PodSlice<f64>>::decode(&there[..0]).unwrap(), [0.0; 0]);
    }
    for wrong in [0, 1, 23, 25] {
        let there = &room[..wrong];
        assert!(matches!(<Pod<Place>>::decode(there), Err(Error::Decode { .. })));
        assert!(matches!(<Pod<Place>>::decode_owned(there), Err(Error::Decode { .. })));
    }
    assert!(matches!(<PodSlice<u32>>::decode(&room[..7]), Err(Error::Decode { .. })));
    assert!(matches!(<PodSlice<u32>>::decode_owned(&room[..7]), Err(Error::Decode { .. })));
    assert_eq!(<Pod<Place>>::type_name(), "pod(24 bytes aligned to 8)");
    assert_eq!(<PodSlice<f32>>::type_name(), "pods(f32)");
}

/// In the transaction that puts them and in later ones, small, large, replaced and moved.
#[test]
fn plain_old_data_is_read_in_place() {
    const PLACES: TableDef<(&str, u32), Pod<Place>> = TableDef::new("places");
    const VECTORS: TableDef<u32, PodSlice<f32>> = TableDef::new("vectors");
    const WIDE: TableDef<u32, PodSlice<f32>> = TableDef::new("wide").align(256);
    let dir = common::disk_dir();
    let path = dir.path().join("x.recto");
    let rng = &mut Rng::with_seed(12);
    let mut model = BTreeMap::new();
    let place = |n: u32| Place { x: n.into(), y: 0.5, kind: n, flags: !n };
    {
        let db = common::open_at(&path, &Default::default());
        for _ in 0..6 {
            let mut txn = db.write().unwrap();
            let places = txn.open_typed(&PLACES).unwrap();
            let (vectors, wide) =
                (txn.open_typed(&VECTORS).unwrap(), txn.open_typed(&WIDE).unwrap());
            for _ in 0..300 {
                let n = rng.u32(..800);
                let vector: Vec<f32> = (0..rng.u32(..300)).map(|_| rng.f32()).collect();
                places.put(&mut txn, ("x".repeat(n as usize % 9).as_str(), n), &place(n)).unwrap();
                vectors.put(&mut txn, n, &vector).unwrap();
                wide.put(&mut txn, n, &vector).unwrap();
                assert_eq!(vectors.get(&txn, n).unwrap(), Some(&vector[..]));
                model.insert(n, vector);
                if rng.u8(..4) == 0 {
                    let gone = *model.keys().next().unwrap();
                    assert_eq!(vectors.take(&mut txn, gone).unwrap(), model.remove(&gone));
                    assert!(wide.delete(&mut txn, gone).unwrap());
                }
            }
            let pushed = |old: Option<&[f32]>| Some([old.unwrap_or_default(), &[1.0]].concat());
            let new = vectors.update(&mut txn, 7, pushed).unwrap().unwrap();
            wide.put(&mut txn, 7, &new).unwrap();
            model.insert(7, new);
            for table in [vectors, wide] {
                let all = table.view(&txn).unwrap();
                assert!(all.values().unwrap().map(Result::unwrap).eq(model.values()));
            }
            let all = wide.view(&txn).unwrap().values().unwrap();
            let mut addresses = all.map(Result::unwrap).filter(|v| !v.is_empty());
            assert!(addresses.all(|v| v.as_ptr().addr().is_multiple_of(256)));
            txn.commit().unwrap();
        }
        assert_clean(&db);
    }
    let db = common::open_at(&path, &Default::default());
    let txn = db.read().unwrap();
    assert!(txn.typed(&VECTORS).unwrap().values().unwrap().map(Result::unwrap).eq(model.values()));
    for (n, vector) in &model {
        let wide = txn.typed(&WIDE).unwrap().get(*n).unwrap().unwrap();
        assert_eq!(wide, vector);
        assert!(wide.is_empty() || wide.as_ptr().addr().is_multiple_of(256));
    }
    for pair in txn.typed(&PLACES).unwrap().iter().unwrap() {
        let ((_, n), there) = pair.unwrap();
        assert_eq!(*there, place(n));
    }
    assert_clean(&db);
}

// ---- Names of types ----

fn refused<T>(result: Result<T, Error>) -> String {
    match result.map(|_| ()) {
        Err(e @ Error::TableOptions { .. }) => e.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn types_are_compared_when_a_table_is_opened() {
    const USERS: TableDef<u64, &str> = TableDef::new("users");
    const OWNED: TableDef<u64, String> = TableDef::new("users");
    const KEYS: TableDef<&str, &str> = TableDef::new("users");
    const VALUES: TableDef<u64, &[u8]> = TableDef::new("users");
    const ALIGNED: TableDef<u64, &str> = TableDef::new("users").align(16);
    let dir = common::disk_dir();
    let path = dir.path().join("x.recto");
    {
        let db = common::open_at(&path, &Default::default());
        let mut txn = db.write().unwrap();
        txn.typed_mut(&USERS).unwrap().put(7, "Ada").unwrap();
        let error = refused(txn.open_typed(&KEYS));
        assert!(["users", "u64", "str"].iter().all(|word| error.contains(word)), "{error}");
        txn.commit().unwrap();
    }
    let db = common::open_at(&path, &Default::default());
    let mut txn = db.write().unwrap();
    let read = db.read().unwrap();
    for error in [
        refused(txn.open_typed(&KEYS)),
        refused(txn.typed_mut(&KEYS)),
        refused(txn.typed(&KEYS)),
        refused(txn.typed_opt(&KEYS)),
        refused(read.typed(&KEYS)),
        refused(read.typed_opt(&KEYS)),
    ] {
        assert!(["keys", "u64", "str"].iter().all(|word| error.contains(word)), "{error}");
    }
    for error in [refused(txn.open_typed(&VALUES)), refused(read.typed(&VALUES))] {
        assert!(["values", "str", "bytes"].iter().all(|word| error.contains(word)), "{error}");
    }
    for error in [refused(txn.open_typed(&ALIGNED)), refused(read.typed(&ALIGNED))] {
        assert!(error.contains("16"), "{error}");
    }
    // Such an error breaks nothing, and the same type under another Rust name is the same.
    assert_eq!(txn.typed(&OWNED).unwrap().get(7).unwrap(), Some("Ada"));
    assert_eq!(read.typed(&OWNED).unwrap().get(7).unwrap(), Some("Ada"));
    txn.open_typed(&USERS).unwrap().put(&mut txn, 8, "Kurt").unwrap();
    txn.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn names_of_values_tell_structs_apart() {
    const TRADES: TableDef<u64, Pod<Place>> = TableDef::new("trades").value_name("place 1");
    const CHANGED: TableDef<u64, Pod<Place>> = TableDef::new("trades").value_name("place 2");
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    txn.open_typed(&TRADES).unwrap();
    let error = refused(txn.open_typed(&CHANGED));
    assert!(error.contains("place 1") && error.contains("place 2"), "{error}");
    // A name of any length.
    type Long = ((Ticket, Ticket, Ticket), (Ticket, Ticket, Ticket), (Ticket, Ticket, Ticket));
    const LONG: TableDef<(Long, u8), ()> = TableDef::new("long");
    const OTHER: TableDef<(Long, u16), ()> = TableDef::new("long");
    txn.open_typed(&LONG).unwrap();
    txn.open_typed(&LONG).unwrap();
    refused(txn.open_typed(&OTHER));
    txn.commit().unwrap();
    assert_clean(&db);
}

/// Tables of bytes stand beside typed ones, and can be read as such where one knows what is in
/// them.
#[test]
fn tables_of_bytes_have_no_types() {
    const AGES: TableDef<&str, u32> = TableDef::new("ages");
    const BYTES: TableDef<&str, u32> = TableDef::new("ages").unnamed();
    const VECTORS: TableDef<&str, PodSlice<u32>> = TableDef::new("ages").unnamed();
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    txn.open_table("ages").unwrap().put(b"Ada", &36u32.to_le_bytes()).unwrap();
    refused(txn.open_typed(&AGES));
    assert_eq!(txn.typed(&BYTES).unwrap().get("Ada").unwrap(), Some(36));
    txn.open_typed(&BYTES).unwrap().put(&mut txn, "Kurt", 71).unwrap();
    // What is read in place has to be aligned, with a name or without.
    let error = refused(txn.open_typed(&VECTORS));
    assert!(error.contains('4'), "{error}");
    refused(txn.typed(&VECTORS));
    assert_eq!(txn.table("ages").unwrap().get(b"Kurt").unwrap(), Some(&71u32.to_le_bytes()[..]));
    for bytes in [3, 0, 8192] {
        let def = TableDef::<u8, u8>::new("odd").align(bytes);
        let opened = txn.open_typed(&def).map(|_| bytes);
        assert!(matches!(opened, Err(Error::InvalidArgument(_))), "{opened:?}");
    }
    assert!(matches!(
        txn.open_typed(&TableDef::<u8, u8>::new("")).map(|_| ()),
        Err(Error::InvalidArgument(_))
    ));
    txn.commit().unwrap();
    assert_clean(&db);
}

/// Snapshots are shared between threads, and so are their tables, whatever the types.
#[test]
fn tables_are_shared_between_threads() {
    fn both<T: Send + Sync>() {}
    both::<TableDef<'_, &str, Pod<Place>>>();
    both::<recto::TypedTable<'_, &str, Pod<Place>>>();
    both::<recto::TypedId<String, PodSlice<f32>>>();
    both::<recto::TypedCursor<(u8, String), Level>>();
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let words = txn.open_typed(&WORDS).unwrap();
    for n in 0..2_000 {
        words.put(&mut txn, ("word", n), "value").unwrap();
    }
    let view = words.view(&txn).unwrap();
    assert_eq!(
        format!("{view:?}"),
        r#"TypedTable { keys: "(str,i32)", values: "str", len: 2000 }"#
    );
    std::thread::scope(|s| {
        for from in 0..2 {
            s.spawn(move || {
                for n in (from..2_000).step_by(2) {
                    assert_eq!(view.get(("word", n)).unwrap(), Some("value"));
                }
                assert_eq!(view.range(("word", 1_000)..).unwrap().count(), 1_000);
            });
        }
    });
    txn.commit().unwrap();
    assert_clean(&db);
}

/// Two types that one generic enum makes are two types.
#[test]
fn parameters_of_enums_are_parts_of_their_names() {
    #[derive(Key, Value, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    enum Either<T> {
        A(T),
        B,
    }
    let first: TableDef<Either<u32>, Either<u8>> = TableDef::new("either");
    let other: TableDef<Either<i32>, Either<u8>> = TableDef::new("either");
    let third: TableDef<Either<u32>, Either<i8>> = TableDef::new("either");
    assert_eq!(first.stored_key_type(), "Either(u32)");
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    txn.typed_mut(&first).unwrap().put(&Either::A(7), &Either::B).unwrap();
    assert!(matches!(txn.typed_mut(&other).map(drop), Err(Error::TableOptions { .. })));
    assert!(matches!(txn.typed_mut(&third).map(drop), Err(Error::TableOptions { .. })));
    assert_eq!(txn.typed_mut(&first).unwrap().get(&Either::A(7)).unwrap(), Some(Either::B));
    txn.commit().unwrap();
    assert_clean(&db);
}

/// What JSON cannot say aside, numbers come back as they were.
#[test]
fn numbers_survive_json() {
    use recto::typed::Json;
    const NUMBERS: TableDef<u32, Json<f64>> = TableDef::new("numbers");
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut numbers = txn.typed_mut(&NUMBERS).unwrap();
    for n in 0..5_000 {
        let bits = f64::from_bits(rng.u64(..));
        let number = if n % 2 == 0 || !bits.is_finite() { rng.f64() } else { bits };
        numbers.put(n, &number).unwrap();
        assert_eq!(numbers.get(n).unwrap().map(f64::to_bits), Some(number.to_bits()));
    }
    numbers.put(0, &f64::NAN).unwrap();
    assert!(matches!(numbers.get(0), Err(Error::Decode { .. })));
    txn.commit().unwrap();
    assert_clean(&db);
}

/// An alignment that is none is refused by whoever opens the table, also to read.
#[test]
fn an_alignment_that_is_none_is_refused_by_readers_too() {
    let db = Database::in_memory().unwrap();
    let mut txn = db.write().unwrap();
    txn.typed_mut(&TableDef::<u32, u32>::new("t")).unwrap().put(1, 2).unwrap();
    txn.commit().unwrap();
    for align in [0, 3, 8192] {
        let def = TableDef::<u32, u32>::new("t").align(align);
        let read = db.read().unwrap();
        assert!(matches!(read.typed(&def).map(drop), Err(Error::InvalidArgument(_))), "{align}");
        let mut txn = db.write().unwrap();
        assert!(matches!(txn.typed_mut(&def).map(drop), Err(Error::InvalidArgument(_))));
    }
    assert_clean(&db);
}
