//! What may be wrong between here and the central system, whose it is, and what to do: the words of the connection check, the
//! staff page and the log.

use super::verifier::ListsUnfit;
use crate::encoding::printable;
use std::io;
use std::time::Duration;
use thiserror::Error;
use uketsuke_core::explain::Lang;

/// A sentence in both languages. Nothing personal: it speaks of machines only.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Said {
    /// 日本語
    pub ja: String,
    /// English; lower case without full stop, as every message of this program.
    pub en: String,
}

impl Said {
    /// Both languages of one sentence. What it quotes of a file or of a peer is shown by its signs alone.
    pub fn new(ja: impl Into<String>, en: impl Into<String>) -> Self {
        let shown = |text: String| if text.contains(char::is_control) { printable(&text) } else { text };
        Self { ja: shown(ja.into()), en: shown(en.into()) }
    }

    /// The sentence in one language.
    pub fn pick(&self, lang: Lang) -> &str {
        lang.pick(&self.ja, &self.en)
    }
}

/// Why the line does not work, by the first layer that fails. `Display` is the English sentence with what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", self.said().en)]
pub enum LineFault {
    /// The name does not resolve.
    Name {
        /// Host part of `central.address`.
        host: String,
        /// What the resolver said.
        why: String,
    },
    /// The machine is there, and nothing listens.
    NobodyListens(String),
    /// No answer to a connection in time.
    Silent(String),
    /// The network does not let us through.
    Network(String),
    /// Our own files cannot be used.
    OurFiles(Said),
    /// Our certificate is past its date; holds when it ended.
    OurCertificateExpired(Said),
    /// The peer calls our certificate revoked.
    OurCertificateRevoked,
    /// The peer does not know the authority of our certificate.
    OurAuthorityUnknown,
    /// The peer has something else against our certificate: the TLS alert.
    OurCertificateRefused(String),
    /// Our revocation list is past its date.
    OurCrlExpired(Said),
    /// Our revocation lists say nothing about the peer's certificate; holds which lists, why, and what to do.
    OurCrlSilent(Said),
    /// A revocation list cannot be judged, or was not signed by the authority that it names.
    OurCrlUnfit(Said),
    /// The peer's certificate is past its date.
    TheirCertificateExpired,
    /// The peer's certificate is not valid yet.
    TheirCertificateNotYetValid,
    /// The peer's certificate is of an authority that is not ours.
    TheirAuthorityUnknown,
    /// The peer's certificate has been revoked.
    TheirCertificateRevoked,
    /// The peer's certificate carries another name.
    TheirName(String),
    /// The peer's certificate is wrong in another way.
    TheirCertificate(String),
    /// The peer ended the handshake with this alert, which is not about our certificate.
    Alert(String),
    /// The peer speaks no TLS, or breaks it.
    NotTls(String),
    /// The connection ended in the middle of the handshake.
    ClosedInHandshake,
    /// TLS works, and HTTP/2 is not spoken over it.
    NoHttp2,
    /// HTTP/2 is there, and no such service.
    NoService,
    /// A call was sent, and no answer came in time.
    NoAnswer,
    /// The connection is there, and calls on it are not answered, one after the other.
    Unanswered,
    /// The connection broke under a call.
    Broke(String),
    /// The service, or what stands before it, says that it cannot serve at the moment.
    Unavailable,
    /// The service is there and busy.
    Busy,
    /// The service does not accept this gateway: a gRPC code.
    NotAccepted(String),
    /// The service fails at a call that it has to answer: a gRPC code.
    Failing(String),
    /// Their clock and ours are apart by so many seconds; positive when theirs is ahead.
    ClocksApart(i64),
}

