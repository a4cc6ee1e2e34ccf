//! The line: a TLS listener that can go away and come back, and connections that can be reset while in use.
//!
//! Promises:
//! * TLS 1.3 only; a client without a certificate of the link CA does not get past the handshake, nor one whose certificate has
//!   expired or is on the link CA's revocation list;
//! * certificates and list are read again for every handshake, and no session is resumed: what is replaced holds at once;
//! * when [`Line::close`] returns, nothing listens on the address any more and every connection is reset (RST, not
//!   FIN), handshakes under way included;
//! * [`Line::open`] listens on the very same address again.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::frames::{Ending, Frames, HalfDead, Rotation};
use crate::pki::{DevPki, serial_of_der};

/// A client that has not finished its handshake by then never will.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// What is read at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// What may wait to be written before the service has to wait.
const UNWRITTEN_MAX: usize = 256 * 1024;
/// How long a client is heard out after its connection was closed in order (nginx's `lingering_timeout`).
const LINGER: Duration = Duration::from_secs(5);
/// Finished handshakes that wait for the service to take them over.
const WAITING_CONNECTIONS: usize = 64;

/// What the line has seen.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) open: AtomicU64,
    /// Finished handshakes by the serial of the client's certificate.
    pub(super) by_serial: Mutex<BTreeMap<String, u64>>,
    /// Failed handshakes by reason.
    pub(super) refused_why: Mutex<BTreeMap<String, u64>>,
}

impl Counters {
    fn shaken(&self, tls: &TlsStream<TcpStream>) {
        let serial = leaf(tls).and_then(|leaf| serial_of_der(leaf).ok()).unwrap_or_default();
        *lock(&self.by_serial).entry(serial).or_default() += 1;
    }

    fn refuse(&self, why: String) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        *lock(&self.refused_why).entry(why).or_default() += 1;
    }
}

fn leaf(tls: &TlsStream<TcpStream>) -> Option<&CertificateDer<'static>> {
    tls.get_ref().1.peer_certificates().and_then(<[_]>::first)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Command {
    Close(oneshot::Sender<()>),
    Open(oneshot::Sender<io::Result<()>>),
}

/// Handle to the listener task; the listener ends with the last handle.
pub(super) struct Line {
    address: SocketAddr,
    commands: mpsc::Sender<Command>,
    counters: Arc<Counters>,
    half_dead: watch::Sender<Option<HalfDead>>,
}

impl Line {
    /// Listens on `address`; the connections arrive on the receiver.
    pub(super) async fn listen(
        address: SocketAddr,
        pki: &DevPki,
        rotation: Option<Rotation>,
    ) -> Result<(Self, mpsc::Receiver<io::Result<Connection>>)> {
        let config = Arc::new(tls(pki)?);
        let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
        let address = listener.local_addr().context("asking for the listener's address")?;
        let (commands, orders) = mpsc::channel(1);
        let (connections, incoming) = mpsc::channel(WAITING_CONNECTIONS);
        let counters = Arc::new(Counters::default());
        let half_dead = watch::Sender::new(None);
        let port = Port {
            rotation,
            half_dead: half_dead.clone(),
            address,
            pki: pki.clone(),
            config,
            connections,
            counters: counters.clone(),
            reset_all: watch::Sender::new(0),
        };
        tokio::spawn(port.serve(listener, orders));
        Ok((Self { address, commands, counters, half_dead }, incoming))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Makes the connections that are there half dead; those that come are sound.
    pub(super) fn half_dead(&self, how: HalfDead) {
        self.half_dead.send_replace(Some(how));
    }

    /// Closes the listener and resets every connection.
    pub(super) async fn close(&self) -> Result<()> {
        let (done, closed) = oneshot::channel();
        self.order(Command::Close(done)).await?;
        closed.await.context("the listener task has ended")
    }

    /// Listens again; nothing happens when it does already.
    pub(super) async fn open(&self) -> Result<()> {
        let (done, opened) = oneshot::channel();
        self.order(Command::Open(done)).await?;
        opened
            .await
            .context("the listener task has ended")?
            .with_context(|| format!("listening on {} again", self.address))
    }

    async fn order(&self, command: Command) -> Result<()> {
        self.commands.send(command).await.map_err(|_| anyhow!("the listener task has ended"))
    }
}

fn tls(pki: &DevPki) -> Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pki.link_ca_pem()).context("reading the link CA")?)?;
    let mut clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    if pki.link_crl_pem().is_file() {
        let crl =
            CertificateRevocationListDer::from_pem_file(pki.link_crl_pem()).context("reading the revocation list")?;
        clients = clients.with_crls([crl]);
    }
    let clients = clients.build()?;
    let certificate = CertificateDer::from_pem_file(pki.server_pem()).context("reading the server certificate")?;
    let key = PrivateKeyDer::from_pem_file(pki.server_key()).context("reading the server key")?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// What the listener task owns besides the listener itself.
