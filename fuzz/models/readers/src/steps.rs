//! One step of one thread.

use crate::machine::Op::*;
use crate::machine::*;

/// What a step is called, and where it leads or what is wrong with it.
pub type Next = (String, Result<State, String>);

impl Model {
    /// Runs what concerns nobody else, up to the next step that does. An error is an assertion that
    /// does not hold.
    pub fn run_local(&self, s: &mut State, t: usize) -> Result<(), String> {
        let p = &self.progs[t];
        let mut n = 0;
        loop {
            n += 1;
            if n > 2000 {
                return Err("local loop".into());
            }
            let th = &mut s.threads[t];
            match &p.ops[th.pc as usize] {
                Label(_) => th.pc += 1,
                Compute(f) => match f(&mut th.r) {
                    Some(l) => th.pc = *p.labels.get(&l).unwrap_or_else(|| panic!("label {}", l)),
                    None => th.pc += 1,
                },
                Assert(f, m) => {
                    if !f(&th.r) {
                        return Err(format!("ASSERT {}: {}", p.name, m));
                    }
                    th.pc += 1
                }
                End => {
                    th.done = true;
                    th.r = [0; REGISTERS];
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
    }
    /// All steps that may come next.
    pub fn successors(&self, s: &State) -> Vec<Next> {
        let mut out = vec![];
        for t in 0..self.thread_count() {
            let th = &s.threads[t];
            if self.memory == Memory::Buffers && !th.buf.is_empty() {
                let mut n = s.clone();
                let (l, v) = n.threads[t].buf.remove(0);
                n.mem[l as usize][0].val = v;
                out.push((
                    format!("{} flush {}={}", self.progs[t].name, self.names[l as usize], v),
                    Ok(n),
                ));
            }
            if th.dead || th.done {
                continue;
            }
            if th.asleep != 0 {
                continue;
            }
            if self.progs[t].killable && s.kills > 0 {
                let mut n = s.clone();
                n.kills -= 1;
                self.kill(&mut n, t);
                out.push((format!("{} KILLED", self.progs[t].name), Ok(n)));
            }
            self.step(s, t, &mut out);
        }
        out
    }
    /// The thread dies: its stores reach memory, its locks are gone.
    fn kill(&self, n: &mut State, t: usize) {
        let b = std::mem::take(&mut n.threads[t].buf);
        for (l, v) in b {
            n.mem[l as usize][0].val = v
        }
        n.threads[t].dead = true;
        n.threads[t].r = [0; REGISTERS];
        let c = n.threads[t].cur;
        for k in n.held.iter_mut() {
            let me = t as u8 + 1;
            if k.ex == me {
                k.ex = 0;
                join(&mut k.view, &c)
            }
            if k.sh >> t & 1 == 1 {
                k.sh &= !(1 << t);
                join(&mut k.view, &c)
            }
        }
    }
    /// The thread goes on behind its step, through what concerns nobody else.
    fn finish(&self, mut n: State, t: usize, lab: String, out: &mut Vec<Next>) {
        n.threads[t].pc += 1;
        match self.run_local(&mut n, t) {
            Ok(()) => out.push((lab, Ok(n))),
            Err(e) => out.push((lab, Err(e))),
        }
    }
    /// Every way in which the next step of a thread may go.
    fn step(&self, s: &State, t: usize, out: &mut Vec<Next>) {
        let p = &self.progs[t];
        let th = &s.threads[t];
        let r = &th.r;
        let tso = self.memory == Memory::Buffers;
        let nm = p.name;
        let ck = self.locations + t;
        let empty = th.buf.is_empty();
        match &p.ops[th.pc as usize] {
            Load(o, f, d) => {
                let l = f(r) as usize;
                if tso {
                    let v = th
                        .buf
                        .iter()
                        .rev()
                        .find(|x| x.0 as usize == l)
                        .map(|x| x.1)
                        .unwrap_or(s.mem[l][0].val);
                    let mut n = s.clone();
                    n.threads[t].r[*d] = v;
                    self.finish(n, t, format!("{} load {}->{}", nm, self.names[l], v), out);
                    return;
                }
                let lo = if *o == Order::SeqCst { s.mem[l].len() - 1 } else { th.cur[l] as usize };
                for ts in lo..s.mem[l].len() {
                    let m = &s.mem[l][ts];
                    let mut n = s.clone();
                    let x = &mut n.threads[t];
                    x.r[*d] = m.val;
                    x.cur[l] = ts as u8;
                    x.acq[l] = x.acq[l].max(ts as u8);
                    if matches!(o, Order::Acquire | Order::SeqCst) {
                        join(&mut x.cur, &m.view)
                    }
                    join(&mut x.acq, &m.view);
                    self.finish(
                        n,
                        t,
                        format!(
                            "{} load[{:?}] {}->{}{}",
                            nm,
                            o,
                            self.names[l],
                            m.val,
                            if ts + 1 < s.mem[l].len() { " (stale)" } else { "" }
                        ),
                        out,
                    );
                }
            }
            Store(o, f, g) => {
                let l = f(r) as usize;
                let v = g(r);
                if tso {
                    let mut n = s.clone();
                    n.threads[t].buf.push((l as u8, v));
                    self.finish(n, t, format!("{} store {}={}", nm, self.names[l], v), out);
                    return;
                }
                let lo = th.cur[l] as usize + 1;
                for pos in lo..=s.mem[l].len() {
                    if pos < s.mem[l].len() && s.mem[l][pos].glued {
                        continue;
                    }
                    let mut n = s.clone();
                    if pos < n.mem[l].len() {
                        let sh = |v: &mut View| {
                            if v[l] as usize >= pos {
                                v[l] += 1
                            }
                        };
                        for x in n.threads.iter_mut() {
                            sh(&mut x.cur);
                            sh(&mut x.acq);
                            sh(&mut x.rel)
                        }
                        sh(&mut n.sc);
                        for k in n.held.iter_mut() {
                            sh(&mut k.view)
                        }
                        for q in n.mem.iter_mut() {
                            for m in q.iter_mut() {
                                sh(&mut m.view)
                            }
                        }
                    }
                    let x = &mut n.threads[t];
                    x.cur[l] = pos as u8;
                    x.acq[l] = x.acq[l].max(pos as u8);
                    let mut view =
                        if matches!(o, Order::Release | Order::SeqCst) { x.cur } else { x.rel };
                    view[l] = view[l].max(pos as u8);
                    n.mem[l].insert(pos, Message { val: v, view, glued: false });
                    self.finish(
                        n,
                        t,
                        format!(
                            "{} store[{:?}] {}={}{}",
                            nm,
                            o,
                            self.names[l],
                            v,
                            if pos < s.mem[l].len() { " (mo-before a later store)" } else { "" }
                        ),
                        out,
                    );
                }
            }
            Cas(f, e, g, d) => {
                let l = f(r) as usize;
                if tso && !empty {
                    return;
                }
                let mut n = s.clone();
                let last = n.mem[l].len() - 1;
                let m = n.mem[l][last].clone();
                let ok = m.val == e(r);
                {
                    let x = &mut n.threads[t];
                    x.cur[l] = x.cur[l].max(last as u8);
                    join(&mut x.cur, &m.view);
                    let c = x.cur;
                    join(&mut x.acq, &c);
                    x.r[*d] = ok as u8;
                }
                if ok {
                    let v = g(r);
                    if tso {
                        n.mem[l][0].val = v
                    } else {
                        let x = &mut n.threads[t];
                        x.cur[l] = last as u8 + 1;
                        x.acq[l] = x.cur[l];
                        let mut view = x.cur;
                        join(&mut view, &m.view);
                        n.mem[l].push(Message { val: v, view, glued: true });
                    }
                }
                self.finish(
                    n,
                    t,
                    format!("{} cas {} {}->{} {}", nm, self.names[l], m.val, g(r), ok),
                    out,
                )
            }
            Fence(o) => {
                if tso && *o == Order::SeqCst && !empty {
                    return;
                }
                let mut n = s.clone();
                {
                    let x = &mut n.threads[t];
                    match o {
                        Order::None => {}
                        Order::Acquire => {
                            let a = x.acq;
                            join(&mut x.cur, &a)
                        }
                        Order::Release => x.rel = x.cur,
                        Order::AcqRel => {
                            let a = x.acq;
                            join(&mut x.cur, &a);
                            x.rel = x.cur
                        }
                        Order::SeqCst => {
                            let a = x.acq;
                            join(&mut x.cur, &a);
                            join(&mut n.sc, &x.cur);
                            x.cur = n.sc;
                            x.acq = n.sc;
                            x.rel = n.sc
                        }
                        Order::Relaxed => {}
                    }
                }
                self.finish(n, t, format!("{} fence {:?}", nm, o), out)
            }
            PlainLoad(f, d) => {
                let l = f(r) as usize;
                if tso {
                    let v = th
                        .buf
                        .iter()
                        .rev()
                        .find(|x| x.0 as usize == l)
                        .map(|x| x.1)
                        .unwrap_or(s.mem[l][0].val);
                    let mut n = s.clone();
                    n.threads[t].r[*d] = v;
                    self.finish(n, t, format!("{} read {}->{}", nm, self.names[l], v), out);
                    return;
                }
                let (wt, wc) = s.wr[l];
                if wt != 0 && wt as usize - 1 != t && th.cur[self.locations + wt as usize - 1] < wc
                {
                    out.push((
                        format!("{} read {}", nm, self.names[l]),
                        Err(format!(
                            "RACE: {} reads {} while {} may be writing it (no happens-before)",
                            nm,
                            self.names[l],
                            self.progs[wt as usize - 1].name
                        )),
                    ));
                    return;
                }
                let ts = s.mem[l].len() - 1;
                let mut n = s.clone();
                let x = &mut n.threads[t];
                x.cur[ck] += 1;
                x.r[*d] = s.mem[l][ts].val;
                n.rd[l][t] = x.cur[ck];
                self.finish(
                    n,
                    t,
                    format!("{} read {}->{}", nm, self.names[l], s.mem[l][ts].val),
                    out,
                )
            }
            PlainStore(f, g) => {
                let l = f(r) as usize;
                let v = g(r);
                if tso {
                    let mut n = s.clone();
                    n.threads[t].buf.push((l as u8, v));
                    self.finish(n, t, format!("{} WRITE {}={}", nm, self.names[l], v), out);
                    return;
                }
                for q in 0..self.thread_count() {
                    if q != t && th.cur[self.locations + q] < s.rd[l][q] {
                        out.push((
                            format!("{} WRITE {}={}", nm, self.names[l], v),
                            Err(format!(
                                "RACE: {} overwrites {} not ordered after the read by {}",
                                nm, self.names[l], self.progs[q].name
                            )),
                        ));
                        return;
                    }
                }
                let mut n = s.clone();
                let x = &mut n.threads[t];
                x.cur[ck] += 1;
                n.wr[l] = (t as u8 + 1, x.cur[ck]);
                n.mem[l][0].val = v;
                self.finish(n, t, format!("{} WRITE {}={}", nm, self.names[l], v), out)
            }
            TryExclusive(f, d) => {
                if tso && !empty {
                    return;
                }
                let k = f(r) as usize;
                let mut n = s.clone();
                let me = t as u8 + 1;
                let q = &mut n.held[k];
                let ok = (q.ex == 0 || q.ex == me) && (q.sh & !(1 << t)) == 0;
                if ok {
                    q.ex = me;
                    q.sh = 0;
                    let v = q.view;
                    join(&mut n.threads[t].cur, &v);
                    let c = n.threads[t].cur;
                    join(&mut n.threads[t].acq, &c)
                }
                n.threads[t].r[*d] = ok as u8;
                self.finish(n, t, format!("{} trylock {} {}", nm, k, ok), out)
            }
            TryShared(f, d) => {
                if tso && !empty {
                    return;
                }
                let k = f(r) as usize;
                let mut n = s.clone();
                let me = t as u8 + 1;
                let q = &mut n.held[k];
                let ok = q.ex == 0 || q.ex == me;
                if ok {
                    if q.ex == me {
                        q.ex = 0;
                        let c = n.threads[t].cur;
                        join(&mut q.view, &c)
                    }
                    q.sh |= 1 << t;
                    let v = q.view;
                    join(&mut n.threads[t].cur, &v)
                }
                n.threads[t].r[*d] = ok as u8;
                self.finish(n, t, format!("{} tryshared {} {}", nm, k, ok), out)
            }
            LockExclusive(f) => {
                if tso && !empty {
                    return;
                }
                let k = f(r) as usize;
                let q = &s.held[k];
                let me = t as u8 + 1;
                if !((q.ex == 0 || q.ex == me) && (q.sh & !(1 << t)) == 0) {
                    return;
                }
                let mut n = s.clone();
                n.held[k].ex = me;
                n.held[k].sh = 0;
                let v = n.held[k].view;
                join(&mut n.threads[t].cur, &v);
                self.finish(n, t, format!("{} lock {}", nm, k), out)
            }
            LockShared(f) => {
                if tso && !empty {
                    return;
                }
                let k = f(r) as usize;
                let q = &s.held[k];
                let me = t as u8 + 1;
                if !(q.ex == 0 || q.ex == me) {
                    return;
                }
                let mut n = s.clone();
                if n.held[k].ex == me {
                    let c = n.threads[t].cur;
                    join(&mut n.held[k].view, &c);
                    n.held[k].ex = 0
                }
                n.held[k].sh |= 1 << t;
                let v = n.held[k].view;
                join(&mut n.threads[t].cur, &v);
                self.finish(n, t, format!("{} lockshared {}", nm, k), out)
            }
            Unlock(f) => {
                if tso && !empty {
                    return;
                }
                let k = f(r) as usize;
                let mut n = s.clone();
                let c = n.threads[t].cur;
                let me = t as u8 + 1;
                if n.held[k].ex == me {
                    n.held[k].ex = 0
                }
                n.held[k].sh &= !(1 << t);
                join(&mut n.held[k].view, &c);
                self.finish(n, t, format!("{} unlock {}", nm, k), out)
            }
            AskLock(f, d) => {
                if tso && !empty {
                    return;
                }
                let k = f(r) as usize;
                let mut n = s.clone();
                let me = t as u8 + 1;
                let q = &s.held[k];
                let busy = (q.ex != 0 && q.ex != me) || (q.sh & !(1 << t)) != 0;
                if !busy {
                    let v = q.view;
                    join(&mut n.threads[t].cur, &v)
                }
                n.threads[t].r[*d] = busy as u8;
                self.finish(n, t, format!("{} getlk {} busy={}", nm, k, busy), out)
            }
            WaitEq(f, g) => {
                if tso && !empty {
                    return;
                }
                let l = f(r) as usize;
                let v = g(r);
                let cur = s.mem[l].last().unwrap().val;
                let mut n = s.clone();
                if cur == v {
                    n.threads[t].asleep = l as u8 + 1;
                    let lab = format!("{} futex_wait {}=={} sleeps", nm, self.names[l], v);
                    out.push((lab, Ok(n)))
                } else {
                    self.finish(n, t, format!("{} futex_wait EAGAIN", nm), out)
                }
            }
            Wake(f) => {
                if tso && !empty {
                    return;
                }
                let l = f(r);
                let mut n = s.clone();
                for q in 0..self.thread_count() {
                    if n.threads[q].asleep == l + 1 {
                        n.threads[q].asleep = 0;
                        n.threads[q].pc += 1;
                        if let Err(e) = self.run_local(&mut n, q) {
                            out.push(("wake".into(), Err(e)));
                            return;
                        }
                    }
                }
                self.finish(n, t, format!("{} futex_wake", nm), out)
            }
            _ => unreachable!(),
        }
    }
}
