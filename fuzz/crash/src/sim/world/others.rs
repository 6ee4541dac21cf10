//! What others than the processes of this database do to it: who uses another lock file, who puts
//! another file into its place, who is a newer build. And many readers at once.

use super::{Copied, World};
use crate::hostile::lock_file::for_images;
use crate::sim::calls::{commit, flush, read};
use crate::sim::causes::During;
use crate::sim::edit::Edit;
use crate::sim::judge::enter;
use crate::sim::oracle::{Allowed, Oracle};
use parking_lot::Mutex;
use recto::harness::sim::{Faults, ProcessOptions};
use recto::harness::{
    LOCK_FILE_SESSION, Newer, READER_SLOTS, machine, newer_image, newer_meta, newest_meta, open,
    same_meta_newer,
};
use recto::{Durability, Error};
use std::sync::Arc;

/// Idle slots that a handle may keep for itself.
const KEPT_SLOTS: usize = 8;
/// `restore` with so many commits or more: as many as it takes.
const TWIN: u8 = 254;
const MOST: u16 = 40;
/// Stamps of what is written to a copy elsewhere.
const ELSEWHERE: u32 = 1 << 29;

impl World {
    /// Two who disagree on where the lock file is are never there at the same time. What only the
    /// shared memory knew may be lost to the other, and must not come back over what the other has
    /// made durable.
    pub(super) fn other_lock_file(&mut self) {
        self.everybody_is_dead();
        let _ = self.disk.other_lock_file();
        self.two_lock_files = true;
        self.forget_refused();
        self.recovering += 1;
        self.tally.lock().count("other lock files", 1);
        self.copy = None;
        let allowed = self.oracle.lock().after_power_loss();
        self.disk.clear_hook();
        let found = self.start_from_disk(&allowed);
        self.oracle.lock().survived_by(&found, true);
        self.switch_on();
    }

    /// A copy of the file as it is when everything is durable.
    pub(super) fn copy(&mut self, p: u8) {
        let (oracle, setup) = (self.oracle.clone(), self.setup.clone());
        let copied = self.in_process(p, |db| {
            if !flush(&oracle, db) || oracle.lock().unreliable() {
                return None;
            }
            let (txn, print, _) = read(&oracle, &setup, p, db)?;
            // Others may have had their turn meanwhile.
            let info = db.info().ok()?;
            let settled = info.durable == info.built && info.built == txn.id();
            oracle.lock().having(print).filter(|_| settled && !info.repair_pending)
        });
        if let Some(Some(content)) = copied {
            self.copy = Some(Copied { bytes: self.disk.bytes(), content });
        }
    }

    /// The copy takes the place of the file, byte by byte, as a backup does that is put back; or
    /// what has become of it elsewhere.
    pub(super) fn restore(&mut self, commits: u8) {
        let Some(copied) = self.copy.take() else { return };
        let metas = 2 * self.setup.page_size;
        if self.disk.bytes().get(..metas) == copied.bytes.get(..metas) {
            return;
        }
        let Copied { bytes, content } =
            if commits > 0 { self.elsewhere(copied, commits) } else { copied };
        self.everybody_is_dead();
        self.disk.clear_hook();
        self.disk.replace_file(&bytes).unwrap_or_else(|e| panic!("another file: {e}"));
        self.recovering += 1;
        self.tally.lock().count("files put back", 1);
        let found = self.start_from_disk(&Allowed::only(content));
        {
            let mut oracle = self.oracle.lock();
            oracle.restart_from(found);
            oracle.forget_ids();
        }
        self.switch_on();
    }

    /// What becomes of a copy that somebody opens on another machine.
    fn elsewhere(&self, copied: Copied, commits: u8) -> Copied {
        let elsewhere = machine(&copied.bytes, self.setup.page_size, self.setup.machine)
            .unwrap_or_else(|e| panic!("elsewhere: {e}"));
        let here = newest_meta(&self.disk.bytes(), self.setup.page_size);
        let (newest, session) = here.filter(|_| commits >= TWIN).unwrap_or_default();
        elsewhere.draw(if commits == TWIN { session } else { 0 });
        let db = enter(&elsewhere, &self.setup, 0).unwrap_or_else(|e| panic!("elsewhere: {e}"));
        let oracle = Arc::new(Mutex::new(Oracle::holding(copied.content, ELSEWHERE)));
        let most = if commits >= TWIN { MOST } else { u16::from(commits) };
        for n in 0..most {
            if commits >= TWIN && db.info().is_ok_and(|info| info.durable >= newest) {
                break;
            }
            let edits = [
                Edit::Put { table: 2, key: n, len: 500 },
                Edit::Fill { table: 0, from: 0, count: 20, step: 1, len: 30 },
            ];
            let done = commit(&oracle, 0, &db, Durability::Durable, &edits);
            assert!(done, "elsewhere all is well");
        }
        drop(db);
        let content = oracle.lock().newest();
        Copied { bytes: elsewhere.bytes(), content }
    }

