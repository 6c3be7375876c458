CREATE TABLE leases (
    stream TEXT NOT NULL, shard TEXT NOT NULL, position TEXT NOT NULL, owner TEXT NOT NULL, counter INTEGER NOT NULL,
    PRIMARY KEY (stream, shard)
) STRICT, WITHOUT ROWID;
