//! Store and reconciler together: cases end as they should, also when the reconciler dies in between.

mod consents;

use super::*;
use crate::store::model::Hold;
use crate::store::papers::Note;
use crate::store::{Destination, NewCase, Opening, Proof, Recording, Request, RequestKind, Settlement};
use prost::Message;
use tokio::task::JoinHandle;
use uketsuke_core::answer::{Reason, Verdict};
use uketsuke_core::clock::{Mono, Now, Stamp};
use uketsuke_core::consent::Consent;
use uketsuke_core::ids::{OrderKey, RequestId};
use uketsuke_core::ladder::{Case, Cause, CloseReason, Final, Numbers, Rules, Work};
use uketsuke_core::person::Person;
use uketsuke_core::record::{Evidence, Method, Reply, Shown, Verification};
use uketsuke_proto::central_v1 as wire;
use uuid::Uuid;
use zeroize::Zeroizing;

const RECEPTION: ReceptionId = ReceptionId(Uuid::from_u128(1));
const QUESTION: RequestId = RequestId(Uuid::from_u128(2));
const AT: Stamp = Stamp { wall_ms: 1_800_000_000_000, synchronised: true };

/// One site with one provisional reception.
struct Scene {
    store: Store,
    orders: async_channel::Sender<CaseOrder>,
    parts: ReconcilerParts,
    life: Option<JoinHandle<()>>,
}

impl Scene {
    /// A reception whose case goes on after `later`.
    async fn new(later: Vec<Duration>) -> Self {
        let scene = Self::empty();
        scene.receive(RECEPTION, QUESTION, later).await;
        scene
    }

    fn empty() -> Self {
        let store = Store::model();
        let (orders, receiver) = async_channel::bounded(8);
        let parts = ReconcilerParts {
            store: store.clone(),
            medical_institution_code: "1312345678".into(),
            clock: Clock::new("".into()),
            orders: receiver,
            counts: Arc::new(watch::Sender::new(CaseCounts::default())),
        };
        Self { store, orders, parts, life: None }
    }

    /// A reception without a card, that began with this paper.
    async fn without_card(later: Vec<Duration>, paper: Filed) -> Self {
        let scene = Self::empty();
        scene.receive_by(RECEPTION, QUESTION, later, Method::Document, vec![paper]).await;
        scene
    }

    async fn receive(&self, reception: ReceptionId, question: RequestId, later_data_after: Vec<Duration>) {
        self.receive_by(reception, question, later_data_after, Method::Pin, vec![]).await;
    }

    async fn receive_by(
        &self,
        reception: ReceptionId,
        question: RequestId,
        later_data_after: Vec<Duration>,
        method: Method,
        filed: Vec<Filed>,
    ) {
        self.receive_with(reception, question, later_data_after, method, filed, (vec![], None)).await;
    }

    async fn receive_with(
        &self,
        reception: ReceptionId,
        question: RequestId,
        later_data_after: Vec<Duration>,
        method: Method,
        filed: Vec<Filed>,
        (consents, request): (Vec<Consent>, Option<Request>),
    ) {
        let opening = Opening {
            reception,
            reader: "desk-1/a".into(),
            order_key: OrderKey([1; 32]),
            evidence: Evidence::of(Verification::by(method)),
            opened: Now { boot: 1, mono: Mono(0), stamp: AT },
            request: Request {
                id: question,
                kind: RequestKind::Eligibility,
                body: Zeroizing::new(b"question".to_vec()),
                proof: Proof::Gateway,
            },
        };
        self.store.open_reception(opening).await.unwrap();
        let rules = Rules { later_data_after, ..Rules::default() };
        let case = Case::open(rules, self.parts.clock.now(), Cause::NoAnswer, &mut Vec::new());
        let paper = |filed| Paper { filed, by: StaffName::new("7").unwrap(), at: AT };
        let papers = filed.into_iter().map(paper).collect();
        let recording = Recording {
            reception,
            shown: Shown::Provisional,
            consents,
            request,
            case: Some(NewCase { case, asked: question, papers }),
            recorded: AT,
        };
        self.store.record_reception(recording).await.unwrap();
    }

