//! Every attack that is written down has a test, and the tests are there.

use std::{collections::BTreeSet, fs, path::Path};

use crate::source::files;

/// The rows of the tables with a column for the proof: the attack, and its tests by file and name.
fn rows(document: &str) -> Vec<(&str, Vec<(&str, &str)>)> {
    let mut is_proved = false;
    let mut rows = Vec::new();
    for line in document.lines() {
        let cells = line
            .strip_prefix('|')
            .and_then(|line| line.strip_suffix('|'));
        let cells: Vec<_> = cells.into_iter().flat_map(|line| line.split('|')).collect();
        match cells[..] {
            [attack, _, proof] if is_proved && !proof.starts_with('-') => {
                let names = proof.split('`').skip(1).step_by(2);
                let tests = names.filter_map(|name| name.split_once("::"));
                rows.push((attack.trim(), tests.collect()));
            }
            [_, _, proof] => is_proved |= proof.trim() == "proof",
            _ => {
                assert!(!is_proved || cells.is_empty(), "not three cells: {line}");
                is_proved = false;
            }
        }
    }
    rows
}

/// The names of the tests in a file.
fn tests(text: &str) -> BTreeSet<&str> {
    let mut is_test = false;
    let mut found = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            continue;
        }
        let head = line.strip_prefix("async ").unwrap_or(line);
        if let Some((name, _)) = head
            .strip_prefix("fn ")
            .and_then(|head| head.split_once('('))
            && is_test
        {
            found.insert(name);
        }
        is_test = false;
    }
    found
}

#[test]
fn every_attack_has_a_test_that_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let rows = rows(&document);
    assert!(rows.len() > 50, "the tables are not read: {}", rows.len());
    let mut named = BTreeSet::new();
    for (attack, proof) in &rows {
        assert!(!proof.is_empty(), "{attack}: no test");
        for (file, name) in proof {
            let text = fs::read_to_string(root.join(file));
            let text = text.unwrap_or_else(|error| panic!("{attack}: {file}: {error}"));
            assert!(
                tests(&text).contains(name),
                "{attack}: there is no test {file}::{name}"
            );
            named.insert(((*file).to_owned(), (*name).to_owned()));
        }
    }
    // And what is tried is written down.
    for (path, text) in files("tests/auth/attacks") {
        let file = format!("tests/auth/attacks/{path}");
        for name in tests(&text) {
            let is_named = named.contains(&(file.clone(), name.to_owned()));
            assert!(is_named, "docs/security.md does not name {file}::{name}");
        }
    }
}

#[test]
fn rows_and_tests_are_read() {
    let sample = "| a | b | other |\n|---|---|---|\n| x | y | `t.rs::no` |\n\n| attack | what | proof |\n|---|---|---|\n\
        | one | y | `t.rs::a` `u/v.rs::b` |\n| two | `z` | |\n\ntext\n";
    assert_eq!(
        rows(sample),
        [
            ("one", vec![("t.rs", "a"), ("u/v.rs", "b")]),
            ("two", vec![])
        ]
    );
    let code = "#[test]\nfn a() {}\nfn b() {}\n#[cfg(x)]\n#[tokio::test(y)]\nasync fn c() {}\n  #[test]\n  fn d(\n// fn e()\n";
    assert_eq!(tests(code), BTreeSet::from(["a", "c", "d"]));
}
