//! Rows as they lie in the tables, their checks, and the words that stand for enums.

use crate::store::keys::Keys;
use crate::store::mac::RowMac;
use crate::store::sealed::{Place, Plain, Sealed, Unreadable};
use crate::store::{Destination, Opened, OutboxHead, OutboxRow, Proof, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uketsuke_core::clock::{Mono, Stamp};
use uketsuke_core::ids::{OrderKey, ReceptionId, RequestId};
use uketsuke_core::record::{Evidence, ReceptionRecord, Reply, Shown, Verification};
use uuid::Uuid;
use zeroize::Zeroizing;

/// So many rows in one statement, the most first: few texts, so that each is prepared once and kept.
const STEPS: [usize; 4] = [64, 16, 4, 1];

/// Parts rows into statements' worth.
pub(super) fn steps<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let step = STEPS.into_iter().find(|step| *step <= rows.len())?;
        let (some, rest) = rows.split_at(step);
        rows = rest;
        Some(some)
    })
}

/// Blobs as one parameter, for `SELECT unhex(value) FROM json_each(?)`: the text of a statement must not depend on how many there are.
pub(super) fn blobs<'a>(blobs: impl IntoIterator<Item = &'a [u8]>) -> String {
    let quoted: Vec<String> = blobs.into_iter().map(|blob| format!("\"{}\"", hex::encode(blob))).collect();
    format!("[{}]", quoted.join(","))
}

/// The word for an enum without content, as serde names it.
pub(super) fn word<T: Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        // Not reached by the enums stored here; an empty word reads back as an altered row.
        _ => String::new(),
    }
}

/// The enum for a word.
pub(super) fn parse<T: DeserializeOwned>(word: &str) -> Result<T, Unreadable> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).map_err(|_| Unreadable::Altered)
}

/// Enums with content, as JSON.
pub(super) fn json<T: Serialize>(value: &T) -> String {
    // Strings and unit variants only: cannot fail, and an empty text reads back as an altered row.
    serde_json::to_string(value).unwrap_or_default()
}

pub(super) fn parse_json<T: DeserializeOwned>(text: &str) -> Result<T, Unreadable> {
    serde_json::from_str(text).map_err(|_| Unreadable::Altered)
}

/// A row of `receptions`.
#[derive(sqlx::FromRow)]
pub(super) struct ReceptionCells {
    pub(super) seq: i64,
    pub(super) id: Uuid,
    pub(super) request: Uuid,
    pub(super) reader: String,
    pub(super) order_key: Vec<u8>,
    pub(super) method: String,
    pub(super) face_score: Option<Vec<u8>>,
    pub(super) stage: String,
    pub(super) opened_ms: i64,
    pub(super) opened_sync: bool,
    pub(super) recorded_ms: Option<i64>,
    pub(super) recorded_sync: Option<bool>,
    pub(super) shown: Option<String>,
    pub(super) consents: Option<Vec<u8>>,
    pub(super) consent_request: Option<Uuid>,
    pub(super) abandoned_ms: Option<i64>,
    pub(super) abandoned_sync: Option<bool>,
    pub(super) abandonment: Option<String>,
    pub(super) replied_ms: Option<i64>,
    pub(super) replied_sync: Option<bool>,
    pub(super) reply: Option<String>,
    pub(super) answer: Option<Vec<u8>>,
    pub(super) awaits_reply: bool,
    pub(super) mac: Vec<u8>,
    pub(super) evidence: Option<Vec<u8>>,
    pub(super) same_visit_as: Option<Uuid>,
    pub(super) followed_up_ms: Option<i64>,
    pub(super) followed_up_sync: Option<bool>,
    pub(super) followed_up: Option<String>,
    pub(super) followed_up_answer: Option<Vec<u8>>,
    pub(super) opened_boot: Option<i64>,
    pub(super) opened_mono_ms: Option<i64>,
    pub(super) recorded_place: Option<i64>,
}

