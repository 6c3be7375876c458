-- The outbox: whom to tell of what, committed with the alert. `pending` is there until a notice is told or dropped.
ALTER TABLE notices RENAME TO notices_before;
CREATE TABLE notices (
    farm TEXT NOT NULL, sort TEXT NOT NULL, target TEXT NOT NULL, phase TEXT NOT NULL, created_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL, attempts INTEGER NOT NULL, said TEXT, told_ms INTEGER, pending TEXT, about TEXT NOT NULL,
    PRIMARY KEY (farm, sort)
) STRICT;
CREATE INDEX notices_due ON notices (farm, pending, due_ms) WHERE pending IS NOT NULL;
-- What was told stays told. What was not is not acked either: its agent sends it again.
INSERT INTO notices
    SELECT farm, sort || '#' || replace(mark, '_', '#'), substr(mark, instr(mark, '_') + 1),
        substr(mark, 1, instr(mark, '_') - 1), told_ms, told_ms, 0, 'own', told_ms, NULL, '{"digest":null}'
    FROM notices_before WHERE told_ms IS NOT NULL;
DROP TABLE notices_before;

-- Messages that went to a target by themselves, by minute.
CREATE TABLE notice_counts (
    farm TEXT NOT NULL, target TEXT NOT NULL, minute INTEGER NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (farm, target, minute)
) STRICT, WITHOUT ROWID;

ALTER TABLE alerts ADD COLUMN acknowledged_by TEXT;
ALTER TABLE alerts ADD COLUMN acknowledged_ms INTEGER;
ALTER TABLE alerts ADD COLUMN note TEXT;
