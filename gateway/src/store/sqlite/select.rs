//! Which rows go next. Only these leave the database; everything else stays on disk.

use super::Sqlite;
use super::read::count;
use super::rows::{OutboxCells, blobs, json, word};
use crate::store::command::Command;
use crate::store::sealed::Unreadable;
use crate::store::turns::take_turns;
use crate::store::{Destination, OutboxRow, RETRY_AFTER_MAX, RequestKind, StoreError};
use std::sync::LazyLock;
use uketsuke_core::ids::OrderKey;

#[derive(sqlx::FromRow)]
struct Candidate {
    urgent: bool,
    flying: i64,
    #[sqlx(flatten)]
    cells: OutboxCells,
}

impl Sqlite {
    pub(in crate::store) async fn select(
        &self,
        destination: Destination,
        limit: usize,
        busy: &[OrderKey],
        without: &[RequestKind],
        now_ms: i64,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let query = sqlx::query_as::<_, Candidate>(STATEMENT.as_str())
            .bind(word(destination))
            .bind(now_ms)
            .bind(count(limit))
            .bind(RETRY_AFTER_MAX.as_millis() as i64)
            .bind(blobs(busy.iter().map(|key| key.0.as_slice())))
            .bind(json(&without));
        let mut found = self.rows(query).await?;
        found.sort_by_key(|candidate| candidate.cells.seq);
        let interactive_flying = found.first().map_or(0, |candidate| usize::try_from(candidate.flying).unwrap_or(0));
        let (mut urgent, mut others): (Vec<_>, Vec<_>) = found.into_iter().partition(|candidate| candidate.urgent);
        urgent.sort_by_key(|candidate| candidate.cells.attempts > 0);
        others.sort_by_key(|candidate| candidate.cells.attempts > 0);
        let flying = (interactive_flying, busy.len().saturating_sub(interactive_flying));
        let mut rows = Vec::new();
        for Candidate { cells, .. } in take_turns(urgent, others, flying, limit) {
            let seq = cells.seq;
            match cells.open(&self.keys) {
                Ok(row) => rows.push(row),
                Err(Unreadable::Altered) => self.hold_back(seq, now_ms).await?,
                Err(why) => return Err(self.unreadable(format!("outbox row {seq}"), why)),
            }
        }
        Ok(rows)
    }

    async fn hold_back(&self, seq: i64, now_ms: i64) -> Result<(), StoreError> {
        match self.write(Command::Isolate { seq, now_ms }).await {
            // It is not sent either way.
            Ok(_) | Err(StoreError::ReadOnly) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Parameters: 1 destination, 2 now, 3 limit, 4 longest wait, 5 the busy keys, 6 the kinds that are left out.
///
/// Walks along the index by lane. Those that have not failed yet go first: requests that fail again and again must keep neither a patient
/// waiting who has just come, nor the backlog behind them. Of each key goes the oldest row that is due and held by none before it; a key
/// is urgent when any of its pending rows is interactive, whatever the oldest is. The walks along the backlog, which may be long, end with
/// the limit. The indexes are named where the planner, which knows no statistics, takes the one that walks all the rows.
static STATEMENT: LazyLock<String> = LazyLock::new(|| {
    let busy = "SELECT order_key FROM busy";
    let waits = |row: &str| format!("({row}.not_before_ms > ?2 AND {row}.not_before_ms <= ?2 + ?4)");
    let rests = |row: &str| format!("{row}.kind IN (SELECT value FROM json_each(?6))");
    let free = |row: &str| {
        format!(
            "NOT EXISTS (
                 SELECT 1 FROM outbox e
                 WHERE e.destination = ?1 AND e.order_key = {row}.order_key AND e.seq < {row}.seq
                   AND (e.state = 'pending' OR (e.state = 'isolated' AND e.not_before_ms > ?2))
                   AND NOT ({row}.kind <> 'consent' AND e.kind = 'consent')
                   AND NOT (e.reception <> {row}.reception
                            AND (e.state = 'isolated' OR {waits} OR ({rests} AND e.attempts > 0))))",
            waits = waits("e"),
            rests = rests("e"),
        )
    };
    let goes =
        |row: &str| format!("{row}.state = 'pending' AND NOT {} AND NOT {} AND {}", waits(row), rests(row), free(row));
    let others = |failed: u8| {
        format!(
            "SELECT o.* FROM outbox o INDEXED BY outbox_by_lane
             WHERE o.destination = ?1 AND o.state = 'pending' AND o.lane = 'backlog' AND (o.attempts > 0) = {failed}
               AND o.order_key NOT IN ({busy}) AND {o_goes}
               AND NOT EXISTS (SELECT 1 FROM outbox i INDEXED BY outbox_by_key
                               WHERE i.destination = ?1 AND i.order_key = o.order_key
                                 AND i.state = 'pending' AND i.lane = 'interactive')
               AND NOT EXISTS (SELECT 1 FROM outbox p
                               WHERE p.destination = ?1 AND p.order_key = o.order_key AND p.seq < o.seq AND {p_goes})
             ORDER BY o.seq LIMIT ?3",
            o_goes = goes("o"),
            p_goes = goes("p"),
        )
    };
    format!(
        "WITH busy AS MATERIALIZED (SELECT unhex(value) AS order_key FROM json_each(?5)),
         urgent AS (
             SELECT * FROM outbox WHERE seq IN (
                 SELECT (SELECT o.seq FROM outbox o
                         WHERE o.destination = ?1 AND o.order_key = w.order_key AND {o_goes}
                         ORDER BY o.seq LIMIT 1)
                 FROM (SELECT DISTINCT order_key FROM outbox INDEXED BY outbox_by_lane
                       WHERE destination = ?1 AND state = 'pending' AND lane = 'interactive'
                         AND order_key NOT IN ({busy})) w)
             ORDER BY attempts > 0, seq LIMIT ?3),
         others AS (
             SELECT * FROM ({fresh_others}) UNION ALL SELECT * FROM ({failed_others}) LIMIT ?3),
         flying AS (
             SELECT COUNT(DISTINCT w.order_key) AS flying FROM outbox w INDEXED BY outbox_by_lane
             WHERE w.destination = ?1 AND w.state = 'pending' AND w.lane = 'interactive' AND w.order_key IN ({busy}))
         SELECT 1 AS urgent, flying.flying, urgent.* FROM urgent, flying
         UNION ALL
         SELECT 0 AS urgent, flying.flying, others.* FROM others, flying",
        o_goes = goes("o"),
        fresh_others = others(0),
        failed_others = others(1),
    )
});
