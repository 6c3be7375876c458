//! What must hold of whatever an agent hears on its topics: orders and acks, damaged or made by somebody else.

#[allow(clippy::duplicate_mod, reason = "each check stands by itself, in a fuzz target and among the tests")]
#[path = "seal.rs"]
mod seal;

use seal::sealed;
use windward_agent::command::{Accept, Admitted, Gate};
use windward_agent::time::{Mono, Stamp, Wall};
use windward_protocol::{Ack, AgentId, Answer, Command, Iso8601, MAX_RANGES, Order, SeqSet, parse_iso8601, topic};

const NOON: Stamp = Stamp { mono: Mono(1_000), wall: Wall(1_750_000_000_000), synced: true };

/// Panics when something does not hold.
pub(crate) fn check(bytes: &[u8]) {
    check_ack(bytes);
    check_ack(&sealed(&[&[1], bytes].concat()));
    let command = sealed(&[&[1, 2, b't', b'1'], bytes].concat());
    let order = Order { command, signature: bytes.iter().take(64).copied().collect() };
    let orders = [Some(bytes.to_vec()), Some(sealed(&[&[1], bytes].concat())), order.encode().ok()];
    orders.into_iter().flatten().for_each(|order| check_order(&order));
    check_text(&String::from_utf8_lossy(bytes));
}

fn check_ack(bytes: &[u8]) {
    let Ok(ack) = Ack::decode(bytes) else { return };
    assert!(ack.ranges.len() <= MAX_RANGES);
    let mut set = SeqSet::new();
    for range in &ack.ranges {
        set.insert(*range);
        assert!(set.contains(range.first) && set.contains(range.last));
    }
    let ranges: Vec<_> = set.ranges().collect();
    assert!(ranges.windows(2).all(|pair| pair[0].last + 1 < pair[1].first), "ranges touch");
    set.remove_through(ack.ranges.first().map_or(0, |range| range.first));
    assert_eq!(Ack::decode(&ack.encode()), Ok(ack));
}

/// What is done is for this agent, of now, once, and signed where that is asked for.
fn check_order(bytes: &[u8]) {
    let agent = AgentId::new("t1").expect("a good name");
    for (accept, holds) in [(Accept::Acl, false), (Accept::Signed, true), (Accept::Signed, false)] {
        let mut gate = Gate::new(agent.clone(), accept, 0);
        match gate.admit(bytes, |_| holds, NOON) {
            Admitted::Do(command) => {
                assert!(command.agent == agent && (holds || accept == Accept::Acl));
                assert!(command.at_ms.abs_diff(NOON.wall.0) <= 600_000);
                assert_eq!(Command::decode(&command.encode()), Ok(command));
                assert!(!matches!(gate.admit(bytes, |_| holds, NOON), Admitted::Do(_)), "done twice");
            }
            Admitted::Answer(answer) => assert!(answer.text.len() <= Answer::MAX_TEXT),
            Admitted::Nothing(why) => assert!(why.len() < 1_000, "{} bytes for the log", why.len()),
        }
    }
}

fn check_text(text: &str) {
    if let Some((agent, lane)) = topic::parse(text) {
        assert_eq!(topic::of_lane(&agent, lane), text);
    }
    if let Ok(agent) = AgentId::new(text) {
        assert!(!agent.as_str().contains(['/', '#', '+', ' ']));
    }
    if let Some(ms) = parse_iso8601(text) {
        assert_eq!(parse_iso8601(&Iso8601(ms).to_string()), Some(ms));
    }
}
