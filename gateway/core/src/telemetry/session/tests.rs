//! The sessions with a broker: tables of situations, then two gateways at one model of a broker.

use super::*;
use crate::clock::Stamp;
use proptest::prelude::*;

const ROOT: &str = "uketsuke/clinic";
const RULES_OF_10_S: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));

fn now(ms: u64) -> Now {
    Now { boot: 1, mono: Mono(ms), stamp: Stamp { wall_ms: 0, synchronised: true } }
}

fn rules() -> Rules {
    Rules::new(RULES_OF_10_S.0, RULES_OF_10_S.1)
}

fn own() -> BTreeSet<String> {
    ["reader/desk-1/a", "terminal/desk-1"].map(|topic| format!("{ROOT}/{topic}")).into()
}

fn sessions() -> Sessions {
    Sessions::new(rules(), ROOT.into(), own(), now(0))
}

fn step(sessions: &mut Sessions, ms: u64, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    sessions.step(now(ms), event, 1.0, &mut effects);
    effects
}

/// A session that was opened at `ms` and whose first publish is acknowledged.
fn open(sessions: &mut Sessions, ms: u64) {
    assert_eq!(step(sessions, ms, Event::Tick), [Effect::Connect]);
    assert_eq!(step(sessions, ms, Event::Opened), [Effect::Listen, Effect::PublishAll]);
    step(sessions, ms, Event::Sent(1));
    step(sessions, ms, Event::Acknowledged(1));
}

fn up() -> Sessions {
    let mut sessions = sessions();
    open(&mut sessions, 0);
    assert_eq!(sessions.condition(), Condition::Up);
    sessions
}

fn due(sessions: &Sessions) -> u64 {
    sessions.deadline().unwrap().0
}

const OF_AN_EARLIER_RUN: Sighting = Sighting { foreign: true, younger: false, online: false, kept: true };
const ONLINE_JUST_NOW: Sighting = Sighting { foreign: true, younger: false, online: true, kept: false };
const OURS: Sighting = Sighting { foreign: false, younger: false, online: true, kept: false };
const CERTAIN: Condition = Condition::TakenOver { certain: true };

#[test]
fn a_broker_that_is_not_there_is_tried_less_and_less_often_and_at_least_every_half_minute() {
    let mut sessions = sessions();
    let mut waits = Vec::new();
    let mut at = 0;
    for _ in 0..9 {
        assert_eq!(step(&mut sessions, at, Event::Tick), [Effect::Connect]);
        assert_eq!(step(&mut sessions, at, Event::Ended(End::Unreachable)), []);
        assert_eq!(sessions.condition(), Condition::Connecting);
        waits.push(due(&sessions) - at);
        at = due(&sessions);
    }
    assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
}

#[test]
fn an_attempt_that_never_ends_is_dropped() {
    let mut sessions = sessions();
    assert_eq!(step(&mut sessions, 0, Event::Tick), [Effect::Connect]);
    assert_eq!(due(&sessions), 15_000);
    assert_eq!(step(&mut sessions, 14_999, Event::Tick), []);
    assert_eq!(step(&mut sessions, 15_000, Event::Tick), [Effect::Drop]);
    assert_eq!(step(&mut sessions, 15_500, Event::Tick), [Effect::Connect]);
}

