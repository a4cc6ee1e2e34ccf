//! What is served before the store is open.

use super::served::PATIENCE;
use crate::store::LockHolder;
use crate::web::{Doors, Waiting};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// The answer to a request with this first line and these header lines.
async fn answer(address: SocketAddr, line: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{line} HTTP/1.1\r\n{headers}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("it is answered").unwrap();
    answer
}

#[actix_web::test]
async fn before_the_store_is_open_every_request_is_guarded_as_later_and_told_that_nothing_is_recorded() {
    let lock_holder = watch::Sender::new(None);
    let listener = crate::web::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let waiting = Waiting {
        help_line: Some("03-0000-0000"),
        lock_holder: lock_holder.subscribe(),
        doors: Doors::default(),
        readers: 2,
    };
    let server = crate::web::serve_waiting(&listener, waiting).unwrap();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    let address = listener.address();
    let own =
        format!("host: {address}\r\norigin: http://{address}\r\ncontent-type: application/json\r\ncontent-length: 0");

    let foreign = answer(address, "GET /healthz", "host: evil.example").await;
    assert!(foreign.starts_with("HTTP/1.1 403"), "{foreign}");
    let elsewhere = "content-type: application/json\r\norigin: http://evil.example\r\ncontent-length: 0";
    let steered = answer(address, "POST /staff/decision", &format!("host: {address}\r\n{elsewhere}")).await;
    assert!(steered.starts_with("HTTP/1.1 403"), "{steered}");
    for line in ["GET /", "GET /kiosk/desk-1/a", "GET /staff", "GET /no/such/page", "POST /staff/decision"] {
        let told = answer(address, line, &own).await;
        assert!(told.starts_with("HTTP/1.1 503"), "{line}: {told}");
        for part in ["content-security-policy", "窓口にお越しください", "Please go to the desk", "03-0000-0000"]
        {
            assert!(told.contains(part), "{line}: {told}");
        }
    }
    let opening = answer(address, "GET /healthz", &own).await;
    assert!(opening.starts_with("HTTP/1.1 503") && opening.contains("is being opened"), "{opening}");
    lock_holder.send_replace(Some(LockHolder::Process { pid: 7, program: Some("vi".into()) }));
    let (ja, en) = ("プログラム vi、プロセス番号 7", "the program vi (process 7)");
    for (line, named) in [
        ("GET /healthz", [false, true]),
        ("GET /metrics", [false, true]),
        ("GET /staff", [true, false]),
        ("GET /staff?lang=en", [false, true]),
        ("GET /", [false, false]),
    ] {
        let told = answer(address, line, &own).await;
        assert_eq!([told.contains(ja), told.contains(en)], named, "{line}: {told}");
    }
    let script = answer(address, "GET /static/again.js", &own).await;
    assert!(script.starts_with("HTTP/1.1 200"), "{script}");
    handle.stop(false).await;
}
