-- Hours of the archive: which are to be written, and which partitions hold their rows.
CREATE TABLE hours (
    farm TEXT NOT NULL, name TEXT NOT NULL, start_ms INTEGER NOT NULL, version INTEGER NOT NULL,
    archived INTEGER NOT NULL DEFAULT 0, rows INTEGER NOT NULL DEFAULT 0, claim TEXT NOT NULL DEFAULT '',
    claimed_until_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (farm, name, start_ms)
) STRICT, WITHOUT ROWID;
CREATE INDEX hours_dirty ON hours (farm, name, start_ms) WHERE version > archived;

CREATE TABLE hour_members (
    farm TEXT NOT NULL, name TEXT NOT NULL, start_ms INTEGER NOT NULL, member TEXT NOT NULL,
    PRIMARY KEY (farm, name, start_ms, member)
) STRICT, WITHOUT ROWID;