    /// A newer build has used the database: what it says must not be written over, nor read where
    /// it cannot be.
    pub(super) fn newer_build(&mut self, slot: u8, newer: Newer) {
        self.everybody_is_dead();
        self.disk.clear_hook();
        // What is compared is the page cache: nothing leaves it by itself.
        self.disk.set_faults(Faults { evict: 0, ..self.setup.faults() });
        let size = self.setup.page_size;
        let before = self.disk.bytes();
        let places = [0..size, size..2 * size];
        let [here, other] = [usize::from(slot), usize::from(slot) ^ 1].map(|i| places[i].clone());
        let here_only = (newer == Newer::ToWrite).then(|| same_meta_newer(&before[here.clone()]));
        let newest = newer_meta(&before[here.clone()], &before[other], newer);
        let forms: Vec<_> = newest.into_iter().chain(here_only.flatten()).collect();
        let damage = |bytes: &[u8]| {
            let done = self.disk.damage(here.start as u64, bytes);
            done.unwrap_or_else(|e| panic!("a slot: {e}"));
        };
        for meta in &forms {
            damage(meta);
            let with_newer = self.disk.bytes();
            self.refused(newer);
            assert!(with_newer == self.disk.bytes(), "a file of a newer build was written to");
            damage(&before[here.clone()]);
            self.tally.lock().count("newer builds", 1);
        }
        if !forms.is_empty() {
            // Whoever could read may have believed the lock file no more.
            let allowed = self.oracle.lock().after_power_loss();
            let found = self.start_from_disk(&allowed);
            self.oracle.lock().survived_by(&found, newer != Newer::ToWrite);
        }
        self.switch_on();
    }

    /// A newer build has committed beside those who have the database open. They were told of
    /// nothing when they opened it, and must not write over what they do not know.
    pub(super) fn newer_beside(&mut self) {
        if self.writing.iter().any(Option::is_some) {
            return;
        }
        self.disk.clear_hook();
        self.disk.set_faults(Faults { evict: 0, ..self.setup.faults() });
        let session = self.disk.lock_file_word(LOCK_FILE_SESSION / 8);
        let mut images = Vec::new();
        for_images(&self.disk, |words, _| {
            images.push(words.to_vec());
            newer_image(words, session);
        });
        let before = self.disk.bytes();
        let known = |e: &Error| matches!(e, Error::Features { to_write: true, .. });
        let oracle = self.oracle.clone();
        for db in self.processes.iter().flatten() {
            let begun = db.write().map(drop);
            let right =
                begun.as_ref().is_err_and(|e| known(e) || oracle.lock().forgives(e, During::Begin));
            assert!(right, "a write beside a newer build: {begun:?}");
            // There may be nothing to flush.
            let flushed = db.flush();
            let right = flushed
                .as_ref()
                .err()
                .is_none_or(|e| known(e) || oracle.lock().forgives(e, During::Flush));
            assert!(right, "a flush beside a newer build: {flushed:?}");
            self.tally.lock().count("newer builds beside", 1);
        }
        assert!(before == self.disk.bytes(), "the file of a newer build was written to");
        for_images(&self.disk, |words, side| words.copy_from_slice(&images[side]));
        self.switch_on();
    }

    /// Whoever comes is told what he does not know.
    fn refused(&self, newer: Newer) {
        for read_only in [true, false] {
            let options = ProcessOptions { read_only, ..ProcessOptions::default() };
            let mut builder = self.setup.builder(0);
            builder.read_only(read_only);
            let opened = open(self.disk.process(options), &builder);
            let done = opened.and_then(|db| if read_only { Ok(()) } else { db.write().map(drop) });
            let right = match (&done, newer) {
                (Err(Error::Version { .. }), Newer::Version) => true,
                (Err(Error::Features { to_write: false, .. }), Newer::ToRead) => true,
                (Err(Error::Features { to_write: true, .. }), Newer::ToWrite) => !read_only,
                (Ok(()), Newer::ToWrite) => read_only,
                _ => false,
            };
            assert!(right, "a file of a newer build, {newer:?}, read only: {read_only}: {done:?}");
        }
    }

    /// Many readers at once. A handle gives back what it does not need, so nobody is refused unless
    /// all of them read.
    pub(super) fn crowd(&mut self, p: u8, count: u16) {
        self.now.lock().quiet = true;
        let handles = self.processes.len() + 1 + self.readers.len();
        let others = self.readers.len() + self.now.lock().visitors.len();
        let fits = others + usize::from(count) + handles * KEPT_SLOTS <= READER_SLOTS;
        let oracle = self.oracle.clone();
        self.in_process(p, |db| {
            let mut all = Vec::new();
            for n in 0..count {
                match db.read() {
                    Ok(txn) => all.push(txn),
                    Err(Error::ReadersFull { .. }) if !fits => break,
                    Err(e) if oracle.lock().forgives(&e, During::Read) => break,
                    Err(e) => panic!("reader {n} of {count}, {others} others: {e}"),
                }
            }
        });
        self.tally.lock().count("crowds of readers", 1);
        self.now.lock().quiet = false;
    }
}