    fn start(&mut self) {
        self.life = Some(tokio::spawn(live(self.parts.clone())));
    }

    async fn kill(&mut self) {
        let life = self.life.take().unwrap();
        life.abort();
        let _ = life.await;
    }

    /// The central system answers a request, about this name or nobody.
    async fn answer(&self, request: RequestId, verdict: Verdict, name: Option<&str>) {
        self.answer_about(request, verdict, name.as_slice()).await;
    }

    /// The same with a result for each name.
    async fn answer_about(&self, request: RequestId, verdict: Verdict, names: &[&str]) {
        let rows = self.store.outbox(Destination::Central, 99).await.unwrap();
        let seq = rows.iter().find(|row| row.id == request).unwrap().seq;
        let result = |name: &str| wire::Qualification {
            name: name.into(),
            birthdate: "19800105".into(),
            ..wire::Qualification::default()
        };
        let answer = wire::EligibilityAnswer {
            results: names.iter().map(|name| result(name)).collect(),
            ..wire::EligibilityAnswer::default()
        };
        let reply = Reply::Answered { verdict, unmapped_characters: false };
        let answer = Zeroizing::new(answer.encode_to_vec());
        self.store.settle(seq, Settlement::Answered { reply, answer }, AT).await.unwrap();
    }

    /// Waits until the case is at this work.
    async fn until(&self, work: Work) -> crate::store::CaseRow {
        let mut notices = self.store.case_notices();
        tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                let row = self.store.case(RECEPTION).await.unwrap().unwrap();
                if row.case.work() == work {
                    return row;
                }
                let _ = notices.recv().await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("the case never came to {work:?}"))
    }

    async fn order(&self, turn: u32, action: Option<StaffAction>, paper: Option<Filed>) -> CaseTold {
        let (done, told) = oneshot::channel();
        let by = StaffName::new("7").unwrap();
        self.orders.send(CaseOrder { reception: RECEPTION, turn, action, paper, by, done }).await.unwrap();
        told.await.unwrap()
    }

    /// By what the central system is to look in this question.
    /// The case once it has asked so often beside its reception.
    async fn until_asked(&self, times: usize) -> crate::store::CaseRow {
        let mut notices = self.store.case_notices();
        tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                let row = self.store.case(RECEPTION).await.unwrap().unwrap();
                if row.asks.len() > times {
                    return row;
                }
                let _ = notices.recv().await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("the case never asked {times} times"))
    }

    async fn whom(&self, request: RequestId) -> Option<wire::follow_up_request::Whom> {
        self.follow_up(request).await.whom
    }

    async fn follow_up(&self, request: RequestId) -> wire::FollowUpRequest {
        let rows = self.store.select(Destination::Central, 99, &[], AT.wall_ms).await.unwrap();
        let body = &rows.into_iter().find(|row| row.request.id == request).unwrap().request.body;
        wire::FollowUpRequest::decode(body.as_slice()).unwrap()
    }

    async fn asked(&self) -> Vec<RequestId> {
        let rows = self.store.outbox(Destination::Central, 99).await.unwrap();
        rows.into_iter().filter(|row| row.kind == RequestKind::FollowUp).map(|row| row.id).collect()
    }
}

fn not_found() -> Verdict {
    Verdict::Ineligible(Reason::NoInsuranceFound)
}

fn known(name: &str) -> Filed {
    Filed::Person(Person { name: Some(name.into()), birthdate: Some("1980-01-05".into()), ..Person::default() })
}

fn numbers(which: Numbers) -> Filed {
    let text = |text: &str| text.into();
    Filed::Numbers(crate::store::papers::EnteredNumbers {
        which,
        insurer: text("138057"),
        symbol: text("1"),
        number: text("2"),
        branch: text("01"),
        birthdate: text("19800105"),
        limit_certificate: false,
        consent: None,
    })
}

