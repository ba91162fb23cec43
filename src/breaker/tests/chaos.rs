//! Ten thousand calls to which anything may happen, and nothing is left of them.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use tower::{Layer, ServiceExt};

use super::support::{Backend, ask, request, small};
use crate::{
    breaker::{CircuitBreakerLayer, CircuitState},
    random::next_u64,
};

async fn chaos(layer: CircuitBreakerLayer) {
    let backend = Backend::default();
    let layer = layer
        .open_duration(Duration::from_millis(20))
        .half_open_wait(Duration::from_millis(500));
    let service = layer.layer(backend.clone());
    let handle = layer.handle();
    let mut calls = Vec::new();
    for at in 0..10_000 {
        let status = match next_u64() % 20 {
            0 => 999,
            1..5 => 500,
            5..7 => 404,
            _ => 200,
        };
        let call = service.clone().oneshot(request(status, next_u64() % 30));
        calls.push(tokio::spawn(call));
        if next_u64().is_multiple_of(4) {
            let which = next_u64() as usize % calls.len();
            calls.swap_remove(which).abort();
        }
        match next_u64() % 500 {
            0 => handle.force_open(),
            1 => handle.force_close(),
            2..12 => handle.reset(),
            _ => {}
        }
        if at % 3 == 0 {
            tokio::time::sleep(Duration::from_millis(next_u64() % 5)).await;
        }
        let probes = handle.figures().half_open_calls;
        assert!(probes <= 2, "{probes} half-open calls");
    }
    for call in calls {
        // Some of them have panicked.
        let _ = call.await;
    }
    assert!(handle.figures().opened > 10);
    assert_eq!(handle.figures().half_open_calls, 0);
    assert_eq!(backend.running.load(SeqCst), 0);
    // Whatever state that has left it in, good calls close it.
    if handle.state() == CircuitState::ForcedOpen {
        handle.reset();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..20 {
        ask(&service, 200).await;
    }
    let state = handle.state();
    assert!(
        matches!(state, CircuitState::Closed | CircuitState::ForcedClosed),
        "{state}"
    );
    drop((service, layer));
    assert_eq!(handle.figures(), Default::default(), "nothing keeps it");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_faults_leave_nothing_behind() {
    chaos(small()).await;
    chaos(
        small()
            .time_window(Duration::from_millis(100))
            .minimum_calls(5),
    )
    .await;
}
