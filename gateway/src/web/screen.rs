//! What a kiosk shows: one template for each [`Screen`] of the core, and two for a reader that has none.

use super::words::Words;
use crate::handle::View;
use askama::Template;
use uketsuke_core::consent::Question;
use uketsuke_core::explain::{self, Advice};
use uketsuke_core::reception::{Choose, ChooseNotice, Ending, Helper, PinScreen, Renewal, Screen, StaffReason};
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
    renew: Option<Renewal>,
    back: bool,
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
    words: QuestionWords,
    question: &'static str,
    number: usize,
    of: usize,
    provisional: bool,
    helper: Option<Helper>,
}

/// What a question says, and what its two answers are called.
struct QuestionWords {
    title: &'static str,
    why: &'static str,
    yes: &'static str,
    no: &'static str,
}

/// The texts of version [`uketsuke_core::consent::TEXT_VERSION`]: whoever changes one raises it.
fn question_words(question: Question, w: Words) -> QuestionWords {
    let medical = w.t("この情報はあなたの診療や健康管理のために使用します。情報提供に同意すると、医師・歯科医師・薬剤師が過去の診療情報を確認できるようになり、データに基づくよりよい医療が受けられます。同意しなくても受付できます。", "This information is used for your treatment and the care of your health. If you agree, doctors, dentists and pharmacists can see your past records and treat you better on the basis of data. You can check in without agreeing.");
    let (yes, no) = (w.t("同意する", "I agree"), w.t("同意しない", "I do not agree"));
    let (title, why, yes, no) = match question {
        Question::Surgery => (w.t("過去の手術情報の提供に同意しますか?", "Do you agree to share your past operations?"), medical, yes, no),
        Question::TreatmentAndMedication => (w.t("過去の手術以外の診療・お薬情報の提供に同意しますか?", "Do you agree to share your past treatments (other than surgery) and medicines?"), medical, yes, no),
        Question::Diagnosis => (w.t("過去の診療情報の提供に同意しますか?", "Do you agree to share your past treatments?"), medical, yes, no),
        Question::Medication => (w.t("過去のお薬情報の提供に同意しますか?", "Do you agree to share your past medicines?"), medical, yes, no),
        Question::Checkups => (w.t("過去の健診情報の提供に同意しますか?", "Do you agree to share the results of your past health checkups?"), medical, yes, no),
        Question::SpecificDiseases => (w.t("特定疾病療養受療証の情報の提供に同意しますか?", "Do you agree to share your certificate for specific diseases?"), w.t("人工透析などの自己負担の上限に使用します。同意しなくても受付できます。", "It is used for the limit on what you pay, for example for dialysis. You can check in without agreeing."), yes, no),
        Question::HighCost => (w.t("高額療養費制度を利用しますか?", "Do you want to use the limit on high costs (高額療養費制度)?"), w.t("限度額適用認定証と特定疾病療養受療証の情報を使い、限度額を超える支払いが不要になります。", "The information of your limit certificates is used, and you do not pay beyond the limit."), w.t("利用する", "Use it"), w.t("利用しない", "Do not use it")),
        Question::Prescription => (w.t("処方箋の受け取り方を選んでください", "How would you like your prescription?"), w.t("電子処方箋では、薬局でカードまたは引換番号を使います。", "With an electronic prescription you show your card or a number at the pharmacy."), w.t("電子処方箋", "Electronic"), w.t("紙の処方箋", "On paper")),
        Question::Subsidies => (w.t("各種受給者証(公費・医療費助成)を利用しますか?", "Do you want to use your subsidy certificates?"), w.t("利用しない場合も、紙の受給者証を窓口で使えます。", "If not, you can still show paper certificates at the desk."), w.t("利用する", "Use them"), w.t("利用しない", "Do not use them")),
    };
    QuestionWords { title, why, yes, no }
}

#[derive(Template)]
#[template(path = "screen/register.html")]
struct RegisterPage {
    w: Words,
    helper: Option<Helper>,
}

#[derive(Template)]
#[template(path = "screen/registering.html")]
struct RegisteringPage {
    w: Words,
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
        | Ending::StaffDidNotCome
        | Ending::TimedOut
        | Ending::NotWritten
        | Ending::ReaderFault => Outcome::Failed,
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
        Screen::Staff { reason, back, renew } => {
            ("staff", StaffPage { w, reason: *reason, back: *back, renew: *renew }.render())
        }
        Screen::Asking => ("asking", AskingPage { w }.render()),
        Screen::Ineligible(reason) => {
            // `explain::reason` tells staff what to ask for; the patient is told what is the case and where to go.
            let advice = explain::ending(&Ending::Done(Shown::Ineligible(reason.clone())), w.0);
            ("ineligible", IneligiblePage { w, advice }.render())
        }
        Screen::Register { helper } => ("register", RegisterPage { w, helper: *helper }.render()),
        Screen::Registering => ("registering", RegisteringPage { w }.render()),
        Screen::Consent { question, number, of, provisional, helper } => {
            let page = ConsentPage {
                w,
                words: question_words(*question, w),
                question: question.word(),
                number: *number,
                of: *of,
                provisional: *provisional,
                helper: *helper,
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
