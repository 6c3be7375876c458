-- Questions to the archive, worked out. They run as they stand in DuckDB, started in the folder that holds `archive/`:
--
--   duckdb -c "SET TimeZone = 'UTC'" -c ".read queries.sql"
--
-- For a bucket write `s3://<bucket>/<prefix>/` instead of `archive/`, after INSTALL httpfs, LOAD httpfs and
-- CREATE SECRET (TYPE s3, PROVIDER credential_chain). In Athena the three views are tables of the Glue database that
-- the stack makes: leave the CREATE statements out. Where Athena wants other words, it is said behind "Athena:".
--
-- All times are UTC. `farm`, `date` and `hour` are folders: a condition on them leaves all other files unread, so name
-- them where you can (here they are left out, so that the questions run on any archive). They are those of the
-- reading, of the alert's opening, of the window's begin.

CREATE VIEW readings AS
    SELECT * FROM read_parquet('archive/readings/**/*.parquet', hive_partitioning = true);
CREATE VIEW alerts AS
    SELECT * FROM read_parquet('archive/alerts/**/*.parquet', hive_partitioning = true);
CREATE VIEW stats AS
    SELECT * FROM read_parquet('archive/stats/**/*.parquet', hive_partitioning = true);

-- ## Top gusts
-- The greatest 3-second means (IEC 61400-1), each with the 10-minute mean that it rose from.
SELECT farm, agent, device, channel, start, gust_3s, mean, gust_3s / mean AS gust_factor
FROM stats
WHERE gust_3s IS NOT NULL AND mean > 0
ORDER BY gust_3s DESC
LIMIT 20;

-- ## Maximum wind speed per turbine and day
-- By single readings, and when it was. A sensor's own faults are no wind: what stood out of its range is no value.
SELECT farm, CAST(date AS VARCHAR) AS day, agent, count(value) AS readings, max(value) AS max_wind_speed,
    max_by(time, value) AS at
FROM readings
WHERE quantity = 'wind-speed'
GROUP BY farm, date, agent
ORDER BY max_wind_speed DESC;

-- ## Availability of data
-- Readings that came, of those that were due; hours in which an agent was away altogether are in neither number.
SELECT CAST(date AS VARCHAR) AS day, agent, device, channel, CAST(sum(n) AS BIGINT) AS came,
    CAST(sum(due) AS BIGINT) AS due, CAST(sum(n) AS DOUBLE) / sum(due) AS availability
FROM stats
WHERE due > 0
GROUP BY date, agent, device, channel
ORDER BY availability, agent, device, channel;

-- ## Why readings are missing
-- A failed read is a row of its own, with its reason.
SELECT agent, device, channel, no_data, count(*) AS readings, min(time) AS first, max(time) AS last
FROM readings
WHERE no_data IS NOT NULL
GROUP BY agent, device, channel, no_data
ORDER BY readings DESC;

-- ## Alerts by kind
-- How many by month, and how long they lasted, minutes.
SELECT date_trunc('month', opened) AS month, kind, severity, count(*) AS alerts, count(DISTINCT agent) AS turbines,
    avg(date_diff('second', opened, cleared)) / 60.0 AS mean_minutes
FROM alerts
GROUP BY date_trunc('month', opened), kind, severity
ORDER BY month, alerts DESC;

-- ## Turbulence by direction sector
-- Twelve sectors of 30 degrees, named by their middle; 10-minute windows from 4 m/s on. The 90 % quantile is the one that
-- IEC 61400-1 compares with the turbine's class.
-- Athena: approx_percentile(v.turbulence, 0.9)
SELECT CAST(floor((d.mean + 15) / 30) AS INTEGER) % 12 * 30 AS sector, count(*) AS windows,
    avg(v.turbulence) AS mean_turbulence, quantile_cont(v.turbulence, 0.9) AS q90_turbulence, avg(v.mean) AS wind_speed