struct Port {
    rotation: Option<Rotation>,
    half_dead: watch::Sender<Option<HalfDead>>,
    address: SocketAddr,
    pki: DevPki,
    /// The last one that could be read.
    config: Arc<ServerConfig>,
    connections: mpsc::Sender<io::Result<Connection>>,
    counters: Arc<Counters>,
    reset_all: watch::Sender<u64>,
}

impl Port {
    async fn serve(mut self, listener: TcpListener, mut orders: mpsc::Receiver<Command>) {
        let mut listener = Some(listener);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Command::Close(done)) => {
                        listener = None;
                        self.reset_all.send_modify(|generation| *generation += 1);
                        let _ = done.send(());
                    }
                    Some(Command::Open(done)) => {
                        let opened = match listener {
                            Some(_) => Ok(()),
                            None => TcpListener::bind(self.address).await.map(|again| listener = Some(again)),
                        };
                        let _ = done.send(opened);
                    }
                    None => return,
                },
                accepted = accept(listener.as_ref()) => match accepted {
                    Ok(stream) => self.greet(stream),
                    // Out of descriptors, or the client is gone again: neither ends the listener.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                },
            }
        }
    }

    /// Performs the handshake beside the accept loop and hands the connection to the service.
    fn greet(&mut self, stream: TcpStream) {
        match tls(&self.pki) {
            Ok(config) => self.config = Arc::new(config),
            // Certificate and key are replaced one after the other: for a moment they do not fit.
            Err(error) => eprintln!("certificates are not read again: {error:#}"),
        }
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        let (acceptor, connections, counters) =
            (TlsAcceptor::from(self.config.clone()), self.connections.clone(), self.counters.clone());
        let mut reset_all = self.reset_all.subscribe();
        let (half_dead, frames) = (self.half_dead.subscribe(), Frames::new(self.rotation));
        tokio::spawn(async move {
            // Small answers must not wait for the acknowledgement of earlier ones.
            let _ = stream.set_nodelay(true);
            // Until the handshake is done the connection ends by a reset; afterwards see `Connection`.
            let handshake = tokio::time::timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream));
            let finished = tokio::select! {
                finished = handshake => finished,
                _ = reset_all.changed() => return,
            };
            match finished {
                Ok(Ok(tls)) => {
                    counters.shaken(&tls);
                    let connection = Connection::new(tls, frames, reset_all, half_dead, counters);
                    let _ = connections.send(Ok(connection)).await;
                }
                Ok(Err(error)) => counters.refuse(error.to_string()),
                Err(_) => counters.refuse("not finished in time".to_owned()),
            }
        });
    }
}

/// Waits for ever without a listener, so that `select!` need not know whether there is one.
async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// Given to every request: breaks the connection it came on.
#[derive(Clone)]
pub(super) struct ConnectionHandle {
    reset: Arc<watch::Sender<bool>>,
    one_method: Arc<AtomicBool>,
    /// The certificate that the client showed, DER.
    shown: Arc<[u8]>,
}

impl ConnectionHandle {
    /// Resets the connection; answers not yet written are lost.
    pub(super) fn reset(&self) {
        self.reset.send_replace(true);
    }

    /// Whether the client showed this certificate, DER.
    pub(super) fn has_shown(&self, certificate: &[u8]) -> bool {
        *self.shown == *certificate
    }

    /// The certificate that the client showed, DER.
    pub(super) fn shown(&self) -> &[u8] {
        &self.shown
    }

    /// Whether eligibility requests of this connection are never answered.
    pub(super) fn leaves_out_one_method(&self) -> bool {
        self.one_method.load(Ordering::Relaxed)
    }
}

/// A TLS connection that ends with a reset when told to, or as its rotation says.
pub(super) struct Connection {
    /// Taken only when it is dropped.
    tls: Option<TlsStream<TcpStream>>,
    frames: Frames,
    handle: ConnectionHandle,
    /// Completes when this connection, or every connection, shall be reset.
    told: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Completes when it becomes half dead.
    turned: Pin<Box<dyn Future<Output = HalfDead> + Send>>,
    broken: bool,
    over: Option<Ending>,
    counters: Arc<Counters>,
}

