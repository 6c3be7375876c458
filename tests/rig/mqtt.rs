//! What a client has said on a tapped line, as MQTT 5 packets.

use anyhow::{Context as _, bail};
use std::collections::BTreeMap;
use std::time::Instant;

/// A PUBLISH with QoS 1, as the agent sends it.
#[derive(Clone, Debug)]
pub struct Publish {
    /// When its last byte was heard.
    pub at: Instant,
    /// Its topic; where it carried an alias alone, that which the alias was told for.
    pub topic: String,
    /// Whether it spelled its topic.
    pub spelled: bool,
    /// Its topic alias.
    pub alias: Option<u16>,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Each PUBLISH among the packets of one connection (MQTT 5, 2.1 and 3.3); a packet that was cut off is left out.
pub fn publishes(pieces: &[(Instant, Vec<u8>)]) -> anyhow::Result<Vec<Publish>> {
    let mut ends = Vec::new();
    let mut bytes = Vec::new();
    for (at, piece) in pieces {
        bytes.extend_from_slice(piece);
        ends.push((bytes.len(), *at));
    }
    let (mut found, mut known, mut begin) = (Vec::new(), BTreeMap::new(), 0);
    while let Some((head, len)) = length(&bytes[begin..]) {
        let Some(packet) = bytes.get(begin + head..begin + head + len) else { break };
        let kind = bytes[begin] >> 4;
        begin += head + len;
        if kind == 3 {
            let heard = ends.partition_point(|(end, _)| *end < begin);
            found.push(publish(packet, ends[heard].1, &mut known).context("a PUBLISH")?);
        }
    }
    Ok(found)
}

/// Lengths of a packet's fixed header and of what follows it; `None` while they are not all there.
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut len = 0;
    for (at, byte) in bytes.get(1..)?.iter().enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((at + 2, len));
        }
    }
    None
}

fn publish(packet: &[u8], at: Instant, known: &mut BTreeMap<u16, String>) -> anyhow::Result<Publish> {
    let (len, rest) = packet.split_first_chunk::<2>().context("no topic")?;
    let (topic, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len))).context("half a topic")?;
    // QoS 1: a packet identifier; then the properties, of which the agent uses the alias alone.
    let (alias, payload) = match rest.get(2..).context("no properties")? {
        [3, 0x23, high, low, payload @ ..] => (Some(u16::from_be_bytes([*high, *low])), payload),
        [0, payload @ ..] => (None, payload),
        other => bail!("other properties: {:?}", &other[..other.len().min(8)]),
    };
    let (spelled, mut topic) = (!topic.is_empty(), String::from_utf8(topic.to_vec())?);
    match alias {
        Some(alias) if spelled => drop(known.insert(alias, topic.clone())),
        alias if !spelled => {
            let told = alias.and_then(|alias| known.get(&alias));
            topic.clone_from(told.context("an alias the broker cannot know")?);
        }
        _ => {}
    }
    Ok(Publish { at, topic, spelled, alias, payload: payload.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use std::time::Duration;

    #[test]
    fn publishes_are_found_whatever_pieces_they_come_in() {
        let connect = [0x10, 2, 0, 0];
        let spelled = [0x32, 10, 0, 1, b't', 0, 1, 3, 0x23, 0, 7, b'a'];
        let alone = [0x32, 9, 0, 0, 0, 2, 3, 0x23, 0, 7, b'b'];
        let said = [&connect[..], &spelled, &alone, &spelled[..5]].concat();
        let start = clock::now();
        for size in 1..said.len() {
            let pieces: Vec<_> = said
                .chunks(size)
                .enumerate()
                .map(|(nth, piece)| (start + Duration::from_secs(nth as u64), piece.to_vec()))
                .collect();
            let found = publishes(&pieces).unwrap();
            let is =
                |publish: &Publish| (publish.topic.clone(), publish.spelled, publish.alias, publish.payload.clone());
            let topic = || "t".to_owned();
            let wanted = [(topic(), true, Some(7), vec![b'a']), (topic(), false, Some(7), vec![b'b'])];
            assert_eq!(found.iter().map(is).collect::<Vec<_>>(), wanted, "in pieces of {size}");
            let last_piece = (connect.len() + spelled.len() - 1) / size;
            assert_eq!(found[0].at, start + Duration::from_secs(last_piece as u64));
        }
        assert!(publishes(&[(start, alone.to_vec())]).is_err(), "nobody was told that alias");
    }
}
