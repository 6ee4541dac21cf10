//! A cycle: somebody is killed, somebody looks, and the dead are started again.

use super::acks;
use super::child::{Child, Role};
use super::counts::ENOUGH;
use super::harm::{self, LOCK_FATES};
use super::life::{Life, hear_beats};
use super::point::{Fate, Order, POINTS, Setting};
use super::process::{Done, Process, Trouble};
use std::time::Duration;

/// How long a process gets to come to its point. A machine that is busy makes it miss, nothing
/// worse.
const ON_ITS_WAY: Duration = Duration::from_millis(400);
/// The same where dozens of transactions lie on the way.
const LONG_WAY: Duration = Duration::from_secs(5);

/// What the next look has to expect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// Everything that was acknowledged.
    Everything,
    /// What was durable.
    Durable,
}

impl Life<'_> {
    /// One cycle.
    pub fn cycle(&mut self) -> Done<()> {
        self.counts.cycles += 1;
        let after = match self.rng.u8(..100) {
            0..=37 => self.any_moment()?,
            38..=84 => {
                let (point, setting) = self.choose_point();
                self.at_point(point, setting)?
            }
            85..=93 => self.stop_somebody()?,
            _ => self.all_at_once()?,
        };
        self.all_run()?;
        self.look_around(after)?;
        self.start_all()?;
        if self.rng.u8(..8) == 0 {
            self.all_move()?;
        }
        Ok(())
    }

    /// One of the points that have died least, as long as some have not died enough.
    fn choose_point(&mut self) -> (&'static str, Setting) {
        let least = *self.counts.at_point.iter().min().unwrap_or(&0);
        let bound = if least < ENOUGH { least + 2 } else { u64::MAX };
        let some: Vec<usize> =
            (0..POINTS.len()).filter(|&i| self.counts.at_point[i] <= bound).collect();
        POINTS[some[self.rng.usize(..some.len())]]
    }

    /// One or more die at a moment of chance.
    fn any_moment(&mut self) -> Done<After> {
        std::thread::sleep(Duration::from_micros(self.rng.u64(..20_000)));
        self.all_run()?;
        let n = self.workers.len();
        for _ in 0..[1, 1, 1, 2][self.rng.usize(..4)] {
            let victim = self.rng.usize(..n);
            self.kill(victim)?;
        }
        if self.rng.u8(..10) == 0
            && let Some(mut agent) = self.agent.take()
        {
            agent.kill()?;
            self.counts.kills += 1;
        }
        Ok(After::Everything)
    }

    fn at_point(&mut self, point: &'static str, setting: Setting) -> Done<After> {
        match setting {
            Setting::Working => self.while_working(point),
            Setting::Joining => self.while_joining(point),
            Setting::DeadReader => self.beside_dead_reader(point),
            Setting::FreeEnd => self.with_free_end(point),
            Setting::First
            | Setting::FirstLost
            | Setting::WriteLost
            | Setting::Repair
            | Setting::RollBack => self.while_alone(point, setting),
        }
    }

    fn order(&mut self, point: &str, most: u32, fate: Fate) -> Order {
        Order { point: point.into(), left: self.rng.u32(1..=most), fate }
    }

    /// Counts a process that was to die at a point.
    fn died(&mut self, point: &str, process: &mut Process, time: Duration) -> Done<bool> {
        let died = process.dies(time)?;
        if died {
            self.counts.died_at(point);
        } else {
            self.counts.missed += 1;
            process.kill()?;
            self.counts.kills += 1;
        }
        Ok(died)
    }

    /// A writer among others.
    fn while_working(&mut self, point: &'static str) -> Done<After> {
        let victim = self.any_writer();
        let order = self.order(point, 6, Fate::Killed);
        if let Some(mut process) = self.workers[victim].process.take() {
            process.tell(&order.to_string())?;
            self.died(point, &mut process, ON_ITS_WAY)?;
        }
        Ok(After::Everything)
    }

    /// Somebody who comes while others are there.
    fn while_joining(&mut self, point: &'static str) -> Done<After> {
        let victim = self.any_writer();
        if self.agent.is_none() && self.workers.len() == 1 {
            // Nobody else is there to be joined.
            self.agent = Some(self.start_agent(true)?);
        }
        self.kill(victim)?;
        let order = Some(self.order(point, 1, Fate::Killed));
        let mut process = self.start(&Child { order, ..self.workers[victim].child.clone() })?;
        self.died(point, &mut process, ON_ITS_WAY)?;
        if !self.witness
            && let Some(agent) = self.agent.take()
        {
            agent.finish()?;
        }
        Ok(After::Everything)
    }

    /// A reader dies while it reads; whoever clears its slot dies too.
    fn beside_dead_reader(&mut self, point: &'static str) -> Done<After> {
        self.kill_all(true)?;
        if let Some(agent) = &mut self.agent {
            agent.expect("release", "ok")?;
        }
        let mut reader = self.start_agent(false)?;
        reader.expect("hold", "ok")?;
        // It comes before the reader dies: afterwards it could get the reader's place, and clear it
        // on coming.
        let mut writer = self.start_alone(point, 1, false)?;
        writer.expect_line("open")?;
        reader.kill()?;
        self.counts.kills += 1;
        self.died(point, &mut writer, LONG_WAY)?;
        Ok(After::Everything)
    }

    /// Large tables come and go, and the file is cut.
    fn with_free_end(&mut self, point: &'static str) -> Done<After> {
        self.kill_all(true)?;
        if let Some(agent) = &mut self.agent {
            agent.expect("release", "ok")?;
        }
        let mut writer = self.start_alone(point, 1, true)?;
        self.died(point, &mut writer, LONG_WAY)?;
        Ok(After::Everything)
    }

    /// A writer with a lane or two that is to die at a point, some transactions away.
    fn start_alone(&mut self, point: &str, most: u32, bulky: bool) -> Done<Process> {
        let mut own: Vec<u64> = (0..self.common.lanes - 1).collect();
        self.rng.shuffle(&mut own);
        // One keeps the page cache quiet, two commit while the other's commit is being flushed.
        own.truncate(self.rng.usize(1..=2));
        let order = Some(self.order(point, most, Fate::Killed));
        let growth = (64 << 10).max(2 * self.common.page_size as u64);
        let common = self.common.clone();
        self.start(&Child { role: Role::Writer, own, bulky, order, growth, ..common })
    }

    /// Somebody who is alone with what the dead have left; sometimes a second one after him.
    fn while_alone(&mut self, point: &'static str, setting: Setting) -> Done<After> {
        self.kill_all(false)?;
        let after = self.prepare(setting)?;
        self.open_once(point)?;
        if self.rng.u8(..3) == 0 {
            let same: Vec<&str> =
                POINTS.iter().filter(|(_, s)| *s == setting).map(|(name, _)| *name).collect();
            let second = same[self.rng.usize(..same.len())];
            self.open_once(second)?;
        }
        Ok(after)
    }

    fn open_once(&mut self, point: &str) -> Done<()> {
        // The gate is passed twice: on the lock file and on the data.
        let most = if point == "attach: gate shared" { 2 } else { 1 };
        let order = Some(self.order(point, most, Fate::Killed));
        let mut process =
            self.start(&Child { role: Role::Opener, order, ..self.common.clone() })?;
        if process.ends()? {
            self.counts.died_at(point);
        } else {
            self.counts.missed += 1;
        }
        Ok(())
    }

    /// Brings about what has to have happened. Everybody is dead.
    fn prepare(&mut self, setting: Setting) -> Done<After> {
        match setting {
            Setting::FirstLost | Setting::WriteLost => self.lose_lock(),
            Setting::Repair | Setting::RollBack => {
                // A meta that is stored may be the second phase of a flush: it says that its pages
                // are on the device. To damage them then is more than recto promises to survive,
                // and whoever opens without the lock file's words believes it.
                let points = ["flush: target marked", "flush: meta stored"];
                let usable = if setting == Setting::RollBack { 1 } else { points.len() };
                let point = points[self.rng.usize(..usable)];
                let mut writer = self.start_alone(point, 4, false)?;
                let died = self.died(point, &mut writer, LONG_WAY)?;
                if died
                    && setting == Setting::RollBack
                    && harm::damage_newest(&self.path(), self.common.page_size)?
                {
                    self.counts.pages_damaged += 1;
                    return Ok(After::Durable);
                }
                Ok(After::Everything)
            }
            _ => Ok(After::Everything),
        }
    }

    fn lose_lock(&mut self) -> Done<After> {
        let fate = LOCK_FATES[self.rng.usize(..LOCK_FATES.len())];
        harm::lose_lock(&self.lock_path(), fate, &mut self.rng)?;
        self.counts.locks_lost += 1;
        Ok(After::Durable)
    }

    /// Everybody dies, and the files may be hurt before anybody comes.
    fn all_at_once(&mut self) -> Done<After> {
        std::thread::sleep(Duration::from_micros(self.rng.u64(..10_000)));
        self.kill_all(false)?;
        harm::check_closed(&self.path())?;
        self.counts.checks += 1;
        match self.rng.bool() {
            true => self.lose_lock(),
            false => {
                if self.rng.bool() {
                    // All at once they come again.
                    let witness = std::mem::take(&mut self.witness);
                    self.start_all()?;
                    self.witness = witness;
                }
                Ok(After::Everything)
            }
        }
    }

    /// A writer stands stopped, at a point or anywhere; others read, and are refused or not, in
    /// their time. Then it dies or goes on.
    fn stop_somebody(&mut self) -> Done<After> {
        if self.agent.is_none() {
            // Somebody has to be there who does not write by himself.
            self.agent = Some(self.start_agent(true)?);
        }
        let victim = self.any_writer();
        let working: Vec<&str> =
            POINTS.iter().filter(|(_, s)| *s == Setting::Working).map(|(name, _)| *name).collect();
        let point = working[self.rng.usize(..working.len())];
        let order = self.order(point, 6, Fate::Stopped);
        let Some(mut process) = self.workers[victim].process.take() else {
            return Ok(After::Everything);
        };
        // In the middle of its opening it would rightly keep all others from theirs (`special`
        // plays that).
        process.tell("beat")?;
        hear_beats(&self.workers[victim].child, &mut process)?;
        // One that still has its order would stop again.
        let mut may_go_on = true;
        if self.rng.u8(..3) == 0 {
            std::thread::sleep(Duration::from_micros(self.rng.u64(..10_000)));
            process.stop()?;
        } else {
            process.tell(&order.to_string())?;
            if !process.stops(ON_ITS_WAY)? {
                may_go_on = false;
                process.stop()?;
            }
        }
        self.counts.stops += 1;
        self.ask_around(true)?;
        if may_go_on && self.rng.u8(..3) == 0 {
            process.go_on();
            self.workers[victim].process = Some(process);
            self.all_move()?;
        } else {
            process.kill()?;
            self.counts.kills += 1;
        }
        if !self.witness
            && let Some(agent) = self.agent.take()
        {
            agent.finish()?;
        }
        Ok(After::Everything)
    }

    /// What can be asked while somebody stands in the way.
    fn ask_around(&mut self, newcomer: bool) -> Done<()> {
        let Some(mut agent) = self.agent.take() else { return Ok(()) };
        agent.expect("look", "ok")?;
        self.counts.looks += 1;
        let answer = agent.ask("try")?;
        if answer != "free" && answer != "busy" {
            return Err(Trouble::Lost(format!("asked to try: {answer}")));
        }
        if newcomer {
            let mut other = self.start_agent(false)?;
            other.expect("look", "ok")?;
            self.counts.looks += 1;
            other.kill()?;
            self.counts.kills += 1;
        }
        self.agent = Some(agent);
        Ok(())
    }

    /// Looks at everything after somebody was killed.
    fn look_around(&mut self, after: After) -> Done<()> {
        let (check, settle) = (self.rng.u8(..6) == 0, self.rng.u8(..10) == 0);
        let (hold, release) = (self.rng.u8(..6) == 0, self.rng.u8(..6) == 0);
        self.with_agent(|life, agent| {
            if after == After::Durable {
                let gone = agent.expect("found", "ok")?;
                life.counts.deferred_gone += gone.parse::<u64>().unwrap_or(0);
            }
            agent.expect("look", "ok")?;
            agent.ask("same")?;
            agent.expect("write 1", "ok")?;
            life.counts.looks += 2;
            if release {
                agent.expect("release", "ok")?;
            }
            if hold {
                agent.expect("hold", "ok")?;
            }
            if settle {
                agent.expect("settle", "ok")?;
                life.counts.settled += 1;
            }
            if check {
                life.check(agent)?;
            }
            Ok(())
        })
    }

    fn check(&mut self, agent: &mut Process) -> Done<()> {
        let answer = agent.ask("check")?;
        if let Some(sizes) = answer.strip_prefix("ok ") {
            self.counts.checks += 1;
            self.note_size(sizes)?;
        }
        Ok(())
    }

    /// The end: all die once more, and what they leave is looked at by one who is alone with it.
    pub fn end(&mut self) -> Done<()> {
        self.all_move()?;
        self.kill_all(false)?;
        harm::check_closed(&self.path())?;
        let mut agent = self.start_agent(true)?;
        agent.expect("look", "ok")?;
        agent.expect("settle", "ok")?;
        self.counts.settled += 1;
        self.check(&mut agent)?;
        agent.finish()?;
        harm::check_closed(&self.path())?;
        let lanes = acks::tails(self.dir(), self.common.lanes)?;
        self.counts.transactions += lanes.iter().map(|lane| lane.begun).sum::<u64>();
        Ok(())
    }
}
