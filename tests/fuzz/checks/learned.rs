//! What must hold of whatever stands where an agent keeps what it has learned. The first byte chooses the part; the rest
//! are changes of a sound one, a place and a byte each, or where the second byte is odd, the part itself.

use std::sync::OnceLock;
use windward_agent::config::Config;
use windward_agent::time::{Mono, Stamp, Wall};
use windward_agent::watch::Watch;
use windward_agent::watch::checkpoint::Part;
use windward_forest::Forest;
use windward_protocol::{Row, Value};

const CONFIG: &str = r#"
agent = "t1"
farm = "f"
data = "/nowhere"
mqtt = { host = "127.0.0.1" }
[[device]]
name = "mast"
location = "Mast"
modbus_tcp = { host = "127.0.0.1" }
interval_ms = 1000
[[device.channel]]
name = "wind"
quantity = "wind-speed"
unit = "m/s"
register = 0
type = "u16"
scale = 0.1
"#;
const BEGIN_MS: i64 = 1_750_000_000_000;

/// What is known before.
struct Known {
    config: Config,
    parts: Vec<(Part, Vec<u8>)>,
}

/// Panics when something does not hold.
pub(crate) fn check(bytes: &[u8]) {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    let known = KNOWN.get_or_init(Known::new);
    let [which, how, rest @ ..] = bytes else { return };
    let (part, sound) = &known.parts[usize::from(*which) % known.parts.len()];
    let mut state = if how & 1 == 1 { rest.to_vec() } else { sound.clone() };
    if how & 1 == 0 {
        for [high, low, byte] in rest.as_chunks::<3>().0 {
            let at = usize::from(u16::from_be_bytes([*high, *low])) % state.len();
            state[at] = *byte;
        }
    }
    drop(Forest::restore(&state));
    let mut watch = Watch::new(&known.config, 1);
    let now = Stamp { mono: Mono(5_000), wall: Wall(BEGIN_MS + 2_000_000), synced: true };
    if watch.restore(0, *part, &state, now, Wall(BEGIN_MS + 1_000_000)).is_ok() {
        // It goes on with what it has taken.
        watch.learn(0, &rows(2_000, 30));
        watch.save(0, *part, &mut Vec::new());
    }
}

impl Known {
    fn new() -> Self {
        let config = Config::from_toml(CONFIG, "agent.toml").expect("a good configuration");
        let mut learned = Watch::new(&config, 1);
        learned.learn(0, &rows(0, 1_000));
        let part = |part| {
            let mut bytes = Vec::new();
            learned.save(0, part, &mut bytes);
            (part, bytes)
        };
        let parts = learned.parts(0).into_iter().map(part).collect();
        Self { config, parts }
    }
}

/// So many rows from this second on.
fn rows(from: i64, count: i64) -> Vec<Row> {
    let row = |second: i64| Row {
        time_ms: BEGIN_MS + second * 1_000,
        readings: vec![Ok(Value::Int { mantissa: 80 + second * 7 % 13, exponent: -1 })],
        scores: vec![None],
    };
    (from..from + count).map(row).collect()
}
