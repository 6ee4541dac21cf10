//! The two numbers everything else is counted in. Types of their own, so that they do not mix.

use std::fmt;

/// Number of a page: its offset in the file divided by the page size. Below 2^48.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct PageId(pub u64);

/// Number of a transaction. Ids rise by one or more from commit to commit and are never used twice
/// while a trace of the earlier use can exist. 0 stands for "none".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct TxnId(pub u64);

impl PageId {
    /// No page: page 0 is a meta page and is never pointed at.
    pub const NONE: PageId = PageId(0);
    /// Page numbers are stored in 48 bits.
    pub const MAX: PageId = PageId((1 << 48) - 1);

    /// Whether this stands for "no page".
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl TxnId {
    /// No transaction.
    pub const NONE: TxnId = TxnId(0);
    /// The empty transaction that a new database holds.
    pub const FIRST: TxnId = TxnId(1);
    /// The last one there can be: at a million a second it comes after nine years, with a hundred
    /// processes a second that live for one deferred commit each after eighty.
    pub const MAX: TxnId = TxnId((1 << 48) - 1);
}

impl fmt::Debug for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

impl fmt::Display for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
