//! The reads of the store in memory.

use super::{Disk, Model, Row};
use crate::store::papers::Paper;
use crate::store::turns::take_turns;
use crate::store::{
    CaseRow, Destination, Figures, Horizon, KeptName, KeptReply, Lane, OutboxCounts, OutboxDetail, OutboxHead,
    OutboxRow, RETRY_AFTER_MAX, RequestKind, RowState, StoreError, TrailEntry, dated_by_the_next,
};
use std::collections::HashSet;
use std::ops::Range;
use uketsuke_core::clock::Stamp;
use uketsuke_core::consent::ConsentKind;
use uketsuke_core::ids::{OrderKey, ReceptionId, RequestId};
use uketsuke_core::ladder::Owner;
use uketsuke_core::record::{ReceptionRecord, Stage};
use zeroize::Zeroizing;

impl Model {
    pub(in crate::store) async fn select(
        &self,
        _: Destination,
        limit: usize,
        busy: &[OrderKey],
        without: &[RequestKind],
        now_ms: i64,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        self.read(|disk| disk.select(limit, busy, without, now_ms))
    }

    pub(in crate::store) async fn reception(&self, id: ReceptionId) -> Result<Option<ReceptionRecord>, StoreError> {
        self.read(|disk| disk.receptions.iter().find(|r| r.record.reception == id).map(|r| r.record.clone()))
    }

    pub(in crate::store) async fn receptions(&self, limit: usize) -> Result<Vec<ReceptionRecord>, StoreError> {
        self.read(|disk| disk.receptions.iter().rev().take(limit).map(|r| r.record.clone()).collect())
    }

    pub(in crate::store) async fn visit(&self, first: ReceptionId) -> Result<Vec<ReceptionRecord>, StoreError> {
        self.read(|disk| {
            let records = disk.receptions.iter().map(|r| &r.record);
            records.filter(|r| r.reception == first || r.same_visit_as == Some(first)).cloned().collect()
        })
    }

    pub(in crate::store) async fn abandoned_since(
        &self,
        wall_ms: i64,
        limit: usize,
    ) -> Result<Vec<ReceptionRecord>, StoreError> {
        self.read(|disk| {
            let when = |record: &ReceptionRecord| record.abandoned.map(|(at, _)| at.wall_ms);
            let newest_first = disk.receptions.iter().rev().map(|r| r.record.clone());
            let mut found: Vec<_> = newest_first.filter(|r| when(r).is_some_and(|at| at >= wall_ms)).collect();
            found.sort_by_key(|record| std::cmp::Reverse(when(record)));
            found.truncate(limit);
            found
        })
    }

    pub(in crate::store) async fn last_recorded(
        &self,
        reader: &str,
        key: OrderKey,
        recorded_ms: Range<i64>,
    ) -> Result<Option<ReceptionRecord>, StoreError> {
        self.read(|disk| {
            let last = disk.receptions.iter().rev().find(|r| r.record.reader == reader)?;
            let recorded = last.record.recorded.as_ref().is_some_and(|(at, _)| recorded_ms.contains(&at.wall_ms));
            let asked = last.order_key == key && last.record.stage == Stage::Recorded && recorded;
            asked.then(|| last.record.clone())
        })
    }

