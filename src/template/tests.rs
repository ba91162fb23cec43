use super::*;
use crate::path::{PathPolicy, canonicalize};
use http::{HeaderMap, Method, Uri};
use proptest::prelude::*;
use std::net::IpAddr;

/// A request written down for a test.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub params: Vec<(String, String)>,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub host: Option<&'static str>,
    pub claims: Option<crate::claims::Claims>,
}

impl Request {
    pub fn new(target: &str) -> Self {
        Self {
            params: Vec::new(),
            uri: target.parse().unwrap(),
            headers: HeaderMap::new(),
            host: Some("shop.example"),
            claims: None,
        }
    }

    pub fn param(mut self, name: &str, value: &str) -> Self {
        self.params.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().unwrap());
        self
    }
}

impl Facts for Request {
    fn param(&self, name: &str) -> Option<&str> {
        let param = self.params.iter().find(|param| param.0 == name)?;
        Some(&param.1)
    }
    fn method(&self) -> &Method {
        &Method::GET
    }
    fn uri(&self) -> &Uri {
        &self.uri
    }
    fn headers(&self) -> &HeaderMap {
        &self.headers
    }
    fn host(&self) -> Option<&str> {
        self.host
    }
    fn scheme(&self) -> Option<&str> {
        Some("https")
    }
    fn client_ip(&self) -> Option<IpAddr> {
        "2001:db8::1".parse().ok()
    }
    fn request_id(&self) -> Option<&str> {
        Some("r-1")
    }
    fn claims(&self) -> Option<&crate::claims::Claims> {
        self.claims.as_ref()
    }
}

fn request() -> Request {
    Request::new("/shop/caf%C3%A9?page=a+b%2Fc&page=2&empty=")
        .param("id", "caf%C3%A9")
        .param("rest", "x/y%20z/")
        .param("line", "a%0D%0Ab")
        .param("none", "")
        .header("x-tenant", "a/b; é")
        .header("x-two", "1")
        .header("x-two", "2")
        .header("x-dots", "..")
        .header("x-climb", "../../admin")
        .header("x-back", "a\\b")
        .header("x-tab", "\ta\tb")
        .header("cookie", "session=s%20=1")
}

fn render(text: &str, place: Place, facts: &Request) -> Result<Option<String>, RenderError> {
    let rendered = Template::parse(text, place).unwrap().render(facts)?;
    Ok(rendered.map(|bytes| String::from_utf8(bytes).unwrap()))
}

