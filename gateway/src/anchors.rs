//! The authorities of the cards' certificates.
//!
//! Promises:
//! * A file that cannot be used closes nothing: the authorities of the other files hold, and the file is tried again until it is good.
//! * The authorities that the file last held are kept in the store and hold until their own end, or until a person ends it. What a good
//!   file lacks is not brought back.
//! * While one is missing, a card that no other authority issued is received as unchecked: it may be of the missing one. The central
//!   system checks every card's certificate again.

use crate::central::{Said, moment};
use crate::clock::Clock;
use crate::config;
use crate::encoding::{self, Content};
use crate::health::{Health, joined};
use crate::named_file::{self, BYTES_MAX, Unread};
use crate::store::{Keeping, KeptName, Store, StoreError};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use uketsuke_card::{AuthCertificate, ChainError, TrustAnchors};
use uketsuke_core::former::{self, Choice, Found, Kept};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

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

/// Certificates of authorities as DER, by the file that last held them.
type ByFile = BTreeMap<PathBuf, Vec<Vec<u8>>>;

/// The authorities that can be used at the moment. Clones stay one.
#[derive(Clone)]
pub struct CardAnchors(Arc<Shared>);

struct Shared {
    card: config::Card,
    clock: Clock,
    store: Option<Store>,
    read: RwLock<Read>,
}

#[derive(Default)]
struct Read {
    usable: Option<TrustAnchors>,
    wrong: Vec<Said>,
    /// What the files last held.
    held: ByFile,
    /// `held` as it is on disk.
    written: ByFile,
}

impl CardAnchors {
    /// Reads every file; nothing stands in for one that cannot be used.
    pub fn read(card: &config::Card, clock: &Clock) -> Self {
        Self::with(card, clock, None, ByFile::new())
    }

