//! The reception's states, explored rather than drawn by hand: every state that can be reached, every event in each, and from each
//! state with a card a way on for a patient who can use neither face nor PIN.
//!
//! The diagram and the table in this crate's README are generated here. After a change of the core run the tests once with
//! `UKETSUKE_WRITE=1` in the environment and look at what became of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::path::Path;
use std::sync::OnceLock;
use uketsuke_core::answer::{Reason, Verdict};
use uketsuke_core::clock::{Mono, Now, Stamp};
use uketsuke_core::consent::Question;
use uketsuke_core::ids::ReceptionId;
use uketsuke_core::invariants::ReceptionWatch;
use uketsuke_core::pin::{Pad, PinKeys};
use uketsuke_core::reception::{
    Ask, CardFacts, CertificateAge, Event, FaceMethod, FaceOutcome, Intent, NotWritten, PinMethod, PinOutcome,
    ReadFailure, Reception, Rules, StaffDecision, Timing,
};
use uketsuke_core::record::{Rejection, Reply, StaffName};

/// Short enough for a diagram; enough to tell apart what a patient can do.
type State = &'static str;

const CARD: ReceptionId = ReceptionId(uuid::Uuid::nil());

fn facts(pin: PinMethod, face: FaceMethod, certificate: CertificateAge) -> CardFacts {
    CardFacts { certificate, pin, face, face_failures: 0, recorded_before: None }
}

/// The face attempt that is going on, which only the shell is told.
fn attempt(core: &Reception) -> u32 {
    let told = format!("{core:?}");
    let digits = told.split_once("face_attempt: ").map_or("0", |(_, rest)| rest.split(',').next().unwrap());
    digits.trim().parse().unwrap()
}

/// One of each kind of thing that can happen, with the name it has in diagram and table.
fn alphabet(core: &Reception) -> Vec<(&'static str, Event)> {
    let intent = |intent| Event::Intent(CARD, core.version(), intent);
    let read = |facts| Event::CardRead(CARD, Ok(facts));
    let not_valid = |reason| Reply::Answered { verdict: Verdict::Ineligible(reason), unmapped_characters: false };
    let (ineligible, several) = (not_valid(Reason::NoInsuranceFound), not_valid(Reason::SeveralInsurances));
    let eligible = Reply::Answered { verdict: Verdict::Eligible, unmapped_characters: false };
    let unregistered =
        Reply::Answered { verdict: Verdict::Ineligible(Reason::CardNotRegistered), unmapped_characters: false };
    let refused = Reply::Rejected(Rejection { code: "x".into() });
    let consent = |question| intent(Intent::Consent { question, agreed: true });
    let staff = || StaffName::new("staff").unwrap();
    let judged = |outcome| Event::FaceJudged(CARD, attempt(core), outcome);
    vec![
        ("card placed", Event::CardPlaced(CARD)),
        ("card removed", Event::CardRemoved),
        ("reader fault", Event::ReaderFault),
        ("read", read(facts(PinMethod::Tries(3), FaceMethod::Ready, CertificateAge::Valid))),
        ("read: PIN locked", read(facts(PinMethod::Locked, FaceMethod::Ready, CertificateAge::Valid))),
        ("read: no PIN", read(facts(PinMethod::Absent, FaceMethod::Ready, CertificateAge::ExpiresSoon))),
        ("read: face locked", read(facts(PinMethod::Tries(3), FaceMethod::Locked, CertificateAge::Valid))),
        ("read: photo unusable", read(facts(PinMethod::Tries(1), FaceMethod::PhotoUnusable, CertificateAge::Valid))),
        ("read: neither face nor PIN", read(facts(PinMethod::Absent, FaceMethod::Off, CertificateAge::Valid))),
        ("read: in grace", read(facts(PinMethod::Tries(3), FaceMethod::Ready, CertificateAge::Grace))),
        ("read: expired", read(facts(PinMethod::Tries(3), FaceMethod::Ready, CertificateAge::Expired))),
        ("read: not valid yet", read(facts(PinMethod::Tries(3), FaceMethod::Ready, CertificateAge::NotYetValid))),
        ("not read", Event::CardRead(CARD, Err(ReadFailure::Unreadable))),
        ("not a card", Event::CardRead(CARD, Err(ReadFailure::NotACard))),
        ("another card", Event::CardRead(CARD, Err(ReadFailure::NotMyNumberCard))),
        ("face", intent(Intent::ChooseFace)),
        ("PIN", intent(Intent::ChoosePin)),
        ("pad drawn", Event::PadDrawn(CARD, Pad::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).unwrap())),
        ("PIN typed", intent(Intent::Pin(PinKeys::new(&[1, 2, 3, 4]).unwrap()))),
        ("call staff", intent(Intent::CallStaff)),
        ("PIN forgotten", intent(Intent::Forgotten)),
        ("by a companion", intent(Intent::ByProxy)),
        ("by the patient", intent(Intent::ByPatient)),
        ("staff assist", Event::StaffAssists(CARD, staff())),
        ("staff leave", Event::StaffLeave(CARD)),
        ("back", intent(Intent::Back)),
        ("cancel", intent(Intent::Cancel)),
        ("acknowledge", intent(Intent::Acknowledge)),
        ("match", judged(FaceOutcome::Match { score: 0.7 })),
        ("uncertain", judged(FaceOutcome::Uncertain { score: 0.4 })),
        ("no match", judged(FaceOutcome::NoMatch { score: 0.1 })),
        ("no face", judged(FaceOutcome::NoFace)),
        ("face fault", judged(FaceOutcome::Fault)),
        ("PIN right", Event::PinChecked(CARD, PinOutcome::Verified)),
        ("PIN wrong", Event::PinChecked(CARD, PinOutcome::Wrong { tries_left: 2 })),
        ("PIN locked", Event::PinChecked(CARD, PinOutcome::Locked)),
        ("PIN fault", Event::PinChecked(CARD, PinOutcome::Fault)),
        ("same person", Event::StaffDecided(CARD, StaffDecision::SamePerson, staff())),
        ("not same person", Event::StaffDecided(CARD, StaffDecision::NotSamePerson, staff())),
        ("T1 written", Event::Opened(CARD, Ok(()))),
        ("T1 failed", Event::Opened(CARD, Err(NotWritten))),
        ("eligible", Event::Replied(CARD, Ask::First, eligible.clone())),
        ("ineligible", Event::Replied(CARD, Ask::First, ineligible.clone())),
        ("several insurances", Event::Replied(CARD, Ask::First, several)),
        ("not registered", Event::Replied(CARD, Ask::First, unregistered.clone())),
        ("refused", Event::Replied(CARD, Ask::First, refused.clone())),
        ("register", intent(Intent::Register(true))),
        ("do not register", intent(Intent::Register(false))),
        ("registration written", Event::RegistrationWritten(CARD, Ok(()))),
        ("registration failed", Event::RegistrationWritten(CARD, Err(NotWritten))),
        ("registered, eligible", Event::Replied(CARD, Ask::FollowUp, eligible)),
        ("registered, ineligible", Event::Replied(CARD, Ask::FollowUp, ineligible)),
        ("still not registered", Event::Replied(CARD, Ask::FollowUp, unregistered)),
        ("registration refused", Event::Replied(CARD, Ask::FollowUp, refused)),
        ("line down", Event::LineDown(CARD)),
        ("consent 1", consent(Question::TreatmentAndMedication)),
        ("consent 2", consent(Question::Checkups)),
        ("T2 written", Event::Recorded(CARD, Ok(()))),
        ("T2 failed", Event::Recorded(CARD, Err(NotWritten))),
        ("deadline", Event::Tick),
    ]
}

