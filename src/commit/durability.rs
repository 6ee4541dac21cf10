//! When a commit returns.

/// When a commit returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Durability {
    /// When the transaction is on the device: it survives power loss.
    #[default]
    Durable,
    /// At once, visible to every reader; after a flush where so much has been deferred that it
    /// would cost too much space or too long an opening, where it is too large to be proved later,
    /// or a failed one has to be repaired first. It survives the death of the process; power loss
    /// takes the database back to the last flush, to a whole transaction. It is flushed with the
    /// next durable commit, by `Database::flush`, and when the handle that made it is closed,
    /// unless somebody else is flushing just then for more than a second, or a repair is needed
    /// while somebody has the write transaction. Then it waits for the next of these three, by
    /// whatever handle, or for the first write transaction of whoever opens the database next; only
    /// power loss before that takes it back.
    Deferred,
}
