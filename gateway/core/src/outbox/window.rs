//! How many requests may be in flight: the rules by which TCP shares a line, counted in requests; slow start and halving as in RFC 5681
//! §3.1, and in between the rule of TCP Vegas (Brakmo and Peterson, 1995), which notices a queue before anything is lost.
//!
//! * After a start, and whenever the destination comes back, one.
//! * One more for each answer while below the threshold: it doubles with every round trip.
//! * After each round: of the window, as much waits in a queue somewhere as the round's quickest answer took longer than the quickest of
//!   all, `window × (quickest of the round − quickest of all) / mean of the round`; slow answers alone are no queue. More than
//!   [`QUEUED_MAX`]: less by half of what is too much, and the threshold comes down to it. From the threshold on, fewer than
//!   [`QUEUED_MIN`]: one more. A round is a windowful of answers and at least [`ROUND_MIN`]; but the first one, which is to find no
//!   queue, is [`FIRST_ROUND`].
//! * Every [`ROUNDS_MAX`] rounds it forgets the quickest and halves, so that no queue of ours is taken for the destination's own time,
//!   and goes fast to what it was: the destination may have become slower for good.
//! * When the destination says that it is busy: half, which is also the new threshold.
//! * When requests fail or time out so often that everything pauses, or the destination is gone: one, and the threshold is half of what
//!   the window was; it may come back over another line, so that what was quick is forgotten.
//!
//! A longer queue would deliver no more, and whoever stands at a reader would wait at its end.

use std::time::Duration;

/// Requests in a queue that are worth having: without any, the destination would wait for us.
const QUEUED_MIN: f64 = 4.0;
/// Requests in a queue that are too many.
const QUEUED_MAX: f64 = 8.0;
/// The clock counts these: quicker answers are all as quick.
const TICK: Duration = Duration::from_millis(1);
/// Answers whose mean says something in spite of that.
const ROUND_MIN: u32 = 16;
/// Answers of the first round.
const FIRST_ROUND: u32 = 4;
/// Rounds for which the quickest one counts.
const ROUNDS_MAX: u32 = 64;

/// The window of one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    size: u32,
    most: u32,
    threshold: u32,
    /// Answers of this round so far, what they took together, and the quickest.
    answers: u32,
    took: Duration,
    least: Duration,
    /// The quickest answer, and the rounds since it was forgotten.
    quickest: Option<Duration>,
    rounds: u32,
    /// Answers still to come of requests that were sent before it halved: they say how it was then.
    former: u32,
}

impl Window {
    /// One request at a time, `most` at some time.
    pub(super) fn new(most: u32) -> Self {
        let most = most.max(1);
        Self {
            size: 1,
            most,
            threshold: most,
            answers: 0,
            took: Duration::ZERO,
            least: Duration::MAX,
            quickest: None,
            rounds: 0,
            former: 0,
        }
    }

    /// One that has grown to its most.
    #[cfg(test)]
    pub(super) fn grown(most: u32) -> Self {
        Self { size: most, ..Self::new(most) }
    }

    /// Requests that may be in flight now; at least one.
    pub(super) fn size(&self) -> u32 {
        self.size
    }

    /// A request took effect, so long after it was sent.
    pub(super) fn delivered(&mut self, took: Duration) {
        if self.former > 0 {
            self.former -= 1;
            return;
        }
        self.answers += 1;
        self.took = self.took.saturating_add(took);
        self.least = self.least.min(took);
        if self.size < self.threshold {
            self.size = (self.size + 1).min(self.most);
        }
        let enough = if self.quickest.is_none() { FIRST_ROUND } else { self.size.max(ROUND_MIN) };
        if self.answers >= enough {
            self.round();
        }
    }

    fn round(&mut self) {
        let mean = (self.took / self.answers.max(1)).max(TICK);
        let least = self.least.max(TICK);
        let quickest = self.quickest.map_or(least, |quickest| quickest.min(least));
        self.quickest = Some(quickest);
        self.begin_round();
        self.rounds += 1;
        if self.rounds >= ROUNDS_MAX {
            self.forget();
            self.former = self.size;
            self.shrink(self.size);
            self.size = (self.size / 2).max(1);
            return;
        }
        let queued = f64::from(self.size) * (least - quickest).div_duration_f64(mean);
        if queued > QUEUED_MAX {
            // Half of the way: the next round shows how far that was.
            let less = ((queued - QUEUED_MAX) / 2.0).ceil() as u32;
            self.size = self.size.saturating_sub(less).max(1);
            self.threshold = self.threshold.min(self.size);
        } else if queued < QUEUED_MIN && self.size >= self.threshold {
            self.size = (self.size + 1).min(self.most);
        }
    }

    /// The destination asks for a pause.
    pub(super) fn busy(&mut self) {
        self.shrink(self.size / 2);
    }

