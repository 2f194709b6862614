//! The Merkle log on disk: three files in one folder.
//!
//! * `hashes`: every node of the tree that is complete, 32 bytes each, in the order in which they become known;
//! * `positions`: the position of each leaf's event, 8 bytes little-endian each;
//! * `head`: how many leaves are known to be on disk, the last one's position and digest, and the root.
//!
//! **Crash order.** An append writes hashes and positions past the head. A flush syncs these two, *then* writes the head and
//! syncs it. Opening believes only the head: it checks that the files reach it and that the nodes at the tree's right edge
//! give its root, and cuts off what lies beyond (without a head that is everything); the follower feeds that again from
//! [`MerkleLog::cursor`]. A node that was damaged elsewhere is noticed when it is used: each root and proof is checked
//! against the log's root before it is given out.
//!
//! **A copy** of the folder beside the writer is whole when `head` is copied first: the other two only grow.

use std::{
    fs::{File, OpenOptions},
    io::ErrorKind,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use witan_verify::{
    Hash,
    tree::{EMPTY_ROOT, leaf_hash, node_hash, verify_consistency, verify_inclusion},
};

use crate::{
    LedgerError,
    files::{failed, make_folder, remove, sync_folder},
    head::{self, Found, Head},
    proof,
};

const HASH_BYTES: u64 = 32;
const POSITION_BYTES: u64 = 8;
/// How much an append gathers in memory before it writes.
const CHUNK_LEAVES_MAX: u64 = 32 * 1024;

const FILES: [&str; 3] = ["hashes", "positions", "head"];
const EMPTY: Head = Head { size: 0, position: 0, digest: [0; 32], root: EMPTY_ROOT };

/// The log's one writer.
pub struct MerkleLog {
    reader: LogReader,
    /// The roots of the complete subtrees at the right edge, largest first.
    edge: Vec<Hash>,
    head_file: File,
    /// What the head file says, and where it says it.
    flushed: Head,
    slot: usize,
    stopped: bool,
}

/// Makes proofs beside the writer; cheap to clone.
#[derive(Clone)]
pub struct LogReader(Arc<Shared>);

struct Shared {
    folder: PathBuf,
    hashes: File,
    positions: File,
    /// The newest whole batch; what the files hold beyond it is not read.
    tip: RwLock<Head>,
}

/// The place of one event in the log, and the proof of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    pub leaf_index: u64,
    pub tree_size: u64,
    /// From the leaf up (RFC 9162, section 2.1.3).
    pub hashes: Vec<Hash>,
}

