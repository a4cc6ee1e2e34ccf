//! Every screen in both languages.

use crate::handle::View;
use crate::web::screen::render;
use crate::web::words::Words;
use uketsuke_core::answer::Reason;
use uketsuke_core::consent::Question;
use uketsuke_core::explain::{self, Lang};
use uketsuke_core::pin::Pad;
use uketsuke_core::reception::{
    Choose, ChooseNotice, Ending, Helper, PinScreen, ReadFailure, Renewal, Screen, StaffReason,
};
use uketsuke_core::record::Shown;

const ALL_NOTICES: [Option<ChooseNotice>; 11] = [
    None,
    Some(ChooseNotice::FaceNotMatched),
    Some(ChooseNotice::FaceUncertain),
    Some(ChooseNotice::NoFaceSeen),
    Some(ChooseNotice::FaceFault),
    Some(ChooseNotice::PinLocked),
    Some(ChooseNotice::PinFault),
    Some(ChooseNotice::PinForgotten),
    Some(ChooseNotice::Pinless),
    Some(ChooseNotice::FaceLocked),
    Some(ChooseNotice::PhotoUnusable),
];

fn reasons() -> Vec<Reason> {
    vec![
        Reason::InsuranceInvalid(None),
        Reason::InsuranceInvalid(Some("03".into())),
        Reason::NewInsurance,
        Reason::NoInsuranceFound,
        Reason::SeveralInsurances,
        Reason::CardNotRegistered,
        Reason::CertificateRevoked,
        Reason::UnknownCode("<9>".into()),
    ]
}

fn endings() -> Vec<Ending> {
    let mut endings = vec![
        Ending::Done(Shown::Confirmed),
        Ending::Done(Shown::Provisional),
        Ending::Cancelled,
        Ending::CardPulled,
        Ending::NotRead(ReadFailure::Unreadable),
        Ending::NotRead(ReadFailure::NotACard),
        Ending::NotRead(ReadFailure::NotMyNumberCard),
        Ending::NotRead(ReadFailure::NoCertificate),
        Ending::NotRead(ReadFailure::Untrusted),
        Ending::NotRead(ReadFailure::ReaderFault),
        Ending::CertificateExpired,
        Ending::CertificateNotYetValid,
        Ending::NotSamePerson,
        Ending::StaffDidNotCome,
        Ending::TimedOut,
        Ending::NotWritten,
        Ending::ReaderFault,
    ];
    endings.extend(reasons().into_iter().map(|reason| Ending::Done(Shown::Ineligible(reason))));
    endings
}

fn screens() -> Vec<Screen> {
    let pad = Pad::new([1, 4, 9, 5, 7, 0, 8, 6, 3, 2]);
    let mut screens = vec![
        Screen::Idle,
        Screen::Reading,
        Screen::Face,
        Screen::Asking,
        Screen::Recording,
        Screen::Pin(PinScreen { pad: pad.clone(), tries_left: 3, wrong: false, helper: Some(Helper::Proxy) }),
        Screen::Pin(PinScreen { pad, tries_left: 1, wrong: true, helper: None }),
        Screen::Pin(PinScreen { pad: None, tries_left: 3, wrong: false, helper: Some(Helper::Staff) }),
    ];
    for notice in ALL_NOTICES {
        for renew in [None, Some(Renewal::Soon), Some(Renewal::Grace)] {
            for (face, pin) in [(true, true), (true, false), (false, true)] {
                screens.push(Screen::Choose(Choose { face, pin, notice, renew }));
            }
        }
    }
    for reason in [
        StaffReason::Asked,
        StaffReason::OwnAccord,
        StaffReason::PinForgotten,
        StaffReason::FaceUncertain,
        StaffReason::FaceNotMatched,
        StaffReason::PinLocked,
        StaffReason::Pinless,
        StaffReason::NoOtherWay,
    ] {
        for back in [true, false] {
            for renew in [None, Some(Renewal::Soon), Some(Renewal::Grace)] {
                screens.push(Screen::Staff { reason, back, renew });
            }
        }
    }
    for question in Question::ALL {
        for (provisional, helper) in
            [(false, None), (true, Some(Helper::Proxy)), (false, Some(Helper::Staff)), (false, Some(Helper::Called))]
        {
            screens.push(Screen::Consent { question, number: 1, of: 2, provisional, helper });
        }
    }
    screens.extend([None, Some(Helper::Called)].map(|helper| Screen::Register { helper }));
    screens.push(Screen::Registering);
    screens.extend(reasons().into_iter().map(Screen::Ineligible));
    for ending in endings() {
        for reminder in [false, true] {
            screens.push(Screen::TakeCard { ending: ending.clone(), reminder });
        }
        screens.push(Screen::Notice(ending));
    }
    screens
}

