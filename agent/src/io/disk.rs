//! The thread that owns the journal: it may wait for the disk, nothing else may.

use super::clock::Clock;
use super::last_time::LastTime;
use super::pulse::Pulse;
use crate::forward::Input;
use crate::forward::journal::{Journal, JournalError, Note, Numbered};
use std::sync::Arc;
use tokio::sync::mpsc;
use windward_protocol::{Lane, Seq};

/// Jobs waiting for the disk. FORWARD asks for one commit, two reads an uplink and a few frees at a time, so this never
/// fills.
const JOBS: usize = 64;

/// Something to be done with the journal.
#[derive(Debug)]
pub(super) enum Job {
    Commit {
        alerts: Vec<Numbered>,
        readings: Vec<Numbered>,
    },
    Read {
        uplink: usize,
        lane: Lane,
        from: Seq,
        max_bytes: usize,
    },
    Free {
        lane: Lane,
        through: Seq,
    },
    Keep(Note, Vec<u8>),
    /// Nothing; that it was come to is all.
    Turn,
}

/// Starts the thread. It ends when the sender of jobs is dropped, with all jobs done. Beside its jobs it writes down
/// what time it is, every now and then and at the end.
pub(super) fn start(
    mut journal: impl Journal + Send + 'static,
    mut last_time: LastTime,
    clock: Clock,
    answers: mpsc::Sender<Input>,
    pulse: Arc<Pulse>,
) -> std::io::Result<(mpsc::Sender<Job>, std::thread::JoinHandle<()>)> {
    let (jobs, mut incoming) = mpsc::channel(JOBS);
    let work = move || {
        while let Some(job) = incoming.blocking_recv() {
            if let Some(answer) = carry_out(&mut journal, job) {
                // Nobody listens any more when the agent is going down; the jobs left are done all the same.
                drop(answers.blocking_send(answer));
            }
            last_time.renew_if_due(clock.now());
            pulse.disk.turn();
        }
        last_time.renew(clock.now());
    };
    let thread = std::thread::Builder::new().name("disk".into()).spawn(work)?;
    Ok((jobs, thread))
}

fn carry_out(journal: &mut impl Journal, job: Job) -> Option<Input> {
    match job {
        Job::Commit { alerts, readings } => Some(match journal.commit(&alerts, &readings) {
            Ok(()) => Input::Committed { alerts, readings, room: journal.room() },
            Err(JournalError(error)) => Input::CommitFailed { alerts, readings, error, room: journal.room() },
        }),
        Job::Read { uplink, lane, from, max_bytes } => Some(match journal.read(lane, from, max_bytes) {
            Ok(values) => Input::Read { uplink, lane, values },
            Err(JournalError(error)) => Input::ReadFailed { uplink, lane, error },
        }),
        Job::Free { lane, through } => {
            journal.free(lane, through).err().map(|JournalError(error)| Input::SpoolFailed(error))
        }
        Job::Keep(note, bytes) => Some(match journal.keep(note, &bytes) {
            Ok(()) => Input::Kept(note),
            Err(JournalError(error)) => Input::KeepFailed(note, error),
        }),
        Job::Turn => None,
    }
}
