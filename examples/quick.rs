//! The first steps: a database, a transaction that writes, one that reads, ranges.
//!
//!     cargo run --example quick -- fruit.recto

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "fruit.recto".into());
    // SAFETY: nothing but recto changes the file while it is open.
    let db = unsafe { recto::Database::open(&path)? };

    let mut txn = db.write()?;
    let mut fruit = txn.open_table("fruit")?;
    for (name, colour) in [("apple", "red"), ("banana", "yellow"), ("blackberry", "black")] {
        fruit.put(name.as_bytes(), colour.as_bytes())?;
    }
    txn.commit()?; // on the device when this returns

    let txn = db.read()?; // a snapshot: what others commit meanwhile is not seen
    let fruit = txn.table("fruit")?;
    if let Some(colour) = fruit.get(b"apple")? {
        println!("apples are {}", colour.escape_ascii()); // bytes of the file itself, not a copy
    }
    for pair in fruit.prefix(b"b")? {
        let (name, colour) = pair?;
        println!("{} is {}", name.escape_ascii(), colour.escape_ascii());
    }
    println!("{} fruits in {path}", fruit.len());
    Ok(())
}
