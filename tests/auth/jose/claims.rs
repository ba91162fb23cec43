//! What tokens claim, and when that is good enough.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::json;
use tower_gateway::auth::jose::{ClaimError, ClaimPolicy, Claims};

fn at(seconds: f64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs_f64(seconds)
}

fn claims(json: &str) -> Claims {
    Claims::parse(json).unwrap()
}

/// A name for what is wrong.
fn outcome(policy: &ClaimPolicy, json: &str, now: f64) -> String {
    match policy.check(&claims(json), at(now)) {
        Ok(()) => "good".into(),
        Err(ClaimError::Missing(claim)) => format!("no {claim}"),
        Err(ClaimError::Expired { .. }) => "expired".into(),
        Err(ClaimError::NotYetValid { .. }) => "early".into(),
        Err(ClaimError::IssuedInFuture { .. }) => "future".into(),
        Err(ClaimError::Lifetime { .. }) => "long".into(),
        Err(ClaimError::Issuer) => "issuer".into(),
        Err(ClaimError::Audience) => "audience".into(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn times_at_their_edges() {
    let strict = ClaimPolicy::new().leeway(Duration::ZERO);
    let default = ClaimPolicy::new();
    let short = strict.clone().max_lifetime(Duration::from_secs(100));
    for (policy, json, now, wanted) in [
        (&strict, r#"{"exp":1000}"#, 999.0, "good"),
        (&strict, r#"{"exp":1000}"#, 999.999, "good"),
        (&strict, r#"{"exp":1000}"#, 1000.0, "expired"),
        (&strict, r#"{"exp":1000.5}"#, 1000.25, "good"),
        (&strict, r#"{"exp":1000.5}"#, 1000.5, "expired"),
        (&strict, r#"{"exp":1e3}"#, 999.0, "good"),
        (&strict, r#"{"exp":1e3}"#, 1000.0, "expired"),
        (&strict, r#"{"exp":0}"#, 0.0, "expired"),
        (&default, r#"{"exp":1000}"#, 1059.999, "good"),
        (&default, r#"{"exp":1000}"#, 1060.0, "expired"),
        (&strict, r#"{"exp":1000,"nbf":900}"#, 899.999, "early"),
        (&strict, r#"{"exp":1000,"nbf":900}"#, 900.0, "good"),
        (&default, r#"{"exp":1000,"nbf":900}"#, 839.999, "early"),
        (&default, r#"{"exp":1000,"nbf":900}"#, 840.0, "good"),
        (&strict, r#"{"exp":1000,"iat":900}"#, 899.999, "future"),
        (&strict, r#"{"exp":1000,"iat":900}"#, 900.0, "good"),
        (&default, r#"{"exp":1000,"iat":900}"#, 839.999, "future"),
        (&default, r#"{"exp":1000,"iat":900}"#, 840.0, "good"),
        (&strict, r#"{"exp":253402300799}"#, 0.0, "good"),
        (&short, r#"{"exp":200,"iat":100}"#, 150.0, "good"),
        (&short, r#"{"exp":200.001,"iat":100}"#, 150.0, "long"),
        (&short, r#"{"exp":200}"#, 150.0, "no iat"),
        (&short, r#"{"iat":100}"#, 150.0, "no exp"),
        (&strict, r#"{}"#, 0.0, "no exp"),
        (&strict, r#"{"sub":"a"}"#, 0.0, "no exp"),
    ] {
        assert_eq!(outcome(policy, json, now), wanted, "{json} {now}");
    }
    let lasting = ClaimPolicy::new().optional_expiry();
    assert_eq!(outcome(&lasting, "{}", 0.0), "good");
    assert_eq!(outcome(&lasting, r#"{"exp":1}"#, 61.0), "expired");
    // Issued after it expired.
    let patient = short.leeway(Duration::from_secs(1000));
    assert_eq!(outcome(&patient, r#"{"exp":100,"iat":101}"#, 101.0), "long");
    let endless = ClaimPolicy::new().leeway(Duration::MAX);
    let json = r#"{"exp":1,"nbf":9000,"iat":9000}"#;
    assert_eq!(outcome(&endless, json, 5000.0), "good");
    // A clock that is before 1970.
    let before = UNIX_EPOCH - Duration::from_secs(1);
    let strict = ClaimPolicy::new().leeway(Duration::ZERO);
    assert!(strict.check(&claims(r#"{"exp":0}"#), before).is_ok());
}

#[test]
fn who_issued_it_for_whom() {
    let policy = ClaimPolicy::new().optional_expiry();
    let issuer = policy.clone().any_audience().issuer("https://a.example");
    let any = policy.clone().audience(["a", "b"]);
    let all = policy.clone().all_audiences(["a", "b"]);
    let none = policy.clone().audience(Vec::<String>::new());
    for (policy, json, wanted) in [
        (&issuer, r#"{"iss":"https://a.example"}"#, "good"),
        (&issuer, r#"{"iss":"https://a.example/"}"#, "issuer"),
        (&issuer, r#"{"iss":"https://A.example"}"#, "issuer"),
        (&issuer, r#"{"iss":"https://a.example\u0000"}"#, "issuer"),
        (&issuer, r#"{"iss":""}"#, "issuer"),
        (&issuer, r#"{}"#, "no iss"),
        (&policy, r#"{"iss":"x"}"#, "good"),
        (&policy, r#"{}"#, "good"),
        (&policy, r#"{"aud":"a"}"#, "audience"),
        (&policy, r#"{"aud":[]}"#, "audience"),
        (&issuer, r#"{"iss":"https://a.example","aud":"x"}"#, "good"),
        (&any, r#"{"aud":"a"}"#, "good"),
        (&any, r#"{"aud":["x","b"]}"#, "good"),
        (&any, r#"{"aud":["x"]}"#, "audience"),
        (&any, r#"{"aud":"a b"}"#, "audience"),
        (&any, r#"{"aud":"A"}"#, "audience"),
        (&any, r#"{"aud":[]}"#, "audience"),
        (&any, r#"{}"#, "no aud"),
        (&all, r#"{"aud":["b","x","a"]}"#, "good"),
        (&all, r#"{"aud":["a","a"]}"#, "audience"),
        (&all, r#"{"aud":"a"}"#, "audience"),
        (&all, r#"{}"#, "no aud"),
        (&none, r#"{"aud":"a"}"#, "audience"),
    ] {
        assert_eq!(outcome(policy, json, 0.0), wanted, "{json}");
    }
}

#[test]
fn claims_that_are_required() {
    let policy = ClaimPolicy::new().optional_expiry();
    let policy = policy.require(["sub"]).require(["realm_access.roles"]);
    for (json, wanted) in [
        (r#"{"sub":"a","realm_access":{"roles":[]}}"#, "good"),
        (r#"{"sub":"a","realm_access.roles":1}"#, "good"),
        (r#"{"sub":"a","realm_access":{}}"#, "no realm_access.roles"),
        (r#"{"realm_access":{"roles":[]}}"#, "no sub"),
        (
            r#"{"sub":"a","realm_access":{"roles":null}}"#,
            "no realm_access.roles",
        ),
    ] {
        assert_eq!(outcome(&policy, json, 0.0), wanted, "{json}");
    }
}

#[test]
fn registered_claims_have_their_types() {
    let string = "has to be a string";
    let strings = "has to be a string, or an array of strings";
    let time = "has to be seconds since 1970, as a number from 0 to the year 9999";
    for (claim, json, wrong) in [
        ("iss", r#"{"iss":1}"#, string),
        ("iss", r#"{"iss":null}"#, string),
        ("iss", r#"{"iss":["a"]}"#, string),
        ("sub", r#"{"sub":1}"#, string),
        ("sub", r#"{"sub":{}}"#, string),
        ("jti", r#"{"jti":true}"#, string),
        ("aud", r#"{"aud":null}"#, strings),
        ("aud", r#"{"aud":1}"#, strings),
        ("aud", r#"{"aud":["a",1]}"#, strings),
        ("aud", r#"{"aud":[["a"]]}"#, strings),
        ("aud", r#"{"aud":{"a":"a"}}"#, strings),
        ("scope", r#"{"scope":1}"#, strings),
        ("scp", r#"{"scp":{}}"#, strings),
        ("exp", r#"{"exp":"1000"}"#, time),
        ("exp", r#"{"exp":null}"#, time),
        ("exp", r#"{"exp":[1]}"#, time),
        ("exp", r#"{"exp":true}"#, time),
        ("exp", r#"{"exp":-1}"#, time),
        ("exp", r#"{"exp":-0.5}"#, time),
        ("exp", r#"{"exp":253402300799.5}"#, time),
        ("exp", r#"{"exp":253402300800}"#, time),
        ("exp", r#"{"exp":18446744073709551615}"#, time),
        ("exp", r#"{"exp":18446744073709551616}"#, time),
        ("exp", r#"{"exp":1e19}"#, time),
        ("exp", r#"{"exp":1e400}"#, time),
        ("exp", r#"{"exp":-1e400}"#, time),
        ("nbf", r#"{"nbf":"1"}"#, time),
        ("iat", r#"{"iat":-1}"#, time),
    ] {
        let error = Claims::parse(json).unwrap_err();
        assert_eq!(error, ClaimError::Type { claim, wrong }, "{json}");
    }
    for json in [r#"{"exp":NaN}"#, r#"{"exp":Infinity}"#, r#"{"exp":0x10}"#] {
        assert!(matches!(Claims::parse(json), Err(ClaimError::Json(_))));
    }
    assert_eq!(claims(r#"{"exp":-0}"#).expires_at(), Some(UNIX_EPOCH));
}

#[test]
fn what_is_claimed() {
    let payload = r#"{"iss":"i","sub":"s","aud":["a","b"],"jti":"j","exp":3.5,"nbf":1,"iat":2,
        "scope":"read  write","scp":["admin","a b"],"https://x.example/tenant":{"id":7},"n":12345678901234567890123}"#;
    let claims = claims(payload);
    assert_eq!(claims.issuer(), Some("i"));
    assert_eq!(claims.subject(), Some("s"));
    assert_eq!(claims.id(), Some("j"));
    assert_eq!(claims.audience().collect::<Vec<_>>(), ["a", "b"]);
    let scopes: Vec<_> = claims.scopes().collect();
    assert_eq!(scopes, ["read", "write", "admin", "a", "b"]);
    assert_eq!(claims.expires_at(), Some(at(3.5)));
    assert_eq!(claims.not_before(), Some(at(1.0)));
    assert_eq!(claims.issued_at(), Some(at(2.0)));
    let id = claims.get("https://x.example/tenant.id").unwrap();
    assert_eq!(id.as_i64(), Some(7));
    let number = claims.get("n").unwrap();
    assert_eq!(number.text(), "12345678901234567890123");
    assert_eq!(claims.as_json(), payload);

    let own: serde_json::Value = claims.deserialize().unwrap();
    assert_eq!(own["aud"], json!(["a", "b"]));
    let error = claims.deserialize::<Vec<u8>>().unwrap_err();
    assert!(matches!(error, ClaimError::Deserialize(_)));

    let empty = Claims::parse("{}").unwrap();
    assert_eq!(empty.subject(), None);
    assert_eq!(empty.audience().count() + empty.scopes().count(), 0);
    let one = Claims::parse(r#"{"aud":"a"}"#).unwrap();
    assert_eq!(one.audience().collect::<Vec<_>>(), ["a"]);
}

proptest! {
    /// A token is good in one stretch of time, which leeway makes longer at both ends.
    #[test]
    fn good_from_when_to_when(
        exp in 0..5000_u64,
        nbf in prop::option::of(0..5000_u64),
        iat in prop::option::of(0..5000_u64),
        leeway in 0..300_u64,
        now in 0..6000_u64,
    ) {
        let mut json = json!({"exp": exp});
        for (name, time) in [("nbf", nbf), ("iat", iat)] {
            if let Some(time) = time {
                json[name] = time.into();
            }
        }
        let policy = ClaimPolicy::new().leeway(Duration::from_secs(leeway));
        let begin = nbf.max(iat).unwrap_or(0);
        let is_good = now < exp + leeway && now + leeway >= begin;
        let claims = Claims::parse(json.to_string()).unwrap();
        let outcome = policy.check(&claims, UNIX_EPOCH + Duration::from_secs(now));
        prop_assert_eq!(outcome.is_ok(), is_good);
    }

    /// Whatever it is, it is read or refused.
    #[test]
    fn any_payload(bytes in prop::collection::vec(any::<u8>(), 0..60), text in "[{}\\[\\]:,\"a-e0-9. ]{0,60}") {
        for payload in [bytes, text.into_bytes()] {
            if let Ok(claims) = Claims::parse(&payload) {
                let is_object = serde_json::from_slice::<serde_json::Value>(&payload).unwrap().is_object();
                prop_assert!(is_object);
                prop_assert_eq!(claims.as_json().as_bytes(), &*payload);
            }
        }
    }
}
