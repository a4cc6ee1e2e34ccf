//! What the central system thinks of the pairs of certificate and key that this process has used: [`Standing`], by certificate.

use super::status::CentralError;
use super::wire::{self, NotSendable};
use crate::clock::Clock;
use crate::store::OutboxRow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use uketsuke_core::clock::lies_ahead;
use uketsuke_core::standing::{Blame, Standing};
use uketsuke_proto::central_v1::{Signed, Signer};

/// The certificate of a pair, DER.
pub(super) type PairId = Arc<[u8]>;

/// Pairs remembered: the one in use, those that calls under way were signed with, and the former ones. The oldest is forgotten.
const PAIRS_MAX: usize = 8;

/// Of every pair. The one used last stands at the end.
#[derive(Default)]
pub(super) struct Pairs(Mutex<VecDeque<(PairId, Standing)>>);

impl Pairs {
    fn with<T>(&self, pair: &PairId, change: impl FnOnce(&mut Standing) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|(known, _)| known == pair).unwrap_or_else(|| {
            all.push_back((pair.clone(), Standing::default()));
            all.len() - 1
        });
        let changed = change(&mut all[at].1);
        if all.len() > PAIRS_MAX {
            all.pop_front();
        }
        changed
    }

    /// This pair is in use from now on: nothing is known of it.
    pub(super) fn begin(&self, pair: &PairId) {
        self.with(pair, |standing| *standing = Standing::default());
    }

    pub(super) fn standing(&self, pair: &PairId) -> Standing {
        self.with(pair, |standing| *standing)
    }

    /// What came of a request that went out under this pair says something about the pair; and the pair about what a refusal means.
    pub(super) fn judge<T>(
        &self,
        pair: &PairId,
        (row, signed): (&OutboxRow, &Signed),
        sent: Result<T, CentralError>,
        clock: &Clock,
    ) -> Result<T, CentralError> {
        let by_gateway = signed.signer() == Signer::Gateway;
        match sent {
            Ok(_) if by_gateway => self.with(pair, Standing::accepted),
            Err(CentralError::Rejected(code)) if by_gateway => {
                let faulty = || match wire::asked(row.request.kind, &signed.payload) {
                    Ok(asked) => asked.is_some_and(|asked| lies_ahead(asked, clock.mono(), clock.central())),
                    Err(NotSendable::Undecodable | NotSendable::Signer(_)) => true,
                };
                return Err(match self.with(pair, |standing| standing.called_invalid(faulty())) {
                    Blame::Request => CentralError::Rejected(code),
                    Blame::Pair => CentralError::NotBelieved(code),
                });
            }
            Err(ref error) if error.is_about_the_gateway() => self.with(pair, Standing::not_permitted),
            _ => {}
        }
        sent
    }
}