impl ReceptionCells {
    pub(super) fn check(&self, keys: &Keys) -> RowMac {
        RowMac::new(keys, "receptions")
            .int(self.seq)
            .blob(self.id.as_bytes().as_slice())
            .blob(self.request.as_bytes().as_slice())
            .text(self.reader.as_str())
            .blob(self.order_key.as_slice())
            .text(self.method.as_str())
            .blob(self.face_score.as_deref())
            .text(self.stage.as_str())
            .int(self.opened_ms)
            .int(i64::from(self.opened_sync))
            .int(self.recorded_ms)
            .int(self.recorded_sync.map(i64::from))
            .text(self.shown.as_deref())
            .blob(self.consents.as_deref())
            .blob(self.consent_request.as_ref().map(|id| id.as_bytes().as_slice()))
            .int(self.abandoned_ms)
            .int(self.abandoned_sync.map(i64::from))
            .text(self.abandonment.as_deref())
            .int(self.replied_ms)
            .int(self.replied_sync.map(i64::from))
            .text(self.reply.as_deref())
            .blob(self.answer.as_deref())
            .int(i64::from(self.awaits_reply))
            .later("evidence", self.evidence.as_deref())
            .later("same_visit_as", self.same_visit_as.as_ref().map(|id| id.as_bytes().as_slice()))
            .later_int("followed_up_ms", self.followed_up_ms)
            .later(
                "followed_up_sync",
                self.followed_up_sync.map(|sync| [u8::from(sync)]).as_ref().map(<[u8; 1]>::as_slice),
            )
            .later("followed_up", self.followed_up.as_deref().map(str::as_bytes))
            .later("followed_up_answer", self.followed_up_answer.as_deref())
            .later_int("opened_boot", self.opened_boot)
            .later_int("opened_mono_ms", self.opened_mono_ms)
            .later_int("recorded_place", self.recorded_place)
    }

    /// Whether the row is as this program wrote it.
    pub(super) fn genuine(&self, keys: &Keys) -> bool {
        self.check(keys).verify(&self.mac)
    }

    /// Seals a value for a column of this row.
    pub(super) fn seal<T: Plain>(&self, keys: &Keys, column: &'static str, value: &T) -> Vec<u8> {
        Sealed::seal(keys, self.place(column), value).into_disk()
    }

    /// Opens the consents; none before T2.
    pub(super) fn open_consents(&self, keys: &Keys) -> Result<Vec<uketsuke_core::consent::Consent>, Unreadable> {
        let Some(bytes) = &self.consents else { return Ok(Vec::new()) };
        Sealed::from_disk(bytes.clone()).open(keys, self.place("consents"))
    }

    /// The whole answer to the first question, if the row is genuine and there is one.
    pub(super) fn open_answer(&self, keys: &Keys) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, Unreadable> {
        if !self.genuine(keys) {
            return Err(Unreadable::Altered);
        }
        let Some(bytes) = &self.answer else { return Ok(None) };
        Sealed::from_disk(bytes.clone()).open(keys, self.place("answer")).map(Some)
    }

    /// Whether the central system has refused the question of this reception for good.
    pub(super) fn question_rejected(&self) -> bool {
        let reply = self.reply.as_deref().map(parse_json::<Reply>);
        matches!(reply, Some(Ok(Reply::Rejected(_))))
    }

    /// Brings what follows from the other columns up to date; before every write.
    pub(super) fn finish(&mut self, keys: &Keys) {
        let provisional = json(&Shown::Provisional);
        self.awaits_reply = self.shown.as_deref() == Some(&provisional) && self.reply.is_none();
        self.mac = self.check(keys).finish();
    }

    /// The record, if the row is genuine.
    pub(super) fn record(&self, keys: &Keys) -> Result<ReceptionRecord, Unreadable> {
        if !self.genuine(keys) {
            return Err(Unreadable::Altered);
        }
        let stamp = |ms: Option<i64>, sync: Option<bool>| Some(Stamp { wall_ms: ms?, synchronised: sync? });
        let evidence = match &self.evidence {
            Some(bytes) => Sealed::from_disk(bytes.clone()).open(keys, self.place("evidence"))?,
            None => self.early_evidence(keys)?,
        };
        let shown = self.shown.as_deref().map(parse_json).transpose()?;
        let abandonment = self.abandonment.as_deref().map(parse).transpose()?;
        let reply = self.reply.as_deref().map(parse_json).transpose()?;
        Ok(ReceptionRecord {
            reception: ReceptionId(self.id),
            request: RequestId(self.request),
            reader: self.reader.clone(),
            evidence,
            same_visit_as: self.same_visit_as.map(ReceptionId),
            stage: parse(&self.stage)?,
            opened: self.opened().stamp,
            recorded: stamp(self.recorded_ms, self.recorded_sync).zip(shown),
            recorded_place: self.recorded_place.and_then(|place| u64::try_from(place).ok()),
            consents: self.open_consents(keys)?,
            abandoned: stamp(self.abandoned_ms, self.abandoned_sync).zip(abandonment),
            replied: stamp(self.replied_ms, self.replied_sync).zip(reply),
            followed_up: stamp(self.followed_up_ms, self.followed_up_sync)
                .zip(self.followed_up.as_deref().map(parse_json).transpose()?),
        })
    }

