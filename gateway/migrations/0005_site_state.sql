-- What the site keeps beside receptions, and who opened or closed what.

PRAGMA user_version = 5;

CREATE TABLE site_state (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL, -- sealed
    mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE trail (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    at_ms INTEGER NOT NULL,
    entry BLOB NOT NULL, -- sealed: reasons are free text
    mac BLOB NOT NULL
) STRICT;