#[test]
fn a_withheld_acknowledgement_ends_the_session_after_one_and_a_half_keep_alives() {
    let mut sessions = up();
    step(&mut sessions, 1_000, Event::Sent(2));
    step(&mut sessions, 2_000, Event::Sent(3));
    // Later ones that are acknowledged do not excuse it.
    step(&mut sessions, 3_000, Event::Acknowledged(3));
    assert_eq!(due(&sessions), 16_000);
    assert_eq!(step(&mut sessions, 15_999, Event::Tick), []);
    assert_eq!(step(&mut sessions, 16_000, Event::Tick), [Effect::Drop]);
    assert_eq!((sessions.condition(), sessions.counts().stalls), (Condition::Stalled, 1));
    assert_eq!(step(&mut sessions, 16_500, Event::Tick), [Effect::Connect]);
    assert_eq!(step(&mut sessions, 16_600, Event::Opened), [Effect::Listen, Effect::PublishAll]);
    // That a session opened says nothing: an acknowledgement does.
    assert_eq!(sessions.condition(), Condition::Stalled);
    step(&mut sessions, 16_600, Event::Sent(1));
    step(&mut sessions, 16_700, Event::Acknowledged(1));
    assert_eq!(sessions.condition(), Condition::Up);
}

#[test]
fn a_broker_that_never_acknowledges_is_tried_less_and_less_often() {
    let mut sessions = sessions();
    let mut waits = Vec::new();
    for _ in 0..8 {
        let at = due(&sessions);
        step(&mut sessions, at, Event::Tick);
        step(&mut sessions, at, Event::Opened);
        step(&mut sessions, at, Event::Sent(1));
        let stalled = due(&sessions);
        assert_eq!(step(&mut sessions, stalled, Event::Tick), [Effect::Drop]);
        assert_eq!(sessions.condition(), Condition::Stalled);
        waits.push(due(&sessions) - stalled);
    }
    assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
}

#[test]
fn the_longest_keep_alive_still_notices_a_stall_within_half_a_minute() {
    let rules = Rules::new(Duration::from_secs(3_600), Duration::from_secs(3_600));
    assert_eq!(rules.acknowledge_within, Duration::from_secs(30));
}

#[test]
fn what_proves_another_gateway_and_what_does_not() {
    let kept = OF_AN_EARLIER_RUN;
    for (what, first_session, away, sighting, proof) in [
        ("the Last Will of an earlier run", true, false, kept, false),
        (
            "an earlier run that was killed, its Last Will still to come",
            true,
            false,
            Sighting { online: true, ..kept },
            false,
        ),
        ("the Last Will of an earlier run, late", true, false, Sighting { kept: false, ..kept }, false),
        ("ourselves", true, false, OURS, false),
        ("another one that is online just now", true, false, ONLINE_JUST_NOW, true),
        ("the Last Will of one that wrote after us", false, false, kept, true),
        ("a broker that came back with what it knew long ago", false, true, kept, false),
        ("a broker that was away, and a run younger than ours", false, true, Sighting { younger: true, ..kept }, true),
        ("our own Last Will", false, false, Sighting { foreign: false, ..kept }, false),
    ] {
        let mut sessions = up();
        if !first_session {
            step(&mut sessions, 60_000, Event::Ended(End::Closed));
            if away {
                step(&mut sessions, 60_500, Event::Tick);
                step(&mut sessions, 60_500, Event::Ended(End::Unreachable));
            }
            let at = due(&sessions);
            open(&mut sessions, at);
        }
        step(&mut sessions, 70_000, Event::Seen(sighting));
        let expected = if proof { (CERTAIN, 1) } else { (Condition::Up, 0) };
        assert_eq!((sessions.condition(), sessions.counts().takeovers), expected, "{what}");
    }
}

#[test]
fn a_kept_message_that_comes_after_the_first_acknowledgement_is_still_that_of_an_earlier_run() {
    let mut sessions = up();
    step(&mut sessions, 10, Event::Seen(OF_AN_EARLIER_RUN));
    assert_eq!(sessions.condition(), Condition::Up);
}

#[test]
fn three_sessions_closed_early_one_after_the_other_raise_the_suspicion() {
    for (what, ends, suspected) in [
        ("three", &[End::Closed, End::Closed, End::Closed][..], true),
        ("two", &[End::Closed, End::Closed], false),
        ("one that fell silent among them", &[End::Closed, End::Unreachable, End::Closed, End::Closed], false),
    ] {
        let mut sessions = sessions();
        for end in ends {
            let at = due(&sessions);
            open(&mut sessions, at);
            step(&mut sessions, at + 1_000, Event::Ended(*end));
        }
        let condition = if suspected { Condition::TakenOver { certain: false } } else { Condition::Connecting };
        assert_eq!(sessions.condition(), condition, "{what}");
    }
}

