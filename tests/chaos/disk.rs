//! A disk under a page cache, as pessimistic as POSIX allows: what has not been synced may be gone when the power is.
//!
//! - What a file holds is durable when the file has been synced; `fdatasync` is enough for its length.
//! - A name (made, renamed, removed) is durable when its directory has been synced, and not with the file it names,
//!   although ext4 and others would see to that. A rename happens as a whole or not at all.
//! - A cut takes each file by itself: everything since its last sync is gone, or is there, or is there up to a write
//!   that is torn at 512 bytes, or sectors of 512 bytes are old and new in any mixture, or the file has grown and holds
//!   zeros where the writes have not arrived.
//! - Names that are not durable stand as far as a random one of them, or each for itself.

use crate::recording::Call;
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use windward_tests::random::Random;

/// What a disk may tear: a write of one sector happens or does not.
const SECTOR: usize = 512;

type Inode = usize;
type Names = BTreeMap<String, Inode>;

/// The disk, and what stands only in the page cache.
pub(crate) struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
    /// Changes of names that are not durable, in their order.
    changes: Vec<NameChange>,
    open: BTreeMap<i64, Inode>,
    trust: Trust,
}

/// Which syncs count: a break of the rig, so that it can be seen to catch what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    All,
    NoFdatasync,
    NoFsyncOfFiles,
    NoFsyncOfDirectories,
}

enum Node {
    File { durable: Vec<u8>, since: Vec<Change>, now: Vec<u8> },
    Directory { durable: Names, now: Names },
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

#[derive(Clone)]
enum NameChange {
    Made { dir: Inode, name: String, node: Inode },
    Removed { dir: Inode, name: String },
    Renamed { from: (Inode, String), to: (Inode, String), node: Inode },
}

/// How a cut treats a file, or the names.
#[derive(Clone, Copy)]
enum Fate {
    Kept,
    Dropped,
    UpTo,
    Mixed,
    Zeros,
}

impl Disk {
    /// The disk with all that stands below `root` now, durably.
    pub(crate) fn of(root: &Path, trust: Trust) -> Result<Self> {
        let mut disk = Self { root: root.into(), nodes: Vec::new(), changes: Vec::new(), open: BTreeMap::new(), trust };
        disk.load(root)?;
        Ok(disk)
    }

    fn load(&mut self, path: &Path) -> Result<Inode> {
        let inode = self.nodes.len();
        if !path.is_dir() {
            let bytes = std::fs::read(path)?;
            self.nodes.push(Node::File { durable: bytes.clone(), since: Vec::new(), now: bytes });
            return Ok(inode);
        }
        self.nodes.push(Node::Directory { durable: Names::new(), now: Names::new() });
        let mut names = Names::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            names.insert(entry.file_name().to_string_lossy().into_owned(), self.load(&entry.path())?);
        }
        self.nodes[inode] = Node::Directory { durable: names.clone(), now: names };
        Ok(inode)
    }

