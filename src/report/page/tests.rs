//! The pages' markup and style.

use insta::assert_snapshot;

use super::super::header::RunHeader;
use super::super::validation::{Check, LagMinute, ValidationReport};
use super::*;

fn header() -> RunHeader {
    RunHeader { seconds: 95.0, ..RunHeader::begin("validate", "streamkit.toml".into()) }
}

fn check(name: &'static str, ok: bool) -> Check {
    Check {
        function: "processor".to_owned(),
        name: name.into(),
        ok,
        expected: "20 items".to_owned(),
        observed: "19 items".to_owned(),
        seconds: 4.0,
        hint: (!ok).then(|| "look at the log".to_owned()),
    }
}

/// What a rule of the style says; outside of `@media` unless `narrow`.
fn rule(selector: &str, narrow: bool) -> &'static str {
    let (wide, rest) = STYLE.split_once("@media screen and (max-width: 40rem) {\n").unwrap();
    let style = if narrow { rest.split_once("\n}\n").unwrap().0 } else { wide };
    let is_rule = |line: &&str| line.trim_start().strip_prefix(selector).is_some_and(|rest| rest.starts_with(" {"));
    style.lines().find(is_rule).unwrap_or_else(|| panic!("no {selector}"))
}

#[test]
fn checks_are_read_in_words_on_wide_and_narrow_screens() {
    let header = header();
    let checks = [check("canaries", true), check("alarm.dead-letters", false)];
    let page =
        validation_page(&ValidationReport { header: &header, checks: &checks, passages: &[], lag: &[], stopped: None });
    let table = page.split_once("<tbody>").unwrap().1.split_once("</tbody>").unwrap().0;
    assert_snapshot!(table.replace("<t", "\n<t").trim_start());
    // A cell that breaks anywhere is as narrow as a letter unless it has a least width, and a short word must not be broken.
    assert!(rule("th, td", false).contains("overflow-wrap: break-word"));
    assert!(rule("td.name, td.outcome, td.number", false).contains("white-space: nowrap"));
    assert!(rule("td.words", false).contains("min-width: 13rem"));
    assert!(rule("table, tbody, td.words", true).contains("display: block"));
    assert!(rule("td.words", true).contains("grid-column: 1 / -1"));
}

#[test]
fn charts_are_as_large_alone_as_in_company_and_scroll_on_narrow_screens() {
    let header = header();
    let minutes = vec![LagMinute { from: 0.0, to: 30.0, lag: 0.2 }];
    let lag = lag(&[FunctionLag { function: "processor".to_owned(), minutes }], &header).into_string();
    assert!(lag.starts_with("<div class=\"charts\"><figure>") && lag.contains("<div class=\"drawn\"><svg"), "{lag}");
    // `auto-fit` would give a chart that is alone the whole width, and letters twice as large.
    assert!(rule(".charts", false).contains("repeat(auto-fill, ") && rule("svg.chart", false).contains("max-width: "));
    // Percentiles are read on columns, too.
    assert!(rule(".chart text.mark", false).contains("paint-order: stroke"));
    assert!(rule(".drawn, .graph", false).contains("overflow-x: auto"));
    assert!(rule("svg.chart", true).contains("min-width: 36rem"));
    assert!(rule(".graph svg", true).contains("max-width: none"));
}
