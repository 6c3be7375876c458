//! A stream, its leases and the containers that share them, under every order of events that the seed makes.

use crate::shards::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// One shard of the model, its records numbered through from its first.
#[derive(Clone, Debug, Default)]
struct Shard {
    parents: Vec<usize>,
    records: usize,
    is_closed: bool,
    /// Which of its records are stored.
    stored: BTreeSet<usize>,
}

/// A container: what it decides with, its readers, and its view of the time.
struct Container {
    leases: Leases,
    readers: BTreeMap<String, Reader>,
    offset_ms: u64,
}

struct Reader {
    progress: Progress,
    /// Next record to read.
    next: usize,
    /// Read and not stored: record, and its number in the progress.
    open: Vec<(usize, u64)>,
}

struct World {
    now_ms: u64,
    shards: Vec<Shard>,
    rows: BTreeMap<String, Lease>,
    containers: Vec<Container>,
    born: u64,
    /// Writes sent by whom has died meanwhile: they may still arrive.
    late: Vec<Write>,
}

/// What may happen. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Op {
    Put(usize),
    Split(usize),
    Merge(usize, usize),
    Wait(u64),
    Look(usize),
    Renew(usize),
    Unheard(usize),
    Read(usize, usize),
    Store(usize, usize, usize),
    Die(usize),
    Stop(usize),
    Join,
    Arrive(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let n = 0..8usize;
    prop_oneof![
        4 => n.clone().prop_map(Op::Put),
        1 => n.clone().prop_map(Op::Split),
        1 => (n.clone(), n.clone()).prop_map(|(a, b)| Op::Merge(a, b)),
        3 => (0..6_000u64).prop_map(Op::Wait),
        3 => n.clone().prop_map(Op::Look),
        3 => n.clone().prop_map(Op::Renew),
        1 => n.clone().prop_map(Op::Unheard),
        6 => (n.clone(), n.clone()).prop_map(|(a, b)| Op::Read(a, b)),
        6 => (n.clone(), n.clone(), n.clone()).prop_map(|(a, b, c)| Op::Store(a, b, c)),
        1 => n.clone().prop_map(Op::Die),
        1 => n.clone().prop_map(Op::Stop),
        1 => Just(Op::Join),
        1 => n.prop_map(Op::Arrive),
    ]
}

fn name(shard: usize) -> String {
    format!("{shard:03}")
}

fn number(shard: &str) -> usize {
    shard.parse().unwrap()
}

impl World {
    fn new() -> Self {
        let shards = vec![Shard::default(), Shard::default()];
        let mut world =
            World { now_ms: 0, shards, rows: BTreeMap::new(), containers: Vec::new(), born: 0, late: Vec::new() };
        world.join();
        world
    }

    fn join(&mut self) {
        self.born += 1;
        let leases = Leases::new(format!("c{}", self.born), Position::Oldest);
        // Their clocks have nothing to do with each other.
        self.containers.push(Container { leases, readers: BTreeMap::new(), offset_ms: self.born * 1_000_003 });
    }

    /// The conditional write, with what must hold of it whoever makes it.
    fn put(&mut self, write: &Write) -> bool {
        let row = self.rows.get(&write.shard);
        if row.map(|row| row.counter) != write.expected {
            return false;
        }
        let shard = &self.shards[number(&write.shard)];
        let passed = |position: &Position| match position {
            Position::Oldest | Position::Since(_) => 0,
            Position::After(sequence) => sequence.parse::<usize>().unwrap() + 1,
            Position::End => shard.records + 1,
        };
        let before = row.map_or(0, |row| passed(&row.position));
        let after = passed(&write.lease.position);
        assert!(before <= after, "{} went back from {before} to {after}", write.shard);
        assert!((0..after.min(shard.records)).all(|record| shard.stored.contains(&record)), "unstored but passed");
        assert!(after <= shard.records || shard.is_closed, "the end of an open shard");
        self.rows.insert(write.shard.clone(), write.lease.clone());
        true
    }

    fn listed(&self) -> BTreeMap<String, Vec<String>> {
        let listed = |(index, shard): (usize, &Shard)| (name(index), shard.parents.iter().copied().map(name).collect());
        self.shards.iter().enumerate().map(listed).collect()
    }

    fn look(&mut self, index: usize) {
        let now_ms = self.now_ms + self.containers[index].offset_ms;
        let (listed, rows) = (self.listed(), self.rows.clone());
        let container = &mut self.containers[index];
        let mut lost = container.leases.expire(now_ms);
        container.leases.listed(listed);
        lost.extend(container.leases.seen(rows, now_ms));
        lost.iter().for_each(|shard| drop(container.readers.remove(shard)));
        for write in container.leases.takes(now_ms) {
            if self.put(&write) {
                let next = match &write.lease.position {
                    Position::After(sequence) => sequence.parse::<usize>().unwrap() + 1,
                    _ => 0,
                };
                let progress = Progress::new(write.lease.position.clone());
                let container = &mut self.containers[index];
                container.readers.insert(write.shard.clone(), Reader { progress, next, open: Vec::new() });
                container.leases.written(write, now_ms);
            }
        }
    }

