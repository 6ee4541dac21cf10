//! What moves at each step of a commit, and what does not.

use super::engine;
use crate::commit::build::Roots;
use crate::commit::durability::Durability;
use crate::commit::engine::Engine;
use crate::error::Error;
use crate::types::TxnId;
use std::sync::Arc;
use std::time::Duration;

/// W, V, D and F.
fn letters(engine: &Engine) -> [u64; 4] {
    let words = engine.words();
    [words.built(), engine.shared.visible(), words.durable().txn, words.flushing()].map(|id| id.0)
}

/// A transaction without any change to its tables, as far as it is to be built.
fn build(engine: &Arc<Engine>, durability: Durability) -> TxnId {
    let draft = engine.begin_write(None, durability).unwrap();
    let (catalog, system) = (draft.base().catalog, draft.base().system);
    let built = draft.build(Roots { catalog, system, newest_named: TxnId::NONE }, 0).unwrap();
    assert_eq!(built.flush, durability == Durability::Durable);
    built.txn
}

#[test]
fn a_deferred_commit_is_built_and_visible_and_a_flush_makes_it_durable() {
    let engine = engine();
    assert_eq!(letters(&engine), [1, 1, 1, 0]);
    build(&engine, Durability::Deferred);
    assert_eq!(letters(&engine), [2, 2, 1, 0]);
    build(&engine, Durability::Deferred);
    assert_eq!(letters(&engine), [3, 3, 1, 0]);
    engine.flush().unwrap();
    assert_eq!(letters(&engine), [3, 3, 3, 0]);
    let slot = engine.durable().slot;
    engine.flush().unwrap();
    assert_eq!((letters(&engine), engine.durable().slot), ([3, 3, 3, 0], slot), "nothing to do");
    build(&engine, Durability::Deferred);
    engine.flush().unwrap();
    assert_eq!(letters(&engine), [4, 4, 4, 0]);
    assert_ne!(engine.durable().slot, slot, "the other slot keeps what was durable before");
}

#[test]
fn a_durable_commit_is_visible_when_it_is_durable() {
    let engine = engine();
    let txn = build(&engine, Durability::Durable);
    assert_eq!(letters(&engine), [2, 1, 1, 0]);
    engine.make_durable(txn).unwrap();
    assert_eq!(letters(&engine), [2, 2, 2, 0]);
}

/// Rule 13: a flush takes everything along that is built by then.
#[test]
fn one_flush_serves_all_who_wait() {
    let engine = engine();
    let waiting = [(); 3].map(|()| build(&engine, Durability::Durable));
    engine.make_durable(waiting[0]).unwrap();
    assert_eq!(letters(&engine), [4, 4, 4, 0]);
    let slot = engine.durable().slot;
    for txn in waiting {
        engine.make_durable(txn).unwrap();
    }
    assert_eq!(engine.durable().slot, slot, "nothing was stored for the others");
}

#[test]
fn a_draft_that_is_dropped_leaves_nothing() {
    let engine = engine();
    let draft = engine.begin_write(None, Durability::Durable).unwrap();
    assert_eq!(draft.txn(), TxnId(2));
    let second = engine.begin_write(Some(Duration::ZERO), Durability::Durable);
    assert!(matches!(second, Err(Error::Busy { .. })));
    drop(draft);
    assert_eq!(letters(&engine), [1, 1, 1, 0]);
    let draft = engine.begin_write(Some(Duration::ZERO), Durability::Durable).unwrap();
    assert_eq!(draft.txn(), TxnId(2), "nobody has seen the id");
    draft.end_unchanged().unwrap();
    assert_eq!(letters(&engine), [1, 1, 1, 0]);
}

/// Rules 2, 3 and 22: the content of D again under a new id, and what was above it dead.
#[test]
fn a_roll_back_gives_the_durable_content_again() {
    let engine = engine();
    let lost = [(); 2].map(|()| build(&engine, Durability::Deferred));
    super::locked(&engine, |writer, flush| {
        let image = engine.load_image().unwrap();
        engine.roll_back(writer, flush, &image).unwrap();
    });
    let [built, visible, durable, flushing] = letters(&engine);
    assert_eq!((built, visible, flushing), (4, 4, 0));
    assert!(durable < lost[0].0 && lost.iter().all(|&txn| engine.is_dead(txn)));
    assert!(!engine.is_dead(TxnId(built)) && !engine.is_dead(TxnId(durable)));
    assert!(matches!(engine.make_durable(lost[1]), Err(Error::OutcomeUnknown { .. })));
    assert_eq!(build(&engine, Durability::Deferred), TxnId(5));
}
