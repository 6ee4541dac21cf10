//! What a sorter has sorted: runs that are merged until few enough are left, and handed out.

use super::merge::{Entry, Merge, Rule, Source};
use super::record::{Record, Span};
use super::spill::{Output, Run, RunReader, RunWriter, Values};
use super::{Buffer, Settings, Step, not_ours};
use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// Bytes that go from the thread that merges to the one that takes, in one piece.
const BATCH: usize = 128 << 10;
/// Pieces that wait.
const WAITING: usize = 2;
/// Pairs, and bytes, after which it is told how far the work is.
const STEP_PAIRS: u64 = 4096;
const STEP_BYTES: usize = 1 << 20;

/// Sorted pairs, in memory and in files.
pub struct Sorted {
    pub(super) settings: Settings,
    pub(super) rule: Rule,
    /// What came last, and did not have to go to a file.
    pub(super) buffer: Buffer,
    pub(super) entries: Vec<Entry>,
    pub(super) runs: Vec<Run>,
    pub(super) values: Arc<Values>,
    /// Runs that there were at first, and how often they were merged.
    pub(super) first_runs: usize,
    pub(super) passes: usize,
    /// Bytes that all runs took, also those that are gone.
    pub(super) written: u64,
    pub(super) moved: u64,
    pub(super) to_move: u64,
}

impl Sorted {
    /// Runs that memory was too small for.
    pub fn runs(&self) -> usize {
        self.first_runs
    }

    /// How often some of them were merged before this.
    pub fn passes(&self) -> usize {
        self.passes
    }

    /// Bytes that went to files.
    pub fn temp_bytes(&self) -> u64 {
        self.written + self.values.bytes()
    }

    /// Merges runs until they can be read side by side.
    pub(super) fn shorten(&mut self, step: &mut Step<'_>) -> Result<()> {
        self.first_runs = self.runs.len();
        self.written = self.runs.iter().map(|run| run.bytes).sum();
        let in_memory = usize::from(!self.entries.is_empty());
        let fan_in = self.settings.fan_in();
        let counts: Vec<u64> = self.runs.iter().map(|run| run.pairs).collect();
        let (passes, moved) = plan(counts, fan_in, fan_in - in_memory);
        let all: u64 = self.runs.iter().map(|run| run.pairs).sum();
        self.to_move = moved + all + self.entries.len() as u64;
        for groups in passes {
            // A file for each: what has been merged makes room.
            let mut output = Output::create(&self.settings.directory)?;
            let mut runs = std::mem::take(&mut self.runs).into_iter();
            for group in groups {
                let group: Vec<Run> = runs.by_ref().take(group).collect();
                match <[Run; 1]>::try_from(group) {
                    Ok([run]) => self.runs.push(run),
                    Err(group) => {
                        let run = self.merged(group, &mut output, step)?;
                        self.runs.push(run);
                    }
                }
            }
            self.passes += 1;
        }
        Ok(())
    }

    fn merged(&mut self, runs: Vec<Run>, output: &mut Output, step: &mut Step<'_>) -> Result<Run> {
        go_on(step(self.moved, self.to_move))?;
        let sources = runs.iter().map(|run| Source::Run(RunReader::new(run))).collect();
        let mut merge = Merge::new(sources, self.rule)?;
        let mut writer = RunWriter::new(output, &self.values, &self.settings);
        let mut due = STEP_PAIRS;
        while merge.advance()? {
            writer.add(&merge.record())?;
            if merge.moved >= due {
                due = merge.moved + STEP_PAIRS;
                go_on(step(self.moved + merge.moved, self.to_move))?;
            }
        }
        self.moved += merge.moved;
        let run = writer.finish()?;
        self.written += run.bytes;
        Ok(run)
    }

    /// Hands out all pairs in their order. What merges does so beside it, in a thread.
    pub fn for_each(
        &self,
        step: &mut Step<'_>,
        mut put: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let (mut pairs, mut bytes, mut value) = (0u64, 0, Vec::new());
        let mut take = |record: Record<'_>| {
            if record.stored {
                self.values.get(record.value, &mut value)?;
                put(record.key, &value)?;
                bytes += value.len();
            } else {
                put(record.key, record.value)?;
            }
            (pairs, bytes) = (pairs + 1, bytes + record.bytes.len());
            if pairs.is_multiple_of(STEP_PAIRS) || bytes > STEP_BYTES {
                bytes = 0;
                // Pairs that others have replaced are not counted before the end.
                go_on(step(self.moved + pairs, self.to_move))?;
            }
            Ok(())
        };
        let is_taken = match self.runs.is_empty() {
            true => false,
            false => take_beside(self.merge()?, &mut take)?,
        };
        if !is_taken {
            let mut merge = self.merge()?;
            while merge.advance()? {
                take(merge.record())?;
            }
        }
        go_on(step(self.to_move, self.to_move))
    }

    fn merge(&self) -> Result<Merge<'_>> {
        let mut sources: Vec<Source<'_>> =
            self.runs.iter().map(|run| Source::Run(RunReader::new(run))).collect();
        if !self.entries.is_empty() {
            sources.push(Source::of_buffer(&self.buffer.bytes, &self.entries));
        }
        Merge::new(sources, self.rule)
    }
}

