//! The statistics that all rules of evidence use: what counts of networks say about a rate of failures, and how sure.
//!
//! One network is one observation of a cell, because what happens twice in one network is not independent. A sweep stops
//! when it likes, so everything here stays valid when one looks after every network: the intervals are confidence
//! sequences, and the tests compare e-values with the inverse of the error rate (Ville 1939; Ramdas, Grünwald, Vovk and
//! Shafer 2023, "Game-theoretic statistics and safe anytime-valid inference"). `docs/evidence.md` derives the figures.

use libm::lgamma;

/// The confidence of intervals: 95 %.
const OUTSIDE: f64 = 0.05;

/// What is believed of a check's noise before anything was measured: half a failure in a hundred networks.
const PRIOR_FAILED: f64 = 0.5;
const PRIOR_NETWORKS: f64 = 100.0;

/// The natural logarithm of the beta function.
fn ln_beta(a: f64, b: f64) -> f64 {
    lgamma(a) + lgamma(b) - lgamma(a + b)
}

/// The logarithm of the likelihood of `failed` of `networks` under a rate of failures that may be anything alike.
pub(super) fn ln_any_rate(failed: u32, networks: u32) -> f64 {
    ln_beta(f64::from(failed) + 1.0, f64::from(networks - failed.min(networks)) + 1.0)
}

/// The logarithm of the likelihood of `failed` of `networks` under one rate of failures.
fn ln_rate(rate: f64, failed: u32, networks: u32) -> f64 {
    let term = |count: u32, probability: f64| match count {
        0 => 0.0,
        count => f64::from(count) * probability.ln(),
    };
    term(failed, rate) + term(networks - failed, 1.0 - rate)
}

/// The 95 % interval of a failure rate, valid after every network: the rates that a uniform mixture does not beat by
/// 20 to 1. `(0, 1)` for no networks.
pub fn interval(failed: u32, networks: u32) -> (f64, f64) {
    let failed = failed.min(networks);
    if networks == 0 {
        return (0.0, 1.0);
    }
    let mixture = ln_any_rate(failed, networks) + OUTSIDE.ln();
    let holds = |rate: f64| ln_rate(rate, failed, networks) >= mixture;
    let seen = f64::from(failed) / f64::from(networks);
    // The likelihood falls on both sides of the rate that was seen.
    let edge = |mut outside: f64| {
        let mut inside = seen;
        for _ in 0..60 {
            let middle = f64::midpoint(outside, inside);
            if holds(middle) { inside = middle } else { outside = middle }
        }
        inside
    };
    (if failed == 0 { 0.0 } else { edge(0.0) }, if failed == networks { 1.0 } else { edge(1.0) })
}

/// The failure rate that `passes` networks without a failure exclude at 95 %, whenever one stops. 1 for no passes.
pub fn excluded_rate(passes: u32) -> f64 {
    interval(0, passes).1
}

/// The rate at which something fails at least, at 95 %, whenever one stops. 0 for no networks.
pub fn at_least(failed: u32, networks: u32) -> f64 {
    interval(failed, networks).0
}

/// The failures of a check that nothing but chance explains: measured on everything that works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Noise {
    /// Failures of something that works.
    pub failed: u32,
    /// Observations of it, one for each network.
    pub networks: u32,
}

impl Noise {
    /// The rate, drawn towards half a failure in a hundred while little was measured.
    pub(super) fn rate(self) -> f64 {
        (f64::from(self.failed) + PRIOR_FAILED) / (f64::from(self.networks) + PRIOR_NETWORKS)
    }

    /// How much likelier counts are under a rate of their own than as noise: an e-value. Noise that was seen is taken at
    /// the most that it can be.
    pub(super) fn ln_evidence_against(self, failed: u32, networks: u32) -> f64 {
        let rate = if self.failed == 0 { self.rate() } else { interval(self.failed, self.networks).1 };
        ln_any_rate(failed, networks) - ln_rate(rate, failed, networks)
    }

    /// Straight failures that chance gives one of `cells` innocent cells with at most this error.
    pub(super) fn convicts(self, cells: usize, error: f64) -> usize {
        let all = cells.max(1) as f64;
        let needed = (error / all).ln() / self.rate().min(0.5).ln();
        needed.ceil().max(1.0) as usize
    }
}

/// What networks with a set of third parties and networks without it say about whether the set is to blame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Contrast {
    /// Networks with the set that failed.
    pub with_failed: u32,
    /// Networks with the set that worked.
    pub with_passed: u32,
    /// Networks without it that failed.
    pub without_failed: u32,
    /// Networks without it that worked.
    pub without_passed: u32,
}

impl Contrast {
    /// What speaks against the set: it worked with it, or failed without it.
    pub(super) fn contradictions(self) -> u32 {
        self.with_passed + self.without_failed
    }

