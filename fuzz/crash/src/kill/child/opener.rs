//! Opens the database, writes once, and ends: to be killed on the way. What it finds is judged by
//! others, as it may be less than the logs say (the lock file was lost, or a page was damaged).

use super::{Child, told};

pub fn run(child: &Child) -> Result<(), String> {
    let db = told(child.open(), "open")?;
    let mut txn = told(db.write(), "begin")?;
    let mut table = told(txn.open_table("notes"), "open a table")?;
    told(table.put(b"opened", &child.seed.to_le_bytes()), "put")?;
    told(txn.commit(), "commit")?;
    drop(told(db.read(), "read")?);
    Ok(())
}
