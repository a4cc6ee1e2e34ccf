//! The trail in words: who opened and closed special modes, and which check-ins of today ended before there was a reception.

use super::jst;
use super::words::Words;
use crate::store::{Store, StoreError, TrailEntry, ended_word};
use uketsuke_core::explain::{self, Advice};
use uketsuke_core::modes::{Mode, Refusal};
use uketsuke_core::reception::Ending;

/// Entries that are looked through for a list: more than a busy hospital's day has.
const READ_MAX: usize = 2_000;

/// Entries about special modes that are shown.
const MODES_MAX: usize = 20;

/// A line about a special mode.
pub(super) struct TrailRow {
    pub(super) when: String,
    pub(super) by: String,
    pub(super) what: String,
    pub(super) detail: String,
}

/// A check-in without a reception.
pub(super) struct EndedRow {
    pub(super) time: String,
    pub(super) reader: String,
    /// Who decided it; empty where nobody did.
    pub(super) by: String,
    pub(super) advice: Advice,
}

/// The latest lines about special modes, newest first.
pub(super) async fn of_modes(store: &Store, now_ms: i64, w: Words) -> Result<Vec<TrailRow>, StoreError> {
    let entries = store.trail(READ_MAX).await?.into_iter();
    let rows = entries.filter(|entry| ending(entry).is_none()).map(|entry| {
        let (what, detail) = words(&entry, w);
        TrailRow { when: jst::moment(entry.at.wall_ms, now_ms), by: entry.by, what, detail }
    });
    Ok(rows.take(MODES_MAX).collect())
}

/// The latest check-ins that ended without a reception since that moment, newest first; those beyond `limit` are not told.
pub(super) async fn ended_since(
    store: &Store,
    wall_ms: i64,
    limit: usize,
    w: Words,
) -> Result<Vec<EndedRow>, StoreError> {
    let entries = store.trail(READ_MAX).await?.into_iter().filter(|entry| entry.at.wall_ms >= wall_ms);
    let row = |entry: TrailEntry| {
        let advice = explain::ending(&ending(&entry)?, w.0);
        Some(EndedRow { time: jst::time_of_day(entry.at.wall_ms), reader: entry.detail, by: entry.by, advice })
    };
    Ok(entries.filter_map(row).take(limit).collect())
}

fn ending(entry: &TrailEntry) -> Option<Ending> {
    Ending::WITHOUT_RECORD.into_iter().find(|ending| ended_word(ending) == entry.what)
}

/// What happened and why. A word that is not known here is shown as it is.
fn words(entry: &TrailEntry, w: Words) -> (String, String) {
    let known = Mode::ALL.into_iter().find_map(|mode| {
        let done = match entry.what.strip_prefix(word(mode))? {
            "_opened" => w.t("開きました", "opened"),
            "_closed" => w.t("閉じました", "closed"),
            "_time_up" => w.t("時間になり、閉じました", "closed, its time was up"),
            "_refused" => w.t("開閉できませんでした", "not opened or closed"),
            _ => return None,
        };
        Some(format!("{}: {done}", mode.title().pick(w.0)))
    });
    // Earlier versions kept the name that the program has for it.
    let refusal = Refusal::ALL.into_iter().find(|why| why.word() == entry.detail || format!("{why:?}") == entry.detail);
    let detail = match refusal.filter(|_| entry.what.ends_with("_refused")) {
        Some(why) => why.words().pick(w.0).to_owned(),
        None => entry.detail.clone(),
    };
    (known.unwrap_or_else(|| entry.what.clone()), detail)
}

/// The stable name of a mode, as forms and the trail have it.
pub(super) fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::SystemFailure => "system_failure",
        Mode::Disaster => "disaster",
        Mode::EmergencyViewing => "emergency_viewing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uketsuke_core::clock::Stamp;
    use uketsuke_core::explain::Lang;

    fn entry(what: &str, detail: &str) -> TrailEntry {
        let at = Stamp { wall_ms: 0, synchronised: true };
        TrailEntry { id: uuid::Uuid::nil(), at, by: "佐藤".into(), what: what.into(), detail: detail.into() }
    }

    #[test]
    fn no_line_about_a_mode_is_in_the_words_of_the_program() {
        for mode in Mode::ALL {
            for why in Refusal::ALL {
                for detail in [why.word().to_owned(), format!("{why:?}")] {
                    let (what, why) = words(&entry(&format!("{}_refused", word(mode)), &detail), Words(Lang::Ja, None));
                    assert!(!what.contains('_') && what.starts_with(mode.title().pick(Lang::Ja)), "{what}");
                    assert!(why.ends_with('。'), "{why}");
                }
            }
        }
        let opened = words(&entry("disaster_opened", "not_open"), Words(Lang::Ja, None));
        assert_eq!(opened.1, "not_open", "a reason is shown as it was given");
    }

    #[test]
    fn every_end_without_a_reception_is_known_by_its_word() {
        for known in Ending::WITHOUT_RECORD {
            assert_eq!(ending(&entry(&ended_word(&known), "desk-1/a")), Some(known));
        }
    }

    #[tokio::test]
    async fn the_list_of_the_day_says_where_and_who_and_the_modes_have_their_own() {
        let store = Store::model();
        store.note(entry(&ended_word(&Ending::NotSamePerson), "desk-1/a")).await.unwrap();
        let w = Words(Lang::Ja, None);
        let ended = ended_since(&store, 0, 9, w).await.unwrap();
        let [EndedRow { reader, by, .. }] = &ended[..] else { panic!("{} rows", ended.len()) };
        assert_eq!((reader.as_str(), by.as_str()), ("desk-1/a", "佐藤"));
        assert!(ended_since(&store, 1, 9, w).await.unwrap().is_empty(), "of another day");
        assert!(of_modes(&store, 0, w).await.unwrap().is_empty());
    }
}
