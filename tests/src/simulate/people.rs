//! Patients and staff: what they do before each screen, sensible or not.

use super::agenda::{Deed, Outside};
use super::world::World;
use rand::Rng;
use rand::rngs::StdRng;
use std::time::Duration;
use uketsuke_core::consent::Question;
use uketsuke_core::ids::ReceptionId;
use uketsuke_core::pin::{Pad, PinKeys};
use uketsuke_core::reception::{Choose, Event, Intent, Rules, Screen, StaffDecision, Timing};
use uketsuke_core::record::StaffName;

/// The PIN of every card here.
pub(super) const PIN: &[u8; 4] = b"1234";

/// What a site may have configured.
pub(super) fn rules(rng: &mut StdRng) -> Rules {
    let questions = [&[][..], &[Question::TreatmentAndMedication, Question::Checkups]];
    let answer = Duration::from_secs([2, 10][rng.random_range(0..2)]);
    let questions = questions[usize::from(rng.random_ratio(5, 6))].to_vec();
    Rules { timing: Timing { answer, ..Timing::default() }, questions }
}

impl World {
    pub(super) fn somebody_comes(&mut self, reader: usize) {
        if self.quiet || self.slots[reader].card.is_some() {
            return;
        }
        let patient = self.rng.random_range(0..self.patients);
        if self.slots.iter().any(|slot| slot.card == Some(patient)) {
            return self.later(1_000..=5_000, Outside::Comes(reader));
        }
        self.counts.visits += 1;
        self.trace.note(self.time.ms, 5, reader as u64, || format!("patient {patient} puts the card into {reader}"));
        let slot = &mut self.slots[reader];
        (slot.card, slot.seen) = (Some(patient), (None, 0));
        slot.visit += 1;
        self.report_card(reader, true);
        // Nobody stands before a dark screen for ever.
        self.will_do(reader, 600_000..=900_000, Deed::Pull);
    }

    pub(super) fn somebody_does(&mut self, reader: usize, visit: u64, deed: Deed) {
        if self.slots[reader].visit != visit {
            return;
        }
        match deed {
            Deed::Pull => {
                self.trace.note(self.time.ms, 6, reader as u64, || format!("the card is taken from {reader}"));
                self.take_card(reader);
            }
            Deed::Press(reception, version, intent) => {
                self.pressed(reader, version);
                if intent == Intent::ByProxy {
                    self.judge.by_proxy.insert(reception);
                }
                self.send(reader, Event::Intent(reception, version, intent));
            }
        }
    }

    pub(super) fn staff_decide(&mut self, reader: usize, reception: ReceptionId, decision: StaffDecision) {
        self.counts.staff_decisions += 1;
        if let Some(by) = StaffName::new("7") {
            self.send(reader, Event::StaffDecided(reception, decision, by));
        }
    }

    pub(super) fn staff_assist(&mut self, reader: usize, reception: ReceptionId) {
        self.counts.assisted += 1;
        self.judge.assisted.insert(reception);
        if let Some(by) = StaffName::new("8") {
            self.send(reader, Event::StaffAssists(reception, by));
        }
        if self.rng.random_ratio(1, 4) {
            self.send(reader, Event::StaffLeave(reception));
        }
    }

