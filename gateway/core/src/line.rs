//! When a connection is left for another one: a call whose connection ended is sent again, and a connection that is there but mute is
//! not kept for its PING.
//!
//! Promises:
//! * a connection that lets a few deadlines pass without an answer, to anything or to one kind of call, is tried against another one;
//! * at most one connection is tried beside the one in use, and tries that do not help become rare;
//! * a connection that answers nothing never replaces the one in use.
//!
//! Calls that wait at the same time are one sign of silence: a deadline counts only when its call was sent after the last one counted.

use crate::backoff::Backoff;
use crate::clock::Mono;
use std::collections::BTreeMap;
use std::time::Duration;

/// Limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Deadlines without an answer, one after the other, after which another connection is tried.
    pub silences_max: u32,
    /// Between tries beside.
    pub between_tries: Backoff,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            silences_max: 2,
            between_tries: Backoff { first: Duration::from_secs(10), most: Duration::from_secs(300) },
        }
    }
}

/// What is asked over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// Whether the service is there.
    Ping,
    /// A request for eligibility.
    Eligibility,
    /// A request about an earlier one.
    FollowUp,
    /// Consents.
    Consent,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The peer said something, whatever it was.
    Answer,
    /// Its deadline passed.
    Silence,
    /// The connection broke, or could not be opened.
    Broke,
}

/// Something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A call on the connection in use ended.
    Ended {
        /// Which.
        call: Call,
        /// When it was sent.
        sent: Mono,
        /// How.
        heard: Heard,
    },
    /// The connection beside answered, or did not.
    Tried(bool),
    /// Another connection is in use for a reason of its own.
    Replaced,
}

/// Something to be done by the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Open a connection beside the one in use and ping; report `Tried`.
    TryBeside,
    /// The connection beside is the one in use from now on.
    Replace,
}

/// Deadlines that passed one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Silence {
    deadlines: u32,
    counted: Option<Mono>,
}

impl Silence {
    fn passed(&mut self, now: Mono, sent: Mono) {
        if self.counted.is_none_or(|counted| sent >= counted) {
            self.deadlines = self.deadlines.saturating_add(1);
            self.counted = Some(now);
        }
    }
}

/// What is known of the connection in use.
#[derive(Debug, Clone)]
pub struct Watch {
    rules: Rules,
    /// Since the last answer of any kind.
    anything: Silence,
    /// Since the last answer to this kind of call.
    of_kind: BTreeMap<Call, Silence>,
    trying: bool,
    /// Tries beside since the kind of call that led to them was last answered, and which kind that is.
    tries: u32,
    cause: Option<Call>,
    /// No try beside before.
    not_before: Mono,
}

impl Watch {
    /// Of a connection that nothing is known of.
    pub fn new(rules: Rules, now: Mono) -> Self {
        Self {
            rules,
            anything: Silence::default(),
            of_kind: BTreeMap::new(),
            trying: false,
            tries: 0,
            cause: None,
            not_before: now,
        }
    }

    /// Whether the connection is there, and lets the deadlines of anything or of some kind of call pass.
    pub fn mute(&self) -> bool {
        self.of_kind.values().chain([&self.anything]).any(|silence| self.is_long(silence))
    }

    /// Whether it lets those of this kind of call pass; one kind says nothing about another.
    pub fn mute_to(&self, call: Call) -> bool {
        self.of_kind.get(&call).into_iter().chain([&self.anything]).any(|silence| self.is_long(silence))
    }

    fn is_long(&self, silence: &Silence) -> bool {
        silence.deadlines >= self.rules.silences_max
    }

    /// The one way in. `jitter` in 0..=1 is fresh randomness.
    pub fn step(&mut self, now: Mono, event: Event, jitter: f64, effects: &mut Vec<Effect>) {
        match event {
            Event::Ended { call, heard: Heard::Answer, .. } => self.answered(call),
            Event::Ended { call, sent, heard: Heard::Silence } => {
                self.anything.passed(now, sent);
                self.of_kind.entry(call).or_default().passed(now, sent);
                if self.mute() && !self.trying && now >= self.not_before {
                    self.trying = true;
                    self.cause = self.cause.max(Some(call));
                    effects.push(Effect::TryBeside);
                }
            }
            // The next call opens another one.
            Event::Ended { heard: Heard::Broke, .. } => self.forget(),
            Event::Replaced => {
                self.forget();
                self.trying = false;
            }
            Event::Tried(answered) if self.trying => {
                self.trying = false;
                self.tries = self.tries.saturating_add(1);
                self.not_before = now.after(self.rules.between_tries.delay(self.tries, jitter));
                if answered {
                    self.forget();
                    effects.push(Effect::Replace);
                }
            }
            Event::Tried(_) => {}
        }
    }

