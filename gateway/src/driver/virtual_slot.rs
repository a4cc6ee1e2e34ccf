//! A card slot on a loopback port: whoever connects is a card, whoever disconnects has been removed.
//!
//! The wire format is [`uketsuke_card::slot`]. One card at a time; a second peer waits in the listen queue, as a second card waits
//! in a hand.

use super::{Command, DriverEvent, DriverHandle, PinReply, verify_and_sign};
use crate::central::Said;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use uketsuke_card::slot::{self, SlotRequest};
use uketsuke_card::{Limits, Transport, TransportError, VerificationNumberB, read_card};
use zeroize::Zeroizing;

/// A card that takes longer than this for one answer does not answer any more.
const APDU_DEADLINE: Duration = Duration::from_secs(3);
/// How long a slot in use is waited for.
const REBIND_TRIES: u32 = 20;
const REBIND_EVERY: Duration = Duration::from_millis(50);
/// Commands and events that wait: a reader has one card and one actor.
const WAITING_MAX: usize = 8;

pub(super) async fn open(address: SocketAddr) -> Result<(DriverHandle, mpsc::Receiver<DriverEvent>), Said> {
    let listener = listen(address).await.map_err(|error| {
        Said::new(
            format!(
                "カードの読み取り口 {address} を開けません({error})。リーダーに空いているループバックのポートを設定してください"
            ),
            format!("cannot open the card slot {address}: {error}; give the reader a free loopback port"),
        )
    })?;
    let (commands, command_queue) = mpsc::channel(WAITING_MAX);
    let (event_queue, events) = mpsc::channel(WAITING_MAX);
    tokio::spawn(serve(listener, command_queue, event_queue));
    Ok((DriverHandle { commands }, events))
}

/// A reader that is started again meets its own earlier listener for a moment.
async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    for _ in 0..REBIND_TRIES {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => tokio::time::sleep(REBIND_EVERY).await,
            bound => return bound,
        }
    }
    TcpListener::bind(address).await
}

async fn serve(listener: TcpListener, mut commands: mpsc::Receiver<Command>, events: mpsc::Sender<DriverEvent>) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    let _ = events.send(DriverEvent::Fault(format!("the card slot stopped accepting cards: {error}"))).await;
                    return;
                }
            },
            command = commands.recv() => match command {
                // No card: dropping the oneshot tells the caller that it is gone.
                Some(command) => { drop(command); continue }
                None => return,
            },
        };
        let _ = stream.set_nodelay(true);
        if events.send(DriverEvent::Inserted).await.is_err() {
            return;
        }
        let ended = with_card(stream, &mut commands).await;
        if events.send(DriverEvent::Removed).await.is_err() || ended == Ended::Driver {
            return;
        }
    }
}

#[derive(PartialEq)]
enum Ended {
    Card,
    Driver,
}

/// Serves commands until the card or the driver goes.
async fn with_card(stream: TcpStream, commands: &mut mpsc::Receiver<Command>) -> Ended {
    let mut card = SlotTransport { stream, state: State::Speaks };
    loop {
        let command = tokio::select! {
            () = card.gone() => return Ended::Card,
            command = commands.recv() => match command {
                Some(command) => command,
                None => return Ended::Driver,
            },
        };
        // The card crate speaks synchronously: its turn is taken on a blocking thread, which is given the card meanwhile.
        card = match tokio::task::spawn_blocking(move || card.execute(command)).await {
            Ok(card) => card,
            Err(panicked) => {
                tracing::error!(%panicked, "a card command panicked");
                return Ended::Card;
            }
        };
        if card.state == State::Gone {
            return Ended::Card;
        }
    }
}

/// One card's connection as a [`Transport`]. Used on blocking threads alone.
struct SlotTransport {
    stream: TcpStream,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Speaks,
    /// It did not answer in time, and lies in the slot until somebody takes it. The stream may hold half an answer: it must be placed
    /// again.
    Mute,
    Gone,
}

impl SlotTransport {
    /// Waits until the card leaves the slot.
    async fn gone(&mut self) {
        let mut late = [0; 64];
        match self.state {
            // A card never speaks first: readable means that it went, or that it is no card.
            State::Speaks => drop(self.stream.peek(&mut late).await),
            // What it says too late is not listened to.
            State::Mute => while matches!(self.stream.read(&mut late).await, Ok(1..)) {},
            State::Gone => {}
        }
    }

    fn execute(mut self, command: Command) -> Self {
        match command {
            Command::Read(reply) => {
                let read = self.front().and_then(|front| {
                    self.reset()?;
                    Ok(front)
                });
                let reading = match read {
                    Ok(front) => read_card(&mut self, front.as_ref(), &Limits::default()),
                    // Nothing was asked of a chip yet: whatever lies here, it is no card.
                    Err(TransportError::TimedOut) => Err(uketsuke_card::ReadError::NotACard),
                    Err(_) => Err(uketsuke_card::ReadError::CardGone { what: "looking at the card" }),
                };
                let _ = reply.send(reading);
            }
            Command::VerifyAndSign { pin, certificate, payload, reply } => {
                let signed = verify_and_sign(&mut self, &pin, &certificate, &payload);
                let _: Result<(), PinReply> = reply.send(signed);
            }
            Command::Reset => {
                let _ = self.reset();
            }
        }
        self
    }

    /// 照合番号B as the reader's camera sees it on the card.
    fn front(&mut self) -> Result<Option<VerificationNumberB>, TransportError> {
        let body = self.exchange(&SlotRequest::Front)?;
        slot::decode_front(&body).map_err(|error| TransportError::Fault(error.to_string()))
    }

    fn exchange(&mut self, request: &SlotRequest) -> Result<Zeroizing<Vec<u8>>, TransportError> {
        match self.state {
            State::Speaks => {}
            State::Mute => return Err(TransportError::TimedOut),
            State::Gone => return Err(TransportError::CardGone),
        }
        let frame = request.encode().map_err(|error| TransportError::Fault(error.to_string()))?;
        let stream = &mut self.stream;
        let exchanged = Handle::current().block_on(tokio::time::timeout(APDU_DEADLINE, async {
            stream.write_all(&frame).await?;
            let mut body = Zeroizing::new(Vec::new());
            if request.is_answered() {
                let mut length = [0; slot::LENGTH_BYTES];
                stream.read_exact(&mut length).await?;
                let bytes = slot::body_bytes(length).map_err(std::io::Error::other)?;
                body.resize(bytes, 0);
                stream.read_exact(&mut body).await?;
            }
            std::io::Result::Ok(body)
        }));
        match exchanged {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(_)) => {
                self.state = State::Gone;
                Err(TransportError::CardGone)
            }
            Err(_) => {
                self.state = State::Mute;
                Err(TransportError::TimedOut)
            }
        }
    }
}

impl Transport for SlotTransport {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let request = SlotRequest::Apdu(command.to_vec());
        let exchanged = self.exchange(&request);
        if let SlotRequest::Apdu(mut apdu) = request {
            // It may have been a VERIFY with the PIN.
            zeroize::Zeroize::zeroize(&mut apdu);
        }
        exchanged.map(|body| body.to_vec())
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        self.exchange(&SlotRequest::Reset).map(drop)
    }
}