    /// Rows of the first version kept the method and a score of their own.
    fn early_evidence(&self, keys: &Keys) -> Result<Evidence, Unreadable> {
        let face_score = match &self.face_score {
            Some(bytes) => Some(Sealed::from_disk(bytes.clone()).open(keys, self.place("face_score"))?),
            None => None,
        };
        Ok(Evidence::of(Verification { face_score, ..Verification::by(parse(&self.method)?) }))
    }

    /// When it was opened.
    pub(super) fn opened(&self) -> Opened {
        let since_boot = self.opened_boot.zip(self.opened_mono_ms);
        Opened {
            stamp: Stamp { wall_ms: self.opened_ms, synchronised: self.opened_sync },
            since_boot: since_boot.map(|(boot, mono_ms)| (boot.cast_unsigned(), Mono(mono_ms.cast_unsigned()))),
        }
    }

    fn place(&self, column: &'static str) -> Place<'_> {
        Place { table: "receptions", column, row: self.id.as_bytes() }
    }

    /// Inserts new rows, many in a statement.
    pub(super) async fn insert(rows: &[Self], conn: &mut SqliteConnection) -> sqlx::Result<()> {
        for rows in steps(rows) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "INSERT INTO receptions (seq, id, request, reader, order_key, method, evidence, same_visit_as, stage, \
                 opened_ms, opened_sync, opened_boot, opened_mono_ms, awaits_reply, mac) ",
            );
            query.push_values(rows, |mut values, row| {
                values.push_bind(row.seq).push_bind(row.id).push_bind(row.request).push_bind(&row.reader);
                values.push_bind(&row.order_key).push_bind(&row.method).push_bind(&row.evidence);
                values.push_bind(row.same_visit_as);
                values.push_bind(&row.stage).push_bind(row.opened_ms).push_bind(row.opened_sync);
                values.push_bind(row.opened_boot).push_bind(row.opened_mono_ms);
                values.push_bind(row.awaits_reply).push_bind(&row.mac);
            });
            query.build().execute(&mut *conn).await?;
        }
        Ok(())
    }

    /// Writes every column that may change.
    pub(super) async fn update(&self, conn: &mut SqliteConnection) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE receptions SET stage = ?, recorded_ms = ?, recorded_sync = ?, shown = ?, consents = ?, \
             consent_request = ?, abandoned_ms = ?, abandoned_sync = ?, abandonment = ?, replied_ms = ?, replied_sync = ?, \
             reply = ?, answer = ?, followed_up_ms = ?, followed_up_sync = ?, followed_up = ?, followed_up_answer = ?, \
             awaits_reply = ?, recorded_place = ?, mac = ? WHERE seq = ?",
        )
        .bind(&self.stage)
        .bind(self.recorded_ms)
        .bind(self.recorded_sync)
        .bind(&self.shown)
        .bind(&self.consents)
        .bind(self.consent_request)
        .bind(self.abandoned_ms)
        .bind(self.abandoned_sync)
        .bind(&self.abandonment)
        .bind(self.replied_ms)
        .bind(self.replied_sync)
        .bind(&self.reply)
        .bind(&self.answer)
        .bind(self.followed_up_ms)
        .bind(self.followed_up_sync)
        .bind(&self.followed_up)
        .bind(&self.followed_up_answer)
        .bind(self.awaits_reply)
        .bind(self.recorded_place)
        .bind(&self.mac)
        .bind(self.seq)
        .execute(conn)
        .await
        .map(drop)
    }
}

