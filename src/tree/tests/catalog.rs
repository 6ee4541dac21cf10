//! The catalog against a map of names, and entries that do not belong where they are.

use super::store::Tree;
use crate::error::Error;
use crate::format::descriptor::MAX_NAME_LEN;
use crate::tree::{TableDescriptor, put_table, stored_table, tables};
use crate::types::{PageId, TableOptions};
use std::collections::BTreeMap;

const PAGES: u64 = 1 << 40;

/// A descriptor and what stands behind it.
type Stored = (TableDescriptor, Vec<u8>);

fn put(tree: &mut Tree, name: &str, (d, options): &Stored) {
    put_table(&mut tree.store, &mut tree.desc, name, d, options).unwrap();
}

fn stored(tree: &Tree, name: &str) -> Result<Option<Stored>, Error> {
    let stored = stored_table(&tree.store, &tree.desc, name, PAGES)?;
    Ok(stored.map(|(d, options)| (d, options.to_vec())))
}

#[test]
fn a_catalog_is_what_was_put_into_it() {
    let mut rng = fastrand::Rng::with_seed(9);
    for page_size in [4096, 16384] {
        let (mut tree, mut model) = (Tree::new(page_size), BTreeMap::new());
        for round in 0..2_000 {
            let len = [1, 8, 40, MAX_NAME_LEN][rng.usize(..4)];
            let name: String = std::iter::repeat_with(|| rng.char('a'..'d')).take(len).collect();
            let d = TableDescriptor {
                root: PageId(2 + round),
                entries: 1,
                leaf_pages: 1,
                depth: 1,
                ..Default::default()
            };
            let options = TableOptions::aligned(1 << rng.u8(..13));
            let mut name_of = || "t".repeat([0, 3, 255][rng.usize(..3)]);
            let (empty, options) =
                TableDescriptor::new(&options.types(name_of(), name_of())).unwrap();
            let d = (TableDescriptor { align_shift: empty.align_shift, ..d }, options);
            if rng.u8(..4) == 0 {
                let gone = model.keys().next().cloned().unwrap_or(name);
                let was_there = tree.remove(gone.as_bytes()).unwrap();
                assert_eq!(was_there, model.remove(&gone).is_some());
            } else {
                put(&mut tree, &name, &d);
                model.insert(name, d);
            }
            if rng.u8(..20) == 0 {
                tree.store.next_txn();
            }
        }
        let listed = tables(&tree.store, &tree.desc, PAGES).unwrap();
        assert!(listed.len() > 20 && tree.desc.depth > 1);
        let listed: BTreeMap<_, _> =
            listed.into_iter().map(|t| (t.name, (t.descriptor, t.options))).collect();
        for (name, d) in &listed {
            assert_eq!(stored(&tree, name).unwrap().as_ref(), Some(d));
        }
        assert_eq!(listed, model);
        assert_eq!(stored(&tree, "no table").unwrap(), None);
    }
}

#[test]
fn a_value_is_no_descriptor_and_a_descriptor_no_value() {
    let mut tree = Tree::new(4096);
    put(&mut tree, "table", &Stored::default());
    tree.insert(b"value", &[0; 64]).unwrap();
    let damaged = |what: Result<(), Error>| match what {
        Err(Error::Corrupt { detail, .. }) => assert!(detail.contains("must be"), "{detail}"),
        other => panic!("{other:?}"),
    };
    damaged(stored(&tree, "value").map(drop));
    damaged(tables(&tree.store, &tree.desc, PAGES).map(drop));
    damaged(tree.get(b"table").map(drop));
    assert_eq!(tree.get(b"value").unwrap(), Some(&[0; 64][..]));
    assert_eq!(stored(&tree, "table").unwrap(), Some(Stored::default()));
}

#[test]
fn a_catalog_that_leads_in_a_circle_has_an_end() {
    let mut tree = Tree::new(4096);
    for i in 0..300 {
        put(&mut tree, &format!("table number {i:05}"), &Stored::default());
    }
    assert_eq!(tree.desc.depth, 2);
    tree.desc.leaf_pages = 3;
    let e = tables(&tree.store, &tree.desc, PAGES).unwrap_err();
    assert!(e.to_string().contains("more leaves than it counts"), "{e}");
}
