//! One step of a case: read, told what is new, written with what it asks.

use super::ReconcilerParts;
use crate::central::{
    self, FollowUp, FourItems, Numbers as SearchNumbers, Purpose, Whom, consent_request, follow_up_request, insured,
};
use crate::store::papers::{self, EnteredNumbers, Filed, Paper};
use crate::store::{CaseRow, CaseWrite, ConsentsAnew, KeptReply, Lane, Request, StoreError};
use std::time::Duration;
use uketsuke_core::answer::{Reason, Verdict};
use uketsuke_core::consent::not_answered_since;
use uketsuke_core::ids::{ReceptionId, RequestId};
use uketsuke_core::ladder::{Answered, Case, Effect, Event, Numbers, Refusal, Rejected, StaffAction};
use uketsuke_core::person::{Person, Spelling};
use uketsuke_core::record::{Method, ReceptionRecord, Reply};

/// A case of which only the age has changed is written when it has grown by this much.
const AGED: Duration = Duration::from_secs(6 * 60 * 60);
/// Steps taken anew because the case had changed meanwhile. Only another process's mistake needs more.
const TRIES: u32 = 8;

/// What staff ordered.
pub(super) struct Ordered {
    pub(super) turn: u32,
    pub(super) action: Option<StaffAction>,
    pub(super) papers: Vec<Paper>,
}

/// A step that is on disk, or needed none.
pub(super) struct Taken {
    pub(super) case: Case,
    pub(super) refused: Option<Refusal>,
}

/// Takes a step, anew whenever the case has changed meanwhile; with an error the case is as it was. `None` when the reception has no case.
pub(super) async fn take(
    parts: &ReconcilerParts,
    reception: ReceptionId,
    ordered: Option<Ordered>,
) -> Result<Option<Taken>, StoreError> {
    let mut tries = 0;
    loop {
        let Some(row) = parts.store.case(reception).await? else { return Ok(None) };
        let Some(record) = parts.store.reception(reception).await? else { return Ok(None) };
        match once(parts, &row, &record, ordered.as_ref()).await {
            Err(StoreError::Conflict { .. }) if tries < TRIES => tries += 1,
            taken => return taken.map(Some),
        }
    }
}

async fn once(
    parts: &ReconcilerParts,
    row: &CaseRow,
    record: &ReceptionRecord,
    ordered: Option<&Ordered>,
) -> Result<Taken, StoreError> {
    let mut filed = parts.store.papers(row.reception).await?;
    let new = ordered.map_or(&[][..], |ordered| &ordered.papers);
    // The person as known with this step: filing it may settle an answer that waits for a look.
    filed.extend_from_slice(new);
    let (mut case, mut effects) = (row.case.clone(), Vec::new());
    let now = parts.clock.now();
    let action = ordered.and_then(|ordered| ordered.action.map(|action| (ordered.turn, action)));
    let mut replies = parts.store.kept_replies(row.reception).await?;
    // Good news first: no deadline that passed while nobody looked may come between two answers in hand.
    replies.sort_by_key(|kept| !matches!(kept.reply, Reply::Answered { verdict: Verdict::Eligible, .. }));
    for kept in replies {
        let Some(event) = event(parts, row, record, &filed, kept).await? else { continue };
        // All of these were in hand before any of them ended it: none is late.
        if case.is_final() && !row.case.is_final() {
            case.had_in_hand(&event);
        } else {
            case.step(now, event, &mut effects);
        }
    }
    if let Some((turn, action)) = action {
        case.step(now, Event::Staff { turn, action }, &mut effects);
    }
    let refused = effects.iter().find_map(|effect| if let Effect::Refused(why) = effect { Some(*why) } else { None });
    if let Some(why) = refused {
        // What was answered meanwhile is written by the look that its notice brings.
        return Ok(Taken { case: row.case.clone(), refused: Some(why) });
    }
    case.step(now, Event::Tick, &mut effects);
    let aged = case.has_aged(&row.case, AGED);
    if case.turn() == row.case.turn() && new.is_empty() && !aged {
        return Ok(Taken { case: row.case.clone(), refused: None });
    }
    let (mut request, mut stands_alone) = (None, false);
    for effect in &effects {
        match effect {
            Effect::AskAgain { with, .. } => {
                let (question, alone) = ask_again(parts, record, &filed, *with);
                (request, stands_alone) = (Some(question), alone);
            }
            Effect::Ended(end) => tracing::info!(reception = %row.reception, ?end, "a case has ended"),
            // The case keeps that it came late, and its reception what it says.
            Effect::LateAnswer { .. } | Effect::Refused(_) => {}
        }
    }
    let consents = consents_anew(parts, row, &case, record, &filed).await?;
    let lane = if ordered.is_some() { Lane::Interactive } else { Lane::Backlog };
    let write = CaseWrite {
        reception: row.reception,
        version: row.version,
        case: case.clone(),
        papers: new.to_vec(),
        request,
        stands_alone,
        lane,
        consents,
        at: now.stamp,
    };
    parts.store.save_case(write).await?;
    Ok(Taken { case, refused: None })
}

