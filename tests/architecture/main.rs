//! The house rules, checked: floors, clock reads, file sizes, foreign types in public signatures.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};

/// The floor of each room; a room may import lower floors and itself.
const FLOORS: [(&str, u8); 12] = [
    ("authority", 0),
    ("body", 0),
    ("clock", 0),
    ("context", 0),
    ("error", 0),
    ("path", 0),
    ("problem", 0),
    ("random", 0),
    ("client", 1),
    ("routing", 2),
    ("upstream", 2),
    ("observe", 2),
];

fn floor(room: &str) -> u8 {
    FLOORS
        .iter()
        .find(|(name, _)| *name == room)
        .map_or(3, |(_, floor)| *floor)
}

/// The files of a folder of the crate, by their paths in it.
fn files(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    walk(&root, &mut found);
    found
        .into_iter()
        .map(|(path, text)| (path.strip_prefix(&root).unwrap().to_owned(), text))
        .collect()
}

fn sources() -> Vec<(PathBuf, String)> {
    let found = files("src");
    assert!(found.len() > 40, "the sources are not where they were");
    found
}

/// The part of a file that is not its tests, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]\nmod tests") && *line != "mod tests {")
        .filter(|line| !line.trim_start().starts_with("//"))
}

fn room(path: &Path) -> String {
    let first = path
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy()
        .into_owned();
    first.trim_end_matches(".rs").to_owned()
}

fn is_test(path: &Path) -> bool {
    path.components()
        .any(|part| part.as_os_str().to_string_lossy().starts_with("tests"))
}

#[test]
fn no_floor_imports_a_higher_one_and_rooms_keep_to_themselves() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let room = room(&path);
        if room == "lib" || is_test(&path) {
            continue;
        }
        let joined = code(&text)
            .collect::<Vec<_>>()
            .join("\n")
            .replace("use crate::{\n", "use crate::{");
        for (at, _) in joined.match_indices("crate::") {
            let rest = &joined[at + "crate::".len()..];
            let names: Vec<&str> = match rest.strip_prefix('{') {
                Some(list) => {
                    let mut depth = 0;
                    let end = list
                        .find(|c| {
                            depth += i32::from(c == '{') - i32::from(c == '}');
                            depth < 0
                        })
                        .unwrap();
                    let mut depth = 0;
                    list[..end]
                        .split(|c| {
                            depth += i32::from(c == '{') - i32::from(c == '}');
                            c == ',' && depth == 0
                        })
                        .collect()
                }
                None => vec![rest],
            };
            for name in names {
                let other: String = name
                    .trim()
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if other.chars().next().is_none_or(char::is_uppercase) || other == room {
                    continue;
                }
                let (mine, theirs) = (floor(&room), floor(&other));
                if theirs > mine || (theirs == mine && mine > 0) {
                    wrong.push(format!(
                        "{}: {room} (floor {mine}) imports {other} (floor {theirs})",
                        path.display()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_file_reads_the_clock() {
    for (path, text) in sources() {
        if path == Path::new("clock.rs") || is_test(&path) {
            continue;
        }
        for line in code(&text) {
            assert!(
                !line.contains("Instant::now()") && !line.contains("SystemTime::now()"),
                "{}: {line}",
                path.display()
            );
        }
    }
}

#[test]
fn no_file_is_over_500_lines() {
    for folder in ["src", "tests", "examples", "benches"] {
        for (path, text) in files(folder) {
            let lines = text.lines().count();
            assert!(
                lines <= 500,
                "{folder}/{} has {lines} lines and wants to be two",
                path.display()
            );
        }
    }
}

#[test]
fn no_foreign_type_is_in_a_public_signature() {
    let foreign = [
        "rustls",
        "tokio_rustls",
        "h2",
        "smallvec",
        "SmallVec",
        "ipnet",
        "IpNet",
        "hyper_util",
        "memchr",
        "sha1",
    ];
    for (path, text) in sources() {
        for line in code(&text) {
            let line = line.trim_start();
            if !line.starts_with("pub fn")
                && !line.starts_with("pub struct")
                && !line.starts_with("pub enum")
            {
                continue;
            }
            // The field of a tuple struct is private unless it says otherwise.
            let signature = line
                .split_once("(")
                .filter(|_| line.starts_with("pub struct"))
                .map_or(line, |(head, _)| head);
            for name in foreign {
                let words = signature.split(|c: char| !c.is_alphanumeric() && c != '_');
                assert!(
                    words.into_iter().all(|word| word != name),
                    "{}: {line}",
                    path.display()
                );
            }
        }
    }
}
