//! What stands in for files of the line that cannot be used: material that worked before, sealed in the store.
//!
//! Promises:
//! * Authorities and lists are kept once a call was answered over a connection that was opened with them; a pair, where another one is kept,
//!   only once a request was believed under it.
//! * What stands in is decided by [`uketsuke_core::former`] alone, each part for itself, and is said wherever it is used.
//! * How new a list is that was ever accepted is kept apart: an older one is not accepted again, by no later process.
//! * Authorities and lists that a good file lacks are dropped from what is kept.

mod declined;
mod stored;

use super::crl::{self, Lists, Rank, Scope};
use super::fault::Said;
use super::files::{Files, Pair, Parts};
use super::material::day;
use super::verifier;
use crate::config;
use crate::store::{Keeping, KeptName, Store, StoreError};
use declined::Declined;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stored::{Held, Stored};
use tokio::sync::Notify;
use uketsuke_core::clock::Now;
use uketsuke_core::explain::Lang;
use uketsuke_core::former::{self, Choice, Found, PAIR_USED_MAX, Spell, Why, Worked};
use zeroize::Zeroizing;

/// A part of the line's material.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Our certificate and its key.
    Pair,
    /// The authorities.
    Authorities,
    /// The revocation lists.
    Lists,
}

impl Part {
    fn words(self, lang: Lang) -> &'static str {
        match self {
            Self::Pair => lang.pick("この施設の証明書と鍵", "certificate and key"),
            Self::Authorities => lang.pick("認証局の証明書", "authorities"),
            Self::Lists => lang.pick("失効リスト", "revocation lists"),
        }
    }
}

/// Former material is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerUse {
    /// Since when files could not be used; milliseconds since 1970.
    pub since_ms: i64,
    /// When the first of it is used no longer.
    pub until_ms: i64,
    /// What stands in.
    pub parts: Vec<Part>,
    /// What is wrong with the files.
    pub why: Said,
}

impl FormerUse {
    /// In words, with what to do.
    pub fn said(&self) -> Said {
        let (since, until) = (day(self.since_ms), day(self.until_ms));
        let parts =
            |lang: Lang| self.parts.iter().map(|part| part.words(lang)).collect::<Vec<_>>().join(lang.pick("・", ", "));
        Said::new(
            format!(
                "{since} から以前のもの({}、最長 {until} まで)を使い、ファイルは使っていません: {}以前のものをやめるには uketsuke check --forget-former を実行してください。",
                parts(Lang::Ja),
                self.why.ja
            ),
            format!(
                "former material in use since {since} ({}, until {until} at the latest), the files are not used: {}; \
                 `uketsuke check --forget-former` ends it",
                parts(Lang::En),
                self.why.en
            ),
        )
    }
}

/// What the line is to use.
pub(super) struct Chosen {
    pub(super) parts: Parts,
    /// What of it is former; `None` when all of it is in the files.
    pub(super) former: Option<FormerUse>,
}

/// Files cannot be used, and nothing stands in for them.
pub(super) struct NotUsable {
    pub(super) said: Said,
    pub(super) why: Why,
}

/// What is written down beside the material.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
struct Record {
    /// The newest lists that were ever accepted.
    ranks: Vec<(Scope, Rank)>,
    /// For how long the files of a part could not be used.
    spells: BTreeMap<Part, Spell>,
}

struct InUse {
    parts: Arc<Parts>,
    /// How far it was seen working.
    worked: Option<Worked>,
    former: bool,
}

#[derive(Default)]
struct State {
    kept: Stored,
    record: Record,
    /// As it is on disk.
    written: Record,
    /// `kept` is not on disk yet.
    changed: bool,
    /// Accepted by this process, also where no signature was seen yet.
    accepted: BTreeMap<Scope, Rank>,
    in_use: Option<InUse>,
    /// The pair in the files is not used for this.
    declined: Option<Declined>,
}

struct Shared {
    store: Option<Store>,
    state: Mutex<State>,
    saving: tokio::sync::Mutex<()>,
    forgotten: Notify,
}

/// Clones stay one.
#[derive(Clone)]
pub struct Former(Arc<Shared>);

