//! A shared HTTP cache (RFC 9111).

mod condition;
mod filling;
mod invalidation;
mod key;
mod range;
mod rules;
mod tags;
mod validation;
mod vary;
