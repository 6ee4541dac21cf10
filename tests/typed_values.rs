//! Types of values: what comes back, codecs, plain old data in place, and what foreign bytes give.

mod common;
mod typed_samples;

use common::assert_clean;
use fastrand::Rng;
use recto::typed::{Key, Pod, PodSlice, TableDef, Value};
use recto::{Database, Error};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;
use typed_samples::*;

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

// ---- Plain old data ----

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