impl Former {
    /// Nothing is kept, and nothing will be.
    pub fn none() -> Self {
        Self::with(None, State::default())
    }

    /// What is kept in `store`. What cannot be read counts as not kept; the store says so itself.
    pub async fn load(store: &Store) -> Self {
        let kept = read(store, KeptName::LineMaterial).await.and_then(|bytes| Stored::decode(&bytes));
        let record = read(store, KeptName::LineRecord).await.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let record: Record = record.unwrap_or_default();
        let state = State { kept: kept.unwrap_or_default(), written: record.clone(), record, ..State::default() };
        Self::with(Some(store.clone()), state)
    }

    fn with(store: Option<Store>, state: State) -> Self {
        let (saving, forgotten) = Default::default();
        Self(Arc::new(Shared { store, state: Mutex::new(state), saving, forgotten }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the files, and says what the line is to use.
    pub(super) fn choose(&self, central: &config::Central, now: Now) -> Result<Chosen, NotUsable> {
        let files = Files::read(central);
        let mut state = self.state();
        let state = &mut *state;
        let (mut stands, now_ms) = (Vec::new(), now.stamp.wall_ms);
        let candidate = state.candidate(central, now_ms);

        let found = files.authorities.map_err(|error| (error.found(), error.said()));
        if let Ok(found) = &found {
            state.changed |= state.kept.drop_authorities_but(found);
        }
        let held = || candidate.authorities(now_ms);
        let authorities = state.take(Part::Authorities, found, held, now, &mut stands)?;

        let found = files.pair.map_err(|error| (error.found(), error.said()));
        let pair: Pair = match found {
            Ok(pair) => state.unless_declined(pair, central, now, &mut stands),
            Err(wrong) => state.take(Part::Pair, Err(wrong), || candidate.pair(central, now_ms), now, &mut stands)?,
        };

        let lists = files.lists.map(|read| {
            let judged = read.and_then(|ders| verifier::judge(ders, &authorities, central));
            let found = judged.map_err(|error| (error.found(), error.said()));
            let found = found.and_then(|lists| match state.older(&lists) {
                None => Ok(lists),
                Some(older) => Err((Found::Unfit, older)),
            });
            if let Ok(found) = &found {
                state.changed |= state.kept.drop_lists_but(found, &authorities);
            }
            let held = candidate.lists(&authorities, central, now_ms);
            let held = if let Held::Valid(lists, _) = &held
                && state.older(lists).is_some()
            {
                Held::Nothing
            } else {
                held
            };
            state.take(Part::Lists, found, || held, now, &mut stands)
        });
        let lists: Option<Lists> = lists.transpose()?;
        Ok(Chosen { parts: Parts { pair, authorities, lists }, former: together(stands) })
    }

    /// Whether just these parts are in use.
    pub(super) fn uses(&self, parts: &Parts) -> bool {
        self.state().in_use.as_ref().is_some_and(|used| Stored::of(&used.parts) == Stored::of(parts))
    }

    /// These are used from now on. `tried`: a connection was opened with them.
    pub(super) fn in_use(&self, parts: Arc<Parts>, former: bool, tried: bool) {
        let mut state = self.state();
        if let Some(lists) = &parts.lists {
            state.accepted.extend(lists.ranks.clone());
            state.remember(lists, tried);
        }
        state.in_use = Some(InUse { parts, worked: None, former });
    }

    /// Nothing is used any more.
    pub(super) fn out_of_use(&self) {
        self.state().in_use = None;
    }

    /// The files are not what is in use.
    pub(super) fn outlives_its_files(&self) {
        if let Some(used) = &mut self.state().in_use {
            used.former = true;
        }
    }

    /// Whether anything is in use.
    pub(super) fn is_in_use(&self) -> bool {
        self.state().in_use.is_some()
    }

    /// Whether what is in use has yet to be seen working so far.
    pub(super) fn is_unproved(&self, worked: Worked) -> bool {
        self.state().in_use.as_ref().is_some_and(|used| used.worked < Some(worked))
    }

    /// A call was answered over a connection that was opened with what is in use, and its pair was seen working so far.
    pub(super) fn proved(&self, how: Worked, central: &config::Central, now_ms: i64) {
        let mut state = self.state();
        let Some(used) = &mut state.in_use else { return };
        used.worked = Some(how);
        let parts = used.parts.clone();
        if let Some(lists) = &parts.lists {
            state.remember(lists, true);
        }
        let mut worked = Stored::of(&parts);
        if how == Worked::Believed {
            let stands_in = worked.has_pair_of(&state.kept);
            state.believed(parts.pair.signer.pair(), stands_in);
        }
        let kept = state.kept.pair(central, now_ms).kind();
        if !former::takes_the_place(kept, worked.has_pair_of(&state.kept), how) {
            worked = worked.with_pair_of(&state.kept);
        }
        if state.kept != worked {
            (state.kept, state.changed) = (worked, true);
            tracing::info!("what the line uses works, and is kept for a start without its files");
        }
    }

    /// A person ends it: what is kept is deleted, and what is in use of it is used no longer. How new accepted lists were stays known.
    ///
    /// # Errors
    /// The store's.
    pub async fn forget(&self) -> Result<(), StoreError> {
        {
            let mut state = self.state();
            (state.kept, state.changed, state.declined) = (Stored::default(), true, None);
            match &mut state.in_use {
                Some(used) if used.former => state.in_use = None,
                // Good files: they are kept again when they are next seen working.
                Some(used) => used.worked = None,
                None => {}
            }
        }
        self.0.forgotten.notify_one();
        self.write().await
    }

    /// Resolves when a person has ended it.
    pub(super) async fn forgotten(&self) {
        self.0.forgotten.notified().await;
    }

    /// Writes down what changed, if anything did. What could not be written is tried again with the next call.
    pub async fn save(&self) {
        if let Err(error) = self.write().await {
            tracing::warn!(%error, "what worked on the line cannot be kept for a start without its files");
        }
    }

    async fn write(&self) -> Result<(), StoreError> {
        let Some(store) = &self.0.store else { return Ok(()) };
        let _turn = self.0.saving.lock().await;
        let (material, record) = {
            let mut state = self.state();
            let material = std::mem::take(&mut state.changed).then(|| state.kept.encode());
            (material, state.record_to_write())
        };
        if let Some(value) = material
            && let Err(error) = store.keep(Keeping { name: KeptName::LineMaterial, value, trail: Vec::new() }).await
        {
            self.state().changed = true;
            return Err(error);
        }
        if let Some(record) = record {
            // Bytes and numbers only: writing them cannot fail.
            let value = Zeroizing::new(serde_json::to_vec(&record).unwrap_or_default());
            store.keep(Keeping { name: KeptName::LineRecord, value, trail: Vec::new() }).await?;
            self.state().written = record;
        }
        Ok(())
    }
}

async fn read(store: &Store, name: KeptName) -> Option<Zeroizing<Vec<u8>>> {
    store.kept(name).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "what worked on the line before cannot be read");
        None
    })
}