impl LineFault {
    /// What happened, whose it is, and what to do. One table, so that the compiler sees that every fault has words.
    pub fn said(&self) -> Said {
        let (ja, en) = match self {
            Self::Name { host, why } => (
                format!("名前 {host} を解決できません({why})。central.address の綴りとDNSの設定を確かめてください。"),
                format!("the name {host} does not resolve ({why}); check the spelling of central.address and the name server"),
            ),
            Self::NobodyListens(at) => (
                format!("{at} で待ち受けているものがありません。central.address のポートを確かめ、正しければ相手の復旧を待ってください。"),
                format!("nothing listens at {at}; check the port of central.address, and if it is right wait for the other side"),
            ),
            Self::Silent(at) => (
                format!("{at} から応答がありません。回線・ルーター・ファイアウォールを確かめてください。"),
                format!("no answer from {at}; check line, router and firewall"),
            ),
            Self::Network(why) => (
                format!("ネットワークに出られません({why})。LANケーブルとルーターを確かめてください。"),
                format!("the network cannot be reached ({why}); check cable and router"),
            ),
            Self::Broke(why) => (
                format!("通信中に接続が切れました({why})。自動でつなぎ直します。続くときは回線を確かめてください。"),
                format!("the connection broke during a call ({why}); it is opened again by itself, check the line if this goes on"),
            ),
            Self::Busy => (
                "資格確認システムが混み合っています。自動で送り直します。".into(),
                "the central system is busy; nothing to do, requests are sent again".into(),
            ),
            Self::Unavailable => (
                "資格確認システムは、いま要求を受け付けられないと答えています。自動で送り直します。続くときは窓口に連絡してください。".into(),
                "the central system answers that it is unavailable; requests are sent again, call its help line if this goes on".into(),
            ),
            Self::NoAnswer => (
                "時間内に返事がありません。自動で送り直します。続くときは資格確認システムの窓口に連絡してください。".into(),
                "no answer came in time; requests are sent again, call the central system's help line if this goes on".into(),
            ),
            Self::Unanswered => (
                "つながっていますが、この接続では要求に返事がありません。別の接続を自動で試しています。続くときは資格確認システムの窓口に連絡してください。".into(),
                "connected, but the service does not answer requests on this connection; another one is tried beside it by itself, call the central system's help line if this goes on".into(),
            ),
            Self::ClocksApart(seconds) => apart(*seconds),
            Self::OurFiles(said) => (said.ja.clone(), said.en.clone()),
            Self::NoHttp2 => (
                "TLSの先にHTTP/2がありません。central.address が別のサービスを指していないか、間に中継装置がないか確かめてください。".into(),
                "HTTP/2 is not spoken behind TLS; check that central.address names the right service and that no proxy is in between".into(),
            ),
            Self::NoService => (
                "接続先に資格確認のサービスがありません。central.address を確かめてください。".into(),
                "there is no eligibility service at the other end; check central.address".into(),
            ),
            Self::NotAccepted(code) => (
                format!("資格確認システムがこの施設を受け付けません({code})。施設の登録を窓口に確かめてください。"),
                format!("the central system does not accept this gateway ({code}); ask its help line about the registration of the site"),
            ),
            Self::Failing(code) => (
                format!("資格確認システムが応答に失敗しています({code})。続くときは窓口に連絡してください。"),
                format!("the central system fails at a plain call ({code}); call its help line if this goes on"),
            ),
            Self::OurCertificateExpired(ended) => (
                format!("この施設の証明書の期限が切れています({})。新しい証明書と鍵を central.certificate_file と central.key_file に置いてください。", ended.ja),
                format!("the central system refuses this gateway: our certificate expired {}; put a new one with its key to central.certificate_file and central.key_file", ended.en),
            ),
            Self::OurCertificateRevoked => (
                "この施設の証明書は失効しているとして拒否されました。心当たりがなければ窓口に連絡し、新しい証明書を受け取ってください。".into(),
                "the central system refuses this gateway: our certificate has been revoked; call its help line and install a new certificate".into(),
            ),
            Self::OurAuthorityUnknown => (
                "この施設の証明書の発行元を相手が知りません。central.certificate_file が正しい証明書か確かめてください。".into(),
                "the central system refuses this gateway: it does not know the authority of our certificate; check that central.certificate_file is the right one".into(),
            ),
            Self::OurCertificateRefused(alert) => (
                format!("この施設の証明書が拒否されました({alert})。central.certificate_file と施設の登録を確かめてください。"),
                format!("the central system refuses this gateway: it does not take our certificate ({alert}); check central.certificate_file and the registration of the site"),
            ),
            Self::OurCrlExpired(said) | Self::OurCrlSilent(said) | Self::OurCrlUnfit(said) => {
                (said.ja.clone(), said.en.clone())
            }
            Self::TheirCertificateExpired => (
                "相手の証明書の期限が切れています。この端末の時計が合っていれば相手の問題です。窓口に連絡してください。".into(),
                "the server's certificate has expired; if this machine's clock is right call the central system's help line".into(),
            ),
            Self::TheirCertificateNotYetValid => (
                "相手の証明書の有効期間がまだ始まっていません。この端末の時計を確かめてください。".into(),
                "the server's certificate is not valid yet; check this machine's clock".into(),
            ),
            Self::TheirAuthorityUnknown => (
                "相手の証明書の発行元が違います。central.ca_file が正しいか、接続先が正しいか確かめてください。".into(),
                "the server's certificate is of another authority; check that central.ca_file is the right one and that central.address is the central system".into(),
            ),
            Self::TheirCertificateRevoked => (
                "相手の証明書は失効しています。接続しません。窓口に連絡してください。".into(),
                "the server's certificate has been revoked, so nothing is sent to it; call the central system's help line".into(),
            ),
            Self::TheirName(names) => (
                format!("相手の証明書の名前が違います({names})。central.server_name と接続先を確かめてください。"),
                format!("the server's certificate is for another name ({names}); check central.server_name and central.address"),
            ),
            Self::TheirCertificate(why) => (
                format!("相手の証明書を使えません({why})。窓口に連絡してください。"),
                format!("the server's certificate cannot be used ({why}); call the central system's help line"),
            ),
            Self::Alert(alert) => (
                format!("相手がTLSの接続を断りました({alert})。相手がTLS 1.3に対応しているか、central.server_name が正しいか確かめてください。"),
                format!("the other side declined TLS ({alert}); check that it speaks TLS 1.3 and that central.server_name is right"),
            ),
            Self::ClosedInHandshake => (
                "TLSの途中で接続が切れました。相手がTLSで待ち受けているか、間の装置が切っていないか確かめてください。".into(),
                "the connection was closed within the TLS handshake; check that the other side speaks TLS and that nothing in between cuts it".into(),
            ),
            Self::NotTls(why) => (
                format!("相手がTLSを話していません({why})。central.address のポートを確かめてください。"),
                format!("the other side does not speak TLS ({why}); check the port of central.address"),
            ),
        };
        Said::new(ja, en)
    }

