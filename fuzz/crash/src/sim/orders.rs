//! Tables with whole keys, in other orders than that of their bytes.

use super::content::{Content, TABLES, key_bytes};
use super::edit::{Edit, Editing};
use recto::harness::sim::Rng;
use recto::{Order, Table, TableOptions};
use std::cmp::Ordering;

/// A program's own: by their lengths, the longest first, and then by their bytes.
pub fn by_length(a: &[u8], b: &[u8]) -> Ordering {
    b.len().cmp(&a.len()).then_with(|| a.cmp(b))
}

/// Its name.
pub const BY_LENGTH: &str = "by length";

/// The orders by the numbers that scripts have.
pub const ORDERS: u8 = 3;

fn order(number: u8) -> Order {
    match number {
        1 => Order::Plain,
        2 => Order::Reversed,
        _ => Order::Custom(BY_LENGTH.into()),
    }
}

/// How keys of a table of this order stand; 0: as in any.
pub fn compare(number: u8, a: &[u8], b: &[u8]) -> Ordering {
    match number {
        0 | 1 => a.cmp(b),
        2 => a.iter().rev().cmp(b.iter().rev()),
        _ => by_length(a, b),
    }
}

/// Whether the keys of a table stand in the order in which it was made.
pub fn is_ordered(table: &Table<'_>, options: &TableOptions) -> recto::Result<bool> {
    let number = (1..=ORDERS).find(|&number| order(number) == options.order).unwrap_or(0);
    let mut last: Option<Vec<u8>> = None;
    for pair in table.iter()? {
        let (key, _) = pair?;
        if last.is_some_and(|last| compare(number, &last, &key).is_ge()) {
            return Ok(false);
        }
        last = Some(key.to_vec());
    }
    Ok(true)
}

impl Content {
    /// Keys of the table that stand from one on and below another, in its order.
    pub(super) fn is_between(&self, table: u8, key: u16, (from, to): (u16, u16)) -> bool {
        let number = self.orders.get(&table).copied().unwrap_or(0);
        let (key, from, to) = (key_bytes(key), key_bytes(from), key_bytes(to));
        compare(number, &key, &from).is_ge() && compare(number, &key, &to).is_lt()
    }
}

impl Editing<'_> {
    /// Makes a table in an order; one that is there stays as it is.
    pub(super) fn make_ordered(&mut self, table: u8, number: u8) -> recto::Result<()> {
        let name = TABLES[table as usize];
        if self.txn.table_opt(name)?.is_none() {
            self.txn.create_table_with(name, &TableOptions::default().ordered(order(number)))?;
            self.content.make_table(table);
            self.content.orders.insert(table, number);
        }
        Ok(())
    }
}

impl Edit {
    /// The same edits, with tables that are made in an order.
    pub fn with_orders(edits: &[Edit], rng: &mut Rng) -> Vec<Edit> {
        let mut all = Vec::new();
        for edit in edits {
            if rng.chance(1, 6) {
                let (table, number) = (rng.index(4) as u8, 1 + rng.below(ORDERS.into()) as u8);
                if rng.chance(1, 2) {
                    all.push(Edit::Drop { table });
                }
                all.push(Edit::Order { table, order: number });
            }
            all.push(*edit);
        }
        all
    }
}
