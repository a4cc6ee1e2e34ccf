//! One world: its clock, its parts, and the loop over what happens.

use super::Told;
use super::agenda::{Agenda, Deed, Happening, Inside, Outside};
use super::books::Books;
use super::cases::{Reconciler, Told as CasesTold};
use super::central::{Central, Mode};
use super::counts::Counts;
use super::courier::Courier;
use super::desk::Reader;
use super::disk::Disk;
use super::guard::Guard;
use super::judge::Judge;
use super::trace::Trace;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::ops::RangeInclusive;
use uketsuke_core::clock::{Mono, Now, Stamp};
use uketsuke_core::ids::ReceptionId;
use uketsuke_core::ladder::Rules as CaseRules;
use uketsuke_core::reception::Rules;
use uuid::Uuid;

/// More events than any world has: something goes round in circles.
const EVENTS_MAX: u64 = 2_000_000;
/// After the faults, everything must be through within this time. A row that waits for its next try may have been dated by a wall
/// clock that was set back up to an hour since.
const DRAIN_MS: u64 = 2 * 60 * 60 * 1000;
/// Where the wall clock stands at first: 2027-01-15.
const WALL_MS: i64 = 1_800_000_000_000;

/// Time, as the gateway is told it and as it is.
#[derive(Debug)]
pub(super) struct Time {
    /// True milliseconds since the world began.
    pub(super) ms: u64,
    pub(super) boot: u64,
    pub(super) boot_ms: u64,
    pub(super) wall_offset_ms: i64,
    pub(super) synchronised: bool,
}

impl Time {
    pub(super) fn mono(&self) -> Mono {
        Mono(self.ms.saturating_sub(self.boot_ms))
    }

    pub(super) fn stamp(&self) -> Stamp {
        let passed = i64::try_from(self.ms).unwrap_or(i64::MAX);
        Stamp { wall_ms: WALL_MS + passed + self.wall_offset_ms, synchronised: self.synchronised }
    }

    pub(super) fn now(&self) -> Now {
        Now { boot: self.boot, mono: self.mono(), stamp: self.stamp() }
    }
}

/// A card slot and the person before it.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) card: Option<u8>,
    /// Counts visits.
    pub(super) visit: u64,
    /// The screen that the person has reacted to.
    pub(super) seen: (Option<ReceptionId>, u64),
}

/// Temper of one world, drawn from its seed.
#[derive(Debug)]
pub(super) struct Temper {
    /// Messages are lost, each way, so often.
    pub(super) loss: f64,
    pub(super) twice: f64,
    /// Milliseconds of one way.
    pub(super) way: RangeInclusive<u64>,
    /// Between two faults.
    pub(super) fault_every_ms: u64,
    /// Between two patients at a reader.
    pub(super) idle_ms: u64,
    /// Faults end here.
    pub(super) quiet_at: u64,
}

impl Temper {
    fn draw(rng: &mut StdRng) -> Self {
        let of = |rng: &mut StdRng, choices: [f64; 3]| choices[rng.random_range(0..3)];
        let slowest = [50, 800, 7_000][rng.random_range(0..3)];
        Self {
            loss: of(rng, [0.0, 0.03, 0.2]),
            twice: of(rng, [0.0, 0.05, 0.3]),
            way: 1..=slowest,
            fault_every_ms: [8_000, 25_000, 90_000][rng.random_range(0..3)],
            idle_ms: [500, 5_000, 40_000][rng.random_range(0..3)],
            quiet_at: if rng.random_ratio(1, 50) {
                rng.random_range(600_000..7_200_000)
            } else {
                rng.random_range(45_000..240_000)
            },
        }
    }
}