    /// Whether the peer, after the handshake, declined our certificate.
    pub(super) fn is_about_our_certificate(&self) -> bool {
        matches!(
            self,
            Self::OurCertificateExpired(_)
                | Self::OurCertificateRevoked
                | Self::OurAuthorityUnknown
                | Self::OurCertificateRefused(_)
        )
    }

    /// Whether this is about requests: a connection, and a ping that is answered over it, do not disprove it.
    pub(super) fn is_about_requests(&self) -> bool {
        matches!(self, Self::Unanswered | Self::NotAccepted(_) | Self::NoService | Self::Unavailable)
    }

    /// Whether this stands for a peer that may not be talked to any more, whatever worked before.
    pub(super) fn forbids_the_peer(&self) -> bool {
        matches!(self, Self::TheirCertificateRevoked)
    }

    /// What the connection attempt to `at` failed with.
    pub(super) fn tcp(at: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::NobodyListens(at.to_owned()),
            io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable => Self::Silent(at.to_owned()),
            _ => Self::Network(error.to_string()),
        }
    }

    /// What a TLS handshake, or the first use of its connection, failed with.
    pub(super) fn tls(error: &io::Error) -> Self {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::rustls(error);
        }
        match error.kind() {
            io::ErrorKind::TimedOut => Self::NotTls("no answer in time".into()),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                Self::ClosedInHandshake
            }
            _ => Self::NotTls(error.to_string()),
        }
    }

    fn rustls(error: &rustls::Error) -> Self {
        use rustls::CertificateError as Certificate;
        let rustls::Error::InvalidCertificate(invalid) = error else {
            return match error {
                rustls::Error::AlertReceived(alert) => {
                    let alert = format!("{alert:?}");
                    Self::certificate_alert(&alert).unwrap_or(Self::Alert(alert))
                }
                rustls::Error::InvalidCertRevocationList(unfit) => Self::OurCrlUnfit(Said::new(
                    format!(
                        "失効リストを使えません({unfit:?})。相手の証明書の認証局が出した完全なリストを central.crl_file に置いてください。"
                    ),
                    format!(
                        "a revocation list cannot be used ({unfit:?}); put the complete list of the authority of the server's certificate to central.crl_file"
                    ),
                )),
                other => Self::NotTls(other.to_string()),
            };
        };
        match invalid {
            Certificate::Expired | Certificate::ExpiredContext { .. } => Self::TheirCertificateExpired,
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => Self::TheirCertificateNotYetValid,
            Certificate::Revoked => Self::TheirCertificateRevoked,
            Certificate::UnknownIssuer => Self::TheirAuthorityUnknown,
            Certificate::Other(other) if let Some(unfit) = other.0.downcast_ref() => match unfit {
                ListsUnfit::Silent(said) => Self::OurCrlSilent(said.clone()),
                ListsUnfit::Expired(said) => Self::OurCrlExpired(said.clone()),
                ListsUnfit::Foreign(said) => Self::OurCrlUnfit(said.clone()),
            },
            Certificate::NotValidForName => Self::TheirName("it names none".into()),
            Certificate::NotValidForNameContext { expected, presented } => {
                Self::TheirName(format!("wanted {}, found {}", expected.to_str(), presented.join(", ")))
            }
            other => Self::TheirCertificate(other.to_string()),
        }
    }

    /// What the peer has against our certificate, by the name of the TLS alert that it sent; `None` when it is about something
    /// else.
    pub(super) fn certificate_alert(alert: &str) -> Option<Self> {
        match alert {
            "CertificateExpired" => Some(Self::OurCertificateExpired(Said::new("相手の判定", "in its eyes"))),
            "CertificateRevoked" => Some(Self::OurCertificateRevoked),
            "UnknownCA" => Some(Self::OurAuthorityUnknown),
            "BadCertificate"
            | "UnsupportedCertificate"
            | "CertificateUnknown"
            | "CertificateRequired"
            | "AccessDenied" => Some(Self::OurCertificateRefused(alert.to_owned())),
            _ => None,
        }
    }
}

