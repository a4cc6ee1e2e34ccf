//! From scores of single frames to one decision. Pure: no clock, no I/O, no randomness.
//!
//! One lucky frame must not open the door, so no frame decides alone. The figure that counts is the
//! **k-th best score** of the attempt, k being [`Thresholds::frames_min`]: it reaches a threshold only when k frames
//! did. It never falls while frames arrive, so accepting may happen early and refusing waits for the last frame.
//!
//! Invariants, each tested:
//! - accepted only if at least `frames_min` frames scored `accept` or more;
//! - decided at the latest with frame `frames_max`, and never changed afterwards;
//! - a frame with a higher score never makes the decision worse.

use serde::Deserialize;

use crate::{compare::Score, quality::Advice};

/// What one camera frame showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FrameResult {
    /// A face, compared with the reference.
    Face {
        /// Likeness of the nearest face.
        score: Score,
        /// What would make the next frame better.
        advice: Option<Advice>,
    },
    /// Nobody could be compared.
    NoFace {
        /// What would make the next frame better.
        advice: Advice,
    },
}

/// When a face is accepted. Deserialised with every key optional, unknown keys refused, and values checked.
///
/// Measured rates of single frames stand at [`Score`]: 0.42 is stricter than FMR 1 in 10,000 (0.416, FNMR 2.1 %;
/// 4.1 % for a 3 kB chip photo), 0.36 is FMR 1 in 1,000 and leads to a member of staff, never to acceptance. A site
/// that wants it stricter sets `accept = 0.45`. Frames of one attempt resemble each other, so asking for two guards
/// against a freak frame; it does not multiply the rates.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "RawThresholds")]
pub struct Thresholds {
    accept: Score,
    staff: Score,
    frames_min: u32,
    frames_max: u32,
}

/// Why thresholds are refused: correct the named key.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ThresholdsError {
    /// `accept` and `staff` are out of order or out of range.
    #[error("thresholds must satisfy 0 < staff ({staff}) <= accept ({accept}) < 1")]
    Scores {
        /// The value of `accept`.
        accept: f32,
        /// The value of `staff`.
        staff: f32,
    },
    /// `frames_min` and `frames_max` are out of order or out of range.
    #[error("frame counts must satisfy 1 <= frames_min ({min}) <= frames_max ({max}) <= {FRAMES_LIMIT}")]
    Frames {
        /// The value of `frames_min`.
        min: u32,
        /// The value of `frames_max`.
        max: u32,
    },
}

/// More frames than any attempt should take: five minutes at two frames a second.
const FRAMES_LIMIT: u32 = 600;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawThresholds {
    accept: f32,
    staff: f32,
    frames_min: u32,
    frames_max: u32,
}

impl Default for RawThresholds {
    fn default() -> Self {
        Self { accept: 0.42, staff: 0.36, frames_min: 2, frames_max: 30 }
    }
}

impl TryFrom<RawThresholds> for Thresholds {
    type Error = ThresholdsError;

    fn try_from(raw: RawThresholds) -> Result<Self, ThresholdsError> {
        Self::new(raw.accept, raw.staff, raw.frames_min, raw.frames_max)
    }
}

impl Default for Thresholds {
    /// `accept` 0.42, `staff` 0.36, `frames_min` 2, `frames_max` 30.
    fn default() -> Self {
        let RawThresholds { accept, staff, frames_min, frames_max } = RawThresholds::default();
        Self { accept: Score::new(accept), staff: Score::new(staff), frames_min, frames_max }
    }
}

impl Thresholds {
    /// Checked thresholds: `accept` and `staff` as cosines, `frames_min` frames that must agree, `frames_max` frames
    /// (with or without a face) after which the attempt ends.
    ///
    /// # Errors
    /// Unless 0 < `staff` ≤ `accept` < 1 and 1 ≤ `frames_min` ≤ `frames_max` ≤ 600.
    pub fn new(accept: f32, staff: f32, frames_min: u32, frames_max: u32) -> Result<Self, ThresholdsError> {
        // Written so that values that are not numbers fail as well.
        if !(0.0 < staff && staff <= accept && accept < 1.0) {
            return Err(ThresholdsError::Scores { accept, staff });
        }
        if frames_min == 0 || frames_min > frames_max || frames_max > FRAMES_LIMIT {
            return Err(ThresholdsError::Frames { min: frames_min, max: frames_max });
        }
        Ok(Self { accept: Score::new(accept), staff: Score::new(staff), frames_min, frames_max })
    }