#[tokio::test]
async fn a_late_answer_confirms_a_provisional_reception() {
    let mut scene = Scene::new(vec![]).await;
    scene.start();
    scene.answer(QUESTION, Verdict::Eligible, None).await;
    let row = scene.until(Work::Done(Final::Confirmed)).await;
    assert!(row.ended_ms.is_some());
}

#[tokio::test]
async fn that_an_answer_came_after_the_end_is_kept_with_the_case() {
    let mut scene = Scene::new(vec![]).await;
    scene.start();
    let turn = scene.until(Work::AwaitAnswer).await.case.turn();
    scene.order(turn, Some(StaffAction::Close(CloseReason::NoTreatment)), None).await;
    let closed = scene.until(Work::Done(Final::ClosedByStaff(CloseReason::NoTreatment))).await;
    assert!(!closed.case.answered_late());
    scene.answer(QUESTION, Verdict::Eligible, None).await;
    let row = loop {
        let row = scene.store.case(RECEPTION).await.unwrap().unwrap();
        if row.version > closed.version {
            break row;
        }
        tokio::task::yield_now().await;
    };
    assert!(row.case.answered_late(), "the stamps of this scene are all the same");
    assert_eq!((row.case.ended(), row.ended_ms), (closed.case.ended(), closed.ended_ms));
}

#[tokio::test]
async fn an_answer_that_was_in_hand_when_another_ended_the_case_is_not_late() {
    let mut scene = Scene::new(vec![Duration::ZERO]).await;
    scene.start();
    scene.answer(QUESTION, not_found(), None).await;
    let row = scene.until(Work::AwaitLaterData).await;
    let turn = row.case.turn();
    let entered = Some(StaffAction::NumbersEntered(Numbers::Current));
    scene.order(turn, entered, Some(numbers(Numbers::Current))).await;
    let row = scene.until(Work::AwaitNumbersAnswer).await;
    scene.kill().await;
    scene.answer(row.asks[2], not_found(), None).await;
    scene.answer(row.asks[1], Verdict::Eligible, None).await;
    scene.start();
    let ended = scene.until(Work::Done(Final::Confirmed)).await;
    assert!(!ended.case.answered_late());
}

#[tokio::test]
async fn an_answer_that_came_while_no_reconciler_lived_is_found_by_the_next_one() {
    let mut scene = Scene::new(vec![]).await;
    scene.start();
    scene.kill().await;
    scene.answer(QUESTION, Verdict::Eligible, None).await;
    scene.start();
    scene.until(Work::Done(Final::Confirmed)).await;
}

#[tokio::test]
async fn data_that_comes_late_is_asked_for_again_and_confirms() {
    let mut scene = Scene::new(vec![Duration::ZERO]).await;
    scene.start();
    scene.answer(QUESTION, not_found(), None).await;
    let row = scene.until(Work::AwaitLaterData).await;
    assert_eq!(scene.asked().await, row.asks[1..]);
    scene.answer(row.asks[1], Verdict::Eligible, None).await;
    scene.until(Work::Done(Final::Confirmed)).await;
}

#[tokio::test]
async fn asking_again_puts_one_row_into_the_outbox_however_often_the_reconciler_dies_at_it() {
    let mut scene = Scene::new(vec![Duration::ZERO]).await;
    scene.answer(QUESTION, not_found(), None).await;
    for hold in [Hold::BeforeCommit, Hold::BeforeCommit, Hold::BeforeAnswer, Hold::BeforeAnswer] {
        scene.store.as_model().unwrap().hold(hold);
        scene.start();
        // Until it waits for its write, or has nothing to write any more.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        scene.kill().await;
    }
    scene.store.as_model().unwrap().release();
    scene.start();
    let row = scene.until(Work::AwaitLaterData).await;
    assert_eq!(row.case.ask(), 1);
    assert_eq!(scene.asked().await, row.asks[1..]);
}

