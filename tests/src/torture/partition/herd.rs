//! The herd: five hundred gateways whose central system comes back, each with a queue. The plans are those that gateways run; the central
//! system is a model with a rate, a queue of its own, and "busy" beyond that. Time is simulated.

use crate::report::{Report, rounded};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use uketsuke_core::clock::{Mono, Now, Stamp};
use uketsuke_core::ids::OrderKey;
use uketsuke_core::outbox::{Effect, Event, Head, Kind, Plan, Rules, Tried};

const GATEWAYS: usize = 500;
/// What waits at each when the central system returns.
const QUEUED: i64 = 60;
/// What the central system can do in a second.
const RATE: u64 = 2_000;
/// Requests that it takes in before it says "busy".
const ROOM: usize = 400;
const LINE_MS: u64 = 10;
/// It is away for so long.
const AWAY_MS: u64 = 60_000;
/// More than this and the herd keeps it down.
const MOST_TIMES_IDEAL: f64 = 3.0;

/// What happens at a moment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// A deadline of a plan.
    Tick,
    /// A probe reaches the central system.
    Probe,
    /// A request does.
    Arrives(i64),
    /// An answer reaches its gateway: delivered, or busy.
    Answer(i64, bool),
    /// What a probe found.
    Probed(bool),
    /// Its verdict is on disk.
    Settled(i64),
    /// The central system is done with the first of its queue.
    Served,
}

struct Gateway {
    plan: Plan,
    /// Row by row: still to go.
    waiting: VecDeque<i64>,
    armed: Option<Mono>,
}

struct Herd {
    ms: u64,
    rng: StdRng,
    gateways: Vec<Gateway>,
    agenda: BinaryHeap<Reverse<(u64, u64, usize, What)>>,
    count: u64,
    queue: VecDeque<(usize, i64)>,
    /// Requests that it began to serve.
    begun: u64,
    served: u64,
    busy: u64,
    /// Requests and probes in the first second after its return.
    first_second: u64,
    probes_away: u64,
    done_ms: u64,
}

pub(super) fn run(seed: u64, report: &mut Report) {
    let mut herd = Herd::new(seed);
    herd.go();
    let all = (GATEWAYS as i64 * QUEUED) as u64;
    let ideal_s = all as f64 / RATE as f64;
    let took_s = herd.done_ms.saturating_sub(AWAY_MS) as f64 / 1000.0;
    println!(
        "herd: {GATEWAYS} gateways with {QUEUED} requests each: {took_s:.1} s after its return all {} were served, {ideal_s:.1} s of \
         that are its own; {} in the first second, {} times busy; {:.2} probes per gateway and second while it was away",
        herd.served,
        herd.first_second,
        herd.busy,
        herd.probes_away as f64 / GATEWAYS as f64 / (AWAY_MS as f64 / 1000.0)
    );
    report.figure("herd_served", herd.served);
    report.figure("herd_s", rounded(Some(took_s)));
    report.figure("herd_ideal_s", rounded(Some(ideal_s)));
    report.figure("herd_first_second", herd.first_second);
    report.figure("herd_busy", herd.busy);
    if herd.served != all {
        report.fault(format!("the herd: {} of {all} requests were served", herd.served));
    }
    if took_s > ideal_s * MOST_TIMES_IDEAL {
        report.fault(format!("the herd kept the central system down: {took_s:.1} s for {ideal_s:.1} s of work"));
    }
}

fn now(ms: u64) -> Now {
    let stamp = Stamp { wall_ms: i64::try_from(ms).unwrap_or(i64::MAX), synchronised: true };
    Now { boot: 1, mono: Mono(ms), stamp }
}

impl Herd {
    fn new(seed: u64) -> Self {
        let gateway =
            |_| Gateway { plan: Plan::new(Rules::default(), now(0)), waiting: (1..=QUEUED).collect(), armed: None };
        let mut herd = Self {
            ms: 0,
            rng: StdRng::seed_from_u64(seed),
            gateways: (0..GATEWAYS).map(gateway).collect(),
            agenda: BinaryHeap::new(),
            count: 0,
            queue: VecDeque::new(),
            begun: 0,
            served: 0,
            busy: 0,
            first_second: 0,
            probes_away: 0,
            done_ms: 0,
        };
        for gateway in 0..GATEWAYS {
            herd.step(gateway, Event::Wake);
        }
        herd
    }

