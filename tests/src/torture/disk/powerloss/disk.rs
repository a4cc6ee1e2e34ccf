//! A disk behind a cache: what is durable, and what is written and may or may not survive a power cut.

use super::trace::Event;
use anyhow::{Context, Result};
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// What a disk writes as a whole.
const SECTOR: usize = 512;

/// What a power cut leaves of that which was written and not made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// All of it is lost.
    All,
    /// Nothing is lost.
    Nothing,
    /// The later part is lost, in the order of writing, and the write on the border is torn.
    Tail,
    /// Each write survives or not, whatever came before it.
    Any,
    /// Each sector of each write survives or not.
    Torn,
    /// Names and lengths survive, contents do not.
    Contents,
}

impl Loss {
    pub(super) const EVERY: [Self; 6] = [Self::All, Self::Nothing, Self::Tail, Self::Any, Self::Torn, Self::Contents];
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Resize(usize),
}

#[derive(Debug, Clone, Default)]
struct Inode {
    /// As programs see it.
    len: usize,
    durable: Vec<u8>,
    pending: Vec<(u64, Change)>,
}

#[derive(Debug, Clone)]
enum Naming {
    Link(String, usize),
    Rename(String, String),
    Unlink(String),
}

/// The files of one folder.
#[derive(Debug, Default)]
pub(super) struct Disk {
    folder: String,
    inodes: Vec<Inode>,
    names: HashMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<(u64, Naming)>,
    syncing: HashMap<usize, (u64, String)>,
    /// Grows with every change.
    clock: u64,
    /// Syncs do nothing: a disk that lies.
    pub(super) lies: bool,
}

impl Disk {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.display().to_string(), ..Self::default() }
    }

    /// How many changes are not durable.
    pub(super) fn pending(&self) -> usize {
        self.inodes.iter().map(|inode| inode.pending.len()).sum::<usize>() + self.pending_names.len()
    }

    /// Takes one event in.
    pub(super) fn on(&mut self, event: &Event) -> Result<()> {
        self.clock += 1;
        match event {
            Event::Create { path, empty } if self.is_mine(path) => {
                let inode = match self.names.get(path) {
                    Some(inode) => *inode,
                    None => self.make(path),
                };
                if *empty {
                    self.change(inode, Change::Resize(0));
                }
            }
            Event::Write { path, at, bytes } if self.is_mine(path) => {
                let inode = *self.names.get(path).with_context(|| format!("a write to {path}, which nobody made"))?;
                let at = at.map_or(self.inodes[inode].len, |at| at as usize);
                self.change(inode, Change::Write { at, bytes: bytes.clone() });
            }
            Event::Resize { path, len } if self.is_mine(path) => {
                let inode = *self.names.get(path).with_context(|| format!("{path} is resized, which nobody made"))?;
                self.change(inode, Change::Resize(*len as usize));
            }
            Event::Rename { from, to } if self.is_mine(from) => {
                let inode = self.names.remove(from).with_context(|| format!("{from} is renamed, which nobody made"))?;
                self.names.insert(to.clone(), inode);
                self.pending_names.push((self.clock, Naming::Rename(from.clone(), to.clone())));
            }
            Event::Unlink { path } if self.is_mine(path) => {
                self.names.remove(path);
                self.pending_names.push((self.clock, Naming::Unlink(path.clone())));
            }
            Event::SyncBegins { call, path } => drop(self.syncing.insert(*call, (self.clock, path.clone()))),
            Event::SyncDone { call } => self.synced(*call),
            _ => {}
        }
        Ok(())
    }

    fn is_mine(&self, path: &str) -> bool {
        // Shared memory is no file to SQLite: the first connection after a start makes it anew.
        path.starts_with(&self.folder) && !path.ends_with("-shm")
    }

    fn make(&mut self, path: &str) -> usize {
        self.inodes.push(Inode::default());
        let inode = self.inodes.len() - 1;
        self.names.insert(path.to_owned(), inode);
        self.pending_names.push((self.clock, Naming::Link(path.to_owned(), inode)));
        inode
    }

    fn change(&mut self, inode: usize, change: Change) {
        let inode = &mut self.inodes[inode];
        inode.len = match &change {
            Change::Write { at, bytes } => inode.len.max(at + bytes.len()),
            Change::Resize(len) => *len,
        };
        inode.pending.push((self.clock, change));
    }

    /// What was written before the sync began is durable now that it is done.
    fn synced(&mut self, call: usize) {
        let Some((since, path)) = self.syncing.remove(&call) else { return };
        if self.lies {
            return;
        }
        if path == self.folder {
            let done = self.pending_names.partition_point(|(at, _)| *at < since);
            for (_, naming) in self.pending_names.drain(..done) {
                name(&mut self.durable_names, naming);
            }
        } else if let Some(inode) = self.names.get(&path) {
            let inode = &mut self.inodes[*inode];
            let done = inode.pending.partition_point(|(at, _)| *at < since);
            for (_, change) in inode.pending.drain(..done) {
                apply(&mut inode.durable, &change);
            }
        }
    }

    /// Writes the files that a power cut at this moment could leave.
    pub(super) fn cut(&self, loss: Loss, rng: &mut StdRng, into: &Path) -> Result<()> {
        let border = match loss {
            Loss::All => 0,
            Loss::Nothing | Loss::Contents => u64::MAX,
            _ => self.border(rng),
        };
        // File systems keep the order of names in their journal.
        let mut names = self.durable_names.clone();
        for (_, naming) in self.pending_names.iter().take_while(|(at, _)| *at <= border) {
            name(&mut names, naming.clone());
        }
        for (path, inode) in names {
            let inode = &self.inodes[inode];
            let mut content = inode.durable.clone();
            for (at, change) in &inode.pending {
                survive(&mut content, *at, change, loss, border, rng);
            }
            let name = path.strip_prefix(&self.folder).unwrap_or(&path).trim_start_matches('/');
            std::fs::write(into.join(name), content).with_context(|| format!("writing {name}"))?;
        }
        Ok(())
    }

    /// A moment between the oldest and the newest change that is not durable.
    fn border(&self, rng: &mut StdRng) -> u64 {
        let changes = self.inodes.iter().flat_map(|inode| inode.pending.iter().map(|(at, _)| *at));
        let moments: Vec<u64> = changes.chain(self.pending_names.iter().map(|(at, _)| *at)).collect();
        match (moments.iter().min(), moments.iter().max()) {
            (Some(first), Some(last)) => rng.random_range(*first..=*last),
            _ => 0,
        }
    }
}

