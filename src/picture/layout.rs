//! Where the shapes of a picture stand: in columns, each right of those that flow into it.

use super::drawing::{Arrow, ArrowKind, Drawing, Shape};

/// The width of a letter and the height of a line, in pixels, of the text of shapes.
const LETTER: f64 = 7.6;
pub(super) const LINE: f64 = 18.0;
/// The width of a letter in the smaller text of arrows.
const SMALL_LETTER: f64 = 6.4;
/// Around the text of a shape.
const PADDING: f64 = 14.0;
/// Between two shapes of a column, and at the edges of the picture.
const GAP: f64 = 34.0;
/// Between two columns, beside the text of the arrows between them.
const ALLEY: f64 = 70.0;
/// How often shapes are moved towards those that they are connected with.
const SWEEPS: usize = 4;

/// A shape's place: its upper left corner and its size, in pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Area {
    pub(super) fn middle(&self) -> f64 {
        self.y + self.height / 2.0
    }
}

/// The places of all shapes, and the size of the whole.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) areas: Vec<Area>,
    pub(super) width: f64,
    pub(super) height: f64,
}

pub(super) fn layout(drawing: &Drawing) -> Layout {
    let columns = columns(drawing);
    let mut areas: Vec<Area> = drawing.shapes.iter().map(size).collect();
    let in_column = |column: usize| (0..areas.len()).filter(|&shape| columns[shape] == column).collect::<Vec<_>>();
    let mut order: Vec<Vec<usize>> = (0..=columns.iter().copied().max().unwrap_or(0)).map(in_column).collect();
    let leaders = leaders(drawing, &columns);
    let mut x = GAP;
    for (column, shapes) in order.iter().enumerate() {
        let width = shapes.iter().map(|&shape| areas[shape].width).fold(0.0, f64::max);
        for &shape in shapes {
            areas[shape].width = width;
            areas[shape].x = x;
        }
        let leaving = drawing.arrows.iter().filter(|arrow| columns[arrow.from] == column);
        x += width + ALLEY + leaving.map(label_width).fold(0.0, f64::max);
    }
    let height = |shapes: &[usize], areas: &[Area]| shapes.iter().map(|&shape| areas[shape].height + GAP).sum::<f64>();
    let tallest = order.iter().map(|shapes| height(shapes, &areas)).fold(0.0, f64::max);
    for sweep in 0..=SWEEPS {
        for shapes in &mut order {
            // The first time they stand as the spec has them.
            if sweep > 0 {
                let wished = |shape: usize| {
                    let together = (0..areas.len()).filter(|&other| leaders[other] == leaders[shape]);
                    mean(together.map(|shape| wished(shape, &drawing.arrows, &areas))).unwrap_or_default()
                };
                let place = |shape: usize| (leaders[shape], shape);
                shapes.sort_by(|&one, &two| {
                    wished(one).total_cmp(&wished(two)).then_with(|| place(one).cmp(&place(two)))
                });
            }
            let mut y = GAP + (tallest - height(shapes, &areas)) / 2.0;
            for &shape in shapes.iter() {
                areas[shape].y = y;
                y += areas[shape].height + GAP;
            }
        }
    }
    let width = areas.iter().map(|area| area.x + area.width).fold(0.0, f64::max) + GAP;
    Layout { areas, width, height: tallest + GAP }
}

