//! What configurations are taken, and what is said of those that are not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use windward_agent::config::{
    AckMode, BeaconOutput, Bus, Commands, Config, DeviceChannel, Framing, Function, How, Kind, Limits, Link, Order,
    Parity, Register, Scale, Sentinel, Source,
};
use windward_agent::watch::sentence::Format;
use windward_protocol::{Quantity, Severity};

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

fn config(text: &str) -> Config {
    Config::from_toml(text, "agent.toml").unwrap_or_else(|error| panic!("{error}"))
}

fn register(channel: &DeviceChannel) -> &Register {
    let Source::Register(register) = &channel.source else { panic!("{channel:?}") };
    register
}

/// The head of a file, to which devices are added.
fn head() -> &'static str {
    &GOOD[..GOOD.find("[[device]]").unwrap()]
}

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
    let mqtt = config.mqtt.as_ref().unwrap();
    assert_eq!((mqtt.port, mqtt.keep_alive_s), (1883, 30));
    assert_eq!((&mqtt.tls, &mqtt.login), (&None, &None));
    assert_eq!(mqtt.ack, AckMode::Sink);
    assert_eq!((config.spool.commit_every_ms, config.spool.max_bytes), (1000, 1 << 30));
    assert_eq!(config.spool.checkpoint_every_s, 900);
    assert_eq!(config.beacon.map(|beacon| beacon.output), Some(BeaconOutput::Coil { slave: 1, coil: 0 }));
    let [anemometer, controller, ultrasonic, analog, cup] = &config.devices[..] else { panic!("five devices") };
    assert!(matches!(
        config.buses[anemometer.bus],
        Bus::Modbus { link: Link::Serial { baud: 19_200, parity: Parity::Even, stop_bits: 1, .. }, .. }
    ));
    assert_eq!((controller.timeout_ms, controller.late_ms), (500, 500));
    let [power, oil, brake] = &controller.channels[..] else { panic!("three channels") };
    assert!(!power.detect, "only wind speeds are judged by default");
    assert_eq!((register(power).function, register(power).order), (Function::Holding, Order::Cdab));
    assert_eq!((oil.scaling.scale, oil.scaling.offset, oil.every), (Scale::Decimal(-1), -40.0, 60));
    assert_eq!(register(oil).sentinels, [Sentinel::Bits(65535)]);
    assert_eq!(register(brake).bits, Some((4, 4)));
    assert_eq!(controller.texts[0].name, "serial number");
    assert!(ultrasonic.channels[0].detect && !ultrasonic.is_asked());
    assert_eq!(ultrasonic.channels[0].channel.quantity, Quantity::WindSpeed);
    assert!(matches!(analog.channels[0].source, Source::Analog(_)));
    assert!(matches!(cup.channels[0].source, Source::Pulses { line: 17, .. }));
    let manifest = config.manifest();
    assert_eq!(manifest[1].link, "modbus tcp 10.0.0.7:502 slave 1");
    assert!(manifest[0].link.ends_with("19200 8E1 slave 1"), "{}", manifest[0].link);
    assert!(manifest[2].link.starts_with("nmea /dev/serial/by-id/"), "{}", manifest[2].link);
    assert_eq!(manifest[3].link, "i2c /dev/i2c-1 address 0x48");
}