#[test]
fn values_are_encoded_for_their_place() {
    use Place::{Header, Path, Query};
    let cases = [
        (Path, "/v2/{id}/{*rest}", Some("/v2/caf%C3%A9/x/y%20z/")),
        (Path, "/v2/{rest}", Some("/v2/x%2Fy%20z%2F")),
        (Path, "/v2/{*absent}", Some("/v2")),
        (Path, "/{*absent}", Some("")),
        (Path, "/v2/{*none}", Some("/v2/")),
        (
            Path,
            "/t/{header.x-tenant}-{id}",
            Some("/t/a%2Fb%3B%20%C3%A9-caf%C3%A9"),
        ),
        (Path, "/{query.page}", Some("/a%20b%2Fc")),
        (Path, "/{cookie.session}", Some("/s%2520%3D1")),
        (
            Path,
            "/{request.host}/{request.client_ip}",
            Some("/shop.example/2001%3Adb8%3A%3A1"),
        ),
        (Query, "{id}", Some("caf%C3%A9")),
        (Query, "{rest}&{{x}}", Some("x%2Fy%20z%2F%26%7Bx%7D")),
        (Query, "{line}", Some("a%0D%0Ab")),
        (Query, "{request.path}", Some("%2Fshop%2Fcaf%25C3%25A9")),
        (Query, "{query.empty}{none}", Some("")),
        (Query, "{query.absent}", None),
        (Header, "{id}", Some("café")),
        (Header, "{*rest}", Some("x/y z/")),
        (Header, "{header.x-two}", Some("1, 2")),
        (Header, "{header.x-tab}", Some("a\tb")),
        (
            Header,
            "{{{request.method} {request.scheme} {request.id}}}",
            Some("{GET https r-1}"),
        ),
        (
            Header,
            "{request.path}?{request.query}",
            Some("/shop/caf%C3%A9?page=a+b%2Fc&page=2&empty="),
        ),
        (Header, "tenant={header.absent}; v=1", None),
        (Header, "", Some("")),
    ];
    for (place, text, expected) in cases {
        let rendered = render(text, place, &request());
        assert_eq!(
            rendered.as_ref().map(Option::as_deref),
            Ok(expected),
            "{text} in {place:?}"
        );
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    use Place::{Header, Path};
    let cases = [
        (
            Path,
            "/x/{absent}",
            "byte 3 of `/x/{absent}`: the request has no value for the path",
        ),
        (
            Path,
            "/{none}",
            "byte 1 of `/{none}`: the request has no value for the path",
        ),
        (
            Path,
            "/{query.empty}",
            "byte 1 of `/{query.empty}`: the request has no value for the path",
        ),
        (
            Path,
            "/{header.x-dots}",
            "the rewritten path would have a dot segment",
        ),
        (
            Path,
            "/{header.x-climb}/x",
            "the rewritten path would have a dot segment",
        ),
        (
            Path,
            "/.{query.dot}",
            "the rewritten path would have a dot segment",
        ),
        (
            Path,
            "/{header.x-back}",
            "byte 1 of `/{header.x-back}`: the value has a character that is not allowed there",
        ),
        (
            Header,
            "a {line}",
            "byte 2 of `a {line}`: the value has a character that is not allowed there",
        ),
    ];
    let mut facts = request();
    facts.uri = "/?dot=.&empty=".parse().unwrap();
    for (place, text, message) in cases {
        assert_eq!(
            render(text, place, &facts).unwrap_err().to_string(),
            message,
            "{text}"
        );
    }
}

#[test]
fn the_outcome_is_bounded() {
    for (place, byte, fits) in [
        (Place::Header, 'a', 8192),
        (Place::Query, '/', 2730),
        (Place::Path, '/', 2730),
    ] {
        let text = if place == Place::Path {
            "/{header.x-long}"
        } else {
            "{header.x-long}"
        };
        let fits = if place == Place::Path { fits - 1 } else { fits };
        let with = |length| Request::new("/").header("x-long", &byte.to_string().repeat(length));
        assert!(render(text, place, &with(fits)).is_ok(), "{place:?}");
        assert_eq!(
            render(text, place, &with(fits + 2)),
            Err(RenderError::TooLong),
            "{place:?}"
        );
        assert_eq!(
            render(text, place, &with(60_000)),
            Err(RenderError::TooLong),
            "{place:?}"
        );
    }
}

#[test]
fn mistakes_name_the_place_and_what_is_allowed() {
    use Place::{Header, Path, Query};
    let cases = [
        (Path, "/v2/{id", 4, "`{` is not closed"),
        (Header, "a}b", 1, "closes nothing"),
        (Header, "{}", 0, "a path param is"),
        (Header, "{*}", 0, "a path param is"),
        (Header, "{a b}", 0, "a path param is"),
        (Header, "{{}", 2, "closes nothing"),
        (Query, "{env.HOME}", 0, "a placeholder is"),
        (Query, "x{request.ip}", 1, "`client_ip`"),
        (Query, "{header.}", 0, "name of a header field"),
        (Query, "{header.x y}", 0, "name of a header field"),
        (Query, "{query.}", 0, "name of a query param"),
        (Query, "{cookie.a;b}", 0, "name of a cookie"),
        (Header, "a\nb", 1, "no control characters"),
        (Header, "{id}a\nb", 5, "no control characters"),
        (Path, "", 0, "begins with `/`"),
        (Path, "v2/{id}", 0, "begins with `/`"),
        (Path, "{id}", 0, "begins with `/`"),
        (Path, "/a//b", 0, "no empty segments"),
        (Path, "/a/../b", 0, "no `.` and `..`"),
        (Path, "/{id}/%C0%AF", 0, "is let through"),
        (Path, "/;x", 0, "is let through"),
        (Path, "/a?x=1", 2, "before `?`"),
        (Path, "/ä", 1, "written as an escape"),
        (Path, "/{{a}}", 1, "`%7B`"),
        (Path, "/{*rest}/x", 1, "whole end of a path"),
        (Path, "/x{*rest}", 2, "whole end of a path"),
        (Path, "/{request.path}", 1, "whole path or query"),
    ];
    for (place, text, at, reason) in cases {
        let error = Template::parse(text, place).unwrap_err();
        assert_eq!(error.at, at, "{error}");
        let message = error.to_string();
        assert!(
            message.contains(reason) && message.contains(text),
            "{message}"
        );
    }
}

#[test]
fn needs_are_compared_with_the_pattern() {
    let pattern = [
        Param {
            name: "id",
            rest: false,
        },
        Param {
            name: "rest",
            rest: true,
        },
    ];
    let unmet = |text, place| -> Vec<String> {
        let template = Template::parse(text, place).unwrap();
        (template.unmet(&pattern).iter())
            .map(|error| error.reason.to_string())
            .collect()
    };
    assert!(unmet("/{id}/{*rest}", Place::Path).is_empty());
    assert!(unmet("{rest} {*id} {header.x}", Place::Header).is_empty());
    assert_eq!(
        unmet("{a} {host}", Place::Query),
        [
            "the route's pattern has no param `a`",
            "the route's pattern has no param `host`; the request's own is `{request.host}`",
        ]
    );
    assert_eq!(
        unmet("/{rest}/{*id}", Place::Path),
        [
            "`rest` is the rest of a path here, `{*rest}`",
            "`id` is one segment here, `{id}`",
        ]
    );
}

/// A canonical path as the door makes it, also with merging of slashes turned off.
pub(crate) fn canonical_path() -> impl Strategy<Value = String> {
    proptest::collection::vec("(api|[a-z.;:@+~]|%2F|%C3%A9|%20|%25){0,4}", 1..6)
        .prop_map(|segments| format!("/{}", segments.join("/")))
        .prop_filter("canonical", |path| {
            let policy = PathPolicy::new()
                .merge_slashes(false)
                .allow_encoded_slash(true);
            canonicalize(path, policy).as_deref() == Ok(path)
        })
}

/// Whether a path is canonical but for empty segments.
pub(crate) fn is_canonical(path: &str) -> bool {
    path.starts_with('/')
        && encode::path_fault(path).is_none()
        && !encode::has_dot_segment(path.as_bytes())
}

/// Values as a client would choose them to get out of their place.
pub(crate) fn hostile_value() -> impl Strategy<Value = String> {
    "(\\.|/|%2e|%2F|\\\\|%|;|\\?|#|a|é| |&|=|\\+|\"|\t){0,6}"
}

proptest! {
    #[test]
    fn no_value_leaves_its_segment(value in hostile_value(), text in "/(a|\\.)?\\{header\\.x\\}(\\.|a)?(/b)?") {
        let facts = Request::new("/").header("x", &value);
        // The bare text may already be no path.
        if let Ok(template) = Template::parse(&text, Place::Path)
            && let Ok(Some(out)) = template.render(&facts)
        {
            let out = String::from_utf8(out).unwrap();
            prop_assert!(is_canonical(&out), "{out}");
            prop_assert_eq!(out.matches('/').count(), text.matches('/').count());
        }
    }

    #[test]
    fn params_of_a_canonical_path_stay_canonical(path in canonical_path()) {
        let rest = path.get(1..).unwrap();
        let facts = Request::new("/").param("rest", rest);
        let rendered = render("/v2/{*rest}", Place::Path, &facts);
        prop_assert_eq!(rendered, Ok(Some(format!("/v2/{rest}"))));
    }

    #[test]
    fn a_query_value_is_one_value(value in hostile_value()) {
        let facts = Request::new("/").header("x", &value);
        let out = render("{header.x}", Place::Query, &facts).unwrap().unwrap();
        prop_assert!(out.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
        prop_assert_eq!(&*encode::decode(out.as_bytes()), value.as_bytes());
    }

    #[test]
    fn a_header_value_is_valid_or_refused(value in proptest::collection::vec(any::<u8>(), 0..20)) {
        let mut encoded = Vec::new();
        encode::escape(&mut encoded, &value);
        let facts = Request::new("/").param("id", std::str::from_utf8(&encoded).unwrap());
        let template = Template::parse("{id}", Place::Header).unwrap();
        match template.render(&facts) {
            Ok(out) => prop_assert!(http::HeaderValue::from_bytes(&out.unwrap()).is_ok()),
            Err(error) => {
                let forbidden = matches!(error, RenderError::Forbidden { .. });
                prop_assert!(forbidden);
                prop_assert!(value.iter().any(|&b| encode::is_control(b)));
            }
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[/{}*.%a-z? é]{0,24}") {
        for place in [Place::Path, Place::Query, Place::Header] {
            if let Ok(template) = Template::parse(&text, place) {
                _ = template.render(&request());
            }
        }
    }
}

#[test]
fn a_claim_can_be_read_back_from_a_header() {
    for (json, expected) in [
        (r#""alice""#, Some("alice")),
        (r#""Jane Doe""#, Some("Jane Doe")),
        (r#"" x ""#, Some("%20x%20")),
        (r#"" ""#, Some("%20")),
        (r#""a%41""#, Some("a%2541")),
        (r#""a,b""#, Some("a%2Cb")),
        (r#"["a,b"]"#, Some("a%2Cb")),
        (r#"["a","b c"]"#, Some("a,b c")),
        (r#"["a",""]"#, Some("a,")),
        (r#""é\r\nx: y""#, Some("%C3%A9%0D%0Ax: y")),
        ("7", Some("7")),
        ("true", Some("true")),
        (r#"{"a": [1]}"#, Some(r#"{"a": [1]}"#)),
        (r#""""#, None),
        ("[]", None),
        ("null", None),
    ] {
        let claims = format!(r#"{{"a": {{"b": {json}}}}}"#).parse().unwrap();
        let facts = Request {
            claims: Some(claims),
            ..Request::new("/")
        };
        let render = |text, place| {
            let value = Template::parse(text, place).unwrap().render(&facts);
            value.map(|value| value.map(|value| String::from_utf8(value).unwrap()))
        };
        let value = render("{claims.a.b}", Place::Header).unwrap();
        assert_eq!(value.as_deref(), expected, "{json}");
        assert_eq!(render("{claims.a.c}", Place::Header), Ok(None));
        let query = render("{claims.a.b}", Place::Query).unwrap();
        assert_eq!(query.is_some(), expected.is_some());
        let path = render("/{claims.a.b}", Place::Path);
        assert_eq!(
            path.is_ok(),
            expected.is_some() && !json.contains("\\r"),
            "{json}"
        );
    }
    assert_eq!(
        Template::parse("{claims.sub}", Place::Header)
            .unwrap()
            .render(&Request::new("/")),
        Ok(None),
        "nobody is known"
    );
    assert!(Template::parse("{claims.}", Place::Header).is_err());
}

proptest! {
    #[test]
    fn two_claims_are_never_the_same_header(one in claim(), other in claim()) {
        let render = |claim: &serde_json::Value| {
            let facts = Request {
                claims: Some(crate::claims::Claims::new().with("a", claim)),
                ..Request::new("/")
            };
            let template = Template::parse("{claims.a}", Place::Header).unwrap();
            template.render_header(&facts).unwrap()
        };
        let (first, second) = (render(&one), render(&other));
        // A text is a list of one: some issuers have it so.
        let list = |claim: &serde_json::Value| claim.as_array().cloned().unwrap_or(vec![claim.clone()]);
        prop_assert!(first.is_none() || first != second || list(&one) == list(&other));
    }
}

/// A text, or some, of characters that matter.
fn claim() -> impl Strategy<Value = serde_json::Value> {
    let text = || "[a, %é2C0\r]{0,4}";
    prop_oneof![
        text().prop_map(serde_json::Value::from),
        proptest::collection::vec(text(), 1..3).prop_map(serde_json::Value::from),
    ]
}