    /// A call is made. Gives what it wrote, if it wrote to the file of this name in the root.
    pub(crate) fn call<'a>(&mut self, call: &'a Call, watched: &str) -> Result<Option<&'a [u8]>> {
        match call {
            Call::Open { fd, path, creates, truncates } => {
                let inode = match self.find(path) {
                    Ok(inode) => inode,
                    Err(error) if !creates => return Err(error),
                    Err(_) => self.make(path, Node::File { durable: vec![], since: vec![], now: vec![] })?,
                };
                if *truncates {
                    self.change(inode, Change::Truncate(0));
                }
                self.open.insert(*fd, inode);
            }
            Call::Write { fd, offset, bytes } => {
                let inode = self.opened(*fd)?;
                self.change(inode, Change::Write { offset: *offset, bytes: bytes.clone() });
                if self.names(0)?.get(watched) == Some(&inode) {
                    return Ok(Some(bytes));
                }
            }
            Call::Truncate { fd, len } => self.change(self.opened(*fd)?, Change::Truncate(*len)),
            Call::Rename { from, to } => {
                let (from, to, node) = (self.place(from)?, self.place(to)?, self.find(from)?);
                self.name_change(NameChange::Renamed { from, to, node });
            }
            Call::Unlink(path) | Call::RemoveDir(path) => {
                let (dir, name) = self.place(path)?;
                self.name_change(NameChange::Removed { dir, name });
            }
            Call::MakeDir(path) => {
                self.make(path, Node::Directory { durable: Names::new(), now: Names::new() })?;
            }
            Call::Sync { fd, only_data } => self.sync(self.opened(*fd)?, *only_data),
        }
        Ok(None)
    }

    fn sync(&mut self, inode: Inode, only_data: bool) {
        match &mut self.nodes[inode] {
            Node::File { .. } if only_data && self.trust == Trust::NoFdatasync => {}
            Node::File { .. } if !only_data && self.trust == Trust::NoFsyncOfFiles => {}
            Node::File { durable, since, now } => {
                durable.clone_from(now);
                since.clear();
            }
            Node::Directory { .. } if self.trust == Trust::NoFsyncOfDirectories => {}
            Node::Directory { .. } => {
                let (synced, rest): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut self.changes).into_iter().partition(|change| change.is_in(inode));
                self.changes = rest;
                for change in synced {
                    change.apply(|dir, name, node| {
                        if let Node::Directory { durable, .. } = &mut self.nodes[dir] {
                            put(durable, name, node);
                        }
                    });
                }
            }
        }
    }

    /// What a power cut leaves, written below `image`.
    pub(crate) fn cut(&self, image: &Path, random: &mut Random) -> Result<()> {
        let mut names = self.names_of(|durable, _| durable.clone());
        let fate = Fate::draw(random);
        let until = random.between(0, self.changes.len() as u64) as usize;
        for (index, change) in self.changes.iter().enumerate() {
            let happened = match fate {
                Fate::Kept => true,
                Fate::Dropped => false,
                Fate::UpTo => index < until,
                Fate::Mixed | Fate::Zeros => random.between(0, 1) == 0,
            };
            if happened {
                change.apply(|dir, name, node| put(names.entry(dir).or_default(), name, node));
            }
        }
        self.write(0, image, &names, &mut |durable, since, now| survivor(durable, since, now, random))
    }

    /// An error where the files below `root` are not what the calls have made of them.
    pub(crate) fn compare(&self, root: &Path) -> Result<()> {
        self.compare_node(0, root)
    }

    fn compare_node(&self, inode: Inode, path: &Path) -> Result<()> {
        match &self.nodes[inode] {
            Node::File { now, .. } => ensure!(&std::fs::read(path)? == now, "{} holds something else", path.display()),
            Node::Directory { now, .. } => {
                let there = std::fs::read_dir(path)?.count();
                ensure!(there == now.len(), "{} has {there} names, not {}", path.display(), now.len());
                now.iter().try_for_each(|(name, &inode)| self.compare_node(inode, &path.join(name)))?;
            }
        }
        Ok(())
    }

    fn write(
        &self,
        inode: Inode,
        path: &Path,
        names: &BTreeMap<Inode, Names>,
        contents: &mut impl FnMut(&[u8], &[Change], &[u8]) -> Vec<u8>,
    ) -> Result<()> {
        match &self.nodes[inode] {
            Node::File { durable, since, now } => std::fs::write(path, contents(durable, since, now))?,
            Node::Directory { .. } => {
                std::fs::create_dir(path)?;
                for (name, &inode) in &names[&inode] {
                    self.write(inode, &path.join(name), names, contents)?;
                }
            }
        }
        Ok(())
    }

    fn change(&mut self, inode: Inode, change: Change) {
        if let Node::File { since, now, .. } = &mut self.nodes[inode] {
            change.apply(now);
            since.push(change);
        }
    }

    fn make(&mut self, path: &Path, node: Node) -> Result<Inode> {
        let (dir, name) = self.place(path)?;
        let inode = self.nodes.len();
        self.nodes.push(node);
        self.name_change(NameChange::Made { dir, name, node: inode });
        Ok(inode)
    }

    fn name_change(&mut self, change: NameChange) {
        change.apply(|dir, name, node| {
            if let Node::Directory { now, .. } = &mut self.nodes[dir] {
                put(now, name, node);
            }
        });
        self.changes.push(change);
    }

    /// The names in every directory, those that are durable or those that stand now.
    fn names_of(&self, which: impl Fn(&Names, &Names) -> Names) -> BTreeMap<Inode, Names> {
        let names = |(inode, node): (Inode, &Node)| match node {
            Node::Directory { durable, now } => Some((inode, which(durable, now))),
            Node::File { .. } => None,
        };
        self.nodes.iter().enumerate().filter_map(names).collect()
    }

    fn opened(&self, fd: i64) -> Result<Inode> {
        self.open.get(&fd).copied().with_context(|| format!("nobody has opened {fd}"))
    }

    fn names(&self, inode: Inode) -> Result<&Names> {
        match &self.nodes[inode] {
            Node::Directory { now, .. } => Ok(now),
            Node::File { .. } => bail!("a file is no directory"),
        }
    }

    fn find(&self, path: &Path) -> Result<Inode> {
        path.strip_prefix(&self.root)?.components().try_fold(0, |inode, name| {
            let name = name.as_os_str().to_string_lossy();
            self.names(inode)?.get(name.as_ref()).copied().with_context(|| format!("{} is not there", path.display()))
        })
    }

    /// The directory and the name in it.
    fn place(&self, path: &Path) -> Result<(Inode, String)> {
        let dir = self.find(path.parent().context("a path below the root")?)?;
        Ok((dir, path.file_name().context("a name")?.to_string_lossy().into_owned()))
    }
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Truncate(len) => to.resize(*len, 0),
            Change::Write { offset, bytes } => {
                let end = offset + bytes.len();
                to.resize(to.len().max(end), 0);
                to[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

impl NameChange {
    fn is_in(&self, inode: Inode) -> bool {
        match self {
            NameChange::Made { dir, .. } | NameChange::Removed { dir, .. } => *dir == inode,
            NameChange::Renamed { from, to, .. } => from.0 == inode || to.0 == inode,
        }
    }

    /// Has `put` change what names stand for.
    fn apply(&self, mut put: impl FnMut(Inode, &str, Option<Inode>)) {
        match self {
            NameChange::Made { dir, name, node } => put(*dir, name, Some(*node)),
            NameChange::Removed { dir, name } => put(*dir, name, None),
            NameChange::Renamed { from, to, node } => {
                put(from.0, &from.1, None);
                put(to.0, &to.1, Some(*node));
            }
        }
    }
}

fn put(names: &mut Names, name: &str, node: Option<Inode>) {
    match node {
        Some(node) => names.insert(name.into(), node),
        None => names.remove(name),
    };
}

impl Fate {
    fn draw(random: &mut Random) -> Self {
        let all = [Fate::Kept, Fate::Dropped, Fate::UpTo, Fate::Mixed, Fate::Zeros];
        all[random.between(0, all.len() as u64 - 1) as usize]
    }
}

/// What is left of one file.
fn survivor(durable: &[u8], since: &[Change], now: &[u8], random: &mut Random) -> Vec<u8> {
    let mut left = durable.to_vec();
    if since.is_empty() {
        return left;
    }
    match Fate::draw(random) {
        Fate::Kept => left = now.to_vec(),
        Fate::Dropped => {}
        Fate::UpTo => {
            let until = random.between(0, since.len() as u64 - 1) as usize;
            since[..until].iter().for_each(|change| change.apply(&mut left));
            let torn: Vec<Change> = in_sectors(&since[until]).collect();
            let kept = random.between(0, torn.len() as u64) as usize;
            torn[..kept].iter().for_each(|change| change.apply(&mut left));
        }
        Fate::Mixed => {
            let sectors = since.iter().flat_map(in_sectors).filter(|_| random.between(0, 1) == 0);
            sectors.for_each(|change| change.apply(&mut left));
        }
        Fate::Zeros => left.resize(now.len(), 0),
    }
    left
}

/// A write sector by sector, as the disk has them; a change of the length is one.
fn in_sectors(change: &Change) -> impl Iterator<Item = Change> {
    let pieces = match change {
        Change::Truncate(_) => vec![change.clone()],
        Change::Write { offset, bytes } => {
            let end = offset + bytes.len();
            let sectors = offset / SECTOR..end.div_ceil(SECTOR);
            let piece = |sector: usize| {
                let (from, to) = ((sector * SECTOR).max(*offset), ((sector + 1) * SECTOR).min(end));
                Change::Write { offset: from, bytes: bytes[from - offset..to - offset].to_vec() }
            };
            sectors.map(piece).collect()
        }
    };
    pieces.into_iter()
}
