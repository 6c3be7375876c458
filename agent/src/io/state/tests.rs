//! What of a device is found on disk is used, whatever else is not.

use super::*;
use windward_protocol::{Row, Value};

fn config(data: &std::path::Path) -> Arc<Config> {
    let device = r#"
[[device]]
name = "mast"
profile = "lambrecht-pro-speed"
modbus_rtu = { port = "/dev/ttyS0" }
interval_ms = 600000
"#;
    let text = format!("agent = \"t\"\nfarm = \"f\"\ndata = {data:?}\n[mqtt]\nhost = \"h\"\n{device}");
    Arc::new(Config::from_toml(&text, "test.toml").unwrap())
}

/// A core that has seen two days of values.
fn learned(config: &Config) -> Watch {
    let mut core = Watch::new(config, 1);
    let channels = config.devices[0].channels.len();
    let row = |nth: i64| {
        let value = Value::Int { mantissa: 80 + nth * 37 % 11, exponent: -1 };
        Row { time_ms: nth * 600_000, readings: vec![Ok(value); channels], scores: vec![None; channels] }
    };
    core.learn(0, &(0..288).map(row).collect::<Vec<_>>());
    core
}

fn states(core: &Watch, config: &Config, mut parts: impl FnMut(Part) -> bool) -> Vec<State> {
    let state = |part| {
        let mut bytes = Vec::new();
        core.save(0, part, &mut bytes);
        let fingerprint = fingerprint(&config.devices[0], &config.detect);
        State { name: ("mast".into(), part), fingerprint, saved: Wall(5), bytes }
    };
    core.parts(0).into_iter().filter(|part| parts(*part)).map(state).collect()
}

/// What of these states an agent goes on from: when its readings were saved, and the points of its forests.
async fn found(config: &Arc<Config>, states: &[State]) -> (Option<Wall>, Vec<u64>) {
    let mut store = Store::new(config.data.join("state"), states.iter().map(|state| state.name.clone()));
    store.save(states).unwrap();
    drop(store);
    let mut core = Watch::new(config, 2);
    let (checkpoints, restored) = start(config, &mut core, Clock::start()).await;
    checkpoints.finish(&core).await;
    (restored[0], core.parts(0)[1..].iter().map(|part| core.news(0, *part)).collect())
}

#[tokio::test]
async fn each_part_is_used_that_is_there() {
    let parts = |core: &Watch| core.parts(0).len() as u32;
    let count = parts(&Watch::new(&config("/tmp/w".as_ref()), 1));
    assert!(count >= 3, "readings, rows, and the hours of one channel");
    for chosen in 0..1u32 << count {
        let data = tempfile::tempdir().unwrap();
        let config = config(data.path());
        let core = learned(&config);
        let is_chosen =
            |part: Part| core.parts(0).iter().position(|of| *of == part).is_some_and(|nth| chosen >> nth & 1 == 1);
        let (readings, points) = found(&config, &states(&core, &config, is_chosen)).await;
        assert_eq!(readings, is_chosen(Part::Readings).then_some(Wall(5)), "{chosen:b}");
        for (part, points) in core.parts(0).into_iter().skip(1).zip(points) {
            // Rows mean nothing without the readings that say in which units they are.
            let used = is_chosen(part) && (part != Part::Rows || is_chosen(Part::Readings));
            let expected = if used { core.news(0, part) } else { 0 };
            assert!(core.news(0, part) > 0 && points == expected, "{chosen:b}: {part} has {points} points");
        }
    }
}

#[tokio::test]
async fn parts_of_another_configuration_and_parts_that_cannot_be_read_begin_anew() {
    type Spoil = fn(&mut State);
    let spoil: [Spoil; 2] = [|state| state.fingerprint += 1, |state| state.bytes.truncate(state.bytes.len() / 2)];
    for spoil in spoil {
        let data = tempfile::tempdir().unwrap();
        let config = config(data.path());
        let core = learned(&config);
        let mut states = states(&core, &config, |_| true);
        states.iter_mut().filter(|state| state.name.1 == Part::Rows).for_each(spoil);
        let (readings, points) = found(&config, &states).await;
        assert_eq!(readings, Some(Wall(5)));
        assert_eq!((points[0], points[1]), (0, core.news(0, Part::Hours(0))));
        states.iter_mut().for_each(spoil);
        assert_eq!(found(&config, &states).await, (None, vec![0; points.len()]));
    }
}
