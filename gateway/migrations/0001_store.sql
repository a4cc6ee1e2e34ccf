-- The store, first version. Sealed columns hold key id, nonce and ciphertext; `mac` covers every other column of its row.
-- Times are milliseconds since 1970 UTC as the wall clock said, `_sync` tells whether the clock was synchronised.

PRAGMA application_id = 1431000139; -- "UKTK": this file belongs to Uketsuke
PRAGMA user_version = 1;

-- What this database is and how far it has come; one row.
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    store_id BLOB NOT NULL CHECK (length(store_id) = 16),
    key_check BLOB NOT NULL, -- proves that the key file belongs to this database
    commits INTEGER NOT NULL, -- also in the side file, for every acknowledged commit
    last_seq INTEGER NOT NULL -- highest seq ever given
) STRICT;

CREATE TABLE receptions (
    seq INTEGER PRIMARY KEY, -- the seq of its eligibility row: receptions in the order they came
    id BLOB NOT NULL UNIQUE,
    request BLOB NOT NULL UNIQUE,
    reader TEXT NOT NULL CHECK (length(reader) <= 128),
    order_key BLOB NOT NULL,
    method TEXT NOT NULL,
    face_score BLOB, -- sealed
    stage TEXT NOT NULL,
    opened_ms INTEGER NOT NULL,
    opened_sync INTEGER NOT NULL,
    recorded_ms INTEGER,
    recorded_sync INTEGER,
    shown TEXT,
    consents BLOB, -- sealed
    consent_request BLOB,
    abandoned_ms INTEGER,
    abandoned_sync INTEGER,
    abandonment TEXT,
    replied_ms INTEGER,
    replied_sync INTEGER,
    reply TEXT,
    answer BLOB, -- sealed
    awaits_reply INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT;
CREATE INDEX receptions_by_reader ON receptions (reader, seq);
CREATE INDEX receptions_open ON receptions (seq) WHERE stage = 'open';
CREATE INDEX receptions_abandoned ON receptions (abandoned_ms) WHERE stage = 'abandoned';
CREATE INDEX receptions_awaiting ON receptions (seq) WHERE awaits_reply = 1;

CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    destination TEXT NOT NULL,
    reception BLOB NOT NULL,
    order_key BLOB NOT NULL,
    kind TEXT NOT NULL,
    lane TEXT NOT NULL,
    body BLOB NOT NULL, -- sealed
    body_mac BLOB NOT NULL, -- fingerprint of the plaintext, to tell the same request from another under its id
    attempts INTEGER NOT NULL,
    not_before_ms INTEGER NOT NULL,
    state TEXT NOT NULL, -- pending, isolated, rejected
    last_error TEXT,
    created_ms INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT;
CREATE INDEX outbox_by_lane ON outbox (destination, state, lane, seq);
CREATE INDEX outbox_by_key ON outbox (destination, order_key, seq);

-- Requests that had their verdict, so that they never take effect twice.
CREATE TABLE settled (
    id BLOB PRIMARY KEY,
    body_mac BLOB NOT NULL,
    settled_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX settled_by_age ON settled (settled_ms);