impl MerkleLog {
    /// Opens the log in this folder, or begins an empty one. Reads a logarithmic number of hashes, whatever its size.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] when the files don't hold what the head says.
    pub fn open(folder: &Path) -> Result<Self, LedgerError> {
        let new = !folder.join(FILES[2]).exists();
        if new {
            make_folder(folder)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let opened = open_files(folder, &options)?;
        if new {
            sync_folder(folder)?;
        }
        let Opened { reader, edge, head_file, head, slot } = opened;
        let cut = |file: &File, name, bytes| file.set_len(bytes).map_err(failed("cut", &folder.join(name)));
        cut(&reader.0.hashes, FILES[0], proof::stored_nodes(head.size) * HASH_BYTES)?;
        cut(&reader.0.positions, FILES[1], head.size * POSITION_BYTES)?;
        Ok(Self { reader, edge, head_file, flushed: head, slot, stopped: false })
    }

    /// Throws away the log in this folder and begins an empty one, for a follower to fill from the first event on. Key,
    /// origin and newest checkpoint stay: the rebuilt log must agree with them. Readers of the old log don't see the new one.
    pub fn open_empty(folder: &Path) -> Result<Self, LedgerError> {
        // The head goes first: without it the rest means nothing.
        for name in FILES.iter().rev() {
            remove(&folder.join(name))?;
        }
        Self::open(folder)
    }

    /// A handle for readers, which sees each batch as soon as it is appended.
    pub fn reader(&self) -> LogReader {
        self.reader.clone()
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.reader.size()
    }

    /// Position and digest of the last event: feed what comes after it, if the event store still has this event there.
    pub fn cursor(&self) -> Option<(u64, Hash)> {
        let tip = self.reader.tip();
        (tip.size > 0).then_some((tip.position, tip.digest))
    }

    /// Appends events by (position, digest), all of them or none; gives the new size. Durable after [`Self::flush`]; until
    /// then a crash takes the log back to the last flush. After an error the same batch can be tried again.
    ///
    /// # Errors
    /// [`LedgerError::NotIncreasing`] for positions out of order, [`LedgerError::Io`] for a write that failed (a full disk).
    pub fn append(&mut self, leaves: impl IntoIterator<Item = (u64, Hash)>) -> Result<u64, LedgerError> {
        if self.stopped {
            return Err(LedgerError::Stopped);
        }
        let mut tip = self.reader.tip();
        let mut edge = self.edge.clone();
        let mut chunk = Chunk::after(tip.size);
        for (position, digest) in leaves {
            if tip.size > 0 && position <= tip.position {
                return Err(LedgerError::NotIncreasing { last: tip.position, position });
            }
            chunk.push(position, &digest, tip.size, &mut edge);
            tip = Head { size: tip.size + 1, position, digest, root: tip.root };
            if tip.size - chunk.first == CHUNK_LEAVES_MAX {
                self.write(&chunk)?;
                chunk.restart(tip.size);
            }
        }
        self.write(&chunk)?;
        tip.root = proof::fold(&edge);
        self.edge = edge;
        *self.reader.0.tip.write().unwrap_or_else(PoisonError::into_inner) = tip;
        Ok(tip.size)
    }

    /// Makes all that was appended durable.
    ///
    /// # Errors
    /// After a sync that failed the log is [`LedgerError::Stopped`] until it is opened again: what a second sync says of
    /// the first one's pages can't be trusted.
    pub fn flush(&mut self) -> Result<(), LedgerError> {
        if self.stopped {
            return Err(LedgerError::Stopped);
        }
        let tip = self.reader.tip();
        if tip == self.flushed {
            return Ok(());
        }
        let slot = 1 - self.slot % 2;
        self.sync(0)?;
        self.sync(1)?;
        let path = self.reader.0.folder.join(FILES[2]);
        head::write(&self.head_file, slot, tip).map_err(failed("write", &path))?;
        self.sync(2)?;
        (self.slot, self.flushed) = (slot, tip);
        Ok(())
    }

    /// Syncs one of [`FILES`].
    fn sync(&mut self, which: usize) -> Result<(), LedgerError> {
        let Shared { folder, hashes, positions, .. } = &*self.reader.0;
        let synced = [hashes, positions, &self.head_file][which].sync_data();
        let synced = synced.map_err(failed("sync", &folder.join(FILES[which])));
        self.stopped |= synced.is_err();
        synced
    }

    fn write(&self, chunk: &Chunk) -> Result<(), LedgerError> {
        let Shared { folder, hashes, positions, .. } = &*self.reader.0;
        hashes
            .write_all_at(&chunk.hashes, proof::stored_nodes(chunk.first) * HASH_BYTES)
            .map_err(failed("write", &folder.join(FILES[0])))?;
        positions
            .write_all_at(&chunk.positions, chunk.first * POSITION_BYTES)
            .map_err(failed("write", &folder.join(FILES[1])))
    }
}

/// Leaves on their way to the files.
struct Chunk {
    first: u64,
    hashes: Vec<u8>,
    positions: Vec<u8>,
}

impl Chunk {
    fn after(first: u64) -> Self {
        Self { first, hashes: Vec::new(), positions: Vec::new() }
    }

    fn restart(&mut self, first: u64) {
        self.first = first;
        self.hashes.clear();
        self.positions.clear();
    }

    /// Adds leaf `index`, and each node that it completes.
    fn push(&mut self, position: u64, digest: &Hash, index: u64, edge: &mut Vec<Hash>) {
        self.positions.extend_from_slice(&position.to_le_bytes());
        let mut node = leaf_hash(digest);
        self.hashes.extend_from_slice(&node);
        let mut siblings = index;
        while siblings & 1 == 1
            && let Some(left) = edge.pop()
        {
            node = node_hash(&left, &node);
            self.hashes.extend_from_slice(&node);
            siblings >>= 1;
        }
        edge.push(node);
    }
}

impl LogReader {
    /// Opens the log for reading only, also beside a running server; it does not see what is appended from then on.
    pub fn open(folder: &Path) -> Result<Self, LedgerError> {
        Ok(open_files(folder, OpenOptions::new().read(true))?.reader)
    }

    pub fn size(&self) -> u64 {
        self.tip().size
    }

    /// The root of the tree of the first `size` leaves.
    pub fn root(&self, size: u64) -> Result<Hash, LedgerError> {
        self.root_under(&self.tip(), size)
    }

    /// The proof that leaf `index` is in the tree of `size` leaves.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, LedgerError> {
        if index >= size {
            return Err(LedgerError::NoSuchLeaf { index, size });
        }
        let root = self.root(size)?;
        let proof = proof::inclusion(index, size, self.nodes())?;
        verify_inclusion(&self.node(0, index)?, index, size, &proof, &root)
            .map_err(|_| self.damaged("a node of an inclusion proof"))?;
        Ok(proof)
    }

    /// The proof that the tree of `size` leaves holds the event with this position and digest.
    ///
    /// # Errors
    /// [`LedgerError::NotYet`] when the log has not come there, [`LedgerError::Damaged`] when it holds something else.
    pub fn inclusion_of(&self, position: u64, digest: &Hash, size: u64) -> Result<Inclusion, LedgerError> {
        let tip = self.tip();
        if tip.size == 0 || position > tip.position {
            return Err(LedgerError::NotYet { position });
        }
        let found = self.leaf_of_position(position)?.ok_or_else(|| self.damaged("a position is missing"))?;
        if self.node(0, found)? != leaf_hash(digest) {
            return Err(self.damaged("a leaf is of another event"));
        }
        Ok(Inclusion { leaf_index: found, tree_size: size, hashes: self.inclusion(found, size)? })
    }

