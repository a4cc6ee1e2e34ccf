//! A TCP proxy on loopback that treats its connections as a bad line does.
//!
//! Promises:
//! * what is forwarded is forwarded in order and whole, unless the fault is to corrupt it;
//! * a fault applies, within milliseconds, to connections that are there and to those that come;
//! * [`Fault::Cut`] lets nothing listen on the address; every other fault accepts connections.

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

/// What is read at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// What a sender waits at the least before it sends again what was lost (RFC 6298).
const RETRANSMIT: Duration = Duration::from_secs(1);

/// What is wrong with the line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Nobody listens; connections are reset.
    Cut,
    /// Connections are accepted and stay open; nothing comes through, in neither direction, until the fault is over.
    Stall,
    /// The far end of every connection is closed without a word to the near end, which stays open and hears nothing; new ones meet the same.
    HalfOpen,
    /// Requests come through, answers vanish: connections are reset instead.
    AnswersLost,
    /// Everything takes so long, and a part of it that much longer, as when it was lost and sent again.
    Slow {
        /// There and back.
        round_trip: Duration,
        /// Part of the chunks, 0 to 1.
        lost: f64,
    },
    /// One byte in so many chunks arrives as another.
    Corrupt {
        /// Chunks.
        one_in: u32,
    },
    /// Connections are reset after so many bytes of answers.
    Reset {
        /// Of each connection.
        after_bytes: u64,
    },
}

/// A running proxy; ends when dropped.
pub struct Proxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    accepted: Arc<AtomicU64>,
    _runtime: tokio::runtime::Runtime,
}