/// The process and what lives in it.
pub(super) struct Process {
    pub(super) readers: Vec<Reader>,
    pub(super) courier: Courier,
    pub(super) reconciler: Reconciler,
}

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) rng: StdRng,
    pub(super) without: Option<Guard>,
    pub(super) time: Time,
    pub(super) temper: Temper,
    pub(super) rules: Rules,
    pub(super) case_rules: CaseRules,
    pub(super) patients: u8,
    pub(super) agenda: Agenda,
    /// Life of the process.
    pub(super) life: u64,
    /// Life of a reader or the courier; each has a number of its own.
    pub(super) lives: u64,
    pub(super) process: Option<Process>,
    pub(super) disk: Disk,
    pub(super) central: Central,
    pub(super) line_up: bool,
    /// Effects until the process dies.
    pub(super) doom: Option<u32>,
    pub(super) slots: Vec<Slot>,
    /// PIN tries left on each card.
    pub(super) tries: Vec<u8>,
    pub(super) quiet: bool,
    pub(super) judge: Judge,
    pub(super) books: Books,
    pub(super) told: CasesTold,
    pub(super) counts: Counts,
    pub(super) trace: Trace,
    ids: u128,
}

impl World {
    pub(super) fn new(seed: u64, without: Option<Guard>, traced: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let (readers, patients) = (rng.random_range(2..=4), rng.random_range(3..=7u8));
        let temper = Temper::draw(&mut rng);
        let central = Central::new(patients, without, &mut rng);
        let mut world = Self {
            seed,
            time: Time { ms: 0, boot: 1, boot_ms: 0, wall_offset_ms: 0, synchronised: rng.random_ratio(9, 10) },
            rules: super::people::rules(&mut rng),
            case_rules: super::cases::rules(&mut rng),
            rng,
            without,
            temper,
            patients,
            agenda: Agenda::default(),
            life: 0,
            lives: 0,
            process: None,
            disk: Disk::new(),
            central,
            line_up: true,
            doom: None,
            slots: (0..readers).map(|_| Slot::default()).collect(),
            tries: vec![3; usize::from(patients)],
            quiet: false,
            judge: Judge::default(),
            books: Books::default(),
            told: CasesTold::default(),
            counts: Counts::default(),
            trace: Trace::new(traced),
            ids: 0,
        };
        without.and_then(Guard::rule).into_iter().for_each(|rule| world.disk.take_out(rule));
        world.later(0..=0, Outside::Start);
        world.later(2_000..=20_000, Outside::Fault);
        world.later(5_000..=20_000, Outside::StaffLook);
        world.faces_that_failed_before();
        let quiet_at = world.temper.quiet_at;
        world.later(quiet_at..=quiet_at, Outside::Quiet);
        for reader in 0..readers {
            world.later(0..=10_000, Outside::Comes(reader));
        }
        world
    }

    /// A new id; never one twice in a world.
    pub(super) fn id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    pub(super) fn new_life(&mut self) -> u64 {
        self.lives += 1;
        self.lives
    }

    /// Something in the outside world happens after a while.
    pub(super) fn later(&mut self, within_ms: RangeInclusive<u64>, what: Outside) {
        let at = self.time.ms + self.rng.random_range(within_ms);
        self.agenda.enter(at, self.rng.random(), Happening::Outside(what));
    }

    /// Something in the process happens after a while, if it still lives.
    pub(super) fn soon(&mut self, within_ms: RangeInclusive<u64>, what: Inside) {
        let at = self.time.ms + self.rng.random_range(within_ms);
        self.at(at, what);
    }

    /// The same at a moment.
    pub(super) fn at(&mut self, at: u64, what: Inside) {
        self.agenda.enter(at, self.rng.random(), Happening::Inside(self.life, what));
    }

    /// Once in so many times; never when it is quiet.
    pub(super) fn bad_luck(&mut self, probability: f64) -> bool {
        !self.quiet && probability > 0.0 && self.rng.random_bool(probability)
    }

