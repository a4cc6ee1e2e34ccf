-- Which keys seal this database, so that a key file without one of them is said to be.

PRAGMA user_version = 6;

ALTER TABLE meta ADD COLUMN key_id BLOB; -- of the key that seals; written down before anything is sealed with it
ALTER TABLE meta ADD COLUMN former_key_id BLOB; -- of the key that is being replaced, while values of it may be left
ALTER TABLE meta ADD COLUMN store_check BLOB; -- proves that the key file is of this store, whatever key seals
