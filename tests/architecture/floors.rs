//! No floor names a higher one, and the rooms of one floor do not name each other.

use std::collections::BTreeSet;

use crate::{mentions::Mentions, names::Names, source::Source};

/// The floor of each room. The rooms of the ground know each other.
const FLOORS: &[(&str, u8)] = &[
    ("field", 0),
    ("authority", 0),
    ("background", 0),
    ("body", 0),
    ("claims", 0),
    ("clock", 0),
    ("context", 0),
    ("cookie", 0),
    ("date", 0),
    ("error", 0),
    ("identity", 0),
    ("json", 0),
    ("networks", 0),
    ("path", 0),
    ("problem", 0),
    ("random", 0),
    ("rendezvous", 0),
    ("service", 0),
    ("sticky", 0),
    ("template", 0),
    ("timer", 0),
    ("tls", 0),
    ("client", 1),
    ("redis", 1),
    ("mirror", 2),
    ("deadline", 2),
    ("load", 2),
    ("auth", 2),
    ("breaker", 2),
    ("observe", 2),
    ("retry", 2),
    ("routing", 2),
    ("cache", 2),
    ("throttle", 2),
    ("upstream", 2),
    ("gateway", 3),
];

fn floor(room: &str) -> Option<u8> {
    let known = FLOORS.iter().find(|(name, _)| *name == room);
    known.map(|(_, floor)| *floor)
}

fn wrong(source: &Source) -> BTreeSet<String> {
    let names = Names::new(source);
    let mut wrong = BTreeSet::new();
    for (path, module) in &source.modules {
        let Some(room) = path.first() else { continue };
        let Some(mine) = floor(room) else {
            wrong.insert(format!("{}: {room} has no floor", module.file));
            continue;
        };
        let named = Mentions::of(&module.items).paths;
        let trails = named.iter().flat_map(|named| names.trail(path, named));
        for stop in trails.filter(|stop| stop[0] == "crate") {
            let Some((other, theirs)) = stop.get(1).and_then(|name| Some((name, floor(name)?)))
            else {
                continue;
            };
            if other != room && (theirs > mine || theirs == mine && mine > 0) {
                wrong.insert(format!(
                    "{}: {room} (floor {mine}) names {} (floor {theirs})",
                    module.file,
                    stop.join("::")
                ));
            }
        }
    }
    wrong
}

#[test]
fn no_floor_names_a_higher_one_and_rooms_keep_to_themselves() {
    let wrong = wrong(&Source::library());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_floors_are_those_of_the_documentation() {
    let text = include_str!("../../docs/ARCHITECTURE.md");
    let source = Source::library();
    let mut documented = Vec::new();
    for row in text.lines() {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, floor, rooms, ..] = *cells else {
            continue;
        };
        let Some(floor) = floor
            .split(' ')
            .next()
            .and_then(|floor| floor.parse::<u8>().ok())
        else {
            continue;
        };
        for word in rooms.split('`').skip(1).step_by(2) {
            let room = word.trim_end_matches('/').to_owned();
            if source.modules.contains_key(std::slice::from_ref(&room)) {
                documented.push((room, floor));
            }
        }
    }
    documented.sort();
    let floors = FLOORS.iter();
    let mut floors: Vec<_> = floors
        .map(|(room, floor)| ((*room).to_owned(), *floor))
        .collect();
    floors.sort();
    assert_eq!(documented, floors);
}

#[test]
fn what_goes_up_or_across_is_found() {
    let wrong_in = |file: &str, text: &str| {
        let mut files = vec![
            (
                "lib.rs",
                "mod body; mod client; mod routing; mod upstream; mod gateway; pub use gateway::Gateway; pub use body::Body;",
            ),
            ("body.rs", "pub struct Body;"),
            ("client.rs", "pub(crate) struct Client;"),
            ("routing.rs", "mod table { } pub struct Facts;"),
            (
                "upstream.rs",
                "pub(crate) use crate::client::Client; pub struct Proxy;",
            ),
            ("gateway.rs", "pub struct Gateway;"),
        ];
        files.retain(|(name, _)| *name != file);
        files.push((file, text));
        !wrong(&Source::sample(&files)).is_empty()
    };
    for (file, text) in [
        ("body.rs", "use crate::client::Client;"),
        ("body.rs", "use crate::{client::{Client}};"),
        ("body.rs", "use super::{gateway as g};"),
        ("body.rs", "use crate::Gateway;"),
        ("body.rs", "mod a { use super::super::client; }"),
        (
            "body.rs",
            "mod a { fn b() -> super::super::super::client::Client {} }",
        ),
        ("body.rs", "use crate::*; fn a(_: client::Client) {}"),
        ("body.rs", "fn a() { say!(\"{}\", crate::client::Client) }"),
        (
            "body.rs",
            "macro_rules! a { () => { use crate::{gateway, body}; } }",
        ),
        ("body.rs", "use crate as me; fn a() { me::gateway::new() }"),
        ("client.rs", "impl crate::routing::Facts { }"),
        (
            "routing.rs",
            "mod table { use super::super::upstream::Proxy; }",
        ),
        (
            "routing.rs",
            "mod table { use crate::{body::Body, upstream::Proxy}; }",
        ),
        // By way of another room, whatever it is that it hands on.
        ("routing.rs", "use crate::upstream::Client;"),
        ("cellar.rs", ""),
    ] {
        if file == "cellar.rs" {
            let source = Source::sample(&[("lib.rs", "mod cellar;"), (file, text)]);
            assert!(!wrong(&source).is_empty(), "a room without a floor");
        } else {
            assert!(wrong_in(file, text), "{file}: {text}");
        }
    }
    for (file, text) in [
        (
            "gateway.rs",
            "use crate::{client, routing::Facts, upstream::Client, Body}; pub struct Gateway;",
        ),
        (
            "routing.rs",
            "use crate::client::Client; mod table { use super::Facts; } pub struct Facts;",
        ),
        (
            "body.rs",
            "//! [`crate::gateway`]\n#[cfg(test)] mod tests { use crate::gateway; } pub struct Body;",
        ),
        (
            "body.rs",
            "use super::body; pub struct Body; fn client(gateway: u8) -> u8 { gateway }",
        ),
    ] {
        assert!(!wrong_in(file, text), "{file}: {text}");
    }
}