fn html(screen: Screen, lang: Lang) -> String {
    let view = View::Live { reception: None, version: 1, screen };
    render(&view, Words(lang, None)).unwrap().html
}

fn is_japanese(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ff66}'..='\u{ff9f}')
}

/// Terms in parentheses may be Japanese on an English page: they are what is printed on the documents.
fn without_terms(text: &str) -> String {
    let mut depth = 0;
    text.chars()
        .filter(|c| {
            depth += i32::from(*c == '(');
            let kept = depth == 0;
            depth -= i32::from(*c == ')');
            kept
        })
        .collect()
}

#[test]
fn every_screen_is_drawn_in_both_languages_without_left_over_marks() {
    let views = screens().into_iter().map(|screen| View::Live { reception: None, version: 1, screen });
    for view in views.chain([View::Starting, View::OutOfService]) {
        for lang in [Lang::Ja, Lang::En] {
            let drawn = render(&view, Words(lang, None)).unwrap();
            assert!(drawn.html.contains("<h1"), "{view:?}");
            for mark in ["{{", "}}", "{%", "%}", "None", "Some(", "style=", "onclick", "<9>"] {
                assert!(!drawn.html.contains(mark), "{mark} in {view:?}: {}", drawn.html);
            }
            match lang {
                Lang::Ja => assert!(drawn.html.chars().any(is_japanese), "{view:?}"),
                Lang::En => {
                    let rest = without_terms(&drawn.html);
                    assert!(!rest.chars().any(is_japanese), "{view:?}: {rest}");
                }
            }
        }
    }
}

#[test]
fn whatever_did_not_work_is_followed_by_the_promise() {
    for lang in [Lang::Ja, Lang::En] {
        let promise = explain::promise(lang);
        for ending in endings() {
            let good = matches!(ending, Ending::Done(Shown::Confirmed | Shown::Provisional) | Ending::Cancelled);
            let card = html(Screen::TakeCard { ending: ending.clone(), reminder: false }, lang);
            let notice = html(Screen::Notice(ending.clone()), lang);
            assert_eq!((card.contains(promise), notice.contains(promise)), (!good, !good), "{ending:?}");
        }
        for notice in ALL_NOTICES {
            let choose = Screen::Choose(Choose { face: true, pin: true, notice, renew: None });
            assert_eq!(html(choose, lang).contains(promise), notice.is_some(), "{notice:?}");
        }
        for reason in reasons() {
            assert!(html(Screen::Ineligible(reason), lang).contains(promise));
        }
        assert!(
            html(Screen::Pin(PinScreen { pad: None, tries_left: 2, wrong: true, helper: None }), lang)
                .contains(promise)
        );
        assert!(render(&View::OutOfService, Words(lang, None)).unwrap().html.contains(promise));
    }
}

#[test]
fn the_pad_is_drawn_as_on_the_poster_and_says_where_not_what() {
    let pad = Pad::new([1, 4, 9, 5, 7, 0, 8, 6, 3, 2]);
    let html = html(Screen::Pin(PinScreen { pad, tries_left: 3, wrong: false, helper: Some(Helper::Proxy) }), Lang::Ja);
    let mut rest = html.as_str();
    for (position, digit) in [1, 4, 9, 5, 7, 0, 8, 6, 3, 2].into_iter().enumerate() {
        let key = format!("data-position=\"{position}\">{digit}</button>");
        rest = rest.split_once(&key).unwrap_or_else(|| panic!("no {key} in order in {html}")).1;
    }
    assert!(html.contains("訂正") && html.contains("取消"));
    assert_eq!(html.matches("<i></i>").count(), 4);
}

#[test]
fn only_offered_methods_have_a_button_and_staff_always_do() {
    let html = html(Screen::Choose(Choose { face: false, pin: true, notice: None, renew: None }), Lang::Ja);
    assert!(!html.contains("data-intent=\"choose_face\""));
    assert!(html.contains("data-intent=\"choose_pin\"") && html.contains("data-intent=\"call_staff\""));
}

#[test]
fn a_consent_says_what_kind_it_is_in_the_word_of_the_record() {
    for question in Question::ALL {
        let html = html(Screen::Consent { question, number: 1, of: 1, provisional: false, helper: None }, Lang::Ja);
        assert!(html.contains(&format!("data-question=\"{}\"", question.word())), "{html}");
        assert!(!html.contains("仮受付"));
    }
    let provisional =
        Screen::Consent { question: Question::Checkups, number: 1, of: 1, provisional: true, helper: None };
    assert!(self::html(provisional, Lang::Ja).contains("仮受付"));
}