    /// The person at this reader sees a new screen.
    pub(super) fn sees(&mut self, reader: usize, reception: Option<ReceptionId>, version: u64, screen: &Screen) {
        let Some(reception) = reception else { return };
        if self.slots[reader].card.is_none() {
            return;
        }
        if let Screen::TakeCard { reminder, .. } = screen {
            self.counts.left_behind += u64::from(*reminder);
            let dawdles = self.rng.random_ratio(1, 15);
            return self.will_do(reader, 400..=if dawdles { 90_000 } else { 6_000 }, Deed::Pull);
        }
        if self.rng.random_ratio(1, 40) {
            self.will_do(reader, 100..=9_000, Deed::Pull);
        }
        if self.rng.random_ratio(1, 30) {
            self.will_do(reader, 100..=9_000, Deed::Press(reception, version, Intent::Cancel));
        }
        if self.rng.random_ratio(1, 20) {
            // A button of this screen, pressed long after.
            self.will_do(reader, 5_000..=40_000, Deed::Press(reception, version, Intent::Acknowledge));
        }
        if matches!(screen, Screen::Pin(_) | Screen::Consent { .. }) && self.rng.random_ratio(1, 15) {
            let who = if self.rng.random_ratio(1, 4) { Intent::ByPatient } else { Intent::ByProxy };
            self.will_do(reader, 100..=3_000, Deed::Press(reception, version, who));
        }
        if self.rng.random_ratio(1, 50) {
            self.later(100..=9_000, Outside::Assists(reader, reception));
        }
        if self.rng.random_ratio(1, 50) {
            // Staff look of their own accord.
            self.call_staff(reader, reception);
        }
        // Some stand and think until the time is over.
        if self.rng.random_ratio(1, 25) {
            return;
        }
        let intent = match screen {
            Screen::Choose(choose) => self.chooses(choose),
            Screen::Face => return self.perhaps_back(reader, reception, version),
            Screen::Pin(_) if self.rng.random_ratio(1, 20) => {
                self.counts.forgotten_pins += 1;
                Intent::Forgotten
            }
            Screen::Pin(pin) => match &pin.pad {
                Some(pad) => match self.types(pad) {
                    Some(keys) => Intent::Pin(keys),
                    None => return,
                },
                None => return,
            },
            Screen::Staff { .. } => return self.call_staff(reader, reception),
            Screen::Ineligible(_) => Intent::Acknowledge,
            Screen::Register { .. } => Intent::Register(self.rng.random_ratio(4, 5)),
            Screen::Consent { question, .. } => {
                Intent::Consent { question: *question, agreed: self.rng.random_ratio(4, 5) }
            }
            Screen::Recording if self.rng.random_ratio(1, 12) => {
                if self.rng.random() {
                    return self.will_do(reader, 0..=20, Deed::Pull);
                }
                Intent::Cancel
            }
            Screen::Idle
            | Screen::Reading
            | Screen::Asking
            | Screen::Registering
            | Screen::Recording
            | Screen::TakeCard { .. }
            | Screen::Notice(_) => return,
        };
        let soon = if matches!(screen, Screen::Recording) { 0..=20 } else { 300..=9_000 };
        self.will_do(reader, soon, Deed::Press(reception, version, intent));
    }

    fn chooses(&mut self, choose: &Choose) -> Intent {
        match self.rng.random_range(0..10) {
            0 => Intent::CallStaff,
            1..=4 if choose.face => Intent::ChooseFace,
            _ if choose.pin => Intent::ChoosePin,
            _ if choose.face => Intent::ChooseFace,
            _ => Intent::CallStaff,
        }
    }

    fn types(&mut self, pad: &Pad) -> Option<PinKeys> {
        let wrong = self.rng.random_ratio(1, 6);
        self.counts.wrong_pins += u64::from(wrong);
        let position = |digit: &u8| pad.digits().iter().position(|d| d + b'0' == *digit).unwrap_or(0) as u8;
        let mut keys: Vec<u8> = PIN.iter().map(position).collect();
        if wrong {
            keys.reverse();
        }
        PinKeys::new(&keys)
    }

    fn perhaps_back(&mut self, reader: usize, reception: ReceptionId, version: u64) {
        if self.rng.random_ratio(1, 8) {
            self.will_do(reader, 300..=5_000, Deed::Press(reception, version, Intent::Back));
        }
    }

    /// Staff come, sooner or later, or too late.
    fn call_staff(&mut self, reader: usize, reception: ReceptionId) {
        let decision =
            if self.rng.random_ratio(1, 10) { StaffDecision::NotSamePerson } else { StaffDecision::SamePerson };
        let late = self.rng.random_ratio(1, 8);
        self.later(1_000..=if late { 250_000 } else { 20_000 }, Outside::Decides(reader, reception, decision));
    }
}
