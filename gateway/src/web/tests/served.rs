//! A real server and real WebSocket clients.

use super::Scene;
use actix_web::dev::ServerHandle;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

/// How long an answer may take on a loaded machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Where most clients of a test come from.
pub(super) const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A scene on a port of its own.
pub(super) struct Served {
    pub(super) scene: Scene,
    pub(super) address: SocketAddr,
    handle: ServerHandle,
}

impl Served {
    pub(super) fn new() -> Self {
        Self::of(Scene::new())
    }

    pub(super) fn of(scene: Scene) -> Self {
        let listener = crate::web::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let (server, address) = (crate::web::serve(&listener, scene.state.clone()).unwrap(), listener.address());
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self { scene, address, handle }
    }

    /// A bare connection from an address of the loopback net.
    pub(super) async fn connect(&self, from: Ipv4Addr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    pub(super) async fn open_from(&self, from: Ipv4Addr, path: &str) -> Client {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        request.headers_mut().insert("origin", format!("http://{}", self.address).parse().unwrap());
        let opening = tokio_tungstenite::client_async(request, self.connect(from).await);
        Client(tokio::time::timeout(PATIENCE, opening).await.expect("it gets in").unwrap().0)
    }

    pub(super) async fn open(&self, path: &str) -> Client {
        self.open_from(HERE, path).await
    }

    pub(super) async fn kiosk(&self) -> Client {
        self.open("/kiosk/desk-1/a/ws?lang=en").await
    }

    /// The whole answer to a GET.
    pub(super) async fn ask(&self, from: Ipv4Addr, path: &str) -> String {
        let mut stream = self.connect(from).await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("it is answered").unwrap();
        answer
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // The returned future only waits.
        drop(self.handle.stop(false));
    }
}

pub(super) struct Client(pub(super) WebSocketStream<TcpStream>);

impl Client {
    pub(super) async fn message(&mut self) -> Option<Result<Message, Error>> {
        tokio::time::timeout(PATIENCE, self.0.next()).await.expect("the server says something in time")
    }

    pub(super) async fn json(&mut self) -> Value {
        loop {
            match self.message().await {
                Some(Ok(Message::Text(text))) if text.contains(r#""type":"beat""#) => {}
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("expected text, got {other:?}"),
            }
        }
    }

    pub(super) async fn closed(&mut self) -> Option<CloseCode> {
        loop {
            match self.message().await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    pub(super) async fn send(&mut self, message: impl Into<Message>) {
        self.0.send(message.into()).await.unwrap();
    }
}
