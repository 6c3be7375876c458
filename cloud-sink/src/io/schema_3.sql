-- Rows of more than a quarter of a page lie on a page of their own in a table WITHOUT ROWID, and a block's row is one.
ALTER TABLE readings RENAME TO readings_before;
CREATE TABLE readings (
    partition TEXT NOT NULL, sort TEXT NOT NULL, agent TEXT NOT NULL, device TEXT NOT NULL, location TEXT NOT NULL,
    first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, n INTEGER NOT NULL, synced INTEGER NOT NULL,
    channels TEXT NOT NULL, block BLOB NOT NULL,
    PRIMARY KEY (partition, sort)
) STRICT;
INSERT INTO readings SELECT * FROM readings_before;
DROP TABLE readings_before;