    /// The e-value for "it fails with the set, and not without" against "it fails alike, at whatever rate".
    ///
    /// The failure and the pass that brought the set under suspicion are left out: they were chosen. The alternative has
    /// Beta(9, 1) for the rate with the set and Beta(1, 9) for the rate without it, the null its best rate.
    pub(super) fn ln_evidence(self) -> f64 {
        let (f, s) = (f64::from(self.with_failed.saturating_sub(1)), f64::from(self.with_passed));
        let (g, t) = (f64::from(self.without_failed), f64::from(self.without_passed.saturating_sub(1)));
        let with = ln_beta(9.0 + f, 1.0 + s) - ln_beta(9.0, 1.0);
        let without = ln_beta(1.0 + g, 9.0 + t) - ln_beta(1.0, 9.0);
        let (failed, passed) = (f + g, s + t);
        let all = failed + passed;
        let term = |count: f64| if count > 0.0 { count * (count / all).ln() } else { 0.0 };
        with + without - term(failed) - term(passed)
    }

    /// Whether the set is to blame, with at most this chance that it is not.
    pub(super) fn is_established(self, error: f64) -> bool {
        self.ln_evidence() >= -error.ln()
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn near(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance, "{found} instead of {expected}");
    }

    #[test]
    fn intervals_have_the_figures_of_a_uniform_mixture() {
        // Solved by hand: 0.05 · B(f + 1, s + 1) = p^f · (1 − p)^s.
        for (failed, networks, low, high) in
            [(0, 5, 0.0, 0.616), (0, 59, 0.0, 0.111), (1, 3, 0.005, 0.93), (5, 10, 0.13, 0.87), (6, 40, 0.03, 0.38)]
        {
            let found = interval(failed, networks);
            near(found.0, low, 0.012);
            near(found.1, high, 0.012);
        }
        near(at_least(2, 2), 0.129, 0.001);
        near(excluded_rate(0), 1.0, 1e-9);
        assert_eq!(interval(0, 0), (0.0, 1.0));
    }

    /// The true rate is outside at most one time in twenty although one looks after every network.
    #[test]
    fn intervals_hold_whenever_one_stops() {
        let mut random = ChaCha8Rng::seed_from_u64(11);
        for rate in [0.01, 0.1, 0.35, 0.8] {
            let runs = 1_000;
            let missed = (0..runs).filter(|_| {
                let mut failed = 0;
                (1..=60).any(|networks| {
                    failed += u32::from(random.random_bool(rate));
                    let (low, high) = interval(failed, networks);
                    rate < low || rate > high
                })
            });
            let missed = missed.count();
            assert!(missed <= runs / 20, "{missed} of {runs} at {rate}");
        }
    }

    #[test]
    fn a_contrast_needs_what_the_error_rate_says() {
        let straight = |n: u32| Contrast { with_failed: n, without_passed: n, ..Contrast::default() };
        let needed = |error: f64| (1..40).find(|n| straight(*n).is_established(error)).map(|n| 2 * (n - 1));
        assert_eq!(needed(0.01), Some(8));
        assert_eq!(needed(0.01 / 14.0), Some(12));
        // What fails alike with and without proves nothing, however often.
        let alike = Contrast { with_failed: 20, with_passed: 20, without_failed: 20, without_passed: 20 };
        assert!(alike.ln_evidence() < 0.0);
    }

    /// Flaking at any rate is called interference at most one time in a hundred, whenever one looks.
    #[test]
    fn flaking_is_no_contrast() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        for rate in [0.05, 0.2, 0.35, 0.5, 0.8] {
            let runs = 4_000;
            let called = (0..runs).filter(|_| {
                // It was selected: one failure with the set, one pass without.
                let mut seen = Contrast { with_failed: 1, without_passed: 1, ..Contrast::default() };
                (0..12).any(|_| {
                    if random.random_bool(rate) {
                        seen.with_failed += 1
                    } else {
                        seen.with_passed += 1
                    }
                    if random.random_bool(rate) {
                        seen.without_failed += 1
                    } else {
                        seen.without_passed += 1
                    }
                    seen.is_established(0.01)
                })
            });
            let called = called.count();
            assert!(called <= runs / 100, "{called} of {runs} at {rate}");
        }
    }

    #[test]
    fn noise_is_measured() {
        // 2 % on 900 observations: one failure of three is noise, three of three are not.
        let noise = Noise { failed: 18, networks: 900 };
        assert!(noise.ln_evidence_against(1, 3) < 8_f64.ln());
        assert!(noise.ln_evidence_against(3, 3) > 100_f64.ln());
        assert_eq!(noise.convicts(900, 0.01), 3);
        assert_eq!(Noise { failed: 0, networks: 900 }.convicts(900, 0.01), 2);
        // Nothing was measured yet: two failures convict one of a few cells.
        assert!(Noise::default().convicts(20, 0.01) <= 2);
    }
}
