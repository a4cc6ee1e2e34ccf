//! How long each state lasts at most.

use std::time::Duration;

/// Deadlines of the reception. The published sources name none ("no operation for a while"); the defaults are what a person with
/// slow hands needs, and short enough that the next patient never meets an open session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Reading certificate and photo.
    pub read: Duration,
    /// Choosing a method.
    pub choose: Duration,
    /// One face attempt.
    pub face: Duration,
    /// Typing a PIN.
    pub pin: Duration,
    /// The card's answer to a PIN.
    pub pin_check: Duration,
    /// Waiting for staff.
    pub staff: Duration,
    /// T1 or T2 reaching the disk.
    pub write: Duration,
    /// The answer of the central system, after which the reception goes on as provisional.
    pub answer: Duration,
    /// The same while the line is known to be down: long enough for a line that comes back at once.
    pub answer_line_down: Duration,
    /// Reading why the insurance is not valid.
    pub inform: Duration,
    /// Deciding about 初回登録.
    pub register: Duration,
    /// One consent question.
    pub consent: Duration,
    /// A card left in the reader, between reminders.
    pub left_behind: Duration,
    /// A notice after the card is gone.
    pub notice: Duration,
    /// Face attempts of one reception that may fail, or be too close to call, before the face is not offered any more.
    pub face_attempts_max: u32,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            read: Duration::from_secs(10),
            choose: Duration::from_secs(60),
            face: Duration::from_secs(20),
            pin: Duration::from_secs(60),
            pin_check: Duration::from_secs(10),
            staff: Duration::from_secs(180),
            write: Duration::from_secs(10),
            answer: Duration::from_secs(10),
            answer_line_down: Duration::from_millis(1_500),
            inform: Duration::from_secs(60),
            register: Duration::from_secs(60),
            consent: Duration::from_secs(60),
            left_behind: Duration::from_secs(20),
            notice: Duration::from_secs(6),
            face_attempts_max: 2,
        }
    }
}
