CREATE TABLE readings (
    partition TEXT NOT NULL, sort TEXT NOT NULL, agent TEXT NOT NULL, device TEXT NOT NULL, location TEXT NOT NULL,
    first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, n INTEGER NOT NULL, synced INTEGER NOT NULL,
    channels TEXT NOT NULL, block BLOB NOT NULL,
    PRIMARY KEY (partition, sort)
) STRICT, WITHOUT ROWID;

CREATE TABLE alerts (
    farm TEXT NOT NULL, sort TEXT NOT NULL, agent TEXT NOT NULL, id TEXT NOT NULL, said TEXT NOT NULL,
    location TEXT NOT NULL, device TEXT NOT NULL, channel TEXT NOT NULL, kind TEXT NOT NULL, severity TEXT NOT NULL,
    opened_ms INTEGER NOT NULL, at_ms INTEGER NOT NULL, cleared_ms INTEGER, value REAL, unit TEXT NOT NULL,
    wind_speed REAL, anomaly_score REAL, threshold REAL, evidence TEXT NOT NULL, notified_ms INTEGER,
    PRIMARY KEY (farm, sort)
) STRICT;
CREATE INDEX alerts_by_agent ON alerts (farm, agent, sort);

CREATE TABLE notices (
    farm TEXT NOT NULL, sort TEXT NOT NULL, mark TEXT NOT NULL, claimed_until_ms INTEGER NOT NULL, told_ms INTEGER,
    PRIMARY KEY (farm, sort, mark)
) STRICT, WITHOUT ROWID;

CREATE TABLE stats (
    partition TEXT NOT NULL, sort TEXT NOT NULL, unit TEXT NOT NULL, window_ms INTEGER NOT NULL, n INTEGER NOT NULL,
    due INTEGER NOT NULL, mean REAL, min REAL, max REAL, std REAL, turbulence REAL, gust_3s REAL,
    PRIMARY KEY (partition, sort)
) STRICT, WITHOUT ROWID;

CREATE TABLE agents (
    agent TEXT PRIMARY KEY, epoch TEXT, version TEXT, started_ms INTEGER, manifest TEXT,
    heard_ms INTEGER, seen_ms INTEGER, online INTEGER NOT NULL DEFAULT 0, health TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE gaps (
    partition TEXT NOT NULL, from_seq INTEGER NOT NULL, to_seq INTEGER NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (partition, from_seq, to_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE poison (
    partition TEXT NOT NULL, sort TEXT NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL, at_ms INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (partition, sort)
) STRICT;
CREATE INDEX poison_by_time ON poison (at_ms);

CREATE TABLE ledger (
    partition TEXT NOT NULL, bucket INTEGER NOT NULL, seen BLOB NOT NULL,
    PRIMARY KEY (partition, bucket)
) STRICT, WITHOUT ROWID;
