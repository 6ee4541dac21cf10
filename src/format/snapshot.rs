//! Named snapshots, as the system tree holds them (docs/format.md, *Named snapshot*).

use super::descriptor::TableDescriptor;
use super::fields::{SNAPSHOT_SIZE, snapshot as s};
use crate::types::TxnId;

/// First byte of the keys of named snapshots in the system tree.
pub const FAMILY: u8 = 1;
/// And the byte behind it in the key of one that was dropped: no name begins with it.
const DROPPED: u8 = 0xff;
/// Longest name, in bytes.
pub const MAX_NAME_LEN: usize = 255;
/// Most entries of named snapshots, dropped ones that are still to be waited for among them: a
/// write transaction reads them all when it begins.
pub const MOST: u64 = 1 << 16;

/// A named snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NamedSnapshot {
    /// The transaction whose state it is.
    pub txn: TxnId,
    /// The transaction that named it: the first that lists it.
    pub created: TxnId,
    /// The first transaction that does not list it any more; none while it has its name.
    pub dropped: TxnId,
    /// When it was named, in seconds since 1970.
    pub time: u64,
    /// Tree of its tables.
    pub catalog: TableDescriptor,
}

impl NamedSnapshot {
    /// Whether the state of transaction `txn` lists it.
    pub fn is_listed_by(&self, txn: TxnId) -> bool {
        self.created <= txn && (self.dropped == TxnId::NONE || txn < self.dropped)
    }

    /// What stands under its key.
    pub fn encode(&self) -> [u8; SNAPSHOT_SIZE] {
        let mut out = [0; SNAPSHOT_SIZE];
        s::TXN.put(&mut out, 0, self.txn.0);
        s::CREATED.put(&mut out, 0, self.created.0);
        s::DROPPED.put(&mut out, 0, self.dropped.0);
        s::TIME.put(&mut out, 0, self.time);
        self.catalog.encode(&mut out[s::CATALOG.range(0)]);
        out
    }

    /// Decodes, and says what is wrong with one that cannot be, in a file of so many pages.
    pub fn decode(b: &[u8], page_count: u64) -> Result<NamedSnapshot, &'static str> {
        if b.len() != SNAPSHOT_SIZE {
            return Err("a named snapshot of another length");
        }
        let catalog = TableDescriptor::decode_plain(&b[s::CATALOG.range(0)], page_count)?;
        let id = |field: super::fields::Field| TxnId(field.of(b));
        let (txn, created, dropped) = (id(s::TXN), id(s::CREATED), id(s::DROPPED));
        let in_order = TxnId::NONE < txn && txn < created && created <= TxnId::MAX;
        let in_order = in_order && (dropped == TxnId::NONE || created < dropped);
        if !in_order || dropped > TxnId::MAX {
            return Err("a named snapshot that cannot be");
        }
        Ok(NamedSnapshot { txn, created, dropped, time: s::TIME.of(b), catalog })
    }
}

/// The key of a snapshot that has a name.
pub fn key_of(name: &str) -> Vec<u8> {
    [&[FAMILY], name.as_bytes()].concat()
}

/// The key of one that was dropped.
pub fn key_of_dropped(dropped: TxnId, txn: TxnId) -> Vec<u8> {
    let ids = [dropped, txn].map(|id| id.0.to_be_bytes()).concat();
    [&[FAMILY, DROPPED], &ids[..]].concat()
}

/// The name that a key of the system tree stands for: None if the snapshot under it was dropped.
pub fn name_of(key: &[u8]) -> Result<Option<String>, &'static str> {
    match key {
        [FAMILY, DROPPED, ..] => Ok(None),
        [FAMILY, name @ ..] if (1..=MAX_NAME_LEN).contains(&name.len()) => {
            String::from_utf8(name.to_vec())
                .map(Some)
                .map_err(|_| "the name of a snapshot is not UTF-8")
        }
        _ => Err("a key of the system tree that this version does not know"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PageId;

    #[test]
    fn round_trip_and_refusals() {
        let catalog = TableDescriptor { root: PageId(9), depth: 1, ..TableDescriptor::default() };
        let s = NamedSnapshot {
            txn: TxnId(5),
            created: TxnId(7),
            dropped: TxnId::NONE,
            time: 1 << 40,
            catalog,
        };
        let gone = NamedSnapshot { dropped: TxnId(9), ..s };
        for s in [s, gone] {
            assert_eq!(NamedSnapshot::decode(&s.encode(), 10), Ok(s));
            assert!(NamedSnapshot::decode(&s.encode(), 9).is_err(), "a root outside the file");
            assert!(NamedSnapshot::decode(&s.encode()[1..], 10).is_err());
        }
        for (txn, created, dropped) in [(0, 7, 0), (7, 7, 0), (5, 7, 7), (5, 1 << 48, 0)] {
            let [txn, created, dropped] = [txn, created, dropped].map(TxnId);
            let bad = NamedSnapshot { txn, created, dropped, ..s };
            assert!(NamedSnapshot::decode(&bad.encode(), 10).is_err(), "{bad:?}");
        }
        for catalog in [
            TableDescriptor { align_shift: 3, ..catalog },
            TableDescriptor { is_set: true, ..catalog },
            TableDescriptor { sequence: 1, ..catalog },
        ] {
            let bad = NamedSnapshot { catalog, ..s };
            assert!(NamedSnapshot::decode(&bad.encode(), 10).is_err(), "{bad:?}");
        }
        let listed = |s: NamedSnapshot| [6, 7, 8, 9].map(|txn| s.is_listed_by(TxnId(txn)));
        assert_eq!(listed(s), [false, true, true, true]);
        assert_eq!(listed(gone), [false, true, true, false]);
    }

    #[test]
    fn keys_tell_names_from_what_was_dropped() {
        for name in ["a", "\u{ff}", &"x".repeat(MAX_NAME_LEN)] {
            assert_eq!(name_of(&key_of(name)), Ok(Some(name.into())));
            assert!(key_of(name) < key_of_dropped(TxnId(1), TxnId(1)));
        }
        assert_eq!(name_of(&key_of_dropped(TxnId(9), TxnId(5))), Ok(None));
        let long = "x".repeat(MAX_NAME_LEN + 1);
        for key in [&b""[..], b"\x01", b"\x02a", b"\x01\xfe", &key_of(&long)] {
            assert!(name_of(key).is_err(), "{key:?}");
        }
    }
}
