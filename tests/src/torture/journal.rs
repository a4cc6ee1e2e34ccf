//! What patients were shown: the only witness of what the gateway promised.

use crate::patient::Shown;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::mpsc;

/// Words of a "take your card" screen that mean "received". What is said of a new insurance is one of them: that patient is sent
/// to the desk, and the reception counts.
const DONE: [&str; 2] = ["受付が完了しました", "登録されている資格は無効"];

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
}

impl Journal {
    /// A journal that tells of every new promise at once: the worst moment to die.
    pub(super) fn telling(promises: mpsc::Sender<()>) -> Self {
        Self { promises: Some(promises), ..Self::default() }
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
        if before != (witnessed.acknowledged, witnessed.done)
            && let Some(promises) = &self.promises
        {
            // Nobody may be listening any more.
            let _ = promises.send(());
        }
        done.then(|| reception.clone())
    }
}
