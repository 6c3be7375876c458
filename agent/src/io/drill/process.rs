//! The agent under drill, seen from outside: a process that is spoken to over a pipe, and can be killed.

use super::{Stopwatch, pipe};
use crate::drill::{Ask, Say};
use anyhow::Context as _;
use std::fs::File;
use std::io::BufReader;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// What was said and not yet heard; when full, the process waits.
const SAYS: usize = 256;

/// A running agent. It is killed when this is dropped.
pub(super) struct Process {
    process: Child,
    stdin: ChildStdin,
    says: Receiver<Say>,
    pub(super) started: Stopwatch,
}

impl Process {
    /// Starts this program once more, as the agent under drill; what it logs goes to the file `log`.
    pub(super) fn start(log: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program itself")?;
        let log = File::options().create(true).append(true).open(log)?;
        let started = Stopwatch::start();
        let mut command = Command::new(program);
        command.args(["drill", "--child"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        // A Ctrl-C at the terminal is for the drill, which then ends this one.
        command.process_group(0);
        let mut process = command.spawn().context("cannot start this program once more")?;
        let (Some(stdin), Some(stdout)) = (process.stdin.take(), process.stdout.take()) else {
            unreachable!("both are piped")
        };
        let (heard, says) = sync_channel(SAYS);
        std::thread::Builder::new().name("heard".into()).spawn(move || {
            let mut stdout = BufReader::new(stdout);
            while let Ok(Some(say)) = pipe::read(&mut stdout) {
                if heard.send(say).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { process, stdin, says, started })
    }

    /// Asks for something. That the process is gone, [`Self::hear`] tells.
    pub(super) fn ask(&mut self, ask: &Ask) {
        drop(pipe::write(&mut self.stdin, ask));
    }

    /// What is said next. `Ok(None)`: nothing was for so long. `Err`: the process is gone, and all it said was heard.
    pub(super) fn hear(&mut self, wait: Duration) -> Result<Option<Say>, Gone> {
        match self.says.recv_timeout(wait) {
            Ok(say) => Ok(Some(say)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Gone),
        }
    }

    /// SIGKILL. What it said before can still be heard.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().context("cannot kill the agent under drill")
    }

    /// How it ended.
    pub(super) fn ended(&mut self) -> anyhow::Result<std::process::ExitStatus> {
        Ok(self.process.wait()?)
    }
}

/// The process is gone.
pub(super) struct Gone;

impl Drop for Process {
    fn drop(&mut self) {
        // An error says that it has ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
