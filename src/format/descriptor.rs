//! The descriptor of a tree: where its root is, and counts, so that `len()` is O(1). In the catalog
//! options of the table may follow it.

use super::fields::{self, Field, option, table as t};
use super::order::KeyOrder;
use crate::error::{Error, Result as Checked};
use crate::types::{Order, PageId, TableKind, TableOptions};

/// Bytes of an encoded descriptor without options.
pub const SIZE: usize = fields::DESCRIPTOR_SIZE;
/// Bytes of the options behind it at most.
pub const MAX_OPTIONS: usize = 3 * (option::BYTES.at + TableOptions::MAX_TYPE_LEN);
/// Longest name of a table, in bytes: its descriptor always finds room beside it in the leaf, and
/// may grow.
pub const MAX_NAME_LEN: usize = 1024;
/// Levels a tree can have at most; more is damage.
pub const MAX_DEPTH: u16 = 48;

/// A tree: the catalog or a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TableDescriptor {
    /// Root page, or none for an empty tree.
    pub root: PageId,
    /// Number of keys.
    pub entries: u64,
    /// Branch pages.
    pub branch_pages: u64,
    /// Leaf pages.
    pub leaf_pages: u64,
    /// Pages in overflow runs, and in trees of values.
    pub overflow_pages: u64,
    /// Levels: 0 empty, 1 the root is a leaf.
    pub depth: u16,
    /// Values begin at multiples of 2^this bytes.
    pub align_shift: u8,
    /// How its keys are stored and ordered.
    pub order: KeyOrder,
    /// A key has a set of values.
    pub is_set: bool,
    /// In a table of sets: bytes of each value, 0 where they may have any length.
    pub value_size: u16,
    /// The last number that the table has given out, 0 while it has given out none.
    pub sequence: u64,
    /// In a table of sets: number of values of all keys.
    pub pairs: u64,
}

/// Kinds of tables.
const KIND_MAP: u64 = 0;
const KIND_SET: u64 = 1;

/// Values are aligned to no more than 2^this bytes: no page is smaller.
pub const MAX_SHIFT: u8 = 12;
const _: () = assert!(TableOptions::MAX_ALIGN == 1 << MAX_SHIFT);

/// Kinds of options, in the order in which they stand.
const KEY_TYPE: u64 = 1;
const VALUE_TYPE: u64 = 2;
const ORDER: u64 = 3;

impl TableDescriptor {
    /// Encodes into the first [`SIZE`] bytes of `out`.
    pub fn encode(&self, out: &mut [u8]) {
        out[..SIZE].fill(0);
        t::ROOT.put(out, 0, self.root.0);
        t::ENTRIES.put(out, 0, self.entries);
        t::BRANCH_PAGES.put(out, 0, self.branch_pages);
        t::LEAF_PAGES.put(out, 0, self.leaf_pages);
        t::OVERFLOW_PAGES.put(out, 0, self.overflow_pages);
        t::DEPTH.put(out, 0, self.depth.into());
        t::ALIGN_SHIFT.put(out, 0, self.align_shift.into());
        t::ORDER.put(out, 0, self.order.encode());
        t::KIND.put(out, 0, if self.is_set { KIND_SET } else { KIND_MAP });
        t::VALUE_SIZE.put(out, 0, self.value_size.into());
        t::SEQUENCE.put(out, 0, self.sequence);
        t::PAIRS.put(out, 0, self.pairs);
    }

