//! Keys pressed on the terminal, one at a time and without Enter.

use crate::control::Command;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{IsTerminal as _, Read as _, stdin};
use tokio::sync::mpsc;
use windward_tests::plant::Fault;

/// The terminal gives key by key while this lives, and is as it was afterwards.
pub(crate) struct Keys {
    before: Termios,
}

/// Listens for keys; `None` where there is no terminal.
pub(crate) fn listen(commands: &mpsc::Sender<Command>) -> anyhow::Result<Option<Keys>> {
    if !stdin().is_terminal() {
        return Ok(None);
    }
    let before = tcgetattr(stdin())?;
    let mut by_key = before.clone();
    // Ctrl-C still interrupts: ISIG stays.
    by_key.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    tcsetattr(stdin(), OptionalActions::Now, &by_key)?;
    let commands = commands.clone();
    // Reading a terminal cannot be cancelled: the thread ends with the process.
    std::thread::spawn(move || {
        for byte in stdin().lock().bytes().map_while(Result::ok) {
            // A key beyond the queue's bound is not heard.
            if let Some(command) = meaning(byte)
                && let Err(mpsc::error::TrySendError::Closed(_)) = commands.try_send(command)
            {
                return;
            }
        }
    });
    Ok(Some(Keys { before }))
}

impl Drop for Keys {
    fn drop(&mut self) {
        // It fails only when the terminal is gone.
        tcsetattr(stdin(), OptionalActions::Now, &self.before).ok();
    }
}

fn meaning(byte: u8) -> Option<Command> {
    let fault = |fault| Some(Command::Fault { fault, turbine: None, for_ms: None });
    match byte {
        b'g' => fault(Fault::Gust),
        b's' => fault(Fault::Stuck),
        b'i' => fault(Fault::Icing),
        b'd' => fault(Fault::Dropout),
        b'p' => fault(Fault::Spike),
        b'l' => Some(Command::Link(None)),
        b'1'..=b'3' => Some(Command::Select(usize::from(byte - b'1'))),
        b'q' => Some(Command::Quit),
        _ => None,
    }
}
