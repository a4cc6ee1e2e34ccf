//! When a peer counts as gone.
//!
//! Promises: beats are counted, not seconds. A loop that was held up has not listened meanwhile and does not blame the peer for it. Any
//! byte counts as a sign of life: on a slow line one large message is under way for longer than a silent peer is waited for.

/// Whole beats without a byte, after which a peer is gone.
pub const BEATS_MAX: u32 = 4;

/// How long nothing came from a peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Silence {
    /// Beats since the most recent byte. The first of them ends no whole beat.
    beats: u32,
}

impl Silence {
    /// Something came from the peer, even a single byte.
    pub fn broken(&mut self) {
        self.beats = 0;
    }

    /// A beat is due. True: nothing came for [`BEATS_MAX`] whole beats, and the peer is gone.
    #[must_use]
    pub fn beat(&mut self) -> bool {
        self.beats = self.beats.saturating_add(1);
        self.beats > BEATS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets beats pass until the peer is gone.
    fn gone_at(silence: &mut Silence) -> Option<u32> {
        (1..100).find(|_| silence.beat())
    }

    #[test]
    fn a_peer_is_gone_after_four_whole_beats_without_a_byte_and_not_before() {
        let mut silence = Silence::default();
        assert_eq!(gone_at(&mut silence), Some(5), "from the first beat to the fifth four whole ones pass");
        silence.broken();
        assert_eq!(gone_at(&mut silence), Some(5), "so also after a byte");
    }

    #[test]
    fn a_byte_in_every_fourth_beat_keeps_a_peer_for_ever() {
        let mut silence = Silence::default();
        for _ in 0..1_000 {
            assert!(!(0..BEATS_MAX).any(|_| silence.beat()));
            silence.broken();
        }
    }
}
