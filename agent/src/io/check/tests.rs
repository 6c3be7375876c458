use super::*;
use crate::io::bus::tests::{Manner, serial_slave, tcp_slave};
use std::sync::Arc;
use tokio::net::TcpListener;

/// A file with one device per link, each with two channels, and a rule for the first of each.
fn config(links: &[String], broker_port: u16, data: &Path) -> Config {
    let mut text = format!(
        "agent = \"t\"\nfarm = \"f\"\ndata = {:?}\n[mqtt]\nhost = \"127.0.0.1\"\nport = {broker_port}\n",
        data.display()
    );
    for (index, link) in links.iter().enumerate() {
        text += &format!(
            "[[device]]\nname = \"d{index}\"\nlocation = \"x\"\n{link}\ntimeout_ms = 200\n\
             [[device.channel]]\nname = \"wind\"\nunit = \"m/s\"\nregister = 0\ntype = \"u16\"\nscale = 0.1\n\
             [[device.channel]]\nname = \"refused\"\nunit = \"\"\nregister = 20\ntype = \"u16\"\n"
        );
    }
    text += "[[rule]]\nname = \"storm\"\nchannel = \"wind\"\nabove = 25\n";
    Config::from_toml(&text, "test.toml").unwrap()
}

fn link(bus: &Bus) -> String {
    match bus {
        Bus::Modbus { link: Link::Tcp { host, port }, .. } => {
            format!("modbus_tcp = {{ host = {host:?}, port = {port} }}")
        }
        Bus::Modbus { link: Link::Serial { port, baud, .. }, .. } => {
            format!("modbus_rtu = {{ port = {:?}, baud = {baud}, parity = \"none\" }}", port.display())
        }
        other => panic!("{other} has no slaves here"),
    }
}

async fn said(config: &Config) -> (bool, String) {
    let mut out = Vec::new();
    let well = check(config, &mut out).await.unwrap();
    (well, String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn each_fault_is_said_in_words_that_help_and_stops_no_other_check() {
    let (tcp, _) = tcp_slave(Arc::new(|start| match start {
        20 => Manner::Refuse(2),
        _ => Manner::Answer(0),
    }))
    .await;
    let (silent, _keep) = serial_slave(Arc::new(|_| Manner::Answer(60_000)));
    let gone = "modbus_rtu = { port = \"/dev/no-such-port\" }".to_owned();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let config = config(&[link(&tcp), link(&silent), gone], port, Path::new("/proc/no-such-directory"));
    let (well, said) = said(&config).await;
    assert!(!well);
    for expected in [
        "100 m/s      good",
        " refuses input register 20: exception 2 (illegal data address",
        "115200 8N1 within 200 ms: wrong baud, parity, id or wiring?",
        "d2: cannot open /dev/no-such-port: No such file or directory",
        &format!("broker               cannot connect to 127.0.0.1:{port}: Connection refused"),
        "line                 modbus rtu /dev/no-such-port 19200 8E1: 3 % busy",
        "cannot write to /proc/no-such-directory",
    ] {
        assert!(said.contains(expected), "{expected:?} is missing in:\n{said}");
    }
}

#[test]
fn what_a_thinned_device_forwards_is_said_as_a_share() {
    let said = say_thinned(10, 500);
    assert!(said.starts_with("forwards 1 reading of 20 in quiet times, and all from a minute before"), "{said}");
}

#[tokio::test]
async fn when_all_is_well_it_says_so() {
    let (tcp, _) = tcp_slave(Arc::new(|_| Manner::Answer(0))).await;
    let (serial, _keep) = serial_slave(Arc::new(|_| Manner::Answer(0)));
    let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let data = tempfile::tempdir().unwrap();
    let config = config(&[link(&tcp), link(&serial)], broker.local_addr().unwrap().port(), data.path());
    let (well, said) = said(&config).await;
    assert!(well, "{said}");
    assert_eq!(said.matches(" good").count(), 4, "{said}");
    assert!(said.contains("rule                 \"storm\" watches d0/wind, d1/wind\n"), "{said}");
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0, "the probe leaves nothing behind");
}