/// What a kept reply means to the case; `None` for one that belongs to none of its asks and settles nothing.
async fn event(
    parts: &ReconcilerParts,
    row: &CaseRow,
    record: &ReceptionRecord,
    filed: &[Paper],
    kept: KeptReply,
) -> Result<Option<Event>, StoreError> {
    let number = row.asks.iter().position(|request| *request == kept.request).and_then(|at| u32::try_from(at).ok());
    Ok(match (number, kept.reply) {
        (Some(ask), Reply::Rejected(_)) => {
            let by_card = kept.request == record.request && record.evidence.verification.method != Method::Document;
            let central = parts.clock.central();
            Some(Event::Rejected { ask, rejected: Rejected { at: kept.at, opened: record.opened, central, by_card } })
        }
        (Some(ask), Reply::Answered { verdict, .. }) => {
            Some(Event::Answer { ask, answered: answered(parts, row.reception, kept.request, verdict, filed).await? })
        }
        // Asked while the patient stood at the reader: good news are as good as those of the reception's own question.
        (None, Reply::Answered { verdict: Verdict::Eligible, .. }) => {
            let answered = answered(parts, row.reception, kept.request, Verdict::Eligible, filed).await?;
            Some(Event::Answer { ask: 0, answered })
        }
        (None, _) => None,
    })
}

async fn answered(
    parts: &ReconcilerParts,
    reception: ReceptionId,
    request: RequestId,
    verdict: Verdict,
    filed: &[Paper],
) -> Result<Answered, StoreError> {
    let bytes = parts.store.answer(reception, request).await?;
    let results = bytes.and_then(|bytes| insured(&bytes)).unwrap_or_default();
    let person = papers::known(filed).matches(results.iter().map(|one| &one.person));
    Ok(Answered { verdict, results: u32::try_from(results.len()).unwrap_or(u32::MAX), person })
}

/// The question, and whether it stands alone. What it cannot say, because nobody has entered it, the central system refuses, and the case
/// goes on.
fn ask_again(parts: &ReconcilerParts, record: &ReceptionRecord, filed: &[Paper], with: Numbers) -> (Request, bool) {
    let by_card = with == Numbers::Original && record.evidence.verification.method != Method::Document;
    let whom = if by_card { None } else { whom(filed, with) };
    // A revoked card stays revoked, whatever numbers come with it.
    let stands_alone = whom.is_some() && (was_refused(record) || was_revoked(record));
    let follow_up = FollowUp {
        id: RequestId(uuid::Uuid::now_v7()),
        reception: record.reception,
        request: (!stands_alone).then_some(record.request),
        medical_institution_code: &parts.medical_institution_code,
        purpose: Purpose::Recheck,
        whom,
        asked: parts.clock.corrected(),
    };
    (follow_up_request(&follow_up), stands_alone)
}