    /// Another effect is about to be performed. `true`: the process has just died instead.
    pub(super) fn dies_now(&mut self) -> bool {
        match &mut self.doom {
            Some(0) => {
                self.crash();
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => self.process.is_none(),
        }
    }

    pub(super) fn run(mut self) -> Told {
        while self.judge.broken.is_none() {
            let Some((at, what)) = self.agenda.next() else {
                self.judge.fails("nothing is left to happen, and not everything is through");
                break;
            };
            self.time.ms = at;
            self.counts.events += 1;
            self.happens(what);
            self.check_deadlines();
            if self.counts.events > EVENTS_MAX
                || at > self.temper.quiet_at + DRAIN_MS + self.case_rules.life.as_millis() as u64
            {
                let waiting = self.what_waits();
                self.judge.fails(format!("no end after the faults are over: {waiting}"));
            }
            if self.quiet && self.is_through() {
                self.judge_the_end();
                break;
            }
        }
        Told {
            seed: self.seed,
            hash: self.trace.hash(),
            counts: self.counts,
            broken: self.judge.broken,
            trace: self.trace.into_lines(),
        }
    }

    fn happens(&mut self, what: Happening) {
        match what {
            Happening::Outside(what) => self.outside(what),
            Happening::Inside(life, _) if life != self.life || self.process.is_none() => {}
            Happening::Inside(_, what) => self.inside(what),
        }
    }

    fn outside(&mut self, what: Outside) {
        match what {
            Outside::Comes(reader) => self.somebody_comes(reader),
            Outside::Does(reader, visit, deed) => self.somebody_does(reader, visit, deed),
            Outside::Decides(reader, reception, decision) => self.staff_decide(reader, reception, decision),
            Outside::Assists(reader, reception) => self.staff_assist(reader, reception),
            Outside::StaffLook => self.staff_look(),
            Outside::Orders(order) => self.staff_order(*order),
            Outside::Arrives(letter) => self.arrives(letter),
            Outside::Fault => self.fault(),
            Outside::Start => self.start(),
            Outside::LineUp => self.line_up = true,
            Outside::CentralWell => self.central.mode = Mode::Well,
            Outside::DiskFree => self.disk.fill(false),
            Outside::Quiet => self.become_quiet(),
        }
    }

    fn inside(&mut self, what: Inside) {
        match what {
            Inside::ReaderUp(reader) => self.reader_up(reader),
            Inside::Card(reader, life, inserted) => self.card_reported(reader, life, inserted),
            Inside::Read(reader, life, reception) => self.card_read(reader, life, reception),
            Inside::Pin(reader, life, reception, right) => self.pin_checked(reader, life, reception, right),
            Inside::Tell(reader, life, event) => self.tell(reader, life, event),
            Inside::Timer(reader, life) => self.timer(reader, life),
            Inside::ReaderEnds(reader, life) => self.reader_ends(reader, life),
            Inside::Scribe(reader) => self.scribe(reader),
            Inside::Written => self.written(),
            Inside::CourierUp => self.courier_up(),
            Inside::Plan(life, event) => self.plan(life, event),
            Inside::PlanTimer(life) => self.plan_timer(life),
            Inside::Select(life, limit, busy, without) => self.select(life, limit, &busy, &without),
            Inside::CallEnds(life, call, tried, reply) => self.call_ends(life, call, tried, reply),
            Inside::ReconcilerUp => self.reconciler_up(),
            Inside::Reconcile(life) => self.reconcile(life),
            Inside::CaseTimer(life) => self.case_timer(life),
        }
    }

    /// The card at this reader is taken, now.
    pub(super) fn take_card(&mut self, reader: usize) {
        let slot = &mut self.slots[reader];
        slot.card = None;
        slot.visit += 1;
        let idle_ms = self.temper.idle_ms;
        self.report_card(reader, false);
        self.later(200..=idle_ms.max(1_000) * 2, Outside::Comes(reader));
    }

    /// Something that the person at this reader does after a while, if the visit is still the same.
    pub(super) fn will_do(&mut self, reader: usize, within_ms: RangeInclusive<u64>, deed: Deed) {
        let visit = self.slots[reader].visit;
        self.later(within_ms, Outside::Does(reader, visit, deed));
    }
}
