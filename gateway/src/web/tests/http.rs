//! Pages, orders, and what is refused.

use super::{NOW, Scene, id};
use crate::central::{LineFault, Said};
use crate::handle::ReaderInput;
use crate::reconciler::CaseTold;
use crate::store::papers::{EnteredNumbers, Filed, Paper};
use crate::store::{CaseWrite, Lane, Opening, Recording, TrailEntry, ended_word};
use crate::web::{guard, routes};
use actix_web::body::to_bytes;
use actix_web::dev::ServiceResponse;
use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, web};
use std::sync::atomic::Ordering;
use uketsuke_core::answer::Verdict;
use uketsuke_core::consent::{Consent, ConsentKind, GivenBy};
use uketsuke_core::ids::OrderKey;
use uketsuke_core::ladder::{Answered, Cause, Event as CaseEvent, Numbers, PersonMatch, Refusal, StaffAction};
use uketsuke_core::person::Spelling;
use uketsuke_core::reception::{Attention, Ending, Screen, StaffDecision, StaffReason};
use uketsuke_core::record::{Abandonment, Shown, StaffName, Stage};
use uketsuke_core::rules::{Rules, Today};
use uketsuke_proto::central_v1 as wire;

async fn call(scene: &Scene, request: TestRequest) -> ServiceResponse {
    let app = App::new().app_data(web::Data::new(scene.state.clone())).wrap(from_fn(guard::guard)).configure(routes);
    call_service(&init_service(app).await, request.to_request()).await.map_into_boxed_body()
}

async fn get(scene: &Scene, path: &str) -> ServiceResponse {
    call(scene, TestRequest::get().uri(path).insert_header(("host", "localhost:8080"))).await
}

async fn text(response: ServiceResponse) -> String {
    String::from_utf8(to_bytes(response.into_body()).await.unwrap().to_vec()).unwrap()
}

pub(super) async fn page(scene: &Scene, path: &str) -> String {
    let response = get(scene, path).await;
    assert_eq!(response.status(), 200, "{path}");
    text(response).await
}

fn post(path: &str, json: &str) -> TestRequest {
    TestRequest::post()
        .uri(path)
        .insert_header(("host", "localhost:8080"))
        .insert_header(("origin", "http://localhost:8080"))
        .insert_header(("content-type", "application/json"))
        .set_payload(json.to_owned())
}

#[actix_web::test]
async fn the_connection_check_says_layer_by_layer_what_is_wrong_and_what_was_not_tried() {
    let scene = Scene::new();
    let shown = page(&scene, "/staff/line?lang=en").await;
    assert!(shown.contains("name: failed") && shown.contains("check the spelling of central.address"), "{shown}");
    assert_eq!(shown.matches("not tried").count(), 6, "{shown}");
    let shown = page(&scene, "/staff/line").await;
    assert!(shown.contains("名前解決: 異常") && shown.contains("仮受付"), "{shown}");
}

#[actix_web::test]
async fn the_staff_page_warns_of_certificates_that_end_or_are_not_used_and_says_why_the_line_is_down() {
    let scene = Scene::new();
    let calm = page(&scene, "/staff?lang=en").await;
    assert!(!calm.contains("certificate"), "{calm}");
    scene.link.send_modify(|link| {
        link.validity.as_mut().unwrap().certificate_ms = NOW.wall_ms + 29 * 24 * 3_600_000;
        link.refused = Some(Said::new("組が合いません", "they do not belong together"));
        link.fault = Some(LineFault::OurCertificateRevoked);
    });
    let shown = page(&scene, "/staff?lang=en").await;
    assert!(shown.contains("our certificate"), "{shown}");
    assert!(shown.contains("are not used") && shown.contains("they do not belong together"), "{shown}");
    assert!(shown.contains("our certificate has been revoked"), "{shown}");
    let shown = page(&scene, "/staff").await;
    assert!(shown.contains("失効しているとして拒否") && shown.contains("組が合いません"), "{shown}");
}

