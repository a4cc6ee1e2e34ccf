//! The states of a reception and of a case, explored rather than drawn by hand: every state that can be reached, every event in each,
//! and from each state with a card a way on for a patient who can use neither face nor PIN.
//!
//! The diagram and the tables in this crate's README are generated here. After a change of the core run the tests once with
//! `UKETSUKE_WRITE=1` in the environment and look at what became of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod alphabet;
mod case;

use alphabet::alphabet;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::path::Path;
use std::sync::OnceLock;
use uketsuke_core::clock::{Mono, Now, Stamp};
use uketsuke_core::consent::Question;
use uketsuke_core::invariants::ReceptionWatch;
use uketsuke_core::reception::{Ending, Event, Reception, Rules, Screen, Timing};

/// Short enough for a diagram; enough to tell apart what a patient can do.
type State = &'static str;

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

    /// The patient has been told that it is done, which is said only once it is on the disk.
    fn done(&self) -> bool {
        matches!(self.core.screen(), Screen::TakeCard { ending: Ending::Done(_), .. } | Screen::Notice(Ending::Done(_)))
    }

    /// What comes of an event, and whether anything did: another core, or something to be done.
    fn after(&self, event: &Event) -> (Self, bool) {
        let mut next = self.clone();
        if *event == Event::Tick {
            next.mono = self.core.deadline().map_or(self.mono, |deadline| deadline.0.max(self.mono));
        }
        let now = Now { boot: 1, mono: Mono(next.mono), stamp: Stamp { wall_ms: 0, synchronised: true } };
        let mut effects = Vec::new();
        next.core.step(now, event.clone(), &mut effects);
        next.watch.check(now, &self.core, event, &effects, &next.core).unwrap();
        let handled = !effects.is_empty() || format!("{:?}", self.core) != format!("{:?}", next.core);
        (next, handled)
    }
}

struct House {
    spots: BTreeMap<String, Spot>,
    /// By the key that they begin at.
    moves: BTreeMap<String, Vec<Move>>,
}

/// What one event does in one spot.
struct Move {
    event: &'static str,
    to: String,
    handled: bool,
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
            let (next, handled) = spot.after(&event);
            let key = next.key();
            if house.spots.insert(key.clone(), next.clone()).is_none() {
                open.push_back(next);
            }
            moves.push(Move { event: name, to: key, handled });
        }
        house.moves.insert(spot.key(), moves);
    }
    house
}

/// What a patient who can use neither face nor PIN has: the button for staff, who look when they are called, and what the machines do
/// when they work. Nobody waits for a deadline; a face or a PIN that was begun all the same comes to nothing.
const WITHOUT_FACE_AND_PIN: &[&str] = &[
    "read: neither face nor PIN",
    "read: PIN and face locked",
    "call staff",
    "same person",
    "face fault",
    "PIN fault",
    "T1 written",
    "eligible",
    "no insurance found",
    "do not register",
    "registration written",
    "registered, eligible",
    "acknowledge",
    "consent 1",
    "consent 2",
    "T2 written",
];

impl House {
    /// Every move, flat, with the state it begins at and the one it leads to.
    fn moves(&self) -> impl Iterator<Item = (State, &Move, State)> {
        let state = |key: &String| self.spots[key].state();
        self.moves.iter().flat_map(move |(from, moves)| moves.iter().map(move |one| (state(from), one, state(&one.to))))
    }

    /// Whether a spot for which `goal` holds can be reached from `key` by these events.
    fn leads(&self, key: &str, by: &[&str], goal: impl Fn(&Spot) -> bool) -> bool {
        let mut seen = BTreeSet::from([key]);
        let mut open = vec![key];
        while let Some(here) = open.pop() {
            if goal(&self.spots[here]) {
                return true;
            }
            // Staff do not come by themselves: they look where the screen has called them.
            let called = self.spots[here].state() == "staff_look";
            let can = |one: &&Move| by.contains(&one.event) && (called || one.event != "same person");
            for one in self.moves[here].iter().filter(can) {
                if seen.insert(&one.to) {
                    open.push(&one.to);
                }
            }
        }
        false
    }

    /// The states with a card in which the patient cannot be received by these events.
    fn stuck(&self, by: &[&str]) -> BTreeSet<State> {
        let with_card = self.spots.iter().filter(|(_, spot)| spot.core.busy());
        with_card.filter(|(key, _)| !self.leads(key, by, Spot::done)).map(|(_, spot)| spot.state()).collect()
    }
}

#[test]
fn a_patient_who_can_use_neither_face_nor_pin_is_received_from_every_state_with_a_card() {
    assert_eq!(house().stuck(WITHOUT_FACE_AND_PIN), BTreeSet::new());
}

