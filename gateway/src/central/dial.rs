//! How a connection is opened, step by step; the same steps for requests and for the connection check.

use super::fault::LineFault;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The addresses of `host:port`.
pub(super) async fn resolve(address: &str, deadline: Duration) -> Result<Vec<SocketAddr>, LineFault> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let fault = |why: String| LineFault::Name { host: host.to_owned(), why };
    match tokio::time::timeout(deadline, tokio::net::lookup_host(address)).await {
        Ok(Ok(found)) => {
            let found: Vec<_> = found.collect();
            if found.is_empty() { Err(fault("it has no address".into())) } else { Ok(found) }
        }
        Ok(Err(error)) => Err(fault(error.to_string())),
        Err(_) => Err(fault("no answer from the name server".into())),
    }
}

/// A connection to the first address that takes one; the fault is that of the last one tried.
pub(super) async fn tcp(addresses: &[SocketAddr], deadline: Duration) -> Result<TcpStream, LineFault> {
    let each = deadline / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    let mut fault = LineFault::Network("no address".into());
    for address in addresses {
        let connected = match tokio::time::timeout(each, TcpStream::connect(address)).await {
            Ok(connected) => connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream)),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => fault = LineFault::tcp(&address.to_string(), &error),
        }
    }
    Err(fault)
}

/// Our side of the handshake. With TLS 1.3 the peer looks at our certificate only afterwards: what it has against it comes with the
/// first read.
pub(super) async fn tls(
    stream: TcpStream,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    deadline: Duration,
) -> Result<TlsStream<TcpStream>, LineFault> {
    let shaken = match tokio::time::timeout(deadline, TlsConnector::from(config).connect(name, stream)).await {
        Ok(shaken) => shaken,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    shaken.map_err(|error| LineFault::tls(&error))
}
