//! Files that hold what nobody else may know: whether others may read them.

use crate::config::Config;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Passwords and private keys that the configuration names, which every user of this machine may read.
pub(super) fn open_to_all(config: &Config) -> Vec<&Path> {
    let of_mqtt = config.mqtt.iter().flat_map(|mqtt| &mqtt.tls);
    let of_iot = config.kinesis.iter().flat_map(|kinesis| &kinesis.iot).map(|iot| &iot.tls);
    let of_kafka = config.kafka.iter().flat_map(|kafka| &kafka.tls);
    let keys = of_mqtt.chain(of_iot).chain(of_kafka).flat_map(|tls| &tls.cert_key).map(|(_, key)| key);
    let logins = config.mqtt.iter().flat_map(|mqtt| &mqtt.login).map(|(_, password)| password);
    let users = config.kafka.iter().flat_map(|kafka| &kafka.sasl).map(|sasl| &sasl.password_file);
    let mut open: Vec<&Path> =
        keys.chain(logins).chain(users).map(|path| path.as_path()).filter(|path| is_open(path)).collect();
    open.sort_unstable();
    open.dedup();
    open
}

/// Says what is wrong with how the configuration's secrets are kept and shown.
pub(super) fn warn(config: &Config) {
    for path in open_to_all(config) {
        let file = path.display();
        tracing::warn!(%file, "holds a secret, and every user of this machine may read it; chmod o= helps");
    }
    let is_here = |host: &str| matches!(host, "localhost" | "127.0.0.1" | "::1");
    if let Some(mqtt) = config.mqtt.as_ref().filter(|mqtt| mqtt.login.is_some() && mqtt.tls.is_none())
        && !is_here(&mqtt.host)
    {
        tracing::warn!(
            broker = mqtt.host,
            "the password goes to the broker for everybody to read; [mqtt] ca makes it TLS"
        );
    }
}

/// One that is not there nobody may read.
fn is_open(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o004 != 0)
}
