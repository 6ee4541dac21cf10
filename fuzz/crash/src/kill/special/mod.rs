//! What does not fit into a cycle: each case has a database of its own, and is played once or as
//! often as asked.

mod alone;
mod opening;
mod processes;
mod stopped;
mod users;

use super::campaign::keep_if_lost;
use super::counts::Counts;
use super::life::{Ground, Life};
use super::process::{Done, Trouble};
use fastrand::Rng;

type Case = fn(&mut Life<'_>) -> Done<()>;

/// What a case needs beside an ordinary user.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Users,
    Namespaces,
}

/// Name, what it needs, and how it is played.
const CASES: [(&str, Needs, Case); 15] = [
    ("reader stopped", Needs::Nothing, stopped::reader_goes_on),
    ("reader killed while stopped", Needs::Nothing, stopped::reader_is_killed),
    ("file cut beside a reader", Needs::Nothing, stopped::file_is_cut),
    ("writer stopped", Needs::Nothing, stopped::writer_goes_on),
    ("writer killed while stopped", Needs::Nothing, stopped::writer_is_killed),
    ("opener stopped", Needs::Nothing, stopped::opener_goes_on),
    ("opener killed while stopped", Needs::Nothing, stopped::opener_is_killed),
    ("killed while creating", Needs::Nothing, opening::killed_while_creating),
    ("lock file lost in every way", Needs::Nothing, opening::every_lock_fate),
    ("one alone", Needs::Nothing, alone::in_turns),
    ("parent of a fork is killed", Needs::Nothing, processes::forked),
    ("pid namespaces", Needs::Namespaces, processes::namespaces),
    ("user who may only read", Needs::Users, users::may_only_read),
    ("user without permission", Needs::Users, users::may_do_nothing),
    ("others come before the owner", Needs::Users, users::others_come_first),
];

/// All cases, or one, `times` each.
pub fn play_all(
    ground: &Ground,
    counts: &mut Counts,
    rng: &mut Rng,
    times: u64,
    only: Option<&str>,
) -> Done<()> {
    let wanted = |(name, ..): &&(&str, Needs, Case)| only.is_none_or(|only| only == *name);
    for (name, needs, case) in CASES.iter().filter(wanted).filter(|_| times > 0) {
        let missing = match needs {
            Needs::Nothing => None,
            Needs::Users => ground.no_users.as_ref(),
            Needs::Namespaces => ground.no_namespaces.as_ref(),
        };
        if let Some(why) = missing {
            counts.special.insert(name, None);
            counts.left_out.push(format!("{name}: {why}"));
            continue;
        }
        for _ in 0..times {
            let mut life = Life::new(ground, counts, rng.fork())?;
            // Only who is asked for.
            life.workers.clear();
            life.witness = false;
            if let Err(trouble) = case(&mut life) {
                let trouble = keep_if_lost(life, trouble);
                return Err(match trouble {
                    Trouble::Lost(why) => Trouble::Lost(format!("{name}: {why}")),
                    other => other,
                });
            }
            *counts.special.entry(name).or_default().get_or_insert(0) += 1;
        }
    }
    Ok(())
}
