//! The ledger: what the central system did, in order, without any name.
//!
//! Promises:
//! * an effect is in the file before anybody is told of it;
//! * the file alone rebuilds the memory ([`Ledger::open`] after a crash, [`read`] for a judge), save a last line
//!   torn by a crash, which nobody was told of;
//! * `times_applied` is counted, not assumed: a second application would show.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::population::Outcome;

/// Kind of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An eligibility request; its id is the request id.
    Eligibility,
    /// A consent record; its id is the consent id.
    Consent,
    /// A follow-up; its id is the follow-up id.
    FollowUp,
}

/// What a follow-up was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// 初回登録.
    Register,
    /// Asked again.
    Recheck,
}

/// A consent as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenConsent {
    /// Name of the kind in the protocol.
    pub kind: String,
    /// What was said.
    pub agreed: bool,
    /// By whom; name in the protocol.
    pub given_by: String,
    /// Version of the text that was shown.
    pub text_version: String,
    /// When, milliseconds since 1970.
    pub given_at_ms: i64,
}

/// One effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// Position in the order of first application, from 1.
    pub seq: u64,
    /// Kind.
    pub kind: Kind,
    /// Idempotency key.
    pub id: Uuid,
    /// The reception that caused it.
    pub reception_id: Uuid,
    /// Stands for the patient without naming them: the first 16 bytes of SHA-256 of the card's certificate, or of the numbers
    /// asked for, hex. A follow-up has the one of the request that it refers to.
    pub order: String,
    /// Whom the answer is about: serial of the card, or a digest of a document's numbers, hex; empty when nobody was found.
    #[serde(default)]
    pub person: String,
    /// Whether they were looked up by numbers.
    #[serde(default)]
    pub by_numbers: bool,
    /// Whether an eligibility request proved the person by face or PIN.
    #[serde(default)]
    pub proven: bool,
    /// The eligibility request that a consent or a follow-up refers to; of a consent, a follow-up that stands alone as well.
    #[serde(default)]
    pub request_id: Option<Uuid>,
    /// Of a follow-up.
    #[serde(default)]
    pub purpose: Option<Purpose>,
    /// Of a consent record.
    #[serde(default)]
    pub consents: Vec<GivenConsent>,
    /// SHA-256 of the payload, hex: the same id with another payload is refused.
    pub payload_sha256: String,
    /// The outcome given to an eligibility request or a follow-up.
    pub outcome: Option<Outcome>,
    /// When it was applied, milliseconds since 1970.
    pub at_ms: i64,
    /// How often the effect was applied; anything but 1 is a fault of the simulator.
    pub times_applied: u64,
    /// How often the message arrived, repetitions included.
    pub times_received: u64,
}

impl Effect {
    /// An effect of which nothing is known yet but its kind and id.
    pub fn new(kind: Kind, id: Uuid) -> Self {
        Self {
            seq: 0,
            kind,
            id,
            reception_id: Uuid::nil(),
            order: String::new(),
            person: String::new(),
            by_numbers: false,
            proven: false,
            request_id: None,
            purpose: None,
            consents: Vec::new(),
            payload_sha256: String::new(),
            outcome: None,
            at_ms: 0,
            times_applied: 0,
            times_received: 0,
        }
    }
}

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    Applied(Effect),
    Repeated { kind: Kind, id: Uuid, at_ms: i64 },
}

/// The ledger in memory, and its file if it has one.
#[derive(Debug, Default)]
pub struct Ledger {
    file: Option<File>,
    effects: Vec<Effect>,
    by_id: HashMap<(Kind, Uuid), usize>,
}

impl Ledger {
    /// A ledger that goes on where `path` ends; without a path it lives in memory alone.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let mut ledger = Self::default();
        let Some(path) = path else { return Ok(ledger) };
        let whole = ledger.replay(path)?;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("opening the ledger {}", path.display()))?;
        file.set_len(whole).with_context(|| format!("cutting the torn line of {}", path.display()))?;
        ledger.file = Some(file);
        Ok(ledger)
    }

    /// Every effect in the order of application.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// The effect with this id.
    pub fn find(&self, kind: Kind, id: Uuid) -> Option<&Effect> {
        self.by_id.get(&(kind, id)).map(|index| &self.effects[*index])
    }

    /// The consents to a request that were recorded before position `seq`, oldest first.
    pub fn consents(&self, request: Uuid, seq: u64) -> Vec<GivenConsent> {
        let before = self.effects.iter().take_while(|effect| effect.seq < seq);
        before.filter(|effect| effect.request_id == Some(request)).flat_map(|effect| effect.consents.clone()).collect()
    }

    /// Records that an effect is applied; `seq` and the counts are filled in. Nothing is changed when the file
    /// cannot be written.
    pub fn apply(&mut self, effect: Effect) -> Result<Effect> {
        let effect = Effect { seq: self.effects.len() as u64 + 1, times_applied: 1, times_received: 1, ..effect };
        self.write(&Line::Applied(effect.clone()))?;
        self.remember(Line::Applied(effect.clone()));
        Ok(effect)
    }

    /// Records that an applied message arrived again.
    pub fn repeat(&mut self, kind: Kind, id: Uuid, at_ms: i64) -> Result<()> {
        let line = Line::Repeated { kind, id, at_ms };
        self.write(&line)?;
        self.remember(line);
        Ok(())
    }

    fn write(&mut self, line: &Line) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut text = serde_json::to_vec(line).context("encoding a ledger line")?;
        text.push(b'\n');
        file.write_all(&text).context("writing the ledger")
    }

    fn remember(&mut self, line: Line) {
        match line {
            Line::Applied(effect) => match self.by_id.get(&(effect.kind, effect.id)) {
                Some(index) => {
                    self.effects[*index].times_applied += 1;
                    self.effects[*index].times_received += 1;
                }
                None => {
                    self.by_id.insert((effect.kind, effect.id), self.effects.len());
                    self.effects.push(effect);
                }
            },
            Line::Repeated { kind, id, .. } => {
                if let Some(index) = self.by_id.get(&(kind, id)) {
                    self.effects[*index].times_received += 1;
                }
            }
        }
    }

    /// Takes over the lines of a file; returns the length of its whole lines in bytes.
    fn replay(&mut self, path: &Path) -> Result<u64> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error).with_context(|| format!("reading the ledger {}", path.display())),
        };
        let mut whole = 0;
        for line in text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            let parsed = serde_json::from_slice(line)
                .with_context(|| format!("byte {whole} of the ledger {} is not a ledger line", path.display()))?;
            self.remember(parsed);
            whole += line.len() as u64;
        }
        Ok(whole)
    }
}

/// The effects that a ledger file tells of.
pub fn read(path: &Path) -> Result<Vec<Effect>> {
    let mut ledger = Ledger::default();
    ledger.replay(path)?;
    Ok(ledger.effects)
}
