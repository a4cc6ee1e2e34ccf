-- Whose each open case is, so that the desk's are found among many; and the order in which receptions were recorded.

PRAGMA user_version = 8;

ALTER TABLE cases ADD COLUMN owner TEXT; -- machine, desk; NULL once it has ended, and in rows of older versions until they are written again
CREATE INDEX cases_by_owner ON cases (owner, seq) WHERE open = 1;

ALTER TABLE receptions ADD COLUMN recorded_place INTEGER; -- grows from one T2 to the next; NULL before T2 and in rows of older versions
