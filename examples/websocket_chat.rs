//! A chat over WebSocket behind the gateway: who is in a room hears what is said there.
//!
//! ```sh
//! cargo run --example websocket_chat
//! # listens (each message comes in a frame, two bytes before the text)
//! curl -iN --http1.1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
//!     -H 'Sec-WebSocket-Key: c2l4dGVlbi1ieXRlcy1vaw==' http://127.0.0.1:8080/chat/blue
//! # says something, from another terminal
//! curl -i -d 'hello all' http://127.0.0.1:8080/rooms/blue
//! # who is there
//! curl -i http://127.0.0.1:8080/rooms/blue
//! ```
//!
//! With `-- --check` it talks to itself and ends.

mod support;

use std::{
    collections::HashMap,
    net::SocketAddr,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{
        Path, State,
        ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
    },
    response::Response,
    routing::get,
};
use futures_util::{SinkExt, StreamExt};
use support::Try;
use tokio::{
    net::TcpStream,
    sync::broadcast::{self, error::RecvError},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite};
use tower_gateway::{BoxError, Gateway, Route, Upstream};

/// The rooms of the chat, by name.
#[derive(Clone, Default)]
struct Rooms(Arc<Mutex<HashMap<String, broadcast::Sender<Utf8Bytes>>>>);

impl Rooms {
    fn room(&self, name: String) -> broadcast::Sender<Utf8Bytes> {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rooms
            .entry(name)
            .or_insert_with(|| broadcast::channel(64).0)
            .clone()
    }
}

async fn enter(
    State(rooms): State<Rooms>,
    Path(room): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let room = rooms.room(room);
    // In the room before the answer goes out: whoever has the answer misses nothing.
    let hears = room.subscribe();
    upgrade.on_upgrade(move |socket| talk(socket, room, hears))
}

async fn talk(
    mut socket: WebSocket,
    room: broadcast::Sender<Utf8Bytes>,
    mut hears: broadcast::Receiver<Utf8Bytes>,
) {
    loop {
        tokio::select! {
            said = socket.recv() => match said {
                Some(Ok(Message::Text(text))) => drop(room.send(text)),
                // Pings and the closing handshake are answered while we go on to receive.
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            heard = hears.recv() => match heard {
                Ok(text) => if socket.send(Message::Text(text)).await.is_err() { return },
                // Too slow for the room: what was missed is missed.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
        }
    }
}

async fn count(State(rooms): State<Rooms>, Path(room): Path<String>) -> String {
    format!("{} in the room\n", rooms.room(room).receiver_count())
}

async fn say(State(rooms): State<Rooms>, Path(room): Path<String>, text: String) -> String {
    format!(
        "{} heard it\n",
        rooms.room(room).send(text.into()).unwrap_or(0)
    )
}

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let chat = Router::new()
        .route("/ws/{room}", get(enter))
        .route("/rooms/{room}", get(count).post(say))
        .with_state(Rooms::default());
    let chat = support::backend(chat).await?;

    let gateway = Gateway::builder()
        // An upgrade to `websocket` needs no setting. After an hour of silence in both directions it is closed.
        .upstream(
            "chat",
            Upstream::http([format!("http://{chat}")])
                .tunnel_idle_timeout(Duration::from_secs(3600)),
        )
        .route(
            Route::get("/chat/{room}")
                .to("chat")
                .rewrite_path("/ws/{room}"),
        )
        .route(Route::new("/rooms/{room}").to("chat"))
        .build()?;

    let listener = support::front().await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(support::serve(listener, gateway));

    println!(
        "curl -iN --http1.1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
         -H 'Sec-WebSocket-Key: c2l4dGVlbi1ieXRlcy1vaw==' http://{address}/chat/blue"
    );
    let say = Try::post("/rooms/blue", "hello all");
    let count = Try::get("/rooms/blue");
    if !support::is_check() {
        return support::try_out(address, &[say, count], server).await;
    }
    let mut checks = support::Checks::default();
    let mut ada = connect(address, "blue").await?;
    let mut bob = connect(address, "blue").await?;
    let mut eve = connect(address, "red").await?;
    checks
        .send(address, &[count.gives(200, "2 in the room")])
        .await?;

    ada.send("hello from ada".into()).await?;
    for (name, socket) in [("ada", &mut ada), ("bob", &mut bob)] {
        let heard = hear(socket).await?;
        checks.expect(
            &format!("{name} hears ada in blue"),
            heard == "hello from ada",
            heard,
        );
    }
    checks
        .send(address, &[say.gives(200, "2 heard it")])
        .await?;
    let heard = hear(&mut bob).await?;
    checks.expect("bob hears who is outside", heard == "hello all", heard);

    eve.send("anyone in red?".into()).await?;
    let heard = hear(&mut eve).await?;
    checks.expect(
        "eve hears only herself, in red",
        heard == "anyone in red?",
        heard,
    );

    bob.close(None).await?;
    let end = tokio::time::timeout(Duration::from_secs(5), bob.next()).await?;
    let is_close = matches!(end, Some(Ok(tungstenite::Message::Close(_))));
    checks.expect(
        "bob leaves, and the chat closes in turn",
        is_close,
        format_args!("{end:?}"),
    );
    // A plain request for the WebSocket's path is the backend's to refuse.
    let plain = Try::get("/chat/blue").gives(400, "");
    checks.send(address, &[plain]).await?;
    Ok(checks.exit())
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(addr: SocketAddr, room: &str) -> Result<Socket, BoxError> {
    let (socket, _) = tokio_tungstenite::connect_async(format!("ws://{addr}/chat/{room}")).await?;
    Ok(socket)
}

async fn hear(socket: &mut Socket) -> Result<String, BoxError> {
    let message = tokio::time::timeout(Duration::from_secs(5), socket.next())
        .await?
        .ok_or("the socket is closed")??;
    Ok(message.into_text()?.to_string())
}
