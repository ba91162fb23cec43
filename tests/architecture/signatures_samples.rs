//! Signatures that have to be refused, and those that may not be.

use crate::{signatures::foreign, source::Source};

/// The foreign names that are found in a module beside two others.
fn found(text: &str) -> Vec<String> {
    let source = Source::sample(&[
        ("lib.rs", "mod m; mod private; pub mod hidden;"),
        ("m.rs", text),
        (
            "private.rs",
            "pub(crate) use tokio::net::TcpStream as Socket; pub(crate) type Pair = (u8, rustls::ClientConfig);
            pub(crate) trait Ours<T> {} pub(crate) struct Mine;",
        ),
        ("hidden.rs", "pub struct Shown; pub trait Asked { type Item; }"),
    ]);
    let names = foreign(&source).into_iter();
    names
        .map(|found| format!("{} in {}", found.name, found.item))
        .collect()
}

#[test]
fn foreign_types_are_found() {
    for (text, name) in [
        // Functions, wherever the type stands and however it is named.
        ("pub fn f(a: hyper::Request<u8>) {}", "hyper::Request"),
        (
            "pub fn f(\n    a: u8,\n    b: &mut hyper_util::rt::TokioIo<u8>,\n) {}",
            "hyper_util::rt::TokioIo",
        ),
        (
            "use httparse::Header; pub fn f(a: &[Header<'_>]) {}",
            "httparse::Header",
        ),
        (
            "use httparse::{self as h, Status}; pub fn f() -> h::Result<u8> {}",
            "httparse::Result",
        ),
        (
            "use tower_http::cors::{CorsLayer as Cors}; pub fn f(a: Cors) {}",
            "tower_http::cors::CorsLayer",
        ),
        (
            "pub fn f() -> Result<u8, tokio::task::JoinError> {}",
            "tokio::task::JoinError",
        ),
        (
            "pub async fn f(a: Option<Vec<rustls::Error>>) {}",
            "rustls::Error",
        ),
        (
            "pub fn f(a: impl futures_util::Stream<Item = u8>) {}",
            "futures_util::Stream",
        ),
        (
            "pub fn f() -> impl Iterator<Item = tracing::Span> {}",
            "tracing::Span",
        ),
        (
            "pub fn f<A>(a: A) where A: tokio::io::AsyncRead {}",
            "tokio::io::AsyncRead",
        ),
        ("pub fn f<A: Into<ipnet::IpNet>>(a: A) {}", "ipnet::IpNet"),
        (
            "pub fn f(a: Box<dyn Fn(h2::Reason) -> u8>) {}",
            "h2::Reason",
        ),
        (
            "pub fn f(a: <u8 as futures_util::Stream>::Item) {}",
            "futures_util::Stream::Item",
        ),
        (
            "pub fn f(a: ::smallvec::SmallVec<[u8; 8]>) {}",
            "smallvec::SmallVec",
        ),
        ("pub fn f(a: tower::BoxError) {}", "tower::BoxError"),
        (
            "pub fn f(a: tower::util::Oneshot<u8, u8>) {}",
            "tower::util::Oneshot",
        ),
        (
            "use crate::private::Socket; pub fn f(a: Socket) {}",
            "tokio::net::TcpStream",
        ),
        (
            "use super::private; pub fn f() -> private::Pair {}",
            "rustls::ClientConfig",
        ),
        (
            "type Reply = Box<hyper::Body>; pub fn f() -> Reply {}",
            "hyper::Body",
        ),
        (
            "use tokio::sync::*; pub fn f(a: Mutex<u8>) {}",
            "tokio::sync",
        ),
        (
            "pub fn f(a: Unheard) {}",
            "Unheard, which can not be traced",
        ),
        (
            "use super::*; pub fn f(a: Unheard) {}",
            "Unheard, which can not be traced",
        ),
        (
            "pub fn f(a: crate::hidden::Gone) {}",
            "crate::hidden::Gone, which can not be traced",
        ),
        ("pub const A: hyper::Version = b();", "hyper::Version"),
        (
            "pub static A: tokio::sync::Mutex<u8> = b();",
            "tokio::sync::Mutex",
        ),
        // Types.
        ("pub struct A { pub b: hyper::Uri }", "hyper::Uri"),
        ("pub struct A(u8, pub sha1::Sha1);", "sha1::Sha1"),
        (
            "pub struct A<B>(B) where B: hyper::rt::Read;",
            "hyper::rt::Read",
        ),
        (
            "pub struct A { #[from] source: httparse::Error }",
            "httparse::Error",
        ),
        (
            "pub enum A { B(u8), C { d: memchr::Memchr<'static> } }",
            "memchr::Memchr",
        ),
        ("pub union A { pub b: hyper::Uri }", "hyper::Uri"),
        ("pub type A<B> = Result<B, hyper::Error>;", "hyper::Error"),
        (
            "#[derive(Clone, serde::Deserialize)] pub struct A;",
            "serde::Deserialize",
        ),
        (
            "use serde::Deserialize; #[derive(Deserialize)] pub enum A {}",
            "serde::Deserialize",
        ),
        (
            "pin_project! { pub struct A { #[pin] pub b: hyper::Body } }",
            "hyper::Body",
        ),
        // Traits and what implements them.
        ("pub trait A: tower_http::Marker {}", "tower_http::Marker"),
        (
            "pub trait A { fn b(&self) -> tokio::time::Sleep; }",
            "tokio::time::Sleep",
        ),
        (
            "pub trait A { type B: futures_util::Sink<u8>; }",
            "futures_util::Sink",
        ),
        ("pub trait A { const B: hyper::Version; }", "hyper::Version"),
        (
            "pub struct A; impl tokio::io::AsyncRead for A {}",
            "tokio::io::AsyncRead",
        ),
        (
            "pub struct A; impl From<hyper::Error> for A {}",
            "hyper::Error",
        ),
        (
            "pub struct A; impl From<A> for hyper::Error {}",
            "hyper::Error",
        ),
        (
            "pub struct A; impl Iterator for A { type Item = httparse::Header<'static>; }",
            "httparse::Header",
        ),
        (
            "pub struct A; impl<T: hyper::body::Body> Iterator for A<T> {}",
            "hyper::body::Body",
        ),
        (
            "impl hyper::Service for crate::hidden::Shown {}",
            "hyper::Service",
        ),
        (
            "impl<T: tower::Service<u8>> crate::hidden::Asked for tokio_util::Either<T> {}",
            "tokio_util::Either",
        ),
        (
            "pub struct A; impl A { pub fn b(self, c: rustls::Error) -> Self {} }",
            "rustls::Error",
        ),
        (
            "pub struct A; impl A { pub const B: hyper::Version = c(); }",
            "hyper::Version",
        ),
        (
            "pub struct A<T>(T); impl<T: hyper::rt::Read> A<T> { pub fn b() {} }",
            "hyper::rt::Read",
        ),
        // What is handed on.
        ("pub use hyper;", "hyper"),
        (
            "pub use {http::Uri, hyper::{body, Request as R}};",
            "hyper::Request",
        ),
        ("pub use tokio::net::*;", "tokio::net"),
        ("pub use crate::private::Socket;", "tokio::net::TcpStream"),
        ("pub extern crate tokio;", "tokio"),
        // Macros.
        (
            "macro_rules! m { ($a:ident) => { pub fn $a(b: hyper::Body) {} } }",
            "hyper::Body",
        ),
        ("use hyper::Body; each! { pub $a: Body; }", "hyper::Body"),
        (
            "macro_rules! m { ($a:ty) => { impl From<$a> for tokio::B {} } }",
            "tokio::B",
        ),
        (
            "macro_rules! m { ($($a:ty),*) => { impl From<$a> for B {} } } m!(&'static str, tokio::B);",
            "tokio::B",
        ),
        (
            "#[macro_export] macro_rules! m { () => { tokio::join!() } }",
            "tokio::join",
        ),
        (
            "pub struct A; impl A { each! { tokio::net::TcpStream } }",
            "tokio::net::TcpStream",
        ),
    ] {
        let found = found(text);
        let is_named = |found: &String| found.starts_with(&format!("{name} in "));
        assert!(
            found.iter().any(is_named),
            "{text}\nhas {name}, found {found:?}"
        );
    }
}

