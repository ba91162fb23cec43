//! A file of more than 500 lines wants to be two.

use crate::source::files;

const MOST: usize = 500;

fn is_too_long(text: &str) -> bool {
    text.lines().count() > MOST
}

#[test]
fn no_file_is_too_long() {
    for folder in ["src", "tests", "examples", "benches"] {
        for (path, text) in files(folder) {
            assert!(!is_too_long(&text), "{folder}/{path} wants to be two");
        }
    }
    assert!(is_too_long(&"\n".repeat(MOST + 1)));
    assert!(!is_too_long(&"\n".repeat(MOST)));
}