#[test]
fn without_the_button_for_staff_or_without_their_look_the_search_finds_who_is_stuck() {
    let without =
        |gone: &str| -> Vec<&str> { WITHOUT_FACE_AND_PIN.iter().copied().filter(|event| *event != gone).collect() };
    let before_t1 = ["choosing", "face", "pin", "reading", "staff_look"];
    assert_eq!(house().stuck(&without("call staff")), BTreeSet::from(["choosing", "face", "pin"]));
    assert_eq!(house().stuck(&without("same person")), BTreeSet::from(before_t1));
    assert!(house().stuck(&without("T2 written")).contains("recording"));
}

#[test]
fn no_state_is_a_dead_end_when_nobody_does_anything() {
    let house = house();
    for (key, spot) in house.spots.iter().filter(|(_, spot)| spot.state() != "idle") {
        let ends = house.leads(key, &["deadline"], |spot| ["take_card", "idle"].contains(&spot.state()));
        assert!(ends, "stuck in {}: {key}", spot.state());
    }
}

#[test]
fn diagram_and_tables_of_the_readme_are_those_of_the_code() {
    let house = house();
    let generated = [
        ("states of a reception", format!("{}\n{}", diagram(house), table(house))),
        ("work on a case", case::tables()),
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let mut readme = std::fs::read_to_string(&path).unwrap();
    for (what, text) in generated {
        let (begin, end) = (format!("<!-- generated: {what} -->\n"), format!("<!-- end of {what} -->"));
        let (before, rest) = readme.split_once(&begin).unwrap();
        let (written, after) = rest.split_once(&end).unwrap();
        if std::env::var_os("UKETSUKE_WRITE").is_some() {
            readme = format!("{before}{begin}{text}{end}{after}");
            std::fs::write(&path, &readme).unwrap();
        } else {
            let first = written.lines().zip(text.lines()).find(|(written, text)| written != text);
            assert!(written == text, "the README shows other {what} ({first:?}); see the head of this file");
        }
    }
}

/// Moves between states of different name; those that lead to the same state by several events share an arrow.
fn arrows(house: &House) -> BTreeMap<(State, State), BTreeSet<&'static str>> {
    let mut arrows: BTreeMap<(State, State), BTreeSet<&'static str>> = BTreeMap::new();
    for (from, Move { event, .. }, to) in house.moves() {
        // True in every state, said once in the text.
        let everywhere = matches!(*event, "card placed" | "card removed" | "reader fault" | "cancel");
        if from != to && (!everywhere || from == "idle" || from == "take_card") {
            arrows.entry((from, to)).or_default().insert(*event);
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
    let mut table = Table::default();
    for (from, one, to) in house.moves() {
        table.add(one.event, from, to, one.handled);
    }
    let events: Vec<&str> =
        alphabet(&house.spots.values().next().unwrap().core).into_iter().map(|(name, _)| name).collect();
    let states: BTreeSet<State> = house.spots.values().map(Spot::state).collect();
    table.text(&events, &states.into_iter().collect::<Vec<_>>())
}

/// What each event does in each state, over all spots that have the state.
#[derive(Default)]
struct Table {
    /// By event and state.
    cells: BTreeMap<(String, String), Cell>,
}

#[derive(Default)]
struct Cell {
    leads_to: BTreeSet<String>,
    handled: bool,
    ignored: bool,
}

impl Table {
    fn add(&mut self, event: &str, from: &str, to: &str, handled: bool) {
        let cell = self.cells.entry((event.to_owned(), from.to_owned())).or_default();
        if from != to {
            cell.leads_to.insert(to.to_owned());
        } else if handled {
            cell.handled = true;
        } else {
            cell.ignored = true;
        }
    }

    /// As Markdown, with rows and columns in this order.
    fn text(&self, events: &[&str], states: &[&str]) -> String {
        let mut text = format!("| event | {} |\n|---|{}\n", states.join(" | "), "---|".repeat(states.len()));
        for event in events {
            let cells: Vec<String> = states.iter().map(|state| self.cell(event, state)).collect();
            writeln!(text, "| {event} | {} |", cells.join(" | ")).unwrap();
        }
        text
    }

    fn cell(&self, event: &str, state: &str) -> String {
        let Some(cell) = self.cells.get(&(event.to_owned(), state.to_owned())) else { return "–".to_owned() };
        let stays = if cell.handled {
            Some("·")
        } else if cell.ignored {
            Some("–")
        } else {
            None
        };
        let parts = stays.into_iter().chain(cell.leads_to.iter().map(String::as_str));
        parts.collect::<Vec<_>>().join(" or ")
    }
}
