//! Who comes first, what he finds, and what a death on the way leaves.

use super::*;
use crate::shared::layout::HANDLES;
use crate::shared::locks::LockGuard;
use crate::storage::sim::{Ending, run};
use crate::storage::{Platform, PlatformRef};
use parking_lot::Mutex;
use std::sync::atomic::Ordering::SeqCst;

const FIRST_STEPS: [Step; 6] = [
    "attach: alone",
    "attach: identity written",
    "attach: initialised",
    "attach: ready",
    "attach: gate shared",
    "attach: gate shared",
];

#[test]
fn one_initialises_and_the_others_join() {
    let disk = machine();
    let first = attach_as(&process(&disk), UUID, |shared, state| {
        assert_eq!((state, shared.visible()), (FirstState::Unknown, TxnId(0)));
        assert_eq!(shared.identity().ready.load(SeqCst), 0);
        start(shared, state)
    })
    .unwrap();
    assert_eq!(first.arrival, Arrival::First(FirstState::Unknown));
    let second = attach_as(&process(&disk), UUID, |_, _| panic!("initialised twice")).unwrap();
    assert_eq!(second.arrival, Arrival::Joined);
    assert_eq!((first.id(), second.id()), (0, 1));
    assert_eq!((first.visible(), second.visible()), (TxnId(1), TxnId(1)));
    drop(first);
    let third = open(&disk);
    assert_eq!((third.arrival, third.id()), (Arrival::Joined, 0));
}

#[test]
fn words_survive_all_handles_of_a_boot_but_readers_do_not() {
    let disk = machine();
    let first = open(&disk);
    first.publish_built(&descriptor(5)).unwrap();
    first.layout().waiters.0.store(3, SeqCst);
    first.words().repair.0.store(1, SeqCst);
    let reading = first.begin_read().unwrap();
    first.kill(&disk);
    let second = open(&disk);
    assert_eq!(second.arrival, Arrival::First(FirstState::Survives));
    assert_eq!((second.visible(), second.words().repair.0.load(SeqCst)), (TxnId(5), 1));
    assert_eq!((second.slots_claimed(), slots_of(&second, 1)), (0, vec![]));
    assert_eq!(second.layout().waiters.0.load(SeqCst), 0);
    assert_eq!(second.scan().unwrap().readers, []);
    assert_eq!(second.begin_read().unwrap().descriptor, descriptor(5));
    assert_eq!(reading.descriptor, descriptor(5));
}

#[test]
fn another_boot_is_told_with_its_mark() {
    for (ready, mark, opening) in [(1, 0, false), (1, 1, true), (0, 0, true)] {
        let disk = machine();
        drop(open(&disk));
        let memory = raw(&disk);
        let identity = &memory.layout().identity.0;
        identity.boot[1].fetch_xor(1, SeqCst);
        identity.ready.store(ready, SeqCst);
        identity.opening.store(mark, SeqCst);
        let next = attach_as(&process(&disk), UUID, |shared, state| {
            assert_eq!(shared.visible(), TxnId(0), "words of another boot are forgotten");
            assert_eq!(shared.identity().opening.load(SeqCst), u64::from(opening));
            start(shared, state)
        })
        .unwrap();
        assert_eq!(next.arrival, Arrival::First(FirstState::OtherBoot { opening }));
    }
}

#[test]
fn memory_of_another_file_is_worth_nothing() {
    let spoil: [fn(&super::super::Identity); 6] = [
        |i| i.uuid[0].store(7, SeqCst),
        |i| i.data_file[1].store(7, SeqCst),
        |i| i.page_size.store(512, SeqCst),
        |i| i.version.store(99, SeqCst),
        |i| i.magic.store(0, SeqCst),
        |i| i.ready.store(0, SeqCst),
    ];
    for spoil in spoil {
        let disk = machine();
        let one = open(&disk);
        spoil(one.identity());
        // In use: nobody may join something else.
        let joining = attach_as(&process(&disk), UUID, |_, _| panic!("not alone"));
        assert!(is_lock_file(&joining.err().unwrap(), "in use"));
        drop(one);
        let next = attach_as(&process(&disk), UUID, |shared, state| {
            assert_eq!(shared.visible(), TxnId(0));
            start(shared, state)
        });
        assert_eq!(next.unwrap().arrival, Arrival::First(FirstState::Unknown));
        assert_eq!(open(&disk).arrival, Arrival::First(FirstState::Survives));
    }
    let disk = machine();
    let _one = open(&disk);
    let other = attach_as(&process(&disk), *b"another database", start);
    assert!(is_lock_file(&other.err().unwrap(), "another database"));
}

