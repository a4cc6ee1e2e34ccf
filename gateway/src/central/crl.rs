//! Revocation lists, judged before they are used.
//!
//! Promises:
//! * Of several lists of one authority and scope the newest counts, in whatever order they stand.
//! * A server that any list of its authority calls revoked is refused, whichever of them TLS would look at.
//! * A list that TLS could not judge, or that no authority of ours signed, is refused with its place, the reason and what to do.

use super::fault::Said;
use super::material::{day, ms};
use super::tls::TlsError;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use std::collections::BTreeMap;
use std::path::Path;
use x509_parser::extensions::{DistributionPointName, GeneralName, IssuingDistributionPoint, ParsedExtension};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

/// Which key signed a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(super) enum Signer {
    /// The public key of an authority of ours, which verifies it.
    Seen(Vec<u8>),
    /// That of another authority: no more than the name that the list itself gives it (RFC 5280, 5.2.1); empty without one.
    Claimed(Vec<u8>),
}

/// Which certificates a list speaks about: its issuer's name, its signer, and its issuing distribution point as it stands in the list.
pub(super) type Scope = (Vec<u8>, Signer, Vec<u8>);

/// How new a list is: its number (RFC 5280, 5.2.3), and when it was made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(super) struct Rank {
    /// Length first, so that big-endian digits compare as numbers.
    digits: usize,
    number: Vec<u8>,
    made_ms: i64,
}

