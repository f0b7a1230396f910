//! The conformance table names tests that exist, and pages of AWS's documentation.

use std::path::Path;

#[test]
fn every_row_of_the_table_names_a_page_and_a_test_that_exists() {
    let local = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(local.join("CONFORMANCE.md")).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| behaviour |"));
    let (mut count, mut wrong) = (0, Vec::new());
    for row in rows {
        count += 1;
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [behaviour, page, shown] = cells[..] else { panic!("not three cells: {row}") };
        let named = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        if behaviour.is_empty() || page.is_empty() || !page.chars().all(named) {
            wrong.push(format!("no behaviour or page: {row}"));
        }
        if shown == "not done" || shown.starts_with("not done: ") {
            continue;
        }
        for test in shown.split(", ") {
            if !exists(local, test) {
                wrong.push(format!("no such test: {test}"));
            }
        }
    }
    assert!(count > 50, "the table was not found: {count} rows");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether a file has a function of this name under an attribute that makes it a test.
fn exists(local: &Path, test: &str) -> bool {
    let test = test.strip_prefix('`').and_then(|test| test.strip_suffix('`'));
    let Some((file, name)) = test.and_then(|test| test.split_once("::")) else { return false };
    let Ok(source) = std::fs::read_to_string(local.join(file)) else { return false };
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let function = format!("fn {name}(");
    lines.windows(2).any(|pair| {
        let attribute = pair[0].starts_with("#[test]") || pair[0].starts_with("#[tokio::test");
        attribute && pair[1].trim_start_matches("async ").starts_with(&function)
    })
}