    pub(in crate::store) async fn kept(&self, name: KeptName) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.read(|disk| disk.kept.get(&name).cloned())
    }

    pub(in crate::store) async fn trail_since(
        &self,
        wall_ms: i64,
        limit: usize,
    ) -> Result<Vec<TrailEntry>, StoreError> {
        self.read(|disk| {
            let latest = disk.trail.iter().rev().take(limit);
            latest.filter(|entry| entry.at.wall_ms >= wall_ms).cloned().collect()
        })
    }

    pub(in crate::store) async fn case(&self, reception: ReceptionId) -> Result<Option<CaseRow>, StoreError> {
        self.read(|disk| disk.case(reception).map(|index| disk.cases[index].0.clone()))
    }

    pub(in crate::store) async fn with_case(&self, receptions: &[ReceptionId]) -> Result<Vec<ReceptionId>, StoreError> {
        self.read(|disk| receptions.iter().copied().filter(|reception| disk.case(*reception).is_some()).collect())
    }

    pub(in crate::store) async fn open_cases(&self, limit: usize) -> Result<Vec<CaseRow>, StoreError> {
        self.read(|disk| {
            let mut open: Vec<_> = disk.cases.iter().filter(|(row, _)| row.ended_ms.is_none()).collect();
            open.sort_by_key(|(row, _)| disk.reception(row.reception));
            open.into_iter().take(limit).map(|(row, _)| row.clone()).collect()
        })
    }

    pub(in crate::store) async fn open_cases_of(&self, owner: Owner, limit: usize) -> Result<Vec<CaseRow>, StoreError> {
        let mut open = self.open_cases(usize::MAX).await?;
        open.retain(|row| row.case.owner() == Some(owner));
        open.reverse();
        open.truncate(limit);
        Ok(open)
    }

    pub(in crate::store) async fn count_open_cases_of(&self, owner: Owner) -> Result<u64, StoreError> {
        Ok(self.open_cases_of(owner, usize::MAX).await?.len() as u64)
    }

    pub(in crate::store) async fn earlier_cases(
        &self,
        of: ReceptionId,
        limit: usize,
    ) -> Result<Vec<CaseRow>, StoreError> {
        let earlier = self.read(|disk| {
            let index = disk.reception(of)?;
            let key = disk.receptions[index].order_key;
            let earlier = disk.receptions[..index].iter().filter(|other| other.order_key == key);
            Some(earlier.map(|other| other.record.reception).collect::<HashSet<_>>())
        })?;
        let earlier = earlier.unwrap_or_default();
        let mut open = self.open_cases(usize::MAX).await?;
        open.retain(|row| earlier.contains(&row.reception));
        open.truncate(limit);
        Ok(open)
    }

    pub(in crate::store) async fn ended_cases_since(
        &self,
        wall_ms: i64,
        limit: usize,
    ) -> Result<Vec<CaseRow>, StoreError> {
        self.read(|disk| {
            let ended = |row: &CaseRow| row.ended_ms.is_some_and(|at| at >= wall_ms);
            let mut found: Vec<_> = disk.cases.iter().map(|(row, _)| row).filter(|row| ended(row)).cloned().collect();
            found.sort_by_key(|row| std::cmp::Reverse((row.ended_ms, disk.reception(row.reception))));
            found.truncate(limit);
            found
        })
    }

    pub(in crate::store) async fn papers(&self, reception: ReceptionId) -> Result<Vec<Paper>, StoreError> {
        self.read(|disk| disk.case(reception).map(|index| disk.cases[index].1.clone()).unwrap_or_default())
    }

    pub(in crate::store) async fn answered_since(
        &self,
        reception: ReceptionId,
    ) -> Result<Option<Vec<ConsentKind>>, StoreError> {
        self.read(|disk| disk.reception(reception).map(|index| disk.answered_since(index)))
    }

    pub(in crate::store) async fn kept_replies(&self, reception: ReceptionId) -> Result<Vec<KeptReply>, StoreError> {
        self.read(|disk| {
            let of_it = disk.answers.iter().filter(|(of, ..)| *of == reception);
            let mut found: Vec<_> = of_it.map(|(_, kept, _)| kept.clone()).collect();
            let own = disk.reception(reception).map(|index| disk.receptions[index].record.request);
            found.sort_by_key(|kept| (Some(kept.request) != own, kept.at.wall_ms, kept.request));
            found
        })
    }

    pub(in crate::store) async fn answer(
        &self,
        reception: ReceptionId,
        request: RequestId,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.read(|disk| {
            let mut of_it = disk.answers.iter().filter(|(of, kept, _)| *of == reception && kept.request == request);
            of_it.find_map(|(.., answer)| answer.clone())
        })
    }

    pub(in crate::store) async fn face_failures(&self, key: OrderKey) -> Result<u32, StoreError> {
        self.read(|disk| disk.face_failures.get(&key).map_or(0, |(failures, _)| *failures))
    }

    pub(in crate::store) async fn outbox_counts(&self, _: Destination) -> Result<OutboxCounts, StoreError> {
        self.read(|disk| {
            let count = |state| disk.outbox.iter().filter(|row| row.state == state).count() as u64;
            OutboxCounts {
                pending: count(RowState::Pending),
                isolated: count(RowState::Isolated),
                rejected: count(RowState::Rejected),
                oldest_created_ms: disk.pending().map(|row| row.created_ms).min(),
            }
        })
    }

    pub(in crate::store) async fn opened_after(
        &self,
        seq: i64,
        horizon: Horizon,
        limit: usize,
    ) -> Result<Vec<(i64, ReceptionId, i64)>, StoreError> {
        self.read(|disk| {
            let later: Vec<_> = disk.receptions.iter().filter(|r| r.seq > seq).collect();
            let believed = |opened: Stamp| horizon.believes(opened.wall_ms, opened.synchronised);
            let opened = later.iter().map(|r| (r.record.opened.wall_ms, believed(r.record.opened)));
            let dates = dated_by_the_next(opened, None);
            let dated = later.iter().zip(dates).map(|(r, dated)| (r.seq, r.record.reception, dated));
            dated.take(limit).collect()
        })
    }

    pub(in crate::store) async fn failing_since(
        &self,
        before_ms: i64,
        tries: u32,
        limit: usize,
    ) -> Result<Vec<i64>, StoreError> {
        self.read(|disk| {
            let old = |opened: Stamp| opened.synchronised && opened.wall_ms < before_ms;
            let failing = disk.pending().filter(|row| {
                let reception = disk.reception(row.row.reception).map(|index| disk.receptions[index].record.opened);
                row.row.attempts >= tries && row.created_ms < before_ms && reception.is_some_and(old)
            });
            failing.take(limit).map(|row| row.row.seq).collect()
        })
    }

    pub(in crate::store) async fn outbox_row(&self, seq: i64) -> Result<Option<OutboxDetail>, StoreError> {
        self.read(|disk| {
            let row = disk.outbox.iter().find(|row| row.row.seq == seq)?;
            let stored_bytes = row.row.request.bytes() as u64;
            Some(OutboxDetail { head: row.head(), genuine: true, stored_bytes, sealed_with: None })
        })
    }

    pub(in crate::store) async fn figures(&self) -> Result<Figures, StoreError> {
        Ok(Figures { outbox: self.outbox_counts(Destination::Central).await?, ..Figures::default() })
    }

    pub(in crate::store) async fn outbox(&self, _: Destination, limit: usize) -> Result<Vec<OutboxHead>, StoreError> {
        self.read(|disk| {
            let refused = |row: &&Row| row.state == RowState::Rejected;
            let waiting_first =
                disk.outbox.iter().filter(|row| !refused(row)).chain(disk.outbox.iter().filter(refused));
            waiting_first.map(Row::head).take(limit).collect()
        })
    }
}

