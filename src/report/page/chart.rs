//! Charts as SVG, drawn from numbers. Their colours are those of the page, and they need no script.

use maud::{Markup, html};

use super::super::units::{duration_text, percentile};
use super::super::validation::LagMinute;
use crate::cost::grouped;

/// The size of a chart, and what is left around it for numbers and names, in pixels.
const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 242.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 42.0;
/// About how many columns a histogram has, and how many numbers an axis.
const COLUMNS: f64 = 24.0;
const NUMBERS_X: f64 = 8.0;
const NUMBERS_Y: f64 = 4.0;
/// Of the width, from where on a mark's text stands left of it: right of it there is no room.
const LAST: f64 = 0.9;
/// From the text of a mark to that of the next one, which is lower, so that they can be beside each other.
const MARK_LINE: f64 = 15.0;
/// A histogram ends at so many times its 95th percentile; what is longer has a column of its own.
const LONG: f64 = 3.0;

/// A unit of time that fits a length.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Unit {
    name: &'static str,
    seconds: f64,
}

impl Unit {
    fn of(longest_seconds: f64) -> Self {
        let (name, seconds) = match longest_seconds {
            _ if longest_seconds < 1.0 => ("ms", 0.001),
            _ if longest_seconds < 180.0 => ("s", 1.0),
            _ if longest_seconds < 3.0 * 3_600.0 => ("min", 60.0),
            _ => ("h", 3_600.0),
        };
        Self { name, seconds }
    }
}

/// An axis from zero, with equal steps.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Axis {
    step: f64,
    steps: u32,
}

impl Axis {
    /// In about so many steps beyond `most`, each 1, 2 or 5 times a power of ten.
    fn to(most: f64, about: f64) -> Self {
        let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
        let power = 10.0_f64.powf((most / about).log10().floor());
        let fits = |times: &f64| most / (times * power) <= about;
        let step = power * [1.0, 2.0, 5.0].into_iter().find(fits).unwrap_or(10.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "about as many as were asked for")]
        let steps = (most / step - 1e-9).ceil().max(1.0) as u32;
        Self { step, steps }
    }

    fn end(self) -> f64 {
        self.step * f64::from(self.steps)
    }

    fn numbers(self) -> impl Iterator<Item = f64> {
        (0..=self.steps).map(move |number| f64::from(number) * self.step)
    }

    /// A number with as many digits as the steps need.
    fn text(self, number: f64) -> String {
        let digits = if self.step < 1.0 { (-self.step.log10()).ceil() } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few digits")]
        let text = format!("{number:.*}", digits as usize);
        grouped(&text)
    }
}

/// The two axes of a chart, and what they count.
struct Frame<'a> {
    x: Axis,
    y: Axis,
    x_name: String,
    y_name: &'a str,
}

impl Frame<'_> {
    fn x(&self, value: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (value / self.x.end()).clamp(0.0, 1.0)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value / self.y.end()).clamp(0.0, 1.0)
    }

    /// The whole chart, with what is drawn between the axes; `label` says what it shows to those who don't see it.
    fn draw(&self, label: &str, inside: &Markup) -> Markup {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        html! {
            svg.chart viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(label) {
                @for number in self.y.numbers() {
                    line.grid x1=(LEFT) x2=(right) y1=(px(self.y(number))) y2=(px(self.y(number))) {}
                    text.end x=(LEFT - 8.0) y=(px(self.y(number) + 4.0)) { (self.y.text(number)) }
                }
                @for number in self.x.numbers() {
                    line.tick x1=(px(self.x(number))) x2=(px(self.x(number))) y1=(bottom) y2=(bottom + 4.0) {}
                    text.middle x=(px(self.x(number))) y=(bottom + 17.0) { (self.x.text(number)) }
                }
                (inside)
                line.axis x1=(LEFT) x2=(right) y1=(bottom) y2=(bottom) {}
                text.middle x=(f64::midpoint(LEFT, right)) y=(HEIGHT - 6.0) { (self.x_name) }
                // Above the topmost number.
                text.name x="4" y=(TOP - 14.0) { (self.y_name) }
            }
        }
    }
}

