//! What counts of ok and failed say about a failure rate.

/// The failure rate that `passes` straight passes exclude at 95 %: 1 − 0.05^(1/n). 1 for no passes.
pub fn excluded_rate(passes: u32) -> f64 {
    if passes == 0 { 1.0 } else { 1.0 - 0.05_f64.powf(1.0 / f64::from(passes)) }
}

/// The 95 % interval of a failure rate (Wilson's score interval). `(0, 1)` for no trials.
pub fn interval(failures: u32, trials: u32) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    let (n, z) = (f64::from(trials), 1.959_964);
    let rate = f64::from(failures) / n;
    let denominator = 1.0 + z * z / n;
    let centre = rate + z * z / (2.0 * n);
    let spread = z * (rate * (1.0 - rate) / n + z * z / (4.0 * n * n)).sqrt();
    (((centre - spread) / denominator).max(0.0), ((centre + spread) / denominator).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_exclude_rates() {
        // Source of the expected values: the sequential-test table of Wald, as used for repeat counts.
        for (passes, rate) in [(5, 0.45), (29, 0.098), (199, 0.0149)] {
            assert!((excluded_rate(passes) - rate).abs() < 0.002, "{passes}: {}", excluded_rate(passes));
        }
        assert!((excluded_rate(0) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn intervals_hold_their_rate() {
        for (failures, trials) in [(0, 1), (1, 2), (5, 10), (10, 10)] {
            let (low, high) = interval(failures, trials);
            let rate = f64::from(failures) / f64::from(trials);
            assert!(low <= rate + 1e-9 && rate <= high + 1e-9 && (0.0..=1.0).contains(&low) && high <= 1.0);
        }
    }
}