    /// Writes what is due. Unless `is_heard`, the answers are lost on their way.
    fn renew(&mut self, index: usize, is_heard: bool) {
        let now_ms = self.now_ms + self.containers[index].offset_ms;
        for shard in self.containers[index].leases.expire(now_ms) {
            self.containers[index].readers.remove(&shard);
        }
        let shards: Vec<String> = self.containers[index].readers.keys().cloned().collect();
        for shard in shards {
            let container = &self.containers[index];
            let position = container.readers[&shard].progress.position();
            let Some(write) = container.leases.renewal(&shard, position.clone(), now_ms) else { continue };
            let is_made = self.put(&write);
            if !is_heard {
                continue;
            }
            let container = &mut self.containers[index];
            match is_made {
                true => container.leases.written(write, now_ms),
                false => container.leases.lost(&shard),
            }
            if !is_made || position == Position::End {
                container.readers.remove(&shard);
            }
        }
    }

    fn read(&mut self, index: usize, reader: usize) {
        let container = &mut self.containers[index];
        let count = container.readers.len();
        let Some((shard, reader)) = container.readers.iter_mut().nth(reader % count.max(1)) else { return };
        let shard = &self.shards[number(shard)];
        for parent in &shard.parents {
            let parent = &self.shards[*parent];
            assert_eq!(parent.stored.len(), parent.records, "read before what stood before it was stored");
        }
        if reader.next < shard.records {
            reader.open.push((reader.next, reader.progress.read(reader.next.to_string())));
            reader.next += 1;
        } else if shard.is_closed {
            reader.progress.ended();
        }
    }

    /// Out of order, as a committer that tells people of some may do.
    fn store(&mut self, index: usize, reader: usize, which: usize) {
        let container = &mut self.containers[index];
        let count = container.readers.len();
        let Some((shard, reader)) = container.readers.iter_mut().nth(reader % count.max(1)) else { return };
        if !reader.open.is_empty() {
            let (record, ticket) = reader.open.remove(which % reader.open.len());
            self.shards[number(shard)].stored.insert(record);
            reader.progress.stored(ticket);
        }
    }

    /// Reads and stores all there is of a shard.
    fn finish(&mut self, index: usize, reader: usize) {
        let Some((shard, state)) = self.containers[index].readers.iter().nth(reader) else { return };
        let left = self.shards[number(shard)].records - state.next;
        (0..left + 1).for_each(|_| self.read(index, reader));
        let open = self.containers[index].readers.values().nth(reader).map_or(0, |reader| reader.open.len());
        (0..open).for_each(|_| self.store(index, reader, 0));
    }

    /// Ends a container; with a goodbye, or with writes of its leases still on their way.
    fn end(&mut self, index: usize, is_graceful: bool) {
        let container = self.containers.remove(index);
        for (shard, reader) in &container.readers {
            let Some(write) = container.leases.giving_back(shard, reader.progress.position()) else { continue };
            match is_graceful {
                true => drop(self.put(&write)),
                false => self.late.push(write),
            }
        }
    }

    fn close(&mut self, shards: &[usize], children: usize) {
        if shards.iter().any(|shard| self.shards[*shard].is_closed) || self.shards.len() > 12 {
            return;
        }
        shards.iter().for_each(|shard| self.shards[*shard].is_closed = true);
        let child = Shard { parents: shards.to_vec(), ..Shard::default() };
        self.shards.extend(vec![child; children]);
    }

    fn perform(&mut self, op: Op) {
        let (shards, containers) = (self.shards.len(), self.containers.len());
        match op {
            Op::Put(shard) if !self.shards[shard % shards].is_closed => self.shards[shard % shards].records += 1,
            Op::Put(_) => {}
            Op::Split(shard) => self.close(&[shard % shards], 2),
            Op::Merge(a, b) if a % shards != b % shards => self.close(&[a % shards, b % shards], 1),
            Op::Merge(..) => {}
            Op::Wait(ms) => self.now_ms += ms,
            Op::Join if containers < 3 => self.join(),
            Op::Join => {}
            Op::Arrive(late) if !self.late.is_empty() => {
                let write = self.late.remove(late % self.late.len());
                self.put(&write);
            }
            Op::Arrive(_) => {}
            _ if containers == 0 => {}
            Op::Look(index) => self.look(index % containers),
            Op::Renew(index) => self.renew(index % containers, true),
            Op::Unheard(index) => self.renew(index % containers, false),
            Op::Read(index, reader) => self.read(index % containers, reader),
            Op::Store(index, reader, which) => self.store(index % containers, reader, which),
            Op::Die(index) => self.end(index % containers, false),
            Op::Stop(index) => self.end(index % containers, true),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Positions never go back and pass nothing unstored, children wait: asserted at every step. Then two containers
    /// that live on finish everything, and share it.
    #[test]
    fn whoever_dies_whenever_nothing_is_missed(ops in prop::collection::vec(op(), 0..400)) {
        let mut world = World::new();
        ops.into_iter().for_each(|op| world.perform(op));
        while world.containers.len() < 2 {
            world.join();
        }
        for _ in 0..60 {
            world.now_ms += RENEW_MS;
            for index in 0..world.containers.len() {
                world.renew(index, true);
                world.look(index);
                for reader in 0..world.containers[index].readers.len() {
                    world.finish(index, reader);
                }
            }
        }
        let missing = world.shards.iter().filter(|shard| shard.stored.len() < shard.records).count();
        prop_assert_eq!(missing, 0);
        let open = world.shards.iter().filter(|shard| !shard.is_closed).count();
        let held: Vec<usize> = world.containers.iter().map(|container| container.leases.held().count()).collect();
        prop_assert_eq!(held.iter().sum::<usize>(), open);
        let (most, least) = (held.iter().max().unwrap(), held.iter().min().unwrap());
        prop_assert!(most - least <= 1, "{:?}", held);
    }
}
