mod property;

use http::{HeaderName, Request, uri::PathAndQuery};

use super::*;
use crate::{
    claims::Claims,
    context::{Params, RequestContext},
    identity::Identity,
};

fn head(of: impl FnOnce(&mut Parts, &mut RequestContext)) -> Parts {
    let mut head = Request::new(()).into_parts().0;
    let mut context = RequestContext::new();
    of(&mut head, &mut context);
    head.extensions.insert(context);
    head
}

fn somebody(method: &'static str, claims: &str) -> Parts {
    let claims: Claims = claims.parse().unwrap();
    head(|_, context| context.set_identity(Identity::new(method, claims)))
}

fn read(key: &Key, head: &Parts, client: Option<&str>) -> Option<Vec<u8>> {
    let mut out = KeyBytes::from_slice(b"what was there");
    match key.read(head, client.map(|text| text.parse().unwrap()), &mut out) {
        Now::Found => Some(out.to_vec()),
        Now::Missing => None,
        Now::Later => panic!("there is nothing to wait for"),
    }
}

fn header(name: &'static str) -> Key {
    Key::header(HeaderName::from_static(name))
}

/// Gateways of several versions share limits: what was written once is written so for ever.
#[test]
fn keys_are_the_bytes_that_they_were() {
    let head = head(|head, context| {
        let claims = r#"{"iss": "i", "sub": "s", "n": 1}"#.parse().unwrap();
        context.set_identity(Identity::new("jwt", claims));
        context.authority = Some("H".parse().unwrap());
        context.route = Some("r".into());
        let path = PathAndQuery::from_static("/v");
        context.params = Params::new(path, ["p".into()].into(), [Some(1..2)]);
        head.headers.insert("x", "v".parse().unwrap());
        head.headers.insert("cookie", "c=v".parse().unwrap());
    });
    for (key, expected) in [
        (Key::client_network(12, 64), &b"\x01\x0c\xc0\x00"[..]),
        (header("x"), b"\x03\x01x\x01v"),
        (Key::cookie("c"), b"\x04\x01c\x01v"),
        (Key::subject(), b"\x05\x01i\x01s"),
        (Key::claim("sub"), b"\x07\x03sub\x01s"),
        (Key::claim("n"), b"\x08\x01n\x011"),
        (Key::route(), b"\x0b\x01r"),
        (Key::host(), b"\x0c\x01h"),
        (Key::method(), b"\x0d\x03GET"),
        (Key::param("p"), b"\x0e\x01p\x01v"),
        (Key::constant("t"), b"\x0f\x01t"),
        (Key::from_fn(|_| Some("f")), b"\x10\x01f"),
        (Key::all([Key::route(), Key::host()]), b"\x0b\x01r\x0c\x01h"),
    ] {
        let read = read(&key, &head, Some("192.0.2.7"));
        assert_eq!(read.as_deref(), Some(expected), "{key:?}");
    }
    let network = read(&Key::client_ip(), &head, Some("2001:db8::1"));
    let expected = b"\x02\x40\x20\x01\x0d\xb8\x00\x00\x00\x00";
    assert_eq!(network.as_deref(), Some(&expected[..]));
    for (claims, expected) in [
        (r#"{"sub": "s"}"#, &b"\x09\x01s"[..]),
        (r#"{"sub": "s", "key_id": "k"}"#, b"\x0a\x01k\x01s"),
    ] {
        let head = somebody("api-key", claims);
        assert_eq!(
            read(&Key::api_key(), &head, None).as_deref(),
            Some(expected)
        );
    }
    let nowhere = somebody("jwt", r#"{"sub": "s"}"#);
    let subject = read(&Key::subject(), &nowhere, None);
    assert_eq!(subject.as_deref(), Some(&b"\x06\x03jwt\x01s"[..]));
}

/// Which of the cases have the same key: each is the number of the first that is like it, or `None`.
fn alike(keys: &[Option<Vec<u8>>]) -> Vec<Option<usize>> {
    let first = |key: &Option<Vec<u8>>| keys.iter().position(|other| other == key);
    keys.iter()
        .map(|key| key.is_some().then(|| first(key).unwrap()))
        .collect()
}

#[test]
fn an_address_is_counted_by_its_network() {
    let head = head(|_, _| {});
    let cases = |key: Key, addresses: &[&str]| {
        let keys = addresses.iter().map(|ip| read(&key, &head, Some(ip)));
        alike(&keys.collect::<Vec<_>>())
    };
    let addresses = [
        "192.0.2.7",
        "::ffff:192.0.2.7",
        "192.0.2.8",
        "2001:db8:0:1::1",
        "2001:db8:0:1:ffff::",
        "2001:db8:0:2::1",
        "192.1.2.7",
        "::",
        "0.0.0.0",
    ];
    let own = |numbers: [usize; 9]| numbers.map(Some).to_vec();
    assert_eq!(
        cases(Key::client_ip(), &addresses),
        own([0, 0, 2, 3, 3, 5, 6, 7, 8])
    );
    assert_eq!(
        cases(Key::client_network(16, 33), &addresses),
        own([0, 0, 0, 3, 3, 3, 6, 7, 8])
    );
    assert_eq!(
        cases(Key::client_network(0, 0), &addresses),
        own([0, 0, 0, 3, 3, 3, 0, 3, 0])
    );
    assert_eq!(
        cases(Key::client_network(32, 128), &addresses),
        own([0, 0, 2, 3, 4, 5, 6, 7, 8])
    );
    assert_eq!(read(&Key::client_ip(), &head, None), None);
    // A network is no address, although it begins with zeroes alike.
    assert_ne!(
        read(&Key::client_network(24, 64), &head, Some("192.0.2.0")),
        read(&Key::client_ip(), &head, Some("192.0.2.0"))
    );
    assert_eq!(
        read(&Key::client_network(200, 200), &head, Some("192.0.2.7")),
        read(&Key::client_ip(), &head, Some("192.0.2.7")),
        "what is wrong is not wider than what is right"
    );
}

#[test]
fn a_field_with_several_values_is_no_key() {
    let cases: &[&[&str]] = &[
        &["a", "b"],
        &["a, b"],
        &["ab"],
        &["b", "a"],
        &["a", "b", ""],
        &[""],
        &["", ""],
        &[],
        &["a", "a"],
        &["a"],
        &["", "a"],
    ];
    let expected = [
        None,
        Some(1),
        Some(2),
        None,
        None,
        None,
        None,
        None,
        Some(8),
        Some(8),
        None,
    ];
    let keys = |key: &Key, name: &'static str, before: &str| {
        let heads = cases.iter().map(|values| {
            head(|head, _| {
                for value in *values {
                    let value = format!("{before}{value}").parse().unwrap();
                    head.headers.append(name, value);
                }
            })
        });
        let keys = heads.map(|head| read(key, &head, None));
        keys.collect::<Vec<_>>()
    };
    let of_header = keys(&header("x-tenant"), "x-tenant", "");
    assert_eq!(alike(&of_header), expected);
    let of_cookie = keys(&Key::cookie("t"), "cookie", "x=1; t=");
    assert_eq!(alike(&of_cookie), expected);
    assert_ne!(of_header[1], of_cookie[1]);
}

#[test]
fn a_subject_is_one_of_its_issuer() {
    let cases = [
        ("jwt", r#"{"iss": "a", "sub": "7"}"#),
        ("jwt", r#"{"iss": "b", "sub": "7"}"#),
        ("introspection", r#"{"iss": "a", "sub": "7"}"#),
        ("jwt", r#"{"sub": "7"}"#),
        ("basic", r#"{"sub": "7"}"#),
        ("jwt", r#"{"iss": "jwt", "sub": "7"}"#),
        ("jwt", r#"{"sub": ""}"#),
        ("jwt", r#"{"iss": "a"}"#),
    ];
    let keys = cases.map(|(method, claims)| read(&Key::subject(), &somebody(method, claims), None));
    assert_eq!(
        alike(&keys),
        [
            Some(0),
            Some(1),
            Some(0),
            Some(3),
            Some(4),
            Some(5),
            None,
            None
        ]
    );
    assert_eq!(read(&Key::subject(), &head(|_, _| {}), None), None);
}

#[test]
fn a_claim_is_what_it_says() {
    let cases = [
        (r#"{"t": {"id": "1"}}"#, Some(0)),
        (r#"{"t": {"id": 1}}"#, Some(1)),
        (r#"{"t": {"id": true}}"#, Some(2)),
        (r#"{"t": {"id": ["1"]}}"#, Some(3)),
        (r#"{"t": {"id": "[\"1\"]"}}"#, Some(4)),
        (r#"{"t.id": "1"}"#, Some(0)),
        (r#"{"t": {"id": null}}"#, None),
        (r#"{"t": {"id": ""}}"#, None),
        (r#"{"t": {}}"#, None),
    ];
    let keys = cases.map(|(claims, _)| read(&Key::claim("t.id"), &somebody("jwt", claims), None));
    assert_eq!(alike(&keys), cases.map(|(_, expected)| expected));
}

#[test]
fn an_api_key_is_its_identifier_and_its_owner() {
    let cases = [
        ("api-key", r#"{"sub": "a", "key_id": "k1"}"#, Some(0)),
        ("api-key", r#"{"sub": "a", "key_id": "k2"}"#, Some(1)),
        ("api-key", r#"{"sub": "b", "key_id": "k1"}"#, Some(2)),
        ("api-key", r#"{"sub": "a"}"#, Some(3)),
        ("api-key", r#"{"sub": "a", "key_id": ""}"#, Some(3)),
        ("api-key", r#"{"key_id": "k1"}"#, Some(5)),
        ("api-key", r#"{"sub": ""}"#, None),
        ("jwt", r#"{"sub": "a", "key_id": "k1"}"#, None),
    ];
    let keys = cases.map(|(method, claims, _)| {
        let head = somebody(method, claims);
        read(&Key::api_key(), &head, None)
    });
    assert_eq!(alike(&keys), cases.map(|(_, _, expected)| expected));
}

#[test]
fn a_host_is_told_without_case_and_port() {
    let cases = [
        (None, "/", "t.example", Some("t.example")),
        (None, "/", "T.Example:8080", Some("t.example")),
        (None, "/", "t.example.", Some("t.example")),
        (None, "/", "[::1]:80", Some("[::1]")),
        (None, "/", "u@t.example", None),
        (None, "/", "", None),
        (None, "/", "a\nb", None),
        (None, "http://T.example:80/", "other", Some("t.example")),
        (None, "http://u@t.example/", "other", None),
        (Some("T.example.:80"), "/", "other", Some("t.example")),
        (Some("[::1]"), "/", "other", Some("[::1]")),
    ];
    for (authority, uri, hosts, expected) in cases {
        let head = head(|head, context| {
            context.authority = authority.map(|text| text.parse().unwrap());
            head.uri = uri.parse().unwrap();
            for host in hosts.split('\n') {
                head.headers.append("host", host.parse().unwrap());
            }
        });
        let expected = expected.map(|host| {
            let mut out = KeyBytes::new();
            bytes::one(&mut out, bytes::Kind::Host, host.as_bytes());
            out.to_vec()
        });
        assert_eq!(
            read(&Key::host(), &head, None),
            expected,
            "{authority:?} {uri} {hosts}"
        );
    }
    let unknown = Request::new(()).into_parts().0;
    assert_eq!(read(&Key::host(), &unknown, None), None);
}

#[test]
fn what_the_gateway_knows_is_read_from_the_context() {
    let known = head(|head, context| {
        head.method = http::Method::POST;
        context.route = Some("users".into());
        context.params = Params::new(
            PathAndQuery::from_static("/users/42/"),
            ["id".into(), "rest".into()].into(),
            [Some(7..9), Some(10..10)],
        );
    });
    let unknown = head(|_, _| {});
    for (key, is_known, is_unknown) in [
        (Key::route(), true, false),
        (Key::param("id"), true, false),
        (Key::param("rest"), false, false),
        (Key::param("other"), false, false),
        (Key::method(), true, true),
        (Key::constant(""), true, true),
        (Key::all([Key::route(), Key::param("id")]), true, false),
        (Key::all([Key::method(), Key::param("other")]), false, false),
        (Key::all([] as [Key; 0]), false, false),
        (
            Key::from_fn(|head| (head.method == "POST").then_some("")),
            true,
            false,
        ),
    ] {
        assert_eq!(read(&key, &known, None).is_some(), is_known, "{key:?}");
        assert_eq!(
            read(&key, &unknown, None).is_some(),
            is_unknown,
            "{key:?} of nobody"
        );
    }
}

/// Answers what the header `x-is` says, after it was asked twice.
struct Slow;

impl KeyExtractor for Slow {
    async fn extract(&self, head: &Parts) -> Result<Option<Vec<u8>>, BoxError> {
        tokio::task::yield_now().await;
        match head.headers.get("x-is").map(|is| is.as_bytes()) {
            Some(b"broken") => Err("the database is away".into()),
            is => Ok(is.map(<[u8]>::to_vec)),
        }
    }

    fn mistakes(&self) -> Vec<String> {
        vec!["slow".to_owned()]
    }
}

#[tokio::test]
async fn an_extractor_is_waited_for() {
    let key = Key::all([header("x-a"), Key::from(Slow), Key::client_ip()]);
    let client = "192.0.2.7".parse().ok();
    let answer = async |is: Option<&str>| {
        let head = head(|head, _| {
            head.headers.insert("x-a", "1".parse().unwrap());
            if let Some(is) = is {
                head.headers.insert("x-is", is.parse().unwrap());
            }
        });
        let now = key.read(&head, client, &mut KeyBytes::new());
        assert_eq!(now, Now::Later);
        let (head, read) = key.wait(head, client).await;
        assert!(head.headers.contains_key("x-a"), "the head comes back");
        read.map_err(|error| error.to_string())
    };
    let (one, other) = (answer(Some("1")).await, answer(Some("2")).await);
    assert!(matches!((&one, &other), (Ok(Some(one)), Ok(Some(other))) if one != other));
    assert_eq!(answer(Some("1")).await, one);
    assert_eq!(answer(None).await, Ok(None));
    let broken = answer(Some("broken")).await;
    assert_eq!(broken, Err("the database is away".to_owned()));

    // What is missing without asking is not asked for.
    let nobody = head(|_, _| {});
    let now = key.read(&nobody, client, &mut KeyBytes::new());
    assert_eq!(now, Now::Missing);
    assert_eq!(key.wait(nobody, client).await.1.unwrap(), None);

    let (_, none) = Key::all([] as [Key; 0]).wait(head(|_, _| {}), client).await;
    assert_eq!(none.unwrap(), None);

    // Where there is nothing to wait for, it is the same key.
    let key = Key::all([header("x-a"), Key::client_ip()]);
    let head = head(|head, _| drop(head.headers.insert("x-a", "1".parse().unwrap())));
    let expected = read(&key, &head, Some("192.0.2.7"));
    let (_, waited) = key.wait(head, client).await;
    assert_eq!(waited.unwrap().map(|key| key.to_vec()), expected);
}

#[test]
fn mistakes_say_what_is_allowed() {
    let wrong = Key::all([
        Key::client_network(33, 129),
        Key::cookie("a=b"),
        Key::cookie(""),
        Key::claim(""),
        Key::param(""),
        Key::all([Slow]),
    ]);
    let mistakes = wrong.mistakes();
    assert_eq!(mistakes.len(), 7, "{mistakes:#?}");
    assert_eq!(
        mistakes[0],
        "throttle key: the IPv4 prefix is 33; it is from 0 to 32 bits"
    );
    assert!(
        mistakes
            .iter()
            .all(|mistake| mistake.starts_with("throttle key: "))
    );
    assert_eq!(Key::all([] as [Key; 0]).mistakes().len(), 1);
    for right in [
        Key::client_network(0, 0),
        Key::client_network(32, 128),
        Key::cookie("__Host-Session"),
        Key::constant(""),
        Key::subject(),
    ] {
        assert_eq!(right.mistakes(), [""; 0], "{right:?}");
    }
}

#[test]
fn what_has_to_be_known_first_is_told() {
    let none = Needs::default();
    let identity = Needs {
        identity: true,
        ..none.clone()
    };
    for (key, needs, label) in [
        (Key::client_ip(), none.clone(), "client address"),
        (
            Key::client_network(24, 48),
            none.clone(),
            "client network (/24, IPv6 /48)",
        ),
        (header("x-a"), none.clone(), "header x-a"),
        (Key::host(), none.clone(), "host"),
        (Key::from(Slow), none.clone(), "extractor"),
        (Key::subject(), identity.clone(), "subject"),
        (Key::claim("a.b"), identity.clone(), "claim a.b"),
        (Key::api_key(), identity, "API key"),
        (
            Key::all([
                Key::param("a"),
                Key::all([Key::route(), Key::param("b")]),
                Key::claim("c"),
            ]),
            Needs {
                identity: true,
                route: true,
                params: vec!["a".into(), "b".into()],
            },
            "param a + route + param b + claim c",
        ),
    ] {
        assert_eq!(key.needs(), needs, "{key:?}");
        assert_eq!(key.label(), label);
        assert_eq!(format!("{key:?}"), format!("Key({label})"));
    }
}

#[test]
fn usual_keys_are_not_on_the_heap() {
    let head = head(|head, context| {
        let claims = r#"{"iss": "https://id.example.com", "sub": "0b5a9c1e-9a3f-4c5c"}"#;
        context.set_identity(Identity::new("jwt", claims.parse().unwrap()));
        context.route = Some("users".into());
        head.headers.insert("x-tenant", "acme".parse().unwrap());
    });
    for key in [
        Key::subject(),
        Key::all([Key::client_ip(), Key::route(), header("x-tenant")]),
    ] {
        let mut out = KeyBytes::new();
        let client = "2001:db8::1".parse().ok();
        assert_eq!(key.read(&head, client, &mut out), Now::Found);
        assert!(!out.spilled(), "{key:?} has {} bytes", out.len());
    }
}
