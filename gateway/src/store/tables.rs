//! The tables whose rows carry a check, and how a row in them is named: for whatever walks through all of them.

use uuid::Uuid;

/// A table whose rows carry a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Receptions,
    Outbox,
    Cases,
    LaterReplies,
    FaceFailures,
    SiteState,
    Trail,
}

impl Table {
    /// In the order in which they are walked.
    pub(super) const ALL: [Self; 7] = [
        Self::Receptions,
        Self::Outbox,
        Self::Cases,
        Self::LaterReplies,
        Self::FaceFailures,
        Self::SiteState,
        Self::Trail,
    ];
}

/// What a row is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RowKey {
    Seq(i64),
    Id(Uuid),
    Bytes(Vec<u8>),
    Name(String),
}

/// Where a walk through all tables stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Walk {
    /// Index into [`Table::ALL`].
    table: usize,
    pub(super) after: Option<RowKey>,
}

impl Walk {
    /// The table that is walked; `None` at the end.
    pub(super) fn table(&self) -> Option<Table> {
        Table::ALL.get(self.table).copied()
    }

    /// A step through the table was made: it saw rows up to `last`, or none any more.
    pub(super) fn went(&mut self, last: Option<RowKey>) {
        if last.is_none() {
            self.table += 1;
        }
        self.after = last;
    }
}

/// What a look at one row found.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) key: RowKey,
    /// Kind and id, for people.
    pub(super) what: String,
    /// Whether it is as it was written, and everything sealed in it opens.
    pub(super) sound: Result<(), super::sealed::Unreadable>,
    /// Something in it is sealed with another key than the current one.
    pub(super) former: bool,
}
