//! An embeddable API gateway made of tower layers.

mod body;
mod client;
mod clock;
mod context;
mod error;
mod path;
mod problem;
mod random;

pub mod observe;

pub use body::Body;
pub use context::{Params, RequestContext};
pub use error::{BoxError, Error, ErrorKind, Origin, Rejection};
pub use observe::ObserveLayer;
pub use problem::Problem;
