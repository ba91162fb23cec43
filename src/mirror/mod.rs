//! Mirroring: copies of requests for another backend, whose answers nobody sees.
//!
//! A [`MirrorLayer`] goes around a service and has another one for the copies. It is how a new version of a backend gets real
//! requests before it gets clients. The caller never feels it: a copy is sent beside the request, it waits for nothing, and if
//! there are too many of them it is left out.
//!
//! ```
//! use std::time::Duration;
//! use tower::ServiceBuilder;
//! use tower_gateway::{Upstream, mirror::MirrorLayer};
//!
//! let shadow = Upstream::http(["http://10.0.0.9:8080"]);
//! let mirror = MirrorLayer::new(shadow).share(0.1).timeout(Duration::from_secs(1));
//! let handle = mirror.handle();
//! let orders = ServiceBuilder::new()
//!     .layer(mirror)
//!     .service(Upstream::http(["http://10.0.0.1:8080"]));
//! assert_eq!(handle.counts().sent, 0);
//! # let _ = orders;
//! ```

mod copy;
mod layer;
mod service;
#[cfg(test)]
mod tests;

pub use layer::{MirrorCounts, MirrorHandle, MirrorLayer};
pub use service::Mirror;
