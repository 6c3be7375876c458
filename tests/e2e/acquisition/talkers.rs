//! Sensors that speak sentences, by themselves and when asked: what is stored is what they said, slip by slip.

use super::farm::Farm;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use windward_protocol::{NoData, Row};
use windward_tests::clock;
use windward_tests::lines::serial::SerialPort;
use windward_tests::lines::talker::{Kind, Said, Slip, Talker};
use windward_tests::peers::there;
use windward_tests::plant::Turbine;
use windward_tests::stored::Stored;

/// Time between two sentences: more than a sentence takes, with what a broken one costs.
const EVERY_MS: i64 = 400;
/// How far the clocks of agent and rig are apart at most, ms.
const CLOCKS_MS: i64 = 2;
/// Rows of every device before a plug is pulled, and in the end.
const ROWS: [usize; 2] = [20, 50];
const UNPLUGGED: Duration = Duration::from_secs(1);
/// How soon after the plug is in again the first value must come, ms: the agent tries again after at most 2 s.
const BACK_MS: i64 = 3_000;
const KNOT_MPS: f64 = 1852.0 / 3600.0;

/// A sensor, and how the agent is told of it.
struct Sensor {
    name: &'static str,
    kind: Kind,
    baud: u32,
    polled: bool,
    replugged: bool,
    toml: &'static str,
}

const SENSORS: [Sensor; 6] = [
    Sensor {
        name: "gill",
        kind: Kind::Gill,
        baud: 9_600,
        polled: false,
        replugged: false,
        toml: "profile = \"gill-windsonic\"\n",
    },
    Sensor {
        name: "gill-polled",
        kind: Kind::Gill,
        baud: 9_600,
        polled: true,
        replugged: false,
        toml: "profile = \"gill-windsonic\"\npoll = \"Q\"\n",
    },
    Sensor {
        name: "gill-nmea",
        kind: Kind::GillNmea,
        baud: 9_600,
        polled: false,
        replugged: true,
        toml: "profile = \"gill-windsonic-nmea\"\n",
    },
    Sensor {
        name: "young-knots",
        kind: Kind::Young,
        baud: 4_800,
        polled: false,
        replugged: false,
        toml: "profile = \"rm-young-85106\"\n",
    },
    Sensor {
        name: "wxt-polled",
        kind: Kind::Wxt,
        baud: 19_200,
        polled: true,
        replugged: true,
        toml: "profile = \"vaisala-wxt530-ascii\"\n",
    },
    // The profile polls.
    Sensor {
        name: "wxt",
        kind: Kind::Wxt,
        baud: 19_200,
        polled: false,
        replugged: false,
        toml: "format = \"wxt\"\n\
               [[device.channel]]\nname = \"wind-speed\"\nunit = \"m/s\"\nfield = \"Sm\"\n\
               [[device.channel]]\nname = \"wind-direction\"\nunit = \"°\"\nfield = \"Dm\"\n",
    },
];

/// A sensor on its port, when that began, and when its plug was pulled and put in again.
struct Plugged {
    sensor: Sensor,
    port: SerialPort<Talker>,
    began_ms: i64,
    away: Option<(i64, i64)>,
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_what_sensors_say_in_sentences_is_stored_as_they_said_it() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let mut sensors = SENSORS.into_iter().map(|sensor| Plugged::new(sensor, dir.path())).collect::<Result<Vec<_>>>()?;
    let toml: String = sensors.iter().map(Plugged::toml).collect();
    let mut farm = Farm::new(dir, &toml).await?;
    farm.start()?;
    farm.rows(sensors.len(), ROWS[0]).await?;
    let pulled_ms = clock::wall_ms();
    for plugged in sensors.iter_mut().filter(|plugged| plugged.sensor.replugged) {
        plugged.port.unplug()?;
    }
    tokio::time::sleep(UNPLUGGED).await;
    for plugged in sensors.iter_mut().filter(|plugged| plugged.sensor.replugged) {
        plugged.port.replug()?;
        plugged.away = Some((pulled_ms, clock::wall_ms()));
    }
    farm.rows(sensors.len(), ROWS[1]).await?;
    let stored = farm.stop().await?;
    for plugged in &sensors {
        let name = plugged.sensor.name;
        plugged.judge(&stored[name]).context(name)?;
    }
    Ok(())
}

impl Plugged {
    fn new(sensor: Sensor, dir: &Path) -> Result<Self> {
        let turbine = Turbine::new(1);
        let mut talker = match sensor.polled {
            true => Talker::polled(sensor.kind, turbine, sensor.baud),
            false => Talker::streaming(sensor.kind, turbine, sensor.baud, EVERY_MS as u64),
        };
        let slips = [(4, Slip::None), (1, Slip::Checksum), (1, Slip::Cut), (1, Slip::Invalid), (1, Slip::Calm)];
        talker.slips = slips.to_vec();
        let port = SerialPort::plug(talker, &dir.join(sensor.name), Some(sensor.baud))?;
        let began_ms = clock::wall_ms() - (port.now_us() / 1_000) as i64;
        Ok(Self { sensor, port, began_ms, away: None })
    }

