//! One user: a name, what of the password is kept, and what is known of them.

use std::{fmt, sync::Arc};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version,
    password_hash::phc::PasswordHash,
};
use aws_lc_rs::rand;

use crate::{
    claims::Claims,
    error::{Error, ErrorKind},
    identity::Identity,
};

/// What one check may cost at most: memory in KiB, passes, and both together.
const MAX_MEMORY: u32 = 256 * 1024;
const MAX_PASSES: u32 = 64;
const MAX_LANES: u32 = 16;
const MAX_WORK: u64 = 1024 * 1024;

/// A user with a password, of which only the argon2id hash (RFC 9106) is kept.
///
/// ```
/// use tower_gateway::auth::BasicUser;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IGhlcmU$N2NqRkJ1dFRaM3VpRjJhRzBkS0lQd2pZbVFxWQ";
/// let ada = BasicUser::new("ada", hash)?.with_scope("orders:read");
/// # let _ = ada; Ok(()) }
/// ```
#[derive(Clone)]
pub struct BasicUser {
    name: Arc<str>,
    hash: Arc<PasswordHash>,
    claims: Claims,
}

/// A name that no user can have, or a hash that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BasicUserError(&'static str);

impl BasicUser {
    /// A user of this name, with a password that has this hash, in the PHC format: `$argon2id$v=19$m=19456,t=2,p=1$…$…`.
    ///
    /// # Errors
    /// The name is empty or has a colon or control characters, which RFC 7617 does not allow. Or the hash is no argon2id (v=19), or
    /// costs more than 256 MiB (`m`), 64 passes (`t`), 16 lanes (`p`) or 1 GiB of writes (`m` · `t`).
    pub fn new(name: impl Into<Arc<str>>, hash: &str) -> Result<Self, BasicUserError> {
        let name = name.into();
        if name.is_empty() || name.contains(|c: char| c == ':' || c.is_control()) {
            return Err(BasicUserError(
                "the name is empty, or has a colon or control characters",
            ));
        }
        Ok(Self {
            claims: Claims::new().with("sub", &*name),
            hash: Arc::new(checked(hash).map_err(BasicUserError)?),
            name,
        })
    }

    /// The argon2id hash of a password, with 19 MiB and two passes and a new salt: what is kept in its place. It takes about
    /// 20 ms, so it is nothing for an asynchronous task.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub fn hash_password(password: &str) -> Result<String, Error> {
        let mut salt = [0; 16];
        let failed = |what| Error::new(ErrorKind::Internal).with_source(what);
        rand::fill(&mut salt).map_err(|_| failed("there is no randomness"))?;
        let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
        let hash = hash.map_err(|_| failed("the password can not be hashed"))?;
        Ok(hash.to_string())
    }

    /// What they may do: the claim `scope`, names with blanks between them. Default: none.
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        self.claims = self.claims.with("scope", scope.into());
        self
    }

    /// What is known of them, in place of what was said before; the subject stays.
    pub fn with_claims(mut self, claims: Claims) -> Self {
        self.claims = claims.with("sub", &*self.name);
        self
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn hash(&self) -> &Arc<PasswordHash> {
        &self.hash
    }

    pub(super) fn identity(&self) -> Identity {
        Identity::new("basic", self.claims.clone())
    }
}

/// Whether this is the password. It costs what the hash says.
pub(super) fn is_password(hash: &PasswordHash, password: &[u8]) -> bool {
    Argon2::default().verify_password(password, hash).is_ok()
}

fn checked(text: &str) -> Result<PasswordHash, &'static str> {
    let hash = PasswordHash::new(text).map_err(|_| "the hash is not in the PHC format")?;
    if hash.algorithm.as_str() != Algorithm::Argon2id.as_str() {
        return Err("the hash is no argon2id");
    }
    if hash.version != Some(Version::V0x13.into()) {
        return Err("the hash is of another version of argon2 than v=19");
    }
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err("the hash has no salt, or is none");
    }
    let params = Params::try_from(&hash).map_err(|_| "the parameters of the hash are wrong")?;
    let (memory, passes) = (params.m_cost(), params.t_cost());
    if memory > MAX_MEMORY
        || passes > MAX_PASSES
        || params.p_cost() > MAX_LANES
        || u64::from(memory) * u64::from(passes) > MAX_WORK
    {
        return Err(
            "the hash costs too much: at most 256 MiB, 64 passes, 16 lanes, and 1 GiB of writes",
        );
    }
    Ok(hash)
}

impl fmt::Debug for BasicUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicUser")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