#[test]
fn sessions_that_lasted_raise_no_suspicion_however_many_were_closed() {
    let mut sessions = sessions();
    for _ in 0..10 {
        let at = due(&sessions);
        open(&mut sessions, at);
        step(&mut sessions, at + 20_000, Event::Ended(End::Closed));
        assert_eq!(sessions.condition(), Condition::Connecting);
        assert_eq!(due(&sessions), at + 20_500);
    }
}

#[test]
fn while_another_gateway_is_in_our_place_we_come_back_after_half_a_minute_or_later() {
    let mut sessions = up();
    step(&mut sessions, 1_000, Event::Seen(ONLINE_JUST_NOW));
    let mut effects = Vec::new();
    sessions.step(now(2_000), Event::Ended(End::Closed), 0.0, &mut effects);
    assert_eq!((effects, due(&sessions), sessions.condition()), (vec![], 32_000, CERTAIN));
    assert_eq!(sessions.counts().takeovers, 2);
}

#[test]
fn another_gateway_counts_as_gone_after_a_long_session_without_a_sign_of_it() {
    let mut sessions = up();
    step(&mut sessions, 1_000, Event::Seen(ONLINE_JUST_NOW));
    step(&mut sessions, 61_000, Event::Seen(ONLINE_JUST_NOW));
    let quiet = rules().quiet.as_millis() as u64;
    assert_eq!(due(&sessions), 61_000 + quiet);
    step(&mut sessions, 61_000 + quiet - 1, Event::Tick);
    assert_eq!(sessions.condition(), CERTAIN);
    step(&mut sessions, 61_000 + quiet, Event::Tick);
    assert_eq!(sessions.condition(), Condition::Up);
}

#[test]
fn another_gateway_that_publishes_rarely_is_not_forgotten_between_two_of_its_refreshes() {
    let refresh = Duration::from_secs(3_600);
    assert!(Rules::new(Duration::from_secs(10), refresh).quiet > refresh * 2);
}

#[test]
fn a_broker_that_is_gone_is_said_to_be_gone_and_not_to_be_taken_by_another() {
    let mut sessions = up();
    step(&mut sessions, 1_000, Event::Seen(ONLINE_JUST_NOW));
    step(&mut sessions, 2_000, Event::Ended(End::Closed));
    let at = due(&sessions);
    step(&mut sessions, at, Event::Tick);
    step(&mut sessions, at, Event::Ended(End::Unreachable));
    assert_eq!(sessions.condition(), Condition::Connecting);
}

#[test]
fn two_gateways_that_see_each_other_online_answer_once_each() {
    let mut sessions = up();
    assert_eq!(step(&mut sessions, 1_000, Event::Seen(ONLINE_JUST_NOW)), [Effect::Restate]);
    assert_eq!(step(&mut sessions, 1_001, Event::Seen(ONLINE_JUST_NOW)), []);
    // The other one's end is said once by itself or by the broker, and is not ours.
    let offline = Sighting { online: false, ..ONLINE_JUST_NOW };
    assert_eq!(step(&mut sessions, 1_002, Event::Seen(offline)), [Effect::Restate]);
}

