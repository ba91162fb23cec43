use std::fmt::Write as _;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::Request;
use proptest::prelude::*;
use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

use super::*;

fn der(names: &[SanType], common: &[&str], to: i32) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for name in common {
        params.distinguished_name.push(DnType::CommonName, *name);
    }
    params.subject_alt_names = names.to_vec();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap()
        .der()
        .to_vec()
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

fn billing() -> Vec<u8> {
    let names = [
        dns("billing.shop.example"),
        uri("spiffe://shop.example/ns/billing"),
    ];
    der(&names, &["billing"], 4000)
}

fn head(
    certificate: Option<ClientCertificate>,
    trusted: bool,
    fields: &[(&HeaderName, &str)],
) -> Parts {
    let mut request = Request::new(());
    let mut context = RequestContext::new();
    context.peer_is_trusted = trusted;
    request.extensions_mut().insert(context);
    if let Some(certificate) = certificate {
        request.extensions_mut().insert(certificate);
    }
    for (name, value) in fields {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request.into_parts().0
}

async fn subject(layer: &ClientCertLayer, head: &Parts) -> Result<String, u16> {
    match layer.authenticate(head).await {
        Ok(identity) => Ok(identity.subject().unwrap().to_owned()),
        Err(denied) => Err(denied.error().status().as_u16()),
    }
}

#[tokio::test]
async fn a_certificate_has_to_be_verified_and_valid() {
    let layer = ClientCertLayer::new();
    let read = |der: &[u8]| ClientCertificate::from_der(der).unwrap();
    let good = read(&billing());
    for (certificate, expected) in [
        (None, Err(401)),
        (Some(good.clone()), Err(401)),
        (
            Some(good.verified()),
            Ok("spiffe://shop.example/ns/billing"),
        ),
        (
            Some(read(&der(&[dns("a")], &[], 2021)).verified()),
            Err(401),
        ),
        (
            Some(read(&der(&[dns("a")], &["b"], 4000)).verified()),
            Ok("a"),
        ),
        (Some(read(&der(&[], &["b"], 4000)).verified()), Ok("CN=b")),
    ] {
        let found = subject(&layer, &head(certificate.clone(), false, &[])).await;
        assert_eq!(found, expected.map(str::to_owned), "{certificate:?}");
    }
    let nameless = read(&der(&[], &[], 4000)).verified();
    let found = subject(&layer, &head(Some(nameless.clone()), false, &[])).await;
    assert_eq!(found, Ok(format!("sha256:{}", nameless.fingerprint())));
    let identity = layer
        .authenticate(&head(Some(read(&billing()).verified()), false, &[]))
        .await
        .unwrap();
    assert!(identity.claims().has("dns", "billing.shop.example"));
    assert!(identity.claims().has("cn", "billing"));
}

#[tokio::test]
async fn rules_say_which_certificates_are_let_in_and_by_what_name() {
    let certificate = ClientCertificate::from_der(&billing()).unwrap().verified();
    let hash = certificate.fingerprint().to_owned();
    let mut colons = String::new();
    for pair in hash.to_uppercase().as_bytes().chunks(2) {
        write!(colons, "{}:", std::str::from_utf8(pair).unwrap()).unwrap();
    }
    let new = ClientCertLayer::new;
    for (layer, expected) in [
        (
            new().allow_uri("spiffe://shop.example/ns/billing"),
            Some("spiffe://shop.example/ns/billing"),
        ),
        (
            new().allow_uri("spiffe://shop.example/ns/*"),
            Some("spiffe://shop.example/ns/billing"),
        ),
        (
            new().allow_uri("spiffe://shop.example/*"),
            Some("spiffe://shop.example/ns/billing"),
        ),
        (new().allow_uri("spiffe://shop.example/ns"), None),
        (new().allow_uri("spiffe://shop.example/n*"), None),
        (new().allow_uri("spiffe://shop.example/ns/billin"), None),
        (
            new().allow_dns("Billing.Shop.example"),
            Some("billing.shop.example"),
        ),
        (
            new().allow_dns("*.shop.example"),
            Some("billing.shop.example"),
        ),
        (new().allow_dns("*.example"), None),
        (new().allow_dns("shop.example"), None),
        (new().allow_dns("billing"), None),
        (new().allow_common_name("billing"), Some("CN=billing")),
        (new().allow_common_name("billing.shop.example"), None),
        (new().allow_common_name("Billing"), None),
        (
            new().allow_dns("other").allow_common_name("billing"),
            Some("CN=billing"),
        ),
        (
            new().allow_fingerprint(colons.trim_end_matches(':')),
            Some(&format!("sha256:{hash}")),
        ),
        (new().allow_fingerprint("00".repeat(32)), None),
    ] {
        assert_eq!(layer.mistakes(), [""; 0]);
        let found = subject(&layer, &head(Some(certificate.clone()), false, &[])).await;
        assert_eq!(found, expected.map(str::to_owned).ok_or(403), "{layer:?}");
    }
    let two =
        ClientCertificate::from_der(&der(&[dns("*.shop.example")], &["billing", "root"], 4000))
            .unwrap();
    let head = head(Some(two.verified()), false, &[]);
    for layer in [
        new().allow_common_name("billing"),
        new().allow_dns("*.shop.example"),
    ] {
        assert_eq!(subject(&layer, &head).await, Err(403), "{layer:?}");
    }
}

#[test]
fn nothing_leads_out_of_what_a_rule_covers() {
    for (uri, expected) in [
        ("spiffe://a/ns/b", true),
        ("spiffe://a/ns/b/c", true),
        ("spiffe://a/ns/", false),
        ("spiffe://a/ns//b", false),
        ("spiffe://a/ns/../root", false),
        ("spiffe://a/ns/%2e%2e/root", false),
        ("spiffe://a/ns/b?c", false),
        ("spiffe://a/nsx/b", false),
    ] {
        assert_eq!(covers_uri("spiffe://a/ns/*", uri), expected, "{uri}");
    }
}

#[test]
fn wrong_rules_are_named() {
    let new = ClientCertLayer::new;
    for (layer, what) in [
        (new().allow_uri("billing"), "\"billing\" is no URI"),
        (new().allow_dns("a b"), "\"a b\" is no DNS name"),
        (new().allow_dns("a.*.b"), "\"a.*.b\""),
        (new().allow_dns("*"), "\"*\""),
        (new().allow_common_name(""), "common name"),
        (new().allow_fingerprint("00"), "\"00\" is no SHA-256"),
    ] {
        let mistakes = layer.mistakes();
        assert!(
            mistakes.len() == 1 && mistakes[0].contains(what),
            "{mistakes:?}"
        );
    }
}

fn pem(der: &[u8]) -> String {
    let escaped: String = BASE64_STANDARD
        .encode(der)
        .replace('+', "%2B")
        .replace('/', "%2F");
    format!("-----BEGIN%20CERTIFICATE-----%0A{escaped}%0A-----END%20CERTIFICATE-----%0A")
}

#[tokio::test]
async fn a_header_counts_from_a_trusted_peer_alone() {
    let (name, alias) = (
        HeaderName::from_static("client-cert"),
        HeaderName::from_static("client_cert"),
    );
    let value = format!(":{}:", BASE64_STANDARD.encode(billing()));
    let layer = ClientCertLayer::new().from_header(name.clone(), CertificateFormat::ClientCert);
    let proxy = ClientCertificate::from_der(&der(&[dns("proxy")], &[], 4000))
        .unwrap()
        .verified();
    let name_in_it = "spiffe://shop.example/ns/billing";
    let good = (&name, &*value);
    for (certificate, trusted, fields, expected) in [
        (None, true, vec![good], Ok(name_in_it)),
        (None, false, vec![good], Err(401)),
        // The certificate of a proxy is nobody else's.
        (Some(proxy.clone()), true, vec![], Err(401)),
        (Some(proxy.clone()), true, vec![good], Ok(name_in_it)),
        (Some(proxy.clone()), false, vec![good], Ok("proxy")),
        (None, true, vec![good, good], Err(400)),
        (None, true, vec![(&name, "")], Err(400)),
        (None, true, vec![(&name, "::")], Err(400)),
        (None, true, vec![(&name, &value[1..])], Err(400)),
        (
            None,
            true,
            vec![(&name, &format!("{value}, {value}"))],
            Err(400),
        ),
        (None, true, vec![(&alias, &value)], Err(401)),
    ] {
        let mut head = head(certificate, trusted, &fields);
        let found = subject(&layer, &head).await;
        assert_eq!(
            found,
            expected.map(str::to_owned),
            "{trusted} {fields:.30?}"
        );
        layer.strip(&mut head);
        assert!(head.headers.is_empty());
    }
    let ignored = subject(&ClientCertLayer::new(), &head(None, true, &[good])).await;
    assert_eq!(ignored, Err(401), "nobody has asked for it");
    let mut bare = Request::builder()
        .header(&name, &value)
        .body(())
        .unwrap()
        .into_parts()
        .0;
    bare.extensions.clear();
    assert_eq!(
        subject(&layer, &bare).await,
        Err(401),
        "there is no gateway that knows its peers"
    );
}

#[test]
fn proxies_write_certificates_in_several_ways() {
    let der = billing();
    let hash = ClientCertificate::from_der(&der)
        .unwrap()
        .fingerprint()
        .to_owned();
    let pem = pem(&der);
    let other = "00".repeat(32);
    let cases = [
        (
            CertificateFormat::EscapedPem,
            pem.clone(),
            Some("spiffe://shop.example/ns/billing CN billing"),
        ),
        (
            CertificateFormat::EscapedPem,
            pem.replace("%2B", "+"),
            Some("spiffe://shop.example/ns/billing CN billing"),
        ),
        (CertificateFormat::EscapedPem, format!("{pem}{pem}"), None),
        (
            CertificateFormat::EscapedPem,
            pem.replace("CERTIFICATE", "PRIVATE%20KEY"),
            None,
        ),
        (
            CertificateFormat::Xfcc,
            format!("By=spiffe://b;Hash={hash};URI=spiffe://a/b;DNS=x.y"),
            Some("spiffe://a/b CN "),
        ),
        (
            CertificateFormat::Xfcc,
            format!(r#"Hash={hash};Subject="CN=a \"b\",O=x;y=";URI="#),
            Some(" CN a \"b\""),
        ),
        (
            CertificateFormat::Xfcc,
            format!(r#"Hash={hash};Subject="/O=x/CN=a""#),
            Some(" CN "),
        ),
        (
            CertificateFormat::Xfcc,
            format!(r#"Hash={hash};Subject="O=CN\=root,CN=a\,CN\=b""#),
            Some(" CN a,CN=b"),
        ),
        (
            CertificateFormat::Xfcc,
            format!(r#"Hash={hash};Subject="CN=\C3\A4/b,O=x""#),
            Some(" CN ä/b"),
        ),
        (
            CertificateFormat::Xfcc,
            format!(r#"Hash={hash};Subject="O=x+CN=\ a\#""#),
            Some(" CN  a#"),
        ),
        (
            CertificateFormat::Xfcc,
            format!(r#"Hash={hash};Subject="CN=a\0Ab""#),
            None,
        ),
        (
            CertificateFormat::Xfcc,
            format!(r#"Hash={hash};Subject="CN=#0c0161""#),
            None,
        ),
        (
            CertificateFormat::Xfcc,
            format!(r#"Hash={hash};Subject="CN=a\\";URI=spiffe://root"#),
            None,
        ),
        (
            CertificateFormat::Xfcc,
            format!("Hash={hash};Cert=\"{pem}\";URI=spiffe://root"),
            Some("spiffe://shop.example/ns/billing CN billing"),
        ),
        (
            CertificateFormat::Xfcc,
            format!("Hash={other};Cert=\"{pem}\""),
            None,
        ),
        (
            CertificateFormat::Xfcc,
            format!("Hash={hash};URI=spiffe://a,Hash={other};URI=spiffe://b"),
            None,
        ),
        (
            CertificateFormat::Xfcc,
            format!("Hash={hash};Hash={hash}"),
            None,
        ),
        (
            CertificateFormat::Xfcc,
            format!("Hash={hash};Subject=\"CN=a\";Subject=\"CN=b\""),
            None,
        ),
        (
            CertificateFormat::Xfcc,
            format!("Hash={hash};Subject=\"CN=a"),
            None,
        ),
        (
            CertificateFormat::Xfcc,
            format!("Hash={hash};Subject=\"CN=a\"x"),
            None,
        ),
        (CertificateFormat::Xfcc, format!("Hash={hash};"), None),
        (
            CertificateFormat::Xfcc,
            format!("Hash={hash};Role=root"),
            None,
        ),
        (
            CertificateFormat::Xfcc,
            format!("Hash={hash};URI=root"),
            None,
        ),
        (CertificateFormat::Xfcc, format!("Hash={hash}00"), None),
        (CertificateFormat::Xfcc, "URI=spiffe://a".to_owned(), None),
        (CertificateFormat::Xfcc, String::new(), None),
    ];
    for (format, value, expected) in cases {
        let found = header::read(value.as_bytes(), format).map(|read| {
            assert!(!read.is_verified());
            format!(
                "{} CN {}",
                read.uris().join(","),
                read.common_name().unwrap_or_default()
            )
        });
        assert_eq!(found.as_deref(), expected, "{value:.120}");
    }
}

proptest! {
    #[test]
    fn no_field_is_too_much(value in "(Hash=[0-9a-f]{64}|URI=|CN=|[;,\"\\\\=:%/a-]|\u{e4}){0,12}") {
        for format in [CertificateFormat::ClientCert, CertificateFormat::EscapedPem, CertificateFormat::Xfcc] {
            let _ = header::read(value.as_bytes(), format);
        }
    }
}
