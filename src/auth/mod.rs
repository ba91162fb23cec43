//! Authentication: who sends a request, and what they may do.
//!
//! [`jose`] verifies signed tokens, and is pure: usable without a gateway.

pub mod jose;