#[actix_web::test]
async fn every_answer_carries_the_headers_that_keep_strangers_out() {
    let scene = Scene::new();
    for path in ["/", "/kiosk/desk-1/a", "/staff", "/metrics", "/healthz", "/static/kiosk.js", "/nowhere"] {
        let response = get(&scene, path).await;
        let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert!(header("content-security-policy").starts_with("default-src 'none'; script-src 'self';"), "{path}");
        assert!(!header("content-security-policy").contains("unsafe"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("permissions-policy").contains("camera=(self)"), path.starts_with("/kiosk/"), "{path}");
    }
    let refused = call(&scene, TestRequest::get().uri("/")).await;
    assert_eq!(refused.status(), 403);
    assert!(refused.headers().contains_key("content-security-policy"));
}

#[actix_web::test]
async fn a_foreign_host_is_refused_everywhere() {
    let scene = Scene::new();
    for path in ["/", "/kiosk/desk-1/a", "/metrics", "/static/style.css"] {
        let request = TestRequest::get().uri(path).insert_header(("host", "evil.example"));
        assert_eq!(call(&scene, request).await.status(), 403, "{path}");
    }
}

#[actix_web::test]
async fn an_order_needs_our_own_origin_json_and_a_small_body() {
    let scene = Scene::new();
    let body = r#"{"terminal":"desk-1","reader":"a"}"#;
    let foreign = [
        Some("http://evil.example"),
        Some("http://localhost:8081"),
        Some("https://localhost:8080"),
        Some("null"),
        None,
    ];
    for origin in foreign {
        let mut request = TestRequest::post().uri("/staff/restart").insert_header(("host", "localhost:8080"));
        if let Some(origin) = origin {
            request = request.insert_header(("origin", origin));
        }
        let request = request.insert_header(("content-type", "application/json")).set_payload(body);
        assert_eq!(call(&scene, request).await.status(), 403, "{origin:?}");
    }
    let form = post("/staff/restart", body).insert_header(("content-type", "text/plain"));
    assert_eq!(call(&scene, form).await.status(), 415);
    let long = format!(r#"{{"terminal":"desk-1","reader":"{}"}}"#, "a".repeat(9000));
    for bad in ["", "{", "[]", r#"{"terminal":"desk-1","reader":"a","more":1}"#, long.as_str()] {
        assert_eq!(call(&scene, post("/staff/restart", bad)).await.status(), 400, "{bad}");
    }
    assert!(scene.restarts.is_empty());
}

#[actix_web::test]
async fn a_socket_needs_our_own_origin() {
    let scene = Scene::new();
    for path in ["/kiosk/desk-1/a/ws", "/staff/ws"] {
        let upgrade = |origin: &'static str| {
            TestRequest::get()
                .uri(path)
                .insert_header(("host", "localhost:8080"))
                .insert_header(("origin", origin))
                .insert_header(("connection", "upgrade"))
                .insert_header(("upgrade", "websocket"))
                .insert_header(("sec-websocket-version", "13"))
                .insert_header(("sec-websocket-key", "x3JJHMbDL1EzLkh9GBhXDw=="))
        };
        assert_eq!(call(&scene, upgrade("http://evil.example")).await.status(), 403, "{path}");
        assert_eq!(call(&scene, upgrade("http://localhost:8080")).await.status(), 101, "{path}");
    }
}

#[actix_web::test]
async fn an_unknown_reader_or_page_is_not_found() {
    let scene = Scene::new();
    for path in [
        "/kiosk/desk-1/b",
        "/kiosk/desk-1",
        "/kiosk/desk-2/a",
        "/static/../Cargo.toml",
        "/static/x",
        "/x",
        "/staff/explain/x",
    ] {
        let response = get(&scene, path).await;
        assert_eq!(response.status(), 404, "{path}");
        assert!(text(response).await.contains("ページがありません"), "{path}");
    }
    assert_eq!(get(&scene, &format!("/staff/explain/{}", id())).await.status(), 404);
}

#[actix_web::test]
async fn names_are_escaped_wherever_they_stand() {
    let scene = Scene::new();
    let reception = scene.provisional().await;
    for path in ["/", "/staff", "/kiosk/%3Cb%3E/%22&'", &format!("/staff/explain/{reception}")] {
        let html = page(&scene, path).await;
        assert!(!html.contains("<b>") && !html.contains("\"&'"), "{path}: {html}");
        assert!(html.contains("&#60;b&#62;"), "{path}: {html}");
    }
    assert!(page(&scene, "/").await.contains("/kiosk/%3Cb%3E/%22%26%27"));
}

#[actix_web::test]
async fn both_languages_have_every_page() {
    let scene = Scene::new();
    for path in ["/", "/kiosk/desk-1/a", "/staff"] {
        assert!(page(&scene, path).await.contains("<html lang=\"ja\">"));
        let english = page(&scene, &format!("{path}?lang=en")).await;
        assert!(english.contains("<html lang=\"en\">"));
        let mut rest = english.replace("みどり薬局", "").replace(">日本語<", "");
        // What is said when no page in another language can be had is said in both languages, each marked as what it is.
        for tag in ["div", "p", "span"] {
            let (start, end) = (format!("<{tag} lang=\"ja\">"), format!("</{tag}>"));
            if let Some((before, (_, after))) =
                rest.split_once(&start).and_then(|(b, a)| Some((b, a.split_once(&end)?)))
            {
                rest = format!("{before}{after}");
            }
        }
        assert!(!rest.chars().any(|c| ('\u{3040}'..='\u{30ff}').contains(&c)), "{rest}");
    }
}

#[actix_web::test]
async fn the_staff_page_shows_what_waits_and_what_to_do() {
    let scene = Scene::new();
    let reception = scene.provisional().await;
    scene.status("staff_look", Some(id()), Some(Attention::StaffLook(StaffReason::Asked)));
    let html = page(&scene, "/staff").await;
    for part in ["職員の確認待ち", "本人です", "本人ではありません", "つながりません", "送信待ち 3", "仮受付です。"]
    {
        assert!(html.contains(part), "{part}: {html}");
    }
    assert!(html.contains(&format!("/staff/explain/{reception}?lang=ja")));
    assert!(!html.contains("data-restart"));
    scene.status("given_up", None, None);
    assert!(page(&scene, "/staff").await.contains("data-restart"));
}

#[actix_web::test]
async fn a_reception_that_ended_early_today_is_listed_with_its_next_step() {
    let scene = Scene::new();
    let opening = scene.opening(id());
    let reception = opening.reception;
    scene.state.store.open_reception(opening).await.unwrap();
    let now = scene.state.clock.stamp();
    scene.state.store.abandon_reception(reception, Abandonment::Cancelled, now).await.unwrap();
    let html = page(&scene, "/staff?lang=en").await;
    let (_, listed) = html.split_once("that ended early <span class=\"count\">1</span>").unwrap();
    assert!(listed.contains("The patient cancelled") && listed.contains("Ask the patient to place the card again"));
}

#[actix_web::test]
async fn a_reception_that_ended_early_leaves_the_list_once_another_of_its_visit_is_recorded() {
    let scene = Scene::new();
    let opening = scene.opening(id());
    let (reception, now) = (opening.reception, scene.state.clock.stamp());
    scene.state.store.open_reception(opening).await.unwrap();
    scene.state.store.abandon_reception(reception, Abandonment::CardRemoved, now).await.unwrap();
    let count = |html: &str| html.split_once("that ended early <span class=\"count\">").unwrap().1.chars().next();
    assert_eq!(count(&page(&scene, "/staff?lang=en").await), Some('1'));
    let again = scene.opening(id());
    let second = again.reception;
    scene.state.store.open_reception(again).await.unwrap();
    assert_eq!(count(&page(&scene, "/staff?lang=en").await), Some('1'), "nobody is received by being verified");
    let (shown, consents) = (Shown::Provisional, vec![]);
    let recording = Recording { reception: second, shown, consents, request: None, case: None, recorded: NOW };
    scene.state.store.record_reception(recording).await.unwrap();
    let visit = scene.state.store.reception(second).await.unwrap().unwrap().same_visit_as;
    assert_eq!(visit, Some(reception));
    assert_eq!(count(&page(&scene, "/staff?lang=en").await), Some('0'));
}

#[actix_web::test]
async fn whoever_was_not_received_stays_on_the_list_until_somebody_says_by_name_that_they_were_seen_to() {
    let scene = Scene::new();
    let now = scene.state.clock.stamp();
    let noted = TrailEntry {
        id: uuid::Uuid::now_v7(),
        at: now,
        by: String::new(),
        what: ended_word(&Ending::CertificateExpired),
        detail: "desk-1/a".into(),
        rules: Some(Rules::on(Today::of(now)).version()),
    };
    scene.state.store.note(noted.clone()).await.unwrap();
    let opening = Opening { order_key: OrderKey([8; 32]), ..scene.opening(id()) };
    let (early, open) = (opening.reception, scene.provisional().await);
    scene.state.store.open_reception(opening).await.unwrap();
    scene.state.store.abandon_reception(early, Abandonment::Cancelled, now).await.unwrap();
    let settle = |entry: &dyn std::fmt::Display, by: &str| {
        post("/staff/settle", &format!(r#"{{"entry":"{entry}","by":"{by}"}}"#))
    };
    let html = page(&scene, "/staff").await;
    assert!(html.contains("患者さんに声をかけ、窓口で受け付けてください") && html.contains("/staff/desk?lang=ja"));
    assert!(html.contains(&noted.rules.unwrap().to_string()), "by which rules: {html}");
    let (to_come, drawn) = (scene.state.lists.subscribe(), |html: &str| html.matches("data-settle").count());
    assert_eq!(drawn(&html), 2);
    for (entry, by, status) in [
        (noted.id, " ", 400),
        (open.0, "佐藤", 409),
        (uuid::Uuid::nil(), "佐藤", 409),
        (noted.id, "佐藤", 202),
        (noted.id, "鈴木", 409),
        (early.0, "佐藤", 202),
    ] {
        assert_eq!(call(&scene, settle(&entry, by)).await.status(), status, "{entry} {by}");
    }
    assert!(to_come.has_changed().unwrap(), "every staff page is drawn anew");
    assert_eq!(drawn(&page(&scene, "/staff").await), 0);
    let kept = scene.state.store.trail(9).await.unwrap();
    assert_eq!(kept.iter().map(|entry| entry.settles()).collect::<Vec<_>>(), [Some(early.0), Some(noted.id), None]);
    assert!(kept[..2].iter().all(|entry| entry.by == "佐藤"));
}

#[actix_web::test]
async fn the_patients_sentence_stays_on_the_patients_screen() {
    let scene = Scene::new();
    scene.status("notice", Some(id()), Some(Attention::Ended(Ending::StaffDidNotCome)));
    let html = page(&scene, "/staff").await;
    assert!(!html.contains("お越しください") && html.contains("窓口で受け付けてください"), "{html}");
    let (_, row) = html.split_once("窓口で受け付けてください").unwrap();
    assert!(row.split_once("</td>").unwrap().0.contains("/staff/desk?lang=ja"), "{row}");
}

#[actix_web::test]
async fn the_story_of_a_reception_is_told() {
    let scene = Scene::new();
    let reception = scene.provisional().await;
    let html = page(&scene, &format!("/staff/explain/{reception}?lang=en")).await;
    assert!(html.contains("Received provisionally") && html.contains("verified by PIN"), "{html}");
}

#[actix_web::test]
async fn a_decision_reaches_the_reader_until_the_person_is_verified() {
    let scene = Scene::new();
    let reception = id();
    let order = |reception: &dyn std::fmt::Display, reader: &str, decision: &str| {
        post(
            "/staff/decision",
            &format!(
                r#"{{"terminal":"desk-1","reader":"{reader}","reception":"{reception}","decision":"{decision}","by":"佐藤"}}"#
            ),
        )
    };
    assert_eq!(call(&scene, order(&reception, "a", "same_person")).await.status(), 409);
    for state in ["reading", "asking", "informing", "consent", "recording", "take_card", "notice"] {
        scene.status(state, Some(reception), None);
        assert_eq!(call(&scene, order(&reception, "a", "same_person")).await.status(), 409, "{state}");
    }
    scene.status("staff_look", Some(reception), Some(Attention::StaffLook(StaffReason::Asked)));
    assert_eq!(call(&scene, order(&id(), "a", "same_person")).await.status(), 409);
    assert_eq!(call(&scene, order(&reception, "b", "same_person")).await.status(), 404);
    assert_eq!(call(&scene, order(&reception, "a", "perhaps")).await.status(), 400);
    let nameless =
        format!(r#"{{"terminal":"desk-1","reader":"a","reception":"{reception}","decision":"same_person","by":" "}}"#);
    assert_eq!(call(&scene, post("/staff/decision", &nameless)).await.status(), 400, "who looked goes into the record");
    assert!(scene.port.inputs.is_empty());
    assert_eq!(call(&scene, order(&reception, "a", "not_same_person")).await.status(), 202);
    let input = scene.port.inputs.try_recv().unwrap();
    assert!(matches!(input, ReaderInput::Staff(named, StaffDecision::NotSamePerson, _) if named == reception));
    for state in ["choosing", "face", "pin"] {
        scene.status(state, Some(reception), None);
        assert_eq!(call(&scene, order(&reception, "a", "same_person")).await.status(), 202, "{state}");
        let input = scene.port.inputs.try_recv().unwrap();
        assert!(matches!(input, ReaderInput::Staff(named, StaffDecision::SamePerson, _) if named == reception));
    }
}

#[actix_web::test]
async fn staff_who_help_with_the_screen_say_so_to_the_reader() {
    let scene = Scene::new();
    let reception = id();
    let order = |reception: uketsuke_core::ids::ReceptionId| {
        let body =
            format!(r#"{{"terminal":"desk-1","reader":"a","reception":"{reception}","assist":"begin","by":"佐藤"}}"#);
        post("/staff/assist", &body)
    };
    assert_eq!(call(&scene, order(reception)).await.status(), 409);
    scene.status("consent", Some(reception), None);
    assert!(page(&scene, "/staff").await.contains("data-assist"));
    assert_eq!(call(&scene, order(id())).await.status(), 409);
    assert_eq!(call(&scene, order(reception)).await.status(), 202);
    assert!(
        matches!(scene.port.inputs.try_recv(), Ok(ReaderInput::Assist(named, by)) if named == reception && by.as_str() == "佐藤")
    );
    let rest = format!(r#""terminal":"desk-1","reader":"a","reception":"{reception}""#);
    let end = post("/staff/assist", &format!(r#"{{{rest},"assist":"end","by":"佐藤"}}"#));
    assert_eq!(call(&scene, end).await.status(), 202);
    assert!(matches!(scene.port.inputs.try_recv(), Ok(ReaderInput::Leave(named)) if named == reception));
    let nameless = post("/staff/assist", &format!(r#"{{{rest},"assist":"begin"}}"#));
    assert_eq!(call(&scene, nameless).await.status(), 400, "who helps goes into the record");
}

#[actix_web::test]
async fn staff_may_look_at_any_time_and_are_pressed_to_only_when_they_are_wanted() {
    let scene = Scene::new();
    for state in ["choosing", "face", "pin"] {
        scene.status(state, Some(id()), None);
        let html = page(&scene, "/staff").await;
        let (_, offer) = html.split_once("目視確認をする").unwrap_or_else(|| panic!("{state}: {html}"));
        assert!(offer.contains("same_person") && offer.contains("not_same_person") && !offer.contains("primary"));
    }
    scene.status("staff_look", Some(id()), Some(Attention::StaffLook(StaffReason::Asked)));
    for (path, names) in [
        ("/staff", ["「本人です」", "「本人ではありません」"]),
        ("/staff?lang=en", ["&#34;Same person&#34;", "&#34;Not the same person&#34;"]),
    ] {
        let html = page(&scene, path).await;
        for name in names {
            assert!(html.contains(name), "the sentence names no {name}: {html}");
            let button = name.trim_matches(['「', '」']).replace("&#34;", "");
            assert!(html.contains(&format!(">{button}</button>")), "no button {button}: {html}");
        }
    }
    let wanted = page(&scene, "/staff").await;
    assert!(!wanted.contains("<details") && wanted.contains("class=\"primary\" id=\"same-"), "{wanted}");
    for (state, reception) in [("idle", None), ("asking", Some(id()))] {
        scene.status(state, reception, None);
        assert!(!page(&scene, "/staff").await.contains("data-decision"), "{state}");
    }
}

#[actix_web::test]
async fn cases_are_listed_by_who_has_to_see_to_them_and_each_has_a_page_to_work_on() {
    let scene = Scene::new();
    let waiting = scene.with_case(Cause::NoAnswer).await;
    let rejected = scene.with_case(Cause::Rejected).await;
    let html = page(&scene, "/staff?lang=en").await;
    let (_, rest) = html.split_once("To be seen to at the desk <span class=\"count\">1<").unwrap();
    let (desk, rest) = rest.split_once("Being confirmed by itself").unwrap();
    assert!(desk.contains(&format!("/staff/case/{rejected}")) && rest.contains(&format!("/staff/case/{waiting}")));
    let case = page(&scene, &format!("/staff/case/{rejected}?lang=en")).await;
    assert!(case.contains("100 %") && case.contains("data-post=\"/staff/case/"), "{case}");
    assert_eq!(get(&scene, &format!("/staff/case/{}", id())).await.status(), 404);
}

#[actix_web::test]
async fn what_staff_do_to_a_case_is_handed_over_with_its_turn_and_gaps_are_named_first() {
    let scene = Scene::new();
    let reception = scene.with_case(Cause::NoAnswer).await;
    let path = format!("/staff/case/{reception}");
    let act = |fields: &str| post(&path, &format!(r#"{{"by":"佐藤","turn":1,{fields}}}"#));
    let gaps = text(call(&scene, act(r#""what":"declare","name":"山田","signed":"no""#)).await).await;
    assert!(gaps.contains("住所") && gaps.contains("署名"), "{gaps}");
    for bad in [
        r#""what":"numbers","which":"current","insurer_number":"12","number":"","birthdate":"""#,
        // Nobody was asked.
        r#""what":"numbers","which":"current","insurer_number":"06123456","number":"345","birthdate":"S55.1.2","limit_certificate":"""#,
        r#""what":"close","reason":"other","note":" ""#,
        r#""what":"choose","index":"first""#,
    ] {
        assert_eq!(call(&scene, act(bad)).await.status(), 422, "{bad}");
    }
    assert!(scene.cases.is_empty());
    let numbers = r#""what":"numbers","which":"current","insurer_number":"06123456","symbol":"１２","number":"345","birthdate":"S55.1.2","limit_certificate":"yes""#;
    let done = async {
        let order = scene.cases.recv().await.unwrap();
        assert_eq!(
            (order.reception, order.turn, order.action),
            (reception, 1, Some(StaffAction::NumbersEntered(Numbers::Current)))
        );
        let Some(Filed::Numbers(typed)) = &order.paper else { panic!("numbers") };
        assert_eq!((typed.birthdate.as_str(), typed.symbol.as_str()), ("19800102", "12"));
        let given = typed.consent.as_ref().unwrap();
        let asked_by = given.assisted_by.as_ref().map(|by| by.as_str());
        assert!(typed.limit_certificate && given.agreed && asked_by == Some("佐藤"), "who asked is kept with it");
        order.done.send(CaseTold::Refused(Refusal::Stale)).unwrap();
    };
    let (answer, ()) = tokio::join!(call(&scene, act(numbers)), done);
    assert_eq!(answer.status(), 409, "the case has moved on since they looked");
}

#[actix_web::test]
async fn who_it_is_by_our_own_papers_is_handed_over_as_typed_and_gaps_are_named_first() {
    let scene = Scene::new();
    let reception = scene.with_case(Cause::NoAnswer).await;
    let path = format!("/staff/case/{reception}");
    let act = |fields: &str| post(&path, &format!(r#"{{"by":"佐藤","turn":1,"what":"person",{fields}}}"#));
    let gaps = call(&scene, act(r#""name":" ","birthdate":"昨日","sex":"?""#)).await;
    assert_eq!(gaps.status(), 422);
    let gaps = text(gaps).await;
    assert!(["氏名", "生年月日", "性別"].iter().all(|field| gaps.contains(field)) && !gaps.contains("昨日"), "{gaps}");
    assert!(scene.cases.is_empty());
    let done = async {
        let order = scene.cases.recv().await.unwrap();
        assert_eq!((order.reception, order.action), (reception, None));
        let Some(Filed::Person(person)) = order.paper else { panic!("a person") };
        let part = |part: &Option<Spelling>| part.as_ref().map(|part| part.as_str().to_owned());
        assert_eq!(part(&person.name).as_deref(), Some("髙﨑　惠子"));
        assert_eq!((part(&person.birthdate).as_deref(), part(&person.sex).as_deref()), (Some("19800102"), Some("2")));
        order.done.send(CaseTold::Done { turn: 1 }).unwrap();
    };
    let typed = r#""name":"髙﨑　惠子","name_kana":"ﾀｶｻｷ ｹｲｺ","birthdate":"S55.1.2","sex":"女""#;
    let (answer, ()) = tokio::join!(call(&scene, act(typed)), done);
    assert_eq!(answer.status(), 200);
}

#[actix_web::test]
async fn the_page_of_a_case_shows_where_each_result_is_spelt_in_another_way_also_after_its_end() {
    let scene = Scene::new();
    let reception = scene.with_case(Cause::NoAnswer).await;
    let path = format!("/staff/case/{reception}?lang=en");
    let result = |name: &str, kana: &str, insurer: &str| wire::Qualification {
        name: name.into(),
        name_kana: kana.into(),
        birthdate: "19800102".into(),
        insurer_name: insurer.into(),
        ..wire::Qualification::default()
    };
    let results = [result("●崎　恵子", "ﾀｶｻｷ ｹｲｺ", "甲組合"), result("高崎　良子", "ﾀｶｻｷ ﾖｼｺ", "乙組合")];
    scene.answer(reception, results.into()).await;
    assert!(!page(&scene, &path).await.contains("Differences"), "nobody is known here");
    scene.file(reception, r#"{"name":"髙﨑　惠子","name_kana":"ﾀｶｻｷ ｹｲｺ","birthdate":"19800102"}"#).await;
    let html = page(&scene, &path).await;
    for told in ["甲組合", "乙組合", "髙 U+9AD9 → ● U+25CF", "﨑 U+FA11 → 崎 U+5D0E", "惠 U+60E0 → 良 U+826F"]
    {
        assert!(html.contains(told), "{told}: {html}");
    }
    let (folds, spellings) = (2, 2);
    let shown = html.matches("髙﨑　惠子").count();
    assert_eq!(
        shown,
        spellings + folds,
        "the local spelling stays beside each central one, and in the folds of who and what"
    );
    assert!(html.contains("The same person.") && html.contains("The names differ"), "{html}");
    scene.close(reception).await;
    let html = page(&scene, &path).await;
    assert!(html.contains("髙 U+9AD9 → ● U+25CF") && html.contains(r#"value="person""#), "{html}");
    assert!(!html.contains(r#"value="numbers""#) && html.contains("id=\"by\""), "{html}");
}

#[actix_web::test]
async fn the_page_of_a_case_shows_on_request_whose_it_is_what_the_insurance_says_and_what_was_filed() {
    let scene = Scene::new();
    let reception = scene.with_case(Cause::NoAnswer).await;
    let path = format!("/staff/case/{reception}");
    let result = wire::Qualification {
        name: "山田　花子".into(),
        insurer_name: "甲組合".into(),
        insured_card_symbol: "７７".into(),
        insured_partial_contribution_ratio: "030".into(),
        limit_application_certificate_related_info: Some(wire::LimitApplicationCertificateRelatedInfo {
            limit_application_certificate_classification_flag: "A03".into(),
            ..wire::LimitApplicationCertificateRelatedInfo::default()
        }),
        public_expense_result_list: vec![wire::MedicalTicketInfo {
            medical_treatment_month: "202606".into(),
            ..wire::MedicalTicketInfo::default()
        }],
        ..wire::Qualification::default()
    };
    scene.answer(reception, vec![result]).await;
    scene.file(reception, r#"{"name":"山田　花子","address":"見本県見本市"}"#).await;
    let html = page(&scene, &path).await;
    for told in ["山田　花子", "見本県見本市", "７７", "30 %", "ウ (A03)", "202606"] {
        let (before, _) = html.split_once(told).unwrap_or_else(|| panic!("{told}: {html}"));
        let open = before.matches("<details").count() - before.matches("</details").count();
        assert!(open > 0, "{told} stands in plain sight");
    }
    let other = scene.with_case(Cause::NoAnswer).await;
    assert!(!page(&scene, &format!("/staff/case/{other}")).await.contains("どなたの受付か"), "nothing to show yet");
}

#[actix_web::test]
async fn a_case_is_listed_with_its_reader_and_what_does_not_fit_is_counted() {
    let scene = Scene::new();
    for _ in 0..52 {
        scene.with_case(Cause::NoAnswer).await;
    }
    let desk = scene.with_case(Cause::Rejected).await;
    let named = scene.state.store.reception(desk).await.unwrap().unwrap().reader;
    assert_eq!(named, "<b>/\"&'", "a reader may be called anything");
    let reader = "&#60;b&#62;/&#34;&#38;&#39;";
    let html = page(&scene, "/staff?lang=en").await;
    let (_, rest) = html.split_once("To be seen to at the desk").unwrap();
    let (desk, rest) = rest.split_once("Being confirmed by itself").unwrap();
    assert!(
        desk.contains(&format!("<td class=\"short\">{reader}</td>")) && !desk.contains("More than these"),
        "{desk}"
    );
    assert!(rest.contains("<span class=\"count\">52<") && rest.contains("More than these: <strong>2<"), "{rest}");
    assert!(rest.contains("/staff/cases/machine?lang=en"), "{rest}");
    let all = page(&scene, "/staff/cases/machine?lang=en").await;
    assert_eq!(all.matches("/staff/case/").count(), 52);
    assert_eq!(page(&scene, "/staff/cases/desk").await.matches("/staff/case/").count(), 1);
    assert_eq!(get(&scene, "/staff/cases/nobody").await.status(), 404);
}

#[actix_web::test]
async fn a_patient_without_a_card_is_received_by_a_document_and_bad_fields_are_named() {
    let scene = Scene::new();
    let document = |number: &str| {
        post(
            "/staff/document",
            &format!(
                r#"{{"by":"佐藤","kind":"eligibility_certificate","insurer_number":"06123456","symbol":"12","number":"{number}","branch":"","birthdate":"19800102","valid_until":"","limit_certificate":true}}"#
            ),
        )
    };
    let gaps = call(&scene, document("")).await;
    assert_eq!(gaps.status(), 422);
    assert!(text(gaps).await.contains("番号"));
    let choice = r#"name="limit_certificate" data-type="boolean" required><option value="" selected>"#;
    assert!(page(&scene, "/staff/desk").await.contains(choice), "nothing is chosen for the patient");
    for untouched in ["null", "missing"] {
        let body = r#"{"by":"佐藤","kind":"eligibility_certificate","insurer_number":"06123456","symbol":"12","number":"345","branch":"","birthdate":"19800102","valid_until":"""#;
        let last = if untouched == "null" { r#","limit_certificate":null}"# } else { "}" };
        let gaps = call(&scene, post("/staff/document", &format!("{body}{last}"))).await;
        assert_eq!(gaps.status(), 422, "{untouched}");
        assert!(text(gaps).await.contains("限度額の情報の提供: 選ばれていません。"), "{untouched}");
    }
    assert!(scene.state.store.receptions(9).await.unwrap().is_empty());
    assert_eq!(call(&scene, document("345")).await.status(), 201);
    let received = scene.state.store.receptions(9).await.unwrap();
    assert_eq!(received.len(), 1);
    assert_eq!((received[0].reader.as_str(), received[0].stage), ("desk", Stage::Closed));
    assert!(scene.state.store.case(received[0].reception).await.unwrap().is_some(), "somebody owns it until it ends");
}

#[actix_web::test]
async fn a_document_past_its_day_is_offered_another_way_in_with_the_same_numbers() {
    let scene = Scene::new();
    let document = |kind: &str| {
        post(
            "/staff/document",
            &format!(
                r#"{{"by":"佐藤","kind":"{kind}","insurer_number":"06123456","symbol":"12","number":"345","branch":"","birthdate":"19800102","valid_until":"20240101","limit_certificate":false}}"#
            ),
        )
    };
    let ways = ["eligibility_certificate", "notice", "mynaportal", "declaration"];
    let html = page(&scene, "/staff/desk").await;
    assert!(ways.iter().all(|kind| html.contains(&format!("value=\"{kind}\""))), "{html}");
    let decided = call(&scene, document("eligibility_certificate")).await;
    // A clock that nobody vouches for sends nobody off, so then there is nothing to offer.
    if decided.status() == 200 {
        let told = text(decided).await;
        assert!(told.contains(r#""field":"kind""#) && told.contains(r#""value":"declaration""#), "{told}");
        assert!(scene.state.store.receptions(9).await.unwrap().is_empty());
    }
    for kind in &ways[1..] {
        assert_eq!(call(&scene, document(kind)).await.status(), 201, "{kind}");
    }
    let received = scene.state.store.receptions(9).await.unwrap();
    assert!(received.len() >= 3 && received.iter().all(|record| record.awaits_reply()), "{received:?}");
}

#[actix_web::test]
async fn a_document_that_does_not_count_is_kept_with_its_rule_until_its_patient_is_received() {
    let mut scene = Scene::new();
    // A file that is there vouches for the clock.
    scene.state.desk.clock = crate::clock::Clock::new("/".into());
    let document = |kind: &str, number: u32, instead_of: &str| {
        post(
            "/staff/document",
            &format!(
                r#"{{"by":"佐藤","kind":"{kind}","insurer_number":"06123456","symbol":"12","number":"{number}","branch":"","birthdate":"19800102","valid_until":"20240101","limit_certificate":false,"instead_of":"{instead_of}"}}"#
            ),
        )
    };
    let told = call(&scene, document("eligibility_certificate", 34_567, "")).await;
    assert_eq!(told.status(), 200);
    let told: serde_json::Value = serde_json::from_str(&text(told).await).unwrap();
    let line = told["offer"]["instead_of"].as_str().unwrap();
    assert!(page(&scene, "/staff/desk").await.contains(r#"name="instead_of""#), "the form can say so");
    let kept = scene.state.store.trail(9).await.unwrap().pop().unwrap();
    assert_eq!((kept.id.to_string().as_str(), kept.by.as_str()), (line, "佐藤"));
    assert!(kept.rules.is_some() && !kept.detail.contains("34567"), "no number: {}", kept.detail);
    let html = page(&scene, "/staff").await;
    assert!(html.contains(line) && html.contains("資格確認書)では受け付けられませんでした"), "{html}");
    assert!(!page(&scene, "/staff/desk").await.contains("document_not_accepted"), "it is no mode");
    let other = uuid::Uuid::now_v7().to_string();
    assert_eq!(call(&scene, document("declaration", 1, &other)).await.status(), 201);
    assert!(page(&scene, "/staff").await.contains(line), "somebody else was received");
    assert_eq!(call(&scene, document("declaration", 34_567, line)).await.status(), 201);
    assert!(!page(&scene, "/staff").await.contains(line));
}

#[actix_web::test]
async fn a_consent_that_was_asked_for_with_numbers_is_told_with_who_asked_when_until_when_and_which_text() {
    let scene = Scene::new();
    let reception = scene.with_case(Cause::NoAnswer).await;
    let by = StaffName::new("7").unwrap();
    let given = Consent::new(ConsentKind::LimitCertificate, true, NOW, GivenBy::StaffAssisted).assisted(&by);
    let entered = |which| {
        let number = |text: &str| Spelling::from(text);
        let (insurer, symbol, branch) = (number("06123456"), number(""), number(""));
        let (number, birthdate, limit_certificate) = (number("345"), number("19800102"), false);
        let typed =
            EnteredNumbers { which, insurer, symbol, number, branch, birthdate, limit_certificate, consent: None };
        Paper { filed: Filed::Numbers(typed.with_consent(given.clone())), by: by.clone(), at: NOW }
    };
    scene.step(reception, vec![entered(Numbers::Original), entered(Numbers::Current)], None).await;
    // NOW is a midnight in Japan.
    let told = "2026-06-02 00:00:00: 限度額適用認定証等: 同意する(患者さんに聞きながら職員 7 が操作、2026-06-03 00:00:00まで有効、説明文 第1版)";
    for path in [format!("/staff/case/{reception}"), format!("/staff/explain/{reception}")] {
        let html = page(&scene, &path).await;
        assert_eq!(html.matches(told).count(), 1, "what the reception began with stands in its record: {html}");
    }
}

#[actix_web::test]
async fn an_answer_is_told_as_late_when_the_case_says_so_whatever_the_clocks_say() {
    let scene = Scene::new();
    let reception = scene.with_case(Cause::NoAnswer).await;
    scene.close(reception).await;
    scene.answer(reception, vec![]).await;
    let path = format!("/staff/explain/{reception}");
    let late = "最後の答えは、案件が終わったあとに届きました";
    assert!(!page(&scene, &path).await.contains(late), "the case has not heard of it");
    let row = scene.state.store.case(reception).await.unwrap().unwrap();
    let (mut case, now) = (row.case.clone(), scene.state.clock.now());
    let answered = Answered { verdict: Verdict::Eligible, results: 1, person: PersonMatch::SamePerson };
    case.step(now, CaseEvent::Answer { ask: 0, answered }, &mut Vec::new());
    let (version, papers, lane) = (row.version, vec![], Lane::Backlog);
    let write = CaseWrite {
        reception,
        version,
        case,
        papers,
        request: None,
        stands_alone: false,
        lane,
        consents: None,
        at: NOW,
    };
    scene.state.store.save_case(write).await.unwrap();
    assert!(page(&scene, &path).await.contains(late));
}

#[actix_web::test]
async fn the_four_items_count_only_while_a_mode_is_open_that_an_authorised_person_has_opened() {
    let scene = Scene::new();
    let items = || {
        post(
            "/staff/four-items",
            r#"{"by":"佐藤","name":"山田 太郎","sex":"1","birthdate":"S55.1.2","address":"見本県"}"#,
        )
    };
    let open = |by: &str| {
        post(
            "/staff/mode",
            &format!(r#"{{"by":"{by}","mode":"system_failure","open":true,"reason":"回線障害","hours":"2"}}"#),
        )
    };
    assert_eq!(call(&scene, items()).await.status(), 409);
    assert_eq!(call(&scene, open("佐藤")).await.status(), 409);
    assert_eq!(call(&scene, open("院長")).await.status(), 200);
    assert_eq!(call(&scene, items()).await.status(), 201);
    let html = page(&scene, "/staff/desk").await;
    assert!(html.contains("回線障害") && html.contains("システム障害時モード: 開きました"), "{html}");
    let close = r#"{"by":"院長","mode":"system_failure","open":false}"#;
    assert_eq!(call(&scene, post("/staff/mode", close)).await.status(), 200);
    assert_eq!(call(&scene, items()).await.status(), 409);
}

#[actix_web::test]
async fn every_page_has_one_heading_of_the_first_rank_and_names_for_its_buttons() {
    let scene = Scene::new();
    let (reception, case) = (scene.provisional().await, scene.with_case(Cause::NoAnswer).await);
    scene.status("staff_look", Some(id()), Some(Attention::StaffLook(StaffReason::Asked)));
    for path in [
        "/",
        "/staff",
        "/staff/desk",
        &format!("/staff/explain/{reception}"),
        &format!("/staff/case/{case}"),
        "/nowhere",
    ] {
        let html = text(get(&scene, path).await).await;
        assert_eq!(html.matches("<h1").count(), 1, "{path}");
        assert!(!html.contains("></button>") && html.contains("<html lang=\"ja\">"), "{path}");
    }
    // Besides the one that is shown at a time.
    let kiosk = page(&scene, "/kiosk/desk-1/a").await;
    assert_eq!(kiosk.matches("<h1").count(), 3);
    assert!(kiosk.contains("id=\"offline\" class=\"overlay\" role=\"alert\" hidden"), "{kiosk}");
    assert!(kiosk.contains("id=\"replaced\" class=\"overlay\" hidden"), "{kiosk}");
}

#[actix_web::test]
async fn a_restart_is_handed_to_the_supervisors() {
    let scene = Scene::new();
    let order = r#"{"terminal":"desk-1","reader":"a"}"#;
    assert_eq!(call(&scene, post("/staff/restart", order)).await.status(), 202);
    assert_eq!(scene.restarts.try_recv().unwrap().to_string(), "desk-1/a");
    let unknown = r#"{"terminal":"desk-1","reader":"z"}"#;
    assert_eq!(call(&scene, post("/staff/restart", unknown)).await.status(), 404);
}

#[actix_web::test]
async fn while_stopping_pages_are_refused_and_orders_and_machines_are_not() {
    let scene = Scene::new();
    scene.accepting.send_replace(false);
    scene.show(None, 1, Screen::Idle);
    for path in ["/", "/kiosk/desk-1/a", "/staff", "/kiosk/desk-1/a/ws"] {
        assert_eq!(get(&scene, path).await.status(), 503, "{path}");
    }
    for path in ["/metrics", "/healthz", "/static/style.css"] {
        assert_eq!(get(&scene, path).await.status(), 200, "{path}");
    }
    let order = r#"{"terminal":"desk-1","reader":"a"}"#;
    assert_eq!(call(&scene, post("/staff/restart", order)).await.status(), 202);
}

#[actix_web::test]
async fn while_stopping_for_want_of_a_store_pages_say_that_nothing_can_be_recorded() {
    let scene = Scene::new();
    scene.accepting.send_replace(false);
    scene.show(None, 1, Screen::Idle);
    for (healthy, said) in [(true, "再起動しています"), (false, "いま受付を記録できません")] {
        scene.healthy.store(healthy, Ordering::Relaxed);
        for path in ["/kiosk/desk-1/a", "/staff", "/kiosk/desk-1/a/ws"] {
            let page = text(get(&scene, path).await).await;
            assert!(page.contains(said), "{path}: {page}");
        }
    }
}

#[actix_web::test]
async fn while_stopping_the_kiosk_of_a_reception_under_way_may_be_loaded_again() {
    let scene = Scene::new();
    scene.show(Some(id()), 3, Screen::Face);
    scene.accepting.send_replace(false);
    assert_eq!(get(&scene, "/kiosk/desk-1/a").await.status(), 200);
    let other = "/kiosk/%3Cb%3E/%22&'";
    assert_eq!(get(&scene, other).await.status(), 503, "nobody is at that one");
    scene.show(None, 4, Screen::Idle);
    assert_eq!(get(&scene, "/kiosk/desk-1/a").await.status(), 503, "the reception is over");
}

#[actix_web::test]
async fn machines_get_metrics_and_health() {
    let scene = Scene::new();
    let metrics = get(&scene, "/metrics").await;
    assert!(
        metrics.headers().get("content-type").unwrap().to_str().unwrap().starts_with("application/openmetrics-text")
    );
    assert_eq!(text(metrics).await, "# EOF\n");
    assert_eq!(get(&scene, "/healthz").await.status(), 200);
    scene.healthy.store(false, Ordering::Relaxed);
    let sick = get(&scene, "/healthz").await;
    assert_eq!(sick.status(), 503);
    assert!(text(sick).await.contains(r#""name":"store","ok":false"#));
}

#[actix_web::test]
async fn what_staff_should_see_to_is_said_in_the_language_of_their_page() {
    let scene = Scene::new();
    scene.healthy.store(false, Ordering::Relaxed);
    for (language, said, other) in [("ja", "理由", "the reason"), ("en", "the reason", "理由")] {
        let page = page(&scene, &format!("/staff?lang={language}")).await;
        assert!(page.contains(said) && !page.contains(other), "{language}: {page}");
    }
}

#[test]
fn only_loopback_is_listened_on() {
    let error = crate::web::listen("0.0.0.0:0".parse().unwrap()).err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("only loopback"), "{error}");
}
