//! How many requests may be in flight: the rule by which TCP shares a line (slow start and congestion avoidance, RFC 5681 §3.1), counted
//! in requests.
//!
//! * After a start, and whenever the destination comes back, one.
//! * One more for each delivery while below the threshold: it doubles with every round trip.
//! * From the threshold on, one more for each windowful of deliveries.
//! * When the destination says that it is busy: half, which is also the new threshold.
//! * When requests fail or time out so often that everything pauses, or the destination is gone: one, and the threshold is half of what
//!   the window was.

/// The window of one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    size: u32,
    most: u32,
    threshold: u32,
    /// Deliveries since it last grew, once it is at the threshold.
    delivered: u32,
}

impl Window {
    /// One request at a time, `most` at some time.
    pub(super) fn new(most: u32) -> Self {
        let most = most.max(1);
        Self { size: 1, most, threshold: most, delivered: 0 }
    }

    /// Requests that may be in flight now; at least one.
    pub(super) fn size(&self) -> u32 {
        self.size
    }

    /// A request took effect.
    pub(super) fn delivered(&mut self) {
        self.delivered += 1;
        if self.size < self.threshold || self.delivered >= self.size {
            self.delivered = 0;
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
    }

    fn shrink(&mut self, to: u32) {
        self.threshold = to.max(1);
        self.size = self.threshold;
        self.delivered = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(window: &mut Window, deliveries: u32) -> u32 {
        (0..deliveries).for_each(|_| window.delivered());
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
    fn after_a_busy_answer_it_is_half_and_grows_by_one_with_every_round_trip() {
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
        assert_eq!(after(&mut window, 15), 16);
        assert_eq!(after(&mut window, 1), 17);
    }

    proptest! {
        #[test]
        fn it_is_never_less_than_one_nor_more_than_its_most(most in 0u32..100, news in proptest::collection::vec(0u8..8, 0..400)) {
            let mut window = Window::new(most);
            for one in news {
                match one {
                    0 => window.busy(),
                    1 => window.lost(),
                    _ => window.delivered(),
                }
                prop_assert!((1..=most.max(1)).contains(&window.size()));
            }
            // Trouble that is over is over: however bad it was, all of the room is used again some time.
            (0..20_000).for_each(|_| window.delivered());
            prop_assert_eq!(window.size(), most.max(1));
        }
    }
}
