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
            if let Err(why) = check(local, test) {
                wrong.push(format!("{test}: {why}"));
            }
        }
    }
    assert!(count > 50, "the table was not found: {count} rows");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether a file has a test of this name that runs by default and asserts something.
fn check(local: &Path, test: &str) -> Result<(), &'static str> {
    let test = test.strip_prefix('`').and_then(|test| test.strip_suffix('`'));
    let (file, name) = test.and_then(|test| test.split_once("::")).ok_or("this is not `FILE::TEST`")?;
    let source = std::fs::read_to_string(local.join(file)).map_err(|_| "there is no such file")?;
    let lines: Vec<&str> = source.lines().collect();
    let function = format!("fn {name}(");
    let start = lines.iter().position(|line| line.trim().trim_start_matches("async ").starts_with(&function));
    let start = start.ok_or("there is no such function")?;
    let attributes = lines[..start].iter().rev().map(|line| line.trim()).take_while(|line| line.starts_with('#'));
    let attributes: Vec<&str> = attributes.collect();
    if !attributes.iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test")) {
        return Err("the function is no test");
    }
    if attributes.iter().any(|line| line.starts_with("#[ignore")) {
        return Err("the test is ignored");
    }
    // rustfmt closes a body with a brace in the column in which the function begins.
    let indent = lines[start].len() - lines[start].trim_start().len();
    let end = format!("{}}}", &lines[start][..indent]);
    let mut body = lines[start..].iter().take_while(|line| **line != end);
    if !body.any(|line| ["assert", "check", "eventually"].iter().any(|word| line.contains(word))) {
        return Err("the test asserts nothing");
    }
    Ok(())
}
