//! One visit, several receptions: a patient who goes on to another reader, or comes back to the same one, within minutes.
//!
//! Both receptions are kept as they are; the later one is *linked* to the first (`same_visit_as`), never merged with it. The receipt
//! computer hears of a visit once.

use crate::ids::{OrderKey, ReceptionId};
use std::time::Duration;

/// Within this long after the latest reception of a visit another one belongs to it.
pub const SAME_VISIT_WITHIN: Duration = Duration::from_secs(30 * 60);

/// A reception that was opened before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlierReception {
    /// Which.
    pub reception: ReceptionId,
    /// Its patient.
    pub order_key: OrderKey,
    /// How long ago it was opened; an age, so that no clock jump joins or parts two visits.
    pub age: Duration,
    /// The first reception of the visit that it is linked to, if it is not the first itself.
    pub same_visit_as: Option<ReceptionId>,
}

/// The first reception of the visit that a reception of this patient, opened now, belongs to; `None` if it begins a visit.
///
/// Receptions of other patients never count, whatever the caller passes. One that was given up counts as well: the patient
/// whose card was pulled out at one reader and placed at the next is on one visit.
pub fn same_visit(order_key: OrderKey, earlier: &[EarlierReception], within: Duration) -> Option<ReceptionId> {
    let latest = earlier
        .iter()
        .filter(|other| other.order_key == order_key && other.age <= within)
        // Ids are made in the order of time, so they decide between two of the same age.
        .min_by_key(|other| (other.age, std::cmp::Reverse(other.reception)))?;
    Some(latest.same_visit_as.unwrap_or(latest.reception))
}

/// A reception of one visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfVisit {
    /// Which.
    pub reception: ReceptionId,
    /// Its place in the order in which the store recorded receptions (T2); `None` while it is not recorded.
    pub recorded: Option<u64>,
}

/// Which reception of one visit goes to the receipt computer: the one that was recorded first; `None` while none is. Once there is one,
/// no reception that is recorded later takes its place.
pub fn goes_to_receipt_computer(visit: &[OfVisit]) -> Option<ReceptionId> {
    let recorded = visit.iter().filter_map(|of| of.recorded.map(|place| (place, of.reception)));
    recorded.min().map(|(_, reception)| reception)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn id(n: u128) -> ReceptionId {
        ReceptionId(Uuid::from_u128(n))
    }

    fn key(n: u8) -> OrderKey {
        OrderKey([n; 32])
    }

    fn earlier(n: u128, patient: u8, minutes: u64, same_visit_as: Option<u128>) -> EarlierReception {
        EarlierReception {
            reception: id(n),
            order_key: key(patient),
            age: Duration::from_secs(minutes * 60),
            same_visit_as: same_visit_as.map(id),
        }
    }

    fn linked(list: &[EarlierReception]) -> Option<ReceptionId> {
        same_visit(key(1), list, SAME_VISIT_WITHIN)
    }

    #[test]
    fn a_patient_at_a_second_reader_within_minutes_is_on_the_same_visit() {
        assert_eq!(linked(&[earlier(1, 1, 5, None)]), Some(id(1)));
        assert_eq!(linked(&[earlier(1, 1, 31, None)]), None);
        assert_eq!(linked(&[earlier(1, 2, 5, None)]), None);
    }

    #[test]
    fn a_third_reception_is_linked_to_the_first() {
        let list = [earlier(1, 1, 50, None), earlier(2, 1, 25, Some(1))];
        assert_eq!(linked(&list), Some(id(1)));
    }

    #[test]
    fn the_one_recorded_first_goes_to_the_receipt_computer() {
        let visit = [
            OfVisit { reception: id(1), recorded: Some(9) },
            OfVisit { reception: id(2), recorded: Some(4) },
            OfVisit { reception: id(3), recorded: None },
        ];
        assert_eq!(goes_to_receipt_computer(&visit), Some(id(2)));
        assert_eq!(goes_to_receipt_computer(&visit[2..]), None);
    }

    proptest! {
        #[test]
        fn patients_are_never_mixed(
            list in proptest::collection::vec((1u128..50, 0u8..3, 0u64..60), 0..12),
            patient in 0u8..3,
        ) {
            // Ids carry their patient, so that a link to another one shows.
            let list: Vec<_> = list
                .into_iter()
                .map(|(n, of, minutes)| earlier(n * 3 + u128::from(of), of, minutes, None))
                .collect();
            if let Some(found) = same_visit(key(patient), &list, SAME_VISIT_WITHIN) {
                prop_assert_eq!(found.0.as_u128() % 3, u128::from(patient));
            }
        }

        #[test]
        fn the_order_in_which_a_visit_is_listed_does_not_matter(
            list in proptest::collection::vec((1u128..50, 0u64..60), 0..8).prop_shuffle(),
        ) {
            let list: Vec<_> = list.into_iter().map(|(n, minutes)| earlier(n, 1, minutes, None)).collect();
            let reversed: Vec<_> = list.iter().rev().copied().collect();
            prop_assert_eq!(linked(&list), linked(&reversed));
        }

        #[test]
        fn exactly_one_of_a_visit_goes_and_stays_the_one(order in Just((0u64..6).collect::<Vec<_>>()).prop_shuffle()) {
            // Receptions 0..6 are recorded one after the other in any order.
            let mut visit: Vec<_> = (0..6).map(|n| OfVisit { reception: id(n), recorded: None }).collect();
            let mut went = Vec::new();
            for (place, which) in (0u64..).zip(&order) {
                visit[*which as usize].recorded = Some(place);
                went.push(goes_to_receipt_computer(&visit));
            }
            prop_assert!(went.iter().all(|one| *one == Some(id(u128::from(order[0])))), "{:?}", went);
        }
    }
}
