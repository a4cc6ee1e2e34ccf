//! Errors that point into the file: which line, which key, which value, and what to write instead.

use crate::central::Said;
use crate::encoding::printable;
use crate::named_file;
use std::ops::Range;
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml::de::{DeTable, DeValue};

/// Why the configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}; check the path and its permissions", path.display())]
    Unreadable {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no file of UTF-8 text.
    #[error("cannot read the configuration {}: {}", path.display(), what.en)]
    Unfit {
        /// Which file.
        path: PathBuf,
        /// What it is, and what to do.
        what: Said,
    },
    /// Something in it is wrong.
    #[error("{0}")]
    Wrong(Box<WrongLine>),
}

/// A line that cannot stay as it is.
#[derive(Debug, Error)]
#[error("{}:{line}: {what}{}{}\n  fix:   {fix}", path.display(), row("key:  ", key), row("value:", value))]
pub struct WrongLine {
    /// Which file.
    pub path: PathBuf,
    /// 1-based.
    pub line: usize,
    /// Dotted.
    pub key: String,
    /// As written; empty when the key is missing.
    pub value: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub fix: String,
}

/// Something wrong with a value that TOML itself has no objection to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Dotted path; array elements by index, as in `terminal.0.reader.1.name`.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub fix: String,
}

impl ConfigError {
    /// For people who read a page: which file, which line and which key. What the parser says of it has one language, and stands in the
    /// English sentence.
    pub fn said(&self) -> Said {
        let ja = match self {
            Self::Unreadable { path, source } => {
                let why = named_file::of_system(source).ja;
                format!("設定 {} を読めません: {why}。場所と権限を確かめてください", path.display())
            }
            Self::Unfit { path, what } => format!("設定 {} を読めません: {}", path.display(), what.ja),
            Self::Wrong(wrong) => {
                let WrongLine { path, line, key, .. } = &**wrong;
                let of = if key.is_empty() { String::new() } else { format!("(キー {key})") };
                format!(
                    "設定 {} の{line}行目{of}が正しくありません。`uketsuke check` で確かめて直してください",
                    path.display()
                )
            }
        };
        Said::new(ja, self.to_string().replace("\n  ", "; "))
    }

    pub(super) fn from_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or(0..0);
        let line = line_of(text, span.start);
        let written = text.lines().nth(line - 1).unwrap_or_default();
        let (key, value) = match written.split_once('=') {
            Some((key, value)) => (key.trim().to_owned(), value.trim().to_owned()),
            None => (written.trim().to_owned(), String::new()),
        };
        let (key, value, what) = (printable(&key), printable(&value), printable(error.message()));
        let fix = if what.starts_with("unknown field") {
            "remove the key or correct its spelling; config/uketsuke.toml lists every key"
        } else if what.starts_with("missing field") {
            "add the key; config/uketsuke.toml shows it with an example"
        } else if what.starts_with("invalid type") || what.starts_with("invalid value") {
            "write a value of the expected type; config/uketsuke.toml shows an example"
        } else {
            "correct the line; config/uketsuke.toml shows how it is written"
        };
        Self::Wrong(Box::new(WrongLine { path: path.to_owned(), line, key, value, what, fix: fix.into() }))
    }

    pub(super) fn from_problem(path: &Path, text: &str, problem: Problem) -> Self {
        let Problem { key, what, fix } = problem;
        let span = find(text, &key);
        let line = span.as_ref().map_or(1, |span| line_of(text, span.start));
        let value = span.and_then(|span| text.get(span)).unwrap_or_default().lines().next().unwrap_or_default();
        let value = printable(value);
        Self::Wrong(Box::new(WrongLine { path: path.to_owned(), line, key, value, what, fix }))
    }
}

/// A line of its own; none where nothing is written.
fn row(name: &str, written: &str) -> String {
    if written.is_empty() { String::new() } else { format!("\n  {name} {written}") }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or_default().matches('\n').count() + 1
}

/// Where the value of a dotted key stands; of its nearest parent when the key itself is not written.
fn find(text: &str, key: &str) -> Option<Range<usize>> {
    let table = DeTable::parse(text).ok()?;
    let mut span = None;
    let mut parts = key.split('.');
    let mut value = {
        let found = table.get_ref().get(parts.next()?)?;
        span.replace(found.span());
        found.get_ref()
    };
    for part in parts {
        let next = match value {
            DeValue::Table(table) => table.get(part),
            DeValue::Array(array) => part.parse().ok().and_then(|index: usize| array.get(index)),
            _ => None,
        };
        let Some(found) = next else { break };
        span.replace(found.span());
        value = found.get_ref();
    }
    span
}