#[test]
fn an_init_that_fails_counts_for_nothing() {
    let disk = machine();
    let fail = |shared: &Shared, _: FirstState| {
        shared.publish_built(&descriptor(9))?;
        Err(Error::ReadOnly { path: None })
    };
    for _ in 0..2 {
        let failed = attach_as(&process(&disk), UUID, |shared, state| {
            assert_eq!((state, shared.visible()), (FirstState::Unknown, TxnId(0)));
            fail(shared, state)
        });
        assert!(matches!(failed, Err(Error::ReadOnly { .. })));
        assert_eq!(disk.locks_held(), []);
    }
    drop(open(&disk));
    assert!(attach_as(&process(&disk), UUID, |_, _| Err(Error::ReadOnly { path: None })).is_err());
    assert_eq!(open(&disk).arrival, Arrival::First(FirstState::Survives));
    // Words that turned out not to fit are forgotten for good.
    assert!(
        attach_as(&process(&disk), UUID, |shared, state| {
            assert_eq!(state, FirstState::Survives);
            shared.forget();
            assert_eq!((shared.visible(), shared.identity().ready.load(SeqCst)), (TxnId(0), 0));
            Err(Error::ReadOnly { path: None })
        })
        .is_err()
    );
    assert_eq!(open(&disk).arrival, Arrival::First(FirstState::Unknown));
}

#[test]
fn a_death_at_any_step_is_found_by_the_next() {
    for survives in [false, true] {
        for (i, &step) in FIRST_STEPS.iter().enumerate() {
            let disk = machine();
            if survives {
                drop(open(&disk));
            }
            let victim = process(&disk);
            kill_at(&disk, victim.id(), step);
            let ending = run(|| attach_as(&victim, UUID, start).map(|_| ()).unwrap());
            assert!(matches!(ending, Ending::Killed(_)), "{step}");
            disk.clear_hook();
            assert_eq!((disk.locks_held(), disk.data_locks_held()), (vec![], vec![]));
            let whole = survives || i >= 3;
            let expected = if whole { FirstState::Survives } else { FirstState::Unknown };
            let next = open(&disk);
            assert_eq!(next.arrival, Arrival::First(expected), "{step}");
            assert_eq!(next.begin_read().unwrap().descriptor, descriptor(1));
            assert_eq!(disk.counters().after_death, 0);
        }
    }
}

#[test]
fn nobody_comes_between_during_an_opening() {
    let disk = machine();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let opener = process(&disk);
    let id = opener.id();
    disk.set_hook(move |disk, event| {
        if let EventKind::Step(step) = event.kind
            && event.process == id
            && step.starts_with("attach")
        {
            let other = attach_as(&process(disk), UUID, |_, _| panic!("two are alone"));
            assert!(matches!(other, Err(Error::Busy { .. })), "{step}");
            // Even somebody who does not respect the open byte finds the gates shut.
            let stranger: PlatformRef = process(disk);
            for on_data_file in [false, true] {
                let gate =
                    LockGuard::try_gate(&stranger, on_data_file, LockMode::Exclusive).unwrap();
                assert!(gate.is_none(), "{step}");
                let gate = LockGuard::try_gate(&stranger, on_data_file, LockMode::Shared).unwrap();
                let let_in = log.lock().len() >= 4 + usize::from(on_data_file);
                assert_eq!(gate.is_some(), let_in, "{step}");
            }
            log.lock().push(step);
        }
        Action::Continue
    });
    let one = attach_as(&opener, UUID, start).unwrap();
    assert_eq!(*seen.lock(), FIRST_STEPS);
    disk.clear_hook();
    assert_eq!(open(&disk).arrival, Arrival::Joined);
    drop(one);
    assert_eq!((disk.locks_held(), disk.data_locks_held()), (vec![], vec![]));
}

