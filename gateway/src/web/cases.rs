//! The page of one case, where staff lead it to its end: numbers, choices, the declaration, a look at the person.
//!
//! What is shown of the patient here is what staff need for exactly this: the spellings that differ, and the insurers to choose from. It is
//! shown on request, on a page of its own, and kept nowhere.

use super::WebState;
use super::case_details::{self, PaperRow, Sheet, label};
use super::forms::{Said, said};
use super::page;
use super::words::Words;
use crate::central::{self, Insured};
use crate::reconciler::{CaseOrder, CaseTold};
use crate::store::papers::{self, EnteredNumbers, Filed, Note, Paper};
use crate::store::{CaseRow, StoreError};
use crate::telling;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde::Deserialize;
use std::collections::BTreeMap;
use tokio::sync::oneshot;
use uketsuke_core::clock::Stamp;
use uketsuke_core::consent::{Consent, ConsentKind, GivenBy};
use uketsuke_core::desk::{DocumentEntry, EntryKind, Fields};
use uketsuke_core::explain::{self, Explanation};
use uketsuke_core::fields::{Field, FieldProblem};
use uketsuke_core::ids::{ReceptionId, RequestId};
use uketsuke_core::ladder::{
    Basis, Chosen, CloseReason, Declaration, Numbers, StaffAction, Work, words as ladder_words,
};
use uketsuke_core::person::{Comparison, Contradiction, Doubt, Person, PersonTyped, compare, differences};
use uketsuke_core::record::{ReceptionRecord, StaffName};
use uketsuke_core::rules::Today;
use zeroize::Zeroizing;

#[derive(Template)]
#[template(path = "staff/case.html")]
struct CasePage {
    w: Words,
    id: ReceptionId,
    reader: String,
    explanation: Explanation,
    owner: String,
    deadline: String,
    turn: u32,
    work: Work,
    ended: bool,
    choices: Vec<String>,
    /// The insurance that staff chose where there were several.
    chosen: Option<String>,
    persons: Vec<PersonRows>,
    seen: Vec<Vec<String>>,
    /// Who the patient is, on request: as known here, then as each answer says.
    who: Vec<Sheet>,
    /// What the answer says of each insurance, on request.
    insurances: Vec<Sheet>,
    /// What the central system says in words.
    message: Option<String>,
    papers: Vec<PaperRow>,
}

impl CasePage {
    /// The two answers to "is it the same person", as [`What::CheckPerson`] reads them.
    fn same_person(&self) -> [(&'static str, &'static str); 2] {
        [("yes", self.w.t("同じ方です", "Same person")), ("no", self.w.t("別の方です", "Somebody else"))]
    }

    fn person_in_doubt(&self) -> bool {
        matches!(self.work, Work::CheckPerson { .. })
    }

    /// Whether "next step" leads anywhere.
    fn has_next_rung(&self) -> bool {
        matches!(
            self.work,
            Work::AwaitAnswer
                | Work::AwaitLaterData
                | Work::AwaitNumbersAnswer
                | Work::EnterCurrentNumbers
                | Work::EnterNumbersAsClockWasWrong
                | Work::EnterEarlierNumbers
                | Work::ChooseInsurance { .. }
        )
    }

    fn wants_numbers(&self) -> bool {
        matches!(self.work, Work::EnterCurrentNumbers | Work::EnterNumbersAsClockWasWrong | Work::EnterEarlierNumbers)
    }
}

/// What staff compare with one result of an answer: only what differs, character by character.
struct PersonRows {
    insurer: String,
    verdict: String,
    differences: Vec<DifferenceRow>,
}

struct DifferenceRow {
    field: &'static str,
    local: String,
    central: String,
    code_points: String,
}

struct Seen {
    record: ReceptionRecord,
    row: CaseRow,
}

async fn look(state: &WebState, id: ReceptionId) -> Result<Option<Seen>, StoreError> {
    let (Some(record), Some(row)) = (state.store.reception(id).await?, state.store.case(id).await?) else {
        return Ok(None);
    };
    Ok(Some(Seen { record, row }))
}

/// `GET /staff/case/{reception}`.
pub(super) async fn page(
    request: HttpRequest,
    state: web::Data<WebState>,
    reception: web::Path<String>,
) -> HttpResponse {
    let w = Words::of(&request);
    let Ok(id) = reception.parse::<ReceptionId>() else { return page::not_found(request).await };
    match draw(&state, id, w).await {
        Ok(Some(drawn)) => page::html(StatusCode::OK, &drawn),
        Ok(None) => page::not_found(request).await,
        Err(error) => {
            tracing::warn!(%error, reception = %id, "a case could not be read");
            HttpResponse::ServiceUnavailable().content_type("text/plain; charset=utf-8").body(error.to_string())
        }
    }
}

