//! The trail in words: who opened and closed special modes, and which patients of today were not received, until staff have seen to them.

use super::jst;
use super::words::Words;
use crate::retention::DATE_CONFIRMED;
use crate::store::{Store, StoreError, TrailEntry, ended_word};
use std::collections::HashSet;
use uketsuke_core::explain::{self, Advice, Lang};
use uketsuke_core::modes::{Mode, Refusal};
use uketsuke_core::reception::Ending;
use uuid::Uuid;

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

/// A patient who was not received.
pub(super) struct EndedRow {
    /// What an order to settle it names.
    pub(super) entry: Uuid,
    pub(super) time: String,
    pub(super) reader: String,
    /// Who decided it; empty where nobody did.
    pub(super) by: String,
    pub(super) advice: Advice,
    /// The rules that decided it; empty where none of the day did.
    pub(super) rules: String,
}

/// How long before today lines are read: nobody's clock may be set back further between a line and the one that settles it.
const BEFORE_TODAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The lines of the trail of today, and of the day before, newest first.
pub(super) struct Trail {
    entries: Vec<TrailEntry>,
    settled: HashSet<Uuid>,
}

impl Trail {
    /// Reads them. The page is drawn often: what is older is not opened each time.
    pub(super) async fn read(store: &Store, now_ms: i64) -> Result<Self, StoreError> {
        let since_ms = jst::midnight_before(now_ms).saturating_sub(BEFORE_TODAY_MS);
        let entries = store.trail_since(since_ms, READ_MAX).await?;
        // A line that settles another one is younger: whoever sees that one sees this one.
        let settled = entries.iter().filter_map(TrailEntry::settles).collect();
        Ok(Self { entries, settled })
    }

    /// Whether staff have seen to this line or reception.
    pub(super) fn settled(&self, of: Uuid) -> bool {
        self.settled.contains(&of)
    }

    /// Whether this is a line about a patient who is to be received.
    pub(super) fn has(&self, of: Uuid) -> bool {
        self.entries.iter().any(|entry| entry.id == of && advice(entry, Lang::Ja).is_some())
    }

    /// The latest patients who were not received since that moment and are not settled, newest first; those beyond `limit` are not told.
    pub(super) fn ended_since(&self, wall_ms: i64, limit: usize, w: Words) -> Vec<EndedRow> {
        let open = self.entries.iter().filter(|entry| entry.at.wall_ms >= wall_ms && !self.settled(entry.id));
        let row = |entry: &TrailEntry| {
            let reader = if entry.document().is_some() { w.t("窓口", "the desk") } else { &entry.detail };
            Some(EndedRow {
                entry: entry.id,
                time: jst::time_of_day(entry.at.wall_ms),
                reader: reader.to_owned(),
                by: entry.by.clone(),
                advice: advice(entry, w.0)?,
                rules: entry.rules.map(|rules| rules.to_string()).unwrap_or_default(),
            })
        };
        open.filter_map(row).take(limit).collect()
    }
}

/// The latest lines about special modes, newest first.
pub(super) async fn of_modes(store: &Store, now_ms: i64, w: Words) -> Result<Vec<TrailRow>, StoreError> {
    let entries = store.trail(READ_MAX).await?.into_iter();
    let of_patients = |entry: &TrailEntry| advice(entry, w.0).is_some() || entry.settles().is_some();
    let rows = entries.filter(|entry| !of_patients(entry)).map(|entry| {
        let (what, detail) = words(&entry, w);
        TrailRow { when: jst::moment(entry.at.wall_ms, now_ms), by: entry.by, what, detail }
    });
    Ok(rows.take(MODES_MAX).collect())
}

/// What is to be done about a patient who was not received; `None` for a line about anything else.
fn advice(entry: &TrailEntry, lang: Lang) -> Option<Advice> {
    match (ending(entry), entry.document()) {
        (Some(ending), _) => Some(explain::ending_for_staff(&ending, lang)),
        (None, Some((shown, rule))) => Some(explain::document_not_accepted(shown, rule, lang)),
        (None, None) => None,
    }
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
    let known = known.or_else(|| {
        let confirmed = w.t("装置の時計の日付を確認しました", "the date of the machine's clock was confirmed");
        (entry.what == DATE_CONFIRMED).then(|| confirmed.to_owned())
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
    use uketsuke_core::record::StaffName;
    use uketsuke_core::rules::{DocumentKind, Rules};

    fn entry(what: &str, detail: &str) -> TrailEntry {
        let at = Stamp { wall_ms: 0, synchronised: true };
        let (by, what, detail) = ("佐藤".into(), what.into(), detail.into());
        TrailEntry { id: Uuid::from_u128(9), at, by, what, detail, rules: None }
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
    fn a_confirmed_date_is_told_in_words() {
        for lang in [Lang::Ja, Lang::En] {
            let (what, detail) = words(&entry(DATE_CONFIRMED, "2026-11-29"), Words(lang, None));
            assert!(!what.contains('_') && what != DATE_CONFIRMED, "{what}");
            assert_eq!(detail, "2026-11-29");
        }
    }

    #[test]
    fn every_end_without_a_reception_is_known_by_its_word() {
        for known in Ending::WITHOUT_RECORD {
            assert_eq!(ending(&entry(&ended_word(&known), "desk-1/a")), Some(known));
        }
    }

    #[tokio::test]
    async fn the_list_of_the_day_says_where_and_who_until_it_is_settled_and_the_modes_have_their_own() {
        let store = Store::model();
        let noted = entry(&ended_word(&Ending::NotSamePerson), "desk-1/a");
        store.note(noted.clone()).await.unwrap();
        let w = Words(Lang::Ja, None);
        let trail = Trail::read(&store, 0).await.unwrap();
        let ended = trail.ended_since(0, 9, w);
        let [EndedRow { reader, by, advice, .. }] = &ended[..] else { panic!("{} rows", ended.len()) };
        assert_eq!((reader.as_str(), by.as_str()), ("desk-1/a", "佐藤"));
        assert!(advice.next.contains("窓口で受け付けて"), "{advice:?}");
        assert!(trail.ended_since(1, 9, w).is_empty(), "of another day");
        assert!(trail.has(noted.id) && !trail.settled(noted.id) && !trail.has(Uuid::nil()));
        store.note(TrailEntry::settling(noted.id, &StaffName::new("鈴木").unwrap(), noted.at)).await.unwrap();
        let trail = Trail::read(&store, 0).await.unwrap();
        assert!(trail.settled(noted.id) && trail.ended_since(0, 9, w).is_empty());
        assert!(of_modes(&store, 0, w).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_document_that_did_not_count_is_listed_with_its_rule_and_the_version_of_the_rules() {
        let store = Store::model();
        let (rules, by) = ("2025-12-02.1".parse().unwrap(), StaffName::new("佐藤").unwrap());
        let at = Stamp { wall_ms: 0, synchronised: true };
        let rule = &Rules::all()[0];
        let noted = TrailEntry::document_not_accepted(DocumentKind::EarlierCard, rule, rules, &by, at);
        store.note(noted).await.unwrap();
        let w = Words(Lang::Ja, None);
        let ended = Trail::read(&store, 0).await.unwrap().ended_since(0, 9, w);
        let [EndedRow { reader, rules, advice, .. }] = &ended[..] else { panic!("{} rows", ended.len()) };
        assert_eq!((reader.as_str(), rules.as_str()), ("窓口", "2025-12-02.1"));
        assert!(advice.what.contains(rule.id) && advice.next.contains("申立書"), "{advice:?}");
        assert!(of_modes(&store, 0, w).await.unwrap().is_empty());
    }
}
