//! Special modes of the desk: opened by authorised staff with a reason, closed by staff or by themselves.
//!
//! *A mode never outlives its time and never loses it to a clock*: what is left counts down by the monotonic clock alone, so that a jump of
//! the wall clock neither closes a mode nor prolongs it. The machine is serialised as it stands; after a restart or under another
//! boot the time that was left goes on counting. Time in which nothing ran does not count, and [`Effect::Persist`] bounds what a crash can
//! give back to [`PERSIST_EVERY`].
//!
//! *Nothing is open without a name and a reason*, and every opening, closing and refusal is an effect for the audit trail.

mod four_items;

use crate::clock::{Mono, Now, Stamp};
use crate::date::Date;
use crate::record::StaffName;
use crate::rules::{Route, Rules, Today};
use crate::words::Words;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use four_items::{FourItems, FourItemsTyped};

/// While a mode is open its remaining time is asked to be persisted this often.
pub const PERSIST_EVERY: Duration = Duration::from_secs(60);

/// How long a disaster mode stays open when the end of its period cannot be told because the wall clock is doubtful. Staff open it again.
pub const DOUBTFUL_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// A special mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// システム障害時モード: name, sex, birth date and address are recorded, looked up, and checked again later.
    SystemFailure,
    /// 災害時モード: announced by the ministry for a region and a period.
    Disaster,
    /// 救急時医療情報閲覧: a hospital views medical information without consent; the card identifies the patient.
    EmergencyViewing,
}

/// What an open mode allows beyond the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Receive a patient by the four items, without any card, and ask for the insurance by them.
    RecordWithoutCard,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::SystemFailure, Self::Disaster, Self::EmergencyViewing];

    /// What it allows.
    pub fn permits(self) -> &'static [Permission] {
        match self {
            Self::SystemFailure | Self::Disaster => &[Permission::RecordWithoutCard],
            // The card is there and says who the patient is; what may be viewed is viewed at the terminal, not here.
            Self::EmergencyViewing => &[],
        }
    }

    /// What it opens here, and what it does not: what a mode of the national system gives beyond that is given there.
    pub fn scope(self) -> Words {
        match self {
            Self::SystemFailure => Words {
                ja: "開くもの: 4情報(氏名・性別・生年月日・住所)での受付と、それによる資格の照会。開かないもの: 診療・薬剤・健診情報の閲覧。照会の結果は、つながり次第、一覧に出ます。",
                en: "Opens: receiving a patient by name, sex, birth date and address, and asking for the insurance by them. Does not open: viewing medical information. The answer appears in the list as soon as the line allows.",
            },
            Self::Disaster => Words {
                ja: "開くもの: 4情報(氏名・性別・生年月日・住所)での受付と、それによる資格の照会。開かないもの: 診療・薬剤・健診情報の閲覧。閲覧は、資格確認端末の「災害時医療情報閲覧」で行います。",
                en: "Opens: receiving a patient by name, sex, birth date and address, and asking for the insurance by them. Does not open: viewing medical information; view that at the terminal (災害時医療情報閲覧).",
            },
            Self::EmergencyViewing => Words {
                ja: "開くもの: この画面では、ありません。開いた職員・理由・時間だけを記録します。開かないもの: 4情報での受付と、診療・薬剤・健診情報の閲覧。閲覧は、資格確認端末の「救急時医療情報閲覧」で行います。",
                en: "Opens: nothing here; who opened it, why and for how long goes into the record. Does not open: receiving by the four items, and viewing medical information; view that at the terminal (救急時医療情報閲覧).",
            },
        }
    }

    /// What it is called.
    pub fn title(self) -> Words {
        match self {
            Self::SystemFailure => Words { ja: "システム障害時モード", en: "system failure mode" },
            Self::Disaster => Words { ja: "災害時モード", en: "disaster mode" },
            Self::EmergencyViewing => Words { ja: "救急時医療情報閲覧", en: "emergency viewing" },
        }
    }
}