    fn answered(&mut self, call: Call) {
        self.anything = Silence::default();
        self.of_kind.remove(&call);
        if call != Call::Ping {
            self.of_kind.remove(&Call::Ping);
        }
        // A ping that is answered says nothing about requests that are not.
        if self.cause.is_none_or(|cause| cause == call || cause == Call::Ping) {
            (self.tries, self.cause) = (0, None);
        }
    }

    fn forget(&mut self) {
        self.anything = Silence::default();
        self.of_kind.clear();
    }
}

/// How a connection ended under a call. The id of a request makes every repetition harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The connection goes on, and did not take up this call.
    NotTaken,
    /// The peer said farewell, and did not take up this call.
    Farewell,
    /// It broke: the call may have taken effect.
    Broke,
}

/// Breaks under a call, one after the other, after which it has failed unless the line answered something meanwhile.
const BROKEN_MAX: u32 = 3;
/// Between further tries. A peer that takes nothing up must not be asked as fast as connections can be opened.
const AGAIN: Backoff = Backoff { first: Duration::from_millis(20), most: Duration::from_millis(500) };

/// How often one call was sent, and what came of it.
#[derive(Debug, Clone, Copy)]
pub struct Tries {
    sent: u32,
    /// Breaks since the line last answered anything.
    broken: u32,
    answers: u64,
}

impl Tries {
    /// Of a call that was not sent yet; `answers` is how many calls the line has answered so far.
    pub fn new(answers: u64) -> Self {
        Self { sent: 0, broken: 0, answers }
    }

