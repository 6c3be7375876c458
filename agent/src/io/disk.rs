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
            // Nobody listens any more when the agent is going down; the jobs left are done all the same.
            let tell = |answer| drop(answers.blocking_send(answer));
            carry_out(&mut journal, job, tell);
            last_time.renew_if_due(clock.now());
            pulse.disk.turn();
        }
        last_time.renew(clock.now());
    };
    let thread = std::thread::Builder::new().name("disk".into()).spawn(work)?;
    Ok((jobs, thread))
}

fn carry_out(journal: &mut impl Journal, job: Job, mut tell: impl FnMut(Input)) {
    match job {
        Job::Commit { alerts, readings } => commit(journal, alerts, readings, tell),
        Job::Read { uplink, lane, from, max_bytes } => tell(match journal.read(lane, from, max_bytes) {
            Ok(values) => Input::Read { uplink, lane, values },
            Err(JournalError(error)) => Input::ReadFailed { uplink, lane, error },
        }),
        Job::Free { lane, through } => {
            if let Err(JournalError(error)) = journal.free(lane, through) {
                tell(Input::SpoolFailed(error));
            }
        }
        Job::Keep(note, bytes) => tell(match journal.keep(note, &bytes) {
            Ok(()) => Input::Kept(note),
            Err(JournalError(error)) => Input::KeepFailed(note, error),
        }),
        Job::Turn => {}
    }
}

/// Of both lanes the alerts come first, and are told at once: they can be sent, and do not wait while the readings are
/// synced (A7).
fn commit(journal: &mut impl Journal, mut alerts: Vec<Numbered>, readings: Vec<Numbered>, mut tell: impl FnMut(Input)) {
    let both = !alerts.is_empty() && !readings.is_empty();
    let first = if both { journal.commit(&alerts, &[]) } else { Ok(()) };
    if both && first.is_ok() {
        tell(Input::AlertsCommitted(std::mem::take(&mut alerts)));
    }
    tell(match first.and_then(|()| journal.commit(&alerts, &readings)) {
        Ok(()) => Input::Committed { alerts, readings, room: journal.room() },
        Err(JournalError(error)) => Input::CommitFailed { alerts, readings, error, room: journal.room() },
    });
}

#[cfg(test)]
mod tests {
    use super::{Input, Job, Journal, JournalError, Lane, Note, Numbered, Seq, carry_out};
    use crate::forward::journal::{MemoryJournal, Room};

    /// What the thread says of a commit of one alert and one reading.
    fn said(journal: &mut impl Journal) -> Vec<Input> {
        let mut said = Vec::new();
        let commit = Job::Commit { alerts: vec![(1, b"alert".to_vec())], readings: vec![(7, b"reading".to_vec())] };
        carry_out(journal, commit, |answer| said.push(answer));
        said
    }

    #[test]
    fn of_a_commit_of_both_lanes_the_alerts_are_told_first() {
        let [first, last] = said(&mut MemoryJournal::default()).try_into().unwrap();
        assert!(matches!(&first, Input::AlertsCommitted(alerts) if alerts[0].0 == 1), "{first:?}");
        let is_rest = |alerts: &[Numbered], readings: &[Numbered]| alerts.is_empty() && readings[0].0 == 7;
        assert!(matches!(&last, Input::Committed { alerts, readings, .. } if is_rest(alerts, readings)), "{last:?}");
    }

    /// A disk that takes the values of one lane only.
    struct Half(Lane);

    impl Journal for Half {
        fn commit(&mut self, alerts: &[Numbered], readings: &[Numbered]) -> Result<(), JournalError> {
            let refused = if self.0 == Lane::Alerts { readings } else { alerts };
            if refused.is_empty() { Ok(()) } else { Err(JournalError("no space left".into())) }
        }

        fn read(&mut self, _: Lane, _: Seq, _: usize) -> Result<Vec<Numbered>, JournalError> {
            Ok(Vec::new())
        }

        fn free(&mut self, _: Lane, _: Seq) -> Result<(), JournalError> {
            Ok(())
        }

        fn keep(&mut self, _: Note, _: &[u8]) -> Result<(), JournalError> {
            Ok(())
        }

        fn room(&self) -> Room {
            Room::default()
        }
    }

    #[test]
    fn what_the_disk_refuses_comes_back_and_what_it_took_does_not() {
        let refused = |answer: &Input| match answer {
            Input::CommitFailed { alerts, readings, .. } => (alerts.len(), readings.len()),
            other => panic!("{other:?}"),
        };
        let said_of = said(&mut Half(Lane::Alerts));
        assert!(matches!(said_of[0], Input::AlertsCommitted(_)), "{said_of:?}");
        assert_eq!(refused(&said_of[1]), (0, 1));
        let said_of = said(&mut Half(Lane::Readings));
        assert_eq!(said_of.len(), 1);
        assert_eq!(refused(&said_of[0]), (1, 1), "the readings are not tried without the alerts");
    }
}
