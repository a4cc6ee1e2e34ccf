//! Between a gateway and its MQTT broker: a proxy that reads packets, so that single ones can be withheld.
//!
//! Promises:
//! * what is not withheld is forwarded whole and in order;
//! * a withheld acknowledgement never comes later; connection, pings and everything else go on;
//! * a refused subscription is answered as the broker's own refusal is.

use anyhow::{Context, Result, ensure};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// MQTT 3.1.1, 2.2.1: the upper half of a packet's first byte.
const PUBACK: u8 = 4;
/// The same of an answer to a subscription; MQTT 3.1.1, 3.9.3: its return codes follow the packet id, and this one means failure.
const SUBACK: u8 = 9;
const SUBACK_FAILURE: u8 = 0x80;
/// Type, a length below 128, packet id.
const SUBACK_HEAD_BYTES: usize = 4;
/// Largest packet that is forwarded; telemetry is far smaller.
const PACKET_BYTES_MAX: usize = 1024 * 1024;

/// A running proxy; ends, with its connections, when dropped.
pub struct MqttProxy {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    withholds: AtomicBool,
    refuses: AtomicBool,
    withheld: AtomicU64,
    accepted: Mutex<Vec<Instant>>,
}

impl MqttProxy {
    /// Listens on a free loopback port and forwards to `broker`. Must be called within a tokio runtime.
    pub fn start(broker: SocketAddr) -> Result<Self> {
        let listener = std::net::TcpListener::bind((IpAddr::V4(Ipv4Addr::LOCALHOST), 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        let state = Arc::new(State::default());
        let task = tokio::spawn(accept(listener, broker, state.clone()));
        Ok(Self { address, state, task })
    }

    /// Where the gateway finds it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on acknowledgements of publishes are withheld, or no longer.
    pub fn withhold_acknowledgements(&self, withhold: bool) {
        self.state.withholds.store(withhold, Ordering::SeqCst);
    }

    /// Acknowledgements withheld so far.
    pub fn withheld(&self) -> u64 {
        self.state.withheld.load(Ordering::SeqCst)
    }

    /// From now on every subscription is refused, or no longer.
    pub fn refuse_subscriptions(&self, refuse: bool) {
        self.state.refuses.store(refuse, Ordering::SeqCst);
    }

    /// When each connection so far was accepted.
    pub fn accepted(&self) -> Vec<Instant> {
        self.state.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for MqttProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, broker: SocketAddr, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        state.accepted.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        let state = state.clone();
        connections.spawn(async move {
            // The end of either direction ends the connection.
            let _ = forward(near, broker, &state).await;
        });
    }
}

async fn forward(near: TcpStream, broker: SocketAddr, state: &State) -> Result<()> {
    near.set_nodelay(true)?;
    let far = TcpStream::connect(broker).await.context("the broker behind the proxy")?;
    far.set_nodelay(true)?;
    let (mut from_gateway, mut to_gateway) = near.into_split();
    let (mut from_broker, mut to_broker) = far.into_split();
    let up = tokio::io::copy(&mut from_gateway, &mut to_broker);
    let down = async {
        loop {
            let mut packet = packet(&mut from_broker).await?;
            if packet[0] >> 4 == PUBACK && state.withholds.load(Ordering::SeqCst) {
                state.withheld.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            if packet[0] >> 4 == SUBACK && state.refuses.load(Ordering::SeqCst) {
                packet.iter_mut().skip(SUBACK_HEAD_BYTES).for_each(|code| *code = SUBACK_FAILURE);
            }
            to_gateway.write_all(&packet).await?;
        }
    };
    tokio::select! {
        ended = up => ended.map(drop).map_err(anyhow::Error::from),
        ended = down => ended,
    }
}

/// One whole packet: the first byte, its length in seven bits a byte, and what follows.
async fn packet(from: &mut (impl AsyncReadExt + Unpin)) -> Result<Vec<u8>> {
    let mut packet = vec![from.read_u8().await?];
    let mut length = 0;
    for place in 0..4 {
        let byte = from.read_u8().await?;
        packet.push(byte);
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            break;
        }
    }
    ensure!(length <= PACKET_BYTES_MAX, "a packet of {length} bytes");
    let head = packet.len();
    packet.resize(head + length, 0);
    from.read_exact(&mut packet[head..]).await?;
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn packets_are_read_whole_and_one_after_the_other() {
        let long = [&[0x30, 0xc8, 0x01][..], &[7; 200]].concat();
        let mut bytes = &[&[0x40, 2, 0, 1][..], &long, &[0xd0, 0]].concat()[..];
        assert_eq!(packet(&mut bytes).await.unwrap(), [0x40, 2, 0, 1]);
        assert_eq!(packet(&mut bytes).await.unwrap(), long);
        assert_eq!(packet(&mut bytes).await.unwrap(), [0xd0, 0]);
        assert!(packet(&mut bytes).await.is_err());
    }
}