impl Disk {
    fn select(&self, limit: usize, busy: &[OrderKey], without: &[RequestKind], now_ms: i64) -> Vec<OutboxRow> {
        let urgent: HashSet<OrderKey> =
            self.pending().filter(|r| r.row.lane == Lane::Interactive).map(|r| r.row.order_key).collect();
        let mut seen: HashSet<OrderKey> = busy.iter().copied().collect();
        let flying = seen.intersection(&urgent).count();
        let waits = |row: &Row| {
            let latest = now_ms.saturating_add(RETRY_AFTER_MAX.as_millis() as i64);
            row.not_before_ms > now_ms && row.not_before_ms <= latest
        };
        let rests = |row: &Row| without.contains(&row.row.request.kind);
        let passes = |row: &Row, older: &Row| {
            let question = row.row.request.kind.asks().is_some();
            let after_consent = question && older.row.request.kind == RequestKind::Consent;
            let failed = waits(older) || (rests(older) && older.row.attempts > 0);
            let after_failure = row.row.reception != older.row.reception && failed;
            after_consent || after_failure
        };
        let free = |row: &Row| {
            let same_patient = self.pending().filter(|older| older.row.order_key == row.row.order_key);
            same_patient.take_while(|older| older.row.seq < row.row.seq).all(|older| passes(row, older))
        };
        // The outbox is in order of seq: the first row of a key that may go is the one that goes.
        let go = self.pending().filter(|row| !waits(row) && !rests(row) && free(row) && seen.insert(row.row.order_key));
        let (mut first, mut others): (Vec<&Row>, Vec<&Row>) = go.partition(|row| urgent.contains(&row.row.order_key));
        first.sort_by_key(|row| row.row.attempts > 0);
        others.sort_by_key(|row| row.row.attempts > 0);
        let turns = take_turns(first, others, (flying, busy.len().saturating_sub(flying)), limit);
        turns.into_iter().map(|row| row.row.clone()).collect()
    }
}
