//! Answers that came together are written together: after an outage they come by the thousand.

use super::rows::{OutboxCells, ReceptionCells, json, steps, word};
use super::write::Batch;
use crate::store::command::Command;
use crate::store::{ReplyNotice, RequestKind, RowState, Settlement};
use sqlx::{QueryBuilder, Sqlite};
use std::collections::HashMap;
use uketsuke_core::clock::Stamp;
use uketsuke_core::ids::{ReceptionId, RequestId};
use uketsuke_core::reception::Ask;
use uketsuke_core::record::Reply;
use uuid::Uuid;
use zeroize::Zeroizing;

/// A first answer on its way into the store.
struct Came<'a> {
    seq: i64,
    reply: &'a Reply,
    answer: &'a Zeroizing<Vec<u8>>,
    at: Stamp,
}

impl Batch<'_> {
    /// Settles what is the plain case in a run: the first answer to a question whose rows are both sound. For each command whether it is
    /// done; everything else, and all that has anything odd about it, is left to be settled one by one.
    pub(super) async fn settle_together(&mut self, run: &[&Command]) -> sqlx::Result<Vec<bool>> {
        let mut done = vec![false; run.len()];
        let came: Vec<(usize, Came<'_>)> =
            run.iter().enumerate().filter_map(|(at, command)| Some((at, first_answer(command)?))).collect();
        if came.len() < 2 {
            return Ok(done);
        }
        let seqs = list(came.iter().map(|(_, came)| came.seq));
        let mut rows: HashMap<i64, OutboxCells> = self.rows_of(&seqs).await?;
        let mut receptions = self.receptions_of(&seqs).await?;
        let (mut answered, mut gone) = (Vec::with_capacity(came.len()), Vec::with_capacity(came.len()));
        for (index, came) in &came {
            // Removed from the maps: a second settlement of the same row or reception in this run finds nothing, and goes alone.
            let Some(row) = rows.remove(&came.seq) else { continue };
            let Some(reception) = receptions.remove(&row.reception) else { continue };
            let plain = row.state != word(RowState::Rejected)
                && row.kind == word(RequestKind::Eligibility)
                && reception.reply.is_none()
                && row.genuine(self.keys)
                && reception.genuine(self.keys);
            if plain {
                answered.push(self.answered(&row, reception, came));
                gone.push((came.seq, came.at));
                done[*index] = true;
            }
        }
        if let Some((_, at)) = gone.last() {
            self.attach_together(&answered).await?;
            self.remove_together(&list(gone.iter().map(|(seq, _)| *seq)), *at).await?;
        }
        Ok(done)
    }

    fn answered(&mut self, row: &OutboxCells, mut reception: ReceptionCells, came: &Came<'_>) -> ReceptionCells {
        reception.replied_ms = Some(came.at.wall_ms);
        reception.replied_sync = Some(came.at.synchronised);
        reception.reply = Some(json(came.reply));
        reception.answer = Some(reception.seal(self.keys, "answer", came.answer));
        reception.finish(self.keys);
        self.told.replies.push(ReplyNotice {
            reception: ReceptionId(row.reception),
            ask: Ask::First,
            request: RequestId(row.id),
            reply: came.reply.clone(),
        });
        reception
    }

    async fn attach_together(&mut self, rows: &[ReceptionCells]) -> sqlx::Result<()> {
        for some in steps(rows) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "UPDATE receptions SET replied_ms = new.column2, replied_sync = new.column3, reply = new.column4, \
                 answer = new.column5, awaits_reply = new.column6, mac = new.column7 FROM (",
            );
            query.push_values(some, |mut values, row| {
                values.push_bind(row.seq).push_bind(row.replied_ms).push_bind(row.replied_sync).push_bind(&row.reply);
                values.push_bind(&row.answer).push_bind(row.awaits_reply).push_bind(&row.mac);
            });
            query.push(") AS new WHERE receptions.seq = new.column1");
            query.build().execute(&mut *self.conn).await?;
        }
        Ok(())
    }

    async fn remove_together(&mut self, seqs: &str, at: Stamp) -> sqlx::Result<()> {
        self.told.changed = true;
        let settled_ms = self.settled_ms(at).await?;
        sqlx::query(
            "INSERT OR IGNORE INTO settled (id, body_mac, settled_ms) \
             SELECT id, body_mac, ?2 FROM outbox WHERE seq IN (SELECT value FROM json_each(?1))",
        )
        .bind(seqs)
        .bind(settled_ms)
        .execute(&mut *self.conn)
        .await?;
        sqlx::query("DELETE FROM outbox WHERE seq IN (SELECT value FROM json_each(?))")
            .bind(seqs)
            .execute(&mut *self.conn)
            .await
            .map(drop)
    }

    async fn rows_of(&mut self, seqs: &str) -> sqlx::Result<HashMap<i64, OutboxCells>> {
        let rows: Vec<OutboxCells> =
            sqlx::query_as("SELECT * FROM outbox WHERE seq IN (SELECT value FROM json_each(?))")
                .bind(seqs)
                .fetch_all(&mut *self.conn)
                .await?;
        Ok(rows.into_iter().map(|row| (row.seq, row)).collect())
    }

    async fn receptions_of(&mut self, seqs: &str) -> sqlx::Result<HashMap<Uuid, ReceptionCells>> {
        let rows: Vec<ReceptionCells> = sqlx::query_as(
            "SELECT * FROM receptions WHERE id IN \
             (SELECT reception FROM outbox WHERE seq IN (SELECT value FROM json_each(?)))",
        )
        .bind(seqs)
        .fetch_all(&mut *self.conn)
        .await?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }
}

fn first_answer<'a>(command: &'a Command) -> Option<Came<'a>> {
    match command {
        Command::Settle { seq, settlement: Settlement::Answered { reply, answer }, at, .. } => {
            Some(Came { seq: *seq, reply, answer, at: *at })
        }
        _ => None,
    }
}

/// As one parameter: statements whose text depends on how many there are would be prepared again and again.
fn list(seqs: impl Iterator<Item = i64>) -> String {
    let seqs: Vec<String> = seqs.map(|seq| seq.to_string()).collect();
    format!("[{}]", seqs.join(","))
}
