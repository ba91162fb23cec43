//! Signed tokens: compact JWS (RFC 7515), keys (RFC 7517, 7518, 8037) and claims (RFC 7519), as RFC 8725 wants them checked.
//!
//! [`verify`] says whether one of the [keys](KeySet) has signed a token; its payload may be any bytes. What a JWT claims is read
//! by [`Claims`] and judged by a [`ClaimPolicy`]. Everything here is pure: no I/O, no clock (time is an argument), and no
//! randomness but that of signing.
//!
//! * What algorithms a key verifies is fixed when it is loaded, from the key; a token chooses among those at most. `none`
//!   does not exist.
//! * A token that could be read in two ways is refused: repeated members, base64url that is not canonical, white space,
//!   more segments. So are `crit`, `b64`, `jwk`, `jku`, `x5u` and `x5c` in its header: a token does not bring its own key.
//! * Everything is bounded: a token (8 KiB, [`Policy::max_length`]), a set of keys ([`KeySet::MAX_KEYS`]), the depth of
//!   JSON (32), the keys that are tried for a token without `kid` ([`KeySet::MAX_TRIES`]).
//! * Errors say precisely what is wrong. They are for logs: a client should not see them.
//!
//! ```
//! use std::time::{Duration, UNIX_EPOCH};
//! use tower_gateway::auth::jose::{Algorithm, ClaimPolicy, KeySet, Policy, SigningKey, verify};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let issuer = SigningKey::generate(Algorithm::ES256)?.with_kid("2026-01");
//! let token = issuer.sign(r#"{"iss":"https://id.example","aud":"orders","sub":"ada","exp":1767225600}"#)?;
//!
//! let keys = KeySet::new([issuer.key()])?;
//! let verified = verify(&token, &keys, &Policy::default())?;
//! assert_eq!(verified.algorithm(), Algorithm::ES256);
//!
//! let claims = verified.claims()?;
//! assert_eq!(claims.subject(), Some("ada"));
//! let policy = ClaimPolicy::new().issuer("https://id.example").audience(["orders"]);
//! policy.check(&claims, UNIX_EPOCH + Duration::from_secs(1767225599))?;
//! assert!(policy.check(&claims, UNIX_EPOCH + Duration::from_secs(1767225660)).is_err());
//! # Ok(()) }
//! ```

mod algorithm;
mod claim_policy;
mod error;
mod key;
mod key_set;
mod policy;
mod signing;
mod token;

pub use crate::{
    claims::{ClaimError, Claims},
    json::{JsonError, Value},
};
pub use algorithm::Algorithm;
pub use claim_policy::ClaimPolicy;
pub use error::{KeyError, VerifyError};
pub use key::{Key, KeyId};
pub use key_set::KeySet;
pub use policy::Policy;
pub use signing::SigningKey;
pub use token::{Unverified, Verified, verify};
