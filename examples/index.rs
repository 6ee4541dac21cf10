//! Secondary indexes that are kept by hand: people by number, by address, and by town, all in one
//! transaction, so that they never disagree.
//!
//!     cargo run --example index -- people.recto

use recto::{Database, Result, TableId, WriteTxn};

/// The tables, open in one transaction.
struct People {
    txn: WriteTxn,
    /// Number: "address\ttown".
    people: TableId,
    /// Address: number. An address belongs to one.
    by_mail: TableId,
    /// Town, a zero byte, number: nothing. Many live in one town.
    by_town: TableId,
}

fn town_key(town: &str, number: u32) -> Vec<u8> {
    [town.as_bytes(), &[0], &number.to_be_bytes()].concat()
}

impl People {
    fn begin(db: &Database) -> Result<People> {
        let mut txn = db.write()?;
        let [people, by_mail, by_town] =
            ["people", "by_mail", "by_town"].map(|name| txn.open(name));
        Ok(People { people: people?, by_mail: by_mail?, by_town: by_town?, txn })
    }

    /// What is known of somebody.
    fn person(&self, number: u32) -> Result<Option<(String, String)>> {
        let record = self.txn.get(self.people, &number.to_be_bytes())?;
        let text = record.map(|record| String::from_utf8_lossy(record).into_owned());
        Ok(text.and_then(|t| t.split_once('\t').map(|(mail, town)| (mail.into(), town.into()))))
    }

    /// Puts somebody in, or in another place; false if the address is somebody else's.
    fn put(&mut self, number: u32, mail: &str, town: &str) -> Result<bool> {
        let key = number.to_be_bytes();
        if self.txn.get(self.by_mail, mail.as_bytes())?.is_some_and(|other| other != key) {
            return Ok(false);
        }
        self.remove(number)?;
        self.txn.put(self.people, &key, format!("{mail}\t{town}").as_bytes())?;
        self.txn.put(self.by_mail, mail.as_bytes(), &key)?;
        self.txn.put(self.by_town, &town_key(town, number), b"")?;
        Ok(true)
    }

    fn remove(&mut self, number: u32) -> Result<()> {
        if let Some((mail, town)) = self.person(number)? {
            self.txn.delete(self.people, &number.to_be_bytes())?;
            self.txn.delete(self.by_mail, mail.as_bytes())?;
            self.txn.delete(self.by_town, &town_key(&town, number))?;
        }
        Ok(())
    }

    /// Everybody in a town moves to another one: the index is walked while it changes.
    fn move_all(&mut self, from: &str, to: &str) -> Result<u32> {
        let mut moved = 0;
        let mut cursor = self.txn.cursor(self.by_town);
        let mut next = cursor.seek(&self.txn, &town_key(from, 0))?;
        while let Some((key, _)) = next {
            let Some(number) = key.strip_prefix(from.as_bytes()).and_then(|k| k.strip_prefix(&[0]))
            else {
                break;
            };
            let number = number.try_into().map_or(0, u32::from_be_bytes);
            if let Some((mail, _)) = self.person(number)? {
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
    let by_town = txn.table("by_town")?;
    for town in ["Bergen", "Ghent", "Lyon", "Oslo"] {
        let prefix = [town.as_bytes(), &[0]].concat();
        println!("{town}: {}", by_town.prefix(&prefix)?.count());
    }
    Ok(())
}