/// How often something took how long, from sorted seconds, with marks at some of the times.
pub(super) fn histogram(sorted: &[f64], marks: &[(&str, f64)], label: &str) -> Markup {
    let longest = sorted.last().copied().unwrap_or_default();
    let shown = longest.min(percentile(sorted, 95).unwrap_or_default() * LONG);
    let unit = Unit::of(shown);
    let columns = Axis::to(shown / unit.seconds, COLUMNS);
    let beyond = sorted.iter().filter(|seconds| **seconds / unit.seconds > columns.end()).count();
    let within = &sorted[..sorted.len() - beyond];
    let counts: Vec<usize> = (0..columns.steps)
        .map(|column| {
            let (from, to) = (f64::from(column) * columns.step, f64::from(column + 1) * columns.step);
            // The last one has its end, too.
            let last = column + 1 == columns.steps;
            within
                .iter()
                .map(|seconds| seconds / unit.seconds)
                .filter(|value| *value >= from && (*value < to || last))
                .count()
        })
        .collect();
    let most = counts.iter().copied().chain([beyond]).max().unwrap_or_default();
    let frame = Frame {
        // Room for the column of what took longer.
        x: columns_axis(columns, beyond > 0),
        y: Axis::to(real(most), NUMBERS_Y),
        x_name: unit.name.to_owned(),
        y_name: "how often",
    };
    let width = frame.x(columns.step) - frame.x(0.0);
    let inside = html! {
        @for (count, from) in counts.iter().zip(columns.numbers()) {
            @if *count > 0 {
                rect.one x=(px(frame.x(from) + 1.0)) y=(px(frame.y(real(*count)))) width=(px((width - 2.0).max(1.0)))
                    height=(px(HEIGHT - BOTTOM - frame.y(real(*count))))
                {
                    title { (columns.text(from)) " to " (columns.text(from + columns.step)) " " (unit.name) ": " (grouped(count)) }
                }
            }
        }
        @if beyond > 0 {
            rect.two x=(px(WIDTH - RIGHT - width)) y=(px(frame.y(real(beyond)))) width=(px((width - 2.0).max(1.0)))
                height=(px(HEIGHT - BOTTOM - frame.y(real(beyond))))
            {
                title { "longer than " (columns.text(columns.end())) " " (unit.name) ": " (grouped(&beyond)) }
            }
            text.end x=(WIDTH - RIGHT) y=(px(frame.y(real(beyond)) - 5.0)) { "longer: " (grouped(&beyond)) }
        }
        @let at = |value: f64| frame.x(value / unit.seconds);
        @for (_, value) in marks {
            line.mark x1=(px(at(*value))) x2=(px(at(*value))) y1=(TOP) y2=(HEIGHT - BOTTOM) {}
        }
        // Last, so that no line is drawn over a text.
        @for (place, (name, value)) in marks.iter().enumerate() {
            @let is_last = at(*value) > LEFT + (WIDTH - LEFT - RIGHT) * LAST;
            @let x = at(*value) + if is_last { -4.0 } else { 4.0 };
            text.mark.end[is_last] x=(px(x)) y=(px(TOP + 12.0 + MARK_LINE * real(place))) { (name) }
        }
    };
    frame.draw(label, &inside)
}

/// The numbers below a histogram: fewer than columns.
fn columns_axis(columns: Axis, beyond: bool) -> Axis {
    let steps = columns.steps + if beyond { 2 } else { 0 };
    let every = (f64::from(steps) / (NUMBERS_X * 1.5)).ceil().max(1.0);
    let step = columns.step * every;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "fewer than the columns")]
    let steps = (f64::from(steps) / every).ceil() as u32;
    Axis { step, steps }
}

