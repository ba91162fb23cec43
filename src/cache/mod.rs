//! A shared HTTP cache (RFC 9111).

mod condition;
mod filling;
mod flights;
mod invalidation;
mod key;
mod purge;
mod range;
mod rules;
mod store;
mod stored;
mod tags;
mod validation;
mod vary;
