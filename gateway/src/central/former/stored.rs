//! The kept material as bytes, and what is still good of it.

use crate::central::crl::{self, Lists};
use crate::central::files::{Pair, Parts};
use crate::central::material::{self, ms};
use crate::central::tls::FileKind;
use crate::central::verifier;
use crate::config;
use prost::Message;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::path::Path;
use uketsuke_core::former::Kept;
use zeroize::{Zeroize, Zeroizing};

/// Of this form; a later one may hold something else.
const FORM: u32 = 1;

/// DER throughout. The key does not print.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct Stored {
    #[prost(uint32, tag = "1")]
    form: u32,
    #[prost(bytes = "vec", repeated, tag = "2")]
    chain: Vec<Vec<u8>>,
    /// PKCS#8.
    #[prost(bytes = "vec", tag = "3")]
    key: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    authorities: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    lists: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stored")
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// A part of it.
pub(super) enum Held<T> {
    Nothing,
    /// It ended then.
    Ended(i64),
    /// It ends then.
    Valid(T, i64),
}

impl<T> Held<T> {
    fn until(part: T, end_ms: i64, now_ms: i64) -> Self {
        if end_ms <= now_ms { Self::Ended(end_ms) } else { Self::Valid(part, end_ms) }
    }

    pub(super) fn kind(&self) -> Kept {
        match self {
            Self::Nothing => Kept::Nothing,
            Self::Ended(_) => Kept::Ended,
            Self::Valid(..) => Kept::Valid,
        }
    }

    pub(super) fn ended_ms(&self) -> i64 {
        match self {
            Self::Ended(end_ms) | Self::Valid(_, end_ms) => *end_ms,
            Self::Nothing => 0,
        }
    }
}

impl Stored {
    pub(super) fn of(parts: &Parts) -> Self {
        let bytes = |ders: &[CertificateDer<'static>]| ders.iter().map(|der| der.to_vec()).collect();
        Self {
            form: FORM,
            chain: bytes(&parts.pair.chain),
            key: parts.pair.key.secret_der().to_vec(),
            authorities: bytes(&parts.authorities),
            lists: parts.lists.iter().flat_map(|lists| lists.ders().iter().map(|der| der.to_vec())).collect(),
        }
    }

    /// The rest of it with another pair.
    pub(super) fn with_pair_of(mut self, other: &Self) -> Self {
        self.key.zeroize();
        (self.chain, self.key) = (other.chain.clone(), other.key.clone());
        self
    }

    /// Whether both hold the same pair.
    pub(super) fn has_pair_of(&self, other: &Self) -> bool {
        (&self.chain, &self.key) == (&other.chain, &other.key)
    }

    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        // An empty value would not be one.
        let mut whole = self.clone();
        whole.form = FORM;
        Zeroizing::new(whole.encode_to_vec())
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        <Self as Message>::decode(bytes).ok().filter(|stored| stored.form == FORM)
    }

    pub(super) fn pair(&self, central: &config::Central, now_ms: i64) -> Held<Pair> {
        if self.chain.is_empty() {
            return Held::Nothing;
        }
        let chain = self.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        match Pair::of(chain, key, central) {
            Ok(pair) => {
                let until_ms = pair.until_ms;
                Held::until(pair, until_ms, now_ms)
            }
            Err(_) => Held::Nothing,
        }
    }

    /// Those that are still valid.
    pub(super) fn authorities(&self, now_ms: i64) -> Held<Vec<CertificateDer<'static>>> {
        let dated = self.authorities.iter().filter_map(|der| {
            let der = CertificateDer::from(der.clone());
            let end_s = material::certificate(&der, FileKind::Authority, Path::new("")).ok()?.validity().not_after;
            Some((ms(end_s.timestamp()), der))
        });
        let (valid, ended): (Vec<_>, Vec<_>) = dated.partition(|(end_ms, _)| *end_ms > now_ms);
        match valid.iter().map(|(end_ms, _)| *end_ms).min() {
            Some(end_ms) => Held::Valid(valid.into_iter().map(|(_, der)| der).collect(), end_ms),
            None => ended.into_iter().map(|(end_ms, _)| end_ms).max().map_or(Held::Nothing, Held::Ended),
        }
    }

    pub(super) fn lists(
        &self,
        authorities: &[CertificateDer<'static>],
        central: &config::Central,
        now_ms: i64,
    ) -> Held<Lists> {
        if self.lists.is_empty() {
            return Held::Nothing;
        }
        let ders = self.lists.iter().map(|der| CertificateRevocationListDer::from(der.clone())).collect();
        match verifier::judge(ders, authorities, central) {
            Ok(lists) => {
                let end_ms = lists.end_ms;
                Held::until(lists, end_ms, now_ms)
            }
            Err(_) => Held::Nothing,
        }
    }

    /// Returns whether anything was dropped.
    pub(super) fn drop_authorities_but(&mut self, found: &[CertificateDer<'static>]) -> bool {
        let before = self.authorities.len();
        self.authorities.retain(|kept| found.iter().any(|found| found.as_ref() == kept.as_slice()));
        self.authorities.len() < before
    }

    /// Returns whether anything was dropped.
    pub(super) fn drop_lists_but(&mut self, found: &Lists, authorities: &[CertificateDer<'_>]) -> bool {
        let before = self.lists.len();
        self.lists.retain(|kept| crl::scope(kept, authorities).is_some_and(|scope| found.ranks.contains_key(&scope)));
        self.lists.len() < before
    }
}