/// A row of `face_failures`.
#[derive(sqlx::FromRow)]
pub(super) struct FaceCells {
    pub(super) order_key: Vec<u8>,
    pub(super) failures: i64,
    pub(super) counted_ms: i64,
    pub(super) mac: Vec<u8>,
}

impl FaceCells {
    pub(super) fn check(&self, keys: &Keys) -> RowMac {
        RowMac::new(keys, "face_failures").blob(self.order_key.as_slice()).int(self.failures).int(self.counted_ms)
    }

    /// Whether the row is as this program wrote it.
    pub(super) fn genuine(&self, keys: &Keys) -> bool {
        self.check(keys).verify(&self.mac)
    }

    /// Writes the row, new or changed.
    pub(super) async fn put(mut self, keys: &Keys, conn: &mut SqliteConnection) -> sqlx::Result<()> {
        self.mac = self.check(keys).finish();
        sqlx::query("INSERT OR REPLACE INTO face_failures (order_key, failures, counted_ms, mac) VALUES (?, ?, ?, ?)")
            .bind(self.order_key)
            .bind(self.failures)
            .bind(self.counted_ms)
            .bind(self.mac)
            .execute(conn)
            .await
            .map(drop)
    }
}

/// A row of `outbox`.
#[derive(sqlx::FromRow)]
pub(super) struct OutboxCells {
    pub(super) seq: i64,
    pub(super) id: Uuid,
    pub(super) destination: String,
    pub(super) reception: Uuid,
    pub(super) order_key: Vec<u8>,
    pub(super) kind: String,
    pub(super) lane: String,
    pub(super) body: Vec<u8>,
    pub(super) body_mac: Vec<u8>,
    pub(super) attempts: i64,
    pub(super) not_before_ms: i64,
    pub(super) state: String,
    pub(super) last_error: Option<String>,
    pub(super) created_ms: i64,
    pub(super) mac: Vec<u8>,
    /// NULL in rows of versions that kept body and signature in one.
    pub(super) proof: Option<Vec<u8>>,
}

impl OutboxCells {
    /// A new pending row for the central system.
    pub(super) fn new(
        keys: &Keys,
        seq: i64,
        request: &Request,
        reception: Uuid,
        order_key: Vec<u8>,
        lane: crate::store::Lane,
        created: Stamp,
    ) -> Self {
        let mut row = Self {
            seq,
            id: request.id.0,
            destination: word(Destination::Central),
            reception,
            order_key,
            kind: word(request.kind),
            lane: word(lane),
            body: Sealed::seal(keys, body_place(&request.id.0), &request.body).into_disk(),
            body_mac: keys.body_mac(&request.body).to_vec(),
            attempts: 0,
            not_before_ms: 0,
            state: word(crate::store::RowState::Pending),
            last_error: None,
            created_ms: created.wall_ms,
            mac: Vec::new(),
            proof: sealed_proof(keys, request),
        };
        row.finish(keys);
        row
    }

    /// Refused for good; the caller writes it.
    pub(super) fn reject(&mut self, code: String) {
        self.state = word(crate::store::RowState::Rejected);
        self.last_error = Some(code);
    }

    pub(super) fn check(&self, keys: &Keys) -> RowMac {
        RowMac::new(keys, "outbox")
            .int(self.seq)
            .blob(self.id.as_bytes().as_slice())
            .text(self.destination.as_str())
            .blob(self.reception.as_bytes().as_slice())
            .blob(self.order_key.as_slice())
            .text(self.kind.as_str())
            .text(self.lane.as_str())
            .blob(self.body.as_slice())
            .blob(self.body_mac.as_slice())
            .int(self.attempts)
            .int(self.not_before_ms)
            .text(self.state.as_str())
            .text(self.last_error.as_deref())
            .int(self.created_ms)
            .later("proof", self.proof.as_deref())
    }

    /// Whether the row is as this program wrote it.
    pub(super) fn genuine(&self, keys: &Keys) -> bool {
        self.check(keys).verify(&self.mac)
    }

    /// Renews the check; before every write.
    pub(super) fn finish(&mut self, keys: &Keys) {
        self.mac = self.check(keys).finish();
    }