/// A list with its place in the file, counted from 1.
pub(super) type Placed = (usize, CertificateRevocationListDer<'static>);

/// The lists that count.
#[derive(Clone)]
pub(super) struct Lists {
    /// All of them, in as many orders as one issuer has lists. TLS looks at the first of an issuer that speaks about a certificate; each
    /// is the first in one order.
    pub(super) orders: Vec<Vec<CertificateRevocationListDer<'static>>>,
    /// The place in the file of each list of the first order, counted from 1.
    pub(super) numbers: Vec<usize>,
    /// The first end.
    pub(super) end_ms: i64,
    /// How new each is.
    pub(super) ranks: BTreeMap<Scope, Rank>,
}

/// Judges the lists of a file; there is at least one. `library` says what TLS itself has against a list.
pub(super) fn judge(
    found: Vec<CertificateRevocationListDer<'static>>,
    authorities: &[CertificateDer<'_>],
    path: &Path,
    library: impl Fn(&CertificateRevocationListDer<'static>) -> Result<(), String>,
) -> Result<Lists, TlsError> {
    let mut newest: BTreeMap<Scope, (Rank, i64, usize)> = BTreeMap::new();
    for (index, der) in found.iter().enumerate() {
        let number = index + 1;
        let refuse =
            |issuer: &str, why| TlsError::Crl { path: path.to_owned(), number, issuer: issuer.to_owned(), why };
        let Ok(([], list)) = CertificateRevocationList::from_der(der) else {
            return Err(refuse("", Said::new("中身が失効リストではありません", "does not parse as a revocation list")));
        };
        let issuer = list.issuer().to_string();
        let (scope, end_s) = fit(&list, authorities).map_err(|why| refuse(&issuer, why))?;
        library(der).map_err(|why| {
            let ja = format!("照合できない形式です({why})。完全な失効リストを置いてください");
            refuse(
                &issuer,
                Said::new(ja, format!("is of a form that cannot be judged ({why}); put a complete list there")),
            )
        })?;
        let rank = rank(&list);
        let place = newest.entry(scope).or_insert_with(|| (rank.clone(), end_s, index));
        if place.0 < rank {
            *place = (rank, end_s, index);
        }
    }
    let end_ms = newest.values().map(|(_, end_s, _)| ms(*end_s)).min().unwrap_or_default();
    let mut by_issuer: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
    for ((issuer, ..), (_, _, index)) in &newest {
        by_issuer.entry(issuer).or_default().push(*index);
    }
    let most = by_issuer.values().map(Vec::len).max().unwrap_or_default();
    let order = |first: usize| {
        let rotated = by_issuer.values().map(|lists| lists.iter().cycle().skip(first % lists.len()).take(lists.len()));
        rotated.flatten().copied().collect::<Vec<_>>()
    };
    let ders = |order: Vec<usize>| order.into_iter().filter_map(|index| found.get(index).cloned()).collect();
    Ok(Lists {
        orders: (0..most).map(|first| ders(order(first))).collect(),
        numbers: order(0).into_iter().map(|index| index + 1).collect(),
        end_ms,
        ranks: newest.into_iter().map(|(scope, (rank, ..))| (scope, rank)).collect(),
    })
}

impl Lists {
    /// Each once, with its place in the file.
    pub(super) fn placed(&self) -> Vec<Placed> {
        self.numbers.iter().copied().zip(self.ders().iter().cloned()).collect()
    }

    /// Each once.
    pub(super) fn ders(&self) -> &[CertificateRevocationListDer<'static>] {
        self.orders.first().map(Vec::as_slice).unwrap_or_default()
    }
}

/// Whether an authority of ours is seen to have signed the list.
pub(super) fn is_signed((_, signer, _): &Scope) -> bool {
    matches!(signer, Signer::Seen(_))
}

/// What a list that was judged before speaks about.
pub(super) fn scope(der: &[u8], authorities: &[CertificateDer<'_>]) -> Option<Scope> {
    let (_, list) = CertificateRevocationList::from_der(der).ok()?;
    Some(fit(&list, authorities).ok()?.0)
}

/// What is wrong with lists of which one is older than the newest that was ever accepted: it may lack what was revoked since.
pub(super) fn older(ranks: &BTreeMap<Scope, Rank>, newest: &BTreeMap<Scope, Rank>) -> Option<Said> {
    let (rank, known) = ranks.iter().find_map(|(scope, rank)| {
        let known = newest.get(scope).filter(|known| *known > rank)?;
        Some((rank, known))
    })?;
    let (this, that) = (day(rank.made_ms), day(known.made_ms));
    Some(Said::new(
        format!(
            "失効リスト({this} 作成)は、以前に使ったもの({that} 作成)より古いため使いません。最新のものを central.crl_file に置いてください。"
        ),
        format!(
            "the revocation list of {this} is older than one that was in use before, of {that}, so it is not used; put the newest to central.crl_file"
        ),
    ))
}

fn rank(list: &CertificateRevocationList<'_>) -> Rank {
    let number = list.crl_number().map(|number| number.to_bytes_be()).unwrap_or_default();
    Rank { digits: number.len(), number, made_ms: ms(list.last_update().timestamp()) }
}

/// What the list speaks about and when it ends, once TLS can judge it.
fn fit(list: &CertificateRevocationList<'_>, authorities: &[CertificateDer<'_>]) -> Result<(Scope, i64), Said> {
    // A list without a next one cannot grow old, so a list that is not renewed would go unnoticed.
    let end = list.next_update().ok_or_else(|| {
        Said::new(
            "次の更新日時がありません。次の更新日時のあるリストを置いてください",
            "has no date of its next update; ask the authority for a list with one",
        )
    })?;
    let mut point: &[u8] = &[];
    for extension in list.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::IssuingDistributionPoint(found) => {
                point = extension.value;
                judgeable(found)?;
            }
            ParsedExtension::CRLNumber(_) | ParsedExtension::AuthorityKeyIdentifier(_) => {}
            _ if extension.critical => {
                let what = extension.oid.to_id_string();
                // 2.5.29.27: a list that only tells what changed since another one.
                let delta = if what == "2.5.29.27" { "a delta list, " } else { "" };
                return Err(Said::new(
                    format!("扱えない必須の拡張({what})があります。完全な失効リストを置いてください"),
                    format!(
                        "is {delta}with a critical extension that cannot be judged ({what}); put a complete list there"
                    ),
                ));
            }
            _ => {}
        }
    }
    let signer = signed(list, authorities)?;
    Ok(((list.issuer().as_raw().to_vec(), signer, point.to_vec()), end.timestamp()))
}

fn judgeable(point: &IssuingDistributionPoint<'_>) -> Result<(), Said> {
    let (ja, en) = if point.indirect_crl {
        ("間接失効リストです", "is an indirect list")
    } else if point.only_contains_attribute_certs {
        ("属性証明書だけのリストです", "is for attribute certificates alone")
    } else if point.only_some_reasons.is_some() {
        ("一部の理由の失効だけのリストです", "tells revocations for some reasons only")
    } else if !matches!(point.distribution_point, Some(DistributionPointName::FullName(_))) {
        (
            "対象の限られたリストですが、配布点の完全な名前がありません",
            "is for some certificates only and has no distribution point with a full name",
        )
    } else {
        return Ok(());
    };
    Err(Said::new(
        format!("{ja}。サーバー証明書の認証局が自ら出す完全なリストを置いてください"),
        format!(
            "{en}, which cannot be judged; put the complete list that the authority of the server's certificate issues itself"
        ),
    ))
}

/// The key that signed a list. Lists of authorities that are not ours, such as those between ours and the server, are judged with the
/// server's certificate; the name of their key is all that tells them apart.
fn signed(list: &CertificateRevocationList<'_>, authorities: &[CertificateDer<'_>]) -> Result<Signer, Said> {
    let parsed = authorities.iter().filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1));
    let mut named = parsed.filter(|authority| authority.subject() == list.issuer()).peekable();
    if named.peek().is_none() {
        let name = list.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(found) => Some(found.key_identifier.as_ref()?.0.to_vec()),
            _ => None,
        });
        return Ok(Signer::Claimed(name.unwrap_or_default()));
    }
    if let Some(authority) = named.find(|authority| list.verify_signature(authority.public_key()).is_ok()) {
        return Ok(Signer::Seen(authority.public_key().raw.to_vec()));
    }
    Err(Said::new(
        "同じ名前の別の鍵で署名されています。central.ca_file の認証局が出したリストを置くか、その認証局の新しい証明書を central.ca_file に加えてください",
        "is signed by another key of the same name; put the list there that the authority in central.ca_file issued, or add the \
         authority's new certificate to central.ca_file",
    ))
}

