//! The beacon: a relay on the very line whose sensor raises the alarm.

use super::farm::Farm;
use super::{BAUD, rtu_toml};
use crate::system::SOON;
use anyhow::Result;
use std::time::{Duration, Instant};
use windward_tests::clock;
use windward_tests::lines::device::{Device, Table};
use windward_tests::lines::manner::{Conduct, Manner};
use windward_tests::lines::serial::SerialPort;
use windward_tests::lines::{Line, Wire};
use windward_tests::peers::there;
use windward_tests::process::eventually;
use windward_tests::random::Random;

const SENSOR: u8 = 1;
const RELAY: u8 = 9;
const COIL: u16 = 3;
const WIND: u16 = 2;
/// The forest warms up for so many readings.
const WARM_UP: u32 = 64;
/// How soon after the wind the beacon must be on.
const GOAL: Duration = Duration::from_secs(2);
/// How soon after the relay is back: it is tried again every second, and the attempt before must end first.
const BACK: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn e2e_an_anomaly_lights_a_beacon_on_the_same_line_and_its_end_puts_it_out() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let mut relay = Device::new(RELAY);
    // On from an earlier life: the agent has to put it out before it can light it.
    relay.set(Table::Coils, COIL, 1);
    let line = Line::new(Wire::rtu(BAUD), [Device::new(SENSOR), relay], 1);
    let port = SerialPort::plug(line, &dir.path().join("line"), Some(BAUD))?;
    let link = rtu_toml(port.path());
    let toml = format!(
        "[detect]\nwarm_up = {WARM_UP}\n\
         [alert.beacon]\nslave = {RELAY}\ncoil = {COIL}\n{link}\n\
         [[device]]\nname = \"sensor\"\nslave = {SENSOR}\ninterval_ms = 100\ntimeout_ms = 50\n{link}\n\
         [[device.channel]]\nname = \"wind\"\nquantity = \"wind-speed\"\nunit = \"m/s\"\nregister = {WIND}\n\
         type = \"u16\"\nscale = 0.01\n"
    );
    let mut farm = Farm::new(dir, &toml).await?;
    let mut wind = Wind { port: &port, random: Random::new(1) };
    wind.blow(10.0);
    farm.start()?;
    wind.until(10.0, "the beacon to be out at first", || !lit(&port)).await?;
    wind.until(10.0, "the forest to be warm", || asked(&port, SENSOR) > 2 * WARM_UP).await?;
    assert!(!lit(&port), "usual wind lights nothing");

    let on = wind.until(50.0, "the beacon", || lit(&port)).await?;
    let out = wind.until(10.0, "its end", || !lit(&port)).await?;
    println!("FIGURE the beacon is on {} ms after the gust, and out {} ms after that", on.as_millis(), out.as_millis());
    assert!(on < GOAL, "{on:?}");

    // Relay and sensor are gone, and the silence of the sensor is an alert of its own.
    conduct(&port, RELAY, Manner::Silent);
    conduct(&port, SENSOR, Manner::Silent);
    let before = asked(&port, RELAY);
    wind.until(10.0, "three vain attempts", || asked(&port, RELAY) >= before + 3).await?;
    assert!(!lit(&port));
    conduct(&port, RELAY, Manner::Prompt);
    let on = wind.until(10.0, "the beacon once the relay is back", || lit(&port)).await?;
    conduct(&port, SENSOR, Manner::Prompt);
    wind.until(10.0, "its end", || !lit(&port)).await?;
    println!("FIGURE the beacon is on {} ms after its relay has come back", on.as_millis());
    assert!(on < BACK, "{on:?}");
    let stored = farm.stop().await?;
    let values = stored["sensor"].values("wind").iter().filter(|reading| reading.is_ok()).count();
    assert!(values > 2 * WARM_UP as usize);
    Ok(())
}

/// Wind that the sensor measures, never quite the same.
struct Wind<'a> {
    port: &'a SerialPort<Line>,
    random: Random,
}

impl Wind<'_> {
    fn blow(&mut self, mean_mps: f64) {
        let wind = mean_mps + 0.2 * self.random.normal();
        if let Some(sensor) = self.port.station().slave(SENSOR) {
            sensor.set(Table::Input, WIND, (wind * 100.0) as u16);
        }
    }

    /// Blows until something has happened; gives how long that took.
    async fn until(&mut self, mean_mps: f64, what: &str, happened: impl Fn() -> bool) -> Result<Duration> {
        let began: Instant = clock::now();
        eventually(SOON, what, async || {
            self.blow(mean_mps);
            Ok(happened().then(|| began.elapsed()))
        })
        .await
    }
}

fn lit(port: &SerialPort<Line>) -> bool {
    port.station().slave(RELAY).is_some_and(|relay| relay.coil(COIL))
}

fn asked(port: &SerialPort<Line>, slave: u8) -> u32 {
    port.station().slave(slave).map_or(0, |slave| slave.heard())
}

/// How a slave answers from now on.
fn conduct(port: &SerialPort<Line>, slave: u8, manner: Manner) {
    if let Some(slave) = port.station().slave(slave) {
        slave.conduct = Conduct::Always(manner);
    }
}
