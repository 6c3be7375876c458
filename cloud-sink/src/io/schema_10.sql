-- Who did what.
CREATE TABLE deeds (
    farm TEXT NOT NULL, sort TEXT NOT NULL, at_ms INTEGER NOT NULL, who TEXT NOT NULL, role TEXT NOT NULL,
    what TEXT NOT NULL, about TEXT NOT NULL, PRIMARY KEY (farm, sort)
) STRICT, WITHOUT ROWID;
