//! Whose certificates are trusted, for which name, and for how long.
#![cfg(feature = "tls")]

use std::{net::SocketAddr, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};
#[cfg(feature = "webpki-roots")]
use tower::ServiceExt;
#[cfg(feature = "webpki-roots")]
use tower_gateway::ErrorKind;
use tower_gateway::{Route, Upstream};

use crate::{support, wire::soon};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// A backend whose certificate for `localhost` it has signed; with the names that it is asked for.
    async fn backend(&self, until: i32) -> (SocketAddr, mpsc::UnboundedReceiver<Option<String>>) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (tell, names) = mpsc::unbounded_channel();
        let address = support::raw_backend(move |_, stream| {
            let (acceptor, tell) = (acceptor.clone(), tell.clone());
            async move {
                // A client that does not trust the certificate breaks off.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let name = stream.get_ref().1.server_name().map(str::to_owned);
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                tell.send(name).unwrap();
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(answer).await.unwrap();
                stream.flush().await.unwrap();
            }
        })
        .await;
        (address, names)
    }
}

async fn status(upstream: Upstream) -> u16 {
    let gateway = support::one_route(Route::new("/{*rest}"), upstream);
    let gateway = support::serve(gateway).await;
    let answer = support::send(gateway, support::request("GET", "/a"));
    soon("an answer", answer).await.status().as_u16()
}

fn to(host: &str, backend: SocketAddr) -> Upstream {
    Upstream::http([format!("https://{host}:{}", backend.port())])
}

#[tokio::test]
async fn only_own_authorities_are_trusted_when_there_are_some() {
    let (own, second, other) = (Authority::new(), Authority::new(), Authority::new());
    let (backend, mut asked) = own.backend(2999).await;
    let both = format!("{}{}", second.pem, own.pem);
    for (what, pem, expected) in [
        ("its own", own.pem.clone(), 200),
        ("one of two", both, 200),
        ("another", other.pem, 502),
    ] {
        let got = status(to("localhost", backend).tls_authority(pem)).await;
        assert_eq!(got, expected, "{what}");
        assert_eq!(asked.try_recv().is_ok(), expected == 200, "{what}");
    }
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_not_trusted() {
    let own = Authority::new();
    for (until, expected) in [(2002, 502), (2999, 200)] {
        let (backend, _asked) = own.backend(until).await;
        let got = status(to("localhost", backend).tls_authority(own.pem.clone())).await;
        assert_eq!(got, expected, "{until}");
    }
}

#[tokio::test]
async fn a_server_name_is_asked_for_and_checked_instead_of_the_host() {
    let own = Authority::new();
    let (backend, mut asked) = own.backend(2999).await;
    let to = || to("127.0.0.1", backend).tls_authority(own.pem.clone());
    assert_eq!(status(to()).await, 502, "the certificate is for a name");
    assert_eq!(status(to().tls_server_name("elsewhere")).await, 502);
    assert!(asked.try_recv().is_err());
    assert_eq!(status(to().tls_server_name("localhost")).await, 200);
    assert_eq!(asked.recv().await.unwrap().as_deref(), Some("localhost"));
}

#[cfg(feature = "webpki-roots")]
#[tokio::test]
async fn who_was_named_last_is_trusted_and_no_other() {
    let own = Authority::new();
    let (backend, mut asked) = own.backend(2999).await;
    let to = || to("localhost", backend);
    for (what, upstream, is_trusted) in [
        ("web", to().tls_web_roots(), false),
        (
            "own, then web",
            to().tls_authority(own.pem.clone()).tls_web_roots(),
            false,
        ),
        (
            "web, then own",
            to().tls_web_roots().tls_authority(own.pem.clone()),
            true,
        ),
    ] {
        let error = upstream.clone().oneshot(support::request("GET", "/a"));
        let error = soon("an answer", error).await.err();
        let kind = error.map(|error| error.kind());
        assert_eq!(kind, (!is_trusted).then_some(ErrorKind::Tls), "{what}");
        let expected = if is_trusted { 200 } else { 502 };
        assert_eq!(status(upstream).await, expected, "{what}");
        assert_eq!(asked.try_recv().is_ok(), is_trusted, "{what}");
    }
}
