//! What is tried at the door. The whole list, with all its tests, is `docs/security.md`.

mod requests;
mod tokens;
