-- How a person was verified and on what ground, replies to later questions, visits, and faces that did not match.

PRAGMA user_version = 3;

ALTER TABLE receptions ADD COLUMN evidence BLOB; -- sealed
ALTER TABLE receptions ADD COLUMN same_visit_as BLOB; -- an earlier reception of the same person within the same visit
ALTER TABLE receptions ADD COLUMN followed_up_ms INTEGER;
ALTER TABLE receptions ADD COLUMN followed_up_sync INTEGER;
ALTER TABLE receptions ADD COLUMN followed_up TEXT; -- reply to the latest question after the first
ALTER TABLE receptions ADD COLUMN followed_up_answer BLOB; -- sealed
CREATE INDEX receptions_by_key ON receptions (order_key, seq);

-- Face attempts of one card that failed one after the other; a match forgets them.
CREATE TABLE face_failures (
    order_key BLOB PRIMARY KEY,
    failures INTEGER NOT NULL,
    counted_ms INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;
