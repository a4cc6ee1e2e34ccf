-- Whoever looks for the next rows passes over those of patients who have one in flight without reading the rows themselves, and finds those
-- that have not failed yet before those that have.

PRAGMA user_version = 9;

DROP INDEX outbox_by_lane;
CREATE INDEX outbox_by_lane ON outbox (destination, state, lane, (attempts > 0), seq, order_key);