FROM stats v
JOIN stats d ON d.farm = v.farm AND d.agent = v.agent AND d.start = v.start AND d.unit = '°'
WHERE v.turbulence IS NOT NULL AND v.mean >= 4
GROUP BY CAST(floor((d.mean + 15) / 30) AS INTEGER) % 12 * 30
ORDER BY sector;

-- ## Readings around an alert
-- Half a minute before each alert and a minute after, of everything on that turbine. The dates keep other days' files
-- closed; an alert within half a minute of midnight wants `OR` with the day before.
SELECT a.id, a.kind, a.opened, r.device, r.channel, r.time, date_diff('second', a.opened, r.time) AS seconds, r.value,
    r.unit, r.no_data, r.score
FROM alerts a
JOIN readings r ON r.farm = a.farm AND r.date = a.date AND r.agent = a.agent
WHERE r.time BETWEEN a.opened - INTERVAL '30' SECOND AND a.opened + INTERVAL '60' SECOND
ORDER BY a.opened, a.id, r.device, r.channel, r.time;

-- ## Highest scores
-- What the forest found strangest, whether or not it became an alert.
SELECT agent, device, channel, time, value, unit, score
FROM readings
WHERE score IS NOT NULL
ORDER BY score DESC, time
LIMIT 50;

-- ## Energy per turbine and day
-- From the mean power of each minute that has a reading; kWh where power is in kW.
SELECT agent, day, sum(kw) / 60 AS kwh, count(*) / 60.0 AS hours
FROM (
    SELECT agent, CAST(date AS VARCHAR) AS day, avg(value) AS kw
    FROM readings
    WHERE quantity = 'power' AND unit = 'kW' AND value IS NOT NULL
    GROUP BY agent, date, hour, extract(minute FROM time)
) AS minutes
GROUP BY agent, day
ORDER BY agent, day;

-- ## Hours and energy lost in good wind
-- Ten minutes count as lost where a turbine gives less than a twentieth of the farm's median although its own
-- anemometer shows wind for work. What it would have given is taken to be the median. Ten minutes that were read in part
-- count whole; those without any reading of its power count in none of the numbers: ask for the availability.
-- Athena: approx_percentile(kw, 0.5) for median(kw); two arguments of greatest() as here.
WITH tens AS (
    SELECT farm, agent, date, hour, floor(extract(minute FROM time) / 10) AS ten,
        avg(CASE WHEN quantity = 'power' THEN value END) AS kw,
        avg(CASE WHEN quantity = 'wind-speed' THEN value END) AS wind_speed
    FROM readings
    WHERE quantity IN ('power', 'wind-speed')
    GROUP BY farm, agent, date, hour, floor(extract(minute FROM time) / 10)
), farm_tens AS (
    SELECT farm, date, hour, ten, median(kw) AS median_kw FROM tens GROUP BY farm, date, hour, ten
)
SELECT t.farm, t.agent, count(*) / 6.0 AS hours,
    sum(CASE WHEN t.kw < f.median_kw / 20 AND t.wind_speed BETWEEN 4 AND 25 THEN 1 ELSE 0 END) / 6.0 AS hours_lost,
    sum(CASE WHEN t.kw < f.median_kw / 20 AND t.wind_speed BETWEEN 4 AND 25
        THEN greatest(f.median_kw - t.kw, 0) ELSE 0 END) / 6.0 AS kwh_lost
FROM tens t
JOIN farm_tens f ON f.farm = t.farm AND f.date = t.date AND f.hour = t.hour AND f.ten = t.ten
WHERE t.kw IS NOT NULL
GROUP BY t.farm, t.agent
ORDER BY kwh_lost DESC, t.agent;

-- ## Turbines whose clock was not set
-- Readings that were taken before the agent knew the time; their times are the agent's best guess.
SELECT agent, count(*) AS readings, sum(CASE WHEN synced THEN 0 ELSE 1 END) AS unsynced, min(time) AS first,
    max(time) AS last
FROM readings
GROUP BY agent
HAVING sum(CASE WHEN synced THEN 0 ELSE 1 END) > 0
ORDER BY unsynced DESC;