#[tokio::test]
async fn what_staff_do_counts_once_and_only_for_the_case_as_they_saw_it() {
    let mut scene = Scene::new(vec![]).await;
    scene.start();
    let turn = scene.until(Work::AwaitAnswer).await.case.turn();
    let close = Some(StaffAction::Close(CloseReason::NoTreatment));
    assert_eq!(scene.order(turn + 1, close, None).await, CaseTold::Refused(Refusal::Stale));
    let next = scene.order(turn, Some(StaffAction::NextRung), None).await;
    assert_eq!(next, CaseTold::Done { turn: turn + 1 });
    assert_eq!(scene.order(turn, Some(StaffAction::NextRung), None).await, CaseTold::Refused(Refusal::Stale));
    let note = Some(Filed::Note(Note::new("電話済み").unwrap()));
    assert_eq!(scene.order(turn + 1, close, note).await, CaseTold::Done { turn: turn + 2 });
    assert_eq!(scene.order(turn + 2, close, None).await, CaseTold::Refused(Refusal::Ended));
    let kept: Vec<_> = scene.store.papers(RECEPTION).await.unwrap().into_iter().map(|paper| paper.filed).collect();
    let action = |word: &str| Filed::Action(word.into());
    assert_eq!(kept, [action("next_rung"), Filed::Note(Note::new("電話済み").unwrap()), action("close")]);
}

#[tokio::test]
async fn numbers_need_their_paper_and_an_answer_to_them_a_person_that_fits() {
    let mut scene = Scene::new(vec![]).await;
    scene.start();
    scene.answer(QUESTION, not_found(), None).await;
    // Without rungs of waiting, the numbers are next.
    let turn = scene.until(Work::AwaitLaterData).await.case.turn();
    let entered = Some(StaffAction::NumbersEntered(Numbers::Current));
    assert_eq!(scene.order(turn, entered, None).await, CaseTold::PaperMissing);
    assert_eq!(scene.order(turn, entered, Some(numbers(Numbers::Earlier))).await, CaseTold::PaperMissing);
    let CaseTold::Done { turn } = scene.order(turn, entered, Some(numbers(Numbers::Current))).await else {
        panic!("the numbers were not taken")
    };
    let row = scene.until(Work::AwaitNumbersAnswer).await;
    scene.answer(row.asks[1], Verdict::Eligible, Some("佐藤 花子")).await;
    // Nobody is known here whom it could be about.
    let row = scene.until(Work::CheckPerson { ask: 1 }).await;
    assert!(row.case.turn() > turn);
    scene.order(row.case.turn(), None, Some(known("佐藤 花子"))).await;
    scene.until(Work::Done(Final::Changed)).await;
}

#[tokio::test]
async fn an_answer_about_somebody_else_settles_nothing() {
    let mut scene = Scene::new(vec![]).await;
    scene.start();
    let turn = scene.until(Work::AwaitAnswer).await.case.turn();
    assert_eq!(scene.order(turn, None, Some(known("鈴木 一郎"))).await, CaseTold::Done { turn });
    scene.answer(QUESTION, Verdict::Eligible, Some("佐藤 花子")).await;
    let row = scene.until(Work::CheckPerson { ask: 0 }).await;
    assert_eq!(
        *scene.parts.counts.subscribe().wait_for(|counts| counts.desk == 1).await.unwrap(),
        CaseCounts { machine: 0, desk: 1 }
    );
    let other = Some(StaffAction::PersonChecked { ask: 0, same: false });
    assert!(matches!(scene.order(row.case.turn(), other, None).await, CaseTold::Done { .. }));
    scene.until(Work::EnterCurrentNumbers).await;
}

