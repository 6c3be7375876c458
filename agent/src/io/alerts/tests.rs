use super::*;
use std::path::Path;
use windward_protocol::{AlertKind, AlertPhase, Severity};

/// No test waits longer than this for anything.
const DEADLINE: Duration = Duration::from_secs(30);

fn alert() -> Alert {
    Alert {
        id: 0xabc,
        phase: AlertPhase::Open,
        kind: AlertKind::Anomaly,
        severity: Severity::Critical,
        location: "Turbine 1; rm -rf \"$HOME\"".into(),
        device: "anemometer".into(),
        channel: "wind-speed".into(),
        opened_ms: 0,
        at_ms: 0,
        synced: true,
        value: Some(31.4),
        unit: "m/s".into(),
        wind_speed: Some(31.4),
        score: Some(6.1),
        threshold: None,
        evidence: "score 6.1 over threshold 3.0".into(),
    }
}

fn alarm(script: &str) -> LocalAlarm {
    let command = vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()];
    LocalAlarm::new(Some(command))
}

/// The file's content as soon as it ends with a line feed.
async fn content(path: &Path) -> String {
    let read = async {
        loop {
            match std::fs::read_to_string(path) {
                Ok(text) if text.ends_with('\n') => return text,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(DEADLINE, read).await.unwrap()
}

#[tokio::test]
async fn the_program_gets_the_alert_as_variables_and_as_json_and_nothing_of_it_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let (out, done) = (dir.path().join("out"), dir.path().join("done"));
    let script = format!(
        "(cat; echo \"$WINDWARD_PHASE|$WINDWARD_LOCATION|$WINDWARD_VALUE|$WINDWARD_TIME|$WINDWARD_SCORE\") > {}; echo > {}",
        out.display(),
        done.display()
    );
    alarm(&script).raise(&alert());
    content(&done).await;
    let text = content(&out).await;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("{\"location\":\"Turbine 1; rm -rf \\\"$HOME\\\"\""), "{text}");
    assert!(lines[0].contains("\"score\":6.1"), "{text}");
    assert_eq!(lines[1], "open|Turbine 1; rm -rf \"$HOME\"|31.4|1970-01-01T00:00:00.000Z|6.1");
}

#[tokio::test]
async fn no_more_programs_run_at_once_than_the_bound_allows_and_the_place_of_one_that_ended_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!("echo x >> {0}/started; while [ ! -e {0}/go ]; do sleep 0.02; done", dir.path().display());
    let alarm = alarm(&script);
    for _ in 0..MAX_RUNNING + 5 {
        alarm.raise(&alert());
    }
    assert_eq!(alarm.slots.available_permits(), 0);
    std::fs::write(dir.path().join("go"), "").unwrap();
    let freed = alarm.slots.clone().acquire_many_owned(MAX_RUNNING as u32);
    let freed = tokio::time::timeout(DEADLINE, freed).await.expect("programs that end free their places");
    assert!(freed.is_ok());
    assert_eq!(content(&dir.path().join("started")).await.lines().count(), MAX_RUNNING);
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("pid");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("echo $$ > {}; exec sleep 600", pid_file.display())]);
    let running = tokio::spawn(run(command, String::new()));
    let pid = content(&pid_file).await.trim().to_owned();
    let process = Path::new("/proc").join(pid);
    assert!(process.exists());
    running.abort();
    let killed = async {
        // A killed process stays as a zombie until the runtime has reaped it.
        while process.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, killed).await.expect("it dies with the task that runs it");
}

#[tokio::test]
async fn a_program_that_fails_or_does_not_exist_is_told_and_one_that_reads_nothing_is_none() {
    let failing = run(Command::new("/bin/false"), String::new()).await.unwrap_err();
    assert!(failing.to_string().contains("exit status: 1"), "{failing}");
    assert!(run(Command::new("/no/such/program"), String::new()).await.is_err());
    run(Command::new("/bin/true"), "x".repeat(1 << 20)).await.expect("unread input is no failure");
}