#[test]
fn what_the_package_gives_to_begin_with_is_valid() {
    let config = Config::from_toml(include_str!("../../deploy/debian/agent/start.toml"), "agent.toml").unwrap();
    // Where systemd's StateDirectory is.
    assert_eq!(config.data.to_str(), Some("/var/lib/windward"));
    assert_eq!(config.devices.len(), 1);
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
    let head = head();
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
fn thinning_that_leaves_nothing_out_is_refused() {
    let thinned = |keys: &str| GOOD.replace("location = \"Mast 1\"", &format!("location = \"Mast 1\"\n{keys}"));
    let config = Config::from_toml(&thinned("forward_every_s = 10"), "agent.toml").unwrap();
    assert_eq!(config.devices[0].forward_every_s, Some(10));
    assert_eq!(Config::from_toml(GOOD, "agent.toml").unwrap().devices[0].forward_every_s, None, "all is forwarded");
    for (keys, expected) in [
        ("forward_every_s = 3601", "forward_every_s = 3601 is out of bounds: 1 to 3600"),
        ("forward_every_s = 0", "forward_every_s = 0 is out of bounds: 1 to 3600"),
        ("interval_ms = 2000\nforward_every_s = 2", "forward_every_s = 2 leaves nothing out: interval_ms is 2000"),
    ] {
        let told = refusals(&thinned(keys));
        assert!(told.len() == 1 && told[0].ends_with(expected), "{told:#?}");
    }
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
         30001 is often 0)",
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
    assert!(
        neither.contains(
            "device \"mast\" needs exactly one of modbus_tcp, modbus_rtu, modbus_rtu_tcp, serial, serial_tcp"
        ),
        "{neither}"
    );
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

/// A device on this link with these channel keys, and keys of its own.
fn device(link: &str, own: &str, channel: &str) -> String {
    format!(
        "{}[[device]]\nname = \"d\"\n{link}\n{own}\n[[device.channel]]\nname = \"c\"\nunit = \"m/s\"\n{channel}\n",
        head()
    )
}

#[test]
fn what_a_device_leaves_out_has_a_default_that_fits_its_line() {
    let of = |link: &str, own: &str, channel: &str| {
        let config = config(&device(link, own, channel));
        (config.buses[0].clone(), config.devices[0].clone())
    };
    let (bus, device) = of("modbus_rtu_tcp = { host = \"h\", port = 4001 }", "", "register = 0\ntype = \"u16\"");
    assert_eq!(bus.to_string(), "modbus rtu over tcp h:4001");
    assert!(matches!(bus, Bus::Modbus { framing: Framing::Rtu, gap_ms: 0, .. }));
    assert_eq!(device.location, "turbine-01", "the agent is where its devices are");
    let limits = Limits { max_block: 125, max_gap: 0, one_by_one: false };
    assert_eq!(device.how, How::Modbus { slave: 1, wake: false, limits });
    assert_eq!((device.interval_ms, device.timeout_ms, device.late_ms, device.retries), (1000, 500, 500, 0));

    let (bus, device) = of("serial = { port = \"/dev/ttyS0\" }", "format = \"nmea\"", "field = \"MWV.speed\"");
    assert_eq!(bus.to_string(), "nmea /dev/ttyS0 4800 8N1");
    assert_eq!(device.timeout_ms, 3_000, "three of its intervals");
    assert!(!device.is_asked());
    let (bus, device) =
        of("serial_tcp = { host = \"h\", port = 1 }", "format = \"wxt\"\npoll = \"0R1\\r\\n\"", "field = \"Sm\"");
    assert!(matches!(bus, Bus::Sentences { format: Format::Wxt, link: Link::Tcp { .. } }));
    assert_eq!((device.is_asked(), device.timeout_ms), (true, 500));

    let analog = "input = 2\nsignal = \"4-20mA\"\nspan = [0, 60]\nshunt_ohm = 150";
    let (bus, device) = of("i2c = { bus = \"/dev/i2c-1\" }", "", analog);
    assert_eq!((bus.to_string(), device.how), ("i2c /dev/i2c-1".into(), How::Converter { address: 0x48 }));
    let (bus, device) =
        of("gpio = { chip = \"/dev/gpiochip0\" }", "", "line = 17\nscale = 0.765\noffset = 0.35\nrange = [0, 75]");
    assert_eq!(bus.to_string(), "gpio /dev/gpiochip0");
    let Source::Pulses { line: 17, debounce_us, cup } = &device.channels[0].source else { panic!("{device:?}") };
    assert_eq!((cup.slope, cup.offset, cup.range), (0.765, 0.35, Some((0.0, 75.0))));
    assert_eq!(*debounce_us, 2_561, "a quarter of the period at 75 m/s");
}

#[test]
fn every_type_of_register_has_its_keys() {
    let modbus = |channel: &str| device("modbus_tcp = { host = \"h\" }", "", channel);
    let of = |channel: &str| config(&modbus(channel)).devices[0].channels[0].clone();
    assert_eq!(register(&of("function = \"coil\"\nregister = 3")).kind, Kind::Bool);
    assert_eq!(register(&of("register = 3\ntype = \"u16\"\nbits = [4, 7]")).bits, Some((4, 7)));
    let sunspec =
        of("function = \"holding\"\nregister = 84\ntype = \"i16\"\nexponent_register = 85\nsentinels = [-32768]");
    assert_eq!(
        (register(&sunspec).exponent, &register(&sunspec).sentinels[..]),
        (Some(85), &[Sentinel::Bits(0x8000)][..])
    );
    assert_eq!(register(&of("register = 0\ntype = \"u64\"\nsentinels = [-1]")).sentinels, [Sentinel::Bits(u64::MAX)]);
    let slow = of("register = 0\ntype = \"u16\"\ninterval_ms = 60000\nreset_on_read = true");
    assert_eq!((slow.every, register(&slow).reset_on_read), (60, true));
    for (channel, fault) in [
        ("register = 0\ntype = \"bool\"", "a bool stands in a coil or discrete input"),
        ("function = \"discrete\"\nregister = 0\ntype = \"u16\"", "a coil or discrete input is a bool"),
        ("register = 0\ntype = \"i16\"\nbits = [0, 3]", "bits are parts of a u16, u32 or u64"),
        ("register = 0\ntype = \"u16\"\nbits = [7, 4]", "bits [7, 4]: the lowest stands first"),
        ("register = 0\ntype = \"u16\"\nbits = [0, 16]", "the highest is at most 15"),
        ("register = 65534\ntype = \"u64\"", "register 65534 is out of 0..=65532"),
        ("register = 0\ntype = \"u16\"\ninterval_ms = 1500", "is no multiple of its device's 1000"),
        ("register = 0", "missing key `type`"),
        ("type = \"u16\"", "missing key `register`"),
    ] {
        let told = refusals(&modbus(channel));
        assert!(told.len() == 1 && told[0].contains(fault), "{channel}: {told:#?}");
    }
}

#[test]
fn keys_of_another_kind_of_line_are_refused_where_they_stand() {
    for (link, own, channel, fault) in [
        (
            "modbus_tcp = { host = \"h\" }",
            "poll = \"x\"",
            "register = 0\ntype = \"u16\"",
            "key `poll` belongs to devices on `serial`",
        ),
        (
            "modbus_tcp = { host = \"h\" }",
            "",
            "register = 0\ntype = \"u16\"\nline = 3",
            "key `line` belongs to devices on `gpio`",
        ),
        (
            "serial = { port = \"p\" }",
            "format = \"gill\"\nslave = 2",
            "field = \"speed\"",
            "key `slave` belongs to Modbus devices",
        ),
        (
            "serial = { port = \"p\" }",
            "format = \"gill\"",
            "field = \"speed\"\nregister = 1",
            "key `register` belongs to Modbus devices",
        ),
        ("serial = { port = \"p\" }", "format = \"gill\"", "field = \"sped\"", "no field \"sped\"; there are"),
        ("serial = { port = \"p\" }", "", "field = \"speed\"", "missing key `format`"),
        (
            "i2c = { bus = \"b\" }",
            "",
            "input = 0\nsignal = \"4-20mA\"\nspan = [0, 60]",
            "a current loop needs the resistance",
        ),
        (
            "i2c = { bus = \"b\", address = 0x20 }",
            "",
            "input = 0\nsignal = \"0-5V\"\nspan = [0, 60]",
            "address = 32 is out of bounds",
        ),
        ("modbus_rtu_tcp = { host = \"h\" }", "", "register = 0\ntype = \"u16\"", "missing key `port`"),
    ] {
        let told = refusals(&device(link, own, channel));
        assert!(told.len() == 1 && told[0].contains(fault), "{link} {own} {channel}: {told:#?}");
    }
}

#[test]
fn a_profile_gives_what_the_file_leaves_out_and_the_file_overrides_it() {
    let of = |more: &str| format!("{}[[device]]\nprofile = \"lambrecht-pro-speed\"\n{more}", head());
    let port = "modbus_rtu = { port = \"/dev/ttyS0\" }";
    let plain = config(&of(port));
    let [device] = &plain.devices[..] else { panic!("one device") };
    assert_eq!((device.name.as_str(), device.profile.as_deref()), ("lambrecht-pro-speed", Some("lambrecht-pro-speed")));
    assert_eq!(plain.buses[0].to_string(), "modbus rtu /dev/ttyS0 19200 8E1");
    assert!(device.channels.iter().any(|channel| channel.detect));
    assert!(!device.unsure.is_empty(), "what the manual does not say is asked for");

    let own = "name = \"top\"\nslave = 9\ninterval_ms = 7000\nmodbus_rtu = { port = \"/dev/ttyS0\", baud = 9600 }\n\
               [[device.channel]]\nname = \"wind-speed\"\nregister = 5\n\
               [[device.channel]]\nname = \"more\"\nunit = \"\"\nregister = 6\ntype = \"u16\"\n";
    let overridden = config(&of(own));
    let [top] = &overridden.devices[..] else { panic!("one device") };
    assert_eq!((top.name.as_str(), top.interval_ms), ("top", 7_000));
    assert!(matches!(top.how, How::Modbus { slave: 9, .. }));
    assert_eq!(overridden.buses[0].to_string(), "modbus rtu /dev/ttyS0 9600 8E1");
    assert_eq!(top.channels.len(), device.channels.len() + 1);
    let (wind, usual) = (&top.channels[0], &device.channels[0]);
    assert_eq!((register(wind).start, register(wind).kind), (5, register(usual).kind));
    assert_eq!(wind.scaling, usual.scaling, "only the register was moved");

    let told =
        refusals(&of("modbus_rtu = { port = \"/dev/ttyS0\" }").replace("lambrecht-pro-speed", "lambrecht-pro-sped"));
    assert!(
        told[0].contains("there is no profile \"lambrecht-pro-sped\"; did you mean \"lambrecht-pro-speed\"?"),
        "{told:#?}"
    );
    let told = refusals(&of("gpio = { chip = \"/dev/gpiochip0\" }"));
    assert!(told[0].contains("is for another kind of line: modbus_rtu = { port"), "{told:#?}");
    let faulty = refusals(&of("name = \"a\"\nslave = 0\nmodbus_rtu = { port = \"/dev/ttyS0\" }"));
    assert_eq!(faulty.len(), 1, "{faulty:#?}");
}

#[test]
fn a_beacon_hangs_on_a_coil_or_a_pin_and_may_share_a_devices_bus() {
    let with = |beacon: &str| GOOD.replace("[[device]]", &format!("[alert]\nbeacon = {beacon}\n[[device]]"));
    let coil = config(&with("{ modbus_tcp = { host = \"10.0.0.7\" }, slave = 3, coil = 8 }"));
    let beacon = coil.beacon.unwrap();
    assert_eq!((beacon.bus, beacon.severity), (0, Severity::Warning));
    assert_eq!(beacon.output, BeaconOutput::Coil { slave: 3, coil: 8 });
    assert_eq!(coil.buses.len(), 1, "one endpoint has one owner");
    let pin =
        config(&with("{ gpio = { chip = \"/dev/gpiochip0\" }, line = 4, active_low = true, severity = \"critical\" }"));
    let beacon = pin.beacon.unwrap();
    assert_eq!((beacon.bus, beacon.severity), (1, Severity::Critical));
    assert_eq!(beacon.output, BeaconOutput::Pin { line: 4, active_low: true });
    for half in ["{ modbus_tcp = { host = \"h\" } }", "{ gpio = { chip = \"c\" }, coil = 1 }", "{ coil = 1 }"] {
        let told = refusals(&with(half));
        assert!(told[0].contains("a beacon needs"), "{half}: {told:#?}");
    }
}

#[test]
fn commands_are_taken_from_nobody_unless_it_is_said_from_whom() {
    let with = |host: &str, table: &str| {
        GOOD.replace("host = \"broker.example\"", &format!("host = \"{host}\"\n\n[commands]\n{table}"))
    };
    assert_eq!(config(GOOD).commands, Commands::None);
    assert_eq!(config(&with("127.0.0.1", "accept = \"acl\"")).commands, Commands::Acl);
    let secure = with("broker.example", "accept = \"acl\"").replace("[commands]", "ca = \"/ca.pem\"\n[commands]");
    assert_eq!(config(&secure).commands, Commands::Acl);
    let signed = with("broker.example", "accept = \"signed\"\nkey = \"/operator.pub\"");
    assert_eq!(config(&signed).commands, Commands::Signed("/operator.pub".into()));
    for (table, refusal) in [
        ("accept = \"acl\"", "accept = \"acl\" needs TLS ([mqtt] ca), or a broker on this machine"),
        ("accept = \"signed\"", "accept = \"signed\" needs key, the file of the operator's public key"),
        ("key = \"/k\"", "key without accept = \"signed\""),
        ("accept = \"acl\"\nkey = \"/k\"", "key is for accept = \"signed\"; with \"acl\" the broker decides"),
    ] {
        let refusals = refusals(&with("broker.example", table));
        assert!(refusals.len() == 1 && refusals[0].ends_with(refusal), "{refusals:?}");
    }
}
