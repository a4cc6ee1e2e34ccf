//! Visits: which receptions belong together, and which came first.

use super::*;

pub(super) async fn receptions_of_one_visit_are_linked_and_others_are_not(rig: Rig) {
    // Each in a boot of its own: only the wall clock tells.
    let minutes = |number: u32, patient, minutes: i64, synchronised| {
        let stamp = Stamp { synchronised, ..at(minutes * 60_000) };
        let opened = Now { boot: 100 + u64::from(number), mono: Mono(0), stamp };
        crate::store::Opening { opened, ..opening(number, patient) }
    };
    let (a, b, c, d) =
        (minutes(1, 1, 0, true), minutes(2, 1, 20, true), minutes(3, 2, 21, true), minutes(4, 1, 45, true));
    // Together: they may share a commit.
    let together = tokio::join!(
        rig.store.open_reception(a),
        rig.store.open_reception(b),
        rig.store.open_reception(c),
        rig.store.open_reception(d)
    );
    assert_eq!(together, (Ok(()), Ok(()), Ok(()), Ok(())));
    rig.store.open_reception(minutes(5, 1, 90, true)).await.unwrap();
    rig.store.open_reception(minutes(6, 1, 91, false)).await.unwrap();
    rig.store.open_reception(minutes(7, 1, 92, true)).await.unwrap();
    let linked = [(1, None), (2, Some(1)), (3, None), (4, Some(1)), (5, None), (6, None), (7, Some(5))];
    for (number, first) in linked {
        let record = rig.store.reception(reception(number)).await.unwrap().unwrap();
        assert_eq!(record.same_visit_as, first.map(reception), "reception {number}");
    }
    let visit = rig.store.visit(reception(1)).await.unwrap();
    let mut of_visit: Vec<_> = visit.iter().map(|record| record.reception).collect();
    of_visit.sort_unstable();
    assert_eq!(of_visit, [1, 2, 4].map(reception));
    assert!(rig.store.visit(reception(99)).await.unwrap().is_empty());
}

pub(super) async fn no_jump_of_the_wall_clock_joins_or_parts_two_visits(rig: Rig) {
    let day_ms = 24 * 60 * 60_000;
    let minutes = |number, patient, boot, minutes: u64, wall_ms, synchronised| {
        let stamp = Stamp { synchronised, ..at(wall_ms) };
        crate::store::Opening { opened: Now { boot, mono: Mono(minutes * 60_000), stamp }, ..opening(number, patient) }
    };
    let receptions = [
        (minutes(1, 1, 1, 100, 0, true), None),
        // The wall clock has been set a year forward, and back by a day; ten minutes have passed each time.
        (minutes(2, 1, 1, 110, 365 * day_ms, true), Some(1)),
        (minutes(3, 1, 1, 120, -day_ms, true), Some(1)),
        (minutes(4, 1, 1, 130, -day_ms, false), Some(1)),
        // Back to where the first was, but hours have passed.
        (minutes(5, 1, 1, 400, 0, true), None),
        // The machine has started again: the wall clock decides.
        (minutes(6, 1, 2, 1, 60_000, true), Some(5)),
        (minutes(7, 2, 2, 2, 60_000, true), None),
    ];
    for (number, (opening, first)) in (1..).zip(receptions) {
        rig.store.open_reception(opening).await.unwrap();
        let record = rig.store.reception(reception(number)).await.unwrap().unwrap();
        assert_eq!(record.same_visit_as, first.map(reception), "reception {number}");
    }
}

pub(super) async fn receptions_have_places_in_the_order_in_which_they_were_recorded_whatever_the_clock_says(rig: Rig) {
    for number in [1, 2, 3] {
        rig.store.open_reception(opening(number, number as u8)).await.unwrap();
    }
    for (number, recorded) in [(2, at(9000)), (3, at(-90_000)), (1, at(9000))] {
        rig.store.record_reception(Recording { recorded, ..recording(number, Shown::Confirmed) }).await.unwrap();
    }
    let rig = rig.crash().await;
    let place = async |number| rig.store.reception(reception(number)).await.unwrap().unwrap().recorded_place;
    let (first, second, third) = (place(2).await, place(3).await, place(1).await);
    assert!(first.is_some() && first < second && second < third, "{first:?} {second:?} {third:?}");
}