#[tokio::test]
async fn who_was_received_by_the_four_items_is_asked_about_again_by_them_as_they_were_taken_down() {
    let text = |text: &str| Some(text.into());
    let person = Person {
        name: text("髙橋 恵子"),
        name_kana: None,
        birthdate: text("19800105"),
        sex: text("2"),
        address: text("見本県"),
    };
    let mut scene = Scene::without_card(vec![Duration::ZERO], Filed::Person(person)).await;
    scene.start();
    let turn = scene.until(Work::AwaitAnswer).await.case.turn();
    // What is recorded later is compared, but nobody else is asked about.
    scene.order(turn, None, Some(known("鈴木 一郎"))).await;
    scene.answer(QUESTION, not_found(), None).await;
    let row = scene.until(Work::AwaitLaterData).await;
    let Some(wire::follow_up_request::Whom::FourItems(items)) = scene.whom(row.asks[1]).await else {
        panic!("it asks by something else")
    };
    let [name, sex, birthdate, address] = [items.name, items.sex, items.birthdate, items.address];
    assert_eq!([name, sex, birthdate, address], ["髙橋 恵子", "2", "19800105", "見本県"]);
    scene.answer(row.asks[1], Verdict::Eligible, Some("●橋 恵子")).await;
    let row = scene.until(Work::CheckPerson { ask: 1 }).await;
    scene.order(row.case.turn(), None, Some(known("髙橋 恵子"))).await;
    scene.until(Work::Done(Final::Confirmed)).await;
}

#[tokio::test]
async fn a_document_is_asked_about_again_by_its_numbers_and_a_card_by_its_request() {
    let mut scene = Scene::without_card(vec![Duration::ZERO], numbers(Numbers::Original)).await;
    scene.start();
    scene.answer(QUESTION, not_found(), None).await;
    let row = scene.until(Work::AwaitLaterData).await;
    let whom = scene.whom(row.asks[1]).await;
    assert!(matches!(whom, Some(wire::follow_up_request::Whom::Search(search)) if search.birthdate == "19800105"));

    let mut scene = Scene::new(vec![Duration::ZERO]).await;
    scene.start();
    let turn = scene.until(Work::AwaitAnswer).await.case.turn();
    scene.order(turn, None, Some(known("佐藤 花子"))).await;
    scene.answer(QUESTION, not_found(), None).await;
    let row = scene.until(Work::AwaitLaterData).await;
    assert_eq!(scene.whom(row.asks[1]).await, None, "the card is asked about by what it proved");
}

#[tokio::test]
async fn numbers_that_staff_enter_after_a_refusal_are_asked_with() {
    let mut scene = Scene::new(vec![]).await;
    scene.start();
    let rows = scene.store.outbox(Destination::Central, 9).await.unwrap();
    scene.store.settle(rows[0].seq, Settlement::Rejected { code: "invalid_argument".into() }, AT).await.unwrap();
    let turn = scene.until(Work::LookAtRejection).await.case.turn();
    scene.order(turn, None, Some(known("髙橋 恵子"))).await;
    scene.order(turn, Some(StaffAction::NumbersEntered(Numbers::Current)), Some(numbers(Numbers::Current))).await;
    let row = scene.until_asked(1).await;
    assert!(scene.follow_up(row.asks[1]).await.request_id.is_empty(), "the refused question is known to nobody");
    scene.answer(row.asks[1], Verdict::Eligible, Some("髙橋 恵子")).await;
    scene.until(Work::Done(Final::Changed)).await;
}

#[tokio::test]
async fn who_has_a_revoked_card_is_asked_about_by_numbers_that_stand_alone() {
    let mut scene = Scene::new(vec![]).await;
    scene.start();
    scene.until(Work::AwaitAnswer).await;
    scene.answer(QUESTION, Verdict::Ineligible(Reason::CertificateRevoked), None).await;
    let turn = scene.until(Work::TellRevoked).await.case.turn();
    scene.order(turn, None, Some(known("髙橋 恵子"))).await;
    scene.order(turn, Some(StaffAction::NumbersEntered(Numbers::Current)), Some(numbers(Numbers::Current))).await;
    let row = scene.until_asked(1).await;
    let asked = scene.follow_up(row.asks[1]).await;
    assert!(asked.request_id.is_empty(), "the revoked card's question would be answered as before");
    assert!(matches!(asked.whom, Some(wire::follow_up_request::Whom::Search(_))));
    scene.answer(row.asks[1], Verdict::Eligible, Some("髙橋 恵子")).await;
    scene.until(Work::Done(Final::Changed)).await;
}

