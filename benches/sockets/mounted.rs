//! The gateway as people mount it in axum: the fallback of a router that has routes of its own, served by `axum::serve`.

use std::net::SocketAddr;

use axum::{Router, extract::ConnectInfo, routing::get};
use tokio::net::TcpListener;
use tower_gateway::{Gateway, Route, Upstream};

/// Serves until the process ends.
pub(crate) async fn serve(listen: SocketAddr, upstream: SocketAddr) -> Result<(), String> {
    let upstream = Upstream::http([format!("http://{upstream}")]);
    let gateway = Gateway::builder()
        .peer_addr(|extensions| {
            let info = extensions.get::<ConnectInfo<SocketAddr>>();
            info.map(|info| info.0)
        })
        .upstream("backend", upstream)
        .route(Route::new("/{*rest}").to("backend"))
        .build()
        .map_err(|error| error.to_string())?;
    let app = Router::new()
        .route("/health", get(|| async { "well" }))
        .fallback_service(gateway)
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| format!("{listen}: {error}"))?;
    axum::serve(
        axum::serve::ListenerExt::tap_io(listener, |stream| {
            let _ = stream.set_nodelay(true);
        }),
        app,
    )
    .await
    .map_err(|error| error.to_string())
}
