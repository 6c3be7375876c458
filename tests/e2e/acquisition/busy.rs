//! A line that is as full as an agent may make it, with two devices on it that cost the others time.

use super::check;
use super::farm::Farm;
use anyhow::Result;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;
use windward_tests::clock;
use windward_tests::lines::device::Device;
use windward_tests::lines::manner::{Conduct, Manner};
use windward_tests::lines::serial::SerialPort;
use windward_tests::lines::{Line, Wire};
use windward_tests::peers::there;
use windward_tests::process::eventually;
use windward_tests::stored::Stored;

/// An agent has no more devices.
const SLAVES: u8 = 32;
const SILENT: u8 = 11;
const LATE: u8 = 22;
const BAUD: u32 = 19_200;
const INTERVAL_MS: i64 = 1_000;
/// Ten times what a good answer takes; the default is 500 ms, for devices of all kinds.
const TIMEOUT_MS: u64 = 200;
/// Time in which the agent finds out who does not answer.
const WARM_UP_MS: i64 = 10_000;
const LOOKED_AT_MS: i64 = 60_000;
/// Share of its moments that a good device must keep.
const GOAL: f64 = 0.95;

#[tokio::test(flavor = "multi_thread")]
async fn e2e_thirty_good_slaves_keep_their_schedule_beside_a_silent_and_a_late_one() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let slaves = (1..=SLAVES).map(|address| {
        let mut device = Device::new(address);
        device.conduct = Conduct::Always(match address {
            SILENT => Manner::Silent,
            LATE => Manner::Late(TIMEOUT_MS * 1_200, TIMEOUT_MS * 1_800),
            _ => Manner::Prompt,
        });
        device
    });
    let port = SerialPort::plug(Line::new(Wire::rtu(BAUD), slaves, 1), &dir.path().join("line"), Some(BAUD))?;
    let began_ms = clock::wall_ms() - (port.now_us() / 1_000) as i64;
    let mut farm = Farm::new(dir, &devices(&port)).await?;
    farm.start()?;
    let patience = Duration::from_millis((WARM_UP_MS + LOOKED_AT_MS) as u64) * 2;
    let until_ms = eventually(patience, "a minute of readings", async || {
        farm.check_alive()?;
        let first_ms = farm.stored()?.values().filter_map(|stored| Some(stored.rows.first()?.time_ms)).min();
        let until_ms = first_ms.map(|first_ms| first_ms + WARM_UP_MS + LOOKED_AT_MS);
        Ok(until_ms.filter(|until_ms| clock::wall_ms() > until_ms + INTERVAL_MS))
    })
    .await?;
    let stored = farm.stop().await?;

    let window = until_ms - LOOKED_AT_MS..until_ms;
    let (mut shares, mut reasons) = (Vec::new(), BTreeMap::new());
    for (name, stored) in &stored {
        let slave = name.rsplit('-').next().and_then(|slave| slave.parse().ok()).expect("the device names its slave");
        check(stored, slave, &port.station(), began_ms, &mut reasons);
        if ![SILENT, LATE].contains(&slave) {
            shares.push((kept(stored, &window), name));
        }
    }
    shares.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert_eq!(shares.len(), usize::from(SLAVES) - 2);
    println!(
        "FIGURE 32 slaves at 19200 8E1, {} ms of wire each second: least {:.3} ({}), median {:.3} of the schedule kept; \
         {reasons:?}",
        wire_ms(),
        shares[0].0,
        shares[0].1,
        shares[shares.len() / 2].0
    );
    let mut attempts = Vec::new();
    for (slave, manner) in [(SILENT, "silent"), (LATE, "late")] {
        let station = port.station();
        let of_slave = station.asked().iter().filter(|asked| asked.request.slave == slave);
        let asked = of_slave.filter(|asked| window.contains(&(began_ms + (asked.at_us / 1_000) as i64))).count();
        println!(
            "FIGURE the {manner} one was asked {asked} times in {} s, which cost the line {:.1} s",
            LOOKED_AT_MS / 1_000,
            (asked as u64 * 2 * TIMEOUT_MS) as f64 / 1_000.0
        );
        attempts.push(asked);
    }
    assert!(attempts.iter().all(|asked| *asked > 0), "given up for ever: {attempts:?}");
    let missed: Vec<_> = shares.iter().filter(|(share, _)| *share < GOAL).collect();
    assert!(missed.is_empty(), "{missed:?}");
    Ok(())
}

/// The share of the window's moments at which every channel had a value.
fn kept(stored: &Stored, window: &std::ops::Range<i64>) -> f64 {
    let whole = |row: &&windward_protocol::Row| window.contains(&row.time_ms) && row.readings.iter().all(Result::is_ok);
    let kept = stored.rows.iter().filter(whole).count();
    // A moment at the window's edge may be one too many.
    (kept as f64 * INTERVAL_MS as f64 / LOOKED_AT_MS as f64).min(1.0)
}

/// What all slaves need of the wire each second if all answer: requests of 8 characters, a turnaround of 1 ms, answers of
/// 5 and 16, and the silence of 3.5 before each request.
fn wire_ms() -> u64 {
    let char_us = Wire::rtu(BAUD).char_us();
    u64::from(SLAVES) * ((8 + 5 + 16) * char_us + 1_000 + char_us * 7 / 2) / 1_000
}

/// Eight registers of each: the number of the answer, and six with values of their own.
fn devices(port: &SerialPort<Line>) -> String {
    let mut text = String::new();
    for slave in 1..=SLAVES {
        write!(
            text,
            "[[device]]\nname = \"slave-{slave}\"\nslave = {slave}\n\
             interval_ms = {INTERVAL_MS}\ntimeout_ms = {TIMEOUT_MS}\nlate_ms = {TIMEOUT_MS}\n\
             modbus_rtu = {{ port = {:?}, baud = {BAUD}, parity = \"even\" }}\n\
             [[device.channel]]\nname = \"number\"\nunit = \"1\"\nregister = 0\ntype = \"u32\"\ndetect = false\n",
            port.path()
        )
        .unwrap();
        for register in 2..8 {
            write!(
                text,
                "[[device.channel]]\nname = \"r{register}\"\nunit = \"1\"\nregister = {register}\ntype = \"u16\"\n\
                 detect = false\n"
            )
            .unwrap();
        }
    }
    text
}
