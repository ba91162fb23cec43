//! Where the keys come from that tokens are verified with.
//!
//! | for | see |
//! |---|---|
//! | keys that an issuer publishes | [`Jwks`] |
//! | keys from files, environment variables or text | [`FixedKeys`] |
//! | a set that is made elsewhere | [`KeySet`](super::jose::KeySet) |
//! | anything else | [`KeySource`] |
//!
//! ```no_run
//! use tower_gateway::auth::{jose::{Policy, VerifyError, verify}, keys::{Jwks, KeySource}};
//!
//! # async fn check(token: &str) -> Result<(), tower_gateway::BoxError> {
//! let source = Jwks::discover("https://id.example.com");
//! let mut keys = source.refresh(None).await?;
//! let policy = Policy::new();
//! let mut verified = verify(token, &keys, &policy);
//! if let Err(VerifyError::UnknownKey { kid }) = &verified {
//!     // Perhaps there is a new one.
//!     keys = source.refresh(kid.as_deref()).await?;
//!     verified = verify(token, &keys, &policy);
//! }
//! println!("{}", String::from_utf8_lossy(verified?.payload()));
//! # Ok(()) }
//! ```

mod discovery;
mod fixed;
mod freshness;
mod jwks;
mod live;
mod load;
mod schedule;
mod source;

pub use fixed::FixedKeys;
pub use jwks::{Jwks, JwksStatus};
pub use source::KeySource;

#[cfg(test)]
mod tests;
