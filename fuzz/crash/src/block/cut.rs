//! The crash states that a log has.
//!
//! A cut comes after some entry of the log. What stands before the last flush is on the disk; of
//! the writes after it, the *window*, any part may be, each whole or, if it carries pages of the
//! database alone, sector by sector. States with the same bytes are taken once, with the notes up
//! to the last moment at which the disk can look like that: these demand most.

use super::disk::{Entry, Note};
use super::own::Own;

/// Bytes that reach the disk together or not at all.
pub const SECTOR: usize = 512;
/// Random subsets that are offered for each prefix of a window.
const SUBSETS: u64 = 2;

/// What becomes of the window.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Everything got there.
    All,
    /// Nothing did.
    None,
    /// Only the first write is missing.
    ButOldest,
    /// Only the last write got there.
    OnlyLast,
    /// Each write with a probability of one half.
    Subset,
    /// The last write up to some sector.
    TornHead,
    /// The last write from some sector on.
    TornTail,
    /// Each sector of the database's own writes with some probability, each other write with one
    /// half.
    Shredded,
}

impl Kind {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Kind::All => "all",
            Kind::None => "none",
            Kind::ButOldest => "all but oldest",
            Kind::OnlyLast => "only last",
            Kind::Subset => "subset",
            Kind::TornHead => "torn, head",
            Kind::TornTail => "torn, tail",
            Kind::Shredded => "shredded",
        }
    }
}

/// One crash state.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Entries before this one are on the disk.
    pub flushed: usize,
    /// Entries before this one have happened.
    pub end: usize,
    /// What became of those between.
    pub kind: Kind,
    /// For what is random about it.
    pub seed: u64,
    /// Newest acknowledged transaction; none before the file was there.
    pub acked: Option<u64>,
    /// Newest begun transaction.
    pub begun: u64,
}

/// Bytes of a write that are on the disk.
pub type Piece = (usize, std::ops::Range<usize>);

/// All cuts of a log, in its order.
pub fn cuts(log: &[Entry], own: &Own, rng: &mut fastrand::Rng) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let (mut flushed, mut oldest, mut acked, mut begun) = (0, None, None, 0);
    let mut writes = 0;
    let mut torn = false;
    for (i, entry) in log.iter().enumerate() {
        match entry {
            Entry::Note(note) => take(*note, &mut acked, &mut begun),
            Entry::Flush => {
                flushed = i + 1;
                (oldest, writes, torn) = (None, 0, false);
            }
            Entry::Write(_, bytes) => {
                oldest.get_or_insert(i);
                writes += 1;
                let mine = bytes.len() > SECTOR && own.knows(bytes);
                torn |= mine;
                let rest = &log[i + 1..];
                let notes = rest.iter().take_while(|e| matches!(e, Entry::Note(_))).count();
                let (mut acked, mut begun) = (acked, begun);
                for entry in &rest[..notes] {
                    if let Entry::Note(note) = entry {
                        take(*note, &mut acked, &mut begun);
                    }
                }
                let last = !matches!(rest.get(notes), Some(Entry::Write(..)));
                let end = i + 1 + notes;
                let mut offer = |kind| {
                    cuts.push(Cut { flushed, end, kind, seed: rng.u64(..), acked, begun });
                };
                offer(Kind::All);
                if last {
                    offer(Kind::None);
                }
                if writes >= 2 {
                    offer(Kind::OnlyLast);
                }
                if writes >= 3 {
                    offer(Kind::ButOldest);
                    (0..SUBSETS).for_each(|_| offer(Kind::Subset));
                }
                if mine {
                    offer(Kind::TornHead);
                    offer(Kind::TornTail);
                }
                if torn {
                    offer(Kind::Shredded);
                }
            }
        }
    }
    cuts
}

fn take(note: Note, acked: &mut Option<u64>, begun: &mut u64) {
    match note {
        Note::Acked(n) => *acked = (*acked).max(Some(n)),
        Note::Begun(n) => *begun = n.max(*begun),
    }
}