async fn draw(state: &WebState, id: ReceptionId, w: Words) -> Result<Option<CasePage>, StoreError> {
    let Some(Seen { record, row }) = look(state, id).await? else { return Ok(None) };
    let (case, asks) = (&row.case, &row.asks);
    let told = explain::case(case, state.clock.now(), w.0);
    let work = case.work();
    let now_ms = state.clock.stamp().wall_ms;
    let (insured, message) = answered(state, id, work, asks).await?;
    let choices = match work {
        Work::ChooseInsurance { .. } => insured.iter().map(|one| label(one, w)).collect(),
        _ => Vec::new(),
    };
    let chosen = match case.chosen() {
        Some(Chosen { ask, index }) => {
            answer_to(state, id, asks.get(ask as usize)).await?.0.get(index as usize).map(|one| label(one, w))
        }
        None => None,
    };
    // Staff who are to tell one person from another must see who the answer is about; at any other time they need not.
    let seen = match work {
        Work::CheckPerson { .. } => insured.iter().map(|one| parts(&one.person)).collect(),
        _ => Vec::new(),
    };
    let papers = state.store.papers(id).await?;
    let persons = match papers::person(&papers) {
        Some(_) => insured.iter().map(|one| rows(&papers::known(&papers).local(), one, w)).collect(),
        None => Vec::new(),
    };
    Ok(Some(CasePage {
        w,
        id,
        reader: record.reader.clone(),
        explanation: telling::reception(&state.store, &record, Some(&row), state.clock.now(), w.0).await,
        owner: told.owner_words,
        deadline: told.deadline_words,
        turn: case.turn(),
        work,
        ended: case.is_final(),
        choices,
        chosen,
        persons,
        seen,
        who: who(&papers, &insured, w),
        insurances: insured.iter().map(|one| case_details::insurance(one, w)).collect(),
        message,
        papers: papers.iter().filter_map(|paper| case_details::paper(paper, now_ms, w)).collect(),
    }))
}

/// Who the patient is, for staff who ask: a case is worth nothing at the desk while nobody can tell whose it is.
fn who(papers: &[Paper], insured: &[Insured], w: Words) -> Vec<Sheet> {
    let known = papers::person(papers);
    let ours = known.iter().map(|known| (w.t("手元の記録", "our own record").to_owned(), known));
    let central = insured.iter().map(|one| {
        let by = w.t("資格確認システムの答え", "answer of the central system");
        (format!("{by}: {}", one.insurer), &one.person)
    });
    ours.chain(central)
        .map(|(heading, person)| Sheet { heading, details: case_details::person(person, w) })
        .filter(|sheet| !sheet.details.is_empty())
        .collect()
}

/// The results of an answer, and what it says in words.
type Answered = (Vec<Insured>, Option<String>);

/// What the page is about: the answer that waits for a look or a choice, else the latest that has results; a message without any
/// results is told all the same.
async fn answered(state: &WebState, id: ReceptionId, work: Work, asks: &[RequestId]) -> Result<Answered, StoreError> {
    if let Work::CheckPerson { ask } | Work::ChooseInsurance { ask, .. } = work {
        return answer_to(state, id, asks.get(ask as usize)).await;
    }
    let mut latest_message = None;
    for request in asks.iter().rev() {
        let (insured, message) = answer_to(state, id, Some(request)).await?;
        latest_message = latest_message.or(message);
        if !insured.is_empty() {
            return Ok((insured, latest_message));
        }
    }
    Ok((Vec::new(), latest_message))
}

/// What the answer to a question says.
async fn answer_to(state: &WebState, id: ReceptionId, asked: Option<&RequestId>) -> Result<Answered, StoreError> {
    let Some(request) = asked else { return Ok((Vec::new(), None)) };
    let Some(answer) = state.store.answer(id, *request).await? else { return Ok((Vec::new(), None)) };
    let message = central::message(&answer).map(|said| said.as_str().to_owned());
    Ok((central::insured(&answer).unwrap_or_default(), message))
}

fn parts(person: &Person) -> Vec<String> {
    [&person.name, &person.name_kana, &person.birthdate, &person.sex]
        .into_iter()
        .map(|part| part.as_ref().map_or_else(|| "—".to_owned(), |text| text.as_str().to_owned()))
        .collect()
}

