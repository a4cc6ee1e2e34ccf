//! The kiosk as its page is: a WebSocket, the present screen, buttons, a camera.

use anyhow::{Context, Result, anyhow, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// What stands before the camera: JPEG frames, sent in turn.
#[derive(Clone, Default)]
pub struct Camera(Arc<Mutex<(Vec<Vec<u8>>, usize)>>);

impl Camera {
    /// Somebody else steps before the camera.
    pub fn show(&self, frames: &[Vec<u8>]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (frames.to_vec(), 0);
    }

    fn next(&self) -> Option<Vec<u8>> {
        let mut camera = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (frames, at) = &mut *camera;
        *at += 1;
        frames.get((*at - 1) % frames.len().max(1)).cloned()
    }
}

/// A screen as the kiosk received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The reception that presses must name.
    pub reception: Option<String>,
    /// The version that presses must name.
    pub version: u64,
    /// The screen's name.
    pub name: String,
    /// What is on it.
    pub html: String,
}

impl Shown {
    /// The value of the first attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.html.split_once(&format!("{name}=\""))?;
        rest.split_once('"').map(|(value, _)| value)
    }

    /// The positions on the pad that show these digits; `None` while no pad is shown.
    pub fn pin_keys(&self, digits: &str) -> Option<Vec<u8>> {
        digits
            .chars()
            .map(|digit| {
                let mut keys = self.html.split("data-position=\"").skip(1);
                keys.find_map(|key| {
                    let (position, rest) = key.split_once('"')?;
                    let (_, label) = rest.split_once('>')?;
                    label.starts_with(digit).then(|| position.parse().ok())?
                })
            })
            .collect()
    }

    /// The words on the screen, without markup.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut inside = false;
        for c in self.html.chars() {
            match c {
                '<' => inside = true,
                '>' => {
                    inside = false;
                    text.push(' ');
                }
                c if !inside => text.push(c),
                _ => {}
            }
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// A connected kiosk.
pub struct Kiosk {
    presses: mpsc::UnboundedSender<String>,
    shown: watch::Receiver<Option<Shown>>,
    task: JoinHandle<()>,
}

impl Kiosk {
    /// Opens the kiosk of `terminal/reader` in Japanese.
    pub async fn open(web: SocketAddr, reader: &str, camera: Camera) -> Result<Self> {
        let mut request = format!("ws://{web}/kiosk/{reader}/ws?lang=ja").into_client_request()?;
        request.headers_mut().insert("origin", format!("http://{web}").parse()?);
        let (socket, _) = tokio_tungstenite::connect_async(request)
            .await
            .with_context(|| format!("opening the kiosk of {reader}"))?;
        let (presses, mut pressed) = mpsc::unbounded_channel::<String>();
        let (show, shown) = watch::channel(None);
        let task = tokio::spawn(async move {
            let (mut out, mut incoming) = socket.split();
            loop {
                let message = tokio::select! {
                    message = incoming.next() => message,
                    press = pressed.recv() => match press {
                        Some(press) => {
                            if out.send(Message::text(press)).await.is_err() { return }
                            continue;
                        }
                        None => return,
                    },
                };
                let Some(Ok(message)) = message else { return };
                let Message::Text(text) = message else { continue };
                let Ok(said) = serde_json::from_str::<Value>(&text) else { continue };
                match said["type"].as_str() {
                    Some("screen") => {
                        show.send_replace(Some(Shown {
                            reception: said["reception"].as_str().map(str::to_owned),
                            version: said["version"].as_u64().unwrap_or(0),
                            name: said["name"].as_str().unwrap_or_default().to_owned(),
                            html: said["html"].as_str().unwrap_or_default().to_owned(),
                        }));
                    }
                    Some("frame") => {
                        let number = said["request"].as_u64().unwrap_or(0) as u32;
                        if let Some(jpeg) = camera.next() {
                            let mut frame = number.to_be_bytes().to_vec();
                            frame.extend(jpeg);
                            if out.send(Message::binary(frame)).await.is_err() {
                                return;
                            }
                        }
                    }
                    _ => {}
                }
            }
        });
        Ok(Self { presses, shown, task })
    }

    /// The present screen.
    pub fn shown(&self) -> Option<Shown> {
        self.shown.borrow().clone()
    }

    /// Waits for a screen.
    pub async fn wait(&mut self, patience: Duration, wanted: impl Fn(&Shown) -> bool) -> Result<Shown> {
        let waiting = self.shown.wait_for(|shown| shown.as_ref().is_some_and(&wanted));
        let waited = tokio::time::timeout(patience, waiting).await.map(|shown| shown.map(|shown| shown.clone()));
        match waited {
            Ok(Ok(shown)) => shown.ok_or_else(|| anyhow!("no screen")),
            Ok(Err(_)) => bail!("the kiosk's connection ended"),
            Err(_) => {
                let last = self.shown().map(|shown| shown.name);
                bail!("the wanted screen did not appear within {patience:?}; the last one was {last:?}")
            }
        }
    }

    /// Presses something on this screen: `press` holds `intent` and what belongs to it.
    pub async fn press(&self, on: &Shown, mut press: Value) -> Result<()> {
        press["reception"] = on.reception.clone().into();
        press["version"] = on.version.into();
        self.presses.send(press.to_string()).map_err(|_| anyhow!("the kiosk's connection ended"))
    }

    /// Sends text as it is, as a hostile page would.
    pub fn send_raw(&self, text: String) -> Result<()> {
        self.presses.send(text).map_err(|_| anyhow!("the kiosk's connection ended"))
    }

    /// Whether the connection still stands.
    pub fn connected(&self) -> bool {
        !self.task.is_finished()
    }
}

impl Drop for Kiosk {
    fn drop(&mut self) {
        self.task.abort();
    }
}
