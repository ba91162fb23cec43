//! Header and query match modes by the cases of YARP's tests (MIT), `tests/data/matchers.json`.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::routing::{HeaderMatch, QueryMatch};

#[test]
fn every_case() {
    let data: Value =
        serde_json::from_str(include_str!("../../../tests/data/matchers.json")).unwrap();
    let cases = data["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 279);
    for case in cases {
        let wanted = case["shouldMatch"].as_bool().unwrap();
        let met = match (
            text(case, &["kind"]).unwrap(),
            text(case, &["case"]).unwrap(),
        ) {
            ("header", "ApplyAsync_MultipleRules_RequiresAllHeaders") => all_headers(case),
            ("query", "ApplyAsync_MultipleRules_RequiresAllQueryParameter") => all_parameters(case),
            ("header", _) => header(case),
            _ => query(case),
        };
        assert_eq!(met, wanted, "{case}");
    }
}

fn header(case: &Value) -> bool {
    let name: HeaderName = text(case, &["headerName"])
        .unwrap_or("org-id")
        .parse()
        .unwrap();
    let mut headers = HeaderMap::new();
    // In a single value `;` is data, in the plural it separates lines.
    match (
        text(case, &["incomingHeaderValue"]),
        text(case, &["incomingHeaderValues"]),
    ) {
        (Some(line), _) => drop(headers.append(&name, HeaderValue::from_str(line).unwrap())),
        (_, Some(lines)) => lines.split(';').for_each(|line| {
            headers.append(&name, HeaderValue::from_str(line).unwrap());
        }),
        _ => {}
    }
    let value = text(case, &["headerValue", "header1Value"]).unwrap_or("abc");
    let predicate = match text(case, &["mode", "headerValueMatchMode"]).unwrap() {
        "ExactHeader" => HeaderMatch::exact(name, value),
        "HeaderPrefix" => HeaderMatch::prefix(name, value),
        "Contains" => HeaderMatch::contains(name, value),
        "NotContains" => !HeaderMatch::contains(name, value),
        "Exists" => HeaderMatch::exists(name),
        "NotExists" => !HeaderMatch::exists(name),
        mode => panic!("{mode}"),
    };
    let predicate = match text(case, &["header2Value"]) {
        Some(value) => predicate.or(value),
        None => predicate,
    };
    if case["isCaseSensitive"] == false {
        predicate.ignore_case()
    } else {
        predicate
    }
    .holds(&headers)
}

fn query(case: &Value) -> bool {
    let query = text(case, &["incomingQueryParamValue"]).map(|values| {
        let parameters = values.split(';').map(|value| format!("name={value}"));
        parameters.collect::<Vec<_>>().join("&")
    });
    let value = text(case, &["queryParamValue", "queryParam1Value"]).unwrap_or("abc");
    let predicate = match text(case, &["queryParamValueMatchMode"]).unwrap_or("Exists") {
        "Exact" => QueryMatch::exact("name", value),
        "Prefix" => QueryMatch::prefix("name", value),
        "Contains" => QueryMatch::contains("name", value),
        "NotContains" => !QueryMatch::contains("name", value),
        "Exists" => QueryMatch::exists("name"),
        mode => panic!("{mode}"),
    };
    let predicate = match text(case, &["queryParam2Value"]) {
        Some(value) => predicate.or(value),
        None => predicate,
    };
    if case["isCaseSensitive"] == false {
        predicate.ignore_case()
    } else {
        predicate
    }
    .holds(query.as_deref())
}

fn all_headers(case: &Value) -> bool {
    let mut headers = HeaderMap::new();
    let names = ["header1", "header2"].map(HeaderName::from_static);
    for (name, sent) in names.iter().zip(["sendHeader1", "sendHeader2"]) {
        if case[sent] == true {
            headers.insert(name, HeaderValue::from_static("value"));
        }
    }
    let route = names.into_iter().fold(super::route("/"), |route, name| {
        route.header(HeaderMatch::exact(name, "value"))
    });
    let mut asked = super::get("/");
    asked.headers = headers;
    super::found(&super::table([route]), &asked) == "0"
}

fn all_parameters(case: &Value) -> bool {
    let sent = ["1", "2"]
        .into_iter()
        .filter(|number| case[format!("sendQueryParam{number}")] == true);
    let query = sent
        .map(|number| format!("p{number}=value"))
        .collect::<Vec<_>>()
        .join("&");
    let wanted = ["p1", "p2"].map(|name| QueryMatch::exact(name, "value"));
    let route = wanted
        .into_iter()
        .fold(super::route("/"), |route, wanted| route.query(wanted));
    super::found(&super::table([route]), &super::get("/").query(&query)) == "0"
}

fn text<'a>(case: &'a Value, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| case[*name].as_str())
}
