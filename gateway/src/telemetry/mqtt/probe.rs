//! One CONNECT of an administrator's check: whether the broker would open a session for this gateway.
//!
//! Promises:
//! * the client id is one of its own, so no session of a running gateway ends;
//! * clean session, no will, no subscription; nothing is published, and a DISCONNECT ends it;
//! * it ends within the two deadlines, and every end is a sentence.

use crate::central::Said;
use crate::config;
use bytes::BytesMut;
use rumqttc::{Connect, ConnectReturnCode, Disconnect, Packet, mqttbytes};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// For the broker's name and a connection to it, each. A broker that takes longer is not there.
const REACH_DEADLINE: Duration = Duration::from_secs(2);
/// For the answer to CONNECT.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// A CONNACK has 4 bytes; whatever is longer is none.
const ANSWER_BYTES_MAX: usize = 16;
/// First bytes of a TLS alert: its record type and the major version of every TLS (RFC 8446, 5.1).
const TLS_ALERT: &[u8] = &[0x15, 0x03];
/// First bytes of an HTTP/1 answer (RFC 9112, 4).
const HTTP_ANSWER: &[u8] = b"HTTP/";
/// First byte of a CONNACK (MQTT 3.1.1, 3.2.1).
const CONNACK: u8 = 0x20;
/// Return codes of a CONNACK (MQTT 3.1.1, 3.2.2.3).
const CODE_VERSION: u8 = 1;
const CODE_CLIENT_ID: u8 = 2;
const CODE_UNAVAILABLE: u8 = 3;
const CODE_CREDENTIALS: u8 = 4;
const CODE_NOT_AUTHORISED: u8 = 5;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// `None` when the broker opened a session.
    pub refusal: Option<Refusal>,
    /// Host and port.
    pub broker: String,
    /// The client id that was used.
    pub client_id: String,
}

/// Why the broker opened no session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The name does not resolve.
    Name(String),
    /// No connection.
    Unreachable(String),
    /// A connection, and no answer to CONNECT.
    Silent,
    /// The connection was ended in place of an answer.
    Closed,
    /// TLS is spoken there.
    Tls,
    /// HTTP is spoken there.
    Http,
    /// Something else is spoken there.
    NotMqtt,
    /// A CONNACK with this return code (MQTT 3.1.1, 3.2.2.3).
    Code(u8),
}

/// Asks the broker once.
pub async fn probe(mqtt: &config::Mqtt, site: &str) -> Probed {
    // Two checks at once do not push each other out either. A broker that tells clients apart by the beginning of their id sees the gateway's.
    let client_id = format!("{}-check-{:04x}", mqtt.client_id(site), rand::random::<u16>());
    let refusal = connect(mqtt, &client_id).await.err();
    Probed { refusal, broker: format!("{}:{}", mqtt.host, mqtt.port), client_id }
}

async fn connect(mqtt: &config::Mqtt, client_id: &str) -> Result<(), Refusal> {
    let mut stream = reach(&mqtt.host, mqtt.port).await?;
    match tokio::time::timeout(ANSWER_DEADLINE, exchange(&mut stream, client_id)).await {
        Ok(Ok(answer)) => answer,
        // A peer that does not want these bytes may close before it has read them.
        Ok(Err(_)) => Err(Refusal::Closed),
        Err(_) => Err(Refusal::Silent),
    }
}

async fn reach(host: &str, port: u16) -> Result<TcpStream, Refusal> {
    let resolved = tokio::time::timeout(REACH_DEADLINE, tokio::net::lookup_host((host, port))).await;
    let addresses: Vec<_> = match resolved {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => return Err(Refusal::Name(error.to_string())),
        Err(_) => return Err(Refusal::Name("no answer from the name server".into())),
    };
    match tokio::time::timeout(REACH_DEADLINE, TcpStream::connect(&addresses[..])).await {
        Ok(connected) => connected.map_err(|error| Refusal::Unreachable(error.to_string())),
        Err(_) => Err(Refusal::Unreachable("no answer".into())),
    }
}

/// CONNECT, what is said to it, and DISCONNECT where that was a session.
async fn exchange(stream: &mut TcpStream, client_id: &str) -> io::Result<Result<(), Refusal>> {
    let mut packet = BytesMut::new();
    Connect::new(client_id).write(&mut packet).map_err(io::Error::other)?;
    stream.write_all(&packet).await?;
    let mut heard = BytesMut::new();
    let answer = loop {
        let ended = stream.read_buf(&mut heard).await? == 0;
        match judged(&heard) {
            Some(answer) => break answer,
            None if ended => return Ok(Err(if heard.is_empty() { Refusal::Closed } else { Refusal::NotMqtt })),
            None => {}
        }
    };
    if answer.is_ok() {
        packet.clear();
        Disconnect.write(&mut packet).map_err(io::Error::other)?;
        // The session is known to be possible; a broker that is gone meanwhile ends it as well.
        let _ = stream.write_all(&packet).await;
        let _ = stream.shutdown().await;
    }
    Ok(answer)
}

