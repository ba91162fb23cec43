//! Cases that come from elsewhere say where from.

use std::{collections::BTreeSet, fs, path::Path};

/// The files that the first column of a table names.
fn listed(table: &str) -> BTreeSet<String> {
    let name = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    table.lines().filter_map(name).collect()
}

#[test]
fn every_file_of_cases_has_its_source() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let table = fs::read_to_string(folder.join("README.md")).unwrap();
    let files = fs::read_dir(folder).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let cases: BTreeSet<_> = names.filter(|name| name != "README.md").collect();
    assert_eq!(listed(&table), cases);

    let sample = "| file | source |\n|---|---|\n| `a.json` | b, see `c.json` |\n";
    assert_eq!(listed(sample), BTreeSet::from(["a.json".to_owned()]));
}
