//! The core, its algorithms against a model of a backend, and the layer in paused time.

mod adaptive;
mod core;
mod faults;
mod service;
mod settings;
mod simulation;
mod support;
