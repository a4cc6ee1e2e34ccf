-- What the gateway vouches for is kept without a signature and signed when it is sent; what a card signed is kept with it, in a column of its
-- own, so that the fingerprint of a request covers what it says alone.

PRAGMA user_version = 10;

ALTER TABLE outbox ADD COLUMN proof BLOB; -- sealed; empty: the gateway signs; NULL: the body of an earlier version, signature included