/// What comes out where somebody has ended the work. Whoever has asked for that says something
/// else; until then it must count as what has left something half done.
fn go_on(yes: bool) -> Result<()> {
    if yes { Ok(()) } else { Err(Error::TransactionBroken { path: None }) }
}

/// How many runs that stand side by side are merged into one, pass by pass, until at most `most`
/// are left; and how many pairs that moves. One stays as it is.
fn plan(mut pairs: Vec<u64>, fan_in: usize, most: usize) -> (Vec<Vec<usize>>, u64) {
    let (mut passes, mut moved) = (Vec::new(), 0);
    while pairs.len() > most.max(1) {
        let (mut groups, mut next, mut rest) = (Vec::new(), Vec::new(), &pairs[..]);
        while !rest.is_empty() {
            let too_many = (next.len() + rest.len()).saturating_sub(most.max(1));
            let group = (too_many + 1).min(fan_in).min(rest.len());
            let (merged, behind) = rest.split_at(group);
            let sum: u64 = merged.iter().sum();
            moved += if group > 1 { sum } else { 0 };
            next.push(sum);
            groups.push(group);
            rest = behind;
        }
        pairs = next;
        passes.push(groups);
    }
    (passes, moved)
}

/// Has a thread merge while this one takes. False, and nothing taken, if there is none to be had.
fn take_beside(merge: Merge<'_>, take: &mut impl FnMut(Record<'_>) -> Result<()>) -> Result<bool> {
    std::thread::scope(|scope| {
        let (full, filled) = sync_channel(WAITING);
        let (used, empty) = channel();
        let work = move || hand_over(merge, &full, &empty);
        let thread = std::thread::Builder::new().name("recto-merge".into());
        if thread.spawn_scoped(scope, work).is_err() {
            return Ok(false);
        }
        take_all(&filled, &used, take).map(|()| true)
    })
}

/// Sends all pairs, and then an empty piece; or an error.
fn hand_over(mut merge: Merge<'_>, full: &SyncSender<Result<Vec<u8>>>, empty: &Receiver<Vec<u8>>) {
    loop {
        let mut batch = empty.try_recv().unwrap_or_default();
        batch.clear();
        let filled = fill(&mut merge, &mut batch);
        let is_end = batch.is_empty() || filled.is_err();
        // Whoever does not hear it any more has an error of its own.
        if full.send(filled.map(|()| batch)).is_err() || is_end {
            return;
        }
    }
}

fn fill(merge: &mut Merge<'_>, batch: &mut Vec<u8>) -> Result<()> {
    while batch.len() < BATCH && merge.advance()? {
        batch.extend_from_slice(merge.record().bytes);
    }
    Ok(())
}

fn take_all(
    filled: &Receiver<Result<Vec<u8>>>,
    used: &Sender<Vec<u8>>,
    take: &mut impl FnMut(Record<'_>) -> Result<()>,
) -> Result<()> {
    loop {
        // It ends before it has said so only by a panic.
        let batch = filled.recv().map_err(|_| not_ours())??;
        if batch.is_empty() {
            return Ok(());
        }
        let mut at = 0;
        while at < batch.len() {
            let span = Span::at(&batch, at).ok_or_else(not_ours)?;
            take(span.of(&batch))?;
            at = span.end;
        }
        let _ = used.send(batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_move_no_more_than_they_must() {
        // Few enough already.
        assert_eq!(plan(vec![5; 7], 8, 7), (vec![], 0));
        // One too many: two become one.
        assert_eq!(plan(vec![5; 9], 8, 8), (vec![vec![2, 1, 1, 1, 1, 1, 1, 1]], 10));
        for (runs, fan_in, most) in [(100, 7, 6), (100, 2, 1), (1000, 15, 15), (3, 2, 1), (1, 2, 1)]
        {
            let (passes, moved) = plan(vec![1; runs], fan_in, most);
            let mut left = runs;
            for groups in &passes {
                assert_eq!(groups.iter().sum::<usize>(), left);
                assert!(groups.iter().all(|&group| (1..=fan_in).contains(&group)));
                assert!(groups.len() < left, "each pass leaves fewer");
                left = groups.len();
            }
            assert!(left <= most);
            assert!(moved <= (runs * passes.len()) as u64);
        }
    }
}