/// What a site allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Who may open and close modes: names as they are typed at the desk. Nobody checks that whoever types one bears it.
    pub authorised: BTreeSet<StaffName>,
    /// Whether this is a hospital with 救急告示: emergency viewing exists there alone.
    pub emergency_hospital: bool,
    /// The longest that a system failure mode stays open at a time.
    pub system_failure_max: Duration,
    /// The longest that a disaster mode stays open at a time, whatever period was announced.
    pub disaster_max: Duration,
    /// The longest that emergency viewing stays open at a time: one patient.
    pub emergency_viewing_max: Duration,
}

impl Default for Limits {
    /// Nobody is authorised. The times are not published: a failure is judged anew every day, a disaster every month, and
    /// viewing without consent ends with the care of the patient for whom it was opened.
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 60 * 60);
        Self {
            authorised: BTreeSet::new(),
            emergency_hospital: false,
            system_failure_max: hours(24),
            disaster_max: hours(31 * 24),
            emergency_viewing_max: hours(2),
        }
    }
}

impl Limits {
    fn longest(&self, mode: Mode) -> Duration {
        match mode {
            Mode::SystemFailure => self.system_failure_max,
            Mode::Disaster => self.disaster_max,
            Mode::EmergencyViewing => self.emergency_viewing_max,
        }
    }
}

/// For where and for how long a mode is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// This site, for so long; shortened to what the site allows.
    Here(Duration),
    /// A region and the last day of the period, as the ministry announced them.
    Announced {
        /// 対象地域.
        region: String,
        /// The last day in Japan.
        until: Date,
    },
}

/// What happens to the modes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Staff open a mode.
    Open {
        /// Which.
        mode: Mode,
        /// Who.
        by: StaffName,
        /// Why, in words for the audit trail; no personal data.
        reason: String,
        /// Where and how long.
        scope: Scope,
    },
    /// Staff close a mode.
    Close {
        /// Which.
        mode: Mode,
        /// Who.
        by: StaffName,
    },
    /// The deadline has come, or the machine was just restored.
    Tick,
}

/// Why a mode was not opened or closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// This person may not.
    NotAuthorised,
    /// The reason is empty.
    NoReason,
    /// A disaster mode needs the announced region and its period.
    NoRegionOrPeriod,
    /// The announced period is over.
    PeriodOver,
    /// It would have been open for no time at all.
    NoTime,
    /// Emergency viewing exists in hospitals with 救急告示 alone.
    NotThisSite,
    /// The dated rules do not have it on this day.
    NotInForce,
    /// It is open already.
    AlreadyOpen,
    /// It is not open.
    NotOpen,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::NotAuthorised,
        Self::NoReason,
        Self::NoRegionOrPeriod,
        Self::PeriodOver,
        Self::NoTime,
        Self::NotThisSite,
        Self::NotInForce,
        Self::AlreadyOpen,
        Self::NotOpen,
    ];

    /// Its stable name, as the trail keeps it.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotAuthorised => "not_authorised",
            Self::NoReason => "no_reason",
            Self::NoRegionOrPeriod => "no_region_or_period",
            Self::PeriodOver => "period_over",
            Self::NoTime => "no_time",
            Self::NotThisSite => "not_this_site",
            Self::NotInForce => "not_in_force",
            Self::AlreadyOpen => "already_open",
            Self::NotOpen => "not_open",
        }
    }

    /// Why, and what to do, for the staff who tried.
    pub fn words(self) -> Words {
        match self {
            Self::NotAuthorised => Words {
                ja: "このモードを開閉する権限がありません。権限のある職員に依頼してください。",
                en: "You may not open or close this mode: ask a colleague who may.",
            },
            Self::NoReason => Words { ja: "理由を入力してください。", en: "Give a reason." },
            Self::NoRegionOrPeriod => Words {
                ja: "厚生労働省が公表した対象地域と期間の末日を入力してください。",
                en: "Give the region and the last day that the ministry announced.",
            },
            Self::PeriodOver => Words {
                ja: "期間は終了しています。公表された期間を確かめてください。",
                en: "The period is over: check what was announced.",
            },
            Self::NoTime => Words { ja: "開く時間を指定してください。", en: "Say for how long." },
            Self::NotThisSite => Words {
                ja: "救急告示のある病院だけが使えます。設定を確かめてください。",
                en: "Only emergency hospitals have it: check the configuration.",
            },
            Self::NotInForce => Words {
                ja: "今日の規則では使えません。uketsuke rules で開始日を確かめてください。",
                en: "Today's rules do not have it: see from when on with `uketsuke rules`.",
            },
            Self::AlreadyOpen => Words {
                ja: "すでに開いています。延長するときは、いったん閉じて開き直してください。",
                en: "It is open already: to prolong it, close it and open it again.",
            },
            Self::NotOpen => Words { ja: "開いていません。", en: "It is not open." },
        }
    }
}