/// The first of the table and its replicas that stand below each other; of all else the shape itself.
fn leaders(drawing: &Drawing, columns: &[usize]) -> Vec<usize> {
    let mut leaders: Vec<usize> = (0..columns.len()).collect();
    for Arrow { from, to, .. } in drawing.arrows.iter().filter(|arrow| arrow.kind == ArrowKind::Replicates) {
        if columns[*from] == columns[*to] {
            leaders[*to] = leaders[*from];
        }
    }
    leaders
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

/// The height at which a shape's arrows would be straight.
fn wished(shape: usize, arrows: &[Arrow], areas: &[Area]) -> f64 {
    let ends = arrows.iter().filter_map(|arrow| match (arrow.from == shape, arrow.to == shape) {
        (true, false) => Some(arrow.to),
        (false, true) => Some(arrow.from),
        _ => None,
    });
    mean(ends.map(|end| areas[end].middle())).unwrap_or_else(|| areas[shape].middle())
}

fn size(shape: &Shape) -> Area {
    let lines = shape.lines();
    Area {
        width: width(&lines, LETTER) + 2.0 * PADDING,
        height: LINE * count(lines.len()) + 2.0 * PADDING - 4.0,
        ..Area::default()
    }
}

pub(super) fn label_width(arrow: &Arrow) -> f64 {
    width(&arrow.label, SMALL_LETTER)
}

fn width(lines: &[String], letter: f64) -> f64 {
    lines.iter().map(|line| count(line.chars().count()) * letter).fold(0.0, f64::max)
}

#[expect(clippy::cast_precision_loss, reason = "letters and lines of a label are few")]
pub(super) fn count(number: usize) -> f64 {
    number as f64
}

/// The column of each shape: one more than the last of those that flow into it, without arrows that lead back.
fn columns(drawing: &Drawing) -> Vec<usize> {
    let shapes = drawing.shapes.len();
    let mut forward: Vec<(usize, usize)> = Vec::new();
    let is_flow = |arrow: &&Arrow| arrow.kind != ArrowKind::Replicates;
    for arrow in drawing.arrows.iter().filter(is_flow) {
        if arrow.from != arrow.to && !reaches(arrow.to, arrow.from, &forward) {
            forward.push((arrow.from, arrow.to));
        }
    }
    let mut columns = vec![0_usize; shapes];
    for _ in 0..shapes {
        for &(from, to) in &forward {
            columns[to] = columns[to].max(columns[from] + 1);
        }
    }
    // What nothing flows into stands right before what it flows to.
    for shape in 0..shapes {
        let next = forward.iter().filter(|(from, _)| *from == shape).map(|(_, to)| columns[*to]).min();
        if let Some(next) = next.filter(|_| forward.iter().all(|(_, to)| *to != shape)) {
            columns[shape] = next.saturating_sub(1);
        }
    }
    // A replica that nothing else is drawn to stands with its table.
    for arrow in drawing.arrows.iter().filter(|arrow| !is_flow(arrow)) {
        if forward.iter().all(|(from, to)| *from != arrow.to && *to != arrow.to) {
            columns[arrow.to] = columns[arrow.from];
        }
    }
    columns
}

fn reaches(from: usize, to: usize, arrows: &[(usize, usize)]) -> bool {
    let (mut seen, mut open) = (vec![from], vec![from]);
    while let Some(shape) = open.pop() {
        if shape == to {
            return true;
        }
        for &(_, next) in arrows.iter().filter(|(start, _)| *start == shape) {
            if !seen.contains(&next) {
                seen.push(next);
                open.push(next);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::drawing::ArrowKind;
    use super::*;
    use crate::plan::ResourceKind;

    fn drawing(shapes: usize, arrows: &[(usize, usize)]) -> Drawing {
        let shape = |n| Shape::new(&format!("n{n}"), ResourceKind::Table, vec!["x".to_owned()]);
        let arrow =
            |&(from, to): &(usize, usize)| Arrow { from, to, kind: ArrowKind::Writes, label: vec!["y".to_owned()] };
        Drawing {
            name: "p".to_owned(),
            shapes: (0..shapes).map(shape).collect(),
            arrows: arrows.iter().map(arrow).collect(),
        }
    }

    #[test]
    fn shapes_stand_right_of_what_flows_into_them() {
        assert_eq!(columns(&drawing(5, &[(0, 1), (1, 2), (1, 3), (4, 3)])), [0, 1, 2, 2, 1]);
        // A function that writes to the table whose changes it reads, and one that writes to itself.
        assert_eq!(columns(&drawing(3, &[(0, 1), (1, 0), (2, 2)])), [0, 1, 0]);
    }

    #[test]
    fn replicas_stand_right_below_their_table() {
        let mut drawing = drawing(6, &[(0, 1), (1, 2), (1, 3), (1, 4), (2, 5)]);
        drawing.arrows[4].kind = ArrowKind::Replicates;
        // The replica comes last in the spec.
        assert_eq!(columns(&drawing), [0, 1, 2, 2, 2, 2]);
        let Layout { areas, .. } = layout(&drawing);
        let below = areas[5].y - (areas[2].y + areas[2].height);
        assert!((below - GAP).abs() < 1e-9, "{areas:?}");
    }

    #[test]
    fn no_two_shapes_overlap() {
        let Layout { areas, width, height } =
            layout(&drawing(9, &[(0, 1), (1, 2), (1, 3), (1, 4), (5, 4), (4, 6), (1, 0)]));
        for (n, one) in areas.iter().enumerate() {
            assert!(one.x > 0.0 && one.y > 0.0 && one.x + one.width < width && one.y + one.height < height, "{one:?}");
            for two in &areas[n + 1..] {
                let apart = one.x + one.width <= two.x
                    || two.x + two.width <= one.x
                    || one.y + one.height <= two.y
                    || two.y + two.height <= one.y;
                assert!(apart, "{one:?} {two:?}");
            }
        }
    }
}