#[test]
fn topics_of_parts_that_are_gone_are_cleared_and_nothing_else() {
    let mut sessions = up();
    for topic in [
        "reader/desk-1/a",
        "reader/desk-1/gone",
        "reader/desk-9/a",
        "terminal/desk-1",
        "terminal/desk-9",
        "gateway",
        "cases",
        "reader/desk-9",
        "reader/desk-9/a/notes",
        "reader//a",
        "terminal/desk-9/notes",
        "notes",
    ] {
        step(&mut sessions, 100, Event::Found(format!("{ROOT}/{topic}")));
    }
    for topic in ["uketsuke/clinic-2/reader/x/y", "uketsuke/other/terminal/x", "uketsuke/clinicreader/x/y"] {
        step(&mut sessions, 100, Event::Found(topic.into()));
    }
    assert_eq!(due(&sessions), 10_000);
    assert_eq!(step(&mut sessions, 9_999, Event::Tick), []);
    let cleared = ["reader/desk-1/gone", "reader/desk-9/a", "terminal/desk-9"];
    assert_eq!(step(&mut sessions, 10_000, Event::Tick), cleared.map(|topic| Effect::Clear(format!("{ROOT}/{topic}"))));
    assert_eq!((sessions.deadline(), sessions.counts().cleared), (None, 3));
}

#[test]
fn many_topics_are_cleared_in_lots_that_the_queue_of_the_client_takes() {
    let mut sessions = up();
    for reader in 0..100 {
        step(&mut sessions, 100, Event::Found(format!("{ROOT}/reader/gone/{reader}")));
    }
    assert_eq!(step(&mut sessions, 10_000, Event::Tick).len(), 64);
    assert_eq!(step(&mut sessions, 10_999, Event::Tick).len(), 0);
    assert_eq!(step(&mut sessions, 11_000, Event::Tick).len(), 36);
}

#[test]
fn the_topics_of_another_gateway_in_our_place_are_not_cleared_until_it_is_gone() {
    let mut sessions = up();
    step(&mut sessions, 100, Event::Found(format!("{ROOT}/reader/theirs/a")));
    step(&mut sessions, 5_000, Event::Seen(ONLINE_JUST_NOW));
    let quiet = due(&sessions);
    assert_eq!(step(&mut sessions, quiet - 1, Event::Tick), []);
    assert_eq!(step(&mut sessions, quiet, Event::Tick), [Effect::Clear(format!("{ROOT}/reader/theirs/a"))]);
}

#[test]
fn after_something_unreadable_the_next_sessions_publish_without_listening_and_listen_again_after_ten_minutes() {
    let mut sessions = unreadable_at(30_000);
    assert_eq!((sessions.condition(), sessions.deaf()), (Condition::Up, Some(Deaf::Unreadable)));
    // The session lasts: it listens by itself.
    assert_eq!(due(&sessions), 630_000);
    assert_eq!(step(&mut sessions, 629_999, Event::Tick), []);
    assert_eq!(step(&mut sessions, 630_000, Event::Tick), [Effect::Listen]);
    // The message is still there.
    step(&mut sessions, 630_001, Event::Listening(true));
    assert_eq!(sessions.deaf(), Some(Deaf::Unreadable), "what stands in the topics comes after this");
    step(&mut sessions, 630_002, Event::Ended(End::Unreadable));
    step(&mut sessions, 630_502, Event::Tick);
    assert_eq!(step(&mut sessions, 630_502, Event::Opened), [Effect::PublishAll]);
    assert_eq!(due(&sessions), 1_230_002);
    // A session that begins when it is due listens before it publishes; and the message is gone.
    step(&mut sessions, 1_230_001, Event::Ended(End::Closed));
    let at = due(&sessions);
    step(&mut sessions, at, Event::Tick);
    assert_eq!(step(&mut sessions, at, Event::Opened), [Effect::Listen, Effect::PublishAll]);
    step(&mut sessions, at, Event::Listening(true));
    assert_eq!(due(&sessions), at + 10_000);
    step(&mut sessions, at + 10_000, Event::Tick);
    assert_eq!((sessions.deaf(), sessions.deadline()), (None, None));
}

