//! What a run of the model may do, from `key=value` words.

use crate::planted::Bug;
use crate::state::{GHOSTS, PAGES, TREE};

/// A configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub name: String,
    /// Pages that may be allocated; pages that the file has at first.
    pub pages: u8,
    pub size: u8,
    /// Transactions, with the initial one.
    pub most: u8,
    /// Pages that a manifest can name; pages that a transaction rewrites at most.
    pub manifest: u8,
    pub rewrites: u8,
    /// 1: free pages before fresh ones; 2: both orders.
    pub orders: u8,
    /// Kinds of commits; a writer goes on while a flush runs.
    pub durable: bool,
    pub deferred: bool,
    pub group: bool,
    /// Pages are stored into where they stand, torn until they are sealed.
    pub direct: bool,
    /// Reads that may begin.
    pub reader: u8,
    /// Power cuts, deaths, failing syncs and write-backs, evictions, lost lock files.
    pub cuts: u8,
    pub kills: u8,
    pub fails: u8,
    pub evicts: u8,
    pub lock_losses: u8,
    /// Write-backs fail too, not only syncs.
    pub write_backs: bool,
    /// All processes die at once.
    pub all_die: bool,
    /// A failed flush puts the slot back; its failure may be definite then.
    pub restore: bool,
    pub definite: bool,
    /// What stands in the slots is protected too.
    pub protect_slots: bool,
    /// Which way an opening without words goes: 3 rule 26 always; 5 rule 25 after a boot; 0, 1, 2
    /// are wrong in different ways.
    pub open: u8,
    /// A sync makes the length durable; growing does.
    pub sync_size: bool,
    pub grow_sync: bool,
    /// Bytes of pages do not tell who wrote them.
    pub no_birth: bool,
    pub shrink: bool,
    /// Repair rolls back whenever the device has failed.
    pub roll_back: bool,
    /// Collecting what is protected, and beginning a read, are several steps.
    pub split: bool,
    /// A cut may leave the lock file: the device goes away and comes back.
    pub remount: bool,
    /// Another program syncs the file and is told of the errors; who flushes then rewrites.
    pub foreign: bool,
    pub fresh: bool,
    /// A running transaction writes pages before it is built, and a second handle may be opened
    /// meanwhile.
    pub spill: bool,
    /// The lock file may come back as it was when it was saved: images saved; whether its list of
    /// pages may be that old alone.
    pub saves: u8,
    pub torn_list: bool,
    /// Whoever opens without words stamps the meta with a new session.
    pub sessions: bool,
    /// Transactions may be larger than the list.
    pub unlisted: bool,
    /// Free-log pages, and the pages reserved for them.
    pub log: bool,
    /// The highest page count is forgotten when it can be.
    pub forget_high: bool,
    /// A transaction copies what the page cache shows of the pages that it rewrites, and asks
    /// whether a write-back has failed.
    pub copies: bool,
    /// How far `id_limit` stands above the id of its meta; 0: there is none.
    pub id_limit: u8,
    /// Transactions name what they stand on, and drop it.
    pub named: bool,
    /// The last handle may close so often.
    pub closes: u8,
    /// The rule that is taken away.
    pub bug: Option<Bug>,
    /// States after which the search ends.
    pub limit: usize,
}

impl Config {
    /// From words like `deferred=1`.
    ///
    /// # Errors
    /// Which word is none.
    pub fn parse(name: &str, words: &[&str]) -> Result<Config, String> {
        let mut c = Config {
            name: name.into(),
            pages: 7,
            size: PAGES as u8,
            most: 5,
            manifest: TREE as u8,
            rewrites: 2,
            orders: 2,
            durable: true,
            deferred: false,
            group: false,
            direct: true,
            reader: 0,
            cuts: 1,
            kills: 0,
            fails: 0,
            evicts: 0,
            lock_losses: 0,
            write_backs: false,
            all_die: false,
            restore: false,
            definite: false,
            protect_slots: true,
            open: 3,
            sync_size: true,
            grow_sync: false,
            no_birth: false,
            shrink: false,
            roll_back: false,
            split: false,
            remount: false,
            foreign: false,
            fresh: false,
            spill: false,
            saves: 0,
            torn_list: false,
            sessions: false,
            unlisted: false,
            log: false,
            forget_high: false,
            copies: false,
            id_limit: 0,
            named: false,
            closes: 0,
            bug: None,
            limit: 40_000_000,
        };
        for word in words {
            c.set(word).ok_or_else(|| format!("{word}: no such word, or no such value"))?;
        }
        if usize::from(c.most) >= GHOSTS || usize::from(c.pages) > PAGES {
            return Err(format!("at most {} transactions and {PAGES} pages", GHOSTS - 1));
        }
        Ok(c)
    }

    fn set(&mut self, word: &str) -> Option<()> {
        let (key, value) = word.split_once('=')?;
        if key == "bug" {
            self.bug = Some(Bug::named(value)?);
            return Some(());
        }
        if key == "limit" {
            self.limit = value.parse().ok()?;
            return Some(());
        }
        let number: u8 = value.parse().ok()?;
        let byte = match key {
            "pages" => &mut self.pages,
            "size" => &mut self.size,
            "most" => &mut self.most,
            "manifest" => &mut self.manifest,
            "rewrites" => &mut self.rewrites,
            "orders" => &mut self.orders,
            "reader" => &mut self.reader,
            "cuts" => &mut self.cuts,
            "kills" => &mut self.kills,
            "fails" => &mut self.fails,
            "evicts" => &mut self.evicts,
            "lock-losses" => &mut self.lock_losses,
            "open" => &mut self.open,
            "saves" => &mut self.saves,
            "closes" => &mut self.closes,
            "id-limit" => &mut self.id_limit,
            _ => return self.switch(key, number),
        };
        *byte = number;
        Some(())
    }

    fn switch(&mut self, key: &str, number: u8) -> Option<()> {
        let switch = match key {
            "durable" => &mut self.durable,
            "deferred" => &mut self.deferred,
            "group" => &mut self.group,
            "direct" => &mut self.direct,
            "write-backs" => &mut self.write_backs,
            "all-die" => &mut self.all_die,
            "restore" => &mut self.restore,
            "definite" => &mut self.definite,
            "protect-slots" => &mut self.protect_slots,
            "sync-size" => &mut self.sync_size,
            "grow-sync" => &mut self.grow_sync,
            "no-birth" => &mut self.no_birth,
            "shrink" => &mut self.shrink,
            "roll-back" => &mut self.roll_back,
            "split" => &mut self.split,
            "remount" => &mut self.remount,
            "foreign" => &mut self.foreign,
            "fresh" => &mut self.fresh,
            "spill" => &mut self.spill,
            "torn-list" => &mut self.torn_list,
            "sessions" => &mut self.sessions,
            "unlisted" => &mut self.unlisted,
            "log" => &mut self.log,
            "forget-high" => &mut self.forget_high,
            "copies" => &mut self.copies,
            "named" => &mut self.named,
            _ => return None,
        };
        *switch = match number {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(())
    }

    /// Whether this rule is taken away.
    pub fn bug(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}
