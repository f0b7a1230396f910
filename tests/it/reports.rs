//! The files that tell of runs: JUnit XML and pages. They are read again, as XML, and must not need anything else.

use std::path::Path;
use std::process::{Command, Stdio};

use roxmltree::{Document, Node, ParsingOptions};

use crate::harness::{Home, finish, pipeline};

fn parsed(text: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn named<'a, 'i>(document: &'a Document<'i>, name: &str) -> Vec<Node<'a, 'i>> {
    document.descendants().filter(|node| node.has_tag_name(name)).collect()
}

/// All text below a node.
fn text(node: Node<'_, '_>) -> String {
    node.descendants().filter_map(|node| node.text().filter(|_| node.is_text())).collect()
}

/// The page, which loads and runs nothing.
fn page(text: &str) -> Document<'_> {
    assert!(text.starts_with("<!DOCTYPE html>"), "{text}");
    let page = parsed(text);
    let policy =
        named(&page, "meta").into_iter().find(|meta| meta.attribute("http-equiv") == Some("Content-Security-Policy"));
    assert_eq!(policy.unwrap().attribute("content"), Some("default-src 'none'; style-src 'unsafe-inline'"));
    for node in page.descendants().filter(Node::is_element) {
        let name = node.tag_name().name();
        assert!(
            !["script", "link", "img", "iframe", "object", "embed", "image", "use", "base", "a"].contains(&name),
            "{name}"
        );
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(!name.starts_with("on") && !name.contains("href") && name != "src", "{name}={value}");
            assert!(!value.contains("url(") || value == "url(#end)", "{name}={value}");
        }
        if node.has_tag_name("style") {
            let style = node.text().unwrap_or_default();
            assert!(!style.contains("url(") && !style.contains("@import"), "{style}");
        }
    }
    page
}

fn quick(home: &Home) -> std::path::PathBuf {
    home.retail(&[("batch_window = \"5s\"", "batch_window = \"0s\"")])
}

fn read(home: &Home, name: &str) -> String {
    std::fs::read_to_string(home.path().join(name)).unwrap()
}

const FILES: [&str; 4] = ["--junit", "checks.xml", "--report", "page.html"];