/// What the first bytes of an answer mean; `None` until there are enough.
fn judged(heard: &[u8]) -> Option<Result<(), Refusal>> {
    if heard.first() == Some(&CONNACK) {
        return match Packet::read(&mut BytesMut::from(heard), ANSWER_BYTES_MAX) {
            Ok(Packet::ConnAck(answer)) if answer.code == ConnectReturnCode::Success => Some(Ok(())),
            Ok(Packet::ConnAck(answer)) => Some(Err(Refusal::Code(answer.code as u8))),
            Err(mqttbytes::Error::InsufficientBytes(_)) => None,
            Err(mqttbytes::Error::InvalidConnectReturnCode(code)) => Some(Err(Refusal::Code(code))),
            _ => Some(Err(Refusal::NotMqtt)),
        };
    }
    let others = [(TLS_ALERT, Refusal::Tls), (HTTP_ANSWER, Refusal::Http)];
    for (beginning, refusal) in others {
        if heard.starts_with(beginning) {
            return Some(Err(refusal));
        }
        if beginning.starts_with(heard) {
            return None;
        }
    }
    Some(Err(Refusal::NotMqtt))
}

impl Probed {
    /// Whether the broker may treat the gateway's own client id better than the one of the check.
    pub fn may_differ_for_the_gateway(&self) -> bool {
        matches!(self.refusal, Some(Refusal::Code(CODE_CLIENT_ID | CODE_NOT_AUTHORISED)))
    }

    /// In a sentence, with what to do.
    pub fn said(&self) -> Said {
        let Self { broker, client_id, refusal } = self;
        let Some(refusal) = refusal else {
            return Said::new(
                format!("{broker} はMQTTの接続を受け付けます"),
                format!("{broker} opens an MQTT session"),
            );
        };
        let (ja, en) = refusal.said(client_id);
        Said::new(
            format!("{broker} {ja}。それまで状態は送られませんが、受付は続けられます"),
            format!("{broker} {en}; telemetry will wait for it, and receptions go on"),
        )
    }
}

impl Refusal {
    /// Why, and what to do; follows the broker's name.
    fn said(&self, client_id: &str) -> (String, String) {
        match self {
            Self::Name(why) => (
                format!("の名前を解決できません({why})。mqtt.host の綴りとDNSの設定を確かめてください"),
                format!("does not resolve ({why}); check the spelling of mqtt.host and the name server"),
            ),
            Self::Unreachable(why) => (
                format!("につながりません({why})。ブローカーが動いているか、mqtt.host と mqtt.port を確かめてください"),
                format!("cannot be reached ({why}); check that the broker runs, mqtt.host and mqtt.port"),
            ),
            Self::Silent => (
                "は接続を受け付けますが、MQTTの接続要求に答えません。mqtt.port とブローカーの記録を確かめてください".into(),
                "accepts connections but does not answer an MQTT CONNECT; check mqtt.port and the broker's log".into(),
            ),
            Self::Closed => (
                "は答えずに接続を切りました。mqtt.port を確かめてください。TLSのポートならTLSなしのポートを指定し、\
                 そうでなければブローカーの記録(接続数の上限など)を確かめてください"
                    .into(),
                "closes the connection without an answer; check mqtt.port, name a port without TLS if this one wants TLS, and else see \
                 the broker's log, for example for a limit of connections"
                    .into(),
            ),
            Self::Tls => (
                "はTLSで待ち受けていますが、このゲートウェイはTLSなしのMQTTで送ります。\
                 mqtt.port にTLSなしのポートを指定してください(ブローカーが別の機械なら、その間を別の方法で守ってください)"
                    .into(),
                "speaks TLS, and this gateway speaks MQTT without TLS; set mqtt.port to a port without TLS, and protect the network in \
                 between in another way if the broker is another machine"
                    .into(),
            ),
            Self::Http => (
                "はMQTTブローカーではなくWebサーバーです(HTTPで答えました)。mqtt.host と mqtt.port を確かめてください".into(),
                "is a web server and no MQTT broker, for it answers in HTTP; check mqtt.host and mqtt.port".into(),
            ),
            Self::NotMqtt => (
                "の答えはMQTTではありません。mqtt.host と mqtt.port を確かめてください".into(),
                "answers in something that is not MQTT; check mqtt.host and mqtt.port".into(),
            ),
            Self::Code(code) => code_said(*code, client_id),
        }
    }
}

