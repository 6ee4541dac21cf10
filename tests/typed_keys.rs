//! Types of keys: the order of their bytes is that of the type, what is read is what was written,
//! and what foreign bytes give.

mod common;
mod typed_samples;

use common::assert_clean;
use fastrand::Rng;
use recto::typed::{Key, Value};
use recto::{Database, Error, TableDef};
use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use typed_samples::*;

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
