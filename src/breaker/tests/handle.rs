//! The circuit from the outside.

use std::time::Duration;

use futures_util::FutureExt;
use tower::Layer;

use super::support::{Backend, ask, small};
use crate::breaker::CircuitState;

#[tokio::test(start_paused = true)]
async fn it_can_be_forced() {
    let layer = small();
    let handle = layer.handle();
    let service = layer.layer(Backend::default());
    handle.force_open();
    assert_eq!(handle.state(), CircuitState::ForcedOpen);
    tokio::time::advance(Duration::from_secs(3_600)).await;
    let refused = ask(&service, 200).await;
    assert_eq!(refused.status(), 503);
    assert!(
        !refused.headers().contains_key("retry-after"),
        "nobody knows"
    );
    handle.force_close();
    for _ in 0..100 {
        assert_eq!(ask(&service, 500).await.status(), 500);
    }
    assert_eq!(handle.state(), CircuitState::ForcedClosed);
    assert_eq!(handle.figures().calls, 0);
    handle.reset();
    assert_eq!(ask(&service, 500).await.status(), 500);
    assert_eq!(
        (handle.state(), handle.figures().calls),
        (CircuitState::Closed, 1)
    );
    assert_eq!(handle.figures().opened, 0, "not by itself");
}

#[tokio::test(start_paused = true)]
async fn changes_are_seen() {
    let layer = small();
    let service = layer.layer(Backend::default());
    let mut handle = layer.handle();
    assert_eq!(handle.changed().now_or_never(), None, "nothing yet");
    let watching = tokio::spawn({
        let mut handle = handle.clone();
        async move {
            let mut seen = Vec::new();
            while let Some(state) = handle.changed().await {
                seen.push(state);
            }
            seen
        }
    });
    for status in [500; 10] {
        ask(&service, status).await;
    }
    tokio::task::yield_now().await;
    assert_eq!(
        handle.changed().now_or_never(),
        Some(Some(CircuitState::Open))
    );
    tokio::time::advance(Duration::from_secs(1)).await;
    for _ in 0..2 {
        ask(&service, 200).await;
        tokio::task::yield_now().await;
    }
    handle.force_open();
    tokio::task::yield_now().await;
    assert_eq!(
        handle.changed().now_or_never(),
        Some(Some(CircuitState::ForcedOpen)),
        "the last"
    );
    drop((layer, service));
    assert_eq!(handle.changed().now_or_never(), Some(None));
    assert_eq!(handle.state(), CircuitState::ForcedOpen);
    handle.reset();
    assert_eq!(
        watching.await.unwrap(),
        [
            CircuitState::Open,
            CircuitState::HalfOpen,
            CircuitState::Closed,
            CircuitState::ForcedOpen
        ]
    );
}
