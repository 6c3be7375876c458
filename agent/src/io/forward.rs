//! The loop that drives FORWARD: its outputs become writes, jobs for the disk thread and publishes.

use super::clock::Clock;
use super::disk::Job;
use super::mqtt::{self, MqttEvent, Publish, Session};
use super::side_files::SideFiles;
use crate::config::Mqtt;
use crate::forward::{Counters, Forward, Input, Kept, Output};
use crate::handover::Handover;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use windward_protocol::{AgentId, Alert};

/// Events of connections on their way in; when full, the connection waits.
const EVENTS: usize = 256;
/// How long the last publishes of a graceful stop may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// What the loop works with.
pub(super) struct Shell {
    pub(super) agent: AgentId,
    pub(super) mqtt: Mqtt,
    /// Names of the devices, for the trace of what was kept.
    pub(super) devices: Vec<String>,
    pub(super) clock: Clock,
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) side_files: SideFiles,
    pub(super) on_alarm: Arc<dyn Fn(&Alert) + Send + Sync>,
    pub(super) counters: watch::Sender<Counters>,
}

/// Runs until WATCH's end of the queue is gone and FORWARD has come to a good end; or until the disk thread has ended,
/// which is a fault that only a new start mends.
pub(super) async fn run(
    mut forward: Forward,
    mut shell: Shell,
    mut from_watch: mpsc::Receiver<Handover>,
    mut from_disk: mpsc::Receiver<Input>,
) {
    let (events, mut from_broker) = mpsc::channel(EVENTS);
    let (mut session, mut sessions) = (None::<Session>, 0u64);
    let mut stopping = false;
    loop {
        while let Some(output) = forward.poll_output() {
            match output {
                Output::Connect { uplink: _, will } => {
                    sessions += 1;
                    let (mqtt, agent) = (shell.mqtt.clone(), shell.agent.clone());
                    session = Some(mqtt::connect(mqtt, agent, will, sessions, events.clone()));
                }
                Output::Disconnect { .. } => {
                    sessions += 1;
                    session = None;
                }
                Output::Publish { uplink: _, token, lane, retain, payload } => {
                    // FORWARD's window is the channel's size; a session that is gone says so by itself.
                    if let Some(session) = &session {
                        drop(session.publishes.try_send(Publish { token, lane, retain, payload }));
                    }
                }
                Output::Finished => return say_goodbye(session, from_broker).await,
                output => {
                    if let Some(input) = shell.carry_out(output).await {
                        forward.handle(input, shell.clock.now());
                    }
                }
            }
        }
        if shell.jobs.is_closed() {
            // sled has panicked. What was read stands in the side file; the next start finds it.
            return tracing::error!("the disk thread has ended");
        }
        shell.counters.send_replace(forward.counters());
        let due = forward.poll_timeout().map(|(at, _)| Duration::from_millis(at - shell.clock.now().mono));
        let input = tokio::select! {
            handover = from_watch.recv(), if !stopping => match handover {
                Some(handover) => {
                    if matches!(handover, Handover::Devices { .. }) {
                        forward.note_rss(rss_kib());
                    }
                    Input::Handover(handover)
                }
                None => {
                    stopping = true;
                    Input::Stop
                }
            },
            Some(input) = from_disk.recv() => input,
            Some((number, event)) = from_broker.recv() => {
                if number != sessions {
                    continue;
                }
                match event {
                    MqttEvent::Connected => Input::Connected { uplink: 0 },
                    MqttEvent::PubAck(token) => Input::PubAck { uplink: 0, token },
                    MqttEvent::Ack(bytes) => Input::Ack { uplink: 0, bytes },
                    MqttEvent::Gone(reason) => {
                        session = None;
                        Input::Disconnected { uplink: 0, reason }
                    }
                }
            }
            () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => {
                forward.handle_timeout(shell.clock.now());
                continue;
            }
        };
        forward.handle(input, shell.clock.now());
    }
}

impl Shell {
    /// Does what needs no connection. Gives what has to be handed in at once.
    async fn carry_out(&mut self, output: Output) -> Option<Input> {
        let job = match output {
            Output::Log { file, bytes, kept } => {
                let written = self.side_files.append(file, &bytes);
                if let (Ok(()), Some(Kept { device, time_ms, first })) = (&written, kept) {
                    let device = &self.devices[device];
                    tracing::trace!(target: "windward_agent::kept", device, time_ms, first, "kept");
                }
                return written.err().map(|error| Input::LogFailed(error.to_string()));
            }
            Output::RemoveLogs { through } => {
                return self.side_files.remove(through).err().map(|error| Input::SpoolFailed(error.to_string()));
            }
            Output::Alarm(alert) => {
                (self.on_alarm)(&alert);
                return None;
            }
            Output::Commit { alerts, readings } => Job::Commit { alerts, readings },
            Output::Read { uplink, lane, from, max_bytes } => Job::Read { uplink, lane, from, max_bytes },
            Output::Free { lane, through } => Job::Free { lane, through },
            Output::Keep(note, bytes) => Job::Keep(note, bytes),
            Output::Hurry { .. } | Output::Configure { .. } => return None,
            Output::Connect { .. } | Output::Disconnect { .. } | Output::Publish { .. } | Output::Finished => {
                unreachable!("the loop carries these out")
            }
        };
        self.jobs.send(job).await.err().map(|_| Input::SpoolFailed("the disk thread has ended".into()))
    }
}

/// Lets the last publish of a graceful stop out, and disconnects.
async fn say_goodbye(session: Option<Session>, mut from_broker: mpsc::Receiver<(u64, MqttEvent)>) {
    let Some(session) = session else { return };
    let acked = async {
        while !matches!(from_broker.recv().await, None | Some((_, MqttEvent::PubAck(_) | MqttEvent::Gone(_)))) {}
    };
    if tokio::time::timeout(GOODBYE, acked).await.is_err() {
        tracing::debug!("the broker did not take the goodbye in time");
    }
    session.close().await;
}

/// Resident memory of this process, KiB; 0 where the system does not tell (proc(5), `VmRSS`).
fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
