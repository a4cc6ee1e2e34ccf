//! A patient: puts a card into a slot, looks at the kiosk's screen, presses buttons, shows a face, takes the card.
//!
//! Acts through the card slot and the kiosk's socket alone, like a person; knows nothing else of the gateway.

mod card;
mod kiosk;

pub use card::{CardInSlot, PatientCard};
pub use kiosk::{Camera, Kiosk, Shown};

use anyhow::{Context, Result, bail};
use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How a patient wants to be recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// 顔認証
    Face,
    /// 暗証番号
    Pin(&'static str),
    /// 職員を呼ぶ
    Staff,
}

/// What a patient sees from placing the card to taking it.
#[derive(Debug, Clone)]
pub struct Visit {
    /// The reception's id, as the screens carried it.
    pub reception: String,
    /// The screens, in order, with when each appeared.
    pub screens: Vec<(String, Duration)>,
    /// The last screen before the card was taken.
    pub ending: Shown,
}

impl Visit {
    /// Whether a screen of this name appeared.
    pub fn saw(&self, name: &str) -> bool {
        self.screens.iter().any(|(screen, _)| screen == name)
    }
}

/// A patient who does not find the next step for this long gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Checks in from an idle screen to a taken card, pressing what the screens ask for, and agrees to everything.
pub async fn check_in(kiosk: &mut Kiosk, slot: SocketAddr, card: &PatientCard, way: Way) -> Result<Visit> {
    kiosk.wait(PATIENCE, |shown| shown.name == "idle").await.context("waiting for the idle screen")?;
    let inserted = card.insert(slot).await?;
    let visit = go_through(kiosk, way).await?;
    inserted.remove().await;
    kiosk.wait(PATIENCE, |shown| shown.name == "idle").await.context("waiting for the idle screen after the end")?;
    Ok(visit)
}

/// Presses what the screens ask for until one says "take your card".
pub async fn go_through(kiosk: &mut Kiosk, way: Way) -> Result<Visit> {
    let start = Instant::now();
    let mut screens = Vec::new();
    let mut version = None;
    loop {
        let shown = kiosk
            .wait(PATIENCE, |shown| shown.reception.is_some() && Some(shown.version) != version)
            .await
            .with_context(|| format!("after the screens {screens:?}"))?;
        version = Some(shown.version);
        screens.push((shown.name.clone(), start.elapsed()));
        match shown.name.as_str() {
            "choose" => press_way(kiosk, &shown, way).await?,
            "pin" => {
                if let Way::Pin(digits) = way
                    && let Some(keys) = shown.pin_keys(digits)
                {
                    kiosk.press(&shown, json!({ "intent": "pin", "keys": keys })).await?;
                }
            }
            "ineligible" => kiosk.press(&shown, json!({ "intent": "acknowledge" })).await?,
            "consent" => {
                let kind = shown.attribute("data-kind").context("a consent screen names its kind")?;
                kiosk.press(&shown, json!({ "intent": "consent", "kind": kind, "agreed": true })).await?;
            }
            "take_card" => {
                let reception = shown.reception.clone().unwrap_or_default();
                return Ok(Visit { reception, screens, ending: shown });
            }
            "notice" | "idle" | "out_of_service" => {
                bail!("the reception ended with {:?} after {screens:?}", shown.name)
            }
            _ => {}
        }
    }
}

async fn press_way(kiosk: &Kiosk, shown: &Shown, way: Way) -> Result<()> {
    let wanted = match way {
        Way::Face => "choose_face",
        Way::Pin(_) => "choose_pin",
        Way::Staff => "call_staff",
    };
    // What the screen does not offer cannot be pressed: then a person calls the staff.
    let offered = shown.html.contains(&format!("data-intent=\"{wanted}\""));
    kiosk.press(shown, json!({ "intent": if offered { wanted } else { "call_staff" } })).await
}
