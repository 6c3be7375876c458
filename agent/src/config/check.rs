//! From what is written to what is meant: every fault is collected, then the configuration is made or refused.

use super::faults::Faults;
use super::problem::ConfigError;
use super::raw::{RawConfig, RawSpool};
use super::{Config, Spool, buses, commands, devices, rules, uplinks};

const MIB: u64 = 1024 * 1024;
const DAY_MS: u64 = 86_400_000;

/// Checks the whole file, of which some faults may be known already.
pub(super) fn check(raw: RawConfig, mut faults: Faults<'_>) -> Result<Config, ConfigError> {
    faults.text_of(&raw.farm, "farm", 1..=64);
    let mqtt = raw.mqtt.map(|mqtt| uplinks::mqtt(mqtt, &mut faults));
    let agent = raw.agent.get_ref();
    let kinesis = raw.kinesis.map(|kinesis| uplinks::kinesis(kinesis, agent, &mut faults));
    let kafka = raw.kafka.map(|kafka| uplinks::kafka(kafka, &mut faults));
    let sendings = [
        mqtt.as_ref().map(|mqtt| &mqtt.sending),
        kinesis.as_ref().map(|kinesis| &kinesis.sending),
        kafka.as_ref().map(|kafka| &kafka.sending),
    ];
    uplinks::all(sendings.into_iter().flatten(), raw.agent.span(), &mut faults);
    let commands = commands::commands(raw.commands, mqtt.as_ref(), &mut faults);
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
    let given = raw.device.len();
    let (mut lines, devices) = devices::devices(raw.device, agent, raw.location.as_ref(), &mut faults);
    let beacon = raw.alert.beacon.and_then(|beacon| buses::beacon(beacon, &mut lines, &mut faults));
    let rules = rules::rules(raw.rule, if devices.len() == given { &devices } else { &[] }, &mut faults);
    let problems = faults.in_order();
    if !problems.is_empty() {
        return Err(ConfigError { problems });
    }
    Ok(Config {
        agent: raw.agent.into_inner(),
        farm: raw.farm.into_inner(),
        data: raw.data,
        mqtt,
        kinesis,
        kafka,
        spool,
        detect,
        rules,
        commands,
        alert_command,
        beacon,
        buses: lines,
        devices,
    })
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