/// How many of something there were in each slot of the time of a run, a second.
pub(super) fn rate(slot_seconds: f64, counts: &[u64], y_name: &str, label: &str) -> Markup {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people to look at")]
    let rates: Vec<f64> = counts.iter().map(|count| *count as f64 / slot_seconds).collect();
    let whole = slot_seconds * real(counts.len());
    let unit = Unit::of(whole);
    let frame = Frame {
        x: Axis::to(whole / unit.seconds, NUMBERS_X),
        y: Axis::to(rates.iter().copied().fold(0.0, f64::max), NUMBERS_Y),
        x_name: format!("{} since the run began", unit.name),
        y_name,
    };
    let at = |slot: usize| frame.x(real(slot) * slot_seconds / unit.seconds);
    let inside = html! {
        @for (slot, rate) in rates.iter().enumerate().filter(|(_, rate)| **rate > 0.0) {
            rect.one x=(px(at(slot))) y=(px(frame.y(*rate))) width=(px((at(slot + 1) - at(slot) - 0.6).max(0.6)))
                height=(px(HEIGHT - BOTTOM - frame.y(*rate)))
            {
                title { (grouped(&format_args!("{rate:.0}"))) " " (y_name) }
            }
        }
    };
    frame.draw(label, &inside)
}

/// How many there were up to each moment: a line for each series, in steps.
pub(super) fn totals(series: [(&str, &[f64]); 2], y_name: &str, label: &str) -> Markup {
    let last = series.iter().flat_map(|(_, times)| times.iter().copied()).fold(0.0, f64::max);
    let most = series.iter().map(|(_, times)| times.len()).max().unwrap_or_default();
    let unit = Unit::of(last);
    let frame = Frame {
        x: Axis::to(last / unit.seconds, NUMBERS_X),
        y: Axis::to(real(most), NUMBERS_Y),
        x_name: format!("{} since the run began", unit.name),
        y_name,
    };
    let path = |times: &[f64]| {
        let mut times = times.to_vec();
        times.sort_by(f64::total_cmp);
        let mut path = format!("M{} {}", px(frame.x(0.0)), px(frame.y(0.0)));
        for (place, seconds) in times.iter().enumerate() {
            path.extend(["H", &px(frame.x(seconds / unit.seconds)), "V", &px(frame.y(real(place + 1)))]);
        }
        path + &format!("H{}", px(WIDTH - RIGHT))
    };
    let inside = html! {
        @for ((name, times), class) in series.iter().zip(["one", "two"]) {
            path.line.(class) d=(path(times)) { title { (name) } }
        }
        g.legend {
            @for (place, ((name, _), class)) in series.iter().zip(["one", "two"]).enumerate() {
                @let x = LEFT + 14.0 + 90.0 * real(place);
                line.(class) x1=(x) x2=(x + 18.0) y1=(TOP + 6.0) y2=(TOP + 6.0) {}
                text x=(x + 24.0) y=(TOP + 10.0) { (name) }
            }
        }
    };
    frame.draw(label, &inside)
}

/// The lag of each minute, from its start to its end, as far as they are in a run of this length.
pub(super) fn minutes(minutes: &[LagMinute], run_seconds: f64, label: &str) -> Markup {
    let most = minutes.iter().map(|minute| minute.lag).fold(0.0, f64::max);
    let (x_unit, y_unit) = (Unit::of(run_seconds), Unit::of(most));
    let y_name = format!("lag, {}", y_unit.name);
    let frame = Frame {
        x: Axis::to(run_seconds / x_unit.seconds, NUMBERS_X),
        y: Axis::to(most / y_unit.seconds, NUMBERS_Y),
        x_name: format!("{} since the run began", x_unit.name),
        y_name: &y_name,
    };
    let inside = html! {
        @for LagMinute { from, to, lag } in minutes.iter().filter(|minute| minute.from < run_seconds) {
            @let to = to.min(run_seconds);
            @let y = px(frame.y(lag / y_unit.seconds));
            line.line.one x1=(px(frame.x(from / x_unit.seconds))) x2=(px(frame.x(to / x_unit.seconds))) y1=(y) y2=(y) {
                title { (duration_text(*from)) " to " (duration_text(to)) ": " (duration_text(*lag)) }
            }
        }
    };
    frame.draw(label, &inside)
}

