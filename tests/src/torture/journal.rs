//! What patients were shown: the only witness of what the gateway promised.

use crate::patient::Shown;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Words of a "take your card" screen that mean "received". What is said of a new insurance is one of them: that patient is sent
/// to the desk, and the reception counts.
const DONE: [&str; 2] = ["受付が完了しました", "登録されている資格は無効"];

/// Words of the screen that sends a patient to the desk because nothing can be written.
const NOT_RECORDED: &str = "いま受付を記録できません";

/// A reception as its patient saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Witnessed {
    pub(super) reception: String,
    /// Number of the patient.
    pub(super) patient: usize,
    /// A screen appeared that exists only after T1 is committed.
    pub(super) acknowledged: bool,
    /// A consent question was put; nothing is recorded before each has its answer.
    pub(super) consented: bool,
    /// Shown as done: T2 is committed.
    pub(super) done: bool,
    /// Every screen, in order.
    pub(super) screens: Vec<String>,
    /// When the last screen appeared on which somebody has to do something: what is promised after it was written after it.
    #[serde(skip)]
    pub(super) asked: Option<Instant>,
}

/// Everything that patients were shown, in the order in which it began.
#[derive(Debug, Default, Serialize)]
pub(super) struct Journal {
    pub(super) receptions: Vec<Witnessed>,
    #[serde(skip)]
    by_id: HashMap<String, usize>,
    /// Told whenever the gateway promises something new to a patient.
    #[serde(skip)]
    promises: Option<mpsc::Sender<()>>,
    /// Visits that ended with a taken card.
    pub(super) visits: u64,
    /// Times that a patient's kiosk or card lost its connection, and the card was placed again.
    pub(super) broken: u64,
    /// Times that a card which was in when the gateway died after "done" was placed again, and met its own reception.
    pub(super) resumed: u64,
    /// Such cards that met another reception: that patient was received twice.
    pub(super) received_twice: Vec<String>,
    /// Patients who could not go on although the gateway was there.
    pub(super) turned_away: Vec<String>,
    /// Since when everything that the store writes fails.
    #[serde(skip)]
    disk_failed: Option<Instant>,
    /// When that was last over: a patient may still be on the way to the desk.
    #[serde(skip)]
    disk_mended: Option<Instant>,
    /// Patients who were sent to the desk meanwhile, as they have to be.
    pub(super) sent_to_desk: u64,
    /// What was promised although its write can only have failed.
    pub(super) false_promises: Vec<String>,
}

/// A screen that sends to the desk stays up this long, and a write that failed just before the end brings one more.
const LAST_SENT_TO_DESK: Duration = Duration::from_secs(20);

/// Screens on which patient or staff have to do something before the reception goes on.
const ASKS: [&str; 6] = ["choose", "pin", "staff", "register", "ineligible", "consent"];

impl Journal {
    /// A journal that tells of every new promise at once: the worst moment to die.
    pub(super) fn telling(promises: mpsc::Sender<()>) -> Self {
        Self { promises: Some(promises), ..Self::default() }
    }

    /// From now on, or no longer, everything that the store writes fails.
    pub(super) fn disk_fails(&mut self, fails: bool) {
        self.disk_failed = fails.then(Instant::now);
        self.disk_mended = Some(Instant::now());
    }

    /// A visit that did not go on although the gateway was there, and the last screen of it.
    pub(super) fn stopped(&mut self, last: Option<&Shown>, what: String) {
        let told = last.is_some_and(|shown| shown.text().contains(NOT_RECORDED));
        let just_now = self.disk_mended.is_some_and(|mended| mended.elapsed() < LAST_SENT_TO_DESK);
        if told && (self.disk_failed.is_some() || just_now) {
            self.sent_to_desk += 1;
        } else {
            self.turned_away.push(what);
        }
    }

    /// A patient sees a screen. Returns the reception if the screen says that it is done.
    pub(super) fn see(&mut self, patient: usize, shown: &Shown) -> Option<String> {
        let reception = shown.reception.as_ref()?;
        let index = *self.by_id.entry(reception.clone()).or_insert_with(|| {
            self.receptions.push(Witnessed { reception: reception.clone(), patient, ..Witnessed::default() });
            self.receptions.len() - 1
        });
        let witnessed = &mut self.receptions[index];
        witnessed.screens.push(shown.name.clone());
        let before = (witnessed.acknowledged, witnessed.done);
        let done = shown.name == "take_card" && DONE.iter().any(|words| shown.text().contains(words));
        witnessed.consented |= shown.name == "consent";
        witnessed.done |= done;
        // "Asking" is shown while T1 is under way; what follows it needs T1.
        witnessed.acknowledged |= done || matches!(shown.name.as_str(), "consent" | "ineligible" | "recording");
        if before != (witnessed.acknowledged, witnessed.done) {
            if let (Some(asked), Some(failed)) = (witnessed.asked, self.disk_failed)
                && asked > failed
            {
                self.false_promises.push(format!("{reception} at the screen {:?}", shown.name));
            }
            if let Some(promises) = &self.promises {
                // Nobody may be listening any more.
                let _ = promises.send(());
            }
        }
        if ASKS.contains(&shown.name.as_str()) {
            witnessed.asked = Some(Instant::now());
        }
        done.then(|| reception.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, html: &str) -> Shown {
        Shown { reception: Some("r".into()), version: 1, name: name.into(), html: html.into() }
    }

    fn false_promises(before: &[&str], after: &[&str]) -> usize {
        let mut journal = Journal::default();
        let see = |journal: &mut Journal, names: &[&str]| {
            for name in names {
                journal.see(1, &shown(name, DONE[0]));
            }
        };
        see(&mut journal, before);
        journal.disk_fails(true);
        see(&mut journal, after);
        journal.false_promises.len()
    }

    #[test]
    fn what_was_asked_for_before_the_disk_failed_may_still_be_promised() {
        assert_eq!(false_promises(&["pin"], &["consent"]), 0);
        assert_eq!(false_promises(&["pin", "consent"], &["recording", "take_card"]), 0);
    }

    #[test]
    fn what_was_asked_for_after_the_disk_failed_must_not_be_promised() {
        assert_eq!(false_promises(&[], &["pin", "consent"]), 1);
        assert_eq!(false_promises(&["pin"], &["consent", "recording", "take_card"]), 1);
    }

    #[test]
    fn only_a_failing_disk_excuses_that_a_patient_is_sent_to_the_desk() {
        let mut journal = Journal::default();
        let told = shown("take_card", NOT_RECORDED);
        journal.stopped(Some(&told), "1".into());
        journal.disk_fails(true);
        journal.stopped(Some(&told), "2".into());
        journal.stopped(Some(&shown("take_card", "")), "3".into());
        assert_eq!((journal.sent_to_desk, journal.turned_away), (1, vec!["1".to_owned(), "3".to_owned()]));
    }
}
