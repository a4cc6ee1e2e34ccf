//! Room for those who need it, whatever is connected.

use super::super::doors;
use super::served::{Client, HERE, PATIENCE, Served};
use futures_util::StreamExt;
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use uketsuke_core::reception::Screen;

/// How a client holds connections without any use.
#[derive(Debug, Clone, Copy)]
enum Flood {
    /// Says nothing.
    Silent,
    /// Begins an order and does not go on.
    Unfinished,
    /// Was answered, and keeps the connection.
    Answered,
    /// Sockets of staff pages that answer every ping.
    StaffPages,
    /// Sockets of another reader's kiosk that answer every ping, also those that a newer one has replaced.
    Kiosks,
}

/// More than there is room for.
const FLOOD: usize = 512;

/// Connections that are held, and answer pings, until this is dropped.
#[derive(Default)]
struct Held {
    streams: Vec<TcpStream>,
    answering: JoinSet<()>,
}

impl Held {
    fn answering(&mut self, mut client: Client) {
        // Pongs are sent while the client is read from.
        self.answering.spawn_local(async move { while let Some(Ok(_)) = client.0.next().await {} });
    }
}

async fn hold(served: &Served, flood: Flood, peers: &[Ipv4Addr]) -> Held {
    let mut held = Held::default();
    for peer in peers.iter().copied().cycle().take(FLOOD) {
        let begun = match flood {
            Flood::StaffPages => {
                held.answering(served.open_from(peer, "/staff/ws").await);
                continue;
            }
            Flood::Kiosks => {
                held.answering(served.open_from(peer, "/kiosk/%3Cb%3E/%22%26'/ws").await);
                continue;
            }
            Flood::Unfinished => format!(
                "POST /staff/restart HTTP/1.1\r\nhost: {0}\r\norigin: http://{0}\r\ncontent-type: application/json\r\n\
                 content-length: 99\r\n\r\n{{",
                served.address
            ),
            Flood::Answered => format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", served.address),
            Flood::Silent => String::new(),
        };
        let mut stream = served.connect(peer).await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        held.streams.push(stream);
    }
    held
}

/// The flood comes from where the pages are, from one other place, from many.
fn origins() -> [Vec<Ipv4Addr>; 3] {
    [vec![HERE], vec![Ipv4Addr::new(127, 0, 0, 9)], (10..26).map(|last| Ipv4Addr::new(127, 0, 0, last)).collect()]
}

#[actix_web::test]
async fn no_number_of_connections_keeps_kiosks_a_staff_page_and_health_out() {
    for flood in [Flood::Silent, Flood::Unfinished, Flood::Answered, Flood::StaffPages, Flood::Kiosks] {
        for peers in origins() {
            let case = format!("{flood:?} from {}", peers.len());
            let served = Served::new();
            let mut early = served.kiosk().await;
            assert_eq!(early.json().await["type"], "screen");
            let held = hold(&served, flood, &peers).await;
            let health = served.ask(HERE, "/healthz").await;
            assert!(
                health.starts_with("HTTP/1.1 200") && health.contains("\"name\":\"connections\""),
                "{case}: {health}"
            );
            // Replaced kiosks may have left by themselves.
            assert!(
                matches!(flood, Flood::Kiosks) || health.contains("were closed for newer ones"),
                "{case}: it is said: {health}"
            );
            assert!(served.ask(HERE, "/metrics").await.starts_with("HTTP/1.1 200"), "{case}");
            assert_eq!(served.open("/staff/ws").await.json().await["type"], "fragment", "{case}");
            served.scene.show(None, 1, Screen::Idle);
            assert_eq!(early.json().await["name"], "idle", "{case}: the kiosk that was there stays");
            assert_eq!(served.kiosk().await.json().await["name"], "idle", "{case}: and may come back");
            drop(held);
        }
    }
}

#[actix_web::test]
async fn an_honest_staff_page_stays_when_other_peers_open_too_many() {
    for peers in origins().into_iter().skip(1) {
        let served = Served::new();
        let mut honest = served.open("/staff/ws?lang=en").await;
        for _ in 0..3 {
            assert_eq!(honest.json().await["type"], "fragment");
        }
        let held = hold(&served, Flood::StaffPages, &peers).await;
        served.scene.status("staff_look", None, None);
        assert_eq!(honest.json().await["id"], "readers", "from {}: it is kept up to date", peers.len());
        drop(held);
    }
}

#[actix_web::test]
async fn a_connection_that_makes_room_is_told_why() {
    let served = Served::new();
    let mut held = hold(&served, Flood::Silent, &[HERE]).await;
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, held.streams[0].read_to_string(&mut answer)).await.expect("it ends").unwrap();
    let (head, words) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503") && head.contains(&format!("content-length: {}", words.len())), "{answer}");
    let mut first = served.open("/staff/ws").await;
    let _held = hold(&served, Flood::StaffPages, &[HERE]).await;
    assert_eq!(first.closed().await, Some(CloseCode::Again));
}

#[actix_web::test]
async fn a_staff_page_that_comes_back_by_itself_pushes_nobody_out_and_gets_in_where_there_is_room() {
    let served = Served::new();
    let mut pages = Vec::new();
    for _ in 0..doors::STAFF_MAX {
        let mut page = served.open("/staff/ws").await;
        assert_eq!(page.json().await["type"], "fragment");
        pages.push(page);
    }
    let returning = || served.open("/staff/ws?lang=ja&returns");
    let mut too_many = returning().await;
    assert_eq!(too_many.json().await["type"], "crowded");
    assert_eq!(too_many.closed().await, Some(CloseCode::Again));
    assert!(served.ask(HERE, "/healthz").await.contains("32 staff pages are connected"));
    drop(pages.swap_remove(0));
    loop {
        // The gateway hears of the end of a page in its own time.
        let mut back = returning().await;
        if back.json().await["type"] == "fragment" {
            break;
        }
    }
}

#[actix_web::test]
async fn health_names_the_peer_that_holds_most_connections() {
    let served = Served::new();
    let _held = hold(&served, Flood::Silent, &[Ipv4Addr::new(127, 0, 0, 9)]).await;
    let health = served.ask(HERE, "/healthz").await;
    assert!(health.contains("127.0.0.9 held"), "{health}");
}