/// A session that publishes without listening, because the one before ended at `ms` for something unreadable.
fn unreadable_at(ms: u64) -> Sessions {
    let mut sessions = up();
    step(&mut sessions, ms, Event::Ended(End::Unreadable));
    step(&mut sessions, ms + 500, Event::Tick);
    assert_eq!(step(&mut sessions, ms + 500, Event::Opened), [Effect::PublishAll]);
    sessions
}

#[test]
fn a_refused_subscription_is_asked_for_again_and_a_granted_one_ends_it() {
    let mut sessions = up();
    step(&mut sessions, 100, Event::Listening(false));
    assert_eq!((sessions.condition(), sessions.deaf()), (Condition::Up, Some(Deaf::Refused)));
    assert_eq!(step(&mut sessions, 600_000, Event::Tick), [Effect::Listen]);
    step(&mut sessions, 600_100, Event::Listening(false));
    // A new session asks at once.
    step(&mut sessions, 700_000, Event::Ended(End::Closed));
    let at = due(&sessions);
    open(&mut sessions, at);
    assert_eq!(sessions.deaf(), Some(Deaf::Refused), "until the broker says otherwise");
    step(&mut sessions, at + 1, Event::Listening(true));
    assert_eq!((sessions.deaf(), sessions.deadline()), (None, None));
}

#[test]
fn a_broker_that_answers_no_subscription_is_asked_once_in_ten_minutes() {
    let mut sessions = unreadable_at(0);
    assert_eq!(step(&mut sessions, 600_000, Event::Tick), [Effect::Listen]);
    assert_eq!(step(&mut sessions, 1_199_999, Event::Tick), []);
    assert_eq!(step(&mut sessions, 1_200_000, Event::Tick), [Effect::Listen]);
}

/// One gateway at the model of a broker.
struct Gateway {
    sessions: Sessions,
    connected: bool,
    recognised_ms: Option<u64>,
    connects: Vec<u64>,
}

/// A broker with one client id: a new session ends the other one, whose Last Will stands in the topic until it is overwritten.
fn two_gateways(started: [u64; 2], random: &[f64], until_ms: u64) -> [Gateway; 2] {
    let fresh = |at| Gateway {
        sessions: Sessions::new(rules(), ROOT.into(), own(), now(at)),
        connected: false,
        recognised_ms: None,
        connects: Vec::new(),
    };
    let mut gateways = started.map(fresh);
    // Who wrote the gateway's topic last, and whether it says "online".
    let mut topic: Option<(usize, bool)> = None;
    let mut dice = random.iter().copied().cycle();
    loop {
        let due_of = |gateway: &Gateway| gateway.sessions.deadline().map_or(u64::MAX, |at| at.0);
        let who = usize::from(due_of(&gateways[1]) < due_of(&gateways[0]));
        let at = due_of(&gateways[who]);
        if at > until_ms {
            return gateways;
        }
        let mut effects = Vec::new();
        gateways[who].sessions.step(now(at), Event::Tick, dice.next().unwrap_or(0.5), &mut effects);
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Clear(_))), "the other's topics are cleared");
        if effects.contains(&Effect::Connect) {
            let other = 1 - who;
            if std::mem::take(&mut gateways[other].connected) {
                topic = Some((other, false));
                let jitter = dice.next().unwrap_or(0.5);
                gateways[other].sessions.step(now(at), Event::Ended(End::Closed), jitter, &mut effects);
            }
            let other_was_there = !gateways[other].connects.is_empty();
            let us = &mut gateways[who];
            us.connected = true;
            us.connects.push(at);
            us.sessions.step(now(at), Event::Opened, 0.5, &mut effects);
            if let Some((writer, online)) = topic {
                let foreign = writer != who;
                let younger = foreign && started[writer] > started[who];
                us.sessions.step(
                    now(at),
                    Event::Seen(Sighting { foreign, younger, online, kept: true }),
                    0.5,
                    &mut effects,
                );
            }
            if other_was_there {
                // A reader that the other one has and we have not.
                us.sessions.step(now(at), Event::Found(format!("{ROOT}/reader/theirs/a")), 0.5, &mut effects);
            }
            topic = Some((who, true));
            us.sessions.step(now(at), Event::Sent(1), 0.5, &mut effects);
            us.sessions.step(now(at), Event::Acknowledged(1), 0.5, &mut effects);
            assert!(!effects.iter().any(|effect| matches!(effect, Effect::Clear(_))), "the other's topics are cleared");
        }
        for gateway in &mut gateways {
            if gateway.sessions.condition() == CERTAIN {
                gateway.recognised_ms.get_or_insert(at);
            }
        }
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Tick),
        4 => Just(Event::Opened),
        4 => (1u16..5).prop_map(Event::Sent),
        4 => (1u16..5).prop_map(Event::Acknowledged),
        1 => any::<[bool; 4]>().prop_map(|[foreign, younger, online, kept]| Event::Seen(Sighting { foreign, younger, online, kept })),
        2 => any::<bool>().prop_map(Event::Listening),
        2 => prop_oneof![Just("reader/desk-1/a"), Just("reader/gone/a"), Just("terminal/gone")]
            .prop_map(|topic| Event::Found(format!("{ROOT}/{topic}"))),
        2 => prop_oneof![Just(End::Closed), Just(End::Unreachable), Just(End::Unreadable)].prop_map(Event::Ended),
    ]
}