/// Why a mode closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closing {
    /// Staff closed it.
    By(StaffName),
    /// Its time was up.
    TimeUp,
}

/// A mode that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Who opened it.
    pub by: StaffName,
    /// Why.
    pub reason: String,
    /// 対象地域, for a disaster.
    pub region: Option<String>,
    /// When, to be shown; no age is computed from it.
    pub opened: Stamp,
    /// Its end was to be told from a wall clock that was not synchronised.
    pub clock_doubtful: bool,
    /// What is left, as of the last step.
    remaining_ms: u64,
}

impl Open {
    /// What was left of its time at the last step.
    pub fn remaining(&self) -> Duration {
        Duration::from_millis(self.remaining_ms)
    }
}

/// What the shell does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// For the audit trail: a mode was opened.
    Opened {
        /// Which.
        mode: Mode,
        /// How, by whom and why.
        open: Open,
    },
    /// For the audit trail: a mode was closed.
    Closed {
        /// Which.
        mode: Mode,
        /// Why.
        why: Closing,
        /// When.
        at: Stamp,
    },
    /// For the audit trail and for who tried: nothing was opened or closed.
    Refused {
        /// Which.
        mode: Mode,
        /// Who tried.
        by: StaffName,
        /// Why not.
        why: Refusal,
        /// When.
        at: Stamp,
    },
    /// Write the machine down as it is now.
    Persist,
}

/// The modes of a site: at most one of each kind is open.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Modes {
    open: BTreeMap<Mode, Open>,
    /// The boot and instant as of which the remaining times hold. Not persisted: an instant means nothing to another process.
    #[serde(skip)]
    settled: Option<(u64, Mono)>,
    /// When the remaining times were last persisted.
    #[serde(skip)]
    persisted: Mono,
}

impl Modes {
    /// Goes on by one event. A machine that was just read back is told [`Event::Tick`] first: from then on time counts again.
    pub fn step(&mut self, now: Now, limits: &Limits, event: Event, effects: &mut Vec<Effect>) {
        self.settle(now);
        let before = effects.len();
        self.close_what_is_over(now, effects);
        match event {
            Event::Open { mode, by, reason, scope } => {
                match self.opening(now, limits, mode, by.clone(), reason, scope) {
                    Ok(open) => {
                        self.open.insert(mode, open.clone());
                        effects.push(Effect::Opened { mode, open });
                    }
                    Err(why) => effects.push(Effect::Refused { mode, by, why, at: now.stamp }),
                }
            }
            Event::Close { mode, by } => {
                let closed = if !limits.authorised.contains(&by) {
                    Err(Refusal::NotAuthorised)
                } else {
                    self.open.remove(&mode).ok_or(Refusal::NotOpen)
                };
                effects.push(match closed {
                    Ok(_) => Effect::Closed { mode, why: Closing::By(by), at: now.stamp },
                    Err(why) => Effect::Refused { mode, by, why, at: now.stamp },
                });
            }
            Event::Tick => {}
        }
        let changed = effects[before..].iter().any(|effect| !matches!(effect, Effect::Refused { .. }));
        let due = !self.open.is_empty() && now.mono.since(self.persisted) >= PERSIST_EVERY;
        if changed || due {
            self.persisted = now.mono;
            effects.push(Effect::Persist);
        }
    }

    /// When [`Event::Tick`] is due: in the boot of the last step.
    pub fn deadline(&self) -> Option<Mono> {
        let (_, settled) = self.settled?;
        let over = self.open.values().map(|open| settled.after(open.remaining())).min()?;
        Some(over.min(self.persisted.after(PERSIST_EVERY)))
    }

    /// The modes that are open, as of the last step.
    pub fn open(&self) -> impl Iterator<Item = (Mode, &Open)> {
        self.open.iter().map(|(mode, open)| (*mode, open))
    }

