-- What becomes of a reception without a confirmed answer, and every reply to a later question of a reception.

PRAGMA user_version = 4;

CREATE TABLE cases (
    seq INTEGER PRIMARY KEY, -- of its reception: cases in the order they came
    reception BLOB NOT NULL UNIQUE,
    version INTEGER NOT NULL, -- grows with every write
    state TEXT NOT NULL, -- the case itself, nothing personal
    asks TEXT NOT NULL, -- ids of the requests that its asks went out with, by number of the ask
    papers BLOB NOT NULL, -- sealed
    open INTEGER NOT NULL,
    opened_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    final TEXT,
    mac BLOB NOT NULL
) STRICT;
CREATE INDEX cases_open ON cases (seq) WHERE open = 1;
CREATE INDEX cases_ended ON cases (ended_ms) WHERE ended_ms IS NOT NULL;

-- `receptions` keeps the first reply and the latest of the later ones; here each of the later ones is kept.
CREATE TABLE later_replies (
    request BLOB PRIMARY KEY,
    reception BLOB NOT NULL,
    replied_ms INTEGER NOT NULL,
    replied_sync INTEGER NOT NULL,
    reply TEXT NOT NULL,
    answer BLOB, -- sealed
    mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX later_replies_by_reception ON later_replies (reception, replied_ms);
