//! The named points of the engine's protocols, and how a process is made to die or to stop at one.
//!
//! A process has at most one order at a time: a point, which of its occurrences is meant, and a
//! signal, which the thread that gets there sends to its own process. Thread rules: any thread.

use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// What has to have happened for a process to come to a point.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Setting {
    /// It writes, among others.
    Working,
    /// It opens the database while others have it open.
    Joining,
    /// It opens the database alone, and the lock file is as the dead have left it.
    First,
    /// The same, but the lock file is lost.
    FirstLost,
    /// The same, and then it writes.
    WriteLost,
    /// All others died, one of them in the middle of a flush; then it writes.
    Repair,
    /// The same, and a page of the last transaction is not what was written.
    RollBack,
    /// A reader died in the middle of a read, and somebody still has the database open.
    DeadReader,
    /// Much of the end of the file is free, and nobody reads an old snapshot.
    FreeEnd,
}

/// Points that stand close beside others, or that only readers pass: the simulation stops there,
/// the campaign of processes does not.
pub const UNNAMED: [&str; 15] = [
    // Takes a page that leaves the page cache, which nothing here can ask for.
    "opening: chosen again",
    "begin: flush target seen",
    "flush: target chosen",
    "observe: snapshot copied",
    "read: before the move to a named snapshot",
    "read: moved to a named snapshot",
    "read: slot claimed",
    "read: slot pins all",
    "repair: flush of a dead leader finished",
    "repair: flush target synced",
    "repair: older meta put back",
    "repair: other slot synced",
    "repair: page verified",
    "scan: slots seen",
    "settled: durable seen",
];

/// Every other point of the engine. A test compares this list with the source.
pub const POINTS: [(&str, Setting); 32] = [
    ("attach: joined", Setting::Joining),
    ("attach: alone", Setting::First),
    ("attach: identity written", Setting::First),
    ("attach: initialised", Setting::First),
    ("attach: ready", Setting::First),
    ("attach: gate shared", Setting::First),
    ("opening: words set", Setting::FirstLost),
    ("reset: entry written", Setting::FirstLost),
    ("reset: visible set", Setting::FirstLost),
    ("opening: chosen meta synced", Setting::WriteLost),
    ("opening: other slot synced", Setting::WriteLost),
    ("build: pages in place", Setting::Working),
    ("build: image stored", Setting::Working),
    ("build: built moved", Setting::Working),
    ("build: visible", Setting::Working),
    ("publish: entry written", Setting::Working),
    ("publish: visible moved", Setting::Working),
    ("flush: target marked", Setting::Working),
    ("flush: pages synced", Setting::Working),
    ("flush: meta stored", Setting::Working),
    ("flush: synced", Setting::Working),
    ("flush: slot recorded", Setting::Working),
    ("flush: visible", Setting::Working),
    ("flush: durable moved", Setting::Working),
    ("flush: done", Setting::Working),
    ("shrink: before truncate", Setting::FreeEnd),
    ("clear: slots freed", Setting::DeadReader),
    ("repair: marked", Setting::Repair),
    ("repair: pages rewritten", Setting::Repair),
    ("repair: done", Setting::Repair),
    ("repair: newer meta erased", Setting::RollBack),
    ("repair: ids dead", Setting::RollBack),
];

/// What happens to the process at its point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// SIGKILL.
    Killed,
    /// SIGSTOP.
    Stopped,
}

/// An order: at the `left`-th occurrence of a point from now on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// Name of the point.
    pub point: String,
    /// Occurrences that are left.
    pub left: u32,
    /// What happens then.
    pub fate: Fate,
}

impl std::fmt::Display for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fate = if self.fate == Fate::Killed { "kill" } else { "stop" };
        write!(f, "{}/{}/{fate}", self.point, self.left)
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Order, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let bad = || format!("{text:?} is not POINT/OCCURRENCE/kill or POINT/OCCURRENCE/stop");
        let [point, left, fate] = parts[..] else { return Err(bad()) };
        let fate = match fate {
            "kill" => Fate::Killed,
            "stop" => Fate::Stopped,
            _ => return Err(bad()),
        };
        let left = left.parse().map_err(|_| bad())?;
        Ok(Order { point: point.into(), left, fate })
    }
}

static ORDER: Mutex<Option<Order>> = Mutex::new(None);
/// Whether there is an order: most steps of most processes have none to look up.
static ANY: AtomicBool = AtomicBool::new(false);

/// Gives this process its order, in place of one it may have had.
pub fn obey(order: Order) {
    recto::harness::on_step(reached);
    *ORDER.lock().expect("nobody panics with it") = Some(order);
    ANY.store(true, Ordering::Release);
}

fn reached(point: &'static str) {
    if !ANY.load(Ordering::Acquire) {
        return;
    }
    let fate = {
        let mut order = ORDER.lock().expect("nobody panics with it");
        match &mut *order {
            Some(o) if o.point == point && o.left > 1 => {
                o.left -= 1;
                return;
            }
            Some(o) if o.point == point => {
                let fate = o.fate;
                *order = None;
                ANY.store(false, Ordering::Release);
                fate
            }
            _ => return,
        }
    };
    let signal = match fate {
        Fate::Killed => libc::SIGKILL,
        Fate::Stopped => libc::SIGSTOP,
    };
    // SAFETY: sends a signal to this very process; nothing is touched by it.
    unsafe { libc::kill(libc::getpid(), signal) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_as_they_are_written() {
        for (point, _) in POINTS {
            let order = Order { point: point.into(), left: 3, fate: Fate::Stopped };
            assert_eq!(order.to_string().parse(), Ok(order));
        }
        assert!("here/x/kill".parse::<Order>().is_err() && "here".parse::<Order>().is_err());
    }
}
