//! The durable writes, as values: what the handle sends and both backends perform.

use super::keys::SealingKey;
use super::tables::{RowKey, Table};
use super::{CaseWrite, Horizon, Keeping, Lane, Opening, Recording, Request, Settlement, StoreError, TrailEntry};
use uketsuke_core::clock::Stamp;
use uketsuke_core::ids::{OrderKey, ReceptionId};
use uketsuke_core::reception::FaceCount;
use uketsuke_core::record::Abandonment;

/// One durable write.
pub(super) enum Command {
    /// T1.
    Open(Opening),
    /// T2.
    Record(Box<Recording>),
    /// Ends an open reception.
    Abandon { reception: ReceptionId, why: Abandonment, at: Stamp },
    /// The card was taken.
    Close { reception: ReceptionId },
    /// One more question for a reception.
    FollowUp { reception: ReceptionId, request: Request, lane: Lane, at: Stamp },
    /// One step of a case.
    SaveCase(Box<CaseWrite>),
    /// One more face attempt of a card.
    CountFace { order_key: OrderKey, count: FaceCount, at: Stamp },
    /// Ends every open reception of one reader, or of all.
    AbandonOpen { reader: Option<String>, at: Stamp },
    /// A verdict on a row, or a failed try.
    Settle { seq: i64, settlement: Settlement, lane: Lane, at: Stamp },
    /// A row did not pass its check: hold it back.
    Isolate { seq: i64, now_ms: i64 },
    /// A row that waits, or was set aside, may go at once.
    Requeue { seq: i64 },
    /// A row that waits is set aside for people.
    SetAside { seq: i64, why: String, at: Stamp },
    /// Receptions that are over and were opened before are forgotten, with everything that belongs to them.
    Forget { receptions: Vec<ReceptionId>, horizon: Horizon },
    /// Old entries of the trail and old counts of faces, some at once.
    ForgetNotes { before_ms: i64, limit: usize },
    /// Ids that were settled before, some at once.
    ForgetSettled { before_ms: i64, limit: usize },
    /// A value to be kept, with what led to it.
    Keep(Keeping),
    /// A line of the trail by itself.
    Note(TrailEntry),
    /// From now on everything is sealed with this key.
    SwitchKey(SealingKey),
    /// Seals these rows with the current key.
    Reseal { table: Table, rows: Vec<RowKey> },
    /// No value of the former key is left.
    ForgetFormerKey,
    /// Nothing.
    Ping,
    /// A statement of a test's choosing.
    #[cfg(test)]
    Sql(&'static str),
    /// From now on the side file cannot be written.
    #[cfg(test)]
    BreakSideFile,
}

/// What came of a command.
pub(super) type Outcome = Result<Effect, StoreError>;

/// What there is to say of a command that succeeded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing more.
    Done,
    /// The receptions that it abandoned, oldest first.
    Abandoned(Vec<ReceptionId>),
    /// Rows that it changed.
    Rows(u64),
}

/// Success without more to say.
pub(super) const DONE: Outcome = Ok(Effect::Done);

impl Command {
    /// Roughly what it adds to a commit, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let body = match self {
            Self::Open(opening) => opening.request.bytes(),
            Self::Record(recording) => recording.request.as_ref().map_or(0, Request::bytes),
            Self::FollowUp { request, .. } => request.bytes(),
            Self::SaveCase(write) => write.request.as_ref().map_or(0, Request::bytes) + 8 * 1024,
            Self::Settle { settlement: Settlement::Answered { answer, .. }, .. } => answer.len(),
            Self::Reseal { rows, .. } => rows.len() * 4096,
            _ => 0,
        };
        body + 512
    }

    /// Whether somebody stands at a reader, or at the desk, and waits for it.
    pub(super) fn lane(&self) -> Lane {
        match self {
            Self::Settle { lane, .. } => *lane,
            Self::SaveCase(_)
            | Self::Isolate { .. }
            | Self::Forget { .. }
            | Self::ForgetNotes { .. }
            | Self::ForgetSettled { .. }
            | Self::SwitchKey(_)
            | Self::Reseal { .. }
            | Self::ForgetFormerKey => Lane::Backlog,
            _ => Lane::Interactive,
        }
    }

    /// What it is about, for errors.
    pub(super) fn subject(&self) -> String {
        match self {
            Self::Open(Opening { reception, .. })
            | Self::Abandon { reception, .. }
            | Self::FollowUp { reception, .. }
            | Self::Close { reception } => format!("reception {reception}"),
            Self::Record(recording) => format!("reception {}", recording.reception),
            Self::SaveCase(write) => format!("the case of reception {}", write.reception),
            Self::CountFace { .. } => "a face attempt".into(),
            Self::AbandonOpen { .. } => "the open receptions".into(),
            Self::Forget { .. } | Self::ForgetNotes { .. } | Self::ForgetSettled { .. } => "what is old enough".into(),
            Self::Settle { seq, .. }
            | Self::Isolate { seq, .. }
            | Self::Requeue { seq }
            | Self::SetAside { seq, .. } => format!("outbox row {seq}"),
            Self::Keep(keeping) => format!("the kept value {:?}", keeping.name.word()),
            Self::Note(_) => "a line of the trail".into(),
            Self::SwitchKey(_) | Self::Reseal { .. } | Self::ForgetFormerKey => "the change of the sealing key".into(),
            Self::Ping => "nothing".into(),
            #[cfg(test)]
            Self::Sql(_) | Self::BreakSideFile => "a test's fault".into(),
        }
    }

    /// Limits that hold before anything is asked of the database.
    pub(super) fn check_limits(&self) -> Result<(), StoreError> {
        if let Self::Record(recording) = self
            && let Some(new) = &recording.case
        {
            super::papers::check_size(&self.subject(), &new.papers)?;
        }
        let request = match self {
            Self::Open(opening) => Some(&opening.request),
            Self::Record(recording) => recording.request.as_ref(),
            Self::FollowUp { request, .. } => Some(request),
            Self::SaveCase(write) => write.request.as_ref(),
            _ => None,
        };
        match request {
            Some(request) if request.bytes() > super::BODY_BYTES_MAX => Err(StoreError::Refused {
                what: format!("request {}", request.id),
                why: format!("it has {} bytes, at most {} are kept", request.bytes(), super::BODY_BYTES_MAX),
            }),
            _ => Ok(()),
        }
    }
}
