//! What a handle remembers of its deferred commits.

use super::{engine, locked};
use crate::commit::acknowledged::Acknowledged;
use crate::commit::engine::Engine;
use crate::shared::words::Durable;
use crate::types::TxnId;

fn roll_back(engine: &Engine, again: u64) {
    let durable = engine.durable().txn;
    locked(engine, |writer, flush| {
        engine.words().bury_ids(writer, flush, durable, TxnId(again));
    });
}

fn make_durable(engine: &Engine, txn: u64) {
    let durable = Durable { txn: TxnId(txn), ..engine.durable() };
    locked(engine, |_, flush| engine.words().set_durable(flush, durable));
}

#[test]
fn what_is_rolled_back_is_told_once() {
    let engine = engine();
    let (words, handle) = (engine.words(), Acknowledged::default());
    assert!(!handle.take_lost(words), "nothing was acknowledged");
    handle.note(TxnId(2), words);
    handle.note(TxnId(3), words);
    assert!(!handle.take_lost(words), "both are still to be flushed");
    roll_back(&engine, 4);
    assert!(handle.take_lost(words));
    assert!(!handle.take_lost(words), "told already");
}

#[test]
fn a_later_commit_does_not_hide_an_earlier_loss() {
    let engine = engine();
    let (words, handle) = (engine.words(), Acknowledged::default());
    handle.note(TxnId(2), words);
    roll_back(&engine, 3);
    handle.note(TxnId(4), words);
    make_durable(&engine, 4);
    assert!(handle.take_lost(words));
}

#[test]
fn what_is_durable_is_nobodys_loss() {
    let engine = engine();
    let (words, handle) = (engine.words(), Acknowledged::default());
    handle.note(TxnId(2), words);
    make_durable(&engine, 2);
    handle.judge(words);
    // Behind D by then, and never its own.
    roll_back(&engine, 4);
    assert!(!handle.take_lost(words));
}
