//! The core, its algorithms against a model of a backend, and the layer in paused time.

mod core;
mod settings;
mod simulation;
