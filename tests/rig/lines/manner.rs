//! What a slave does with a request: well, or in one of the ways that are met on real lines.

use super::wire::Framing;
use crate::random::Random;
use std::collections::VecDeque;

/// One way to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// After its turnaround.
    Prompt,
    /// So long after the request, µs: drawn evenly from the first to the second.
    Late(u64, u64),
    /// Not at all.
    Silent,
    /// With this exception.
    Exception(u8),
    /// With one bit flipped; over TCP, which has no checksum of its own, in the transaction's number.
    BitFlip,
    /// The frame ends early.
    Cut,
    /// Under another slave's address, in a sound frame.
    WrongSlave,
    /// With one register, or eight bits, less than asked for, in a sound frame.
    Short,
    /// After some bytes of noise.
    Noise,
    /// After the query and the answer of another master and slave, in sound frames.
    Foreign,
}

/// Which manner a request meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// Always this one.
    Always(Manner),
    /// One after the other; after the last, promptly.
    Script(VecDeque<Manner>),
    /// Drawn by their weights.
    Random(Vec<(u32, Manner)>),
}

impl Conduct {
    /// The manner of the next answer.
    pub(super) fn next(&mut self, random: &mut Random) -> Manner {
        match self {
            Conduct::Always(manner) => *manner,
            Conduct::Script(script) => script.pop_front().unwrap_or(Manner::Prompt),
            Conduct::Random(choices) => {
                let total: u64 = choices.iter().map(|(weight, _)| u64::from(*weight)).sum();
                let mut drawn = random.between(0, total.saturating_sub(1));
                for (weight, manner) in choices {
                    match drawn.checked_sub(u64::from(*weight)) {
                        Some(rest) => drawn = rest,
                        None => return *manner,
                    }
                }
                Manner::Prompt
            }
        }
    }
}

/// An answer on its way: which request it is for, and what the device would rightly say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'a> {
    pub(super) framing: Framing,
    pub(super) transaction: u16,
    pub(super) slave: u8,
    pub(super) pdu: &'a [u8],
}

/// What is heard on the line instead of `answer`, and how long after the request at least, µs; `None`: nothing.
pub(super) fn spoken(manner: Manner, answer: Answer<'_>, random: &mut Random) -> Option<(u64, Vec<u8>)> {
    let Answer { framing, transaction, slave, pdu } = answer;
    let frame = framing.frame(transaction, slave, pdu);
    let function = pdu.first().copied().unwrap_or(0) & 0x7f;
    let another = slave % 247 + 1;
    Some(match manner {
        Manner::Prompt => (0, frame),
        Manner::Late(least_us, most_us) => (random.between(least_us, most_us), frame),
        Manner::Silent => return None,
        Manner::Exception(code) => (0, framing.frame(transaction, slave, &[function | 0x80, code])),
        Manner::BitFlip => {
            let bytes = if framing == Framing::Tcp { 2 } else { frame.len() };
            let bit = random.between(0, bytes as u64 * 8 - 1) as usize;
            let mut frame = frame;
            frame[bit / 8] ^= 1 << (bit % 8);
            (0, frame)
        }
        Manner::Cut => (0, frame[..random.between(1, frame.len() as u64 - 1) as usize].to_vec()),
        Manner::WrongSlave => (0, framing.frame(transaction, another, pdu)),
        Manner::Short => (0, framing.frame(transaction, slave, &short(pdu))),
        Manner::Noise => {
            let noise: Vec<u8> = (0..random.between(1, 5)).map(|_| random.bits() as u8).collect();
            (0, [noise, frame].concat())
        }
        Manner::Foreign => {
            let query = framing.frame(transaction.wrapping_add(7), another, &[function, 0, 2, 0, 1]);
            let reply = framing.frame(transaction.wrapping_add(7), another, pdu);
            (0, [query, reply, frame].concat())
        }
    })
}

/// The same answer with one register, or eight bits, less; an answer with none to spare stays.
fn short(pdu: &[u8]) -> Vec<u8> {
    let less = match pdu {
        [1 | 2, count, ..] if *count > 1 => 1,
        [3 | 4, count, ..] if *count > 2 => 2,
        _ => return pdu.to_vec(),
    };
    let mut short = pdu[..pdu.len() - less].to_vec();
    short[1] -= less as u8;
    short
}

#[cfg(test)]
mod tests {
    use super::super::wire::intact;
    use super::*;

    const PDU: [u8; 6] = [4, 4, 1, 2, 3, 4];

    fn heard(framing: Framing, manner: Manner, seed: u64) -> Option<(u64, Vec<u8>)> {
        let answer = Answer { framing, transaction: 300, slave: 5, pdu: &PDU };
        spoken(manner, answer, &mut Random::new(seed))
    }

    #[test]
    fn every_manner_is_what_it_says() {
        let good = Framing::Rtu.frame(0, 5, &PDU);
        for seed in 0..200 {
            let rtu = |manner| heard(Framing::Rtu, manner, seed).unwrap();
            assert_eq!(rtu(Manner::Prompt), (0, good.clone()));
            assert!((50..=70).contains(&rtu(Manner::Late(50, 70)).0));
            assert_eq!(rtu(Manner::Exception(6)).1, Framing::Rtu.frame(0, 5, &[0x84, 6]));
            assert!(!intact(&rtu(Manner::BitFlip).1));
            let (_, cut) = rtu(Manner::Cut);
            assert!(good.starts_with(&cut) && cut.len() < good.len());
            let (_, wrong) = rtu(Manner::WrongSlave);
            assert!(intact(&wrong) && wrong[0] == 6 && wrong[1..7] == PDU);
            assert_eq!(rtu(Manner::Short).1, Framing::Rtu.frame(0, 5, &[4, 2, 1, 2]));
            assert!(rtu(Manner::Noise).1.ends_with(&good) && rtu(Manner::Foreign).1.ends_with(&good));
            assert_eq!(heard(Framing::Rtu, Manner::Silent, seed), None);
            let (_, flipped) = heard(Framing::Tcp, Manner::BitFlip, seed).unwrap();
            assert_ne!(flipped[..2], 300u16.to_be_bytes());
            assert_eq!(flipped[2..], Framing::Tcp.frame(300, 5, &PDU)[2..]);
        }
    }

    #[test]
    fn a_script_runs_out_and_chance_follows_its_weights() {
        let mut random = Random::new(1);
        let mut script = Conduct::Script([Manner::Silent, Manner::Cut].into());
        let met: Vec<_> = (0..3).map(|_| script.next(&mut random)).collect();
        assert_eq!(met, [Manner::Silent, Manner::Cut, Manner::Prompt]);
        let mut chance = Conduct::Random(vec![(3, Manner::Prompt), (1, Manner::Silent), (0, Manner::Cut)]);
        let met: Vec<_> = (0..4_000).map(|_| chance.next(&mut random)).collect();
        let silent = met.iter().filter(|manner| **manner == Manner::Silent).count();
        assert!((900..1_100).contains(&silent) && !met.contains(&Manner::Cut), "{silent}");
    }
}