fn rows(local: &Person, insured: &Insured, w: Words) -> PersonRows {
    let verdict = verdict(&compare(local, &insured.person), w).to_owned();
    let differences = differences(local, &insured.person)
        .iter()
        .map(|difference| DifferenceRow {
            field: difference.field.label(w.0),
            local: difference.local.as_str().to_owned(),
            central: difference.central.as_str().to_owned(),
            code_points: difference.code_points.iter().map(|at| at.render()).collect::<Vec<_>>().join("、"),
        })
        .collect();
    PersonRows { insurer: insured.insurer.clone(), verdict, differences }
}

fn verdict(comparison: &Comparison, w: Words) -> &'static str {
    match comparison {
        Comparison::SamePerson { .. } => w.t("同じ方です。", "The same person."),
        Comparison::DifferentPerson { because: Contradiction::Birthdate } => {
            w.t("生年月日が違います。別の方の答えです。", "Another birth date: the answer is about somebody else.")
        }
        Comparison::DifferentPerson { because: Contradiction::Sex } => {
            w.t("性別が違います。別の方の答えです。", "Another sex: the answer is about somebody else.")
        }
        Comparison::Undecided { because } => match because {
            Doubt::Birthdate => w.t(
                "生年月日がそろわないため、自動では判断できません。",
                "Without both birth dates it cannot be told by itself.",
            ),
            Doubt::NameMissing => {
                w.t("比べる氏名がないため、自動では判断できません。", "Without both names it cannot be told by itself.")
            }
            Doubt::NameDiffers => w.t(
                "氏名が違うため、自動では判断できません。本人に確かめてください。",
                "The names differ: it cannot be told by itself. Ask the patient.",
            ),
            Doubt::KanaDiffers => w.t(
                "氏名に●があり、カナが違います。自動では判断できません。本人に確かめてください。",
                "The name has a ● and the kana differ: it cannot be told by itself. Ask the patient.",
            ),
            Doubt::TooManyUnmapped => w.t(
                "氏名に●が多く、自動では判断できません。カナを記録すると判断できることがあります。",
                "The name has too many ●: it cannot be told by itself. Recording the kana may help.",
            ),
        },
    }
}

/// What staff do, as the page's forms say it.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Numbers,
    NextRung,
    Choose,
    CheckPerson,
    Declare,
    Acknowledge,
    EndIneligible,
    Close,
    Note,
    /// What the patient's own papers or the receipt computer say about who it is.
    Person,
}

/// `POST /staff/case/{reception}`: one action, with whatever fields it needs.
#[derive(Deserialize)]
pub(super) struct CaseForm {
    by: StaffName,
    turn: u32,
    what: What,
    #[serde(flatten)]
    fields: BTreeMap<String, Typed>,
}

/// What was typed into one field; wiped when dropped.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Typed(Zeroizing<String>);

impl From<String> for Typed {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl CaseForm {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |typed| typed.0.as_str())
    }

    fn parsed<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_value(serde_json::Value::String(self.field(name).to_owned())).ok()
    }
}

/// Why a form is not an order yet.
struct Gaps(Vec<String>);

/// Takes an action of staff to the reconciler and tells what came of it.
pub(super) async fn act(
    request: HttpRequest,
    state: web::Data<WebState>,
    reception: web::Path<ReceptionId>,
    form: web::Json<CaseForm>,
) -> HttpResponse {
    let w = Words::of(&request);
    let (action, paper) = match order(&form, state.clock.stamp(), w) {
        Ok(order) => order,
        Err(Gaps(mut lines)) => {
            lines.insert(0, w.t("次の項目を直してください。", "Put these fields right:").to_owned());
            return said(
                StatusCode::UNPROCESSABLE_ENTITY,
                Said { result: "problems", reception: None, lines, offer: None },
            );
        }
    };
    let (done, told) = oneshot::channel();
    let order = CaseOrder { reception: *reception, turn: form.turn, action, paper, by: form.by.clone(), done };
    if state.site.cases.try_send(order).is_err() {
        return busy(w);
    }
    match told.await {
        Ok(CaseTold::Done { .. }) => said(StatusCode::OK, Said::yes(w.t("記録しました。", "Done and recorded."))),
        Ok(CaseTold::Refused(why)) => {
            let advice = ladder_words::refusal(why, w.0);
            let lines = vec![advice.what, advice.next];
            said(StatusCode::CONFLICT, Said { result: "refused", reception: None, lines, offer: None })
        }
        Ok(CaseTold::PaperMissing) => {
            said(StatusCode::UNPROCESSABLE_ENTITY, Said::no(w.t("記入が足りません。", "Something is missing.")))
        }
        Ok(CaseTold::NoCase) => {
            said(StatusCode::NOT_FOUND, Said::no(w.t("この受付に案件はありません。", "This reception has no case.")))
        }
        Ok(CaseTold::NotWritten) | Err(_) => busy(w),
    }
}