impl Proxy {
    /// Listens on a loopback address of its own and forwards to `to`.
    ///
    /// # Errors
    /// No address is free.
    pub fn start(to: SocketAddr, seed: u64) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("proxy")
            .enable_all()
            .build()
            .context("starting the proxy's thread")?;
        let (fault, faults) = watch::channel(Fault::None);
        let accepted = Arc::new(AtomicU64::new(0));
        let listener = runtime.block_on(TcpListener::bind((IpAddr::V4(Ipv4Addr::LOCALHOST), 0)))?;
        let address = listener.local_addr()?;
        runtime.spawn(listen(listener, address, to, faults, accepted.clone(), seed));
        Ok(Self { address, fault, accepted, _runtime: runtime })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

async fn listen(
    first: TcpListener,
    address: SocketAddr,
    to: SocketAddr,
    mut faults: watch::Receiver<Fault>,
    accepted: Arc<AtomicU64>,
    seed: u64,
) {
    let mut listener = Some(first);
    loop {
        let cut = *faults.borrow_and_update() == Fault::Cut;
        if cut {
            listener = None;
        } else if listener.is_none() {
            listener = again(address);
        }
        tokio::select! {
            changed = faults.changed() => if changed.is_err() { return },
            Ok((near, _)) = accept(listener.as_ref()) => {
                let number = accepted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(connection(near, to, faults.clone(), seed.wrapping_add(number)));
            }
            // A port that was just given up may not be free at once.
            () = tokio::time::sleep(Duration::from_millis(20)), if !cut && listener.is_none() => {}
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> std::io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

fn again(address: SocketAddr) -> Option<TcpListener> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.set_reuseaddr(true).ok()?;
    socket.bind(address).ok()?;
    socket.listen(64).ok()
}

/// One connection, until either end closes it or a fault ends it.
async fn connection(mut near: TcpStream, to: SocketAddr, mut faults: watch::Receiver<Fault>, seed: u64) {
    // A line that stalls from the first packet on.
    let begun = wait_while(&mut faults, |fault| matches!(fault, Fault::Stall | Fault::HalfOpen)).await;
    if begun.is_err() || *faults.borrow() == Fault::Cut {
        return reset(near);
    }
    let Ok(mut far) = TcpStream::connect(to).await else { return reset(near) };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    // Without a farewell: whichever end is dropped, its peer is reset.
    let _ = (near.set_zero_linger(), far.set_zero_linger());
    {
        let ((near_in, near_out), (far_in, far_out)) = (near.split(), far.split());
        let there = carry(near_in, far_out, faults.clone(), false, StdRng::seed_from_u64(seed));
        let back = carry(far_in, near_out, faults.clone(), true, StdRng::seed_from_u64(!seed));
        let broken = faults.wait_for(|fault| matches!(fault, Fault::Cut | Fault::HalfOpen));
        tokio::select! {
            () = there => {}
            () = back => {}
            _ = broken => {}
        }
    }
    drop(far);
    // The near end stays open and hears nothing, for as long as the fault lasts.
    let _ = wait_while(&mut faults, |fault| *fault == Fault::HalfOpen).await;
}

fn reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
}

async fn wait_while(
    faults: &mut watch::Receiver<Fault>,
    mut such: impl FnMut(&Fault) -> bool,
) -> Result<(), watch::error::RecvError> {
    faults.wait_for(|fault| !such(fault)).await.map(drop)
}

/// One direction. Ends when one end is gone or the fault says so.
async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut faults: watch::Receiver<Fault>,
    answers: bool,
    mut rng: StdRng,
) {
    let mut carried = 0;
    let mut due = Instant::now();
    let mut bytes = vec![0; CHUNK_BYTES];
    loop {
        let read = from.read(&mut bytes).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        let came = Instant::now();
        if wait_while(&mut faults, |fault| *fault == Fault::Stall).await.is_err() {
            return;
        }
        carried += read as u64;
        match *faults.borrow() {
            Fault::AnswersLost if answers => return,
            Fault::Reset { after_bytes } if answers && carried > after_bytes => return,
            Fault::Corrupt { one_in } if rng.random_ratio(1, one_in.max(1)) => {
                let at = rng.random_range(0..read);
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
            Fault::Slow { round_trip, lost } => {
                let again = if rng.random_bool(lost) { RETRANSMIT + round_trip } else { Duration::ZERO };
                // In order: what follows a lost piece waits for it.
                due = due.max(came + round_trip / 2 + again);
            }
            _ => {}
        }
        tokio::time::sleep_until(due).await;
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream as Plain;

    /// An echo on loopback behind a proxy.
    fn echo() -> Proxy {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut bytes = [0; 64];
                    while let Ok(read @ 1..) = stream.read(&mut bytes) {
                        if stream.write_all(&bytes[..read]).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Proxy::start(address, 1).unwrap()
    }

    fn connect(proxy: &Proxy) -> Plain {
        let stream = Plain::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        stream
    }

    fn exchange(stream: &mut Plain) -> std::io::Result<Vec<u8>> {
        let mut bytes = [0; 5];
        stream.write_all(b"hello")?;
        stream.read_exact(&mut bytes)?;
        Ok(bytes.to_vec())
    }

    fn silent(error: &std::io::Error) -> bool {
        matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
    }

    #[test]
    fn a_stalled_line_says_nothing_and_loses_nothing() {
        let proxy = echo();
        let mut stream = connect(&proxy);
        assert_eq!(exchange(&mut stream).unwrap(), b"hello");
        proxy.set(Fault::Stall);
        assert!(silent(&exchange(&mut stream).unwrap_err()));
        assert!(silent(&exchange(&mut connect(&proxy)).unwrap_err()));
        proxy.set(Fault::None);
        let mut late = [0; 5];
        stream.read_exact(&mut late).unwrap();
        assert_eq!(&late, b"hello");
    }

    #[test]
    fn a_cut_line_resets_what_is_there_and_refuses_what_comes_until_it_is_mended() {
        let proxy = echo();
        let mut stream = connect(&proxy);
        exchange(&mut stream).unwrap();
        proxy.set(Fault::Cut);
        assert!(!silent(&exchange(&mut stream).unwrap_err()));
        let refused = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            Plain::connect(proxy.address()).is_err()
        });
        assert!(refused);
        proxy.set(Fault::None);
        let mended = (0..100).find_map(|_| {
            std::thread::sleep(Duration::from_millis(20));
            Plain::connect(proxy.address()).ok()
        });
        assert_eq!(exchange(&mut mended.unwrap()).unwrap(), b"hello");
    }

    #[test]
    fn the_far_end_of_a_half_open_line_is_gone() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap(), 1).unwrap();
        let mut near = connect(&proxy);
        let (mut far, _) = listener.accept().unwrap();
        far.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        proxy.set(Fault::HalfOpen);
        let mut byte = [0];
        assert!(!silent(&far.read_exact(&mut byte).unwrap_err()), "it hears that the line is gone");
        assert!(silent(&near.read_exact(&mut byte).unwrap_err()), "the near end does not");
    }

    #[test]
    fn a_half_open_line_is_silent_and_its_connections_never_come_back() {
        let proxy = echo();
        let mut stream = connect(&proxy);
        exchange(&mut stream).unwrap();
        proxy.set(Fault::HalfOpen);
        std::thread::sleep(Duration::from_millis(50));
        assert!(silent(&exchange(&mut stream).unwrap_err()));
        proxy.set(Fault::None);
        std::thread::sleep(Duration::from_millis(50));
        assert!(!silent(&exchange(&mut stream).unwrap_err()));
    }

    #[test]
    fn lost_answers_end_the_connection_and_corrupt_bytes_arrive() {
        let proxy = echo();
        proxy.set(Fault::AnswersLost);
        assert!(!silent(&exchange(&mut connect(&proxy)).unwrap_err()));
        proxy.set(Fault::Corrupt { one_in: 1 });
        assert_ne!(exchange(&mut connect(&proxy)).unwrap(), b"hello");
    }
}