    /// The mode under which something is allowed now, to be recorded with what is done; the first in the order of [`Mode::ALL`]. A mode
    /// whose time is up allows nothing, even before its tick comes.
    pub fn permits(&self, permission: Permission, now: Now) -> Option<Mode> {
        self.open_at(now).find(|mode| mode.permits().contains(&permission))
    }

    fn open_at(&self, now: Now) -> impl Iterator<Item = Mode> {
        let passed = self.passed(now);
        self.open.iter().filter(move |(_, open)| passed < open.remaining()).map(|(mode, _)| *mode)
    }

    /// The time since the last step. Instants of another boot, or before it, say nothing about how long that was.
    fn passed(&self, now: Now) -> Duration {
        match self.settled {
            Some((boot, mono)) if boot == now.boot => now.mono.since(mono),
            _ => Duration::ZERO,
        }
    }

    /// Takes the time since the last step off what remains.
    fn settle(&mut self, now: Now) {
        let passed_ms = u64::try_from(self.passed(now).as_millis()).unwrap_or(u64::MAX);
        for open in self.open.values_mut() {
            open.remaining_ms = open.remaining_ms.saturating_sub(passed_ms);
        }
        match &mut self.settled {
            // An instant before the last one is a mistake of the caller and gives no time back.
            Some((boot, mono)) if *boot == now.boot => *mono = now.mono.max(*mono),
            other => {
                *other = Some((now.boot, now.mono));
                self.persisted = now.mono;
            }
        }
    }

    fn close_what_is_over(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.open.retain(|mode, open| {
            let goes_on = open.remaining_ms > 0;
            if !goes_on {
                effects.push(Effect::Closed { mode: *mode, why: Closing::TimeUp, at: now.stamp });
            }
            goes_on
        });
    }

    /// The guards, in the order in which staff can do something about them.
    fn opening(
        &self,
        now: Now,
        limits: &Limits,
        mode: Mode,
        by: StaffName,
        reason: String,
        scope: Scope,
    ) -> Result<Open, Refusal> {
        if !limits.authorised.contains(&by) {
            return Err(Refusal::NotAuthorised);
        }
        if mode == Mode::EmergencyViewing && !limits.emergency_hospital {
            return Err(Refusal::NotThisSite);
        }
        let today = Today::of(now.stamp);
        let in_force = mode != Mode::EmergencyViewing || Rules::on(today).opens(Route::EmergencyViewing).is_some();
        // A clock that may be wrong refuses nothing.
        if today.trusted && !in_force {
            return Err(Refusal::NotInForce);
        }
        if self.open.contains_key(&mode) {
            return Err(Refusal::AlreadyOpen);
        }
        if reason.trim().is_empty() {
            return Err(Refusal::NoReason);
        }
        let (region, asked, clock_doubtful) = match (mode, scope) {
            (Mode::Disaster, Scope::Announced { region, until }) if !region.trim().is_empty() => {
                (Some(region), until_the_end_of(until, now.stamp)?, !now.stamp.synchronised)
            }
            (Mode::Disaster, _) => return Err(Refusal::NoRegionOrPeriod),
            (_, Scope::Here(lasting)) => (None, lasting, false),
            // The other modes are opened by the site; the ministry announces none.
            (_, Scope::Announced { .. }) => return Err(Refusal::NoTime),
        };
        let lasts = asked.min(limits.longest(mode));
        let remaining_ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        if remaining_ms == 0 {
            return Err(Refusal::NoTime);
        }
        Ok(Open { by, reason, region, opened: now.stamp, clock_doubtful, remaining_ms })
    }
}

/// From now to the midnight with which the day ends. A doubtful clock neither refuses nor tells: then it is a day.
fn until_the_end_of(last: Date, stamp: Stamp) -> Result<Duration, Refusal> {
    if !stamp.synchronised {
        return Ok(DOUBTFUL_PERIOD);
    }
    let left_ms = last.next().begins_ms_jst().saturating_sub(stamp.wall_ms);
    match u64::try_from(left_ms) {
        Ok(left_ms @ 1..) => Ok(Duration::from_millis(left_ms)),
        _ => Err(Refusal::PeriodOver),
    }
}

#[cfg(test)]
mod tests;
