//! The layer as a whole, in paused time.

mod bodies;
mod faults;
mod hedging;
mod limits;
mod outcomes;
mod support;