    /// Score from which the face is accepted.
    pub fn accept(&self) -> Score {
        self.accept
    }

    /// Score from which a member of staff is asked to look.
    pub fn staff(&self) -> Score {
        self.staff
    }

    /// Frames that must reach a threshold for it to count.
    pub fn frames_min(&self) -> u32 {
        self.frames_min
    }

    /// Frames after which the attempt ends.
    pub fn frames_max(&self) -> u32 {
        self.frames_max
    }
}

/// How an attempt ended. The scores are the k-th best, or the lowest when fewer than k frames showed a face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decision {
    /// The same person: go on.
    Accept {
        /// At least [`Thresholds::accept`].
        score: Score,
    },
    /// Too alike to refuse, not enough to accept: ask a member of staff to compare.
    StaffLook {
        /// At least [`Thresholds::staff`].
        score: Score,
    },
    /// Not the same person as far as can be seen: offer another method.
    Reject {
        /// Below [`Thresholds::staff`].
        score: Score,
    },
    /// Nobody was seen in any frame: offer another method.
    NoFace,
}

/// One attempt at verification: frames in, one decision out.
#[derive(Debug, Clone)]
pub struct Decider {
    thresholds: Thresholds,
    /// The best `frames_min` scores, highest first: no others can matter.
    best: Vec<Score>,
    frames: u32,
    decision: Option<Decision>,
}

