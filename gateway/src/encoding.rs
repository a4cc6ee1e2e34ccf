//! What a file holds where certificates, keys, lists or text are expected: read where there is one way to read it, told in words where
//! there is none.

use crate::central::Said;
use zeroize::Zeroizing;

/// A section of a PEM file begins with this, its label, and five more hyphens.
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
/// The end of one section and the beginning of the next in one line.
const GLUED: &str = "----------BEGIN ";
const UTF8_BOM: &[u8] = b"\xef\xbb\xbf";

/// PEM in the form that its reader knows, or one whole DER value.
pub enum Content<'a> {
    /// Text with at least one section of a wanted label, each line of it as it should be: what the reader does not take for the beginning
    /// of a section, it leaves out without a word. Keys pass through here.
    Pem(Zeroizing<Vec<u8>>),
    /// One value of ASN.1, as long as it says.
    Der(&'a [u8]),
}

/// Tells PEM from DER.
///
/// # Errors
/// Says what is there instead, and what is wanted.
pub fn content<'a>(bytes: &'a [u8], labels: &[&str]) -> Result<Content<'a>, Said> {
    let bytes = bytes.strip_prefix(UTF8_BOM).unwrap_or(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Said::new("空です", "it is empty"));
    }
    if let Some(utf16) = zeros(bytes).or_else(|| utf16(bytes)) {
        return Err(utf16);
    }
    if bytes.first() == Some(&0x30) {
        return match der_length(bytes) {
            Some(length) if length == bytes.len() => Ok(Content::Der(bytes)),
            Some(length) if length > bytes.len() => {
                let (wanted, there) = (length, bytes.len());
                Err(Said::new(
                    format!("書きかけです(DER {wanted}バイトのうち{there}バイト)"),
                    format!("it is half written: {there} of {wanted} bytes of DER"),
                ))
            }
            _ => Err(Said::new("DERでもPEMでもありません", "it is neither DER nor PEM")),
        };
    }
    pem(bytes, labels)
}

fn pem<'a>(bytes: &[u8], labels: &[&str]) -> Result<Content<'a>, Said> {
    let lines = lines(bytes);
    let text = String::from_utf8_lossy(&lines);
    let begun: Vec<&str> = text.lines().filter_map(|line| label(line, BEGIN)).collect();
    let ended: Vec<&str> = text.lines().filter_map(|line| label(line, END)).collect();
    let wanted = labels.first().copied().unwrap_or_default();
    if begun.is_empty() {
        return Err(Said::new(
            format!("PEMの「{wanted}」がありません"),
            format!("it is no PEM and no DER: no section \"{wanted}\" begins in it"),
        ));
    }
    if ended.len() < begun.len() {
        return Err(Said::new(
            "書きかけです(PEMの終わりの行がありません)",
            "it is half written: a section of PEM has no end",
        ));
    }
    if begun != ended {
        return Err(Said::new(
            "PEMの始まりの行と終わりの行が合いません",
            "it is damaged: the lines that begin and end its sections of PEM do not match",
        ));
    }
    // A certificate and its key may share a file. A section that only looks like a wanted one would be left out in silence.
    let other = if begun.iter().any(|label| labels.contains(label)) {
        begun.iter().find(|label| labels.iter().any(|wanted| is_like(label, wanted)))
    } else {
        begun.first()
    };
    if let Some(other) = other {
        return Err(Said::new(
            format!("「{wanted}」ではなく「{other}」が入っています"),
            format!("it holds \"{other}\" where \"{wanted}\" is wanted"),
        ));
    }
    drop(text);
    Ok(Content::Pem(lines))
}

/// Whether a label is another one for the same thing: "CRL" for "X509 CRL", "TRUSTED CERTIFICATE" for "CERTIFICATE".
fn is_like(label: &str, wanted: &str) -> bool {
    let thing = wanted.rsplit(' ').next().unwrap_or(wanted);
    label != wanted && thing != "KEY" && label.rsplit(' ').next() == Some(thing)
}

/// The text with its lines as a reader of PEM wants them. Files that were joined have a mark of their encoding in the middle, or an end and
/// a beginning in one line.
fn lines(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut lines = Zeroizing::new(Vec::with_capacity(bytes.len() + 16));
    for line in bytes.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let line = line.trim_ascii();
        let mut line = line.strip_prefix(UTF8_BOM).unwrap_or(line).trim_ascii();
        while let Some(at) = line.windows(GLUED.len()).position(|window| window == GLUED.as_bytes()) {
            let (end, rest) = line.split_at(at + GLUED.len() - BEGIN.len());
            lines.extend_from_slice(end);
            lines.push(b'\n');
            line = rest;
        }
        lines.extend_from_slice(line);
        lines.push(b'\n');
    }
    lines
}