    /// The destination is gone, or nothing gets through.
    pub(super) fn lost(&mut self) {
        // A second loss in a row says nothing about how much was too much.
        let threshold = if self.size > 1 { self.size / 2 } else { self.threshold };
        self.shrink(threshold);
        self.size = 1;
        self.former = 0;
        self.forget();
    }

    fn forget(&mut self) {
        (self.rounds, self.quickest) = (0, None);
    }

    fn begin_round(&mut self) {
        (self.answers, self.took, self.least) = (0, Duration::ZERO, Duration::MAX);
    }

    fn shrink(&mut self, to: u32) {
        self.threshold = to.max(1);
        self.size = self.threshold;
        self.begin_round();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(window: &mut Window, deliveries: u32) -> u32 {
        (0..deliveries).for_each(|_| window.delivered(Duration::from_millis(5)));
        window.size()
    }

    /// So many rounds against a destination that takes `alone_ms` for a request and works at `at_once` of them.
    fn against(window: &mut Window, alone_ms: u64, at_once: u64, rounds: u32) -> u32 {
        for _ in 0..rounds {
            for _ in 0..window.size().max(ROUND_MIN) {
                window.delivered(Duration::from_millis(alone_ms * u64::from(window.size()).max(at_once) / at_once));
            }
        }
        window.size()
    }

    #[test]
    fn it_doubles_with_every_round_trip_up_to_the_threshold() {
        let mut window = Window::new(64);
        let sizes: Vec<u32> = (0..7)
            .map(|_| {
                let size = window.size();
                after(&mut window, size)
            })
            .collect();
        assert_eq!(sizes, [2, 4, 8, 16, 32, 64, 64]);
    }

    #[test]
    fn after_a_busy_answer_it_is_half_and_grows_by_one_with_every_round() {
        let mut window = Window::new(64);
        after(&mut window, 40);
        window.busy();
        assert_eq!(window.size(), 20);
        assert_eq!([after(&mut window, 19), after(&mut window, 1), after(&mut window, 21)], [20, 21, 22]);
    }

    #[test]
    fn after_a_loss_it_starts_over_and_goes_fast_to_half_of_what_it_was_only() {
        let mut window = Window::new(64);
        after(&mut window, 31);
        window.lost();
        window.lost();
        assert_eq!(window.size(), 1);
        assert_eq!(after(&mut window, 15), 16);
        assert_eq!([after(&mut window, 1), after(&mut window, 16)], [16, 17]);
    }

    #[test]
    fn it_keeps_a_destination_busy_with_a_short_queue_in_front_of_it() {
        for (alone_ms, at_once) in [(10, 4), (50, 8), (200, 16), (3, 12)] {
            let mut window = Window::new(64);
            let size = u64::from(against(&mut window, alone_ms, at_once, 200));
            assert!((at_once..=at_once * 2 + 16).contains(&size), "{size} for {at_once} at once");
        }
    }

    #[test]
    fn a_long_way_is_no_queue() {
        let mut window = Window::new(64);
        assert_eq!(against(&mut window, 2_000, 1_000, 3), 64);
    }

    #[test]
    fn slow_answers_alone_are_no_queue() {
        // Evenly spread, and four quick ones for each slow one; whatever is sent is worked at.
        let spread = |n: u64| n * 7919 % 200;
        let two_kinds = |n: u64| if n.is_multiple_of(5) { 2_000 } else { 20 };
        for took_ms in [&spread as &dyn Fn(u64) -> u64, &two_kinds] {
            let mut window = Window::new(64);
            let mut sizes: Vec<u32> = (0..20_000)
                .map(|n| {
                    window.delivered(Duration::from_millis(took_ms(n)));
                    window.size()
                })
                .collect();
            sizes.sort_unstable();
            assert!(sizes[sizes.len() / 2] >= 56, "{}", sizes[sizes.len() / 2]);
        }
    }

    #[test]
    fn a_destination_that_has_become_slower_for_good_is_used_whole_again() {
        let mut window = Window::new(64);
        against(&mut window, 5, 1_000, 10);
        assert!(against(&mut window, 50, 1_000, 48) < 32);
        against(&mut window, 50, 1_000, ROUNDS_MAX);
        assert_eq!(window.size(), 64);
    }

    proptest! {
        #[test]
        fn it_is_never_less_than_one_nor_more_than_its_most(
            most in 0u32..100,
            news in proptest::collection::vec((0u8..8, 0u64..10_000), 0..400),
        ) {
            let mut window = Window::new(most);
            for (one, took_ms) in news {
                match one {
                    0 => window.busy(),
                    1 => window.lost(),
                    _ => window.delivered(Duration::from_millis(took_ms)),
                }
                prop_assert!((1..=most.max(1)).contains(&window.size()));
            }
            // Trouble that is over is over: however bad it was, all of the room is used again some time.
            let grown = (0..20_000).any(|_| after(&mut window, 1) == most.max(1));
            prop_assert!(grown, "{window:?}");
        }
    }
}