    /// What the courier gets, body opened, if the row is genuine.
    pub(super) fn open(self, keys: &Keys) -> Result<OutboxRow, Unreadable> {
        if !self.genuine(keys) {
            return Err(Unreadable::Altered);
        }
        Ok(OutboxRow {
            seq: self.seq,
            request: Request {
                id: RequestId(self.id),
                kind: parse(&self.kind)?,
                body: Sealed::from_disk(self.body).open(keys, body_place(&self.id))?,
                proof: open_proof(keys, &self.id, self.proof)?,
            },
            reception: ReceptionId(self.reception),
            order_key: OrderKey(self.order_key.try_into().map_err(|_| Unreadable::Altered)?),
            lane: parse(&self.lane)?,
            attempts: u32::try_from(self.attempts).map_err(|_| Unreadable::Altered)?,
        })
    }

    /// What people see. Not checked: an isolated row is shown as it was found.
    pub(super) fn head(self) -> Result<OutboxHead, Unreadable> {
        Ok(OutboxHead {
            seq: self.seq,
            id: RequestId(self.id),
            kind: parse(&self.kind)?,
            reception: ReceptionId(self.reception),
            lane: parse(&self.lane)?,
            state: parse(&self.state)?,
            attempts: u32::try_from(self.attempts).unwrap_or(u32::MAX),
            last_error: self.last_error,
            created_ms: self.created_ms,
            not_before_ms: self.not_before_ms,
        })
    }

    /// Inserts new rows, many in a statement.
    pub(super) async fn insert(rows: &[Self], conn: &mut SqliteConnection) -> sqlx::Result<()> {
        for rows in steps(rows) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "INSERT INTO outbox (seq, id, destination, reception, order_key, kind, lane, body, body_mac, attempts, \
                 not_before_ms, state, last_error, created_ms, mac, proof) ",
            );
            query.push_values(rows, |mut values, row| {
                values.push_bind(row.seq).push_bind(row.id).push_bind(&row.destination).push_bind(row.reception);
                values.push_bind(&row.order_key).push_bind(&row.kind).push_bind(&row.lane).push_bind(&row.body);
                values.push_bind(&row.body_mac).push_bind(row.attempts).push_bind(row.not_before_ms);
                values.push_bind(&row.state).push_bind(&row.last_error).push_bind(row.created_ms).push_bind(&row.mac);
                values.push_bind(&row.proof);
            });
            query.build().execute(&mut *conn).await?;
        }
        Ok(())
    }

    /// Writes every column that may change.
    pub(super) async fn update(&self, conn: &mut SqliteConnection) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE outbox SET lane = ?, attempts = ?, not_before_ms = ?, state = ?, last_error = ?, mac = ? WHERE seq = ?",
        )
        .bind(&self.lane)
        .bind(self.attempts)
        .bind(self.not_before_ms)
        .bind(&self.state)
        .bind(&self.last_error)
        .bind(&self.mac)
        .bind(self.seq)
        .execute(conn)
        .await
        .map(drop)
    }
}

/// Bodies are sealed for the request's id: the seq may differ after a move to another store.
fn body_place(id: &Uuid) -> Place<'_> {
    Place { table: "outbox", column: "body", row: id.as_bytes() }
}

fn proof_place(id: &Uuid) -> Place<'_> {
    Place { table: "outbox", column: "proof", row: id.as_bytes() }
}

/// Nothing sealed stands for the gateway, so that NULL is left to earlier versions.
fn sealed_proof(keys: &Keys, request: &Request) -> Option<Vec<u8>> {
    let nothing = Zeroizing::default();
    let proof = match &request.proof {
        Proof::Gateway => &nothing,
        Proof::Signed(proof) => proof,
        Proof::Within => return None,
    };
    Some(Sealed::seal(keys, proof_place(&request.id.0), proof).into_disk())
}

fn open_proof(keys: &Keys, id: &Uuid, proof: Option<Vec<u8>>) -> Result<Proof, Unreadable> {
    let Some(proof) = proof else { return Ok(Proof::Within) };
    let proof: Zeroizing<Vec<u8>> = Sealed::from_disk(proof).open(keys, proof_place(id))?;
    Ok(if proof.is_empty() { Proof::Gateway } else { Proof::Signed(proof) })
}
