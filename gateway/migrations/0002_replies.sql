-- For the list of provisional receptions that were answered otherwise: recent replies, without a walk through all receptions.

PRAGMA user_version = 2;

CREATE INDEX receptions_replied ON receptions (replied_ms) WHERE replied_ms IS NOT NULL;
