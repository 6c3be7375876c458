//! The loop that drives FORWARD: its outputs become writes, jobs for the disk thread and publishes.

use super::clock::Clock;
use super::commands::{Carriers, Hurry, Wanted};
use super::disk::Job;
use super::pulse::Pulse;
use super::session::{Event, Numbered, Publish, Session, Teller};
use super::side_files::SideFiles;
use super::uplinks::Way;
use crate::command::answer;
use crate::forward::{Counters, Forward, Input, Kept, Output};
use crate::handover::Handover;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use windward_protocol::{AgentId, Alert, Outcome};

/// Events of connections on their way in; when full, the connection waits.
const EVENTS: usize = 256;
/// How long the last publishes of a graceful stop may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// What the loop works with.
pub(super) struct Shell {
    pub(super) agent: AgentId,
    /// Where FORWARD's uplinks lead, by their indices.
    pub(super) ways: Vec<Way>,
    /// Names of the devices, for the trace of what was kept.
    pub(super) devices: Vec<String>,
    pub(super) clock: Clock,
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) side_files: SideFiles,
    pub(super) on_alarm: Arc<dyn Fn(&Alert) + Send + Sync>,
    pub(super) counters: watch::Sender<Counters>,
    pub(super) carriers: Carriers,
    /// Counts the loop's turns.
    pub(super) pulse: Arc<Pulse>,
}

/// Runs `forward` with all its connections on a thread of its own: it writes to side files, and where the disk lets it
/// wait for that, nobody else is to wait with it (A7). What is given is told when it has ended, and is dropped if it
/// panics.
pub(super) fn start<F>(forward: impl FnOnce() -> F + Send + 'static) -> std::io::Result<oneshot::Receiver<()>>
where
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ended, has_ended) = oneshot::channel();
    let work = move || {
        runtime.block_on(forward());
        if ended.send(()).is_err() {
            tracing::debug!("nobody waits for FORWARD's end");
        }
    };
    std::thread::Builder::new().name("forward".into()).spawn(work)?;
    Ok(has_ended)
}

/// Runs until WATCH's end of the queue is gone and FORWARD has come to a good end; or until the disk thread has ended,
/// which is a fault that only a new start mends.
pub(super) async fn run(
    mut forward: Forward,
    mut shell: Shell,
    mut from_watch: mpsc::Receiver<Handover>,
    mut from_disk: mpsc::Receiver<Input>,
) {
    let (mut sessions, mut from_uplinks) =
        Sessions::of(std::mem::take(&mut shell.ways), shell.agent.clone(), shell.clock);
    let (mut stopping, mut beats) = (false, shell.pulse.beats());
    loop {
        shell.pulse.forward.turn();
        while let Some(output) = forward.poll_output() {
            match output {
                Output::Connect { uplink, will } => sessions.connect(uplink, will),
                Output::Disconnect { uplink, .. } => sessions.drop(uplink),
                Output::Publish { uplink, token, lane, retain, payload } => {
                    sessions.publish(uplink, Publish { token, lane, retain, payload });
                }
                Output::Finished => {
                    shell.counters.send_replace(forward.counters());
                    return sessions.say_goodbye(from_uplinks).await;
                }
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
            Some(event) = from_uplinks.recv() => match sessions.input(event) {
                Some(Input::Order { bytes, .. }) => {
                    let holds = shell.carriers.key.as_ref().is_some_and(|key| key.holds(&bytes));
                    Input::Order { bytes, holds }
                }
                Some(input) => input,
                None => continue,
            },
            Some(answer) = shell.carriers.answers.recv() => Input::Answer(answer),
            () = beats.next() => {
                // A thread that does not come to it is seen to stand still; its queue has room for all until then.
                drop(shell.jobs.try_send(Job::Turn));
                continue;
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
    pub(super) async fn carry_out(&mut self, output: Output) -> Option<Input> {
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
            Output::Hurry { command, device, times, minutes } => {
                let taken = self.carriers.watch.try_send(Hurry { command, device, times, minutes });
                return taken.err().map(|_| self.is_busy(command));
            }
            Output::Configure { command, toml } => {
                let taken = self.carriers.owner.try_send(Wanted { command, toml });
                return taken.err().map(|_| self.is_busy(command));
            }
            Output::Connect { .. } | Output::Disconnect { .. } | Output::Publish { .. } | Output::Finished => {
                unreachable!("the loop carries these out")
            }
        };
        self.jobs.send(job).await.err().map(|_| Input::SpoolFailed("the disk thread has ended".into()))
    }
}

impl Shell {
    fn is_busy(&self, command: u64) -> Input {
        let words = "it is busy with another command, or is stopping".into();
        Input::Answer(answer(command, Outcome::Failed, words, self.clock.now()))
    }
}

/// The connections of all uplinks.
struct Sessions {
    agent: AgentId,
    ways: Vec<Way>,
    clock: Clock,
    /// Of each uplink, the number of its connection and the connection.
    running: Vec<(u64, Option<Session>)>,
    events: mpsc::Sender<Numbered>,
}

impl Sessions {
    fn of(ways: Vec<Way>, agent: AgentId, clock: Clock) -> (Self, mpsc::Receiver<Numbered>) {
        let (events, from_uplinks) = mpsc::channel(EVENTS);
        let running = ways.iter().map(|_| (0, None)).collect();
        (Self { agent, ways, clock, running, events }, from_uplinks)
    }

    fn connect(&mut self, uplink: usize, will: Vec<u8>) {
        let (number, session) = &mut self.running[uplink];
        *number += 1;
        let teller = Teller { uplink, number: *number, events: self.events.clone() };
        *session = Some(self.ways[uplink].connect(&self.agent, will, self.clock, teller));
    }

    fn drop(&mut self, uplink: usize) {
        let (number, session) = &mut self.running[uplink];
        *number += 1;
        *session = None;
    }

    fn publish(&self, uplink: usize, publish: Publish) {
        if let (_, Some(session)) = &self.running[uplink] {
            session.publish(publish);
        }
    }

    /// What an event is to FORWARD; nothing where it comes from a connection that has been dropped.
    fn input(&mut self, (uplink, number, event): Numbered) -> Option<Input> {
        if number != self.running[uplink].0 {
            return None;
        }
        Some(match event {
            Event::Connected => Input::Connected { uplink },
            Event::PubAck(token) => Input::PubAck { uplink, token },
            Event::Refused(token) => Input::Refused { uplink, token },
            Event::Ack(bytes) => Input::Ack { uplink, bytes },
            Event::Order(bytes) => Input::Order { bytes, holds: false },
            Event::Gone(reason) => {
                self.running[uplink].1 = None;
                Input::Disconnected { uplink, reason }
            }
        })
    }

    /// Lets the last publishes of a graceful stop out, and disconnects.
    async fn say_goodbye(self, mut from_uplinks: mpsc::Receiver<Numbered>) {
        let sessions: Vec<Session> = self.running.into_iter().filter_map(|(_, session)| session).collect();
        if sessions.is_empty() {
            return;
        }
        let answered = |event: &Numbered| matches!(event.2, Event::PubAck(_) | Event::Gone(_));
        let acked = async { while from_uplinks.recv().await.is_some_and(|event| !answered(&event)) {} };
        if tokio::time::timeout(GOODBYE, acked).await.is_err() {
            tracing::debug!("nobody took the goodbye in time");
        }
        for session in sessions {
            session.close().await;
        }
    }
}

/// Resident memory of this process, KiB; 0 where the system does not tell (proc(5), `statm`: the second is resident pages).
fn rss_kib() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident = pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    resident * rustix::param::page_size() as u64 / 1024
}
