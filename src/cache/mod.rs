//! A shared HTTP cache (RFC 9111).

mod condition;
mod filling;
mod flights;
mod invalidation;
mod key;
mod range;
mod rules;
mod stored;
mod tags;
mod validation;
mod vary;
