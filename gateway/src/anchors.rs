//! The authorities of the cards' certificates.
//!
//! Promises:
//! * A file that cannot be used closes nothing: the authorities of the other files hold, and the file is tried again until it is good.
//! * While one is missing, a card that no other authority issued is received as unchecked: it may be of the missing one. The central
//!   system checks every card's certificate again.

use crate::config;
use crate::encoding::{self, Content};
use crate::health::Health;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use uketsuke_card::{AuthCertificate, ChainError, TrustAnchors};

/// Between tries while a file cannot be used.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// The part of the health report.
const PART: &str = "card anchors";

/// Whether a card was issued by an authority that is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// It was.
    Trusted,
    /// It cannot be said: an authority's file cannot be used.
    Unchecked,
    /// It was not.
    Untrusted(ChainError),
}

/// The authorities that can be used at the moment. Clones stay one.
#[derive(Clone)]
pub struct CardAnchors(Arc<RwLock<Read>>);

struct Read {
    usable: Option<TrustAnchors>,
    wrong: Vec<String>,
}

impl CardAnchors {
    /// Reads every file.
    pub fn read(card: &config::Card) -> Self {
        Self(Arc::new(RwLock::new(read(card))))
    }

    /// Judges a card by the authorities that can be used.
    pub fn judge(&self, certificate: &AuthCertificate, now_ms: i64) -> Judged {
        let read = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let chain = match &read.usable {
            Some(anchors) => anchors.verify_chain(certificate, now_ms),
            None => Err(ChainError::UnknownIssuer),
        };
        match chain {
            Ok(()) => Judged::Trusted,
            Err(ChainError::UnknownIssuer | ChainError::NotSignedByIssuer) if !read.wrong.is_empty() => {
                Judged::Unchecked
            }
            Err(error) => Judged::Untrusted(error),
        }
    }

    /// What is wrong with the files, in words; `None` when each can be used.
    pub fn wrong(&self) -> Option<String> {
        let read = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (!read.wrong.is_empty()).then(|| read.wrong.join("; "))
    }

    /// Says what is wrong and tries again until every file is good.
    pub fn keep_trying(self, card: config::Card, health: Health) {
        let Some(mut said) = self.wrong() else { return };
        let tell = move |wrong: &str| {
            tracing::error!(wrong, "authorities of cards cannot be used");
            health.tell(PART, false, format!("{wrong}; cards are received unchecked until then"));
            health.clone()
        };
        let health = tell(&said);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(TRY_AGAIN).await;
                let read = read(&card);
                let wrong = (!read.wrong.is_empty()).then(|| read.wrong.join("; "));
                *self.0.write().unwrap_or_else(PoisonError::into_inner) = read;
                match wrong {
                    None => {
                        tracing::info!("every authority of the cards can be used");
                        health.tell(PART, true, "every authority of the cards can be used".into());
                        return;
                    }
                    Some(wrong) if wrong != said => {
                        tell(&wrong);
                        said = wrong;
                    }
                    Some(_) => {}
                }
            }
        });
    }
}

fn read(card: &config::Card) -> Read {
    let (mut good, mut wrong) = (Vec::new(), Vec::new());
    for path in &card.trust_anchors {
        match ders(path).and_then(|ders| match TrustAnchors::from_ders(&ders) {
            Ok(_) => Ok(ders),
            Err(error) => Err(error.to_string()),
        }) {
            Ok(ders) => good.extend(ders),
            Err(why) => wrong.push(format!("cannot use {} (card.trust_anchors): {why}", path.display())),
        }
    }
    let usable = if good.is_empty() {
        None
    } else {
        TrustAnchors::from_ders(good).map_err(|error| wrong.push(error.to_string())).ok()
    };
    Read { usable, wrong }
}

fn ders(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{error}; check the path and its permissions"))?;
    let fix = |what: String| format!("{what}; put the authority's certificate there");
    match encoding::content(&bytes, &["CERTIFICATE"]).map_err(|said| fix(said.en))? {
        Content::Der(der) => Ok(vec![der.to_vec()]),
        Content::Pem(pem) => CertificateDer::pem_slice_iter(pem)
            .map(|der| der.map(|der| der.to_vec()))
            .collect::<Result<_, _>>()
            .map_err(|error| fix(format!("its PEM is damaged: {error}"))),
    }
}