fn label<'a>(line: &'a str, sign: &str) -> Option<&'a str> {
    line.strip_prefix(sign)?.strip_suffix("-----")
}

/// Without what a page or a terminal would not show as a sign: a file that is damaged, or of another kind, is quoted by its signs alone.
pub fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c.is_whitespace() {
            ' '
        } else if c.is_control() {
            '?'
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

/// In words, when nothing but zeros is left of it, as after a power failure in the middle of a write.
pub fn zeros(bytes: &[u8]) -> Option<Said> {
    (!bytes.is_empty() && bytes.iter().all(|byte| *byte == 0)).then(|| {
        Said::new(
            "中身が失われています(ゼロのバイトだけ)。控えのファイルを置いてください",
            "it holds only zero bytes, as a power failure leaves a file; put a copy of it there",
        )
    })
}

/// In words, when this is UTF-16: ASCII text in it has a zero in every other byte.
pub fn utf16(bytes: &[u8]) -> Option<Said> {
    let marked = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    let zeros = |odd: usize| bytes.iter().skip(odd).step_by(2).take(16).filter(|byte| **byte == 0).count();
    let alternating = bytes.len() >= 8 && (zeros(0) >= 4) != (zeros(1) >= 4) && bytes.first() != Some(&0x30);
    (marked || alternating).then(|| {
        Said::new(
            "文字コードがUTF-16です。UTF-8(またはASCII)で保存し直してください",
            "it is UTF-16 text; save it as UTF-8 or ASCII",
        )
    })
}

/// How long a DER value is, head included; `None` when the head makes no sense.
fn der_length(bytes: &[u8]) -> Option<usize> {
    let first = usize::from(*bytes.get(1)?);
    if first < 0x80 {
        return Some(2 + first);
    }
    let count = first - 0x80;
    if !(1..=4).contains(&count) {
        return None;
    }
    // A file cut within its head is cut all the same.
    let digits = bytes.get(2..2 + count)?;
    Some(2 + count + digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &[&str] = &["CERTIFICATE"];

    fn said(bytes: &[u8]) -> String {
        content(bytes, CERTIFICATE).err().unwrap().en
    }

    #[test]
    fn pem_is_read_with_and_without_a_byte_order_mark_and_der_is_known() {
        let pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(content(pem, CERTIFICATE), Ok(Content::Pem(_))));
        assert_eq!(sections(&[UTF8_BOM, pem].concat()), 1);
        assert!(matches!(content(&[0x30, 0x03, 0x02, 0x01, 0x05], CERTIFICATE), Ok(Content::Der(_))));
    }

    /// How many the reader finds.
    fn sections(bytes: &[u8]) -> usize {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject as _;
        let Ok(Content::Pem(pem)) = content(bytes, CERTIFICATE) else { panic!("{}", said(bytes)) };
        CertificateDer::pem_slice_iter(&pem).map(Result::unwrap).count()
    }

    #[test]
    fn of_files_that_were_joined_no_section_is_left_out() {
        let one = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
        for joined in [
            format!("{one}\n{one}\n"),
            format!("\u{feff}{one}\n\u{feff}{one}\n"),
            format!("{one}{one}"),
            format!("{one}\r{one}").replace('\n', "\r"),
            format!("{one}\n{one}").replace('\n', "\r\n  "),
        ] {
            assert_eq!(sections(joined.as_bytes()), 2, "{joined:?}");
        }
        let look_alike = one.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
        assert!(said(format!("{one}\n{look_alike}").as_bytes()).contains("\"TRUSTED CERTIFICATE\""));
        assert!(said(format!("{one}\n-----END CERTIFICATE-----").as_bytes()).contains("do not match"));
        let with_key = format!("{one}\n{}", one.replace("CERTIFICATE", "PRIVATE KEY"));
        assert_eq!(sections(with_key.as_bytes()), 1, "a certificate and its key may share a file");
    }

    #[test]
    fn what_cannot_be_read_is_told_by_what_it_is() {
        let utf16: Vec<u8> = "-----BEGIN CERTIFICATE-----".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (bytes, words) in [
            (&b" \n"[..], "empty"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA\n", "half written"),
            (
                b"-----BEGIN TRUSTED CERTIFICATE-----\nAA==\n-----END TRUSTED CERTIFICATE-----",
                "\"TRUSTED CERTIFICATE\"",
            ),
            (b"Dear diary", "no PEM"),
            (&[0x30, 0x82, 0x10, 0x00, 0x02], "5 of 4100 bytes"),
            (&[0x30, 0xff, 0x10], "neither DER nor PEM"),
            (&utf16, "UTF-16"),
        ] {
            assert!(said(bytes).contains(words), "{bytes:?}: {}", said(bytes));
        }
    }
}
