//! Consents that are sent anew in memory.

use super::{Disk, Reception, Row, Told};
use crate::store::{Lane, REQUEST_REJECTED, Request, RowState, cases};
use uketsuke_core::clock::Stamp;
use uketsuke_core::consent::ConsentKind;
use uketsuke_core::record::ReceptionRecord;

impl Disk {
    /// What the patient of this reception has answered at later ones.
    pub(super) fn answered_since(&self, of: usize) -> Vec<ConsentKind> {
        let Reception { seq, order_key, record, .. } = &self.receptions[of];
        let place = |record: &ReceptionRecord, seq: i64| record.recorded_place.map_or(seq, |place| place.cast_signed());
        let since = place(record, *seq);
        let of_patient = self.receptions.iter().filter(|other| other.order_key == *order_key);
        let later = of_patient.filter(|other| place(&other.record, other.seq) > since);
        cases::kinds(later.flat_map(|other| &other.record.consents))
    }

    pub(super) fn consent_anew(&mut self, of: usize, request: &Request, at: Stamp, told: &mut Told) {
        let Reception { order_key, record, consent_request, .. } = &self.receptions[of];
        let (order_key, reception, former) = (*order_key, record.reception, *consent_request);
        let rejected = |row: &Row| {
            Some(row.row.request.id) == former
                && row.state == RowState::Rejected
                && row.last_error.as_deref() == Some(REQUEST_REJECTED)
        };
        let Some(index) = self.outbox.iter().position(rejected) else { return };
        // Its id stays among those that were settled.
        self.outbox.remove(index);
        self.append(request, reception, order_key, Lane::Backlog, at, told);
    }
}