/// A core with what the outside world knows about it.
#[derive(Clone)]
struct Spot {
    core: Reception,
    watch: ReceptionWatch,
    mono: u64,
}

impl Spot {
    fn state(&self) -> State {
        self.core.state_name()
    }

    /// Two spots with the same key have the same future: everything but times, the screen's version and the count of attempts.
    fn key(&self) -> String {
        let mut key = format!("{:?}", self.core);
        for counter in ["Mono(", "version: ", "face_attempt: ", "face_failures: "] {
            let parts: Vec<&str> =
                key.split(counter).map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit())).collect();
            key = parts.join(counter);
        }
        key
    }

    fn after(&self, event: &Event) -> Self {
        let mut next = self.clone();
        if *event == Event::Tick {
            next.mono = self.core.deadline().map_or(self.mono, |deadline| deadline.0.max(self.mono));
        }
        let now = Now { boot: 1, mono: Mono(next.mono), stamp: Stamp { wall_ms: 0, synchronised: true } };
        let mut effects = Vec::new();
        next.core.step(now, event.clone(), &mut effects);
        next.watch.check(now, &self.core, event, &effects, &next.core).unwrap();
        next
    }
}

struct House {
    spots: BTreeMap<String, Spot>,
    /// From key, by event name, to key.
    moves: BTreeMap<String, Vec<(&'static str, String)>>,
}

/// Explored once for all tests.
fn house() -> &'static House {
    static HOUSE: OnceLock<House> = OnceLock::new();
    HOUSE.get_or_init(explore)
}

fn explore() -> House {
    let rules =
        Rules { timing: Timing::default(), questions: vec![Question::TreatmentAndMedication, Question::Checkups] };
    let start = Spot { core: Reception::new(rules), watch: ReceptionWatch::default(), mono: 0 };
    let mut house = House { spots: BTreeMap::from([(start.key(), start.clone())]), moves: BTreeMap::new() };
    let mut open = VecDeque::from([start]);
    while let Some(spot) = open.pop_front() {
        let mut moves = Vec::new();
        for (name, event) in alphabet(&spot.core) {
            let next = spot.after(&event);
            let key = next.key();
            if house.spots.insert(key.clone(), next.clone()).is_none() {
                open.push_back(next);
            }
            moves.push((name, key));
        }
        house.moves.insert(spot.key(), moves);
    }
    house
}