#[tokio::test]
async fn a_name_on_our_own_papers_is_compared_with_the_answer_to_a_document_and_to_a_card() {
    for (name, work) in [
        ("●橋 恵子", Work::Done(Final::Confirmed)),
        ("高橋 恵子", Work::Done(Final::Confirmed)),
        ("鈴木 一郎", Work::CheckPerson { ask: 0 }),
    ] {
        let nameless = Filed::Person(Person { name: Some("髙橋 恵子".into()), ..Person::default() });
        let document = Scene::without_card(vec![], numbers(Numbers::Original)).await;
        for (mut scene, paper) in [(document, nameless), (Scene::new(vec![]).await, known("髙橋 恵子"))] {
            scene.start();
            let turn = scene.until(Work::AwaitAnswer).await.case.turn();
            scene.order(turn, None, Some(paper)).await;
            scene.answer(QUESTION, Verdict::Eligible, Some(name)).await;
            scene.until(work).await;
        }
    }
}

#[tokio::test]
async fn one_result_about_somebody_else_keeps_a_reply_with_several_from_being_offered() {
    let several = || Verdict::Ineligible(Reason::SeveralInsurances);
    for (names, work) in [
        (["●橋 恵子", "高橋 恵子"], Work::ChooseInsurance { ask: 0, count: 2 }),
        (["高橋 恵子", "鈴木 一郎"], Work::CheckPerson { ask: 0 }),
    ] {
        let mut scene = Scene::new(vec![]).await;
        scene.start();
        let turn = scene.until(Work::AwaitAnswer).await.case.turn();
        scene.order(turn, None, Some(known("髙橋 恵子"))).await;
        scene.answer_about(QUESTION, several(), &names).await;
        scene.until(work).await;
    }
}

#[tokio::test]
async fn a_declaration_says_who_it_is_as_well() {
    let mut scene = Scene::new(vec![]).await;
    scene.start();
    let turn = scene.until(Work::AwaitAnswer).await.case.turn();
    let fields = [
        ("name", "髙橋 恵子"),
        ("birthdate", "昭和55年1月5日"),
        ("sex", "女"),
        ("address", "見本県"),
        ("insurer_unknown", "yes"),
        ("cause", "other"),
        ("signed", "yes"),
    ];
    let declaration = uketsuke_core::ladder::Declaration::parse(fields).unwrap();
    let declared = Some(StaffAction::Declared(declaration.on_file()));
    scene.order(turn, declared, Some(Filed::Declaration(declaration))).await;
    scene.answer(QUESTION, Verdict::Eligible, Some("鈴木 一郎")).await;
    scene.until(Work::CheckPerson { ask: 0 }).await;
}

#[tokio::test]
async fn staff_do_not_wait_until_every_other_case_has_been_looked_at() {
    let mut scene = Scene::new(vec![]).await;
    for number in 100..200 {
        let (reception, question) = (ReceptionId(Uuid::from_u128(number)), RequestId(Uuid::from_u128(number << 16)));
        scene.receive(reception, question, vec![]).await;
        scene.answer(question, Verdict::Eligible, None).await;
    }
    let turn = scene.store.case(RECEPTION).await.unwrap().unwrap().case.turn();
    let (done, told) = oneshot::channel();
    let (action, by) = (Some(StaffAction::NextRung), StaffName::new("7").unwrap());
    scene.orders.send(CaseOrder { reception: RECEPTION, turn, action, paper: None, by, done }).await.unwrap();
    let mut notices = scene.store.case_notices();
    scene.start();
    assert_eq!(told.await.unwrap(), CaseTold::Done { turn: turn + 1 });
    assert_eq!(notices.recv().await.unwrap().reception, RECEPTION, "what staff ordered comes first");
    let left = CaseCounts { machine: 0, desk: 1 };
    let mut counts = scene.parts.counts.subscribe();
    let all_looked_at = counts.wait_for(|counts| *counts == left);
    tokio::time::timeout(Duration::from_secs(20), all_looked_at).await.unwrap().unwrap();
    assert_eq!(scene.store.open_cases(1000).await.unwrap().len(), 1);
}
