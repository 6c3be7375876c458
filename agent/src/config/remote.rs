//! What a configuration that comes over the broker may not change: an operator's order sets what is read and how it is
//! judged, and is no way to run programs on the gateway or to carry its keys away.

use super::{Commands, Config, IotCredentials, Kafka, Kinesis, Mqtt, Sasl, Tls};
use std::path::PathBuf;

/// Whom the agent speaks to, and with which files.
type Reach<'a> = (
    Option<(&'a str, u16, &'a Option<Tls>, &'a Option<(String, PathBuf)>)>,
    Option<(&'a Option<String>, &'a str, &'a Option<IotCredentials>)>,
    Option<(&'a [String], &'a Option<Tls>, &'a Option<Sasl>)>,
);

impl Config {
    /// Why `new` does not take this one's place by an order; `None`: it may.
    pub fn refuses(&self, new: &Config) -> Option<String> {
        if new.agent != self.agent || new.data != self.data {
            return Some(format!(
                "agent and data stay as they are: {:?} and {}",
                self.agent.as_str(),
                self.data.display()
            ));
        }
        if new.alert_command != self.alert_command {
            return Some("the program that is run at an alert is changed on the gateway, and not by an order".into());
        }
        // Who may only publish on a topic is trusted with less than who has the operator's key.
        if self.commands == Commands::Acl && (new.commands != self.commands || self.reach() != new.reach()) {
            return Some(
                "where the agent sends to, with which files, and whose orders it takes are changed on the gateway, or by a \
                 signed order"
                    .into(),
            );
        }
        None
    }

    fn reach(&self) -> Reach<'_> {
        (
            self.mqtt.as_ref().map(|Mqtt { host, port, tls, login, .. }| (host.as_str(), *port, tls, login)),
            self.kinesis.as_ref().map(|Kinesis { endpoint, region, iot, .. }| (endpoint, region.as_str(), iot)),
            self.kafka.as_ref().map(|Kafka { brokers, tls, sasl, .. }| (&brokers[..], tls, sasl)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
agent = "t1"
farm = "f"
data = "/var/lib/windward"
mqtt = { host = "127.0.0.1", username = "t1", password_file = "/etc/windward/password" }
commands = { accept = "acl" }
alert = { command = ["/usr/bin/beacon", "--on"] }
[[device]]
name = "mast"
location = "Mast"
modbus_tcp = { host = "10.0.0.5" }
interval_ms = 1000
[[device.channel]]
name = "wind"
quantity = "wind-speed"
unit = "m/s"
register = 0
type = "u16"
"#;
    const SIGNED: &str = r#"accept = "signed", key = "operator.pub""#;

    fn refused(old: &str, from: &str, to: &str) -> Option<String> {
        let read = |text: &str| Config::from_toml(text, "agent.toml").unwrap();
        assert!(old.contains(from), "{from}");
        read(old).refuses(&read(&old.replace(from, to)))
    }

    #[test]
    fn an_order_changes_what_is_read_and_nothing_that_is_run() {
        let signed = CONFIG.replace(r#"accept = "acl""#, SIGNED);
        for old in [CONFIG, &signed] {
            assert_eq!(refused(old, "10.0.0.5", "10.0.0.6"), None);
            assert_eq!(refused(old, "1000", "500"), None);
            assert!(refused(old, "--on", "--off").unwrap().starts_with("the program that is run at an alert"));
            assert!(refused(old, "\"t1\"\nfarm", "\"t2\"\nfarm").unwrap().starts_with("agent and data stay"));
        }
    }

    #[test]
    fn only_a_signed_order_says_where_to_send_and_whose_orders_count() {
        let signed = CONFIG.replace(r#"accept = "acl""#, SIGNED);
        for (from, to) in
            [("host = \"127.0.0.1\"", "host = \"localhost\""), ("/etc/windward/password", "/etc/windward/key")]
        {
            assert!(refused(CONFIG, from, to).unwrap().starts_with("where the agent sends to"));
            assert_eq!(refused(&signed, from, to), None);
        }
        assert!(refused(CONFIG, r#"accept = "acl""#, SIGNED).unwrap().starts_with("where the agent sends to"));
    }
}