/// A part of which something former is used.
struct Stand {
    part: Part,
    since_ms: i64,
    until_ms: i64,
    why: Said,
}

impl State {
    /// What may stand in: what this process uses, or what worked in an earlier one. A pair in use comes before the kept one by the same rule
    /// by which it would take its place.
    fn candidate(&self, central: &config::Central, now_ms: i64) -> Stored {
        let Some(used) = &self.in_use else { return self.kept.clone() };
        let parts = Stored::of(&used.parts);
        let (kept, worked) = (self.kept.pair(central, now_ms).kind(), used.worked.unwrap_or(Worked::Connected));
        if former::takes_the_place(kept, parts.has_pair_of(&self.kept), worked) {
            parts
        } else {
            parts.with_pair_of(&self.kept)
        }
    }

    fn take<T>(
        &mut self,
        part: Part,
        found: Result<T, (Found, Said)>,
        held: impl FnOnce() -> Held<T>,
        now: Now,
        stands: &mut Vec<Stand>,
    ) -> Result<T, NotUsable> {
        let (found, said) = match found {
            Ok(found) => {
                self.record.spells.remove(&part);
                return Ok(found);
            }
            Err(wrong) => wrong,
        };
        let spell = Spell::continued(self.record.spells.get(&part).copied(), now);
        self.record.spells.insert(part, spell);
        let held = held();
        let choice = match part {
            Part::Pair => former::pair(found, held.kind(), spell.lasted()),
            Part::Authorities | Part::Lists => former::trust(found, held.kind()),
        };
        match (choice, held) {
            (Choice::Former, Held::Valid(former, end_ms)) => {
                let until_ms = match part {
                    Part::Pair => end_ms.min(now.stamp.wall_ms.saturating_add(left_ms(spell))),
                    Part::Authorities | Part::Lists => end_ms,
                };
                stands.push(Stand { part, since_ms: spell.since_ms(), until_ms, why: said });
                Ok(former)
            }
            (Choice::Nothing(why), held) => Err(not_usable(part, why, &said, held.ended_ms(), spell)),
            // Nothing is chosen that is not there.
            (Choice::Files | Choice::Former, _) => Err(NotUsable { said, why: Why::NothingKept }),
        }
    }

