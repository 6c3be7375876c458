//! What the manager is told by an agent that works, that idles, and that hangs.

use super::*;
use std::time::Instant;

/// No test waits longer than this for anything.
const DEADLINE: Duration = Duration::from_secs(30);
/// The watchdog's limit in these tests: looks come every quarter of it.
const LIMIT: Duration = Duration::from_millis(80);

/// Both ends of a manager's socket.
fn manager() -> (Manager, UnixDatagram) {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_read_timeout(Some(DEADLINE)).unwrap();
    (Manager::at(Some(ours), Some(LIMIT)), theirs)
}

fn heard(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 512];
    let len = socket.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..len]).into_owned()
}

fn sight() -> Sight {
    Sight {
        pulse: Arc::new(Pulse::new(Some(LIMIT / BEATS))),
        counters: watch::channel(Counters::default()).1,
        devices: watch::channel(Vec::new()).1,
    }
}

fn turn_all(pulse: &Pulse) {
    pulse.watch.turn();
    pulse.forward.turn();
    pulse.disk.turn();
}

#[test]
fn ready_is_said_once_and_only_when_every_part_has_turned() {
    let (manager, socket) = manager();
    let mut teller = Teller { manager, watchdog: Watchdog::default(), is_ready: false, said: String::new() };
    let (clock, sight) = (Clock::start(), sight());
    let stage = Stage::Work(sight.clone());
    teller.tell(&Stage::Start, clock);
    assert_eq!(heard(&socket), "STATUS=opening the spool\n");
    sight.pulse.watch.turn();
    teller.tell(&stage, clock);
    turn_all(&sight.pulse);
    teller.tell(&stage, clock);
    assert_eq!(heard(&socket), "READY=1\n", "nothing before all have turned");
    assert_eq!(heard(&socket), "WATCHDOG=1\n");
    assert_eq!(heard(&socket), "STATUS=devices: 0 well, 0 silent; 0 envelopes wait; not connected\n");
    turn_all(&sight.pulse);
    teller.tell(&stage, clock);
    assert_eq!(heard(&socket), "WATCHDOG=1\n");
    // WATCH hangs.
    for _ in 0..9 {
        sight.pulse.forward.turn();
        sight.pulse.disk.turn();
        teller.tell(&stage, clock);
    }
    assert_eq!(heard(&socket), "STATUS=WATCH does not move\n");
    teller.tell(&Stage::Change, clock);
    assert_eq!(heard(&socket), "RELOADING=1\n", "and no report between");
    assert_eq!(heard(&socket), "STATUS=going on with another configuration\n");
    assert_eq!(heard(&socket), "WATCHDOG=1\n");
    let next = self::sight();
    turn_all(&next.pulse);
    teller.tell(&Stage::Work(next), clock);
    assert_eq!(heard(&socket), "READY=1\n", "the agent of the next configuration counts anew");
    teller.tell(&Stage::Stop, clock);
    let rest: Vec<String> = (0..4).map(|_| heard(&socket)).collect();
    assert_eq!(rest[2..], ["STOPPING=1\n", "STATUS=stopping\n"]);
}

#[test]
fn the_status_counts_devices() {
    let device = |good, failing| DeviceHealth { device: "d".into(), good, failed: 0, failing };
    let silent = Some(windward_protocol::NoData::Timeout);
    let devices = [device(1, None), device(0, None), device(7, silent), device(0, silent)];
    let counters = Counters { waiting: 12, connected: true, ..Counters::default() };
    let said = "devices: 1 well, 2 silent, 1 not read yet; 12 envelopes wait; connected";
    assert_eq!(status(&devices, &counters), said);
}

#[test]
fn addresses_are_paths_or_abstract_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let name = format!("windward-test-{}", std::process::id());
    let abstract_socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let file_socket = UnixDatagram::bind(&path).unwrap();
    for (address, socket) in
        [(path.as_os_str().as_bytes().to_vec(), file_socket), ([b"@", name.as_bytes()].concat(), abstract_socket)]
    {
        let manager = Manager::at(Some(connected(&address).unwrap()), None);
        manager.send("READY=1\n");
        assert_eq!(heard(&socket), "READY=1\n");
    }
    assert!(connected(b"/nowhere/notify").is_err());
}

#[test]
fn a_manager_that_does_not_read_is_not_waited_for() {
    let (manager, _unread) = manager();
    #[allow(clippy::disallowed_methods, reason = "the test's own deadline")]
    let begin = Instant::now();
    for _ in 0..100_000 {
        manager.send("WATCHDOG=1\n");
    }
    assert!(begin.elapsed() < DEADLINE);
}

/// Tells a manager of a running agent for as long as the test runs, from a thread of its own as the program does.
fn told(running: &crate::io::Running, limit: Duration) -> UnixDatagram {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_read_timeout(Some(DEADLINE)).unwrap();
    let (stage, stages) = watch::channel(Stage::Work(running.sight()));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Manager::at(Some(ours), Some(limit)).keep_told(stages, Clock::start()));
        drop(stage);
    });
    theirs
}

/// An agent without a broker. Its device is not there, and is asked so often.
async fn agent(data: &std::path::Path, interval_ms: u64, options: crate::io::Options) -> crate::io::Running {
    let text = format!(
        "agent = \"t\"\nfarm = \"f\"\ndata = {data:?}\n[mqtt]\nhost = \"127.0.0.1\"\nport = 1\n[detect]\nno_data_after = 1\n[[device]]\nname = \"gone\"\n\
         modbus_tcp = {{ host = \"127.0.0.1\", port = 1 }}\ninterval_ms = {interval_ms}\n\
         [[device.channel]]\nname = \"wind\"\nunit = \"m/s\"\nregister = 0\ntype = \"u16\"\n"
    );
    let config = crate::config::Config::from_toml(&text, "test.toml").unwrap();
    crate::io::start(config, options).await.unwrap()
}

/// Looks every 100 ms, beats every 50 ms: enough for a machine that has other things to do.
const SHORT: Duration = Duration::from_millis(400);

fn beat() -> Option<Duration> {
    Some(SHORT / BEATS)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_agent_is_not_taken_for_a_hung_one() {
    let data = tempfile::tempdir().unwrap();
    let options = crate::io::Options { beat: beat(), ..Default::default() };
    let running = agent(data.path(), 3_600_000, options).await;
    let socket = told(&running, SHORT);
    let hear = move || (0..30).map(|_| heard(&socket)).filter(|message| message == "WATCHDOG=1\n").count();
    assert!(
        tokio::task::spawn_blocking(hear).await.unwrap() > 20,
        "reports go on with nothing to read and nobody to tell"
    );
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_hangs_ends_the_reports_until_it_moves_again() {
    let data = tempfile::tempdir().unwrap();
    // What is told of an alert is told by WATCH itself. The first one keeps it for as long as the test wants.
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let hang = move |_: &windward_protocol::Alert| assert!(released.lock().unwrap().recv().is_err());
    let options = crate::io::Options { beat: beat(), on_alert: Some(Arc::new(hang)), ..Default::default() };
    let running = agent(data.path(), 50, options).await;
    let socket = told(&running, SHORT);
    let watched = move || {
        while heard(&socket) != "STATUS=WATCH does not move\n" {}
        socket.set_read_timeout(Some(3 * SHORT)).unwrap();
        assert!(socket.recv(&mut [0; 512]).is_err(), "three times the limit, and not one report");
        drop(release);
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        while heard(&socket) != "WATCHDOG=1\n" {}
    };
    tokio::task::spawn_blocking(watched).await.unwrap();
    running.stop().await.unwrap();
}