#[test]
fn the_vocabulary_and_what_nobody_sees_may_be_said() {
    for text in [
        "pub fn f(a: http::Request<bytes::Bytes>, b: &str, c: [u8; 4]) -> std::io::Result<()> {}",
        "use http_body::Body as Any; pub fn f<B>(b: B) where B: Any<Data = bytes::Bytes>, B::Error: Send {}",
        "use tower::{Layer, Service}; pub fn f<S: Service<u8>>(l: impl Layer<S>) -> <S as Service<u8>>::Future {}",
        "use std::sync::*; pub fn f(a: super::hidden::Shown) {}",
        "pub use http::{HeaderMap, Uri}; pub use crate::hidden::*; pub use core::time;",
        "pub fn f() { tokio::spawn(async {}); let a: hyper::Body = b(); }",
        "fn f(a: hyper::Body) {} pub(crate) fn g(a: hyper::Body) {} pub(super) struct A(pub hyper::Body);",
        "pub struct A { b: hyper::Body, pub(crate) c: tokio::net::TcpStream }",
        "pub(crate) use hyper::Body; use tokio::net; struct B; impl net::C for B {}",
        "pub struct A; impl crate::private::Ours<hyper::Body> for A {}",
        "impl From<hyper::Error> for crate::private::Mine {}",
        "pub struct A; impl A { fn b(c: hyper::Body) {} #[cfg(test)] pub fn d(e: hyper::Body) {} }",
        "#[derive(Clone, Debug, thiserror::Error)] pub enum A<const N: usize> { B([u8; N]) }",
        "use thiserror::Error; #[derive(Error)] #[error(\"{}\", tokio::x())] pub struct A;",
        "pin_project! { pub struct A<T> { #[pin] b: hyper::Body, pub c: Option<T> } }",
        "macro_rules! m { () => { tokio::join!() } } macro_rules! n { ($a:ty) => { impl From<$a> for A {} } }",
        "kinds! { A: 1, B: 2 } made! { pub enum Made {} } pub fn f(a: Made) {}",
        "#[cfg(test)] pub fn f(a: hyper::Body) {} #[cfg(test)] mod tests { pub use hyper::*; }",
        "pub trait A { type B; fn c(&self) -> Self::B { hyper::d() } } pub fn e<T: A>() -> T::B {}",
    ] {
        assert_eq!(found(text), [""; 0], "{text}");
    }
}
