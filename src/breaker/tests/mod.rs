//! The core against a reference, and the layer in paused time.

mod bodies;
mod chaos;
mod circuit;
mod handle;
mod layer;
mod reference;
mod settings;
mod support;