    fn older(&self, lists: &Lists) -> Option<Said> {
        crl::older(&lists.ranks, &self.accepted)
            .or_else(|| crl::older(&lists.ranks, &self.record.ranks.iter().cloned().collect()))
    }

    /// These lists are accepted for good. Where no signature was seen, nobody but a list's own word says how new it is.
    fn remember(&mut self, lists: &Lists, seen_signed: bool) {
        let mut known: BTreeMap<Scope, Rank> = std::mem::take(&mut self.record.ranks).into_iter().collect();
        let accepted = lists.ranks.iter().filter(|(scope, _)| seen_signed || crl::is_signed(scope));
        known.extend(accepted.map(|(scope, rank)| (scope.clone(), rank.clone())));
        self.record.ranks = known.into_iter().collect();
    }

    fn record_to_write(&self) -> Option<Record> {
        let (record, written) = (&self.record, &self.written);
        let grown = record.spells.iter().any(|(part, spell)| spell.worth_keeping(written.spells.get(part).copied()));
        let ended = written.spells.keys().any(|part| !record.spells.contains_key(part));
        (grown || ended || record.ranks != written.ranks).then(|| record.clone())
    }
}

fn left_ms(spell: Spell) -> i64 {
    i64::try_from(PAIR_USED_MAX.saturating_sub(spell.lasted()).as_millis()).unwrap_or(i64::MAX)
}

fn not_usable(part: Part, why: Why, said: &Said, ended_ms: i64, spell: Spell) -> NotUsable {
    let (ja, en) = (part.words(Lang::Ja), part.words(Lang::En));
    let more = match why {
        Why::Unfit | Why::NothingKept => return NotUsable { said: said.clone(), why },
        Why::Ended => {
            let day = day(ended_ms);
            Said::new(format!("以前の{ja}は {day} に期限が切れました。"), format!("the former {en} ended on {day}"))
        }
        Why::TooLong => {
            let (since, days) = (day(spell.since_ms()), PAIR_USED_MAX.as_secs() / Duration::from_hours(24).as_secs());
            Said::new(
                format!("以前の{ja}は {since} から{days}日間使ったため、もう使いません。"),
                format!("the former {en} stood in for {days} days, since {since}, and are used no longer"),
            )
        }
    };
    NotUsable { said: Said::new(format!("{}{}", said.ja, more.ja), format!("{}; {}", said.en, more.en)), why }
}

fn together(stands: Vec<Stand>) -> Option<FormerUse> {
    let since_ms = stands.iter().map(|stand| stand.since_ms).min()?;
    let until_ms = stands.iter().map(|stand| stand.until_ms).min()?;
    let (parts, whys): (Vec<_>, Vec<_>) = stands.into_iter().map(|stand| (stand.part, stand.why)).unzip();
    let joined = |lang: Lang, by| whys.iter().map(|why| why.pick(lang)).collect::<Vec<_>>().join(by);
    let why = Said::new(joined(Lang::Ja, ""), joined(Lang::En, "; "));
    Some(FormerUse { since_ms, until_ms, parts, why })
}