#[test]
fn two_lock_files_for_one_data_file_are_refused() {
    let disk = machine();
    let one = open(&disk);
    disk.delete_lock_file().unwrap();
    let other = attach_as(&process(&disk), UUID, |_, _| panic!("two reader tables"));
    assert!(is_lock_file(&other.err().unwrap(), "another lock file"));
    drop(one);
    assert_eq!(open(&disk).arrival, Arrival::First(FirstState::Unknown));
}

#[test]
fn handles_conflict_over_the_locks_and_the_dead_give_them_back() {
    let disk = machine();
    let (one, two) = (open(&disk), open(&disk));
    assert!(one.try_lock_writer().unwrap() && one.try_lock_flush().unwrap());
    assert!(!two.try_lock_writer().unwrap() && !two.try_lock_flush().unwrap());
    assert!(!two.lock_writer(Some(Duration::ZERO)).unwrap());
    assert!(two.flush_held_elsewhere().unwrap() && !one.flush_held_elsewhere().unwrap());
    one.unlock_writer();
    assert!(two.try_lock_writer().unwrap());
    one.kill(&disk);
    assert!(!two.flush_held_elsewhere().unwrap());
    assert!(two.lock_flush(None).unwrap());
}

#[test]
fn a_successor_sweeps_the_slots_of_its_index_only() {
    let disk = machine();
    let (a, b, c) = (open(&disk), open(&disk), open(&disk));
    let _readings = [a.begin_read().unwrap(), c.begin_read().unwrap()];
    let _lost = [b.begin_read().unwrap(), b.begin_read().unwrap()];
    assert_eq!(slots_of(&a, 2), [1, 1]);
    b.kill(&disk);
    let d = open(&disk);
    assert_eq!((d.arrival, d.id()), (Arrival::Joined, 1));
    assert_eq!((slots_of(&a, 1), slots_of(&a, 2), slots_of(&a, 3)), (vec![1], vec![], vec![1]));
    drop(b); // a dead process's handle
    assert!(holds(&disk, 1));
}

#[test]
fn there_are_only_so_many_handles() {
    let disk = machine();
    let one = open(&disk);
    let crowd = process(&disk);
    for index in 1..HANDLES {
        assert!(crowd.locks().try_lock(byte::handle(index), LockMode::Exclusive).unwrap());
    }
    let Err(error) = attach_as(&process(&disk), UUID, start) else { panic!("one too many") };
    assert!(
        matches!(error, Error::HandlesFull { .. }) && error.to_string().contains("1,024"),
        "{error}"
    );
    assert_eq!(HANDLES, 1_024);
    crowd.locks().unlock(byte::handle(700));
    assert_eq!(open(&disk).id(), 700);
    drop(one);
}

/// An opener does not ask about every handle that is open.
#[test]
fn a_free_index_is_found_without_asking_for_all() {
    let options =
        SimOptions { on_deadlock: Deadlock::GiveUp, lock_events: true, ..SimOptions::new(1, SIZE) };
    let disk = SimDisk::new(options).unwrap();
    let mut all: Vec<Opened> = (0..300).map(|_| open(&disk)).collect();
    let tries = |disk: &SimDisk| {
        let tries = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let count = tries.clone();
        disk.set_hook(move |_, event| {
            if let EventKind::Lock { byte, .. } = event.kind
                && (byte::handle(0)..=byte::handle(HANDLES - 1)).contains(&byte)
            {
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            Action::Continue
        });
        let opened = open(disk);
        disk.clear_hook();
        (opened, tries.load(std::sync::atomic::Ordering::Relaxed))
    };
    let (last, asked) = tries(&disk);
    assert_eq!(last.id(), 300);
    assert!(asked <= 9, "{asked} bytes");
    drop(all.remove(200));
    let (again, asked) = tries(&disk);
    assert_eq!(again.id(), 200);
    assert!(asked <= 9, "{asked} bytes");
    // The dead are found when there is nobody else left to succeed.
    all[100].kill(&disk);
    all.extend((301..HANDLES).map(|_| open(&disk)));
    let heir = open(&disk);
    assert_eq!(heir.id(), 100);
    assert!(matches!(attach_as(&process(&disk), UUID, start), Err(Error::HandlesFull { .. })));
}