/// What lists have to do with a server's certificate that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// They are past their end.
    Expired,
    /// Another key signed them than the one that signed the certificate.
    Foreign,
}

/// Names the lists of the authority of a server's certificate, what is wrong with them, and what to do.
pub(super) fn unfit(lists: &[Placed], server: &CertificateDer<'_>, now_ms: i64, why: Unfit) -> Said {
    let parsed =
        lists.iter().filter_map(|(number, der)| Some((number, CertificateRevocationList::from_der(der).ok()?.1)));
    let parsed: Vec<_> = parsed.collect();
    let issuer = X509Certificate::from_der(server).ok().map(|(_, certificate)| certificate.issuer().as_raw().to_vec());
    let end = |list: &CertificateRevocationList<'_>| list.next_update().map_or(i64::MAX, |end| ms(end.timestamp()));
    let wrong = |list: &CertificateRevocationList<'_>| why == Unfit::Foreign || end(list) <= now_ms;
    let of_the_issuer = |list: &CertificateRevocationList<'_>| issuer.as_deref() == Some(list.issuer().as_raw());
    let mut of: Vec<_> = parsed.iter().filter(|(_, list)| of_the_issuer(list) && wrong(list)).collect();
    if of.is_empty() {
        // Of an authority between ours and the server.
        of = parsed.iter().filter(|(_, list)| wrong(list)).collect();
    }
    let told: Vec<_> =
        of.iter().map(|(number, list)| format!("{number}: {}, {}", list.issuer(), day(end(list)))).collect();
    let told = told.join("; ");
    match why {
        Unfit::Expired => Said::new(
            format!(
                "失効リストの期限が切れています({told} まで)。新しい失効リストを central.crl_file に置いてください。"
            ),
            format!("our revocation list is out of date ({told}); put a new one to central.crl_file"),
        ),
        Unfit::Foreign => Said::new(
            format!(
                "失効リスト({told} まで)は、相手の証明書を発行した鍵とは別の、同じ名前の鍵で署名されています。相手の証明書の認証局が出した完全なリストを central.crl_file に置いてください。"
            ),
            format!(
                "a revocation list ({told}) is not signed by the key that signed the server's certificate, but by another key of the same name; \
                 put the complete list of the authority of the server's certificate to central.crl_file"
            ),
        ),
    }
}

/// Why no list covers a server's certificate, as far as the lists tell.
pub(super) fn silent(lists: &[Placed], server: &CertificateDer<'_>) -> Said {
    let issuer = X509Certificate::from_der(server).ok().map(|(_, certificate)| certificate.issuer().to_string());
    let mut told = Vec::new();
    let mut by_name = false;
    for (number, der) in lists {
        let Ok((_, list)) = CertificateRevocationList::from_der(der) else { continue };
        let point = list.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::IssuingDistributionPoint(found) => Some(found),
            _ => None,
        });
        let mut of = list.issuer().to_string();
        if let Some(point) = point {
            if matches!(&point.distribution_point, Some(DistributionPointName::FullName(names)) if !names.iter().any(|name| matches!(name, GeneralName::URI(_))))
            {
                by_name = true;
                of.push_str(", distribution point by directory name");
            }
            if point.only_contains_user_certs {
                of.push_str(", for users' certificates only");
            }
            if point.only_contains_ca_certs {
                of.push_str(", for authorities' certificates only");
            }
        }
        told.push(format!("{number}: {of}"));
    }
    let (told, issuer) = (told.join("; "), issuer.unwrap_or_default());
    let (ja, en) = if by_name {
        (
            "配布点が名前(directoryName)で書かれたリストは照合できません。配布点のない、またはURIの配布点のリストを置いてください",
            "a distribution point by directory name cannot be compared; put a list there without a distribution point, or with its URI",
        )
    } else {
        (
            "相手の証明書の発行元のリストを置いてください",
            "put the list of the authority of the server's certificate there",
        )
    };
    Said::new(
        format!(
            "失効リスト({told})のどれも相手の証明書(発行元 {issuer})を対象にしていません。central.crl_file: {ja}。"
        ),
        format!(
            "none of the revocation lists ({told}) covers the server's certificate, issued by {issuer}; central.crl_file: {en}"
        ),
    )
}
