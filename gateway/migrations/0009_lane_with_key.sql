-- Whoever looks for the next rows passes over those of patients who have one in flight without reading the rows themselves.

PRAGMA user_version = 9;

DROP INDEX outbox_by_lane;
CREATE INDEX outbox_by_lane ON outbox (destination, state, lane, seq, order_key);
