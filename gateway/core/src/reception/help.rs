//! Who works the screen for the patient.

use super::event::{Event, Intent};
use super::screen::Helper;
use crate::clock::Stamp;
use crate::consent::{Consent, ConsentKind, GivenBy};
use crate::record::{Method, StaffName, Verification};

/// Somebody who does the rest of a reception for the patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Help {
    /// Somebody who came along (代理人).
    Proxy,
    /// A member of staff.
    Staff(StaffName),
    /// Nobody yet: the patient has called for staff, and goes on alone until they come.
    Called,
}

impl Help {
    /// Who helps from here on. Staff who say so outweigh a companion: they know who presses the buttons. Both can be undone, on the screen
    /// or by staff, and what was done until then stays as it was recorded.
    pub(super) fn after(before: Option<Self>, event: &Event) -> Option<Self> {
        match (event, before) {
            (Event::StaffAssists(_, by), _) => Some(Self::Staff(by.clone())),
            (Event::StaffLeave(_), Some(Self::Staff(_))) | (Event::Intent(_, _, Intent::ByPatient), _) => None,
            (Event::Intent(_, _, Intent::ByProxy), None | Some(Self::Called)) => Some(Self::Proxy),
            (Event::Intent(_, _, Intent::CallStaff), None) => Some(Self::Called),
            (_, before) => before,
        }
    }

    /// What the screen says of it.
    pub(super) fn shown(&self) -> Helper {
        match self {
            Self::Proxy => Helper::Proxy,
            Self::Staff(_) => Helper::Staff,
            Self::Called => Helper::Called,
        }
    }
}

/// How a PIN that is typed now is recorded.
pub(super) fn pin(help: Option<&Help>) -> Verification {
    match help {
        Some(Help::Proxy) => Verification::by(Method::PinByProxy),
        Some(Help::Staff(_) | Help::Called) | None => assisted(Verification::by(Method::Pin), help),
    }
}

/// A verification, with the member of staff who worked the screen meanwhile.
pub(super) fn assisted(verification: Verification, help: Option<&Help>) -> Verification {
    match help {
        Some(Help::Staff(by)) => Verification { assisted_by: Some(by.clone()), ..verification },
        Some(Help::Proxy | Help::Called) | None => verification,
    }
}

/// An answer given now.
pub(super) fn consent(kind: ConsentKind, agreed: bool, given: Stamp, help: Option<&Help>) -> Consent {
    match help {
        None | Some(Help::Called) => Consent::new(kind, agreed, given, GivenBy::Patient),
        Some(Help::Proxy) => Consent::new(kind, agreed, given, GivenBy::Proxy),
        Some(Help::Staff(by)) => Consent::new(kind, agreed, given, GivenBy::StaffAssisted).assisted(by),
    }
}