/// Of everything that a broker answers by a return code.
fn code_said(code: u8, client_id: &str) -> (String, String) {
    match code {
            CODE_VERSION => (
                "はMQTT 3.1.1を受け付けません(応答1)。ブローカーでMQTT 3.1.1を有効にしてください".into(),
                "does not take MQTT 3.1.1 (return code 1); switch that version on at the broker".into(),
            ),
            CODE_CLIENT_ID => (
                format!("は接続名 {client_id} を受け付けません(応答2)。ブローカーの接続名の規則を確かめてください"),
                format!("rejects the client id {client_id} (return code 2); see the broker's rules about client ids"),
            ),
            CODE_UNAVAILABLE => (
                "は今は使えないと答えました(応答3)。ブローカーの記録を確かめ、復旧を待ってください".into(),
                "says that it is unavailable (return code 3); see the broker's log and wait for it".into(),
            ),
            CODE_CREDENTIALS => (
                "は利用者名とパスワードを求めています(応答4)。このゲートウェイは持っていません。\
                 ブローカーで、このゲートウェイを利用者名なしで許してください"
                    .into(),
                "refuses the credentials (return code 4): this gateway gives no user name and no password; let it in without them at \
                 the broker"
                    .into(),
            ),
            CODE_NOT_AUTHORISED => (
                format!(
                    "は接続名 {client_id} に接続を許していません(応答5)。このゲートウェイは利用者名とパスワードを送りません。\
                     ブローカーで、この接続名を利用者名なしで許してください(mosquittoなら allow_anonymous true)"
                ),
                format!(
                    "does not authorise the client {client_id} (return code 5): this gateway gives no user name and no password; let \
                     it in without them at the broker (mosquitto: allow_anonymous true)"
                ),
            ),
            _ => (
                format!("は未知の応答{code}で断りました。ブローカーの記録を確かめてください"),
                format!("refuses with the unknown return code {code}; see the broker's log"),
            ),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn an_answer_is_judged_from_its_first_bytes_and_never_before_they_are_there() {
        let code = |code| [CONNACK, 2, 0, code];
        for (heard, answer) in [
            (&code(0)[..], Ok(())),
            (&code(1), Err(Refusal::Code(CODE_VERSION))),
            (&code(2), Err(Refusal::Code(CODE_CLIENT_ID))),
            (&code(3), Err(Refusal::Code(CODE_UNAVAILABLE))),
            (&code(4), Err(Refusal::Code(CODE_CREDENTIALS))),
            (&code(5), Err(Refusal::Code(CODE_NOT_AUTHORISED))),
            (&code(9), Err(Refusal::Code(9))),
            (&[0x15, 3], Err(Refusal::Tls)),
            (b"HTTP/", Err(Refusal::Http)),
            (b"S", Err(Refusal::NotMqtt)),
            (&[CONNACK, 0x7f], Err(Refusal::NotMqtt)),
        ] {
            for less in 0..heard.len() {
                assert_eq!(judged(&heard[..less]), None, "{:?}", &heard[..less]);
            }
            assert_eq!(judged(heard), Some(answer), "{heard:?}");
        }
    }

    #[test]
    fn every_refusal_has_words_of_its_own_in_both_languages_and_says_what_to_do() {
        let named = [
            Refusal::Name("x".into()),
            Refusal::Unreachable("x".into()),
            Refusal::Silent,
            Refusal::Closed,
            Refusal::Tls,
            Refusal::Http,
            Refusal::NotMqtt,
        ];
        let all: Vec<_> = named.into_iter().chain((1..=6).map(Refusal::Code)).collect();
        let said = |refusal: &Refusal| {
            let refusal = Some(refusal.clone());
            Probed { refusal, broker: "broker:1883".into(), client_id: "uketsuke-x-check-0000".into() }.said()
        };
        for words in [all.iter().map(|one| said(one).en).collect(), all.iter().map(|one| said(one).ja).collect()] {
            let words: BTreeSet<String> = words;
            assert_eq!(words.len(), all.len(), "two refusals say the same");
        }
        for refusal in &all {
            let Said { ja, en } = said(refusal);
            assert!(en.matches("; ").count() >= 2 && !en.ends_with('.'), "nothing to do: {en}");
            assert!(ja.contains("ください"), "nothing to do: {ja}");
        }
    }
}
