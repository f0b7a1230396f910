//! Pages that tell of a run: one HTML file that needs nothing else, no script and no network.

mod chart;
mod sending;
mod validation;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::escape::shown;
use super::header::RunHeader;
use super::validation::FunctionLag;

pub(crate) use sending::{SendReport, send_page};
pub(crate) use validation::validation_page;

const STYLE: &str = include_str!("page/style.css");

/// Keeps the promise that a page makes: whatever stands in it, nothing is loaded and nothing is run.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// How a run went, in a few words.
struct Verdict {
    good: bool,
    text: String,
}

/// A whole page about a run.
fn page(header: &RunHeader, verdict: &Verdict, body: &Markup) -> String {
    let title = format!("streamkit {}: {}", header.command, header.pipeline());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                // With their ends, so that what reads XML reads the page, too.
                (PreEscaped("<meta charset=\"utf-8\"/>"))
                (PreEscaped(format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"/>")))
                (PreEscaped("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>"))
                (PreEscaped("<meta name=\"color-scheme\" content=\"light dark\"/>"))
                title { (shown(&title)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.command { "streamkit " (header.command) }
                    h1 { (shown(&header.pipeline())) }
                    p.verdict.good[verdict.good].bad[!verdict.good] { (shown(&verdict.text)) }
                    dl {
                        @for (name, value) in header.facts().into_iter().filter(|(name, _)| *name != "pipeline") {
                            (fact(name, &value))
                        }
                        (fact("began", &header.began.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()))
                        (fact("took", &super::units::duration_text(header.seconds)))
                    }
                }
                main {
                    (body)
                    @if let Some(picture) = &header.picture {
                        section {
                            h2 { "The pipeline" }
                            div.graph { (PreEscaped(picture)) }
                        }
                    }
                }
            }
        }
    };
    format!("{}\n", page.into_string())
}

/// A name and what it is, in a list of such.
fn fact(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (shown(value)) } } }
}

/// A chart below its heading, with what is to be said of it.
fn figure(heading: &str, says: &str, chart: &Markup) -> Markup {
    html! {
        figure {
            h3 { (shown(heading)) }
            div.drawn { (chart) }
            figcaption { (shown(says)) }
        }
    }
}

/// The lag of functions during a run, as CloudWatch has it.
fn lag(lag: &[FunctionLag], header: &RunHeader) -> Markup {
    html! {
        div.charts {
            @for FunctionLag { function, minutes } in lag.iter().filter(|lag| !lag.minutes.is_empty()) {
                (figure(
                    &format!("Lag of function.{function}"),
                    "How old the last record of a batch was when the function got it, the most of each minute (CloudWatch's IteratorAge). The first minute may have begun before the run.",
                    &chart::minutes(minutes, header.seconds, &format!("lag of {function} by the minute")),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests;
