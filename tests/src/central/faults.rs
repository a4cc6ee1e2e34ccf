//! The fault switches: how the central system misbehaves, and for how long.
//!
//! A mode with a count lasts for that many requests (all calls but pings) and then returns to `up`.
//! Pings feel the mode too, but never use up the count: a probe in the background must not eat the fault that a
//! scenario aimed at a request.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tonic::Code;

use super::odd::Oddity;

/// What the central system does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Answers.
    Up,
    /// The listener is closed and every connection is reset.
    Down,
    /// The effect is applied at once, the answer comes this many milliseconds later.
    Slow(u64),
    /// Connections are accepted, requests are never answered and have no effect.
    Hang,
    /// Every request fails with this status and has no effect.
    Error(Code),
    /// The same, but pings are answered: this gateway may connect, and may not ask.
    Refuse(Code),
    /// The effect is applied, then the connection is reset instead of an answer.
    DropAnswer,
    /// RESOURCE_EXHAUSTED and no effect, with the wait in milliseconds in the metadata.
    Busy(u64),
    /// The effect is applied, but the answer is odd.
    Odd(Oddity),
}

/// A mode as people and programs write it: `{"mode":"slow","ms":800,"count":3}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeSpec {
    /// `up`, `down`, `slow`, `hang`, `error`, `refuse`, `drop_answer`, `busy` or `odd`.
    pub mode: String,
    /// Delay of `slow`; wait asked for by `busy` (1000 when absent).
    #[serde(default)]
    pub ms: Option<u64>,
    /// Status of `error`, by name as in `UNAVAILABLE` (the default) or `INTERNAL`; of `refuse` (default `PERMISSION_DENIED`). Of `odd`:
    /// `stranger` (the default), `former`, `large`, `status`, `codes` or `loss`.
    #[serde(default)]
    pub code: Option<String>,
    /// For how many requests; without it until changed.
    #[serde(default)]
    pub count: Option<u32>,
    /// Of which kind: `eligibility`, `follow_up` or `consent`; without it all, and pings.
    #[serde(default)]
    pub only: Option<Method>,
    /// Of which gateway; without it all.
    #[serde(default)]
    pub of: Option<Whose>,
}

/// Requests of one gateway, by the serial of its certificate in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// Those that come over a connection on which it was shown, whoever signed them.
    Connection(String),
    /// Those that were signed with its key.
    Signer(String),
}

/// What is asked of the central system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A request for eligibility.
    Eligibility,
    /// A request about an earlier one.
    FollowUp,
    /// Consents.
    Consent,
}

/// A mode, for how many requests, of which kind, and whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// The mode.
    pub mode: Mode,
    /// For how many requests.
    pub count: Option<u32>,
    /// Of which kind.
    pub only: Option<Method>,
    /// Of which gateway.
    pub of: Option<Whose>,
}

impl Switch {
    pub(super) const UP: Self = Self { mode: Mode::Up, count: None, only: None, of: None };

    /// Whether it is about every call, pings included.
    pub(super) fn is_about_all(&self) -> bool {
        self.only.is_none() && self.of.is_none() && !matches!(self.mode, Mode::Refuse(_))
    }
}

const CODES: [(&str, Code); 16] = [
    ("CANCELLED", Code::Cancelled),
    ("UNKNOWN", Code::Unknown),
    ("INVALID_ARGUMENT", Code::InvalidArgument),
    ("DEADLINE_EXCEEDED", Code::DeadlineExceeded),
    ("NOT_FOUND", Code::NotFound),
    ("ALREADY_EXISTS", Code::AlreadyExists),
    ("PERMISSION_DENIED", Code::PermissionDenied),
    ("RESOURCE_EXHAUSTED", Code::ResourceExhausted),
    ("FAILED_PRECONDITION", Code::FailedPrecondition),
    ("ABORTED", Code::Aborted),
    ("OUT_OF_RANGE", Code::OutOfRange),
    ("UNIMPLEMENTED", Code::Unimplemented),
    ("INTERNAL", Code::Internal),
    ("UNAVAILABLE", Code::Unavailable),
    ("DATA_LOSS", Code::DataLoss),
    ("UNAUTHENTICATED", Code::Unauthenticated),
];

const ODDITIES: [(&str, Oddity); 6] = [
    ("stranger", Oddity::Stranger),
    ("former", Oddity::Former),
    ("large", Oddity::Large),
    ("status", Oddity::Status),
    ("codes", Oddity::Codes),
    ("loss", Oddity::Loss),
];

impl ModeSpec {
    /// A mode without parameters.
    pub fn new(mode: &str) -> Self {
        Self { mode: mode.to_owned(), ..Self::default() }
    }