fn busy(w: Words) -> HttpResponse {
    let text = w.t("いま記録できません。もう一度お試しください。", "It cannot be recorded right now; try again.");
    said(StatusCode::SERVICE_UNAVAILABLE, Said::no(text))
}

type Order = (Option<StaffAction>, Option<Filed>);

fn order(form: &CaseForm, now: Stamp, w: Words) -> Result<Order, Gaps> {
    let unreadable = || Gaps(vec![w.t("選択が読み取れません。", "The choice cannot be read.").to_owned()]);
    let note = || {
        let text = form.field("note");
        match Note::new(text) {
            Some(note) => Ok(Some(Filed::Note(note))),
            None if text.trim().is_empty() => Ok(None),
            None => Err(Gaps(vec![w.t("メモが長すぎます。", "The note is too long.").to_owned()])),
        }
    };
    Ok(match form.what {
        What::Numbers => {
            let which: Numbers = form.parsed("which").ok_or_else(unreadable)?;
            (Some(StaffAction::NumbersEntered(which)), Some(Filed::Numbers(numbers(form, which, now, w)?)))
        }
        What::NextRung => (Some(StaffAction::NextRung), note()?),
        What::Choose => {
            let index = form.field("index").parse().map_err(|_| unreadable())?;
            (Some(StaffAction::Chosen { index }), note()?)
        }
        What::CheckPerson => {
            let ask = form.field("ask").parse().map_err(|_| unreadable())?;
            (Some(StaffAction::PersonChecked { ask, same: form.field("same") == "yes" }), note()?)
        }
        What::Declare => {
            let fields = form.fields.iter().map(|(name, typed)| (name.as_str(), typed.0.as_str()));
            let declaration = Declaration::parse(fields).map_err(|problems| gaps(&problems, w))?;
            (Some(StaffAction::Declared(declaration.on_file())), Some(Filed::Declaration(declaration)))
        }
        What::Acknowledge => (Some(StaffAction::Acknowledged), note()?),
        What::EndIneligible => {
            let basis: Basis = form.parsed("basis").ok_or_else(unreadable)?;
            (Some(StaffAction::EndIneligible { basis }), note()?)
        }
        What::Close => {
            let reason: CloseReason = form.parsed("reason").ok_or_else(unreadable)?;
            let note = note()?;
            if reason == CloseReason::Other && note.is_none() {
                let text = w.t(
                    "メモ: 「その他」で終えるときは理由を書いてください。",
                    "note: say why when closing for another reason",
                );
                return Err(Gaps(vec![text.to_owned()]));
            }
            (Some(StaffAction::Close(reason)), note)
        }
        What::Note => match note()? {
            Some(note) => (None, Some(note)),
            None => return Err(Gaps(vec![w.t("メモ: 書かれていません。", "note: it is empty").to_owned()])),
        },
        What::Person => {
            let typed = PersonTyped {
                name: form.field("name"),
                name_kana: form.field("name_kana"),
                birthdate: form.field("birthdate"),
                sex: form.field("sex"),
                address: form.field("address"),
            };
            (None, Some(Filed::Person(Person::parse(&typed, Today::of(now)).map_err(|problems| gaps(&problems, w))?)))
        }
    })
}

fn gaps(problems: &[FieldProblem], w: Words) -> Gaps {
    let line = |problem: &FieldProblem| {
        let problem = super::forms::Problem::of(problem, w);
        format!("{}: {} {}", problem.label, problem.what, problem.fix)
    };
    Gaps(problems.iter().map(line).collect())
}

