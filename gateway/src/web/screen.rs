//! What a kiosk shows: one template for each [`Screen`] of the core, and two for a reader that has none.

use super::words::Words;
use crate::handle::View;
use askama::Template;
use uketsuke_core::consent::ConsentKind;
use uketsuke_core::explain::{self, Advice};
use uketsuke_core::reception::{Choose, ChooseNotice, Ending, PinScreen, Renewal, Screen, StaffReason};
use uketsuke_core::record::Shown;

/// A screen ready to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rendered {
    /// One word for the page's script and style.
    pub(super) name: &'static str,
    /// The inside of `<main>`.
    pub(super) html: String,
}

#[derive(Template)]
#[template(path = "screen/starting.html")]
struct StartingPage {
    w: Words,
}

#[derive(Template)]
#[template(path = "screen/out_of_service.html")]
struct OutOfServicePage {
    w: Words,
}

#[derive(Template)]
#[template(path = "screen/idle.html")]
struct IdlePage {
    w: Words,
}

#[derive(Template)]
#[template(path = "screen/reading.html")]
struct ReadingPage {
    w: Words,
}

#[derive(Template)]
#[template(path = "screen/choose.html")]
struct ChoosePage<'a> {
    w: Words,
    choose: &'a Choose,
}

#[derive(Template)]
#[template(path = "screen/face.html")]
struct FacePage {
    w: Words,
}

#[derive(Template)]
#[template(path = "screen/pin.html")]
struct PinPage<'a> {
    w: Words,
    pin: &'a PinScreen,
}

#[derive(Template)]
#[template(path = "screen/staff.html")]
struct StaffPage {
    w: Words,
    reason: StaffReason,
}

#[derive(Template)]
#[template(path = "screen/asking.html")]
struct AskingPage {
    w: Words,
}

#[derive(Template)]
#[template(path = "screen/ineligible.html")]
struct IneligiblePage {
    w: Words,
    advice: Advice,
}

#[derive(Template)]
#[template(path = "screen/consent.html")]
struct ConsentPage {
    w: Words,
    kind: ConsentKind,
    kind_name: &'static str,
    number: usize,
    of: usize,
    provisional: bool,
}

#[derive(Template)]
#[template(path = "screen/recording.html")]
struct RecordingPage {
    w: Words,
}

#[derive(Template)]
#[template(path = "screen/take_card.html")]
struct TakeCardPage {
    w: Words,
    advice: Advice,
    outcome: Outcome,
    reminder: bool,
}

#[derive(Template)]
#[template(path = "screen/notice.html")]
struct NoticePage {
    w: Words,
    advice: Advice,
    outcome: Outcome,
}

/// How an ending looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Checked in.
    Done,
    /// Ended as the patient wished.
    Neutral,
    /// Something did not work: the promise is shown.
    Failed,
}

fn outcome(ending: &Ending) -> Outcome {
    match ending {
        Ending::Done(Shown::Confirmed | Shown::Provisional) => Outcome::Done,
        Ending::Cancelled => Outcome::Neutral,
        Ending::Done(Shown::Ineligible(_))
        | Ending::CardPulled
        | Ending::NotRead(_)
        | Ending::CertificateExpired
        | Ending::CertificateNotYetValid
        | Ending::NotSamePerson
        | Ending::TimedOut
        | Ending::NotWritten
        | Ending::ReaderFault => Outcome::Failed,
    }
}

/// The word for a consent in messages; the same as in records.
fn kind_name(kind: ConsentKind) -> &'static str {
    match kind {
        ConsentKind::TreatmentAndMedication => "treatment_and_medication",
        ConsentKind::Checkups => "checkups",
    }
}

/// Draws what a kiosk shows. Fails only if a template does, which is a mistake in the template.
pub(super) fn render(view: &View, w: Words) -> Result<Rendered, askama::Error> {
    match view {
        View::Starting => Ok(Rendered { name: "starting", html: StartingPage { w }.render()? }),
        View::OutOfService => Ok(Rendered { name: "out_of_service", html: OutOfServicePage { w }.render()? }),
        View::Live { screen, .. } => draw(screen, w),
    }
}

fn draw(screen: &Screen, w: Words) -> Result<Rendered, askama::Error> {
    let (name, html) = match screen {
        Screen::Idle => ("idle", IdlePage { w }.render()),
        Screen::Reading => ("reading", ReadingPage { w }.render()),
        Screen::Choose(choose) => ("choose", ChoosePage { w, choose }.render()),
        Screen::Face => ("face", FacePage { w }.render()),
        Screen::Pin(pin) => ("pin", PinPage { w, pin }.render()),
        Screen::Staff(reason) => ("staff", StaffPage { w, reason: *reason }.render()),
        Screen::Asking => ("asking", AskingPage { w }.render()),
        Screen::Ineligible(reason) => {
            // `explain::reason` tells staff what to ask for; the patient is told what is the case and where to go.
            let advice = explain::ending(&Ending::Done(Shown::Ineligible(reason.clone())), w.0);
            ("ineligible", IneligiblePage { w, advice }.render())
        }
        Screen::Consent { kind, number, of, provisional } => {
            let page = ConsentPage {
                w,
                kind: *kind,
                kind_name: kind_name(*kind),
                number: *number,
                of: *of,
                provisional: *provisional,
            };
            ("consent", page.render())
        }
        Screen::Recording => ("recording", RecordingPage { w }.render()),
        Screen::TakeCard { ending, reminder } => {
            let page =
                TakeCardPage { w, advice: explain::ending(ending, w.0), outcome: outcome(ending), reminder: *reminder };
            ("take_card", page.render())
        }
        Screen::Notice(ending) => {
            let page = NoticePage { w, advice: explain::ending(ending, w.0), outcome: outcome(ending) };
            ("notice", page.render())
        }
    };
    Ok(Rendered { name, html: html? })
}