    fn at(&mut self, ms: u64, gateway: usize, what: What) {
        self.count += 1;
        self.agenda.push(Reverse((ms, self.count, gateway, what)));
    }

    fn go(&mut self) {
        while let Some(Reverse((ms, _, gateway, what))) = self.agenda.pop() {
            // Idle gateways look at the line for ever.
            if self.served == (GATEWAYS as i64 * QUEUED) as u64 || ms > AWAY_MS * 20 {
                return;
            }
            self.ms = ms;
            self.on(gateway, what);
        }
    }

    fn on(&mut self, gateway: usize, what: What) {
        let back = self.ms >= AWAY_MS;
        let at_once = back && self.ms < AWAY_MS + 1_000;
        match what {
            What::Tick => {
                if self.gateways[gateway].armed == Some(Mono(self.ms)) {
                    self.gateways[gateway].armed = None;
                    self.step(gateway, Event::Tick);
                }
            }
            What::Probe => {
                self.probes_away += u64::from(!back);
                self.first_second += u64::from(at_once);
                self.at(self.ms + LINE_MS, gateway, What::Probed(back));
            }
            What::Probed(answered) => self.step(gateway, Event::Probed(answered)),
            What::Arrives(seq) => {
                self.first_second += u64::from(at_once);
                if self.queue.len() >= ROOM {
                    self.busy += 1;
                    return self.at(self.ms + LINE_MS, gateway, What::Answer(seq, false));
                }
                self.queue.push_back((gateway, seq));
                if self.queue.len() == 1 {
                    self.serve();
                }
            }
            What::Served => {
                if let Some((gateway, seq)) = self.queue.pop_front() {
                    self.at(self.ms + LINE_MS, gateway, What::Answer(seq, true));
                }
                if !self.queue.is_empty() {
                    self.serve();
                }
            }
            What::Answer(seq, true) => {
                self.served += 1;
                self.done_ms = self.ms;
                self.step(gateway, Event::Tried(seq, Tried::Delivered));
            }
            What::Answer(seq, false) => {
                self.gateways[gateway].waiting.push_front(seq);
                self.step(gateway, Event::Tried(seq, Tried::Busy(None)));
            }
            What::Settled(seq) => self.step(gateway, Event::Settled(seq)),
        }
    }

    /// Two in a millisecond at this rate; the agenda knows whole ones.
    fn serve(&mut self) {
        self.begun += 1;
        let every = self.begun.is_multiple_of(RATE / 1_000);
        self.at(self.ms + u64::from(every), 0, What::Served);
    }

    fn step(&mut self, gateway: usize, event: Event) {
        let mut effects = Vec::new();
        let jitter = self.rng.random();
        self.gateways[gateway].plan.step(now(self.ms), event, jitter, &mut effects);
        for effect in effects {
            match effect {
                Effect::Probe => self.at(self.ms + LINE_MS, gateway, What::Probe),
                Effect::Send(seq) => self.at(self.ms + LINE_MS, gateway, What::Arrives(seq)),
                Effect::Settle(seq, _) => self.at(self.ms + 1, gateway, What::Settled(seq)),
                Effect::Select { limit, .. } => {
                    let waiting = &mut self.gateways[gateway].waiting;
                    let taken: Vec<Head> = waiting
                        .drain(..waiting.len().min(limit as usize))
                        .map(|seq| Head {
                            seq,
                            kind: Kind::Question,
                            order_key: OrderKey([seq as u8; 32]),
                            attempts: 0,
                        })
                        .collect();
                    self.step(gateway, Event::Selected(taken));
                }
            }
        }
        let deadline = self.gateways[gateway].plan.deadline().map(|at| Mono(at.0.max(self.ms)));
        if deadline != self.gateways[gateway].armed {
            self.gateways[gateway].armed = deadline;
            if let Some(at) = deadline {
                self.at(at.0, gateway, What::Tick);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_that_return_together_do_not_keep_the_central_system_down() {
        let mut report = Report::new("herd");
        run(7, &mut report);
        assert!(report.passed(), "{}", report.line());
    }
}
