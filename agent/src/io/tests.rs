//! A start: on a machine whose clock is not set, and with what a killed process has left.

use super::*;
use crate::forward::journal::{Journal as _, Room};
use crate::forward::{Input, Output};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use windward_protocol::{Block, Envelope, Lane, NoData, Record, batch};

/// No test waits longer than this for anything.
const DEADLINE: Duration = Duration::from_secs(30);
const TRUE_MS: i64 = 1_893_456_000_000;

/// A device that is not there, and no broker.
fn config(data: &Path) -> Config {
    let text = format!(
        r#"
agent = "t"
farm = "f"
data = {data:?}
[mqtt]
host = "127.0.0.1"
port = 1
[spool]
commit_every_ms = 100
[[device]]
name = "gone"
location = "Mast 2"
modbus_tcp = {{ host = "127.0.0.1", port = 1 }}
interval_ms = 50
[[device.channel]]
name = "wind"
unit = "m/s"
register = 0
type = "u16"
"#
    );
    Config::from_toml(&text, "test.toml").unwrap()
}

/// The reading blocks that an agent sends after a start from this spool.
fn sent_from(spool: Spool, settings: Settings) -> Vec<Block> {
    let Spool { mut journal, found, clock, .. } = spool;
    let mut forward = Forward::new(settings, &found, clock.now());
    let mut blocks = Vec::new();
    forward.handle_timeout(clock.now());
    while let Some(output) = forward.poll_output() {
        let input = match output {
            Output::Connect { uplink, .. } => Input::Connected { uplink },
            Output::Commit { alerts, readings } => {
                journal.commit(&alerts, &readings).unwrap();
                Input::Committed { alerts, readings, room: Room::default() }
            }
            Output::Read { uplink, lane, from, max_bytes } => {
                Input::Read { uplink, lane, values: journal.read(lane, from, max_bytes).unwrap() }
            }
            Output::Publish { lane: Lane::Readings, payload, .. } => {
                let records =
                    batch::split(&payload).envelopes.into_iter().map(|bytes| Envelope::decode(&bytes).unwrap().record);
                blocks.extend(records.map(|record| match record {
                    Record::Block(block) => block,
                    other => panic!("{other:?}"),
                }));
                continue;
            }
            Output::Keep(..) => panic!("everything has been decided before"),
            _ => continue,
        };
        forward.handle(input, clock.now());
    }
    blocks
}

#[tokio::test]
async fn readings_from_before_the_clock_was_set_are_sent_with_their_true_times_by_the_next_process() {
    static SYSTEM: AtomicI64 = AtomicI64::new(0);
    let world = World { system: || SYSTEM.load(Ordering::Relaxed), witness: None, boot: 1, uptime_ms: 60_000 };
    let data = tempfile::tempdir().unwrap();

    let mut running = start_in(world, config(data.path()), Options::default()).await.unwrap();
    let kept = running.counters.wait_for(|counters| counters.rows_kept >= 10 && counters.durable >= 5);
    tokio::time::timeout(DEADLINE, kept).await.expect("rows are kept").unwrap();
    SYSTEM.store(TRUE_MS, Ordering::Relaxed);
    running.stop().await.unwrap();

    let saved: Option<last_time::Saved> = small_file::read(&data.path().join("spool"), "time").unwrap();
    assert_eq!(saved.unwrap().known_ms, TRUE_MS, "the next boot goes on from here");
    let config = config(data.path());
    let spool = open_spool(&data.path().join("spool"), config.spool.max_bytes, &config.agent, world).unwrap();
    assert!(spool.clock.now().synced);
    let blocks = sent_from(spool, settings(&config, 1));
    let times: Vec<i64> = blocks.iter().flat_map(Block::times).collect();
    assert!(times.len() >= 10 && blocks.iter().all(|block| block.synced));
    // Before the clock was set, and while the test has been waiting.
    let expected = TRUE_MS - DEADLINE.as_millis() as i64..=TRUE_MS;
    assert!(times.iter().all(|time| expected.contains(time)), "{times:?}");
    assert!(times.is_sorted() && times[0] < TRUE_MS, "{times:?}");
}

#[test]
fn what_a_start_has_saved_does_not_stay_in_side_files() {
    let world = World { system: || TRUE_MS, witness: None, boot: 1, uptime_ms: 60_000 };
    let data = tempfile::tempdir().unwrap();
    let (dir, config) = (data.path().join("spool"), config(data.path()));
    let open = || open_spool(&dir, config.spool.max_bytes, &config.agent, world).unwrap();
    let Spool { mut side_files, found, clock, journal, .. } = open();
    let mut forward = Forward::new(settings(&config, 1), &found, clock.now());
    let row = Row { time_ms: TRUE_MS, readings: vec![Err(NoData::Timeout)], scores: vec![None] };
    forward.handle(Input::Handover(Handover::Row { device: 0, synced: true, row }), clock.now());
    while let Some(output) = forward.poll_output() {
        if let Output::Log { file, bytes, .. } = output {
            side_files.append(file, &bytes).unwrap();
        }
    }
    drop(journal);
    assert_eq!(SideFiles::read_all(&dir).unwrap().len(), 1);
    assert_eq!(open().rows_saved, 1);
    assert_eq!(SideFiles::read_all(&dir).unwrap().len(), 0);
}
