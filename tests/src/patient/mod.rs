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

/// How a patient goes about it.
pub struct Manner<'a> {
    /// How to be recognised.
    pub way: Way,
    /// How long a screen is looked at before something is pressed or the card is taken; people are not as quick as programs.
    pub pause: Duration,
    /// Told of every screen of a reception as soon as it appears, also when the visit breaks off later.
    pub seen: &'a mut (dyn FnMut(&Shown) + Send),
}

/// Checks in from an idle screen to a taken card, pressing what the screens ask for, and agrees to everything.
pub async fn check_in(kiosk: &mut Kiosk, slot: SocketAddr, card: &PatientCard, way: Way) -> Result<Visit> {
    check_in_as(kiosk, slot, card, Manner { way, pause: Duration::ZERO, seen: &mut |_| {} }).await
}

/// [`check_in`] in a manner of one's own.
pub async fn check_in_as(kiosk: &mut Kiosk, slot: SocketAddr, card: &PatientCard, manner: Manner<'_>) -> Result<Visit> {
    kiosk.wait(PATIENCE, |shown| shown.name == "idle").await.context("waiting for the idle screen")?;
    let inserted = card.insert(slot).await?;
    let visit = go_through_as(kiosk, manner).await?;
    inserted.remove().await;
    kiosk.wait(PATIENCE, |shown| shown.name == "idle").await.context("waiting for the idle screen after the end")?;
    Ok(visit)
}

/// Presses what the screens ask for until one says "take your card".
pub async fn go_through(kiosk: &mut Kiosk, way: Way) -> Result<Visit> {
    go_through_as(kiosk, Manner { way, pause: Duration::ZERO, seen: &mut |_| {} }).await
}

/// [`go_through`] in a manner of one's own.
pub async fn go_through_as(kiosk: &mut Kiosk, manner: Manner<'_>) -> Result<Visit> {
    let Manner { way, pause, seen } = manner;
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
        seen(&shown);
        // A PIN screen without its pad asks for nothing and is soon gone.
        let asks = shown.name != "pin" || shown.html.contains("data-position");
        if asks && matches!(shown.name.as_str(), "choose" | "pin" | "ineligible" | "consent" | "take_card") {
            tokio::time::sleep(pause).await;
        }
        match shown.name.as_str() {
            "choose" => press_way(kiosk, &shown, way).await?,
            "pin" => {
                if let Way::Pin(digits) = way
                    && let Some(keys) = shown.pin_keys(digits)
                {
                    kiosk.press(&shown, json!({ "intent": "pin", "keys": keys })).await?;
                }
            }
            "register" => kiosk.press(&shown, json!({ "intent": "register", "agreed": true })).await?,
            "ineligible" => kiosk.press(&shown, json!({ "intent": "acknowledge" })).await?,
            "consent" => {
                let question = shown.attribute("data-question").context("a consent screen names its question")?;
                kiosk.press(&shown, json!({ "intent": "consent", "question": question, "agreed": true })).await?;
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
