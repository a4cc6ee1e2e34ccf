//! The guards that can be taken out, to see that the simulation would notice.

use uketsuke::store::model::Rule;

/// Something that keeps a promise. Each is taken out at the boundary where the simulation plays the shell or a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Acknowledge only after the commit: without it the scribe reports T1 and T2 as they are queued.
    Ack,
    /// The id of a request: without it the central system does not recognise what it has applied.
    Ids,
    /// Results carry the reception they belong to: without it they count for whichever reception is current.
    Reception,
    /// Requests of one patient are grouped: without it every question gets an order key of its own.
    Order,
    /// Every state has a deadline: without it the readers' timers never fire.
    Deadline,
    /// T2 is irrevocable: without it the shell gives up a reception whose card is pulled, or that is cancelled, while T2 is under way, and
    /// the store turns its record into an abandoned one.
    T2,
    /// Receptions of one visit are linked: without it the store merges the later one into the first.
    Link,
    /// A local spelling is never overwritten: without it the reconciler files the central system's, with its ●, as the person known here.
    Dots,
}

impl Guard {
    /// All of them.
    pub const ALL: &[Self] =
        &[Self::Ack, Self::Ids, Self::Reception, Self::Order, Self::Deadline, Self::T2, Self::Link, Self::Dots];

    /// The rule of the store without which it goes, where the store keeps it.
    pub(super) fn rule(self) -> Option<Rule> {
        match self {
            Self::T2 => Some(Rule::RecordedStays),
            Self::Link => Some(Rule::VisitsAreLinked),
            Self::Ack | Self::Ids | Self::Reception | Self::Order | Self::Deadline | Self::Dots => None,
        }
    }

    /// As it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Ids => "ids",
            Self::Reception => "reception",
            Self::Order => "order",
            Self::Deadline => "deadline",
            Self::T2 => "t2",
            Self::Link => "link",
            Self::Dots => "dots",
        }
    }

    /// The guard of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|guard| guard.name() == name)
    }
}
