//! What is going to happen, in order of time; at the same moment, in an order of chance.

use super::cases::Order;
use super::central::{Answered, Letter};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use uketsuke::store::RequestKind;
use uketsuke_core::ids::{OrderKey, ReceptionId};
use uketsuke_core::outbox::{self, Tried};
use uketsuke_core::reception::{Event, Intent, StaffDecision};

/// Something in the outside world. It happens whether the gateway lives or not.
#[derive(Debug, Clone)]
pub(super) enum Outside {
    /// Somebody comes to a reader.
    Comes(usize),
    /// The person at this reader, if the visit is still the same one, does something.
    Does(usize, u64, Deed),
    /// Staff decide about a reception at a reader.
    Decides(usize, ReceptionId, StaffDecision),
    /// Staff do the rest of a reception for the patient.
    Assists(usize, ReceptionId),
    /// Staff look at the work list.
    StaffLook,
    /// What staff do to a case, having looked.
    Orders(Box<Order>),
    /// A message reaches the central system.
    Arrives(Letter),
    /// The next fault.
    Fault,
    /// The process is started.
    Start,
    /// A condition ends.
    LineUp,
    /// The central system works again.
    CentralWell,
    /// There is room on the disk again.
    DiskFree,
    /// From now on nothing fails and nobody new comes.
    Quiet,
}

/// What a patient does.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    /// Presses something on the screen of this version.
    Press(ReceptionId, u64, Intent),
    /// Takes the card.
    Pull,
}

/// Something in the process. Gone with it.
#[derive(Debug, Clone)]
pub(super) enum Inside {
    /// A reader's actor begins to live.
    ReaderUp(usize),
    /// The driver says that a card was put in (`true`) or taken.
    Card(usize, u64, bool),
    /// The card has been read, or not.
    Read(usize, u64, ReceptionId),
    /// The card answers to a PIN.
    Pin(usize, u64, ReceptionId, bool),
    /// An event for the core of this life of a reader.
    Tell(usize, u64, Event),
    /// A reader's timer.
    Timer(usize, u64),
    /// The driver has ended, and so does this life of the reader.
    ReaderEnds(usize, u64),
    /// The scribe goes on.
    Scribe(usize),
    /// The disk is done with what was handed to it.
    Written,
    /// The courier's actor begins to live.
    CourierUp,
    /// An event for the plan of this life.
    Plan(u64, outbox::Event),
    /// The plan's timer.
    PlanTimer(u64),
    /// The store is asked for rows.
    Select(u64, u32, Vec<OrderKey>, Vec<RequestKind>),
    /// A call of this life ends.
    CallEnds(u64, u64, Tried, Option<Answered>),
    /// The reconciler's actor begins to live.
    ReconcilerUp,
    /// This life of the reconciler goes on.
    Reconcile(u64),
    /// The timer of this life of the reconciler.
    CaseTimer(u64),
}

/// One of both; `Inside` with the life of the process.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    Outside(Outside),
    Inside(u64, Inside),
}

#[derive(Debug)]
struct Entry {
    at: u64,
    tie: u64,
    what: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.tie) == (other.at, other.tie)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    /// The heap gives the greatest first, and that is to be the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.tie).cmp(&(self.at, self.tie))
    }
}

/// The heap.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Entry>,
    entered: u64,
}

impl Agenda {
    /// `chance` decides among what happens in the same millisecond.
    pub(super) fn enter(&mut self, at: u64, chance: u16, what: Happening) {
        self.entered += 1;
        self.heap.push(Entry { at, tie: u64::from(chance) << 48 | self.entered, what });
    }

    pub(super) fn next(&mut self) -> Option<(u64, Happening)> {
        self.heap.pop().map(|entry| (entry.at, entry.what))
    }
}
