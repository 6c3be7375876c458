//! The local alarm: a line in the log at once, and a program of the crew's choice. Neither waits for a disk, a network
//! or another sensor (invariant A7).

#[cfg(test)]
mod tests;

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Semaphore;
use windward_protocol::{Alert, Iso8601, json};

/// Most alarm programs that run at once. When so many do, a further step of an alert starts none and says so.
const MAX_RUNNING: usize = 8;
/// After this an alarm program is killed.
const LONGEST_RUN: Duration = Duration::from_secs(10);

/// Raises alarms on the spot.
#[derive(Clone, Debug)]
pub struct LocalAlarm {
    command: Option<Vec<String>>,
    slots: Arc<Semaphore>,
}

impl LocalAlarm {
    /// An alarm that logs, and runs `command` when there is one.
    pub fn new(command: Option<Vec<String>>) -> Self {
        Self { command, slots: Arc::new(Semaphore::new(MAX_RUNNING)) }
    }

    /// Tells of a step of an alert. Returns at once; must be called within a tokio runtime.
    ///
    /// The program gets the alert as JSON on its standard input, one line, and its fields in the environment:
    /// `WINDWARD_ID`, `_PHASE`, `_KIND`, `_SEVERITY`, `_LOCATION`, `_DEVICE`, `_CHANNEL`, `_TIME`, `_VALUE`, `_UNIT`,
    /// `_WIND_SPEED`, `_SCORE` and `_EVIDENCE`; what is not known is empty.
    pub fn raise(&self, alert: &Alert) {
        tracing::warn!(
            id = format_args!("{:016x}", alert.id),
            phase = alert.phase.name(),
            kind = alert.kind.name(),
            severity = alert.severity.name(),
            location = alert.location,
            device = alert.device,
            channel = alert.channel,
            value = alert.value,
            unit = alert.unit,
            wind_speed = alert.wind_speed,
            score = alert.score,
            threshold = alert.threshold,
            evidence = alert.evidence,
            "alert"
        );
        let Some([program, arguments @ ..]) = self.command.as_deref() else {
            return;
        };
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            tracing::error!(program, running = MAX_RUNNING, "alarm program not started: too many still run");
            return;
        };
        let mut command = Command::new(program);
        command.args(arguments).envs(environment(alert));
        let (program, line) = (program.clone(), json::alert_line(alert));
        tokio::spawn(async move {
            match tokio::time::timeout(LONGEST_RUN, run(command, line)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(program, %error, "alarm program failed"),
                Err(_elapsed) => {
                    tracing::error!(program, seconds = LONGEST_RUN.as_secs(), "alarm program killed: too slow")
                }
            }
            drop(slot);
        });
    }
}

/// Runs a program to its end; fails when it cannot be started or does not end well. Dropped, it kills the program.
async fn run(mut command: Command, input: String) -> std::io::Result<()> {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
    // On a thread of its own: the program's file may have to be read, from a disk that stalls.
    let mut child = tokio::task::spawn_blocking(move || command.spawn()).await.map_err(std::io::Error::other)??;
    if let Some(mut stdin) = child.stdin.take()
        && let Err(error) = stdin.write_all(input.as_bytes()).await
        // A program need not read what it is told.
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        return Err(error);
    }
    let status = child.wait().await?;
    if status.success() { Ok(()) } else { Err(std::io::Error::other(status.to_string())) }
}

fn environment(alert: &Alert) -> Vec<(&'static str, String)> {
    let number = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
    vec![
        ("WINDWARD_ID", format!("{:016x}", alert.id)),
        ("WINDWARD_PHASE", alert.phase.name().into()),
        ("WINDWARD_KIND", alert.kind.name().into()),
        ("WINDWARD_SEVERITY", alert.severity.name().into()),
        ("WINDWARD_LOCATION", alert.location.clone()),
        ("WINDWARD_DEVICE", alert.device.clone()),
        ("WINDWARD_CHANNEL", alert.channel.clone()),
        ("WINDWARD_TIME", Iso8601(alert.at_ms).to_string()),
        ("WINDWARD_VALUE", number(alert.value)),
        ("WINDWARD_UNIT", alert.unit.clone()),
        ("WINDWARD_WIND_SPEED", number(alert.wind_speed)),
        ("WINDWARD_SCORE", number(alert.score)),
        ("WINDWARD_EVIDENCE", alert.evidence.clone()),
    ]
}
