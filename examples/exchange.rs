//! An exchange: one process matches orders and stores trades as plain old data; any number of
//! others watch, and read each trade where it lies in the file.
//!
//!     cargo run --example exchange -- day.recto watch            (as often as you like, in several terminals)
//!     cargo run --example exchange -- day.recto trade < orders   (in another one)
//!     cargo run --example exchange -- day.recto book ACME
//!
//! An order is a line, such as `buy ACME 30 10050` or `sell ACME 10 9990`: pieces, and cents apiece.

use recto::typed::{Key, Pod};
use recto::{Database, Durability, Result, TableDef, WriteTxn};
use std::io::BufRead;
use std::time::Duration;

#[derive(Key, Clone, Copy, PartialEq, Debug)]
enum Side {
    Buy,
    Sell,
}

/// What took place. `repr(C)` without gaps: the bytes of memory are those of the file.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Trade {
    symbol: [u8; 8],
    pieces: u64,
    cents: i64,
    /// The order that was there first; the other one is in the key.
    maker: u64,
}

/// What is known of a symbol.
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Quote {
    last: i64,
    pieces: u64,
    trades: u64,
}

/// What is left of the orders: by symbol, side, rank and number. The rank of a price is such that
/// the best comes first, on both sides.
const BOOK: TableDef<(&str, Side, i64, u64), u64> = TableDef::new("book");
/// By the order that made them, and how many it had made before.
const TRADES: TableDef<(u64, u32), Pod<Trade>> = TableDef::new("trades").value_name("Trade 1");
const QUOTES: TableDef<&str, Pod<Quote>> = TableDef::new("quotes").value_name("Quote 1");

/// Matches an order with those on the other side, best first, and leaves in the book what is over.
/// Ids of transactions rise and never come twice, so that of its own is the number of the order.
fn place(txn: &mut WriteTxn, side: Side, symbol: &str, pieces: u64, cents: i64) -> Result<u32> {
    let (number, mut left, mut count) = (txn.id(), pieces, 0);
    let (other, limit) = match side {
        Side::Buy => (Side::Sell, cents),
        Side::Sell => (Side::Buy, -cents),
    };
    let (book, trades) = (txn.open_typed(&BOOK)?, txn.open_typed(&TRADES)?);
    let quotes = txn.open_typed(&QUOTES)?;
    let mut name = [0; 8];
    name.iter_mut().zip(symbol.bytes()).for_each(|(to, from)| *to = from);
    // The book is walked while it changes: the cursor stays where it is.
    let mut cursor = book.cursor(txn);
    let mut next = cursor.seek(txn, (symbol, &other, i64::MIN, 0))?;
    while let Some(((there, at, rank, maker), offered)) = next {
        if there != symbol || at != other || rank > limit || left == 0 {
            break;
        }
        let traded = left.min(offered);
        match offered - traded {
            0 => cursor.delete(txn)?,
            rest => cursor.put(txn, rest)?,
        };
        let trade = Trade { symbol: name, pieces: traded, cents: rank.abs(), maker };
        trades.put(txn, (number, count), &trade)?;
        quotes.update(txn, symbol, |quote| {
            let before = quote.copied().unwrap_or_default();
            let (pieces, trades) = (before.pieces + traded, before.trades + 1);
            Some(Quote { last: trade.cents, pieces, trades })
        })?;
        (left, count) = (left - traded, count + 1);
        next = cursor.next(txn)?;
    }
    if left > 0 {
        book.put(txn, (symbol, &side, -limit, number), left)?;
    }
    Ok(count)
}

/// A transaction for each order, deferred: others see it at once, and it is durable with the flush
/// at the end, or with that of the next durable commit of any process.
fn trade(db: &Database) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (mut orders, mut trades) = (0, 0);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [side, symbol, pieces, cents] = words[..] else {
            return Err(format!("an order is `buy SYMBOL PIECES CENTS`, not {line:?}").into());
        };
        let side = match side {
            "buy" => Side::Buy,
            "sell" => Side::Sell,
            _ => return Err(format!("{side:?} is neither buy nor sell").into()),
        };
        let mut txn = db.write()?;
        txn.set_durability(Durability::Deferred);
        trades += place(&mut txn, side, symbol, pieces.parse()?, cents.parse::<u32>()?.into())?;
        txn.commit()?;
        orders += 1;
    }
    db.flush()?;
    println!("{orders} orders, {trades} trades");
    Ok(())
}

/// Prints all trades, then new ones as they come, until none has come for a minute.
fn watch(db: &Database) -> Result<()> {
    let (mut txn, mut seen) = (db.read()?, 0);
    loop {
        if let Some(trades) = txn.typed_opt(&TRADES)? {
            let mut new = trades.range((seen + 1, 0)..)?;
            while let Some(((order, _), trade)) = new.next_ref()? {
                // `trade` is a reference into the file.
                let symbol = trade.symbol.utf8_chunks().next().map_or("", |c| c.valid());
                let Trade { pieces, cents, maker, .. } = trade;
                println!(
                    "{}: {pieces} at {cents}, {maker} with {order}",
                    symbol.trim_end_matches('\0')
                );
            }
        }
        seen = txn.id();
        if db.wait_for_commit(seen, Some(Duration::from_secs(60)))? == seen {
            return Ok(());
        }
        txn.refresh()?; // what the snapshot before has kept may be used again
    }
}

/// The orders that wait, and what was paid last.
fn book(db: &Database, symbol: &str) -> Result<()> {
    let txn = db.read()?;
    for side in [Side::Sell, Side::Buy] {
        for order in txn.typed(&BOOK)?.prefix((symbol, &side))? {
            let ((_, side, rank, number), pieces) = order?;
            println!("{side:?} {pieces} at {}, order {number}", rank.abs());
        }
    }
    if let Some(quote) = txn.typed(&QUOTES)?.get(symbol)? {
        println!("last {}, {} pieces in {} trades", quote.last, quote.pieces, quote.trades);
    }
    Ok(())
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [path, verb @ ..] = &args[..] else { return Err("which database?".into()) };
    // SAFETY: nothing but recto changes the file while it is open.
    let db = unsafe { Database::open(path)? };
    match verb {
        ["trade"] => trade(&db)?,
        ["watch"] => watch(&db)?,
        ["book", symbol] => book(&db, symbol)?,
        _ => return Err("DATABASE, then `trade`, `watch` or `book SYMBOL`".into()),
    }
    Ok(())
}
