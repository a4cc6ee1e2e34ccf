-- When a reception was opened on the clock that no correction moves: two of the same boot know their distance whatever the wall clock did.

PRAGMA user_version = 7;

ALTER TABLE receptions ADD COLUMN opened_boot INTEGER; -- which boot; NULL where the machine does not tell, or in rows of older versions
ALTER TABLE receptions ADD COLUMN opened_mono_ms INTEGER; -- milliseconds since that boot, time asleep included
