//! Secondary indexes that are kept by hand: people by number, by address, and by town, all in one
//! transaction, so that they never disagree.
//!
//!     cargo run --example index -- people.recto

use recto::{Database, Result, TableDef, TypedId, WriteTxn};

/// Address and town, by number.
const PEOPLE: TableDef<u32, (String, String)> = TableDef::new("people");
/// An address belongs to one.
const BY_MAIL: TableDef<String, u32> = TableDef::new("by_mail");
/// Many live in one town.
const BY_TOWN: TableDef<(String, u32), ()> = TableDef::new("by_town");

/// The tables, open in one transaction.
struct People {
    people: TypedId<u32, (String, String)>,
    by_mail: TypedId<String, u32>,
    by_town: TypedId<(String, u32), ()>,
    txn: WriteTxn,
}

impl People {
    fn begin(db: &Database) -> Result<People> {
        let mut txn = db.write()?;
        Ok(People {
            people: txn.open_typed(&PEOPLE)?,
            by_mail: txn.open_typed(&BY_MAIL)?,
            by_town: txn.open_typed(&BY_TOWN)?,
            txn,
        })
    }

    /// Puts somebody in, or in another place; false if the address is somebody else's.
    fn put(&mut self, number: u32, mail: &str, town: &str) -> Result<bool> {
        if self.by_mail.get(&self.txn, mail)?.is_some_and(|other| other != number) {
            return Ok(false);
        }
        if let Some((mail, town)) = self.people.replace(&mut self.txn, number, (mail, town))? {
            self.by_mail.delete(&mut self.txn, &mail)?;
            self.by_town.delete(&mut self.txn, (&town, number))?;
        }
        self.by_mail.put(&mut self.txn, mail, number)?;
        self.by_town.put(&mut self.txn, (town, number), ())?;
        Ok(true)
    }

    /// Everybody in a town moves to another one: the index is walked while it changes.
    fn move_all(&mut self, from: &str, to: &str) -> Result<u32> {
        let mut moved = 0;
        let mut cursor = self.by_town.cursor(&self.txn);
        let mut next = cursor.seek(&self.txn, (from, 0))?;
        while let Some(((town, number), ())) = next {
            if town != from {
                break;
            }
            if let Some((mail, _)) = self.people.get(&self.txn, number)? {
                let mail = mail.to_owned();
                self.put(number, &mail, to)?;
                moved += 1;
            }
            next = cursor.next(&self.txn)?;
        }
        Ok(moved)
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "people.recto".into());
    // SAFETY: nothing but recto changes the file while it is open.
    let db = unsafe { Database::open(&path)? };

    let mut people = People::begin(&db)?;
    for number in 1..=1_000 {
        let town = ["Ghent", "Lyon", "Oslo"][number as usize % 3];
        people.put(number, &format!("{number}@example.org"), town)?;
    }
    let taken = !people.put(7, "8@example.org", "Oslo")?;
    println!("the address of number 8 is taken: {taken}");
    println!("moved from Oslo to Bergen: {}", people.move_all("Oslo", "Bergen")?);
    people.txn.commit()?;

    let txn = db.read()?;
    let by_town = txn.typed(&BY_TOWN)?;
    for town in ["Bergen", "Ghent", "Lyon", "Oslo"] {
        println!("{town}: {}", by_town.prefix((town,))?.count());
    }
    Ok(())
}
