//! The last values of something, for a sparkline.

use std::collections::VecDeque;

/// As wide as the widest sparkline.
const KEPT: usize = 300;

/// Values, oldest first; those that nobody knows are gaps.
#[derive(Debug, Clone, Default)]
pub(crate) struct History(VecDeque<Option<f64>>);

impl History {
    pub(crate) fn push(&mut self, value: Option<f64>) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(value);
    }

    /// The last value that is known.
    pub(crate) fn last(&self) -> Option<f64> {
        self.0.iter().rev().find_map(|value| *value)
    }

    /// A sparkline of the newest values, `width` letters wide. Each letter is as high as its share of the highest value.
    pub(crate) fn sparkline(&self, width: usize) -> String {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let shown = || self.0.iter().skip(self.0.len().saturating_sub(width));
        let highest = shown().flatten().copied().fold(0.0, f64::max);
        let bar = |value: &Option<f64>| match value {
            None => ' ',
            Some(value) if *value <= 0.0 || highest <= 0.0 => BARS[0],
            Some(value) => {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of eight")]
                let height = (value / highest * 7.0).round() as usize;
                BARS[height.min(7)]
            }
        };
        shown().map(bar).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_has_the_newest_values_and_gaps() {
        let mut history = History::default();
        assert_eq!((history.sparkline(4), history.last()), (String::new(), None));
        for value in [Some(100.0), Some(0.0), Some(4.0), None, Some(8.0), None] {
            history.push(value);
        }
        assert_eq!(history.sparkline(5), "▁▅ █ ");
        assert_eq!(history.last(), Some(8.0));
        for _ in 0..2 * KEPT {
            history.push(Some(0.0));
        }
        assert_eq!((history.0.len(), history.sparkline(3)), (KEPT, "▁▁▁".to_owned()));
    }
}
