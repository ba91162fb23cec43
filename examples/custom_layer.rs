//! A layer of one's own on a route: it finds out who the client is, compares that with a path
//! parameter that the gateway found, and tells the backend in a header that no client can forge.
//!
//! ```sh
//! cargo run --example custom_layer
//! curl -i http://127.0.0.1:8080/tenants/acme/orders                                            # 401
//! curl -i -H 'Authorization: Bearer ada-secret' http://127.0.0.1:8080/tenants/acme/orders      # ada of acme
//! curl -i -H 'Authorization: Bearer ada-secret' http://127.0.0.1:8080/tenants/globex/orders    # 403
//! curl -i -H 'X-User: root' http://127.0.0.1:8080/open                                         # nobody
//! ```
//!
//! With `-- --check` it sends itself these requests and ends.

mod support;

use std::{
    collections::HashMap,
    future::{Ready, ready},
    process::ExitCode,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{Router, routing::get};
use futures_util::future::Either;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use support::Try;
use tower::{Layer, Service};
use tower_gateway::{Body, BoxError, Gateway, Problem, RequestContext, Route, Upstream};

const USER: HeaderName = HeaderName::from_static("x-user");

/// Lets in only those who show a known token, and only to their own tenant.
#[derive(Clone)]
struct IdentityLayer {
    users: Arc<HashMap<&'static str, User>>,
}

struct User {
    name: HeaderValue,
    tenant: &'static str,
}

#[derive(Clone)]
struct Identity<S> {
    users: Arc<HashMap<&'static str, User>>,
    inner: S,
}

impl<S> Layer<S> for IdentityLayer {
    type Service = Identity<S>;

    fn layer(&self, inner: S) -> Identity<S> {
        Identity {
            users: self.users.clone(),
            inner,
        }
    }
}

impl<S> Service<Request<Body>> for Identity<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response<Body>, S::Error>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match self.identify(&request) {
            Ok(name) => {
                let headers = request.headers_mut();
                headers.insert(USER, name);
                // The token was for the gateway; the backend has no use for it.
                headers.remove(header::AUTHORIZATION);
                Either::Right(self.inner.call(request))
            }
            Err(problem) => {
                let mut response: Response<Body> = problem.into_response();
                if response.status() == StatusCode::UNAUTHORIZED {
                    response
                        .headers_mut()
                        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                }
                Either::Left(ready(Ok(response)))
            }
        }
    }
}

impl<S> Identity<S> {
    fn identify(&self, request: &Request<Body>) -> Result<HeaderValue, Problem> {
        let token = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let user = token
            .and_then(|value| value.strip_prefix("Bearer "))
            .and_then(|token| self.users.get(token))
            .ok_or_else(|| {
                Problem::new(StatusCode::UNAUTHORIZED).with_detail("Show a token that we know")
            })?;
        // A layer on a route runs behind the match, so the path's parameters are known.
        let context = request.extensions().get::<RequestContext>();
        if context.and_then(|context| context.param("tenant")) != Some(user.tenant) {
            return Err(Problem::new(StatusCode::FORBIDDEN).with_detail("This is not your tenant"));
        }
        Ok(user.name.clone())
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let backend = Router::new()
        .route("/tenants/{tenant}/orders", get(who))
        .route("/open", get(who));
    let backend = support::backend(backend).await?;
    let users = [
        (
            "ada-secret",
            User {
                name: HeaderValue::from_static("ada"),
                tenant: "acme",
            },
        ),
        (
            "bob-secret",
            User {
                name: HeaderValue::from_static("bob"),
                tenant: "globex",
            },
        ),
    ];
    let identity = IdentityLayer {
        users: Arc::new(HashMap::from(users)),
    };

    let gateway = Gateway::builder()
        // What clients send under this name is removed on every route, the layer's or not.
        .own_header(USER)
        .upstream("backend", Upstream::http([format!("http://{backend}")]))
        .route(
            Route::new("/tenants/{tenant}/{*rest}")
                .to("backend")
                .layer(identity),
        )
        .route(Route::get("/open").to("backend"))
        .build()?;

    let listener = support::front().await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(support::serve(listener, gateway));

    let acme = || Try::get("/tenants/acme/orders");
    let globex = || Try::get("/tenants/globex/orders");
    let ada = ("Authorization", "Bearer ada-secret");
    let guess = ("Authorization", "Bearer guess");
    let tries = [
        acme().gives(401, "a token that we know"),
        acme().header(guess).gives(401, "a token that we know"),
        acme().header(ada).gives(200, "user ada, no token"),
        globex().header(ada).gives(403, "not your tenant"),
        acme()
            .header(ada)
            .header(("X-User", "root"))
            .gives(200, "user ada, no token"),
        Try::get("/open")
            .header(("X-User", "root"))
            .gives(200, "user nobody"),
        Try::get("/open")
            .header(("X_User", "root"))
            .gives(200, "user nobody"),
    ];
    support::try_out(address, &tries, server).await
}

/// The backend believes the header, in the spelling with `_` too, as some frameworks do.
async fn who(headers: HeaderMap) -> String {
    let user = headers.get(USER).or_else(|| headers.get("x_user"));
    let user = user
        .and_then(|value| value.to_str().ok())
        .unwrap_or("nobody");
    let token = if headers.contains_key(header::AUTHORIZATION) {
        "a token"
    } else {
        "no token"
    };
    format!("user {user}, {token}\n")
}
