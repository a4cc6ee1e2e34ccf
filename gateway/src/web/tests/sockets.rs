//! What goes over the sockets of kiosk and staff page.

use super::id;
use super::served::{PATIENCE, Served};
use crate::handle::ReaderInput;
use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use uketsuke_core::reception::{Attention, Choose, Intent, Screen, StaffReason};

fn choose() -> Screen {
    Screen::Choose(Choose { face: true, pin: true, notice: None, renew: None })
}

#[actix_web::test]
async fn a_kiosk_is_shown_every_screen() {
    let served = Served::new();
    let mut kiosk = served.kiosk().await;
    let first = kiosk.json().await;
    assert_eq!(
        (&first["type"], &first["name"], &first["reception"]),
        (&json!("screen"), &json!("starting"), &Value::Null)
    );
    let reception = id();
    served.scene.show(Some(reception), 7, choose());
    let second = kiosk.json().await;
    assert_eq!(second["name"], "choose");
    assert_eq!(second["version"], 7);
    assert_eq!(second["reception"], reception.to_string());
    assert!(second["html"].as_str().unwrap().contains("Face recognition"));
}

#[actix_web::test]
async fn a_press_arrives_with_the_reception_and_version_it_was_made_on() {
    let served = Served::new();
    let mut kiosk = served.kiosk().await;
    let reception = id();
    kiosk.send(format!(r#"{{"reception":"{reception}","version":3,"intent":"choose_face"}}"#)).await;
    let input = served.scene.port.inputs.recv().await.unwrap();
    assert!(matches!(input, ReaderInput::Intent(named, 3, Intent::ChooseFace) if named == reception));
}

#[actix_web::test]
async fn frames_go_from_request_to_slot_and_nowhere_else() {
    let served = Served::new();
    let mut kiosk = served.kiosk().await;
    assert_eq!(kiosk.json().await["type"], "screen");
    let unasked = [0, 0, 0, 12, 0xff, 0xd8, 1].to_vec();
    kiosk.send(unasked.clone()).await;
    served.scene.port.wanted_frame.send_replace(Some(13));
    assert_eq!(kiosk.json().await, json!({"type": "frame", "request": 13}));
    kiosk.send(unasked).await;
    kiosk.send([0, 0, 0, 13, 0xff, 0xd8, 2].to_vec()).await;
    let mut slot = served.scene.port.frame.subscribe();
    let frame = slot.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert_eq!((frame.request, frame.jpeg.as_slice()), (13, [0xff, 0xd8, 2].as_slice()));
    served.scene.port.wanted_frame.send_replace(None);
    assert_eq!(kiosk.json().await, json!({"type": "camera_off"}));
}

#[actix_web::test]
async fn a_large_honest_frame_passes() {
    let served = Served::new();
    let mut kiosk = served.kiosk().await;
    assert_eq!(kiosk.json().await["type"], "screen");
    served.scene.port.wanted_frame.send_replace(Some(1));
    kiosk.json().await;
    let mut large = vec![0; 512 * 1024];
    large[..6].copy_from_slice(&[0, 0, 0, 1, 0xff, 0xd8]);
    kiosk.send(large).await;
    let mut slot = served.scene.port.frame.subscribe();
    assert_eq!(slot.wait_for(Option::is_some).await.unwrap().clone().unwrap().jpeg.len(), 512 * 1024 - 4);
}

#[actix_web::test]
async fn the_newest_kiosk_of_a_reader_wins() {
    let served = Served::new();
    let mut old = served.kiosk().await;
    assert_eq!(old.json().await["type"], "screen");
    let mut new = served.kiosk().await;
    assert_eq!(new.json().await["type"], "screen");
    assert_eq!(old.json().await, json!({"type": "replaced"}));
    assert_eq!(old.closed().await, Some(CloseCode::Normal));
    served.scene.show(None, 1, Screen::Idle);
    assert_eq!(new.json().await["name"], "idle");
}

#[actix_web::test]
async fn a_peer_that_breaks_the_protocol_is_shown_the_door_with_the_code_of_its_fault() {
    let served = Served::new();
    let good = format!(r#"{{"reception":"{}","version":1,"intent":"back"}}"#, id());
    let fragment = |data: Data, last, bytes: Vec<u8>| Message::Frame(Frame::message(bytes, OpCode::Data(data), last));
    let half = || vec![0u8; 300 * 1024];
    let hostile: [(CloseCode, Vec<Message>); 14] = [
        (CloseCode::Policy, vec!["{".into()]),
        (CloseCode::Policy, vec!["".into()]),
        (CloseCode::Policy, vec![good.replace("back", "open_sesame").into()]),
        (CloseCode::Policy, vec![good.replace('}', ",\"more\":1}").into()]),
        (CloseCode::Policy, vec![vec![0u8, 0, 0].into()]),
        (CloseCode::Policy, vec![vec![0u8, 0, 0, 1, b'G', b'I', b'F'].into()]),
        (CloseCode::Size, vec![good.replace('}', &format!("{}}}", " ".repeat(5000))).into()]),
        (CloseCode::Size, vec![vec![0u8; 512 * 1024 + 1].into()]),
        (CloseCode::Size, vec![fragment(Data::Binary, false, half()), fragment(Data::Continue, false, half())]),
        (CloseCode::Size, vec![fragment(Data::Binary, false, half()), fragment(Data::Continue, true, half())]),
        (CloseCode::Invalid, vec![fragment(Data::Text, true, vec![0xff])]),
        (CloseCode::Invalid, vec![fragment(Data::Text, false, vec![b'{']), fragment(Data::Continue, true, vec![0xff])]),
        (CloseCode::Protocol, vec![fragment(Data::Continue, true, vec![0])]),
        (CloseCode::Protocol, vec![fragment(Data::Text, false, vec![b'{']), fragment(Data::Text, false, vec![b'{'])]),
    ];
    for (index, (code, messages)) in hostile.into_iter().enumerate() {
        let mut kiosk = served.kiosk().await;
        assert_eq!(kiosk.json().await["type"], "screen");
        for message in messages {
            kiosk.send(message).await;
        }
        assert_eq!(kiosk.closed().await, Some(code), "message {index}");
    }
    let mut kiosk = served.kiosk().await;
    kiosk.send(good).await;
    served.scene.port.inputs.recv().await.unwrap();
    assert!(served.scene.port.inputs.is_empty(), "nothing hostile came through");
}

#[actix_web::test]
async fn a_flood_closes_the_socket_and_the_reader_keeps_its_queue() {
    let served = Served::new();
    let mut kiosk = served.kiosk().await;
    let press = format!(r#"{{"reception":"{}","version":1,"intent":"back"}}"#, id());
    for _ in 0..500 {
        // Sending fails once the server has closed: that is the point.
        if kiosk.0.send(press.clone().into()).await.is_err() {
            break;
        }
    }
    assert!(matches!(kiosk.closed().await, Some(CloseCode::Policy) | None));
    assert!(served.scene.port.inputs.len() <= 32);
}

#[actix_web::test]
async fn a_kiosk_is_told_that_the_gateway_stops_and_may_finish() {
    let served = Served::new();
    let mut kiosk = served.kiosk().await;
    assert_eq!(kiosk.json().await["type"], "screen");
    served.scene.accepting.send_replace(false);
    assert_eq!(kiosk.json().await, json!({"type": "closing"}));
    served.scene.show(None, 2, Screen::Recording);
    assert_eq!(kiosk.json().await["name"], "recording");
}

#[actix_web::test]
async fn a_kiosk_that_lost_its_connection_while_the_gateway_stops_comes_back_to_its_reception() {
    let served = Served::new();
    let reception = id();
    served.scene.show(Some(reception), 7, choose());
    served.scene.accepting.send_replace(false);
    let mut kiosk = served.kiosk().await;
    let screen = kiosk.json().await;
    assert_eq!((&screen["name"], &screen["reception"]), (&json!("choose"), &json!(reception)));
    assert_eq!(kiosk.json().await, json!({"type": "closing"}));
    kiosk.send(format!(r#"{{"reception":"{reception}","version":7,"intent":"choose_face"}}"#)).await;
    assert!(matches!(served.scene.port.inputs.recv().await.unwrap(), ReaderInput::Intent(..)));
}

#[actix_web::test]
async fn the_staff_page_is_pushed_what_changed_and_listens_to_nothing() {
    let served = Served::new();
    let mut staff = served.open("/staff/ws?lang=en").await;
    let mut parts = [staff.json().await, staff.json().await, staff.json().await].map(|part| part["id"].clone());
    parts.sort_by_key(Value::to_string);
    assert_eq!(parts, [json!("central"), json!("readers"), json!("work")]);
    served.scene.status("staff_look", Some(id()), Some(Attention::StaffLook(StaffReason::Asked)));
    let change = staff.json().await;
    assert_eq!((&change["type"], &change["id"]), (&json!("fragment"), &json!("readers")));
    assert!(change["html"].as_str().unwrap().contains("Same person"));
    served.scene.provisional().await;
    assert_eq!(staff.json().await["id"], "work");
    staff.send("hello").await;
    assert_eq!(staff.closed().await, Some(CloseCode::Unsupported));
    let mut staff = served.open("/staff/ws?lang=en").await;
    staff.send("long ".repeat(100)).await;
    assert_eq!(staff.closed().await, Some(CloseCode::Size));
}

#[actix_web::test]
async fn every_press_is_acknowledged_so_that_the_page_knows_what_was_lost() {
    let served = Served::new();
    let mut kiosk = served.kiosk().await;
    assert_eq!(kiosk.json().await["type"], "screen");
    let press = format!(r#"{{"reception":"{}","version":1,"intent":"back"}}"#, id());
    // Nobody takes what waits for the reader: it holds 32 presses, and no more.
    for _ in 0..32 {
        kiosk.send(press.clone()).await;
        assert_eq!(kiosk.json().await, json!({"type": "heard", "taken": true}));
    }
    kiosk.send(press).await;
    assert_eq!(kiosk.json().await, json!({"type": "heard", "taken": false}));
}

#[actix_web::test]
async fn kiosk_and_staff_page_are_given_a_sign_of_life_that_their_scripts_can_see() {
    let served = Served::new();
    for path in ["/kiosk/desk-1/a/ws", "/staff/ws"] {
        let mut client = served.open(path).await;
        let beat = async {
            loop {
                if let Some(Ok(Message::Text(text))) = client.message().await {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["type"] == "beat" {
                        return message;
                    }
                }
            }
        };
        // Pings alone would go on for ever.
        let beat = tokio::time::timeout(PATIENCE, beat).await.expect("a beat comes");
        assert_eq!(beat, json!({"type": "beat"}), "{path}");
    }
}
