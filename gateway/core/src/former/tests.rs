//! Every combination of files and kept material, and clocks that are wrong.

use super::*;
use crate::clock::{Mono, Stamp};
use crate::retention::OFF_COUNTED_MAX;
use proptest::prelude::*;
use proptest::sample::select;

const FOUND: [Found; 4] = [Found::Usable, Found::Unreadable, Found::Unfit, Found::Declined];
const KEPT: [Kept; 3] = [Kept::Nothing, Kept::Ended, Kept::Valid];
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn now(boot: u64, mono_ms: u64, wall_ms: i64) -> Now {
    Now { boot, mono: Mono(mono_ms), stamp: Stamp { wall_ms, synchronised: true } }
}

proptest! {
    #[test]
    fn former_material_is_used_for_files_that_cannot_be_while_it_may_and_for_no_others(
        found in select(FOUND.to_vec()),
        kept in select(KEPT.to_vec()),
        unusable_ms in 0..3 * 7 * DAY_MS,
    ) {
        let unusable = Duration::from_millis(unusable_ms);
        let (pair, trust) = (pair(found, kept, unusable), trust(found, kept));
        let stands_in = kept == Kept::Valid && unusable < PAIR_USED_MAX;
        prop_assert_eq!(
            pair == Choice::Files,
            found == Found::Usable || (found == Found::Declined && !stands_in)
        );
        prop_assert_eq!(trust == Choice::Files, found == Found::Usable);
        prop_assert_eq!(
            pair == Choice::Former,
            matches!(found, Found::Unreadable | Found::Declined) && stands_in
        );
        prop_assert_eq!(trust == Choice::Former, found != Found::Usable && kept == Kept::Valid);
    }

    /// Boots, the time that each ran, and what the wall clock made of the time between two: nothing but the time that the machine ran, and a
    /// bounded part of each pause, counts.
    #[test]
    fn a_wrong_wall_clock_neither_ends_a_spell_at_once_nor_stretches_it_for_ever(
        boots in prop::collection::vec((0..4 * DAY_MS, -4_000 * DAY_MS as i64..4_000 * DAY_MS as i64), 1..12),
    ) {
        let mut spell = None;
        let (mut ran, mut wall_ms) = (0, 1_780_272_000_000);
        for (boot, (up_ms, jump_ms)) in boots.iter().enumerate() {
            for mono_ms in [0, *up_ms] {
                let at = now(boot as u64, mono_ms, wall_ms + mono_ms as i64);
                spell = Some(Spell::continued(spell, at));
            }
            ran += up_ms;
            wall_ms += *up_ms as i64 + jump_ms;
        }
        let lasted = spell.unwrap().lasted();
        prop_assert!(lasted >= Duration::from_millis(ran), "the time that the machine ran counts whole");
        let pauses = OFF_COUNTED_MAX * (boots.len() - 1) as u32;
        prop_assert!(lasted <= Duration::from_millis(ran) + pauses, "{lasted:?}");
    }
}

#[test]
fn a_spell_is_written_down_when_it_begins_at_a_new_boot_and_as_it_grows() {
    let begun = Spell::continued(None, now(1, 1_000, 0));
    let soon = Spell::continued(Some(begun), now(1, 61_000, 0));
    let later = Spell::continued(Some(begun), now(1, 601_000, 0));
    let anew = Spell::continued(Some(begun), now(2, 0, 0));
    assert!(begun.worth_keeping(None) && !soon.worth_keeping(Some(begun)));
    assert!(later.worth_keeping(Some(begun)) && anew.worth_keeping(Some(begun)));
    assert_eq!(later.since_ms(), begun.since_ms());
}

#[test]
fn a_pair_that_only_pings_were_answered_with_never_takes_the_place_of_one_that_worked() {
    for kept in KEPT {
        for same in [false, true] {
            assert!(takes_the_place(kept, same, Worked::Believed));
            assert_eq!(takes_the_place(kept, same, Worked::Connected), same || kept != Kept::Valid, "{kept:?} {same}");
        }
    }
}

#[test]
fn the_days_of_a_former_pair_end_only_when_another_one_is_believed_or_it_lies_in_the_files_again() {
    for worked in [None, Some(Worked::Connected), Some(Worked::Believed)] {
        assert_eq!(is_mended(Kept::Valid, false, worked), worked == Some(Worked::Believed), "{worked:?}");
        assert!(is_mended(Kept::Valid, true, worked));
        assert!(is_mended(Kept::Nothing, false, worked) && is_mended(Kept::Ended, false, worked), "nothing stands in");
    }
}

#[test]
fn a_declined_pair_rests_longer_each_time_and_less_while_the_former_one_is_refused_too() {
    let first = Rest::begin(None, Mono(0), 1.0);
    let second = Rest::begin(Some(first), Mono(0), 1.0);
    let ends = |rest: Rest| (0..).step_by(1_000).find(|ms| rest.is_over(Mono(*ms))).unwrap();
    assert!(ends(first) >= 5 * 60 * 1_000 && ends(second) > ends(first), "{first:?} {second:?}");
    let mut hastened = first;
    hastened.hasten();
    assert!((10_000..=60_000).contains(&ends(hastened)), "{hastened:?}");
}