    /// After how long the call is sent again, within its deadline; `None` when it has failed. `answers` as above.
    pub fn again(&mut self, ended: Ended, answers: u64, jitter: f64) -> Option<Duration> {
        self.sent = self.sent.saturating_add(1);
        if answers != self.answers {
            // A line that answers others ends its connections, and is not broken.
            (self.answers, self.broken) = (answers, 0);
        }
        if ended == Ended::Broke {
            self.broken += 1;
        }
        match ended {
            Ended::Broke if self.broken >= BROKEN_MAX => None,
            // A connection that ended in order, or under a few calls, is one of many: the next one is sound.
            Ended::Farewell | Ended::Broke => Some(AGAIN.delay(self.sent - 1, jitter)),
            Ended::NotTaken => Some(AGAIN.delay(self.sent, jitter)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEADLINE: u64 = 5_000;

    fn watch() -> Watch {
        Watch::new(Rules::default(), Mono(0))
    }

    fn step(watch: &mut Watch, ms: u64, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        watch.step(Mono(ms), event, 1.0, &mut effects);
        effects
    }

    fn silence(watch: &mut Watch, sent: u64, call: Call) -> Vec<Effect> {
        step(watch, sent + DEADLINE, Event::Ended { call, sent: Mono(sent), heard: Heard::Silence })
    }

    fn answer(watch: &mut Watch, ms: u64, call: Call) {
        assert_eq!(step(watch, ms, Event::Ended { call, sent: Mono(ms), heard: Heard::Answer }), []);
    }

    #[test]
    fn after_two_deadlines_one_after_the_other_another_connection_is_tried_and_used_when_it_answers() {
        let mut watch = watch();
        assert_eq!(silence(&mut watch, 0, Call::Eligibility), []);
        assert!(!watch.mute());
        assert_eq!(silence(&mut watch, 6_000, Call::Ping), [Effect::TryBeside]);
        assert!(watch.mute());
        assert_eq!(silence(&mut watch, 12_000, Call::Ping), [], "one beside at the most");
        assert_eq!(step(&mut watch, 17_010, Event::Tried(true)), [Effect::Replace]);
        assert!(!watch.mute());
    }

    #[test]
    fn calls_that_wait_at_the_same_time_are_one_sign() {
        let mut watch = watch();
        for sent in 0..64 {
            assert_eq!(silence(&mut watch, sent, Call::Eligibility), []);
        }
    }

    #[test]
    fn pings_that_are_answered_do_not_hide_one_kind_of_call_that_is_not() {
        let mut watch = watch();
        assert_eq!(silence(&mut watch, 0, Call::Consent), []);
        answer(&mut watch, 5_500, Call::Ping);
        answer(&mut watch, 5_600, Call::Eligibility);
        assert_eq!(silence(&mut watch, 6_000, Call::Consent), [Effect::TryBeside]);
        assert!(watch.mute_to(Call::Consent) && !watch.mute_to(Call::Eligibility));
    }

    #[test]
    fn an_answer_to_the_same_kind_of_call_begins_the_count_anew() {
        let mut watch = watch();
        silence(&mut watch, 0, Call::Consent);
        answer(&mut watch, 5_500, Call::Consent);
        assert_eq!(silence(&mut watch, 6_000, Call::Consent), []);
    }

    #[test]
    fn a_connection_that_answers_nothing_either_replaces_nothing_and_the_next_try_waits_longer() {
        let mut watch = watch();
        let (mut ms, mut tried) = (0, Vec::new());
        while ms < 1_800_000 {
            if silence(&mut watch, ms, Call::Ping) == [Effect::TryBeside] {
                tried.push(ms);
                assert_eq!(step(&mut watch, ms + 2 * DEADLINE, Event::Tried(false)), []);
            }
            ms += 6_000;
        }
        assert!(tried.len() <= 12, "{} tries in half an hour", tried.len());
        let gaps: Vec<u64> = tried.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.is_sorted_by(|one, next| one <= &(next + 6_000)) && gaps.last() >= Some(&300_000), "{gaps:?}");
    }

    #[test]
    fn a_kind_of_call_that_no_connection_answers_leads_to_few_connections_although_pings_are_answered() {
        let mut watch = watch();
        let mut tries = 0;
        for ms in (0..1_800_000).step_by(12_000) {
            if silence(&mut watch, ms, Call::Eligibility) == [Effect::TryBeside] {
                tries += 1;
                assert_eq!(step(&mut watch, ms + DEADLINE + 10, Event::Tried(true)), [Effect::Replace]);
            }
            answer(&mut watch, ms + DEADLINE + 500, Call::Ping);
        }
        assert!((2..=12).contains(&tries), "{tries} tries in half an hour");
    }

    #[test]
    fn a_connection_that_was_replaced_meanwhile_is_not_replaced_by_an_earlier_try() {
        let mut watch = watch();
        silence(&mut watch, 0, Call::Ping);
        silence(&mut watch, 6_000, Call::Ping);
        step(&mut watch, 11_500, Event::Replaced);
        assert_eq!(step(&mut watch, 12_000, Event::Tried(true)), []);
    }

    #[test]
    fn a_call_is_sent_again_at_once_when_its_connection_ended_and_after_a_pause_when_it_was_not_taken_up() {
        for ended in [Ended::Farewell, Ended::Broke] {
            assert_eq!(Tries::new(7).again(ended, 7, 0.5), Some(Duration::ZERO));
        }
        assert!(Tries::new(7).again(Ended::NotTaken, 7, 0.5) > Some(Duration::ZERO));
    }

    #[test]
    fn a_call_fails_when_its_connections_break_and_break_and_the_line_answers_nothing() {
        let mut tries = Tries::new(7);
        assert_eq!(tries.again(Ended::Broke, 7, 0.5), Some(Duration::ZERO));
        assert!(tries.again(Ended::Broke, 7, 0.5) > Some(Duration::ZERO));
        assert_eq!(tries.again(Ended::Broke, 7, 0.5), None);
    }

    #[test]
    fn a_call_goes_on_when_its_connections_break_and_other_calls_are_answered() {
        let mut tries = Tries::new(0);
        for answers in 1..100 {
            let pause = tries.again(Ended::Broke, answers, 1.0);
            assert!(pause.is_some_and(|pause| pause <= AGAIN.most), "{pause:?}");
        }
    }

    proptest! {
        #[test]
        fn one_is_tried_at_a_time_and_only_an_answer_replaces(
            events in proptest::collection::vec((0u8..5, 0u8..4, 0u64..8_000), 0..300),
        ) {
            let (mut watch, mut ms, mut trying) = (watch(), 0, false);
            for (event, call, wait) in events {
                ms += wait;
                let call = [Call::Ping, Call::Eligibility, Call::FollowUp, Call::Consent][usize::from(call)];
                let sent = Mono(ms.saturating_sub(DEADLINE));
                let event = match event {
                    0 => Event::Ended { call, sent, heard: Heard::Answer },
                    1 => Event::Ended { call, sent, heard: Heard::Broke },
                    2 if trying => Event::Tried(ms.is_multiple_of(2)),
                    3 if ms.is_multiple_of(7) => Event::Replaced,
                    _ => Event::Ended { call, sent, heard: Heard::Silence },
                };
                let effects = step(&mut watch, ms, event);
                for effect in &effects {
                    match effect {
                        Effect::TryBeside => {
                            prop_assert!(!trying);
                            trying = true;
                        }
                        Effect::Replace => prop_assert_eq!(event, Event::Tried(true)),
                    }
                }
                if matches!(event, Event::Tried(_) | Event::Replaced) {
                    trying = false;
                }
            }
        }
    }
}
