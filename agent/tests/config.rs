//! What configurations are taken, and what is said of those that are not.

use windward_agent::config::{AckMode, Bus, Config, Function, Kind, Order, Parity, Scale, Sentinel};
use windward_protocol::Quantity;

/// A small valid file; tests spoil it.
const GOOD: &str = r#"agent = "turbine-01"
farm = "north-ridge"
data = "/tmp/windward"

[mqtt]
host = "broker.example"

[[device]]
name = "mast"
location = "Mast 1"
modbus_tcp = { host = "10.0.0.7" }

[[device.channel]]
name = "wind"
quantity = "wind-speed"
unit = "m/s"
register = 0
type = "u16"
scale = 0.1
"#;

fn refusals(text: &str) -> Vec<String> {
    let error = Config::from_toml(text, "agent.toml").expect_err("this must be refused");
    error.to_string().lines().map(str::to_owned).collect()
}

/// The file with a line replaced, and the one fault that this makes.
#[track_caller]
fn refusal_of(line: &str, spoiled: &str) -> String {
    assert!(GOOD.contains(line), "{line:?} is not in the file");
    let refusals = refusals(&GOOD.replacen(line, spoiled, 1));
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    refusals[0].clone()
}

#[test]
fn the_example_in_deploy_is_valid_and_means_what_it_says() {
    let config = Config::from_toml(include_str!("../../deploy/examples/agent.toml"), "agent.toml").unwrap();
    assert_eq!(config.agent.as_str(), "turbine-01");
    assert_eq!((config.mqtt.port, config.mqtt.keep_alive_s), (1883, 30));
    assert_eq!((&config.mqtt.tls, &config.mqtt.login), (&None, &None));
    assert_eq!(config.mqtt.ack, AckMode::Sink);
    assert_eq!((config.spool.commit_every_ms, config.spool.max_bytes), (1000, 1 << 30));
    let [anemometer, controller] = &config.devices[..] else { panic!("two devices") };
    assert_eq!((anemometer.timeout_ms, anemometer.late_ms), (300, 300));
    let wind = &anemometer.channels[0];
    assert!(wind.detect, "wind speeds are judged by default");
    assert_eq!(wind.channel.quantity, Quantity::WindSpeed);
    assert_eq!(wind.register.kind, Kind::I16);
    assert_eq!(wind.register.scale, Scale::Decimal(-1));
    assert_eq!(wind.register.range, Some((0.0, 75.0)));
    assert_eq!(wind.register.sentinels, [Sentinel::Bits(0xd8f1)], "-9999 as a register");
    assert!(matches!(
        config.buses[anemometer.bus],
        Bus::Serial { baud: 19_200, parity: Parity::Even, stop_bits: 1, .. }
    ));
    let power = &controller.channels[0];
    assert!(!power.detect);
    assert_eq!((power.register.function, power.register.order), (Function::Holding, Order::Cdab));
    let manifest = config.manifest();
    assert_eq!(manifest[1].link, "modbus tcp 10.0.0.7:502 slave 1");
    assert!(manifest[0].link.ends_with("19200 8E1 slave 1"), "{}", manifest[0].link);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_key_that_was_meant() {
    assert_eq!(
        refusal_of("location = \"Mast 1\"", "location = \"Mast 1\"\nintervall_ms = 500"),
        "agent.toml:11:1: unknown key `intervall_ms`; did you mean `interval_ms`?"
    );
    assert_eq!(
        refusal_of("host = \"broker.example\"", "host = \"b\"\nprot = 1884"),
        "agent.toml:7:1: unknown key `prot`; did you mean `port`?"
    );
    let far = refusal_of("register = 0", "register = 0\nfrobnicate = 1");
    assert!(far.starts_with("agent.toml:18:1: unknown key `frobnicate`; known here: name, "), "{far}");
    assert_eq!(
        refusal_of("type = \"u16\"", "type = \"f32\"\norder = \"ABDC\""),
        "agent.toml:19:9: unknown value `ABDC`; did you mean `ABCD`?"
    );
}

#[test]
fn missing_keys_wrong_types_and_bad_syntax_name_their_place() {
    let missing = refusal_of("register = 0\n", "");
    assert!(missing.contains("missing key `register`"), "{missing}");
    let wrong = refusal_of("register = 0", "register = \"zero\"");
    assert!(wrong.starts_with("agent.toml:17:12: invalid type: string \"zero\""), "{wrong}");
    let syntax = refusal_of("farm = \"north-ridge\"", "farm = north-ridge");
    assert!(syntax.starts_with("agent.toml:2:"), "{syntax}");
    let id = refusal_of("agent = \"turbine-01\"", "agent = \"turbine/01\"");
    assert!(id.starts_with("agent.toml:1:9: agent id \"turbine/01\""), "{id}");
}

#[test]
fn faults_of_a_serial_line_are_told_with_the_rate_that_was_meant() {
    let serial = "modbus_rtu = { port = \"/dev/ttyS0\", baud = 19201 }";
    assert_eq!(
        refusal_of("modbus_tcp = { host = \"10.0.0.7\" }", serial),
        "agent.toml:11:44: baud 19201 is not a rate of serial ports; did you mean 19200?"
    );
    let stop_bits = "modbus_rtu = { port = \"/dev/ttyS0\", stop_bits = 3 }";
    assert_eq!(
        refusal_of("modbus_tcp = { host = \"10.0.0.7\" }", stop_bits),
        "agent.toml:11:49: stop_bits = 3 is out of bounds: 1 to 2"
    );
    let broadcast = "slave = 0\nmodbus_rtu = { port = \"/dev/ttyS0\" }";
    assert_eq!(
        refusal_of("modbus_tcp = { host = \"10.0.0.7\" }", broadcast),
        "agent.toml:11:9: slave = 0 is out of bounds: 1 to 247"
    );
}

#[test]
fn one_port_has_one_setting() {
    let device = |name: &str, baud: u32| {
        format!(
            "[[device]]\nname = \"{name}\"\nlocation = \"x\"\nmodbus_rtu = {{ port = \"/dev/ttyS0\", baud = {baud} }}\n\
             [[device.channel]]\nname = \"c\"\nunit = \"\"\nregister = 0\ntype = \"u16\"\n"
        )
    };
    let head = &GOOD[..GOOD.find("[[device]]").unwrap()];
    let same = format!("{head}{}{}", device("a", 9600), device("b", 9600));
    let config = Config::from_toml(&same, "agent.toml").unwrap();
    assert_eq!(config.buses.len(), 1, "devices of one port share its bus");
    let other = refusals(&format!("{head}{}{}", device("a", 9600), device("b", 4800)));
    assert_eq!(other.len(), 1, "{other:#?}");
    assert!(
        other[0].contains(
            "modbus rtu /dev/ttyS0 4800 8E1: another device has the same port as modbus rtu /dev/ttyS0 9600 8E1"
        ),
        "{other:#?}"
    );
}

#[test]
fn every_fault_is_told_and_not_only_the_first() {
    let spoiled = GOOD
        .replace("[mqtt]", "[spool]\ncommit_every_ms = 50\n[mqtt]")
        .replace("location = \"Mast 1\"", "location = \"\"\ninterval_ms = 200\ntimeout_ms = 300")
        .replace("register = 0", "register = 65536\nrange = [75, 0]\nsentinels = [70000]")
        .replace("scale = 0.1", "scale = 0");
    let told = refusals(&spoiled);
    let expected = [
        "agent.toml:6:19: commit_every_ms = 50 is out of bounds: 100 to 60000",
        "agent.toml:12:12: location is not 1 to 128 bytes of printable text",
        "agent.toml:14:14: timeout_ms = 300 is longer than interval_ms = 200",
        "agent.toml:21:12: register 65536 is out of 0..=65535; give the wire address, counted from zero (a manual's \
         30001 is 0)",
        "agent.toml:22:9: range [75, 0] is empty; the lesser bound stands first",
        "agent.toml:23:14: sentinel 70000 does not fit the channel's type",
        "agent.toml:25:9: scale 0 makes no value",
    ];
    assert_eq!(told, expected);
}

#[test]
fn names_stand_once() {
    let twice = &GOOD[GOOD.find("[[device]]").unwrap()..];
    let told = refusals(&format!("{GOOD}{twice}"));
    assert_eq!(told, ["agent.toml:21:8: device \"mast\" stands here for the second time"]);
    let channel = &GOOD[GOOD.find("[[device.channel]]").unwrap()..];
    let told = refusals(&format!("{GOOD}{channel}"));
    assert_eq!(told, ["agent.toml:21:8: channel \"wind\" stands here for the second time"]);
}

#[test]
fn halves_of_pairs_are_refused() {
    for (spoiled, fault) in [
        ("host = \"b\"\nca = \"ca.pem\"\ncert = \"c.pem\"", "cert and key belong together"),
        ("host = \"b\"\ncert = \"c.pem\"\nkey = \"k.pem\"", "cert without ca"),
        ("host = \"b\"\nusername = \"u\"", "username without password_file"),
        ("host = \"b\"\npassword_file = \"p\"", "password_file without username"),
    ] {
        let told = refusal_of("host = \"broker.example\"", spoiled);
        assert!(told.contains(fault), "{told}");
    }
    let neither = refusal_of("modbus_tcp = { host = \"10.0.0.7\" }\n", "");
    assert!(neither.contains("device \"mast\" needs exactly one of modbus_tcp and modbus_rtu"), "{neither}");
}

#[test]
fn a_device_with_too_many_channels_is_refused() {
    let channel = |index: usize, name: &str| {
        format!("[[device.channel]]\nname = \"{name}{index}\"\nunit = \"m/s\"\nregister = {index}\ntype = \"u16\"\n")
    };
    let many: String = (0..64).map(|index| channel(index, "c")).collect();
    let told = refusals(&format!("{GOOD}{many}"));
    assert!(told[0].contains("a device has 1 to 64 channels, here are 65"), "{told:#?}");
    // 63 names of 60 letters fit the count, but not a block.
    let long: String = (0..63).map(|index| channel(index, &"n".repeat(58))).collect();
    let told = refusals(&format!("{GOOD}{long}"));
    assert!(told[0].contains("does not fit a block of 4 KiB"), "{told:#?}");
}