/// What the patient said at the check-in, naming the question whose answer has proven the person with this step: the central system does
/// not know the one that it refused.
async fn consents_anew(
    parts: &ReconcilerParts,
    row: &CaseRow,
    case: &Case,
    record: &ReceptionRecord,
    filed: &[Paper],
) -> Result<Option<ConsentsAnew>, StoreError> {
    let proven = case.proven_anew(&row.case).and_then(|ask| row.asks.get(ask as usize));
    let Some(question) = proven.filter(|_| was_refused(record) && !record.consents.is_empty()) else {
        return Ok(None);
    };
    let Some(answered_since) = parts.store.answered_since(row.reception).await? else { return Ok(None) };
    let at_the_desk = papers::consents_since(filed).map(|consent| consent.kind);
    let since: Vec<_> = answered_since.iter().copied().chain(at_the_desk).collect();
    let consents = not_answered_since(&record.consents, &since);
    let id = RequestId(uuid::Uuid::now_v7());
    let code = &parts.medical_institution_code;
    Ok((!consents.is_empty()).then(|| ConsentsAnew {
        request: consent_request(id, row.reception, *question, code, &consents),
        answered_since,
    }))
}

/// The central system does not know a request that it refused.
fn was_refused(record: &ReceptionRecord) -> bool {
    matches!(record.replied, Some((_, Reply::Rejected(_))))
}

fn was_revoked(record: &ReceptionRecord) -> bool {
    let revoked = Verdict::Ineligible(Reason::CertificateRevoked);
    let said =
        |reply: &Option<(_, Reply)>| matches!(reply, Some((_, Reply::Answered { verdict, .. })) if *verdict == revoked);
    said(&record.replied) || said(&record.followed_up)
}

/// By what to look for somebody without a card: the numbers, or the four items as the reception began with them.
fn whom(filed: &[Paper], with: Numbers) -> Option<Whom<'_>> {
    let items =
        || papers::began_with(filed).filter(|_| with == Numbers::Original).map(|person| Whom::FourItems(items(person)));
    papers::numbers(filed, with).map(|entered| Whom::Numbers(search(entered))).or_else(items)
}

fn items(person: &Person) -> FourItems<'_> {
    fn text(part: &Option<Spelling>) -> &str {
        part.as_ref().map_or("", Spelling::as_str)
    }
    FourItems {
        name: text(&person.name),
        sex: text(&person.sex),
        birthdate: text(&person.birthdate),
        address: text(&person.address),
    }
}

fn search(entered: &EnteredNumbers) -> SearchNumbers<'_> {
    central::Numbers {
        insurer: entered.insurer.as_str(),
        symbol: entered.symbol.as_str(),
        number: entered.number.as_str(),
        branch: entered.branch.as_str(),
        birthdate: entered.birthdate.as_str(),
        limit_certificate: entered.limit_certificate,
    }
}

/// Whether an action comes with the paper that it needs.
pub(super) fn paper_fits(action: Option<&StaffAction>, paper: Option<&Filed>) -> bool {
    match (action, paper) {
        (Some(StaffAction::NumbersEntered(with)), Some(Filed::Numbers(numbers))) => numbers.which == *with,
        (Some(StaffAction::NumbersEntered(_)), _) => false,
        (Some(StaffAction::Declared(_)), Some(Filed::Declaration(_))) => true,
        (Some(StaffAction::Declared(_)), _) | (None, None) => false,
        _ => true,
    }
}

/// The word under which it is kept who did this.
pub(super) fn word(action: &StaffAction) -> &'static str {
    match action {
        StaffAction::NumbersEntered(_) => "numbers_entered",
        StaffAction::NextRung => "next_rung",
        StaffAction::Chosen { .. } => "chosen",
        StaffAction::PersonChecked { same: true, .. } => "same_person",
        StaffAction::PersonChecked { same: false, .. } => "other_person",
        StaffAction::Declared(_) => "declared",
        StaffAction::Acknowledged => "acknowledged",
        StaffAction::EndIneligible { .. } => "end_ineligible",
        StaffAction::Close(_) => "close",
    }
}
