//! The sink's end of the pipe: books what the agent says, stores what it publishes, and answers as it is in the mood to.

use super::process::{Gone, Process};
use super::{Stop, Stopwatch};
use crate::drill::{Ask, Begin, Books, Say, Status};
use anyhow::Context as _;
use std::path::Path;
use std::time::Duration;
use windward_protocol::{Ack, Epoch, Lane};

/// How long the agent may be silent, or take for what it is waited for: an SD card may stall for many seconds.
const PATIENCE_MS: u64 = 180_000;
/// How long it is listened to before it is looked whether the drill is to stop.
const LISTEN: Duration = Duration::from_millis(20);

/// How the link and the sink are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// Stores and acks.
    Well,
    /// Stores, and its acks do not come through.
    Mute,
    /// The broker takes everything, and the sink gets none of it.
    Deaf,
    /// There is no link.
    Cut,
}

/// How an agent was in the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) status: Status,
    /// Time from its start to its first publish of something durable, ms.
    pub(super) first_publish_ms: Option<u64>,
}

/// An agent under drill, and the sink it speaks to.
pub(super) struct Run<'a> {
    process: Process,
    books: &'a mut Books,
    stop: &'a Stop,
    mood: Mood,
    wants_connection: bool,
    connected: bool,
    epoch: Epoch,
    pub(super) first_publish_ms: Option<u64>,
    pub(super) status: Status,
    finished: bool,
}

impl<'a> Run<'a> {
    /// Starts an agent.
    pub(super) fn start(
        begin: Begin,
        mood: Mood,
        books: &'a mut Books,
        log: &Path,
        stop: &'a Stop,
    ) -> anyhow::Result<Self> {
        let mut process = Process::start(log)?;
        process.ask(&Ask::Begin(begin));
        Ok(Self {
            process,
            books,
            stop,
            mood,
            wants_connection: false,
            connected: false,
            epoch: 0,
            first_publish_ms: None,
            status: Status::default(),
            finished: false,
        })
    }

    /// From now on so many rows and alerts a second.
    pub(super) fn write(&mut self, rows_per_s: u32, alerts_per_s: u32) {
        self.process.ask(&Ask::Write { rows_per_s, alerts_per_s });
        // Until it is told otherwise.
        self.status.is_idle = false;
    }

    /// Changes how the link and the sink are.
    pub(super) fn be(&mut self, mood: Mood) {
        if mood == Mood::Cut && self.connected {
            self.process.ask(&Ask::Cut);
            self.connected = false;
        }
        self.mood = mood;
        self.connect();
    }

    /// Goes on for so long.
    pub(super) fn go_on(&mut self, ms: u64) -> anyhow::Result<()> {
        let since = Stopwatch::start();
        while since.ms() < ms {
            self.listen().context("the agent under drill has ended by itself")?;
        }
        Ok(())
    }

    /// Goes on until something is so. `what` names it.
    pub(super) fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let since = Stopwatch::start();
        while !is_so(self) {
            let listened = self.listen();
            listened.with_context(|| format!("the agent under drill has ended by itself before {what}"))?;
            anyhow::ensure!(since.ms() < PATIENCE_MS, "{what} takes longer than {} s", PATIENCE_MS / 1000);
        }
        Ok(())
    }

    /// Writes nothing more, and waits until all is acked.
    pub(super) fn drain(&mut self) -> anyhow::Result<()> {
        self.write(0, 0);
        self.until("the spool was empty", |run| run.status.is_idle && run.status.waiting == 0)
    }

    /// SIGKILL; what it has said still counts.
    pub(super) fn kill(mut self) -> anyhow::Result<Ended> {
        self.process.kill()?;
        self.connected = false;
        while self.listen().is_ok() {}
        self.stop.check()?;
        self.books.killed();
        Ok(Ended { status: self.status, first_publish_ms: self.first_publish_ms })
    }

    /// Has it come to a good end.
    pub(super) fn end(mut self) -> anyhow::Result<Ended> {
        self.process.ask(&Ask::Stop);
        self.until("its good end", |run| run.finished)?;
        let code = self.process.ended()?;
        anyhow::ensure!(code.success(), "the agent under drill ended with {code}");
        Ok(Ended { status: self.status, first_publish_ms: self.first_publish_ms })
    }

    /// Takes what the agent says next.
    fn listen(&mut self) -> anyhow::Result<()> {
        self.stop.check()?;
        match self.process.hear(LISTEN) {
            Ok(Some(say)) => self.take(say),
            Ok(None) => {}
            Err(Gone) => anyhow::bail!("it says nothing more"),
        }
        Ok(())
    }

    fn take(&mut self, say: Say) {
        match say {
            Say::Ready { epoch, durable, saved } => {
                self.epoch = epoch;
                self.books.ready(epoch, &durable, saved);
            }
            Say::Kept(numbers) => self.books.kept(&numbers),
            Say::Confirmed { alerts, readings } => self.books.confirmed(&alerts, &readings),
            Say::Connect => {
                self.wants_connection = true;
                self.connect();
            }
            Say::Disconnect(_) => (self.wants_connection, self.connected) = (false, false),
            Say::Publish { token, lane, payload } => self.published(token, lane, &payload),
            Say::Status(status) => self.status = status,
            Say::Finished => self.finished = true,
        }
    }

    /// A link that is down leaves a CONNECT without an answer; once it is up the answer comes.
    fn connect(&mut self) {
        if self.wants_connection && self.mood != Mood::Cut {
            (self.wants_connection, self.connected) = (false, true);
            self.process.ask(&Ask::Connected);
        }
    }

    /// What is on the way when the link is cut, or the agent killed, arrives nowhere.
    fn published(&mut self, token: u64, lane: Lane, payload: &[u8]) {
        if lane != Lane::State {
            self.first_publish_ms.get_or_insert(self.process.started.ms());
            let stored = self.books.published(lane, payload, self.connected && self.mood != Mood::Deaf);
            if self.connected && self.mood == Mood::Well {
                self.process.ask(&Ask::Ack(Ack { epoch: self.epoch, lane, ranges: stored }.encode()));
            }
        }
        if self.connected {
            self.process.ask(&Ask::PubAck(token));
        }
    }
}
