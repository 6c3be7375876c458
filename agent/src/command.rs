//! Which commands from outside are taken. Pure: whether a signature holds is said by who calls.
//!
//! A command is for this agent, later than every one taken before, and of about now. Nothing else can be done twice by
//! who has listened: a repeat of one that was taken is answered again, and not done again.

use crate::time::Stamp;
use std::collections::VecDeque;
use windward_protocol::{AgentId, Answer, Command, Order, Outcome};

/// How far a command's time may be from the agent's clock, once that is set, ms.
const NEAR_MS: u64 = 600_000;
/// Answers kept for repeats. A broker repeats what was under way when a connection broke: a few.
const MOST_ANSWERS: usize = 16;

/// Whose commands are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// Those of everyone whom the broker lets publish on the command topic.
    Acl,
    /// Those that are signed with the operator's key.
    Signed,
}

/// What is to be done about an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Do it, and give [`Gate::answered`] what came of it. [`Gate::newest_ms`] is to be durable before.
    Do(Command),
    /// Answer this: it is refused, or it was answered before.
    Answer(Answer),
    /// Nothing, for this reason: it is for another, or says nothing that could be answered.
    Nothing(String),
}

/// Keeps out what is not to be done.
#[derive(Debug)]
pub struct Gate {
    agent: AgentId,
    accept: Accept,
    newest_ms: i64,
    answers: VecDeque<Answer>,
}

impl Gate {
    /// A gate for `agent`. `newest_ms`: the time of the last command that an earlier run has taken.
    pub fn new(agent: AgentId, accept: Accept, newest_ms: i64) -> Self {
        Self { agent, accept, newest_ms, answers: VecDeque::new() }
    }

    /// Looks at the bytes of an order. `holds` says whether a signature is that of the operator's key.
    pub fn admit(&mut self, bytes: &[u8], holds: impl FnOnce(&Order) -> bool, now: Stamp) -> Admitted {
        let order = match Order::decode(bytes) {
            Ok(order) => order,
            Err(error) => return Admitted::Nothing(format!("not an order: {error}")),
        };
        let command = match Command::decode(&order.command) {
            Ok(command) => command,
            Err(error) => return Admitted::Nothing(format!("not a command: {error}")),
        };
        if command.agent != self.agent {
            return Admitted::Nothing(format!("a command for {}", command.agent));
        }
        if self.accept == Accept::Signed && !holds(&order) {
            return Admitted::Answer(refused(&command, "it is not signed with the key that this agent knows", now));
        }
        if let Some(answer) = self.answers.iter().rev().find(|answer| answer.command == command.id) {
            return Admitted::Answer(answer.clone());
        }
        if command.at_ms <= self.newest_ms {
            return Admitted::Answer(refused(&command, "it is not later than the last command taken", now));
        }
        let off_ms = now.wall.0.abs_diff(command.at_ms);
        if now.synced && off_ms > NEAR_MS {
            let why =
                format!("its time is {} s from this agent's clock; at most {} s", off_ms / 1_000, NEAR_MS / 1_000);
            return Admitted::Answer(refused(&command, &why, now));
        }
        self.newest_ms = command.at_ms;
        Admitted::Do(command)
    }

    /// Time of the last command taken.
    pub fn newest_ms(&self) -> i64 {
        self.newest_ms
    }

    /// Remembers what was answered; of one command, the last word.
    pub fn answered(&mut self, answer: &Answer) {
        if self.answers.len() == MOST_ANSWERS {
            self.answers.pop_front();
        }
        self.answers.push_back(answer.clone());
    }
}

/// An answer, with its text cut to what fits.
pub fn answer(command: u64, outcome: Outcome, mut text: String, now: Stamp) -> Answer {
    text.truncate(text.floor_char_boundary(Answer::MAX_TEXT));
    Answer { command, outcome, text, at_ms: now.wall.0 }
}

