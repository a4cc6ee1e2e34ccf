//! Whether material that worked before stands in for a file that cannot be used: for our certificate and key, for authorities, and for
//! revocation lists, each for itself.
//!
//! Promises:
//! * Files that can be used are used, whatever was there before: what was taken away on purpose does not come back.
//! * A former certificate with its key is used for at most [`PAIR_USED_MAX`], and only where the files cannot be read, or where the central
//!   system declines the pair in them: it answers, and refuses what is asked under it.
//! * A pair takes the place of the kept one only once a request was believed under it. An answered ping does not show whose pair it is: a
//!   neighbour's of the same authority is answered too.
//! * A declined pair is tried again, with back-off; at once when the files change.
//!
//! At a start a pair that parses is used whatever worked before, and one that the central system does not even let in, or whose key does not
//! fit, closes the line in words until a person comes: nobody can tell a mistake from a pair that was replaced on purpose. A pair that is
//! let in and then declined gives way at once, after a start as before it: patients must not wait for a person, and what the files say is
//! still tried first. A pair that was replaced on purpose may serve again in this way: the days of its use are counted over restarts, and end
//! only when a request is believed under the new pair ([`is_mended`]), so that it serves for [`PAIR_USED_MAX`] in all.
//! * Former authorities and lists are used until their own end.

use crate::backoff::Backoff;
use crate::clock::{Mono, Now};
use crate::retention::Waiting;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A former certificate with its key is used for so long at most: time to mend the files, over a long holiday.
pub const PAIR_USED_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What the files of a part are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// They can be used.
    Usable,
    /// They are missing, empty, half written, or of another encoding: they do not say what they should be.
    Unreadable,
    /// They can be read, and are refused for what they say.
    Unfit,
    /// They can be used, and the central system refuses what is asked with them.
    Declined,
}

/// How far something in use was seen working.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worked {
    /// A ping was answered.
    Connected,
    /// A request was accepted that was signed with it.
    Believed,
}

/// What is kept of a part that worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Nothing.
    Nothing,
    /// It is past its date.
    Ended,
    /// It is valid.
    Valid,
}

/// What is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The files.
    Files,
    /// What worked before.
    Former,
    /// Nothing; the part, and the line with it, stays closed.
    Nothing(Why),
}

/// Why nothing stands in for files that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The files say what they are; they are refused for that.
    Unfit,
    /// Nothing that worked is kept.
    NothingKept,
    /// What is kept is past its date.
    Ended,
    /// It was used for [`PAIR_USED_MAX`].
    TooLong,
}

/// What is used as our certificate and key. `unusable` is how long the files could not be used by now.
pub fn pair(found: Found, kept: Kept, unusable: Duration) -> Choice {
    match (found, kept) {
        (Found::Usable, _) => Choice::Files,
        (Found::Unfit, _) => Choice::Nothing(Why::Unfit),
        (Found::Unreadable, Kept::Nothing) => Choice::Nothing(Why::NothingKept),
        (Found::Unreadable, Kept::Ended) => Choice::Nothing(Why::Ended),
        (Found::Unreadable, Kept::Valid) if unusable >= PAIR_USED_MAX => Choice::Nothing(Why::TooLong),
        (Found::Unreadable, Kept::Valid) => Choice::Former,
        (Found::Declined, Kept::Valid) if unusable < PAIR_USED_MAX => Choice::Former,
        // Nothing better is left.
        (Found::Declined, _) => Choice::Files,
    }
}

/// Whether a pair that worked takes the place of the kept one. `same`: it is the kept one.
pub fn takes_the_place(kept: Kept, same: bool, worked: Worked) -> bool {
    same || kept != Kept::Valid || worked == Worked::Believed
}

/// Whether files whose pair can be used end the time in which they could not be. While another pair is kept that may stand in again, only a
/// request that is believed ends it: a start alone would give the former pair its days anew. `same`: the files hold the kept pair.
pub fn is_mended(kept: Kept, same: bool, worked: Option<Worked>) -> bool {
    same || kept != Kept::Valid || worked == Some(Worked::Believed)
}

/// How long a declined pair rests while the former one serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    times: u32,
    /// It is tried again then…
    over: Mono,
    /// …or from then on, when the former pair is refused as well.
    hastened: Mono,
}

const RESTS: Backoff = Backoff { first: Duration::from_secs(10 * 60), most: Duration::from_secs(6 * 60 * 60) };
const RESTS_HASTENED: Backoff = Backoff { first: Duration::from_secs(30), most: Duration::from_secs(10 * 60) };

impl Rest {
    /// Of a pair that was declined now, after its rest `before` if it had one.
    pub fn begin(before: Option<Self>, now: Mono, jitter: f64) -> Self {
        let times = before.map_or(0, |before| before.times).saturating_add(1);
        let after = |backoff: Backoff| now.after(backoff.delay(times, jitter));
        Self { times, over: after(RESTS), hastened: after(RESTS_HASTENED) }
    }

    /// The former pair is refused as well.
    pub fn hasten(&mut self) {
        self.over = self.over.min(self.hastened);
    }

    /// Whether the pair is tried again.
    pub fn is_over(self, now: Mono) -> bool {
        now >= self.over
    }
}

/// What is used as authorities, or as revocation lists. Files that are refused for what they say never take the place of what is kept:
/// a list that is older than the kept one is such a file.
pub fn trust(found: Found, kept: Kept) -> Choice {
    match (found, kept) {
        (Found::Usable, _) => Choice::Files,
        (_, Kept::Valid) => Choice::Former,
        (_, Kept::Ended) => Choice::Nothing(Why::Ended),
        (Found::Unfit | Found::Declined, Kept::Nothing) => Choice::Nothing(Why::Unfit),
        (Found::Unreadable, Kept::Nothing) => Choice::Nothing(Why::NothingKept),
    }
}

/// For how long the files of a part could not be used, over restarts. A wrong wall clock neither ends it at once nor stretches it for
/// ever: see [`Waiting`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spell {
    since_ms: i64,
    waiting: Waiting,
}

impl Spell {
    /// Goes on until now, or begins.
    pub fn continued(spell: Option<Self>, now: Now) -> Self {
        let Self { since_ms, mut waiting } =
            spell.unwrap_or_else(|| Self { since_ms: now.stamp.wall_ms, waiting: Waiting::begin(now) });
        waiting.observe(now);
        Self { since_ms, waiting }
    }

    /// What the wall clock said when it began.
    pub fn since_ms(self) -> i64 {
        self.since_ms
    }

    /// How long by now.
    pub fn lasted(self) -> Duration {
        self.waiting.waited()
    }

    /// Whether this is worth writing down, where `kept` was written before.
    pub fn worth_keeping(self, kept: Option<Self>) -> bool {
        /// A machine that restarts more often than this loses no more than this at each restart.
        const KEEP_EVERY: Duration = Duration::from_secs(10 * 60);
        kept.is_none_or(|kept| {
            kept.waiting.boot() != self.waiting.boot() || self.lasted().saturating_sub(kept.lasted()) >= KEEP_EVERY
        })
    }
}

#[cfg(test)]
mod tests;
