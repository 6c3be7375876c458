//! The other ends of FORWARD's uplinks: brokers that lose with sinks behind them, and streams that refuse.

use super::{EPOCH, World};
use std::collections::BTreeMap;
use windward_agent::forward::journal::Journal as _;
use windward_agent::forward::{AckBy, Input, Order, Uplink};
use windward_protocol::{Ack, DecodeError, Envelope, Lane, Schema, SchemaId, Seq, SeqRange, batch};

pub(super) struct Peer {
    uplink: Uplink,
    connected: bool,
    /// Tokens of publishes under way, with their lanes.
    under_way: BTreeMap<u64, Lane>,
    /// What it knows of batches that name what they do not carry.
    schemas: BTreeMap<SchemaId, Schema>,
    has_forgotten: bool,
    /// What it has stored.
    pub(super) stored: BTreeMap<(Lane, Seq), Envelope>,
}

impl Peer {
    pub(super) fn new(uplink: &Uplink) -> Self {
        let (uplink, under_way, stored) = (uplink.clone(), BTreeMap::new(), BTreeMap::new());
        Self { uplink, connected: false, under_way, schemas: BTreeMap::new(), has_forgotten: false, stored }
    }

    /// The connection is gone.
    pub(super) fn forget(&mut self) {
        self.connected = false;
        self.under_way.clear();
    }

    pub(super) fn must_have_all(&self) -> bool {
        self.uplink.frees
    }

    fn store(&mut self, envelope: Envelope) {
        let key = (envelope.lane, envelope.seq);
        if self.uplink.one_by_one && self.uplink.order == Order::Oldest && !self.stored.contains_key(&key) {
            let last = self.stored.keys().filter(|(lane, _)| *lane == key.0).map(|(_, seq)| *seq).max();
            assert!(last.is_none_or(|last| last < key.1), "{} {} came after {last:?}", key.0, key.1);
        }
        let known = self.stored.insert(key, envelope.clone());
        assert!(known.is_none_or(|known| known == envelope), "one number, two contents");
    }
}

impl World {
    /// A connection breaks.
    pub(super) fn cut(&mut self) {
        let uplink = self.random.below(self.peers.len() as u64) as usize;
        if self.peers[uplink].connected {
            self.hang_up(uplink);
            self.input(Input::Disconnected { uplink, reason: "cut".into() });
        }
    }

    pub(super) fn hang_up(&mut self, gone: usize) {
        self.peers[gone].forget();
        self.mail.retain(|(_, input)| match input {
            Input::Connected { uplink }
            | Input::PubAck { uplink, .. }
            | Input::Refused { uplink, .. }
            | Input::Ack { uplink, .. } => *uplink != gone,
            _ => true,
        });
    }

    pub(super) fn note_arrival(&mut self, input: &Input) {
        match input {
            Input::Connected { uplink } => self.peers[*uplink].connected = true,
            Input::PubAck { uplink, token } | Input::Refused { uplink, token } => {
                self.peers[*uplink].under_way.remove(token);
            }
            _ => {}
        }
    }

    pub(super) fn check_free(&self, lane: Lane, through: Seq) {
        for seq in self.journal.found(EPOCH).acked(lane) + 1..=through {
            for peer in self.peers.iter().filter(|peer| peer.must_have_all()) {
                let stored = peer.stored.contains_key(&(lane, seq)) || self.is_gap(lane, seq);
                assert!(stored, "A3: {lane} {seq} freed, and {} has not stored it", peer.uplink.name);
            }
        }
    }

    pub(super) fn publish(&mut self, index: usize, token: u64, lane: Lane, payload: &[u8]) {
        let peer = &mut self.peers[index];
        assert!(peer.connected, "published without a connection");
        let is_alone = !peer.under_way.values().any(|other| *other == lane);
        assert!(is_alone || !peer.uplink.one_by_one, "two publishes of {lane} under way");
        assert!(peer.uplink.state || lane != Lane::State, "a health record that nobody wants");
        peer.under_way.insert(token, lane);
        let is_broker = peer.uplink.ack == AckBy::Sink;
        if self.faults.lost_publishes && self.random.one_in(10) {
            // A broker acks and forgets; a stream says that it has failed.
            let (uplink, token) = (index, token);
            let answer = if is_broker { Input::PubAck { uplink, token } } else { Input::Refused { uplink, token } };
            return self.later(100, answer);
        }
        let peer = &mut self.peers[index];
        if self.faults.lost_publishes && self.random.one_in(50) {
            // Another sink, that shares nothing with the one before.
            peer.schemas.clear();
            peer.has_forgotten = true;
        }
        let split = batch::split_with(payload, &peer.schemas);
        peer.schemas.extend(split.schemas.into_iter().map(|schema| (schema.id(), schema)));
        if let Some(DecodeError::UnknownSchema(_)) = split.broken {
            assert!(is_broker && peer.has_forgotten, "named what nobody can know");
            return self.later(100, Input::PubAck { uplink: index, token });
        }
        assert_eq!(split.broken, None);
        let mut seqs = Vec::new();
        for bytes in &split.envelopes {
            let envelope = Envelope::decode(bytes).unwrap();
            assert_eq!((envelope.lane, envelope.epoch), (lane, EPOCH));
            self.check_times(&envelope);
            if lane == Lane::State {
                continue;
            }
            let on_disk = self.journal.read(lane, envelope.seq, 1).unwrap();
            assert!(
                on_disk.first().is_some_and(|(seq, _)| *seq == envelope.seq),
                "A1: sent {lane} {} undurable",
                envelope.seq
            );
            seqs.push(envelope.seq);
            self.peers[index].store(envelope);
        }
        self.later(100, Input::PubAck { uplink: index, token });
        if is_broker && lane != Lane::State && !(self.faults.lost_acks && self.random.one_in(5)) {
            let range = SeqRange { first: seqs[0], last: seqs[seqs.len() - 1] };
            let bytes = Ack { epoch: EPOCH, lane, ranges: vec![range] }.encode();
            self.later(300, Input::Ack { uplink: index, bytes });
        }
    }
}
