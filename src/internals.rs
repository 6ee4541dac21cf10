//! Names of what is inside, for the benches. Behind the feature `internals`, which compiles nothing
//! else; no promise of stability.

pub use crate::format::checksum;
pub use crate::format::node;
pub use crate::format::order::KeyOrder;
pub use crate::format::page::PageHeader;

use crate::api::db::Database;
use crate::api::transaction::WriteTxn;
use crate::commit::durability::Durability;
use crate::commit::open::initial_file;
use crate::error::Result;
use crate::types::TxnId;

/// What the allocator of a transaction works with.
pub mod space {
    pub use crate::format::meta::Meta;
    pub use crate::space::allocator::{Allocator, LogPages, Start};
    pub use crate::space::is_flush_due;
    pub use crate::space::pins::Pins;
}

/// The bytes of a new database, as `open` would put them into place.
pub fn new_file(page_size: usize) -> Vec<u8> {
    initial_file(page_size, *b"simulated-recto!")
}

/// The first half of a commit: the transaction is built and the writer lock given back. Returns its
/// id if it still has to be made durable before the commit may return, and the id of any built
/// transaction.
pub fn build(mut txn: WriteTxn, durability: Durability) -> Result<Option<(u64, bool)>> {
    txn.set_durability(durability);
    Ok(txn.into_writer().build()?.map(|b| (b.txn.0, b.flush)))
}

/// The second half of a commit.
pub fn make_durable(db: &Database, txn: u64) -> Result<()> {
    db.engine().finish_commit(TxnId(txn))
}
