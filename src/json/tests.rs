use proptest::prelude::*;

use super::{Value, parse, parse_object, parser::MAX_DEPTH};
use crate::json::JsonError;

#[test]
fn what_is_not_json_or_has_two_meanings_is_refused() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&deep(MAX_DEPTH)).is_ok());
    for (text, error) in [
        (deep(MAX_DEPTH + 1), JsonError::Depth(MAX_DEPTH)),
        (String::new(), JsonError::Syntax(0)),
        ("\u{feff}{}".into(), JsonError::Syntax(0)),
        ("{} {}".into(), JsonError::Syntax(3)),
        ("{\"a\":1,}".into(), JsonError::Syntax(7)),
        ("[1,]".into(), JsonError::Syntax(3)),
        ("[1 2]".into(), JsonError::Syntax(3)),
        ("{a:1}".into(), JsonError::Syntax(1)),
        ("{'a':1}".into(), JsonError::Syntax(1)),
        ("{\"a\" 1}".into(), JsonError::Syntax(5)),
        ("01".into(), JsonError::Syntax(1)),
        ("1.".into(), JsonError::Syntax(2)),
        ("+1".into(), JsonError::Syntax(0)),
        ("-".into(), JsonError::Syntax(1)),
        ("1e".into(), JsonError::Syntax(2)),
        (".5".into(), JsonError::Syntax(0)),
        ("NaN".into(), JsonError::Syntax(0)),
        ("truE".into(), JsonError::Syntax(0)),
        ("\"\u{1}\"".into(), JsonError::Syntax(1)),
        ("\"a".into(), JsonError::Syntax(2)),
        ("\"\\x\"".into(), JsonError::Syntax(2)),
        ("\"\\ud800\"".into(), JsonError::Syntax(7)),
        ("\"\\udc00\"".into(), JsonError::Syntax(2)),
        ("\"\\ud800\\u0041\"".into(), JsonError::Syntax(2)),
        ("\"\\ud800\\udbff\"".into(), JsonError::Syntax(2)),
        ("\"\\ud800\\ue000\"".into(), JsonError::Syntax(2)),
        ("\"\\ud800x\"".into(), JsonError::Syntax(7)),
        ("\"\\u00g0\"".into(), JsonError::Syntax(5)),
        ("// a\n1".into(), JsonError::Syntax(0)),
        ("\u{a0}1".into(), JsonError::Syntax(0)),
        (
            r#"{"a":1,"b":2,"a":1}"#.into(),
            JsonError::Duplicate("a".into()),
        ),
        (
            r#"{"a":1,"\u0061":2}"#.into(),
            JsonError::Duplicate("a".into()),
        ),
        (
            r#"[{"x":{"a":1,"a":2}}]"#.into(),
            JsonError::Duplicate("a".into()),
        ),
    ] {
        assert_eq!(parse(&text).err(), Some(error), "{text}");
    }
    assert_eq!(parse_object(b"[]").err(), Some(JsonError::NotAnObject));
    assert_eq!(parse_object(b"\"\xff\"").err(), Some(JsonError::Utf8));
}

#[test]
fn many_members_are_told_apart_too() {
    let object = |names: &mut dyn Iterator<Item = usize>| {
        let members: Vec<_> = names.map(|name| format!("\"{name}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    // Few are compared, many are sorted.
    for count in [1, 2, 31, 32, 33, 100] {
        assert!(parse(&object(&mut (0..count))).is_ok());
        for twice in 0..count {
            let error = parse(&object(&mut (0..count).chain([twice]))).err();
            let name = twice.to_string().into();
            assert_eq!(error, Some(JsonError::Duplicate(name)));
        }
    }
}

#[test]
fn values_are_what_they_are() {
    let text = r#" { "s" : "a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z" , "n":-12,"big":123456789012345678901234567890,
        "b":[true,false,null,1.50e+2],"o":{"a.b":{"c":"1"},"a":{"b.c":"2","b":{"d":"3"}}}} "#;
    let node = parse(text).unwrap();
    let value = Value::new(text, &node);
    let get = |path| value.find(path).unwrap();
    assert_eq!(get("s").as_str(), Some("a\"\\/\u{8}\u{c}\n\r\té\u{1f600}z"));
    assert_eq!(get("n").as_i64(), Some(-12));
    assert_eq!(get("big").as_i64(), None);
    assert_eq!(get("big").text(), "123456789012345678901234567890");
    let items: Vec<_> = get("b").items().unwrap().map(Value::json).collect();
    assert_eq!(items, ["true", "false", "null", "1.50e+2"]);
    assert_eq!(
        get("b").items().unwrap().next().unwrap().as_bool(),
        Some(true)
    );
    assert_eq!(get("o.a.b.c").as_str(), Some("1"), "the longest name first");
    assert_eq!(get("o.a.b.d").as_str(), Some("3"));
    assert_eq!(get("o.a.b").json(), r#"{"c":"1"}"#);
    for none in ["", ".", "o.", "o.x", "s.a", "b.0", "o.a.b.c.d"] {
        assert!(value.find(none).is_none(), "{none}");
    }
}

/// JSON, mostly.
fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("\"a\"".to_owned()),
        Just("\"b\\n\"".to_owned()),
        Just("\"\\ud83d\\ude00\"".to_owned()),
        "-?[0-9]{1,3}(\\.[0-9]{1,2})?(e[0-9])?",
        "(true|null|false)",
        "[\\[\\]{}:,\"\\\\ ]",
        any::<char>().prop_map(|c| format!("\"{c}\"")),
    ];
    let value = word.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(("[a-z]{1,2}", inner), 0..4).prop_map(|all| {
                let all: Vec<_> = all.iter().map(|(n, v)| format!("\"{n}\": {v}")).collect();
                format!("{{{}}}", all.join(" , "))
            }),
        ]
    });
    prop_oneof![9 => value, 1 => ".{0,12}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn serde_json_agrees(text in text()) {
        let ours = parse(&text);
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        match &ours {
            Ok(node) => {
                let theirs = theirs.unwrap();
                prop_assert_eq!(&theirs, &serde_json::from_str::<serde_json::Value>(Value::new(&text, node).json()).unwrap());
                if let Some(content) = Value::new(&text, node).as_str() {
                    prop_assert_eq!(theirs.as_str(), Some(content));
                }
            }
            // It keeps the last of two members, and ours looks no further.
            Err(JsonError::Duplicate(_)) => {}
            Err(_) => prop_assert!(theirs.is_err(), "{:?} {}", theirs, text),
        }
    }
}