    /// Of a new table with these options, and what follows it in the catalog.
    pub fn new(options: &TableOptions) -> Checked<(TableDescriptor, Vec<u8>)> {
        let align = options.align;
        if !align.is_power_of_two() || align > TableOptions::MAX_ALIGN {
            let most = TableOptions::MAX_ALIGN;
            let what =
                format!("values are aligned to a power of two from 1 to {most}, not {align}");
            return Err(Error::InvalidArgument(what));
        }
        let mut bytes = Vec::new();
        let order = KeyOrder::of(&options.order);
        let order_name = match &options.order {
            Order::Custom(name) if name.is_empty() => {
                let what = "names of orders have at least one byte".into();
                return Err(Error::InvalidArgument(what));
            }
            Order::Custom(name) => &name[..],
            _ => "",
        };
        let (key_type, value_type) = (&options.key_type[..], &options.value_type[..]);
        for (kind, name) in [(KEY_TYPE, key_type), (VALUE_TYPE, value_type), (ORDER, order_name)] {
            let Ok(len) = u8::try_from(name.len()) else {
                let most = TableOptions::MAX_TYPE_LEN;
                let what = format!("names of types and orders have at most {most} bytes");
                return Err(Error::InvalidArgument(what));
            };
            if len > 0 {
                bytes.extend([kind as u8, len]);
                bytes.extend_from_slice(name.as_bytes());
            }
        }
        let (is_set, value_size) = match options.kind {
            TableKind::Map => (false, 0),
            TableKind::Set { value_size } => (true, value_size),
        };
        if is_set && align > 1 {
            let what = "values of a table of sets cannot be aligned".into();
            return Err(Error::InvalidArgument(what));
        }
        let align_shift = align.trailing_zeros() as u8;
        let descriptor = TableDescriptor {
            align_shift,
            order,
            is_set,
            value_size,
            ..TableDescriptor::default()
        };
        Ok((descriptor, bytes))
    }

    /// What a key of the table has.
    pub fn kind(&self) -> TableKind {
        match self.is_set {
            true => TableKind::Set { value_size: self.value_size },
            false => TableKind::Map,
        }
    }

    /// The options of a table with this descriptor, from what follows it in the catalog. An order
    /// of the user's has its name there.
    pub fn options(&self, mut bytes: &[u8]) -> Result<TableOptions, &'static str> {
        let mut options = TableOptions::aligned(1 << self.align_shift);
        options.kind = self.kind();
        options.order = self.order.public();
        let mut last = 0;
        while !bytes.is_empty() {
            let bad = "table descriptor with options that cannot be";
            let (kind, len) = (option::KIND.of(bytes), option::LEN.get(bytes, 0).ok_or(bad)?);
            let name =
                bytes[option::BYTES.at..].get(..len as usize).filter(|name| !name.is_empty());
            let name = name.and_then(|name| std::str::from_utf8(name).ok()).ok_or(bad)?;
            if kind <= last {
                return Err(bad);
            }
            match kind {
                KEY_TYPE => options.key_type = name.into(),
                VALUE_TYPE => options.value_type = name.into(),
                ORDER if self.order.is_custom() => options.order = Order::Custom(name.into()),
                _ => return Err("table of a kind this version does not know"),
            }
            last = kind;
            bytes = &bytes[option::BYTES.at + len as usize..];
        }
        match &options.order {
            Order::Custom(name) if name.is_empty() => Err("table in an order without a name"),
            _ => Ok(options),
        }
    }

    /// Decodes a descriptor of the catalog; what follows it are the table's options.
    pub fn decode_stored(
        b: &[u8],
        page_count: u64,
    ) -> Result<(TableDescriptor, &[u8]), &'static str> {
        let (b, options) = b.split_at_checked(SIZE).ok_or(WRONG_LENGTH)?;
        if options.len() > MAX_OPTIONS {
            return Err(WRONG_LENGTH);
        }
        Ok((TableDescriptor::decode(b, page_count)?, options))
    }

    /// Decodes the descriptor of a tree that is no user's table: its values are neither aligned nor
    /// sets, and it gives out no numbers.
    pub fn decode_plain(b: &[u8], page_count: u64) -> Result<TableDescriptor, &'static str> {
        let d = TableDescriptor::decode(b, page_count)?;
        let plain = d.align_shift == 0 && !d.is_set && d.order.is_packed() && d.sequence == 0;
        plain.then_some(d).ok_or("a catalog or system tree with options of tables")
    }

    /// Decodes, and says what is wrong with a descriptor that cannot be.
    pub fn decode(b: &[u8], page_count: u64) -> Result<TableDescriptor, &'static str> {
        if b.len() != SIZE {
            return Err(WRONG_LENGTH);
        }
        let word = |field: Field| field.of(b);
        let d = TableDescriptor {
            root: PageId(word(t::ROOT)),
            entries: word(t::ENTRIES),
            branch_pages: word(t::BRANCH_PAGES),
            leaf_pages: word(t::LEAF_PAGES),
            overflow_pages: word(t::OVERFLOW_PAGES),
            depth: word(t::DEPTH) as u16,
            align_shift: word(t::ALIGN_SHIFT) as u8,
            order: KeyOrder::decode(word(t::ORDER)).ok_or(UNKNOWN_KIND)?,
            is_set: word(t::KIND) == KIND_SET,
            value_size: word(t::VALUE_SIZE) as u16,
            sequence: word(t::SEQUENCE),
            pairs: word(t::PAIRS),
        };
        let of_sets = d.value_size != 0 || d.pairs != 0;
        let wrong = if d.is_set { d.align_shift > 0 } else { of_sets };
        if wrong || word(t::KIND) > KIND_SET || d.align_shift > MAX_SHIFT {
            return Err(UNKNOWN_KIND);
        }
        d.checked(page_count)
    }

    /// The descriptor, or what is wrong with it in a file of so many pages.
    #[inline]
    pub fn checked(self, page_count: u64) -> Result<TableDescriptor, &'static str> {
        if self.depth > MAX_DEPTH || self.root.is_none() != (self.depth == 0) {
            return Err("table descriptor with an impossible depth");
        }
        if !self.root.is_none() && (self.root.0 < 2 || self.root.0 >= page_count) {
            return Err("root page outside the file");
        }
        // The counts bound every walk over the tree, so they have to be bounded themselves.
        let pages = self.branch_pages.checked_add(self.leaf_pages);
        if pages.and_then(|p| p.checked_add(self.overflow_pages)).is_none_or(|p| p > page_count) {
            return Err("table descriptor that counts more pages than the file has");
        }
        Ok(self)
    }
}