/// Durations at moments of a run, as dots.
pub(super) fn durations(points: &[(f64, f64)], y_what: &str, label: &str) -> Markup {
    let most = |part: fn(&(f64, f64)) -> f64| points.iter().map(part).fold(0.0, f64::max);
    let (x_unit, y_unit) = (Unit::of(most(|(at, _)| *at)), Unit::of(most(|(_, seconds)| *seconds)));
    let y_name = format!("{y_what}, {}", y_unit.name);
    let frame = Frame {
        x: Axis::to(most(|(at, _)| *at) / x_unit.seconds, NUMBERS_X),
        y: Axis::to(most(|(_, seconds)| *seconds) / y_unit.seconds, NUMBERS_Y),
        x_name: format!("{} since the run began", x_unit.name),
        y_name: &y_name,
    };
    let place = |(at, seconds): (f64, f64)| (px(frame.x(at / x_unit.seconds)), px(frame.y(seconds / y_unit.seconds)));
    let inside = html! {
        @for point in points {
            @let (x, y) = place(*point);
            circle.one cx=(x) cy=(y) r="3" {}
        }
    };
    frame.draw(label, &inside)
}

/// The percentiles that pages tell of sorted durations, each with its name; zero where there are none.
pub(super) fn marks(sorted: &[f64]) -> [(&'static str, f64); 3] {
    [("p50", 50), ("p90", 90), ("p99", 99)]
        .map(|(name, percent)| (name, percentile(sorted, percent).unwrap_or_default()))
}

fn px(value: f64) -> String {
    format!("{value:.1}")
}

#[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
fn real(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_steps_and_reach_the_last_value() {
        for (most, about, step, steps) in [
            (7.3, 8.0, 1.0, 8),
            (10.0, 4.0, 5.0, 2),
            (0.012, 4.0, 0.005, 3),
            (98_765.0, 4.0, 50_000.0, 2),
            (1.0, 24.0, 0.05, 20),
            (0.0, 4.0, 0.5, 2),
            (f64::NAN, 4.0, 0.5, 2),
        ] {
            let axis = Axis::to(most, about);
            assert!((axis.step - step).abs() < 1e-9 && axis.steps == steps, "{most}: {axis:?}");
        }
        assert_eq!(Axis::to(7_000_000.0, 4.0).text(2_000_000.0), "2,000,000");
        assert_eq!(Axis::to(0.012, 4.0).text(0.005), "0.005");
        assert_eq!(Axis::to(300.0, 4.0).text(100.0), "100");
    }

    #[test]
    fn every_duration_is_in_one_column() {
        let mut seconds: Vec<f64> = (1..=100).map(|n| f64::from(n) / 100.0).collect();
        seconds.push(60.0);
        let drawn = histogram(&seconds, &[("p50", 0.5)], "latencies").into_string();
        let counted: usize = drawn
            .match_indices("</title>")
            .map(|(end, _)| drawn[..end].rsplit(": ").next().unwrap().parse::<usize>().unwrap())
            .sum();
        assert_eq!(counted, 101, "{drawn}");
        assert!(drawn.contains("longer: 1"), "{drawn}");
    }

    /// The attribute of the first element whose markup begins so, as a number.
    fn attribute(drawn: &str, element: &str, name: &str) -> f64 {
        let element = drawn.split_once(element).unwrap_or_else(|| panic!("no {element} in {drawn}")).1;
        let value = element.split_once(&format!("{name}=\"")).unwrap().1.split_once('"').unwrap().0;
        value.parse().unwrap()
    }

    #[test]
    fn the_name_of_an_axis_is_above_its_topmost_number() {
        let drawn = rate(1.0, &[15], "how often", "").into_string();
        let top = drawn.rsplit_once(">15</text>").unwrap().0.rsplit_once("<text").unwrap().1;
        let (number, name) = (attribute(top, "class=\"end\"", "y"), attribute(&drawn, "<text class=\"name\"", "y"));
        assert!(number - name >= 12.0 && name >= 12.0, "{name} {number}");
    }

    #[test]
    fn marks_stand_inside_and_below_each_other() {
        let seconds: Vec<f64> = (1..=100).map(|n| f64::from(n) / 100.0).collect();
        let drawn = histogram(&seconds, &[("p50", 0.5), ("p90", 0.9), ("p99", 0.99)], "").into_string();
        let text = |name: &str| drawn.split_once(&format!(">{name}</text>")).unwrap().0.rsplit_once("<text").unwrap().1;
        let y = |name| attribute(text(name), "mark", " y");
        assert!(y("p90") - y("p50") >= 15.0 && y("p99") - y("p90") >= 15.0, "{drawn}");
        assert!(text("p50").contains("class=\"mark\"") && text("p99").contains("class=\"mark end\""), "{drawn}");
        assert!(drawn.find("<text class=\"mark").unwrap() > drawn.rfind("<line class=\"mark").unwrap(), "{drawn}");
    }

    #[test]
    fn counts_are_grouped() {
        let drawn = histogram(&vec![0.5; 12_345], &[], "").into_string();
        assert!(drawn.contains(": 12,345</title>"), "{drawn}");
        let drawn = rate(0.5, &[2_000], "records/s", "").into_string();
        assert!(drawn.contains("<title>4,000 records/s</title>"), "{drawn}");
    }

    #[test]
    fn each_minute_is_drawn_where_it_was_and_ends_with_the_run() {
        let minute = |from, to, lag| LagMinute { from, to, lag };
        let run = [minute(0.0, 20.0, 0.1), minute(20.0, 80.0, 0.4), minute(80.0, 140.0, 0.2)];
        let drawn = minutes(&run, 100.0, "lag").into_string();
        let frame =
            Frame { x: Axis::to(100.0, NUMBERS_X), y: Axis::to(400.0, NUMBERS_Y), x_name: String::new(), y_name: "" };
        assert!(drawn.contains(">100</text>") && drawn.contains(">s since the run began<"), "{drawn}");
        assert_eq!(drawn.matches("<line class=\"line one\"").count(), 3, "{drawn}");
        for (from, to, lag) in [(0.0, 20.0, 100.0), (20.0, 80.0, 400.0), (80.0, 100.0, 200.0)] {
            let (x1, x2, y) = (px(frame.x(from)), px(frame.x(to)), px(frame.y(lag)));
            let line = format!("x1=\"{x1}\" x2=\"{x2}\" y1=\"{y}\" y2=\"{y}\"");
            assert!(drawn.contains(&line), "no {line} in {drawn}");
        }
        assert!(drawn.contains("<title>80 s to 100 s: 200 ms</title>"), "{drawn}");
    }

    #[test]
    fn nothing_to_draw_is_no_reason_to_fail() {
        for drawn in [
            histogram(&[], &[], ""),
            histogram(&[0.0, 0.0], &[], ""),
            rate(1.0, &[], "", ""),
            totals([("", &[]), ("", &[])], "", ""),
            durations(&[], "", ""),
            durations(&[(0.0, 0.0)], "", ""),
            minutes(&[], 0.0, ""),
            minutes(&[LagMinute { from: 0.0, to: 60.0, lag: 0.0 }], 0.0, ""),
        ] {
            assert!(!drawn.into_string().contains("NaN"));
        }
    }
}
