//! What is on the disks of the tiny provider. Each start of a server writes a token to its disk. A snapshot has the tokens
//! of the disk that it was taken of, and a server that is made from the snapshot has them too.

use std::collections::{BTreeMap, BTreeSet};

use control_plane::Uid;
use hcloud_client::types::{Id, Labels, Server};
use hetzner_adapter::objects::ObjectId;

/// What a start wrote.
#[derive(Clone, Debug)]
struct Token {
    /// The block storage whose disk it was written to.
    of: Uid,
    /// Whether the product could know: it started the server itself, or saw it on.
    known: bool,
    /// Whether others took it away.
    excused: bool,
}

/// What is on all disks.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    tokens: Vec<Token>,
    on: BTreeMap<ObjectId, BTreeSet<usize>>,
    /// The block storage whose disk a server or a snapshot is.
    disk_of: BTreeMap<ObjectId, Uid>,
}

impl Contents {
    /// A server is, or will be, the disk of a block storage.
    pub fn is_disk(&mut self, server: Id<Server>, of: Uid) {
        self.disk_of.entry(ObjectId::Server(server)).or_insert(of);
    }

    /// A snapshot that is a block storage's own is its disk too; one of an image is not.
    pub fn keep(&mut self, image: ObjectId, labels: &Labels) {
        let is_parked = labels.get("seca.role").is_some_and(|role| role == "parked");
        if let Some(of) = hetzner_adapter::naming::uid_of(labels).filter(|_| is_parked) {
            self.disk_of.insert(image, of);
        }
    }

    /// A server starts.
    pub fn write(&mut self, server: Id<Server>) {
        let server = ObjectId::Server(server);
        let Some(of) = self.disk_of.get(&server) else { return };
        self.tokens.push(Token { of: *of, known: false, excused: false });
        self.on.entry(server).or_default().insert(self.tokens.len() - 1);
    }

    pub fn copy(&mut self, from: ObjectId, to: ObjectId) {
        let tokens = self.on.get(&from).cloned().unwrap_or_default();
        self.on.entry(to).or_default().extend(tokens);
    }

    /// A disk is no more.
    pub fn end(&mut self, object: ObjectId) {
        self.on.remove(&object);
        self.disk_of.remove(&object);
    }

    /// The product sees a server on, or started it.
    pub fn know(&mut self, server: Id<Server>) {
        for token in self.on.get(&ObjectId::Server(server)).into_iter().flatten() {
            self.tokens[*token].known = true;
        }
    }

    pub fn whose(&self, object: ObjectId) -> Option<Uid> {
        self.disk_of.get(&object).copied()
    }

    /// What the product knows of.
    pub fn known(&self) -> BTreeSet<usize> {
        (0..self.tokens.len()).filter(|token| self.tokens[*token].known).collect()
    }

    /// Others took something away: what no disk of its block storage has is nobody's loss. That was the newest disk, so that
    /// an older copy need not be kept either.
    pub fn excuse(&mut self, is_its: impl Fn(Uid, ObjectId) -> bool) {
        for token in 0..self.tokens.len() {
            let of = self.tokens[token].of;
            if !self.tokens[token].excused && !self.is_anywhere(token, |object| is_its(of, object)) {
                self.tokens.iter_mut().filter(|older| older.of == of).for_each(|older| older.excused = true);
            }
        }
    }

    /// Somebody deletes a disk. While that is not seen, a copy of it may be removed for its sake.
    pub fn lose(&mut self, object: ObjectId, seen: bool) {
        let of = self.whose(object).filter(|_| !seen);
        self.tokens.iter_mut().filter(|token| Some(token.of) == of).for_each(|token| token.excused = true);
    }

    /// A call took effect late: nobody could keep what was not known when it was sent.
    pub fn excuse_but(&mut self, known: &BTreeSet<usize>) {
        for token in 0..self.tokens.len() {
            if !known.contains(&token) && !self.is_anywhere(token, |_| true) {
                self.tokens[token].excused = true;
            }
        }
    }

    fn is_anywhere(&self, token: usize, counts: impl Fn(ObjectId) -> bool) -> bool {
        let of = self.tokens[token].of;
        self.on.iter().any(|(object, has)| self.whose(*object) == Some(of) && has.contains(&token) && counts(*object))
    }

    /// What a block storage should have, and none of the objects has that count.
    pub fn lost(&self, of: Uid, counts: impl Fn(ObjectId) -> bool) -> Vec<usize> {
        let wanted = |token: &usize| {
            let found = &self.tokens[*token];
            found.of == of && found.known && !found.excused
        };
        (0..self.tokens.len()).filter(wanted).filter(|token| !self.is_anywhere(*token, &counts)).collect()
    }
}