impl Decider {
    /// A fresh attempt.
    pub fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, best: Vec::new(), frames: 0, decision: None }
    }

    /// Takes the next frame; `Some` from the frame that decides on, always the same.
    pub fn push(&mut self, frame: FrameResult) -> Option<Decision> {
        if self.decision.is_some() {
            return self.decision;
        }
        self.frames += 1;
        if let FrameResult::Face { score, .. } = frame {
            let place = self.best.partition_point(|better| *better >= score);
            self.best.insert(place, score);
            self.best.truncate(self.thresholds.frames_min as usize);
        }
        let verdict = self.verdict();
        if matches!(verdict, Decision::Accept { .. }) || self.frames >= self.thresholds.frames_max {
            self.decision = Some(verdict);
        }
        self.decision
    }

    /// Ends the attempt with the frames so far, for a deadline or a camera that went away.
    pub fn finish(&mut self) -> Decision {
        let verdict = self.decision.unwrap_or_else(|| self.verdict());
        *self.decision.insert(verdict)
    }

    fn verdict(&self) -> Decision {
        let Some(&score) = self.best.last() else {
            return Decision::NoFace;
        };
        let enough = self.best.len() == self.thresholds.frames_min as usize;
        if enough && score >= self.thresholds.accept {
            Decision::Accept { score }
        } else if score >= self.thresholds.staff {
            Decision::StaffLook { score }
        } else {
            Decision::Reject { score }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What it is, the scores of its frames (`None`: nobody), and its decision.
    type Attempt = (&'static str, &'static [Option<f32>], Option<Decision>);

    const NOBODY: FrameResult = FrameResult::NoFace { advice: Advice::NoFace };

    fn face(score: f32) -> FrameResult {
        FrameResult::Face { score: Score::new(score), advice: None }
    }

    fn frames(scores: &[Option<f32>]) -> Vec<FrameResult> {
        scores.iter().map(|score| score.map_or(NOBODY, face)).collect()
    }

    /// Four frames at most, two of which must agree.
    fn thresholds() -> Thresholds {
        Thresholds::new(0.42, 0.36, 2, 4).unwrap()
    }

    fn decide(frames: &[FrameResult]) -> Option<Decision> {
        let mut decider = Decider::new(thresholds());
        frames.iter().filter_map(|frame| decider.push(*frame)).next_back()
    }

    fn rank(decision: Decision) -> u8 {
        match decision {
            Decision::NoFace => 0,
            Decision::Reject { .. } => 1,
            Decision::StaffLook { .. } => 2,
            Decision::Accept { .. } => 3,
        }
    }

    #[test]
    fn attempts_and_their_decisions() {
        const LUCKY: Option<f32> = Some(0.9);
        const GOOD: Option<f32> = Some(0.6);
        const NEAR: Option<f32> = Some(0.4);
        const BAD: Option<f32> = Some(0.1);

        let accept = |score| Some(Decision::Accept { score: Score::new(score) });
        let staff = |score| Some(Decision::StaffLook { score: Score::new(score) });
        let reject = |score| Some(Decision::Reject { score: Score::new(score) });
        let cases: [Attempt; 11] = [
            ("two good frames", &[GOOD, GOOD], accept(0.6)),
            ("good frames around a bad one", &[GOOD, BAD, GOOD], accept(0.6)),
            ("good frames after nobody", &[None, None, GOOD, LUCKY], accept(0.6)),
            ("one frame is not enough yet", &[LUCKY], None),
            ("a lucky frame among bad ones", &[BAD, LUCKY, BAD, BAD], reject(0.1)),
            ("a lucky frame among near ones", &[NEAR, LUCKY, NEAR, BAD], staff(0.4)),
            ("a lucky frame and nobody else", &[None, LUCKY, None, None], staff(0.9)),
            ("near ones", &[NEAR, NEAR, NEAR, NEAR], staff(0.4)),
            ("exactly the thresholds", &[Some(0.42), Some(0.42)], accept(0.42)),
            ("a stranger", &[BAD, BAD, BAD, BAD], reject(0.1)),
            ("nobody", &[None, None, None, None], Some(Decision::NoFace)),
        ];
        for (scene, scores, wanted) in cases {
            assert_eq!(decide(&frames(scores)), wanted, "{scene}");
        }
    }

    #[test]
    fn a_decision_stays_whatever_comes_after() {
        let mut decider = Decider::new(thresholds());
        for frame in frames(&[Some(0.5), Some(0.5)]) {
            decider.push(frame);
        }
        let decision = Some(Decision::Accept { score: Score::new(0.5) });
        assert_eq!(decider.push(face(-1.0)), decision);
        assert_eq!(Some(decider.finish()), decision);
    }

    #[test]
    fn a_deadline_decides_with_what_was_seen() {
        assert_eq!(Decider::new(thresholds()).finish(), Decision::NoFace);
        let mut decider = Decider::new(thresholds());
        decider.push(face(0.9));
        assert_eq!(decider.finish(), Decision::StaffLook { score: Score::new(0.9) });
        assert_eq!(decider.push(face(0.9)), Some(Decision::StaffLook { score: Score::new(0.9) }));
    }

    #[test]
    fn thresholds_out_of_order_or_range_are_refused() {
        for (accept, staff, min, max) in [
            (0.36, 0.42, 2, 30),
            (1.0, 0.36, 2, 30),
            (0.42, 0.0, 2, 30),
            (f32::NAN, 0.36, 2, 30),
            (0.42, f32::NAN, 2, 30),
            (0.42, 0.36, 0, 30),
            (0.42, 0.36, 5, 4),
            (0.42, 0.36, 2, 601),
        ] {
            assert!(Thresholds::new(accept, staff, min, max).is_err(), "{accept} {staff} {min} {max}");
        }
        assert_eq!(Thresholds::new(0.42, 0.36, 2, 30), Ok(Thresholds::default()));
    }

    #[test]
    fn thresholds_are_read_with_defaults_and_refused_with_a_sentence() {
        let strict: Thresholds = toml::from_str("accept = 0.45").unwrap();
        assert_eq!((strict.accept().value(), strict.staff().value()), (0.45, 0.36));
        let error = toml::from_str::<Thresholds>("accept = 0.3").unwrap_err().to_string();
        assert!(error.contains("0 < staff (0.36) <= accept (0.3) < 1"), "{error}");
        assert!(toml::from_str::<Thresholds>("acept = 0.45").is_err());
    }

    fn any_frames() -> impl Strategy<Value = Vec<Option<f32>>> {
        prop::collection::vec(prop::option::weighted(0.8, -1.0_f32..1.0), 4)
    }

    proptest! {
        #[test]
        fn every_attempt_ends_by_the_last_frame(scores in any_frames()) {
            prop_assert!(decide(&frames(&scores)).is_some());
        }

        #[test]
        fn accepted_only_with_enough_frames_over_the_threshold(scores in any_frames()) {
            if let Some(Decision::Accept { score }) = decide(&frames(&scores)) {
                prop_assert!(score.value() >= 0.42);
                prop_assert!(scores.iter().flatten().filter(|score| **score >= 0.42).count() >= 2);
            }
        }

        #[test]
        fn a_higher_score_never_makes_the_decision_worse(scores in any_frames(), at in 0_usize..4, more in 0.0_f32..1.0) {
            let mut better = scores.clone();
            better[at] = better[at].map(|score| score + more);
            let rank = |scores: &[Option<f32>]| decide(&frames(scores)).map(rank);
            prop_assert!(rank(&better) >= rank(&scores));
        }
    }
}