fn numbers(form: &CaseForm, which: Numbers, now: Stamp, w: Words) -> Result<EnteredNumbers, Gaps> {
    let typed = Fields {
        insurer_number: form.field("insurer_number"),
        symbol: form.field("symbol"),
        number: form.field("number"),
        branch: form.field("branch"),
        birthdate: form.field("birthdate"),
        valid_until: "",
    };
    let agreed = match form.field("limit_certificate") {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    };
    let entry = DocumentEntry::parse(EntryKind::EligibilityCertificate, &typed, Today::of(now));
    let (entry, agreed) = match (entry, agreed) {
        (Ok(entry), Some(agreed)) => (entry, agreed),
        (entry, agreed) => {
            let mut problems = entry.err().unwrap_or_default();
            problems.extend(agreed.is_none().then(|| FieldProblem::not_asked(Field::LimitCertificate)));
            return Err(gaps(&problems, w));
        }
    };
    let consent = Consent::new(ConsentKind::LimitCertificate, agreed, now, GivenBy::StaffAssisted).assisted(&form.by);
    let text =
        |value: Option<&uketsuke_core::fields::Personal>| value.map(|value| value.reveal()).unwrap_or_default().into();
    Ok(EnteredNumbers {
        which,
        insurer: entry.insurer_number.reveal().into(),
        symbol: text(entry.symbol.as_ref()),
        number: entry.number.reveal().into(),
        branch: text(entry.branch.as_ref()),
        birthdate: entry.birthdate.reveal().into(),
        limit_certificate: false,
        consent: None,
    }
    .with_consent(consent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uketsuke_core::explain::Lang;

    fn page(work: Work, lang: Lang) -> String {
        let w = Words(lang, None);
        let explanation = Explanation {
            advice: ladder_words::work(work, lang),
            story: Vec::new(),
            unmapped_characters: false,
            face_score: None,
            consents: Vec::new(),
            rules: None,
            for_receipt_computer: None,
            earlier: Vec::new(),
            case: None,
        };
        let ended = matches!(work, Work::Done(_));
        let (id, empty) = (ReceptionId(uuid::Uuid::nil()), String::new);
        let choices = vec!["a".to_owned()];
        let page = CasePage {
            w,
            id,
            reader: empty(),
            explanation,
            owner: empty(),
            deadline: empty(),
            turn: 1,
            work,
            ended,
            choices,
            chosen: None,
            persons: Vec::new(),
            seen: Vec::new(),
            who: Vec::new(),
            insurances: Vec::new(),
            message: None,
            papers: Vec::new(),
        };
        page.render().unwrap()
    }

    fn works() -> [Work; 15] {
        [
            Work::AwaitAnswer,
            Work::AwaitLaterData,
            Work::AwaitNumbersAnswer,
            Work::EnterCurrentNumbers,
            Work::EnterNumbersAsClockWasWrong,
            Work::EnterEarlierNumbers,
            Work::TakeDeclaration,
            Work::DeclarationOnFile,
            Work::ChooseInsurance { ask: 0, count: 1 },
            Work::CheckPerson { ask: 0 },
            Work::TellRevoked,
            Work::TellNotRegistered,
            Work::LookAtRejection,
            Work::Done(uketsuke_core::ladder::Final::Expired),
            Work::Done(uketsuke_core::ladder::Final::Changed),
        ]
    }

    /// What stands between quotation marks.
    fn quoted(text: &str, lang: Lang) -> Vec<&str> {
        let (open, close) = match lang {
            Lang::Ja => ("「", "」"),
            Lang::En => ("\"", "\""),
        };
        let (mut found, mut rest) = (Vec::new(), text);
        while let Some((name, after)) = rest.split_once(open).and_then(|(_, after)| after.split_once(close)) {
            found.push(name);
            rest = after;
        }
        found
    }

    #[test]
    fn every_button_that_a_sentence_names_is_on_the_page_under_that_name() {
        for lang in [Lang::Ja, Lang::En] {
            let mut named = 0;
            for work in works() {
                let (html, next) = (page(work, lang), ladder_words::work(work, lang).next);
                for name in quoted(&next, lang) {
                    assert!(html.contains(&format!(">{name}</button>")), "{work:?}: no button {name}");
                    named += 1;
                }
            }
            assert_eq!(named, 9, "or this test looks at nothing");
        }
    }

    #[test]
    fn next_step_is_offered_only_where_it_leads_on() {
        for (work, offered) in
            [(Work::EnterCurrentNumbers, true), (Work::TakeDeclaration, false), (Work::TellRevoked, false)]
        {
            assert_eq!(page(work, Lang::Ja).contains(">次へ</button>"), offered, "{work:?}");
        }
    }

    #[test]
    fn every_case_page_makes_the_promise_with_the_help_lines_and_takes_notes() {
        for lang in [Lang::Ja, Lang::En] {
            for html in works().map(|work| page(work, lang)) {
                for words in
                    [explain::promise(lang), explain::PUBLIC_HELP_LINE, explain::SITES_HELP_LINE, "value=\"note\""]
                {
                    assert!(html.contains(words), "{words} is missing: {html}");
                }
            }
        }
    }
}