/// What a patient who can use neither face nor PIN has: the button for staff, and what others do.
const WITHOUT_FACE_AND_PIN: &[&str] = &[
    "read",
    "read: neither face nor PIN",
    "call staff",
    "same person",
    "T1 written",
    "eligible",
    "ineligible",
    "do not register",
    "deadline",
    "acknowledge",
    "consent 1",
    "consent 2",
    "T2 written",
];

impl House {
    /// Every move, flat: from key, by event name, to key.
    fn moves(&self) -> impl Iterator<Item = (&String, &'static str, &String)> {
        self.moves.iter().flat_map(|(from, moves)| moves.iter().map(move |(name, to)| (from, *name, to)))
    }

    /// Whether a state of this name can be reached from `key` by these events.
    fn leads(&self, key: &str, by: &[&str], to: State) -> bool {
        let mut seen = BTreeSet::from([key.to_owned()]);
        let mut open = vec![key.to_owned()];
        while let Some(here) = open.pop() {
            if self.spots[&here].state() == to {
                return true;
            }
            for (_, next) in self.moves[&here].iter().filter(|(name, _)| by.contains(name)) {
                if seen.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        false
    }
}

#[test]
fn a_patient_who_can_use_neither_face_nor_pin_gets_to_the_end_from_every_state_with_a_card() {
    let house = house();
    for (key, spot) in house.spots.iter().filter(|(_, spot)| spot.core.busy()) {
        // T2 under way without a card ends at a notice instead.
        let end = if key.contains("card_gone: true") { "notice" } else { "take_card" };
        assert!(house.leads(key, WITHOUT_FACE_AND_PIN, end), "no way on from {}: {key}", spot.state());
    }
}

#[test]
fn no_state_is_a_dead_end_when_nobody_does_anything() {
    let house = house();
    for (key, spot) in house.spots.iter().filter(|(_, spot)| spot.state() != "idle") {
        let ends = ["take_card", "idle"].iter().any(|end| house.leads(key, &["deadline"], end));
        assert!(ends, "stuck in {}: {key}", spot.state());
    }
}

#[test]
fn diagram_and_table_of_the_readme_are_those_of_the_code() {
    let house = house();
    let generated = format!("{}\n{}", diagram(house), table(house));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once("<!-- generated -->\n").unwrap();
    let (written, after) = rest.split_once("<!-- end of generated -->").unwrap();
    if std::env::var_os("UKETSUKE_WRITE").is_some() {
        let new = format!("{before}<!-- generated -->\n{generated}<!-- end of generated -->{after}");
        std::fs::write(&path, new).unwrap();
    } else {
        assert_eq!(written, generated, "the README shows other states; see the head of this file");
    }
}

/// Moves between states of different name; those that lead to the same state by several events share an arrow.
fn arrows(house: &House) -> BTreeMap<(State, State), BTreeSet<&'static str>> {
    let mut arrows: BTreeMap<(State, State), BTreeSet<&'static str>> = BTreeMap::new();
    for (from, name, to) in house.moves() {
        let (from, to) = (house.spots[from].state(), house.spots[to].state());
        // True in every state, said once in the text.
        let everywhere = matches!(name, "card placed" | "card removed" | "reader fault" | "cancel");
        if from != to && (!everywhere || from == "idle" || from == "take_card") {
            arrows.entry((from, to)).or_default().insert(name);
        }
    }
    arrows
}

fn diagram(house: &House) -> String {
    let mut text = String::from("```mermaid\nstateDiagram-v2\n    [*] --> idle\n");
    for ((from, to), names) in arrows(house) {
        let names: Vec<_> = names.into_iter().map(|name| name.replace(':', ",")).collect();
        writeln!(text, "    {from} --> {to}: {}", names.join(" / ")).unwrap();
    }
    text.push_str("```\n");
    text
}

fn table(house: &House) -> String {
    let states: BTreeSet<State> = house.spots.values().map(Spot::state).collect();
    let mut cells: BTreeMap<(&'static str, State), BTreeSet<State>> = BTreeMap::new();
    for (from, name, to) in house.moves() {
        cells.entry((name, house.spots[from].state())).or_default().insert(house.spots[to].state());
    }
    let names: Vec<&'static str> =
        alphabet(&house.spots.values().next().unwrap().core).into_iter().map(|(name, _)| name).collect();
    let mut text = String::from("| event |");
    states.iter().for_each(|state| write!(text, " {state} |").unwrap());
    text.push_str("\n|---|");
    states.iter().for_each(|_| text.push_str("---|"));
    text.push('\n');
    for name in names {
        write!(text, "| {name} |").unwrap();
        for state in &states {
            let to: Vec<_> = cells[&(name, *state)].iter().filter(|to| *to != state).copied().collect();
            let stays = cells[&(name, *state)].contains(state);
            let cell = match (to.is_empty(), stays) {
                (true, _) => "·".to_owned(),
                (false, true) => format!("· or {}", to.join(" or ")),
                (false, false) => to.join(" or "),
            };
            write!(text, " {cell} |").unwrap();
        }
        text.push('\n');
    }
    text
}
