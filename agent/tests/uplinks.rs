//! `[mqtt]`, `[kinesis]` and `[kafka]`: what they mean, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "kafka")]
use windward_agent::config::Mechanism;
use windward_agent::config::{AckMode, Config};
use windward_agent::forward::{Encoding, Order};

const MQTT: &str = "[mqtt]\nhost = \"broker.example\"\n";
const KINESIS: &str = "[kinesis]\nstream = \"farm\"\nregion = \"eu-west-1\"\n";
const KAFKA: &str = "[kafka]\nbrokers = [\"k1:9092\", \"[::1]:9092\"]\ntopic = \"farm\"\n";
const IOT: &str = "[kinesis.iot]\nendpoint = \"c.credentials.iot.eu-west-1.amazonaws.com\"\nrole_alias = \"edge\"\n\
                   ca = \"ca.pem\"\ncert = \"t.pem\"\nkey = \"t.key\"\n";

fn file(uplinks: &str) -> String {
    format!(
        "agent = \"turbine-01\"\nfarm = \"f\"\ndata = \"/d\"\n{uplinks}[[device]]\nname = \"mast\"\n\
         modbus_tcp = {{ host = \"10.0.0.7\" }}\n[[device.channel]]\nname = \"wind\"\nunit = \"m/s\"\nregister = 0\n\
         type = \"u16\"\n"
    )
}

fn config(uplinks: &str) -> Config {
    Config::from_toml(&file(uplinks), "agent.toml").unwrap()
}

fn refusal(uplinks: &str) -> String {
    Config::from_toml(&file(uplinks), "agent.toml").expect_err("this must be refused").to_string()
}

#[test]
fn each_uplink_has_a_manner_of_its_own() {
    let plain = config(MQTT).mqtt.unwrap().sending;
    assert_eq!((plain.encoding, plain.order, plain.mirror), (Encoding::Postcard, Order::Oldest, false));
    assert_eq!((plain.max_bytes_per_s, plain.publish_every_ms), (0, 0));
    let keys = "order = \"live\"\nmax_bytes_per_s = 2000\npublish_every_ms = 60000\nencoding = \"json\"\n";
    let both = config(&format!("{MQTT}ack = \"broker\"\n{keys}{KINESIS}mirror = true\n"));
    let (mqtt, kinesis) = (both.mqtt.unwrap(), both.kinesis.unwrap());
    assert_eq!((mqtt.ack, mqtt.sending.encoding), (AckMode::Broker, Encoding::Json));
    assert_eq!((mqtt.sending.order, mqtt.sending.max_bytes_per_s), (Order::Live, 2_000));
    assert_eq!(mqtt.sending.publish_every_ms, 60_000);
    assert_eq!((kinesis.stream.as_str(), kinesis.region.as_str(), kinesis.iot), ("farm", "eu-west-1", None));
    assert!(kinesis.sending.mirror && !mqtt.sending.mirror);
}

#[test]
fn a_stream_alone_is_enough_and_a_certificate_stands_for_the_thing_of_the_agents_name() {
    let config = config(&format!("{KINESIS}{IOT}"));
    assert_eq!(config.mqtt, None);
    let iot = config.kinesis.unwrap().iot.unwrap();
    assert_eq!((iot.thing.as_str(), iot.role_alias.as_str()), ("turbine-01", "edge"));
}

#[test]
fn what_cannot_be_is_refused() {
    let mqtt = |keys: &str| format!("{MQTT}{keys}\n");
    let kinesis = |keys: &str| format!("{KINESIS}{keys}\n");
    for (uplinks, fault) in [
        (String::new(), "1:9: nothing says where to send to: add [mqtt], [kinesis] or [kafka]"),
        (mqtt("mirror = true"), "every uplink only mirrors"),
        (mqtt("encoding = \"json\""), "6:12: encoding = \"json\" needs ack = \"broker\""),
        (mqtt("encoding = \"xml\""), "unknown value `xml`"),
        (mqtt("order = \"newest\""), "unknown value `newest`"),
        (mqtt("max_bytes_per_s = 99"), "max_bytes_per_s = 99 is out of bounds: 100 to 1000000000"),
        (mqtt("publish_every_ms = 3600001"), "publish_every_ms = 3600001 is out of bounds: 0 to 3600000"),
        (kinesis("endpoint = \"localhost:4566\""), "endpoint \"localhost:4566\" is no URL"),
        (KINESIS.replace("\"farm\"", "\"a farm\""), "stream \"a farm\" is not 1 to 128 characters"),
        (KINESIS.replace("region", "regoin"), "unknown key `regoin`; did you mean `region`?"),
        (kinesis(&IOT.replace("\"edge\"", "\"a/b\"")), "role_alias \"a/b\" is not 1 to 128 characters"),
        (kinesis(&IOT.replace("\"c.", "\"https://c.")), "endpoint is a host name, without https://"),
        (kinesis(&IOT.replace("cert = \"t.pem\"\n", "")), "missing key `cert`"),
    ] {
        let told = refusal(&uplinks);
        assert!(told.contains(fault), "{uplinks}\n{told}");
    }
}

#[cfg(feature = "kafka")]
#[test]
fn a_topic_has_brokers_and_perhaps_a_user() {
    let plain = config(KAFKA).kafka.unwrap();
    assert_eq!((plain.brokers.len(), plain.topic.as_str(), plain.tls, plain.sasl), (2, "farm", None, None));
    let user = "username = \"turbine-01\"\npassword_file = \"p\"\nencoding = \"json\"\nmirror = true\n";
    let scram = config(&format!("{MQTT}{KAFKA}sasl = \"scram-sha-512\"\n{user}")).kafka.unwrap();
    assert_eq!(scram.sasl.unwrap().mechanism, Mechanism::ScramSha512);
    assert_eq!((scram.sending.encoding, scram.sending.mirror), (Encoding::Json, true));
    let kafka = |keys: &str| format!("{KAFKA}{keys}\n");
    for (uplinks, fault) in [
        (KAFKA.replace("[\"k1:9092\", \"[::1]:9092\"]", "[]"), "5:11: brokers is empty"),
        (KAFKA.replace("k1:9092", "k1"), "broker \"k1\" is not host:port"),
        (KAFKA.replace("\"farm\"", "\"a farm\""), "topic \"a farm\" is not 1 to 249 characters"),
        (kafka("cert = \"t.pem\"\nkey = \"t.key\""), "cert without ca"),
        (kafka("username = \"u\""), "7:12: sasl, username and password_file belong together"),
        (kafka("sasl = \"gssapi\""), "unknown value `gssapi`"),
        (kafka(&format!("sasl = \"plain\"\n{user}")), "7:8: sasl = \"plain\" shows the password"),
        (kafka("mirror = true"), "every uplink only mirrors"),
    ] {
        let told = refusal(&uplinks);
        assert!(told.contains(fault), "{uplinks}\n{told}");
    }
}

#[cfg(not(feature = "kafka"))]
#[test]
fn a_program_without_kafka_says_so() {
    let told = refusal(KAFKA);
    assert!(told.contains("this program was built without Kafka (feature `kafka`)"), "{told}");
}