    /// Reads every file; what `store` keeps of one that cannot be used stands in for it.
    pub async fn read_with_former(card: &config::Card, clock: &Clock, store: &Store) -> Self {
        let kept = store.kept(KeptName::CardAnchors).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the former authorities of the cards cannot be read");
            None
        });
        let kept = kept.and_then(|value| serde_json::from_slice(&value).ok()).unwrap_or_default();
        Self::with(card, clock, Some(store.clone()), kept)
    }

    fn with(card: &config::Card, clock: &Clock, store: Option<Store>, kept: ByFile) -> Self {
        let mut read = Read { held: kept.clone(), written: kept, ..Read::default() };
        read.again(card, clock.stamp().wall_ms);
        Self(Arc::new(Shared { card: card.clone(), clock: clock.clone(), store, read: RwLock::new(read) }))
    }

    fn read_again(&self) {
        let now_ms = self.0.clock.stamp().wall_ms;
        self.0.read.write().unwrap_or_else(PoisonError::into_inner).again(&self.0.card, now_ms);
    }

    /// A person ends it: what is kept is deleted, and only the files count.
    ///
    /// # Errors
    /// The store's.
    pub async fn forget(&self) -> Result<(), StoreError> {
        self.0.read.write().unwrap_or_else(PoisonError::into_inner).held.clear();
        self.read_again();
        self.write().await
    }

    /// Keeps what the files hold, where that has changed.
    pub async fn save(&self) {
        if let Err(error) = self.write().await {
            tracing::warn!(%error, "the authorities of the cards cannot be kept for a start without their files");
        }
    }

    async fn write(&self) -> Result<(), StoreError> {
        let Some(store) = &self.0.store else { return Ok(()) };
        let held = {
            let read = self.0.read.read().unwrap_or_else(PoisonError::into_inner);
            if read.held == read.written {
                return Ok(());
            }
            read.held.clone()
        };
        // Bytes and the names of files: writing them cannot fail.
        let value = Zeroizing::new(serde_json::to_vec(&held).unwrap_or_default());
        store.keep(Keeping { name: KeptName::CardAnchors, value, trail: Vec::new() }).await?;
        self.0.read.write().unwrap_or_else(PoisonError::into_inner).written = held;
        Ok(())
    }

    /// Judges a card by the authorities that can be used.
    pub fn judge(&self, certificate: &AuthCertificate, now_ms: i64) -> Judged {
        let read = self.0.read.read().unwrap_or_else(PoisonError::into_inner);
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
    pub fn wrong(&self) -> Option<Said> {
        let read = self.0.read.read().unwrap_or_else(PoisonError::into_inner);
        (!read.wrong.is_empty()).then(|| joined(&read.wrong))
    }

    /// Says what is wrong and tries again until every file is good.
    pub fn keep_trying(self, health: Health) {
        let Some(mut said) = self.wrong() else { return };
        let tell = move |wrong: &Said| {
            tracing::error!(wrong = wrong.en, "authorities of cards cannot be used");
            let unchecked = Said::new(
                "それまで、知らない認証局のカードは確かめずに受け付けます",
                "cards of authorities that are not known are received unchecked until then",
            );
            health.tell(PART, false, joined(&[wrong.clone(), unchecked]));
            health.clone()
        };
        let health = tell(&said);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(TRY_AGAIN).await;
                self.read_again();
                self.save().await;
                match self.wrong() {
                    None => {
                        tracing::info!("every authority of the cards can be used");
                        let said = Said::new("すべて使えます", "every authority of the cards can be used");
                        health.tell(PART, true, said);
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

impl Read {
    fn again(&mut self, card: &config::Card, now_ms: i64) {
        let (mut good, mut wrong) = (Vec::new(), Vec::new());
        self.held.retain(|path, _| card.trust_anchors.contains(path));
        for path in &card.trust_anchors {
            let why = match ders(path).and_then(|ders| match TrustAnchors::from_ders(&ders) {
                Ok(_) => Ok(ders),
                Err(error) => Err(Said::new(format!("証明書が正しくありません: {error}"), error.to_string())),
            }) {
                Ok(ders) => {
                    good.extend(ders.clone());
                    self.held.insert(path.clone(), ders);
                    continue;
                }
                Err(why) => why,
            };
            let (kept, former, until_ms) = self.former(path, now_ms);
            let stands_in = match former::trust(Found::Unreadable, kept) {
                Choice::Former => {
                    good.extend(former);
                    let until = moment(until_ms);
                    (
                        format!("。以前の内容を、長くとも {until} まで使います"),
                        format!("; the former ones of it are used until {until} at the latest"),
                    )
                }
                Choice::Files | Choice::Nothing(_) => Default::default(),
            };
            let path = path.display();
            wrong.push(Said::new(
                format!("{path} (card.trust_anchors) を使えません({}){}", why.ja, stands_in.0),
                format!("cannot use {path} (card.trust_anchors): {}{}", why.en, stands_in.1),
            ));
        }
        self.usable = if good.is_empty() {
            None
        } else {
            TrustAnchors::from_ders(good)
                .map_err(|error| {
                    wrong.push(Said::new(format!("カードの認証局を使えません({error})"), error.to_string()))
                })
                .ok()
        };
        self.wrong = wrong;
    }

    /// What a file last held and is still valid, and until when the first of it is.
    fn former(&self, path: &Path, now_ms: i64) -> (Kept, Vec<Vec<u8>>, i64) {
        let held = self.held.get(path).map(Vec::as_slice).unwrap_or_default();
        let ends = held.iter().filter_map(|der| Some((end_ms(der)?, der.clone())));
        let valid: Vec<_> = ends.filter(|(end_ms, _)| *end_ms > now_ms).collect();
        match valid.iter().map(|(end_ms, _)| *end_ms).min() {
            Some(until_ms) => (Kept::Valid, valid.into_iter().map(|(_, der)| der).collect(), until_ms),
            None if held.is_empty() => (Kept::Nothing, Vec::new(), 0),
            None => (Kept::Ended, Vec::new(), 0),
        }
    }
}

fn end_ms(der: &[u8]) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.validity().not_after.timestamp().saturating_mul(1000))
}

fn ders(path: &Path) -> Result<Vec<Vec<u8>>, Said> {
    let fix = |what: Said| {
        Said::new(
            format!("{}。認証局の証明書を置いてください", what.ja),
            format!("{}; put the authority's certificate there", what.en),
        )
    };
    let bytes = named_file::read(path, BYTES_MAX).map_err(|unread| match unread {
        Unread::Io(source) => {
            let Said { ja, en } = named_file::of_system(&source);
            Said::new(
                format!("{ja}。場所と権限を確かめてください"),
                format!("{en}; check the path and its permissions"),
            )
        }
        Unread::Unfit(what) => fix(what),
    })?;
    match encoding::content(&bytes, &["CERTIFICATE"]).map_err(fix)? {
        Content::Der(der) => Ok(vec![der.to_vec()]),
        Content::Pem(pem) => CertificateDer::pem_slice_iter(&pem)
            .map(|der| der.map(|der| der.to_vec()))
            .collect::<Result<_, _>>()
            .map_err(|error| {
                fix(Said::new(format!("PEMが壊れています: {error}"), format!("its PEM is damaged: {error}")))
            }),
    }
}