    /// The proof that the tree of `new` leaves begins with that of `old` leaves.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, LedgerError> {
        if old > new {
            return Err(LedgerError::Shrinks { old, new });
        }
        let tip = self.tip();
        let (old_root, new_root) = (self.root_under(&tip, old)?, self.root_under(&tip, new)?);
        let proof = proof::consistency(old, new, self.nodes())?;
        verify_consistency(old, new, &proof, &old_root, &new_root)
            .map_err(|_| self.damaged("a node of a consistency proof"))?;
        Ok(proof)
    }

    /// Which leaf is the event at this position, if the log has it.
    pub fn leaf_of_position(&self, position: u64) -> Result<Option<u64>, LedgerError> {
        let size = self.size();
        if size == 0 {
            return Ok(None);
        }
        // Positions increase by at least one a leaf, so none stands further back than without gaps; in a dense log the
        // first look finds it.
        let Some(distance) = position.checked_sub(self.position_of_leaf(0)?) else { return Ok(None) };
        let (mut low, mut high) = (0, distance.saturating_add(1).min(size));
        let mut probe = high - 1;
        while low < high {
            match self.position_of_leaf(probe)?.cmp(&position) {
                std::cmp::Ordering::Equal => return Ok(Some(probe)),
                std::cmp::Ordering::Less => low = probe + 1,
                std::cmp::Ordering::Greater => high = probe,
            }
            probe = low + (high.saturating_sub(low)) / 2;
        }
        Ok(None)
    }

    /// The position of a leaf's event.
    pub fn position_of_leaf(&self, index: u64) -> Result<u64, LedgerError> {
        let size = self.size();
        if index >= size {
            return Err(LedgerError::NoSuchLeaf { index, size });
        }
        let bytes = self.read(&self.0.positions, FILES[1], index * POSITION_BYTES)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn tip(&self) -> Head {
        *self.0.tip.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The root of an earlier tree, checked to be one that `tip` grew from.
    fn root_under(&self, tip: &Head, size: u64) -> Result<Hash, LedgerError> {
        if size > tip.size {
            return Err(LedgerError::NoSuchSize { asked: size, size: tip.size });
        }
        if size == tip.size {
            return Ok(tip.root);
        }
        let root = proof::fold(&proof::edge(size, self.nodes())?);
        let proof = proof::consistency(size, tip.size, self.nodes())?;
        verify_consistency(size, tip.size, &proof, &root, &tip.root)
            .map_err(|_| self.damaged("a node of an earlier root"))?;
        Ok(root)
    }

    fn nodes(&self) -> impl Fn(u32, u64) -> Result<Hash, LedgerError> + '_ {
        |level, index| self.node(level, index)
    }

    fn node(&self, level: u32, index: u64) -> Result<Hash, LedgerError> {
        self.read(&self.0.hashes, FILES[0], proof::node_place(level, index) * HASH_BYTES)
    }

    /// Reads what must be there.
    fn read<const N: usize>(&self, file: &File, name: &str, offset: u64) -> Result<[u8; N], LedgerError> {
        let mut bytes = [0; N];
        file.read_exact_at(&mut bytes, offset).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => self.damaged("a file is too short"),
            _ => failed("read", &self.0.folder.join(name))(error),
        })?;
        Ok(bytes)
    }

    fn damaged(&self, what: &'static str) -> LedgerError {
        LedgerError::Damaged { path: self.0.folder.clone(), what }
    }
}

struct Opened {
    reader: LogReader,
    edge: Vec<Hash>,
    head_file: File,
    head: Head,
    slot: usize,
}

/// Opens the files and checks that they hold what the head says; changes nothing.
fn open_files(folder: &Path, options: &OpenOptions) -> Result<Opened, LedgerError> {
    let open = |name| {
        let path = folder.join(name);
        options.open(&path).map_err(failed("open", &path))
    };
    let (hashes, positions, head_file) = (open(FILES[0])?, open(FILES[1])?, open(FILES[2])?);
    let damaged = |what| LedgerError::Damaged { path: folder.to_owned(), what };
    let (head, slot) = match head::read(&head_file).map_err(failed("read", &folder.join(FILES[2])))? {
        Found::Nothing => (EMPTY, 0),
        Found::Newest { head, slot } => (head, slot),
        Found::Damaged => return Err(damaged("its head")),
    };
    let shared = Shared { folder: folder.to_owned(), hashes, positions, tip: RwLock::new(head) };
    let reader = LogReader(Arc::new(shared));
    let edge = proof::edge(head.size, reader.nodes())?;
    if proof::fold(&edge) != head.root {
        return Err(damaged("its nodes don't give its root"));
    }
    if let Some(last) = head.size.checked_sub(1)
        && (reader.position_of_leaf(last)? != head.position || reader.node(0, last)? != leaf_hash(&head.digest))
    {
        return Err(damaged("its last leaf is of another event"));
    }
    Ok(Opened { reader, edge, head_file, head, slot })
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
