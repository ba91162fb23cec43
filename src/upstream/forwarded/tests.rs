use serde_json::Value;

use super::*;
use crate::path::{PathPolicy, canonicalize, join_path};

fn data() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/forwarded-headers.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn strings(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_str().unwrap())
        .collect()
}

/// The node that a case describes; the cases' random names are arguments here.
fn node(connection: &Value) -> Node<'static> {
    let format = connection["format"].as_str().unwrap();
    let (name, port) = format.split_once("And").unwrap_or((format, ""));
    let node = match (name, connection["ip"].as_str().unwrap()) {
        ("Random", _) => Node::obfuscated("_abcdefghi").unwrap(),
        ("Ip", ip) if !ip.is_empty() => Node::from(ip.parse::<IpAddr>().unwrap()),
        _ => Node::UNKNOWN,
    };
    match (port, name) {
        ("Port", _) => node.with_port(connection["port"].as_u64().unwrap().try_into().unwrap()),
        ("RandomPort", "Random") => node.with_obfuscated_port("_jklmnopqr").unwrap(),
        ("RandomPort", _) => node.with_obfuscated_port("_abcdefghi").unwrap(),
        _ => node,
    }
}

#[test]
fn public_cases() {
    let data = data();
    let cases = data["forwarded"].as_array().unwrap();
    for case in cases {
        let name: HeaderName = case["header"].as_str().unwrap().parse().unwrap();
        let action = match case["action"].as_str().unwrap() {
            "Set" => Action::Set,
            "Append" => Action::Append,
            _ => Action::Remove,
        };
        let mut headers = HeaderMap::new();
        for line in strings(&case["in_lines"]) {
            headers.append(&name, line.parse().unwrap());
        }
        let connection = &case["connection"];
        let fact = |key: &str| connection[key].as_str().filter(|fact| !fact.is_empty());
        let off = ForwardHeaders {
            client: Action::Off,
            proto: Action::Off,
            host: Action::Off,
            prefix: Action::Off,
            forwarded: Action::Off,
        };
        if name == header::FORWARDED {
            let element = match case["case"].as_str().unwrap() {
                "AllValues_Added" => Element {
                    proto: Some("https"),
                    host: Some("myHost:80"),
                    sender: Some("[::1]:10".parse::<SocketAddr>().unwrap().into()),
                    by: Node::obfuscated("_abcdefghi"),
                },
                which => Element {
                    proto: fact("scheme"),
                    host: fact("host"),
                    sender: (which == "For_Added").then(|| node(connection)),
                    by: (which == "By_Added").then(|| node(connection)),
                },
            };
            write(&mut headers, name.clone(), action, |_| text(element));
        } else {
            let prefix =
                fact("pathBase").map(|path| canonicalize(path, PathPolicy::new()).unwrap());
            let host = fact("host").map(|host| host.parse().unwrap());
            let facts = Facts {
                client: fact("remoteIp").map(|ip| ip.parse().unwrap()),
                scheme: fact("scheme").unwrap_or_default(),
                host: host.as_ref(),
                prefix: prefix.as_deref(),
                ..Facts::default()
            };
            let fields = match name.as_str() {
                "x-forwarded-for" => off.x_forwarded_for(action),
                "x-forwarded-proto" => off.x_forwarded_proto(action),
                "x-forwarded-host" => off.x_forwarded_host(action),
                _ => off.x_forwarded_prefix(action),
            };
            fields.apply(&mut headers, &facts);
        }
        let lines: Vec<_> = headers
            .get_all(&name)
            .iter()
            .map(|v| v.to_str().unwrap())
            .collect();
        assert_eq!(lines, strings(&case["out_lines"]), "{case}");
    }
}

#[test]
fn destination_cases() {
    // Every byte that is neither a path character nor a slash; the request line would have carried it so.
    fn encode(path: &str) -> String {
        let keep = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&b);
        path.bytes()
            .map(|b| {
                if keep(b) {
                    char::from(b).to_string()
                } else {
                    format!("%{b:02X}")
                }
            })
            .collect()
    }
    for case in data()["destination_uri"].as_array().unwrap() {
        let field = |key: &str| case[key].as_str().unwrap();
        let rest = field("destination_prefix")
            .strip_prefix("http://localhost")
            .unwrap();
        let query = field("query").strip_prefix('?');
        let joined = join_path(rest, &encode(field("path_decoded")), query).unwrap();
        // A target without a path is written as `/` when it is printed.
        let printed = format!("http://localhost{joined}");
        assert_eq!(printed, field("out"), "{case}");
    }
    assert!(join_path("base", "/x", None).is_err());
    assert!(join_path("/base", "x", None).is_err());
    assert!(join_path("/base", "/a b", None).is_err());
}

#[test]
fn set_shows_the_client_and_append_the_peer() {
    let host = HeaderValue::from_static("shop.example:8443");
    let facts = Facts {
        client: Some("203.0.113.7".parse().unwrap()),
        peer: Some("::ffff:10.0.0.1".parse().unwrap()),
        scheme: "https",
        host: Some(&host),
        prefix: Some("/shop"),
        by: Node::obfuscated("_front"),
    };
    let all = |action| {
        let fields = ForwardHeaders::new()
            .x_forwarded_for(action)
            .x_forwarded_proto(action)
            .x_forwarded_host(action)
            .x_forwarded_prefix(action)
            .forwarded(action);
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("203.0.113.7"));
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
        fields.apply(&mut headers, &facts);
        let mut lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(
        all(Action::Set),
        [
            "forwarded: proto=https;host=\"shop.example:8443\";for=203.0.113.7;by=_front",
            "x-forwarded-for: 203.0.113.7",
            "x-forwarded-host: shop.example:8443",
            "x-forwarded-prefix: /shop",
            "x-forwarded-proto: https",
        ]
    );
    assert_eq!(
        all(Action::Append),
        [
            "forwarded: proto=https;host=\"shop.example:8443\";for=10.0.0.1;by=_front",
            "x-forwarded-for: 10.0.0.1",
            "x-forwarded-for: 203.0.113.7",
            "x-forwarded-host: shop.example:8443",
            "x-forwarded-prefix: /shop",
            "x-forwarded-proto: http",
            "x-forwarded-proto: https",
        ]
    );
    assert_eq!(all(Action::Remove), [""; 0]);
    assert_eq!(
        all(Action::Off),
        ["x-forwarded-for: 203.0.113.7", "x-forwarded-proto: http"]
    );
}

#[test]
fn nodes() {
    for bad in ["", "_", "front", "_a b", "_a\"", "_a,b", "_ä"] {
        assert_eq!(Node::obfuscated(bad), None, "{bad}");
        assert_eq!(Node::UNKNOWN.with_obfuscated_port(bad), None, "{bad}");
    }
    let quoted = Element {
        proto: None,
        host: Some("a\"b\\c"),
        sender: None,
        by: None,
    };
    assert_eq!(quoted.to_string(), r#"host="a\"b\\c""#);
}

#[test]
fn an_address_is_written_as_the_standard_library_does() {
    for octet in 0..=u8::MAX {
        for address in [
            Ipv4Addr::new(octet, 0, 10, 255),
            Ipv4Addr::new(255, 99, octet, octet),
        ] {
            assert_eq!(dotted(address).unwrap(), address.to_string());
        }
    }
}
