//! The bytes of commands and answers in version 1: the next file like `v01.rs`, and never edited either.
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use windward_protocol::{
    AgentId, Answer, Command, Envelope, Lane, MAX_ORDER, Order, Outcome, Record, Request, SeqRange,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn command(request: Request) -> Command {
    Command { agent: AgentId::new("t1").unwrap(), id: 300, at_ms: 1_000, request }
}

#[test]
fn commands() {
    let range = SeqRange { first: 1, last: 300 };
    for (request, bytes) in [
        (Request::Status, "01027431ac02d00f00"),
        (Request::Resend { lane: Lane::Readings, range }, "01027431ac02d00f010101ac02"),
        (Request::Rate { device: "wind".into(), times: 10, minutes: 5 }, "01027431ac02d00f020477696e640a05"),
        (Request::Configure { toml: "a = 1".into() }, "01027431ac02d00f030561203d2031"),
    ] {
        let command = command(request);
        let encoded = command.encode();
        let (body, _crc) = encoded.split_at(encoded.len() - 4);
        assert_eq!(hex(body), bytes);
        assert_eq!(Command::decode(&encoded), Ok(command));
    }
}

#[test]
fn an_order_and_an_answer() {
    let order = Order { command: vec![1, 2, 3], signature: vec![9; 2] };
    assert_eq!(hex(&order.encode().unwrap()), "010301020302090983554a39");
    assert_eq!(Order::decode(&order.encode().unwrap()), Ok(order));

    let answer = Answer { command: 300, outcome: Outcome::Refused, text: "no".into(), at_ms: 1_000 };
    let agent = AgentId::new("t1").unwrap();
    let envelope = Envelope { agent, epoch: 1, lane: Lane::State, seq: 4, record: Record::Answer(answer) };
    let bytes = envelope.encode().unwrap();
    assert_eq!(hex(&bytes), "0102743101020406ac0202026e6fd00f13508fce");
    assert_eq!(Envelope::decode(&bytes), Ok(envelope));
}

#[test]
fn what_is_no_command_is_refused() {
    let backwards = command(Request::Resend { lane: Lane::Alerts, range: SeqRange { first: 2, last: 1 } });
    assert!(Command::decode(&backwards.encode()).is_err());
    let mut flipped = command(Request::Status).encode();
    flipped[5] ^= 1;
    assert!(Command::decode(&flipped).is_err());
    let long = command(Request::Configure { toml: "x".repeat(MAX_ORDER) }).encode();
    assert!(Order { command: long.clone(), signature: Vec::new() }.encode().is_err());
    assert!(Command::decode(&long).is_err());
}
