ALTER TABLE agents ADD COLUMN alive_ms INTEGER;
ALTER TABLE agents ADD COLUMN devices TEXT NOT NULL DEFAULT '{}';

-- A day of a channel: the row of statistics, over 24 hours.
CREATE TABLE days (
    partition TEXT NOT NULL, sort TEXT NOT NULL, unit TEXT NOT NULL, window_ms INTEGER NOT NULL, n INTEGER NOT NULL,
    due INTEGER NOT NULL, mean REAL, min REAL, max REAL, std REAL, turbulence REAL, gust_3s REAL,
    PRIMARY KEY (partition, sort)
) STRICT, WITHOUT ROWID;

-- What the sink keeps for itself, as JSON: what it watches, and what is usual for a turbine.
CREATE TABLE watches (
    partition TEXT NOT NULL, sort TEXT NOT NULL, revision INTEGER NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (partition, sort)
) STRICT, WITHOUT ROWID;
CREATE TABLE fleet (
    partition TEXT NOT NULL, sort TEXT NOT NULL, revision INTEGER NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (partition, sort)
) STRICT;