impl Cut {
    /// What is on the disk of the writes after the last flush.
    pub fn pieces(&self, log: &[Entry], own: &Own) -> Vec<Piece> {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let rng = &mut rng;
        let window: Vec<(usize, &Vec<u8>)> = (self.flushed..self.end)
            .filter_map(|i| match &log[i] {
                Entry::Write(_, bytes) => Some((i, bytes)),
                _ => None,
            })
            .collect();
        let Some((&(last, last_bytes), before)) = window.split_last() else { return Vec::new() };
        let whole = |(i, bytes): &(usize, &Vec<u8>)| (*i, 0..bytes.len());
        match self.kind {
            Kind::All => window.iter().map(whole).collect(),
            Kind::None => Vec::new(),
            Kind::ButOldest => window[1..].iter().map(whole).collect(),
            Kind::OnlyLast => vec![(last, 0..last_bytes.len())],
            Kind::Subset => window.iter().filter(|_| rng.bool()).map(whole).collect(),
            Kind::TornHead | Kind::TornTail => {
                let all = rng.bool();
                let mut pieces: Vec<Piece> =
                    before.iter().filter(|_| all || rng.bool()).map(whole).collect();
                let at = rng.usize(1..(last_bytes.len() / SECTOR).max(2)) * SECTOR;
                let range = match self.kind {
                    Kind::TornHead => 0..at,
                    _ => at..last_bytes.len(),
                };
                pieces.push((last, range));
                pieces
            }
            Kind::Shredded => shred(&window, own, rng),
        }
    }
}

fn shred(window: &[(usize, &Vec<u8>)], own: &Own, rng: &mut fastrand::Rng) -> Vec<Piece> {
    // Few sectors missing, half of them, or few there.
    let kept = *rng.choice(&[1, 4, 7]).unwrap_or(&4);
    let mut pieces = Vec::new();
    for &(i, bytes) in window {
        if !own.knows(bytes) {
            if rng.bool() {
                pieces.push((i, 0..bytes.len()));
            }
            continue;
        }
        for from in (0..bytes.len()).step_by(SECTOR) {
            if rng.u8(..8) < kept {
                pieces.push((i, from..from + SECTOR));
            }
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Vec<Entry> {
        let write = |n: u8| Entry::Write(u64::from(n) * 4096, vec![n; 4096]);
        let mut stamped = vec![9; 4096];
        stamped[..8].copy_from_slice(super::super::own::STAMP);
        vec![
            write(1),
            Entry::Flush,
            Entry::Note(Note::Acked(0)),
            Entry::Note(Note::Begun(1)),
            write(2),
            write(3),
            Entry::Note(Note::Begun(2)),
            Entry::Write(40_960, stamped),
            Entry::Flush,
            Entry::Note(Note::Acked(1)),
        ]
    }

    #[test]
    fn every_kind_is_offered_where_it_makes_sense() {
        let (log, own) = (log(), Own::new(4096, 10));
        let cuts = cuts(&log, &own, &mut fastrand::Rng::with_seed(1));
        let at =
            |end: usize| cuts.iter().filter(|c| c.end == end).map(|c| c.kind).collect::<Vec<_>>();
        assert_eq!(at(1), [Kind::All, Kind::None]);
        assert_eq!(at(5), [Kind::All]);
        assert_eq!(at(7), [Kind::All, Kind::OnlyLast]);
        assert_eq!(
            at(8),
            [
                Kind::All,
                Kind::None,
                Kind::OnlyLast,
                Kind::ButOldest,
                Kind::Subset,
                Kind::Subset,
                Kind::TornHead,
                Kind::TornTail,
                Kind::Shredded
            ]
        );
        let demands: Vec<_> = cuts.iter().map(|c| (c.end, c.acked, c.begun)).collect();
        assert_eq!(demands[0], (1, None, 0));
        assert!(demands.contains(&(5, Some(0), 1)) && demands.contains(&(7, Some(0), 2)));
    }

    #[test]
    fn pieces_stay_in_their_window() {
        let (log, own) = (log(), Own::new(4096, 10));
        for seed in 0..50 {
            for cut in cuts(&log, &own, &mut fastrand::Rng::with_seed(seed)) {
                let pieces = cut.pieces(&log, &own);
                for (i, range) in &pieces {
                    assert!((cut.flushed..cut.end).contains(i));
                    assert!(range.start < range.end && range.end <= 4096);
                    assert!(range.len() == 4096 || *i == 7, "{cut:?} tears another's block");
                }
                match cut.kind {
                    Kind::All => assert!(pieces.iter().all(|p| p.1.len() == 4096)),
                    Kind::None => assert!(pieces.is_empty()),
                    Kind::TornHead => assert_eq!(pieces.last().unwrap().1.start, 0),
                    Kind::TornTail => assert_eq!(pieces.last().unwrap().1.end, 4096),
                    _ => {}
                }
            }
        }
    }
}
