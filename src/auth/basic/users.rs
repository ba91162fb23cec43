//! The users, and who of them was known a moment ago.

use std::{
    collections::{BTreeMap, hash_map::RandomState},
    fmt,
    hash::BuildHasher,
    sync::Arc,
};

use arc_swap::ArcSwap;
use argon2::password_hash::phc::PasswordHash;
use aws_lc_rs::{hmac, rand::SystemRandom};
use base64::{Engine, prelude::BASE64_STANDARD};

use super::user::BasicUser;
use crate::{auth::known::Cache, identity::Identity};

/// How many credentials are known to be right at a time.
const CACHED: usize = 1024;

/// A list of users, which can be changed while it is in use. Clones share it. Of two users of one name the later one counts.
///
/// ```
/// use tower_gateway::auth::{BasicLayer, BasicUser, BasicUsers};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let users = BasicUsers::from([BasicUser::new("ada", &BasicUser::hash_password("correct horse")?)?]);
/// let layer = BasicLayer::new(users.clone());
/// // Later, while requests come in:
/// users.retain(|user| user.name() != "ada");
/// # let _ = layer; Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct BasicUsers(Arc<ArcSwap<List>>);

impl BasicUsers {
    /// No users.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user, or puts it in place of the one of the same name. All have to be checked again.
    pub fn add(&self, user: BasicUser) {
        self.0.rcu(|list| {
            let users = list.users.values().chain([&user]);
            List::new(users.cloned())
        });
    }

    /// Removes all users of whom this is not true. All have to be checked again.
    pub fn retain(&self, is_kept: impl Fn(&BasicUser) -> bool) {
        self.0
            .rcu(|list| List::new(list.users.values().filter(|user| is_kept(user)).cloned()));
    }

    /// Puts these users in place of all others, at once.
    pub fn replace(&self, users: impl IntoIterator<Item = BasicUser>) {
        self.0.store(Arc::new(List::new(users)));
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.0.load().users.len()
    }

    /// Whether there are none: nobody is let in.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn now(&self) -> Arc<List> {
        self.0.load_full()
    }
}

/// The users as they are. When they change, there is a new list, and what the old one knew goes with it.
pub(super) struct List {
    users: BTreeMap<Arc<str>, BasicUser>,
    pub(super) known: Cache<Identity>,
    /// Keeps what is in the cache from being tried out: without it a hash of a password is guessed fast. `None` without randomness.
    secret: Option<hmac::Key>,
    names: RandomState,
}

impl List {
    fn new(users: impl IntoIterator<Item = BasicUser>) -> Self {
        let named = users.into_iter().map(|user| (user.name().into(), user));
        Self {
            users: named.collect(),
            known: Cache::of_texts(CACHED),
            secret: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok(),
            names: RandomState::new(),
        }
    }

    /// The user of this name, and the hash to compare with: somebody else's if there is no such user, so that a wrong name costs what a
    /// wrong password does. The same name always costs the same.
    pub(super) fn find(&self, name: &str) -> Option<(Option<BasicUser>, Arc<PasswordHash>)> {
        if let Some(user) = self.users.get(name) {
            return Some((Some(user.clone()), user.hash().clone()));
        }
        let number = usize::try_from(self.names.hash_one(name) >> 1).unwrap_or(0);
        let other = self
            .users
            .values()
            .nth(number.checked_rem(self.users.len())?)?;
        Some((None, other.hash().clone()))
    }

    /// Under what these credentials are in the cache.
    pub(super) fn key(&self, name: &str, password: &str) -> Option<String> {
        let mut context = hmac::Context::with_key(self.secret.as_ref()?);
        // A name has no colon.
        for part in [name, ":", password] {
            context.update(part.as_bytes());
        }
        Some(BASE64_STANDARD.encode(context.sign()))
    }
}

impl Default for List {
    fn default() -> Self {
        Self::new([])
    }
}

impl FromIterator<BasicUser> for BasicUsers {
    fn from_iter<I: IntoIterator<Item = BasicUser>>(users: I) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(List::new(users))))
    }
}

impl<const N: usize> From<[BasicUser; N]> for BasicUsers {
    fn from(users: [BasicUser; N]) -> Self {
        users.into_iter().collect()
    }
}

impl From<Vec<BasicUser>> for BasicUsers {
    fn from(users: Vec<BasicUser>) -> Self {
        users.into_iter().collect()
    }
}

impl fmt::Debug for BasicUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicUsers")
            .field("len", &self.len())
            .finish()
    }
}
