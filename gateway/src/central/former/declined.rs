//! The pair in the files is let in by the central system, and what is asked under it is refused: the pair that worked before serves meanwhile.

use super::stored::Held;
use super::{Former, Part, Stand, State};
use crate::central::fault::Said;
use crate::central::files::Pair;
use crate::central::pairs::PairId;
use crate::config;
use uketsuke_core::clock::{Mono, Now};
use uketsuke_core::former::{self, Choice, Found, Kept, Rest};

/// A pair that was declined.
pub(super) struct Declined {
    pair: PairId,
    rest: Rest,
}

fn said() -> Said {
    Said::new(
        "資格確認システムは central.certificate_file の証明書で接続できますが、その要求を受け付けません。この施設の証明書と鍵か、登録が済んでいるか確かめてください。",
        "the central system lets the certificate in central.certificate_file in, and refuses every request under it; check that it is this site's, and that it is registered",
    )
}

impl State {
    /// The pair of the files, or the one that stands in for it while it rests.
    pub(super) fn unless_declined(
        &mut self,
        pair: Pair,
        central: &config::Central,
        now: Now,
        stands: &mut Vec<Stand>,
    ) -> Pair {
        match &self.declined {
            Some(declined) if declined.pair == *pair.signer.pair() => {
                if declined.rest.is_over(now.mono) {
                    return pair;
                }
                let kept = self.kept.pair(central, now.stamp.wall_ms);
                self.take(Part::Pair, Err((Found::Declined, said())), || kept, now, stands).unwrap_or(pair)
            }
            _ => {
                self.declined = None;
                let (kept, same) = match self.kept.pair(central, now.stamp.wall_ms) {
                    Held::Valid(kept, _) => (Kept::Valid, kept.signer.pair() == pair.signer.pair()),
                    other => (other.kind(), false),
                };
                if former::is_mended(kept, same, None) {
                    self.record.spells.remove(&Part::Pair);
                }
                pair
            }
        }
    }

    /// A request was believed under this pair, which is in use. `stands_in`: it is the kept one, and may serve in place of the files.
    pub(super) fn believed(&mut self, pair: &PairId, stands_in: bool) {
        let declined = self.declined.as_ref().is_some_and(|declined| declined.pair == *pair);
        if declined {
            self.declined = None;
        }
        if declined || !stands_in {
            self.record.spells.remove(&Part::Pair);
        }
    }
}

impl Former {
    /// Requests are refused under `pair`, which is in use. Whether another one stands in for it from now on.
    pub(in crate::central) fn decline(&self, pair: &PairId, central: &config::Central, now: Now, jitter: f64) -> bool {
        let mut state = self.state();
        let stands_in = match state.kept.pair(central, now.stamp.wall_ms) {
            Held::Valid(kept, _) => kept.signer.pair() != pair,
            Held::Nothing | Held::Ended(_) => false,
        };
        let lasted = state.record.spells.get(&Part::Pair).map(|spell| spell.lasted()).unwrap_or_default();
        if !stands_in || former::pair(Found::Declined, Kept::Valid, lasted) != Choice::Former {
            return false;
        }
        let before = state.declined.take().filter(|before| before.pair == *pair).map(|before| before.rest);
        state.declined = Some(Declined { pair: pair.clone(), rest: Rest::begin(before, now.mono, jitter) });
        true
    }

    /// The one that was to stand in cannot: the declined pair stays in use for as long as this one is of no use, or longer.
    pub(in crate::central) fn keep_declined(&self) {
        self.state().declined = None;
    }

    /// The pair that stands in for a declined one is refused as well. Whether there is one.
    pub(in crate::central) fn hasten(&self, in_use: &PairId, now: Mono) -> bool {
        let mut state = self.state();
        let Some(declined) = state.declined.as_mut().filter(|declined| declined.pair != *in_use) else { return false };
        declined.rest.hasten();
        declined.rest.is_over(now)
    }
}
