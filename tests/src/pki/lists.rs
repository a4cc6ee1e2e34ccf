//! Revocation lists in every form that authorities use. `openssl` makes them, because the crate that makes everything else here knows
//! distribution points by URI alone.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use time::OffsetDateTime;
use time::macros::format_description;

/// One list.
#[derive(Debug, Clone)]
pub struct List<'a> {
    /// Its number (RFC 5280, 5.2.3).
    pub number: u32,
    /// `thisUpdate`.
    pub made: OffsetDateTime,
    /// `nextUpdate`.
    pub ends: OffsetDateTime,
    /// Serials of revoked certificates, hexadecimal.
    pub revoked: &'a [String],
    /// The issuing distribution point, as lines of openssl.cnf; none when empty. A full name in it may be `dirName:name`, a relative
    /// one `relative`.
    pub point: &'a str,
    /// Further extensions, as lines of openssl.cnf.
    pub extensions: &'a str,
}

/// The list as PEM, signed by the authority with this certificate, whose key lies beside it with the ending `.key`.
pub(super) fn signed(authority: &Path, list: &List<'_>) -> Result<String> {
    let folder = tempfile::tempdir().context("a folder for openssl")?;
    let (dir, pem, key) = (folder.path(), authority.display(), authority.with_extension("key"));
    let point = if list.point.is_empty() { "" } else { "issuingDistributionPoint = critical, @point\n" };
    let config = format!(
        "[ca]\ndefault_ca = link\n[link]\ndatabase = {0}/index\ncrlnumber = {0}/number\ncertificate = {pem}\nprivate_key = {1}\n\
         default_md = sha256\ncrl_extensions = list\n[list]\nauthorityKeyIdentifier = keyid\n{point}{2}\n[point]\n{3}\n\
         [name]\nC = JP\nO = Uketsuke development\nCN = list 1\n[relative]\nCN = list 1\n",
        dir.display(),
        key.display(),
        list.extensions,
        list.point
    );
    let revoked: String = list
        .revoked
        .iter()
        .map(|serial| format!("R\t450101000000Z\t250101000000Z\t{}\tunknown\t/CN=x\n", serial.to_uppercase()))
        .collect();
    let number = format!("{:08X}\n", list.number);
    for (name, content) in [("config", config), ("index", revoked), ("number", number)] {
        std::fs::write(dir.join(name), content).with_context(|| format!("writing {name} for openssl"))?;
    }
    let stamp = |at: OffsetDateTime| at.format(format_description!("[year][month][day][hour][minute][second]Z"));
    let made = Command::new("openssl")
        .args(["ca", "-gencrl", "-config"])
        .arg(dir.join("config"))
        .args(["-crl_lastupdate", &stamp(list.made)?, "-crl_nextupdate", &stamp(list.ends)?])
        .stdin(Stdio::null())
        .output()
        .context("starting openssl; run deploy/setup --tests")?;
    ensure!(made.status.success(), "openssl made no list: {}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).context("openssl wrote no PEM")
}
