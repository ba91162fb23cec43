//! What is said to the log, with the feature `tracing`.

use super::refusal::Refusal;
use crate::error::BoxError;

/// The limiter begins to fail, or is back.
pub(super) fn failing(error: Option<&BoxError>) {
    #[cfg(feature = "tracing")]
    match error {
        Some(error) => {
            tracing::warn!(target: "tower_gateway::throttle", %error, "the limiter fails");
        }
        None => tracing::info!(target: "tower_gateway::throttle", "the limiter is back"),
    }
    #[cfg(not(feature = "tracing"))]
    let _ = error;
}

/// In a dry run.
pub(super) fn would_refuse(refusal: &Refusal) {
    #[cfg(feature = "tracing")]
    {
        let error = refusal.error();
        let reason = std::error::Error::source(error).map(ToString::to_string);
        let (status, reason) = (error.status().as_u16(), reason.unwrap_or_default());
        tracing::info!(target: "tower_gateway::throttle", status, reason, "a dry run would have refused a request");
    }
    #[cfg(not(feature = "tracing"))]
    let _ = refusal;
}