    /// `slow` by `ms` milliseconds.
    pub fn slow(ms: u64) -> Self {
        Self { ms: Some(ms), ..Self::new("slow") }
    }

    /// `error` with a status by its name.
    pub fn error(code: &str) -> Self {
        Self { code: Some(code.to_owned()), ..Self::new("error") }
    }

    /// `odd` in the way of this name.
    pub fn odd(name: &str) -> Self {
        Self { code: Some(name.to_owned()), ..Self::new("odd") }
    }

    /// The same for the next `count` requests only.
    pub fn times(self, count: u32) -> Self {
        Self { count: Some(count), ..self }
    }

    /// The same for requests of one kind only.
    pub fn only(self, method: Method) -> Self {
        Self { only: Some(method), ..self }
    }

    /// The same for requests of one gateway only.
    pub fn of(self, whose: Whose) -> Self {
        Self { of: Some(whose), ..self }
    }

    /// The switch, or a sentence about what is wrong.
    pub fn parse(&self) -> Result<Switch, String> {
        let mode = match self.mode.as_str() {
            "up" => Mode::Up,
            "down" => Mode::Down,
            "slow" => Mode::Slow(self.ms.ok_or("slow needs ms")?),
            "hang" => Mode::Hang,
            "error" => Mode::Error(code(self.code.as_deref().unwrap_or("UNAVAILABLE"))?),
            "refuse" => Mode::Refuse(code(self.code.as_deref().unwrap_or("PERMISSION_DENIED"))?),
            "drop_answer" => Mode::DropAnswer,
            "busy" => Mode::Busy(self.ms.unwrap_or(1000)),
            "odd" => Mode::Odd(oddity(self.code.as_deref().unwrap_or("stranger"))?),
            other => {
                let known = "up down slow hang error refuse drop_answer busy odd";
                return Err(format!("unknown mode {other:?}; known: {known}"));
            }
        };
        let about_some = self.count.is_some() || self.only.is_some() || self.of.is_some();
        if about_some && matches!(mode, Mode::Up | Mode::Down) {
            return Err(format!("{} takes neither count, kind nor gateway: it is not about requests", self.mode));
        }
        if self.count == Some(0) {
            return Err("count is at least 1".to_owned());
        }
        Ok(Switch { mode, count: self.count, only: self.only, of: self.of.clone() })
    }
}

impl Switch {
    /// As people and programs write it.
    pub fn spec(self) -> ModeSpec {
        let (ms, code) = match self.mode {
            Mode::Slow(ms) | Mode::Busy(ms) => (Some(ms), None),
            Mode::Error(code) | Mode::Refuse(code) => {
                (None, CODES.iter().find(|(_, known)| *known == code).map(|(name, _)| (*name).into()))
            }
            Mode::Odd(odd) => (None, ODDITIES.iter().find(|(_, known)| *known == odd).map(|(name, _)| (*name).into())),
            _ => (None, None),
        };
        ModeSpec { mode: self.mode.name().to_owned(), ms, code, count: self.count, only: self.only, of: self.of }
    }
}

impl Mode {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Slow(_) => "slow",
            Self::Hang => "hang",
            Self::Error(_) => "error",
            Self::Refuse(_) => "refuse",
            Self::DropAnswer => "drop_answer",
            Self::Busy(_) => "busy",
            Self::Odd(_) => "odd",
        }
    }
}

fn code(name: &str) -> Result<Code, String> {
    CODES
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, code)| *code)
        .ok_or_else(|| format!("unknown status {name:?}; use a gRPC name such as UNAVAILABLE"))
}

fn oddity(name: &str) -> Result<Oddity, String> {
    let found = ODDITIES.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, odd)| *odd)
        .ok_or_else(|| format!("unknown oddity {name:?}; known: {}", ODDITIES.map(|(n, _)| n).join(" ")))
}

/// The switch itself, shared by the service and the control listener.
#[derive(Debug)]
pub(super) struct Faults(Mutex<Switch>);

impl Faults {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Switch::UP))
    }

    pub(super) fn set(&self, switch: Switch) {
        *self.lock() = switch;
    }

    pub(super) fn current(&self) -> Switch {
        self.lock().clone()
    }

    /// The mode for one request; uses up one of its count. `is_of` says whose it is.
    pub(super) fn take(&self, method: Method, is_of: impl FnOnce(&Whose) -> bool) -> Mode {
        let mut state = self.lock();
        if state.only.is_some_and(|only| only != method) || !state.of.as_ref().is_none_or(is_of) {
            return Mode::Up;
        }
        let mode = state.mode;
        match &mut state.count {
            Some(1) => *state = Switch::UP,
            Some(left) => *left -= 1,
            None => {}
        }
        mode
    }

    fn lock(&self) -> MutexGuard<'_, Switch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
