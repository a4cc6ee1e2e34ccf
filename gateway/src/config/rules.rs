//! The sections as the parts of the gateway take them.

use super::{Central, Ladder, Modes, Mqtt, Reception, SiteKind, Store};
use crate::upkeep::Limits;
use std::time::Duration;
use uketsuke_core::consent::Question;
use uketsuke_core::ladder;
use uketsuke_core::modes;
use uketsuke_core::outbox;
use uketsuke_core::reception::{Rules, Timing};

impl SiteKind {
    /// The grouping of the official posters.
    fn questions(self) -> Vec<Question> {
        match self {
            Self::Medical => vec![Question::TreatmentAndMedication, Question::Checkups],
            Self::Pharmacy => vec![Question::Medication, Question::Checkups],
        }
    }
}

impl Store {
    /// As upkeep takes them.
    pub fn limits(&self) -> Limits {
        Limits {
            attention_bytes: self.attention_mib.saturating_mul(1024 * 1024),
            attention_free_bytes: self.attention_free_mib.saturating_mul(1024 * 1024),
            set_aside_after: Duration::from_secs(u64::from(self.set_aside_after_h) * 60 * 60),
            receptions_kept: Duration::from_secs(u64::from(self.receptions_kept_days) * 24 * 60 * 60),
        }
    }
}

impl Ladder {
    /// What the core needs of this section.
    pub fn rules(&self) -> ladder::Rules {
        let s = Duration::from_secs;
        ladder::Rules {
            answer_within: s(self.answer_within_s),
            later_data_after: self.later_data_after_s.iter().copied().map(s).collect(),
            numbers_within: s(self.numbers_within_s),
            choose_within: s(self.choose_within_s),
            tell_within: s(self.tell_within_s),
            recheck_every: s(self.recheck_every_s),
            life: s(self.life_s),
            asks_max: self.asks_max,
        }
    }
}

impl Modes {
    /// What the core needs of this section.
    pub fn limits(&self) -> modes::Limits {
        let hours = |hours: u64| Duration::from_secs(hours.saturating_mul(3600));
        modes::Limits {
            authorised: self.authorised.iter().cloned().collect(),
            emergency_hospital: self.emergency_hospital,
            system_failure_max: hours(self.system_failure_max_h),
            disaster_max: hours(self.disaster_max_h),
            emergency_viewing_max: hours(self.emergency_viewing_max_h),
        }
    }
}

impl Reception {
    /// What the core needs of this section, at a site of this kind.
    pub fn rules(&self, site: SiteKind) -> Rules {
        let ms = Duration::from_millis;
        let timing = Timing {
            read: ms(self.read_deadline_ms),
            choose: ms(self.choose_deadline_ms),
            face: ms(self.face_deadline_ms),
            pin: ms(self.pin_deadline_ms),
            staff: ms(self.staff_deadline_ms),
            answer: ms(self.answer_deadline_ms),
            answer_line_down: ms(self.answer_line_down_ms),
            inform: ms(self.inform_deadline_ms),
            register: ms(self.register_deadline_ms),
            consent: ms(self.consent_deadline_ms),
            left_behind: ms(self.left_behind_ms),
            face_attempts_max: self.face_attempts_max,
            ..Timing::default()
        };
        Rules { timing, questions: self.questions.clone().unwrap_or_else(|| site.questions()) }
    }
}

impl Central {
    /// What the courier's plan needs of this section.
    pub fn courier_rules(&self) -> outbox::Rules {
        outbox::Rules {
            window_max: self.window_max,
            probe_every: Duration::from_millis(self.probe_every_ms),
            ..outbox::Rules::default()
        }
    }
}

impl Mqtt {
    /// What the gateway of this site is called at the broker.
    pub fn client_id(&self, site: &str) -> String {
        self.client_id.clone().unwrap_or_else(|| format!("uketsuke-{site}"))
    }
}
