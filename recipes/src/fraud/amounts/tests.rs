//! Tests of the statistics: against the textbook, at the start, and against those who would train them.

use super::*;
use crate::Settings;
use crate::fraud::limits::SETTINGS;

fn limits() -> Limits {
    Limits::of(&Settings::defaults(&SETTINGS))
}

fn close(one: f64, two: f64) -> bool {
    (one - two).abs() < 1e-6
}

#[test]
fn mean_and_squares_are_those_of_two_passes() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut amounts = Amounts::default();
    let mut logarithms = Vec::new();
    for _ in 0..REMEMBERED {
        let amount = 40.0 * (rng.f64() - 0.5).exp();
        logarithms.push(amount.ln());
        amounts.compare_and_add("EUR", amount, &limits());
    }
    let count = f64::from(REMEMBERED);
    let mean = logarithms.iter().sum::<f64>() / count;
    let squares: f64 = logarithms.iter().map(|logarithm| (logarithm - mean).powi(2)).sum();
    let history = &amounts.0[0];
    assert!(close(history.mean, mean) && close(history.squares, squares), "{history:?}, not {mean} and {squares}");
}

#[test]
fn the_first_amounts_are_not_judged_and_alike_ones_make_nothing_else_unusual() {
    let mut amounts = Amounts::default();
    for n in 0..5 {
        assert_eq!(amounts.compare_and_add("EUR", 10.0, &limits()), None, "amount {n}");
    }
    let twice = amounts.clone().compare_and_add("EUR", 20.0, &limits()).unwrap();
    assert!((1.0..2.0).contains(&twice.deviations), "{twice:?}");
    let much = amounts.clone().compare_and_add("EUR", 100.0, &limits()).unwrap();
    assert!(much.deviations > 4.0 && close(much.usual, 10.0) && much.count == 5, "{much:?}");
    assert_eq!(amounts.compare_and_add("USD", 100.0, &limits()), None, "another currency");
    // A subscription for years, and then something that costs half as much again.
    for _ in 0..1_000 {
        amounts.compare_and_add("EUR", 10.0, &limits());
    }
    assert!(amounts.compare_and_add("EUR", 15.0, &limits()).unwrap().deviations < 2.0);
}

#[test]
fn a_huge_amount_does_not_make_the_next_one_usual_and_new_habits_are_learned() {
    let mut amounts = Amounts::default();
    for _ in 0..20 {
        amounts.compare_and_add("EUR", 10.0, &limits());
    }
    for n in 0..3 {
        let again = amounts.compare_and_add("EUR", 1e9, &limits()).unwrap();
        assert!(again.deviations > 4.0, "{n}: {again:?}");
    }
    // Three times as much as before, from now on.
    let mut amounts = Amounts::default();
    for _ in 0..20 {
        amounts.compare_and_add("EUR", 10.0, &limits());
    }
    let deviations: Vec<f64> =
        (0..30).map(|_| amounts.compare_and_add("EUR", 30.0, &limits()).unwrap().deviations).collect();
    assert!(deviations[0] > 2.0 && deviations[29] < 2.0, "{deviations:?}");
}

#[test]
fn extremes_stay_numbers() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut amounts = Amounts::default();
    for _ in 0..10_000 {
        let amount = [0.0, 1e-18, 1e15, 999_999_999_999_999.9, 5.0][rng.usize(..5)];
        if let Some(comparison) = amounts.compare_and_add("EUR", amount, &limits()) {
            assert!(comparison.deviations.is_finite() && comparison.usual.is_finite(), "{comparison:?}");
        }
    }
    assert!(amounts.0[0].squares < 1e6 && amounts.0[0].count == REMEMBERED, "{amounts:?}");
    for n in 0..100 {
        amounts.compare_and_add(&format!("{n:03}"), 5.0, &limits());
    }
    assert_eq!(amounts.0.len(), CURRENCIES);
}
