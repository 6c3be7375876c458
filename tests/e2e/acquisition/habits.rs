//! Devices with habits: one whose maximum starts anew when its average is read, and one that sleeps between two rounds.

use super::farm::Farm;
use super::{BAUD, rtu_toml};
use anyhow::Result;
use windward_protocol::NoData;
use windward_tests::lines::device::{Device, ResetOnRead, Table};
use windward_tests::lines::serial::SerialPort;
use windward_tests::lines::{Line, Wire};
use windward_tests::peers::{Over, mbpoll, there};

/// What a Lambrecht sensor is delivered with.
const LAMBRECHT_BAUD: u32 = 19_200;
const NOW: u16 = 30_001;
const AVERAGE: u16 = 30_002;
const MAXIMUM: u16 = 30_003;
const MINIMUM: u16 = 30_004;

/// The simulated maximum is the number of times the average was read before, in tenths of a metre per second.
#[tokio::test(flavor = "multi_thread")]
async fn e2e_every_maximum_of_a_sensor_that_resets_it_is_stored_once_and_a_check_takes_none() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let mut device = Device::new(1);
    device.set(Table::Input, NOW, 85);
    device.set(Table::Input, AVERAGE, 90);
    device.reset_on_read = Some(ResetOnRead { trigger: AVERAGE, first: MAXIMUM, last: MINIMUM });
    let line = Line::new(Wire::rtu(LAMBRECHT_BAUD), [device], 1);
    let port = SerialPort::plug(line, &dir.path().join("line"), Some(LAMBRECHT_BAUD))?;
    let slow = ["wind-speed-average", "gust", "wind-speed-min"];
    let slow = slow.map(|name| format!("[[device.channel]]\nname = \"{name}\"\ninterval_ms = 500\n")).concat();
    let toml = format!(
        "[[device]]\nprofile = \"lambrecht-pro-speed\"\nname = \"cup\"\ninterval_ms = 250\n\
         modbus_rtu = {{ port = {:?} }}\n{slow}",
        port.path()
    );
    let mut farm = Farm::new(dir, &toml).await?;
    let resets = || port.station().slave(1).map_or(0, |device| device.resets());
    let asked = || port.station().asked().len();

    let (well, said) = farm.agent.check(&[]).await?;
    assert!(well && said.contains("not read: reading resets it"), "{said}");
    let checked = asked();
    let over = Over::Rtu(port.path(), LAMBRECHT_BAUD);
    assert_eq!(mbpoll(over, 1, 4, NOW, 1)?, [85]);
    assert_eq!(mbpoll(over, 1, 4, MAXIMUM, 2)?, [0, 0]);
    assert!(checked > 0 && asked() > checked);
    assert_eq!(resets(), 0, "{said}");

    farm.start()?;
    farm.rows(1, 60).await?;
    let stored = farm.stop().await?;
    let stored = &stored["cup"];
    let tenths = |channel: &str| -> Vec<i64> {
        let values = stored.values(channel).into_iter().flat_map(|reading| match reading {
            Ok(value) => Some((value * 10.0).round() as i64),
            Err(reason) => {
                assert_eq!(reason, NoData::NotDue, "{channel}");
                None
            }
        });
        values.collect()
    };
    let gusts = tenths("gust");
    let each_once: Vec<i64> = (0..gusts.len() as i64).collect();
    println!("FIGURE {} maxima stored of {} resets, each once and in order", gusts.len(), resets());
    assert!(gusts.len() >= 25);
    assert_eq!(gusts, each_once);
    assert_eq!(tenths("wind-speed-min"), each_once);
    assert_eq!(tenths("wind-speed-average"), vec![90; gusts.len()]);
    // The agent may be stopped between an answer and its row.
    assert!((gusts.len()..=gusts.len() + 1).contains(&usize::from(resets())), "{}", resets());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_device_that_misses_the_first_query_loses_no_reading_if_it_is_said_so() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let mut lines = Vec::new();
    let mut toml = String::new();
    for wake in [true, false] {
        let mut device = Device::new(1);
        // Still awake for the second question, asleep again at the next round; and time for a busy machine to answer.
        device.sleeps_after_us = Some(700_000);
        let path = dir.path().join(format!("wake-{wake}"));
        let port = SerialPort::plug(Line::new(Wire::rtu(BAUD), [device], 1), &path, Some(BAUD))?;
        toml.push_str(&format!(
            "[[device]]\nname = \"wake-{wake}\"\nwake = {wake}\ninterval_ms = 1500\ntimeout_ms = 400\nlate_ms = 60\n{}\n\
             [[device.channel]]\nname = \"number\"\nunit = \"1\"\nregister = 0\ntype = \"u32\"\ndetect = false\n",
            rtu_toml(port.path())
        ));
        lines.push(port);
    }
    let mut farm = Farm::new(dir, &toml).await?;
    farm.start()?;
    farm.rows(2, 12).await?;
    let stored = farm.stop().await?;
    let [woken, asleep] = ["wake-true", "wake-false"].map(|device| stored[device].values("number"));
    println!(
        "FIGURE first query lost: {} of {} read with wake, {} of {} without",
        good(&woken),
        woken.len(),
        good(&asleep),
        asleep.len()
    );
    // Every round asks twice, and only the second question is answered.
    let seconds: Vec<_> = (1..=woken.len() as u32).map(|round| Ok(f64::from(round * 2))).collect();
    assert_eq!(woken, seconds);
    assert!(asleep.iter().all(|reading| *reading == Err(NoData::Timeout)), "{asleep:?}");
    Ok(())
}

fn good(readings: &[Result<f64, NoData>]) -> usize {
    readings.iter().filter(|reading| reading.is_ok()).count()
}
