//! What holds where the configuration says nothing.

use super::{ClockSource, Face, Ladder, Modes, Mqtt, Reception, Web};
use std::net::SocketAddr;
use std::time::Duration;
use uketsuke_core::ladder;
use uketsuke_core::modes;
use uketsuke_core::reception::Timing;

/// Staff ask about a visit within the year after it; records of treatment are kept by the receipt computer, not here.
pub(super) fn receptions_kept_days() -> u32 {
    400
}

pub(super) fn set_aside_after_h() -> u32 {
    72
}

/// A day of a large hospital.
pub(super) fn attention_waiting() -> u64 {
    5_000
}

pub(super) fn attention_mib() -> u64 {
    4_096
}

/// Weeks of receptions of a large site, so that there is time to see to it.
pub(super) fn attention_free_mib() -> u64 {
    512
}

pub(super) fn connect_timeout_ms() -> u64 {
    2_000
}

pub(super) fn call_deadline_ms() -> u64 {
    5_000
}

pub(super) fn window_max() -> u32 {
    64
}

pub(super) fn probe_every_ms() -> u64 {
    1_000
}

pub(super) fn watch_every_ms() -> u64 {
    2_000
}

pub(super) fn warn_days() -> u32 {
    30
}

impl Default for Face {
    fn default() -> Self {
        Self {
            enabled: true,
            models_dir: "models".into(),
            threads: 1,
            accept: 0.42,
            staff_look: 0.36,
            frames_min: 2,
            frames_max: 8,
        }
    }
}

impl Default for Reception {
    fn default() -> Self {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let timing = Timing::default();
        Self {
            questions: None,
            read_deadline_ms: ms(timing.read),
            choose_deadline_ms: ms(timing.choose),
            face_deadline_ms: ms(timing.face),
            pin_deadline_ms: ms(timing.pin),
            staff_deadline_ms: ms(timing.staff),
            answer_deadline_ms: ms(timing.answer),
            answer_line_down_ms: ms(timing.answer_line_down),
            inform_deadline_ms: ms(timing.inform),
            register_deadline_ms: ms(timing.register),
            consent_deadline_ms: ms(timing.consent),
            left_behind_ms: ms(timing.left_behind),
            face_attempts_max: timing.face_attempts_max,
        }
    }
}

impl Default for Ladder {
    fn default() -> Self {
        let rules = ladder::Rules::default();
        Self {
            answer_within_s: rules.answer_within.as_secs(),
            later_data_after_s: rules.later_data_after.iter().map(Duration::as_secs).collect(),
            numbers_within_s: rules.numbers_within.as_secs(),
            choose_within_s: rules.choose_within.as_secs(),
            tell_within_s: rules.tell_within.as_secs(),
            recheck_every_s: rules.recheck_every.as_secs(),
            life_s: rules.life.as_secs(),
            asks_max: rules.asks_max,
        }
    }
}

impl Default for Modes {
    fn default() -> Self {
        let hours = |longest: Duration| longest.as_secs() / 3600;
        let limits = modes::Limits::default();
        Self {
            authorised: Vec::new(),
            emergency_hospital: limits.emergency_hospital,
            system_failure_max_h: hours(limits.system_failure_max),
            disaster_max_h: hours(limits.disaster_max),
            emergency_viewing_max_h: hours(limits.emergency_viewing_max),
        }
    }
}

impl Default for Web {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8090)) }
    }
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            enabled: false,
            host: "localhost".into(),
            port: 1883,
            client_id: None,
            topic_prefix: "uketsuke".into(),
            keep_alive_s: 10,
            refresh_s: 60,
        }
    }
}

impl Default for ClockSource {
    fn default() -> Self {
        Self { synchronised_marker: "/run/systemd/timesync/synchronized".into() }
    }
}