    fn toml(&self) -> String {
        let Sensor { name, polled, toml, .. } = self.sensor;
        // Sentences that slip several times in a row are no silence yet.
        let waits = if polled { "timeout_ms = 150\nlate_ms = 100\n" } else { "timeout_ms = 5000\n" };
        format!(
            "[[device]]\nname = \"{name}\"\ninterval_ms = {EVERY_MS}\n{waits}serial = {{ port = {:?} }}\n{toml}",
            self.port.path()
        )
    }

    /// Compares every sentence with its row.
    fn judge(&self, stored: &Stored) -> Result<()> {
        let rows = &stored.rows;
        let channels = ["wind-speed", "wind-direction"].map(|name| stored.channels.iter().position(|own| own == name));
        let [Some(wind), Some(direction)] = channels else { anyhow::bail!("channels {:?}", stored.channels) };
        let back_ms = self.back_ms(rows, wind);
        // The sentence that a pulled plug cut short, and what was said to nobody.
        let away = |at_ms: i64| match (self.away, back_ms) {
            (Some((pulled_ms, _)), Some(back_ms)) => (pulled_ms - EVERY_MS..back_ms).contains(&at_ms),
            _ => false,
        };
        let station = self.port.station();
        let said: Vec<(i64, &Said)> =
            station.said().iter().map(|said| (self.began_ms + (said.at_us / 1_000) as i64, said)).collect();
        let sentence_of = |row: &Row| said.partition_point(|(at_ms, _)| *at_ms <= row.time_ms + CLOCKS_MS);
        let mut rows_of: BTreeMap<usize, Vec<&Row>> = BTreeMap::new();
        for row in rows {
            rows_of.entry(sentence_of(row)).or_default().push(row);
        }
        // The first and the last sentence may have been heard in part.
        let (Some(first), Some(last)) = (rows_of.keys().next(), rows_of.keys().next_back()) else { return Ok(()) };
        let mut met: BTreeMap<String, usize> = BTreeMap::new();
        for number in first + 1..*last {
            let (at_ms, this) = said[number - 1];
            if away(at_ms) {
                continue;
            }
            *met.entry(format!("{:?}", this.slip)).or_default() += 1;
            let before = number.checked_sub(2).map(|before| said[before].1.slip);
            let expected: Vec<_> = self.sensor.expected(this, before).into_iter().collect();
            let none = Vec::new();
            let got = rows_of.get(&number).unwrap_or(&none).iter();
            let got: Vec<_> = got.map(|row| [wind, direction].map(|index| row.readings[index])).collect();
            let got: Vec<_> = got.iter().map(|pair| pair.map(|reading| reading.map(|value| value.as_f64()))).collect();
            let same = got.len() == expected.len()
                && got.iter().flatten().zip(expected.iter().flatten()).all(|pair| match pair {
                    (Ok(got), Ok(expected)) => (got - expected).abs() < 1e-9,
                    (got, expected) => got == expected,
                });
            assert!(same, "{}: {this:?} after {before:?} gave {got:?}, not {expected:?}", self.sensor.name);
        }
        let slips = if self.sensor.kind == Kind::Wxt { 4 } else { 5 };
        assert!(met.len() == slips && met.values().all(|count| *count >= 2), "{}: {met:?}", self.sensor.name);
        println!("FIGURE {}: {met:?}, each stored as it was said", self.sensor.name);
        if let Some((pulled_ms, plugged_ms)) = self.away {
            let back_ms = back_ms.context("nothing has come since the plug is in again")?;
            let gone = |row: &&Row| row.readings[wind] == Err(NoData::Disconnected);
            let gone = rows.iter().filter(|row| row.time_ms >= pulled_ms - CLOCKS_MS).filter(gone).count();
            println!(
                "FIGURE {}: a value {} ms after replugging, {gone} rows between",
                self.sensor.name,
                back_ms - plugged_ms
            );
            assert!(gone > 0 && back_ms - plugged_ms < BACK_MS);
        }
        Ok(())
    }

    /// When the first value came after the plug was in again.
    fn back_ms(&self, rows: &[Row], wind: usize) -> Option<i64> {
        let (_, plugged_ms) = self.away?;
        rows.iter().find(|row| row.time_ms >= plugged_ms && row.readings[wind].is_ok()).map(|row| row.time_ms)
    }
}

impl Sensor {
    /// Wind speed and direction of the row that a sentence must make; `None`: it makes none.
    fn expected(&self, said: &Said, before: Option<Slip>) -> Option<[Result<f64, NoData>; 2]> {
        let both = |reason| Some([Err(reason); 2]);
        let streams = !self.polled;
        // Nothing marks where a WXT's line begins: one without an end spoils the next.
        if self.kind == Kind::Wxt && streams && before == Some(Slip::Cut) && said.slip != Slip::Cut {
            return both(NoData::Protocol);
        }
        match said.slip {
            Slip::Cut if streams => None,
            Slip::Cut => both(NoData::Timeout),
            Slip::Checksum => both(NoData::Checksum),
            Slip::Invalid => both(NoData::Invalid),
            Slip::None | Slip::Calm => {
                let metres = if self.kind == Kind::Young { KNOT_MPS } else { 1.0 };
                let wind = said.wind.map(|wind| wind * metres).ok_or(NoData::Protocol);
                Some([wind, said.direction.ok_or(NoData::Empty)])
            }
        }
    }
}
