//! One connection to the central system, shared by the requests in flight.

use super::status::{self, CentralError};
use super::{tls, wire};
use crate::config;
use crate::store::{OutboxRow, RequestKind};
use hyper_util::rt::TokioIo;
use prost::Message;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};
use uketsuke_core::record::Reply;
use uketsuke_proto::central_v1::online_eligibility_client::OnlineEligibilityClient;
use uketsuke_proto::central_v1::{EligibilityAnswer, PingRequest, Signed};
use zeroize::Zeroizing;

/// HTTP/2 pings while requests are in flight and while none are: a line that died in silence is noticed within 8 s.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5);
const KEEP_ALIVE_DEADLINE: Duration = Duration::from_secs(3);

/// An answer larger than this makes no sense.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// What a request that took effect came back with.
pub enum Delivery {
    /// To an eligibility request or a follow-up: what it means, and the whole answer.
    Answered {
        /// What it means.
        reply: Reply,
        /// The encoded `EligibilityAnswer`.
        answer: Zeroizing<Vec<u8>>,
    },
    /// To a consent.
    Taken,
}

/// The central system as the courier sees it. Cheap to clone; connects when it is first used, and again after a break.
#[derive(Clone)]
pub struct CentralClient {
    channel: Channel,
    call_deadline: Duration,
}

impl CentralClient {
    /// Reads and checks the TLS material; opens nothing yet. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`tls::TlsError`] names the file and what to do.
    pub fn new(central: &config::Central) -> Result<Self, tls::TlsError> {
        let (client_config, server_name) = tls::client_config(central)?;
        let connect_deadline = Duration::from_millis(central.connect_timeout_ms);
        let address: Arc<str> = central.address.as_str().into();
        let connector = tower::service_fn(move |_| {
            let connecting = connect(address.clone(), client_config.clone(), server_name.clone());
            async move {
                match tokio::time::timeout(connect_deadline, connecting).await {
                    Ok(connected) => connected,
                    Err(_) => Err(io::ErrorKind::TimedOut.into()),
                }
            }
        });
        // The connector brings its own TLS and address; the name here is only the :authority of the requests.
        let channel = Endpoint::from_static("http://central")
            .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
            .keep_alive_timeout(KEEP_ALIVE_DEADLINE)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(connector);
        Ok(Self { channel, call_deadline: Duration::from_millis(central.call_deadline_ms) })
    }

    /// Sends a row. Idempotent by its id.
    ///
    /// # Errors
    /// [`CentralError`], named after what the courier does next.
    pub async fn deliver(&self, row: &OutboxRow) -> Result<Delivery, CentralError> {
        // Our own bytes, sealed since: if they do not decode, no other try will do better.
        let signed = Signed::decode(row.request.body.as_slice())
            .map_err(|_| CentralError::Rejected("undecodable_body".into()))?;
        let mut client = self.client();
        match row.request.kind {
            RequestKind::Eligibility => answered(row, &self.within_deadline(client.check_eligibility(signed)).await?),
            RequestKind::FollowUp => answered(row, &self.within_deadline(client.ask_again(signed)).await?),
            RequestKind::Consent => {
                let receipt = self.within_deadline(client.record_consent(signed)).await?;
                about(row, &receipt.consent_id)?;
                Ok(Delivery::Taken)
            }
        }
    }

    /// Whether the service, not only the port, is there.
    ///
    /// # Errors
    /// [`CentralError`].
    pub async fn ping(&self) -> Result<(), CentralError> {
        let mut client = self.client();
        self.within_deadline(client.ping(PingRequest {})).await.map(drop)
    }

    fn client(&self) -> OnlineEligibilityClient<Channel> {
        OnlineEligibilityClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    async fn within_deadline<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, CentralError> {
        match tokio::time::timeout(self.call_deadline, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(status::from_status(&status)),
            Err(_) => Err(CentralError::TimedOut),
        }
    }
}

fn answered(row: &OutboxRow, answer: &EligibilityAnswer) -> Result<Delivery, CentralError> {
    about(row, &answer.request_id)?;
    let reply = wire::reply(answer).map_err(CentralError::Protocol)?;
    Ok(Delivery::Answered { reply, answer: Zeroizing::new(answer.encode_to_vec()) })
}

fn about(row: &OutboxRow, id: &[u8]) -> Result<(), CentralError> {
    if id == row.request.id.0.as_bytes() {
        Ok(())
    } else {
        Err(CentralError::Protocol("answer_to_another_request".into()))
    }
}

async fn connect(
    address: Arc<str>,
    client_config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
) -> io::Result<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(&*address).await?;
    stream.set_nodelay(true)?;
    let stream = TlsConnector::from(client_config).connect(server_name, stream).await?;
    Ok(TokioIo::new(stream))
}