#[test]
fn a_run_of_validate_is_told_as_junit_and_as_a_page() {
    let home = Home::new();
    let spec = quick(&home);
    home.local("up", &spec, &["--yes"]);
    let report = home.local("validate", &spec, &FILES);
    let checks = report["checks"].as_array().unwrap();

    let junit = read(&home, "checks.xml");
    let junit = parsed(&junit);
    let all = junit.root_element();
    let count = |node: Node<'_, '_>, name: &str| node.attribute(name).unwrap().parse::<usize>().unwrap();
    assert_eq!((count(all, "tests"), count(all, "failures"), count(all, "errors")), (checks.len(), 0, 0));
    assert!(all.attribute("time").unwrap().parse::<f64>().unwrap() > 0.0);
    let suites = named(&junit, "testsuite");
    assert_eq!(suites.len(), 1);
    assert_eq!((suites[0].attribute("name"), count(suites[0], "tests")), (Some("function.processor"), checks.len()));
    let properties = named(&junit, "property");
    let property = |name: &str| properties.iter().find(|node| node.attribute("name") == Some(name))?.attribute("value");
    assert_eq!((property("pipeline"), property("region")), (Some("retail-events"), Some("us-east-1")));
    let cases = named(&junit, "testcase");
    for (case, check) in cases.iter().zip(checks) {
        assert_eq!(case.attribute("name"), check["name"].as_str());
        assert_eq!(case.attribute("classname"), Some("retail-events.processor"));
        assert_eq!(case.attribute("time").unwrap(), format!("{:.3}", check["seconds"].as_f64().unwrap()));
        assert!(text(*case).contains(check["observed"].as_str().unwrap()), "{check:#}");
    }
    assert_eq!(named(&junit, "system-out").len(), checks.len());

    let page_text = read(&home, "page.html");
    let page = page(&page_text);
    let rows = named(&page, "tbody").into_iter().flat_map(|body| body.children().filter(|row| row.has_tag_name("tr")));
    let rows: Vec<_> = rows.map(text).collect();
    assert_eq!(rows.len(), checks.len());
    for (row, check) in rows.iter().zip(checks) {
        assert!(row.contains(check["expected"].as_str().unwrap()) && !row.contains("FAILED"), "{row}");
    }
    let whole = text(page.root_element());
    assert!(whole.contains(&format!("all {} checks ok", checks.len())), "{whole}");
    for heading in ["End-to-end latency", "Latency over time", "Throughput", "The pipeline"] {
        assert!(whole.contains(heading), "no {heading} in {whole}");
    }
    // The columns of the histogram are all events whose latency was measured.
    let histogram =
        named(&page, "svg").into_iter().find(|svg| svg.attribute("aria-label") == Some("histogram of latencies"));
    let columns = histogram.unwrap().descendants().filter(|node| node.has_tag_name("title")).map(text);
    let measured: usize = columns.map(|title| title.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum();
    let dots = named(&page, "circle").into_iter().filter(|dot| dot.attribute("class") == Some("one")).count();
    assert!(measured >= 50 && dots >= measured, "{measured} events, {dots} dots");
    assert!(named(&page, "svg").iter().any(|svg| svg.attribute("class") == Some("picture")));
}

#[test]
fn what_fails_and_what_is_never_tried_is_in_the_files() {
    let home = Home::new();
    let spec = quick(&home);
    let refused = home.local_output("validate", &spec, &["--junit", "nowhere/checks.xml"]).expect(2);
    assert!(refused.stderr.contains("can't write nowhere/checks.xml: "), "{refused:#?}");
    assert!(!home.path().join("state").exists(), "nobody was asked");

    // Not up: no check is tried.
    home.endpoint();
    home.local_output("validate", &spec, &FILES).expect(1);
    let junit = read(&home, "checks.xml");
    let junit = parsed(&junit);
    assert_eq!(junit.root_element().attribute("errors"), Some("1"));
    let error = named(&junit, "error")[0];
    assert!(error.attribute("message").unwrap().contains("no event can flow"), "{error:?}");
    assert!(text(page(&read(&home, "page.html")).root_element()).contains("ended early: "));

    home.local("up", &spec, &["--yes"]);
    let text_of = std::fs::read_to_string(&spec).unwrap();
    // A name that would be markup, and a setting that AWS does not have.
    let spec = home.write("a<b>&\"c\".toml", &text_of.replace("memory = 256", "memory = 512"));
    home.local_output("validate", &spec, &FILES).expect(1);
    let junit = read(&home, "checks.xml");
    let junit = parsed(&junit);
    assert_eq!(
        (junit.root_element().attribute("failures"), junit.root_element().attribute("errors")),
        (Some("1"), Some("0"))
    );
    let failure = named(&junit, "failure")[0];
    assert_eq!(failure.parent().unwrap().attribute("name"), Some("resources"));
    assert!(
        failure.attribute("message").unwrap().contains("memory") && text(failure).contains("hint: "),
        "{failure:?}"
    );
    let parts: Vec<_> = failure.parent().unwrap().children().filter(Node::is_element).collect();
    assert_eq!(parts, [failure], "it is said once");
    let path =
        junit.descendants().find(|node| node.attribute("name") == Some("spec")).unwrap().attribute("value").unwrap();
    assert!(path.ends_with("a<b>&\"c\".toml"), "{path}");
    let shown = text(page(&read(&home, "page.html")).root_element());
    assert!(shown.contains(" checks FAILED") && shown.contains("a<b>&\"c\".toml"), "{shown}");
}

#[test]
#[cfg(unix)]
fn an_interrupted_run_has_its_files() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    home.write("checks.xml", "of an earlier run");
    // It takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    for (command, files) in [("validate", &FILES[..]), ("send", &FILES[2..])] {
        let child = home
            .command()
            .args([command, spec.to_str().unwrap(), "--endpoint-url", &endpoint, "--region", "us-east-1"])
            .args(files)
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let call = silent.accept().unwrap();
        // What an earlier run wrote must not be taken for this one's.
        assert_eq!(read(&home, files[1]), "");
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        finish(child).expect(130);
        drop(call);
        assert!(text(page(&read(&home, "page.html")).root_element()).contains("ended early: interrupted"));
    }
    let junit = read(&home, "checks.xml");
    assert_eq!(named(&parsed(&junit), "error")[0].attribute("message"), Some("interrupted"));
}

#[test]
fn a_run_of_send_is_told_as_a_page() {
    let home = Home::new();
    let runs = [(quick(&home), "records", "1200", "1,200"), (pipeline("change-capture.toml"), "changes", "60", "60")];
    for (spec, what, count, grouped) in runs {
        home.local("up", &spec, &["--yes"]);
        let sent = home.local("send", &spec, &["--count", count, "--seed", "7", "--report", "sent.html"]);
        let page_text = read(&home, "sent.html");
        let page = page(&page_text);
        let whole = text(page.root_element());
        let said = format!("sent {grouped} {} to ", if what == "records" { "events" } else { what });
        assert!(whole.contains(&said) && whole.contains("seed 7"), "{whole}");
        assert_eq!(sent["sent"].to_string(), count);
        let fact = named(&page, "dt").into_iter().find(|name| name.text() == Some("sent")).unwrap();
        assert_eq!(fact.next_sibling_element().unwrap().text(), Some(grouped));
        assert!(whole.contains(&format!("{what} that AWS had taken")), "{whole}");
        let labels = ["throughput over time", "histogram of calls"];
        for label in labels {
            let chart = named(&page, "svg").into_iter().find(|svg| svg.attribute("aria-label") == Some(label)).unwrap();
            assert!(chart.descendants().any(|node| node.has_tag_name("rect")), "{label}");
        }
        assert!(named(&page, "svg").iter().any(|svg| svg.attribute("class") == Some("picture")));
    }
    let refused = home.run(&["send", "--report", Path::new("nowhere/page.html").to_str().unwrap()]).expect(2);
    assert!(refused.stderr.contains("can't write nowhere/page.html: "), "{refused:#?}");
}