fn refused(command: &Command, why: &str, now: Stamp) -> Answer {
    answer(command.id, Outcome::Refused, why.to_owned(), now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Mono, Wall};
    use windward_protocol::Request;

    const NOON: i64 = 1_750_000_000_000;

    fn now(synced: bool) -> Stamp {
        Stamp { mono: Mono(1_000), wall: Wall(NOON), synced }
    }

    fn agent(name: &str) -> AgentId {
        AgentId::new(name).unwrap()
    }

    fn order(agent_name: &str, id: u64, at_ms: i64) -> Vec<u8> {
        let command = Command { agent: agent(agent_name), id, at_ms, request: Request::Status };
        Order { command: command.encode(), signature: vec![1] }.encode().unwrap()
    }

    fn gate(accept: Accept) -> Gate {
        Gate::new(agent("t1"), accept, NOON - 3_000)
    }

    fn word(admitted: Admitted) -> String {
        match admitted {
            Admitted::Do(command) => format!("do {}", command.id),
            Admitted::Answer(answer) => format!("{:?} {}: {}", answer.outcome, answer.command, answer.text),
            Admitted::Nothing(why) => format!("nothing: {why}"),
        }
    }

    #[test]
    fn a_command_is_for_this_agent_new_of_now_and_signed_where_that_is_asked_for() {
        let acl = |name, at_ms, synced| word(gate(Accept::Acl).admit(&order(name, 7, at_ms), |_| false, now(synced)));
        assert_eq!(acl("t1", NOON, true), "do 7");
        assert_eq!(acl("t2", NOON, true), "nothing: a command for t2");
        assert_eq!(acl("t1", NOON - 3_000, true), "Refused 7: it is not later than the last command taken");
        let far = "Refused 7: its time is 601 s from this agent's clock; at most 600 s";
        assert_eq!(acl("t1", NOON + 601_000, true), far);
        // An agent that does not know the time itself cannot say that of a command.
        assert_eq!(acl("t1", NOON + 601_000, false), "do 7");

        let signed = |holds| word(gate(Accept::Signed).admit(&order("t1", 7, NOON), |_| holds, now(true)));
        assert_eq!(signed(true), "do 7");
        assert_eq!(signed(false), "Refused 7: it is not signed with the key that this agent knows");
    }

    #[test]
    fn a_repeat_is_answered_again_and_not_done_again() {
        let mut gate = gate(Accept::Acl);
        let bytes = order("t1", 7, NOON);
        assert_eq!(word(gate.admit(&bytes, |_| true, now(true))), "do 7");
        assert_eq!(gate.newest_ms(), NOON);
        gate.answered(&answer(7, Outcome::Taken, "soon".into(), now(true)));
        gate.answered(&answer(7, Outcome::Done, "well".into(), now(true)));
        assert_eq!(word(gate.admit(&bytes, |_| true, now(true))), "Done 7: well");
        // Beyond what is remembered it is still not done again.
        (0..MOST_ANSWERS as u64)
            .for_each(|id| gate.answered(&answer(100 + id, Outcome::Done, String::new(), now(true))));
        assert_eq!(
            word(gate.admit(&bytes, |_| true, now(true))),
            "Refused 7: it is not later than the last command taken"
        );
    }

    #[test]
    fn what_is_damaged_says_nothing_that_could_be_answered() {
        let mut bytes = order("t1", 7, NOON);
        bytes[4] ^= 1;
        assert!(matches!(gate(Accept::Acl).admit(&bytes, |_| true, now(true)), Admitted::Nothing(_)));
        let inside = Order { command: vec![1, 2, 3], signature: Vec::new() }.encode().unwrap();
        assert!(matches!(gate(Accept::Acl).admit(&inside, |_| true, now(true)), Admitted::Nothing(_)));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = answer(1, Outcome::Done, "°".repeat(Answer::MAX_TEXT), now(true));
        assert!(long.text.len() <= Answer::MAX_TEXT && long.text.ends_with('°'));
    }
}
