//! From what is written to what is meant: every fault is collected, then the configuration is made or refused.

use super::faults::Faults;
use super::problem::ConfigError;
use super::raw::{RawAck, RawConfig, RawMqtt, RawSpool};
use super::{AckMode, Config, Mqtt, Spool, Tls, buses, commands, devices};

const MIB: u64 = 1024 * 1024;
const DAY_MS: u64 = 86_400_000;

/// Checks the whole file.
pub(super) fn check(raw: RawConfig, text: &str, file: &str) -> Result<Config, ConfigError> {
    let mut faults = Faults::new(text, file);
    faults.text_of(&raw.farm, "farm", 1..=64);
    let mqtt = mqtt(raw.mqtt, &mut faults);
    let commands = commands::commands(raw.commands, &mqtt, &mut faults);
    let spool = spool(&raw.spool, &mut faults);
    let detect = match raw.detect {
        Some(detect) => {
            if let Err(fault) = detect.get_ref().check() {
                faults.add(detect.span(), format!("[detect] {fault}"));
            }
            detect.into_inner()
        }
        None => Default::default(),
    };
    let alert_command = raw.alert.command.map(|command| {
        if command.get_ref().first().is_none_or(String::is_empty) {
            faults.add(command.span(), "command is empty; name a program, or leave the key out".into());
        }
        command.into_inner()
    });
    let (mut lines, devices) = devices::devices(raw.device, &raw.agent, raw.location.as_ref(), &mut faults);
    let beacon = raw.alert.beacon.and_then(|beacon| buses::beacon(beacon, &mut lines, &mut faults));
    let problems = faults.in_order();
    if !problems.is_empty() {
        return Err(ConfigError { problems });
    }
    Ok(Config {
        agent: raw.agent,
        farm: raw.farm.into_inner(),
        data: raw.data,
        mqtt,
        spool,
        detect,
        commands,
        alert_command,
        beacon,
        buses: lines,
        devices,
    })
}

fn mqtt(raw: RawMqtt, faults: &mut Faults) -> Mqtt {
    faults.text_of(&raw.host, "host", 1..=253);
    faults.within(&raw.port, "port", 1..=u16::MAX);
    // rumqttc takes nothing below 5 s; MQTT 3.1.1, 3.1.2.10 nothing above 18 h.
    faults.within(&raw.keep_alive_s, "keep_alive_s", 5..=u16::MAX);
    let cert_key = match (raw.cert, raw.key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => {
            faults.add(one.span(), "cert and key belong together; one of them is missing".into());
            None
        }
    };
    let tls = match (raw.ca, cert_key) {
        (Some(ca), cert_key) => {
            Some(Tls { ca, cert_key: cert_key.map(|(cert, key)| (cert.into_inner(), key.into_inner())) })
        }
        (None, Some((cert, _))) => {
            faults.add(cert.span(), "cert without ca: name the file of the authority that signed the broker".into());
            None
        }
        (None, None) => None,
    };
    let login = match (raw.username, raw.password_file) {
        (Some(username), Some(file)) => Some((username.into_inner(), file.into_inner())),
        (None, None) => None,
        (Some(username), None) => {
            faults.add(
                username.span(),
                "username without password_file; the password stands in a file of its own".into(),
            );
            None
        }
        (None, Some(file)) => {
            faults.add(file.span(), "password_file without username".into());
            None
        }
    };
    Mqtt {
        host: raw.host.into_inner(),
        port: raw.port.into_inner(),
        keep_alive_s: raw.keep_alive_s.into_inner(),
        tls,
        login,
        ack: match raw.ack {
            RawAck::Sink => AckMode::Sink,
            RawAck::Broker => AckMode::Broker,
        },
    }
}

fn spool(raw: &RawSpool, faults: &mut Faults) -> Spool {
    faults.within(&raw.commit_every_ms, "commit_every_ms", 100..=60_000);
    faults.within(&raw.max_mib, "max_mib", 8..=1_048_576);
    faults.within(&raw.max_age_days, "max_age_days", 0..=36_500);
    faults.within(&raw.checkpoint_every_s, "checkpoint_every_s", 0..=86_400);
    Spool {
        commit_every_ms: *raw.commit_every_ms.get_ref(),
        max_bytes: raw.max_mib.get_ref().saturating_mul(MIB),
        max_age_ms: Some(*raw.max_age_days.get_ref()).filter(|days| *days > 0).map(|days| days * DAY_MS),
        checkpoint_every_s: *raw.checkpoint_every_s.get_ref(),
    }
}