fn name(names: &mut BTreeMap<String, usize>, naming: Naming) {
    match naming {
        Naming::Link(path, inode) => drop(names.insert(path, inode)),
        Naming::Unlink(path) => drop(names.remove(&path)),
        Naming::Rename(from, to) => {
            if let Some(inode) = names.remove(&from) {
                names.insert(to, inode);
            }
        }
    }
}

fn survive(content: &mut Vec<u8>, at: u64, change: &Change, loss: Loss, border: u64, rng: &mut StdRng) {
    match (loss, change) {
        (Loss::All, _) => {}
        (Loss::Nothing, _) => apply(content, change),
        (Loss::Contents, Change::Write { at, bytes }) => content.resize(content.len().max(at + bytes.len()), 0),
        (Loss::Contents, Change::Resize(_)) => apply(content, change),
        (Loss::Tail, _) if at < border => apply(content, change),
        (Loss::Tail, Change::Write { at: place, bytes }) if at == border => {
            let kept = rng.random_range(0..=bytes.len() / SECTOR) * SECTOR;
            apply(content, &Change::Write { at: *place, bytes: bytes[..kept].to_vec() });
        }
        (Loss::Tail, _) => {}
        (Loss::Torn, Change::Write { at, bytes }) => {
            for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                if rng.random() {
                    apply(content, &Change::Write { at: at + number * SECTOR, bytes: sector.to_vec() });
                }
            }
        }
        (Loss::Any | Loss::Torn, _) => {
            if rng.random() {
                apply(content, change);
            }
        }
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Resize(len) => content.resize(*len, 0),
        Change::Write { at, bytes } => {
            let end = at + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*at..end].copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn left(disk: &Disk, loss: Loss) -> Vec<(String, Vec<u8>)> {
        let folder = tempfile::tempdir().unwrap();
        disk.cut(loss, &mut StdRng::seed_from_u64(1), folder.path()).unwrap();
        let mut files: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
            .collect();
        files.sort();
        files
    }

    fn write(bytes: &[u8]) -> Event {
        Event::Write { path: "/d/a".into(), at: Some(0), bytes: bytes.to_vec() }
    }

    #[test]
    fn what_was_synced_survives_and_nothing_else_has_to() {
        let mut disk = Disk::new(Path::new("/d"));
        let sync = |call, path: &str| [Event::SyncBegins { call, path: path.into() }, Event::SyncDone { call }];
        let mut on = |events: &[Event]| events.iter().for_each(|event| disk.on(event).unwrap());
        on(&[Event::Create { path: "/d/a".into(), empty: false }, write(b"one")]);
        on(&sync(1, "/d/a"));
        assert_eq!(left(&disk, Loss::All), [], "a file without a durable name is gone");
        let mut on = |events: &[Event]| events.iter().for_each(|event| disk.on(event).unwrap());
        on(&sync(2, "/d"));
        // Written after the sync began: not covered by it.
        on(&[Event::SyncBegins { call: 3, path: "/d/a".into() }, write(b"two"), Event::SyncDone { call: 3 }]);
        assert_eq!(left(&disk, Loss::All), [("a".into(), b"one".to_vec())]);
        assert_eq!(left(&disk, Loss::Nothing), [("a".into(), b"two".to_vec())]);
        assert_eq!(disk.pending(), 1);
    }
}
