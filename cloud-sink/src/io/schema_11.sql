-- The alerts that last, however many have opened since.
CREATE INDEX alerts_open ON alerts (farm, sort) WHERE cleared_ms IS NULL;