const UNKNOWN_KIND: &str = "table of a kind this version does not know";
const WRONG_LENGTH: &str = "table descriptor has a wrong length";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_beyond_the_file_are_refused() {
        let d = TableDescriptor {
            root: PageId(5),
            entries: 9,
            branch_pages: 1,
            leaf_pages: 2,
            overflow_pages: 7,
            depth: 2,
            align_shift: 3,
            sequence: 1 << 60,
            ..TableDescriptor::default()
        };
        let decode = |d: &TableDescriptor, page_count| {
            let mut b = [0; SIZE];
            d.encode(&mut b);
            TableDescriptor::decode(&b, page_count)
        };
        assert_eq!(decode(&d, 10), Ok(d));
        assert!(decode(&d, 9).is_err());
        assert!(decode(&TableDescriptor { leaf_pages: u64::MAX, ..d }, 1 << 40).is_err());
        assert!(decode(&TableDescriptor { overflow_pages: u64::MAX - 3, ..d }, 1 << 40).is_err());
        assert!(decode(&TableDescriptor { align_shift: MAX_SHIFT + 1, ..d }, 1 << 40).is_err());
    }

    #[test]
    fn options_come_back_and_others_are_refused() {
        let long = "t".repeat(TableOptions::MAX_TYPE_LEN);
        for (key, value) in [("", ""), ("u64", ""), ("", "str"), ("u64", "str"), (&long, &long)] {
            for align in [1, 2, 64, 4096] {
                let options = TableOptions::aligned(align).types(key, value);
                let (d, bytes) = TableDescriptor::new(&options).unwrap();
                assert_eq!(d.options(&bytes), Ok(options));
                for cut in 1..bytes.len() {
                    let two = !key.is_empty() && cut == 2 + key.len();
                    assert_eq!(d.options(&bytes[..cut]).is_ok(), two, "{key:?} {value:?} {cut}");
                }
            }
        }
        let d = TableDescriptor::default();
        for bad in [&[1, 0][..], &[2, 1, b'a', 1, 1, b'a'], &[1, 1, 0xff], &[3, 1, b'a'], &[0, 0]] {
            assert!(d.options(bad).is_err(), "{bad:?}");
        }
        let refused = |o: TableOptions| {
            assert!(matches!(TableDescriptor::new(&o), Err(Error::InvalidArgument(_))), "{o:?}");
        };
        for align in [0, 3, 8192] {
            refused(TableOptions::aligned(align));
        }
        refused(TableOptions { align: 8, ..TableOptions::set() });
        refused(TableOptions::default().types(long.clone() + "t", ""));
        refused(TableOptions::default().types("", long + "t"));
    }
}