fn apart(seconds: i64) -> (String, String) {
    let size = Duration::from_secs(seconds.unsigned_abs());
    let (ja, en) = if seconds > 0 { ("進んで", "ahead of") } else { ("遅れて", "behind") };
    (
        format!(
            "資格確認システムの時計がこの端末より{}秒{ja}います。この端末の時刻同期を確かめてください。",
            size.as_secs()
        ),
        format!("the central system's clock is {} s {en} ours; check the time daemon of this machine", size.as_secs()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{AlertDescription, CertificateError as Certificate, Error};

    fn of(error: Error) -> LineFault {
        LineFault::tls(&io::Error::other(error))
    }

    #[test]
    fn tls_says_whose_fault_it_is() {
        let theirs = |error| of(Error::InvalidCertificate(error));
        assert_eq!(theirs(Certificate::Expired), LineFault::TheirCertificateExpired);
        assert_eq!(theirs(Certificate::UnknownIssuer), LineFault::TheirAuthorityUnknown);
        assert_eq!(theirs(Certificate::Revoked), LineFault::TheirCertificateRevoked);
        let lists = |unfit| theirs(Certificate::Other(rustls::OtherError(std::sync::Arc::new(unfit))));
        let said = || Said::new("x", "x");
        assert_eq!(lists(ListsUnfit::Silent(said())), LineFault::OurCrlSilent(said()));
        assert_eq!(lists(ListsUnfit::Expired(said())), LineFault::OurCrlExpired(said()));
        assert_eq!(lists(ListsUnfit::Foreign(said())), LineFault::OurCrlUnfit(said()));
        let unread = of(Error::InvalidCertRevocationList(rustls::CertRevocationListError::ParseError));
        assert!(matches!(&unread, LineFault::OurCrlUnfit(said) if said.ja.contains("central.crl_file")));
        assert!(matches!(theirs(Certificate::NotValidForName), LineFault::TheirName(_)));
        assert!(matches!(theirs(Certificate::BadSignature), LineFault::TheirCertificate(_)));
        let alert = |alert| of(Error::AlertReceived(alert));
        assert!(matches!(alert(AlertDescription::CertificateExpired), LineFault::OurCertificateExpired(_)));
        assert_eq!(alert(AlertDescription::CertificateRevoked), LineFault::OurCertificateRevoked);
        assert_eq!(alert(AlertDescription::UnknownCA), LineFault::OurAuthorityUnknown);
        assert!(matches!(alert(AlertDescription::CertificateRequired), LineFault::OurCertificateRefused(_)));
        assert!(matches!(alert(AlertDescription::ProtocolVersion), LineFault::Alert(_)));
        assert_eq!(LineFault::tls(&io::ErrorKind::UnexpectedEof.into()), LineFault::ClosedInHandshake);
        assert!(matches!(of(Error::HandshakeNotComplete), LineFault::NotTls(_)));
    }

    #[test]
    fn every_fault_has_words_of_its_own_in_both_languages_and_says_what_to_do() {
        let text = || "x".to_owned();
        let all = [
            LineFault::Name { host: text(), why: text() },
            LineFault::NobodyListens(text()),
            LineFault::Silent(text()),
            LineFault::Network(text()),
            LineFault::OurFiles(Said::new("証明書を読めません。直してください。", "cannot read it; mend it")),
            LineFault::OurCertificateExpired(Said::new("x", "x")),
            LineFault::OurCertificateRevoked,
            LineFault::OurAuthorityUnknown,
            LineFault::OurCertificateRefused(text()),
            LineFault::OurCrlExpired(Said::new(
                "期限切れです。置いてください。",
                "it is out of date; put a new one there",
            )),
            LineFault::OurCrlSilent(Said::new("どれも対象外です。置いてください。", "none covers it; put one there")),
            LineFault::OurCrlUnfit(Said::new("使えません。置いてください。", "it is unfit; put another one there")),
            LineFault::TheirCertificateExpired,
            LineFault::TheirCertificateNotYetValid,
            LineFault::TheirAuthorityUnknown,
            LineFault::TheirCertificateRevoked,
            LineFault::TheirName(text()),
            LineFault::TheirCertificate(text()),
            LineFault::Alert(text()),
            LineFault::NotTls(text()),
            LineFault::ClosedInHandshake,
            LineFault::NoHttp2,
            LineFault::NoService,
            LineFault::Unavailable,
            LineFault::NoAnswer,
            LineFault::Unanswered,
            LineFault::Broke(text()),
            LineFault::Busy,
            LineFault::NotAccepted(text()),
            LineFault::Failing(text()),
            LineFault::ClocksApart(61),
            LineFault::ClocksApart(-61),
        ];
        let said: std::collections::BTreeSet<String> = all.iter().map(|fault| fault.said().en).collect();
        assert_eq!(said.len(), all.len(), "two faults say the same");
        for fault in &all {
            let Said { ja, en } = fault.said();
            assert!(en.contains("; ") && !en.ends_with('.'), "nothing to do: {en}");
            assert!(ja.ends_with('。') && ja.matches('。').count() >= 2, "nothing to do: {ja}");
            assert_eq!(fault.to_string(), en);
        }
    }
}