impl Connection {
    fn new(
        tls: TlsStream<TcpStream>,
        frames: Frames,
        mut reset_all: watch::Receiver<u64>,
        mut half_dead: watch::Receiver<Option<HalfDead>>,
        counters: Arc<Counters>,
    ) -> Self {
        counters.open.fetch_add(1, Ordering::Relaxed);
        let handle = ConnectionHandle {
            reset: Arc::new(watch::Sender::new(false)),
            one_method: Arc::default(),
            shown: leaf(&tls).map(AsRef::as_ref).unwrap_or_default().into(),
        };
        let mut own = handle.reset.subscribe();
        let told = Box::pin(async move {
            tokio::select! {
                _ = reset_all.changed() => {}
                _ = own.wait_for(|told| *told) => {}
            }
        });
        let turned = Box::pin(async move {
            while half_dead.changed().await.is_ok() {
                if let Some(how) = *half_dead.borrow_and_update() {
                    return how;
                }
            }
            std::future::pending().await
        });
        Self { tls: Some(tls), frames, handle, told, turned, broken: false, over: None, counters }
    }

    fn tls(&mut self) -> io::Result<Pin<&mut TlsStream<TcpStream>>> {
        self.tls.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Whether the connection is broken; registers the task for the moment when it becomes so, or half dead.
    fn poll_broken(&mut self, context: &mut TaskContext<'_>) -> io::Result<()> {
        if !self.broken && self.told.as_mut().poll(context).is_ready() {
            self.broken = true;
        }
        if self.broken {
            self.tear();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if self.over.is_none() {
            while let Poll::Ready(how) = self.turned.as_mut().poll(context) {
                self.turned = Box::pin(std::future::pending());
                self.handle.one_method.store(how == HalfDead::OneMethod, Ordering::Relaxed);
                self.frames.turn(how);
            }
        }
        Ok(())
    }

    /// Dropping the socket after this sends RST instead of FIN.
    fn tear(&self) {
        if let Some(tls) = &self.tls {
            let _ = tls.get_ref().0.set_zero_linger();
        }
    }

    /// Writes what waits for the client. Ready when nothing does any more.
    fn poll_write_out(&mut self, context: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        while !self.frames.to_client.is_empty() {
            let Self { tls: Some(tls), frames, .. } = self else { return Poll::Ready(Ok(())) };
            let written = std::task::ready!(Pin::new(tls).poll_write(context, &frames.to_client))?;
            let _ = self.frames.to_client.split_to(written);
        }
        std::task::ready!(self.tls()?.poll_flush(context))?;
        if self.over.is_none() {
            self.over = self.frames.over();
        }
        match self.over {
            Some(Ending::Abrupt | Ending::Cut) => {
                self.tear();
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            Some(Ending::InOrder) | None => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
        if self.over != Some(Ending::InOrder) || self.broken {
            return;
        }
        // What the client has sent meanwhile is read to its end: unread bytes would turn the end into a reset.
        if let (Some(mut tls), Ok(runtime)) = (self.tls.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(LINGER, async move {
                let _ = tls.shutdown().await;
                while tls.read(&mut [0; CHUNK_BYTES]).await.is_ok_and(|read| read > 0) {}
            }));
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = ConnectionHandle;

    fn connect_info(&self) -> ConnectionHandle {
        self.handle.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            self.poll_broken(context)?;
            if let Poll::Ready(Err(error)) = self.poll_write_out(context) {
                return Poll::Ready(Err(error));
            }
            if !self.frames.to_service.is_empty() {
                let length = self.frames.to_service.len().min(buffer.remaining());
                buffer.put_slice(&self.frames.to_service.split_to(length));
                return Poll::Ready(Ok(()));
            }
            if self.over.is_some() {
                return Poll::Ready(Ok(()));
            }
            let mut bytes = [0; CHUNK_BYTES];
            let mut chunk = ReadBuf::new(&mut bytes);
            std::task::ready!(self.tls()?.poll_read(context, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.frames.heard(chunk.filled());
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_broken(context)?;
        if self.frames.to_client.len() > UNWRITTEN_MAX {
            std::task::ready!(self.poll_write_out(context))?;
        }
        self.frames.said(bytes);
        match self.poll_write_out(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        self.poll_broken(context)?;
        self.poll_write_out(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        self.poll_broken(context)?;
        std::task::ready!(self.poll_write_out(context))?;
        self.tls()?.poll_shutdown(context)
    }
}