proptest! {
    #[test]
    fn two_gateways_with_one_client_id_know_it_within_seconds_and_leave_each_other_half_a_minute(
        first in 0u64..1_000,
        second in 0u64..120_000,
        random in proptest::collection::vec(0.0f64..=1.0, 1..40),
    ) {
        let second = if first == second { second + 1 } else { second };
        let both = first.max(second);
        for gateway in two_gateways([first, second], &random, both + 600_000) {
            let recognised = gateway.recognised_ms;
            prop_assert!(recognised.is_some_and(|at| at <= both + 40_000), "{recognised:?} of {both}");
            // Of those after the recognition.
            let later: Vec<_> = gateway.connects.iter().filter(|at| Some(**at) > recognised).collect();
            prop_assert!(later.windows(2).all(|pair| pair[1] - pair[0] >= 30_000), "{:?}", gateway.connects);
            prop_assert!(gateway.connects.len() <= 5 + 20, "{:?}", gateway.connects);
        }
    }

    #[test]
    fn whatever_happens_there_is_one_session_at_a_time_and_time_alone_leads_to_the_next(
        events in proptest::collection::vec((any_event(), 0u64..20_000, 0.0f64..=1.0), 1..200),
    ) {
        let mut sessions = sessions();
        let mut at = 0;
        let mut alive = false;
        for (event, later, jitter) in events {
            at += later;
            let ended = matches!(event, Event::Ended(_));
            // Only a session, or an attempt at one, can end or open.
            if (ended || event == Event::Opened) && !alive {
                continue;
            }
            alive &= !ended;
            let mut effects = Vec::new();
            sessions.step(now(at), event, jitter, &mut effects);
            for effect in &effects {
                match effect {
                    Effect::Connect => { prop_assert!(!alive); alive = true; }
                    Effect::Drop => { prop_assert!(alive); alive = false; }
                    Effect::Clear(topic) => {
                        prop_assert!(alive);
                        prop_assert!(!own().contains(topic));
                        prop_assert_eq!(sessions.condition(), Condition::Up);
                    }
                    Effect::Listen | Effect::PublishAll | Effect::Restate => prop_assert!(alive),
                }
            }
            prop_assert!(!sessions.is_open() || alive);
            if !sessions.is_open() {
                prop_assert!(sessions.deadline().is_some_and(|due| due.since(Mono(at)) <= Duration::from_secs(60)));
            }
            // A tick that is due always gets somewhere.
            prop_assert!(sessions.deadline().is_none_or(|due| due > Mono(at)));
        }
    }
}
