//! Error rates: what is said of worlds in which something fails now and then.
//!
//! A cell is innocent when no flaw is planted in it. CI runs a few hundred worlds; `SKEW_WORLDS=100000` runs as many, on
//! all cores, and the table that is printed is that of `docs/evidence.md`. `SKEW_SHOW=1` shows what was judged wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use skew_core::model::{Cell, Strategy, Subject, VerdictKind};
use skew_core::verdict::excluded_rate;

use super::flaw::{Chance, Flaw, Side};
use super::world::{Shape, World};

const RATES: [u32; 8] = [1, 2, 5, 10, 20, 35, 50, 80];

/// What stands beside the flaking.
const COMPANIES: [&str; 5] = ["alone", "a bad pair", "a broken version", "an interference", "a dying node"];

/// What was said of the cells of some worlds.
#[derive(Debug, Default, Clone)]
struct Tally {
    worlds: usize,
    networks: usize,
    innocent: usize,
    /// Innocent cells said to be `fail`, `broken` or `interference`.
    convicted: usize,
    /// Innocent cells said to be `flaky`.
    named: usize,
    /// Sets said to be `interference` or `fail` that are not, and sweeps that had one.
    false_sets: usize,
    /// Worlds with an innocent convicted or named.
    wrong_worlds: usize,
    /// Flaking cells by what is said of them.
    flaky: BTreeMap<&'static str, usize>,
    /// Flaking cells that pass although they fail more often than the pass excludes.
    beyond: usize,
    /// Cells that pass although a failure that was seen is not explained.
    hidden: usize,
    /// Always failing cells by what is said of them.
    bad: BTreeMap<&'static str, usize>,
    /// True sets by what is said of them.
    sets: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        self.networks += other.networks;
        self.innocent += other.innocent;
        self.convicted += other.convicted;
        self.named += other.named;
        self.false_sets += other.false_sets;
        self.wrong_worlds += other.wrong_worlds;
        self.beyond += other.beyond;
        self.hidden += other.hidden;
        for (all, more) in [(&mut self.flaky, &other.flaky), (&mut self.bad, &other.bad), (&mut self.sets, &other.sets)]
        {
            for (word, count) in more {
                *all.entry(word).or_default() += count;
            }
        }
    }
}

/// The upper 95 % bound of a share (Clopper and Pearson 1934), by bisection on the binomial distribution.
fn upper(count: usize, all: usize) -> f64 {
    if all == 0 || count >= all {
        return 1.0;
    }
    let at_most = |p: f64| {
        let (mut term, mut sum) = ((all as f64) * (1.0 - p).ln(), 0.0_f64);
        for k in 0..=count {
            sum += term.exp();
            term += ((all - k) as f64 / (k + 1) as f64).ln() + (p / (1.0 - p)).ln();
        }
        sum
    };
    let (mut low, mut high) = (count as f64 / all as f64, 1.0);
    for _ in 0..50 {
        let middle = f64::midpoint(low, high);
        if at_most(middle) > 0.05 { low = middle } else { high = middle }
    }
    high
}

/// A stream of numbers for one world.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

fn a_world(percent: u32, company: usize, seed: u64) -> World {
    let mut numbers = Numbers(seed);
    let versions = 4 + numbers.below(2);
    let chance = Chance { percent, whole: numbers.below(2) == 0 };
    let shape = match (company, numbers.below(4)) {
        (4, _) | (_, 0) => Shape::Ledger,
        (0, 1) => Shape::Replicas,
        _ => Shape::Payments,
    };
    let strategy = [Strategy::Packed, Strategy::Packed, Strategy::Pairs, Strategy::Candidate][numbers.below(4)];
    // Versions of the flaking and of its company differ, so that the truth of each cell is plain.
    let (v, w) = (numbers.below(versions), numbers.below(versions));
    let side = [Side::From, Side::To, Side::Any][numbers.below(3)];
    let mut flaws = Vec::new();
    match shape {
        Shape::Ledger | Shape::Payments => flaws.push(match numbers.below(5) {
            0 => Flaw::FlakyParty { check: "pay", role: "notary", version: v, side: Side::Any, chance },
            1 | 2 => Flaw::FlakyParty { check: "pay", role: "node", version: v, side, chance },
            3 => Flaw::FlakyPair { check: "pay", from: ("node", v), to: ("node", w), chance },
            _ => Flaw::FlakyPair { check: "pay", from: ("node", v), to: ("notary", w), chance },
        }),
        _ => flaws.push(match numbers.below(3) {
            0 => Flaw::FlakyParty { check: "replicates", role: "primary", version: v, side: Side::Any, chance },
            1 => Flaw::FlakyParty { check: "replicates", role: "replica", version: v, side: Side::Any, chance },
            _ => Flaw::FlakyPair { check: "replicates", from: ("primary", v), to: ("replica", w), chance },
        }),
    }
    let mut others: Vec<usize> = (0..versions).filter(|x| *x != v && *x != w).collect();
    let mut other = || others.remove(numbers.below(others.len()));
    match company {
        1 => flaws.push(Flaw::Pair { check: "pay", from: ("node", other()), to: ("node", other()) }),
        2 => flaws.push(Flaw::Broken { check: "pay", role: "node", version: other() }),
        3 => flaws.push(Flaw::Interference { from: other(), to: other(), present: v }),
        4 => flaws.push(Flaw::Dying { node: other(), doorman: other(), percent: 100 }),
        _ => {}
    }
    World {
        versions,
        seats: 3 + numbers.below(2),
        strategy,
        flaws,
        shape,
        jobs: 1 + numbers.below(3),
        seed,
        candidate: numbers.below(versions),
        outage: None,
        repeats: [1, 2, 4][numbers.below(3)],
        noise: 0,
        edition: 0,
    }
}

fn judge(world: &World) -> Tally {
    let outcome = world.sweep();
    let mut tally = Tally { worlds: 1, networks: outcome.networks.len(), ..Tally::default() };
    for (cell, verdict) in &outcome.decision.verdicts {
        let word = verdict.kind.word();
        if matches!(cell.subject, Subject::Set(_)) {
            if world.is_interference(cell) {
                *tally.sets.entry(word).or_default() += 1;
            } else {
                tally.false_sets += 1;
            }
            continue;
        }
        if !outcome.decision.asked.contains(cell) {
            continue;
        }
        let about = |flaw: &Flaw| flaw.check() == cell.check.as_str();
        if !world.flaws.iter().any(about) {
            // Another check's cells are no test of these rules.
            continue;
        }
        tally.hidden += usize::from(word == "pass" && verdict.counts.failed + verdict.counts.mixed > 0);
        let planted = world.flaws.iter().map(|flaw| flaw.planted(cell)).max().unwrap_or(0);
        match planted {
            0 => {
                tally.innocent += 1;
                match verdict.kind {
                    VerdictKind::Fail | VerdictKind::Broken { .. } | VerdictKind::Interference => tally.convicted += 1,
                    VerdictKind::Flaky { .. } => tally.named += 1,
                    VerdictKind::Pass => {}
                    _ => {}
                }
            }
            100 => *tally.bad.entry(word).or_default() += 1,
            percent => {
                *tally.flaky.entry(word).or_default() += 1;
                let excluded = excluded_rate(verdict.counts.passed);
                tally.beyond += usize::from(word == "pass" && f64::from(percent) / 100.0 > excluded);
            }
        }
    }
    tally.wrong_worlds = usize::from(tally.convicted + tally.named + tally.false_sets > 0);
    if tally.wrong_worlds > 0 && std::env::var_os("SKEW_SHOW").is_some() {
        show(world, &outcome);
    }
    tally
}

fn show(world: &World, outcome: &super::world::Simulated) {
    println!("\n{world:?}, {} networks", outcome.networks.len());
    let innocent = |cell: &Cell| world.flaws.iter().all(|flaw| flaw.planted(cell) == 0);
    for (cell, verdict) in &outcome.decision.verdicts {
        let set = matches!(cell.subject, Subject::Set(_));
        if verdict.kind != VerdictKind::Pass && verdict.kind.word() != "untested" {
            let wrong = if set { !world.is_interference(cell) } else { innocent(cell) };
            println!("{} {cell}: {} {:?}", if wrong { "WRONG" } else { "     " }, verdict.kind, verdict.counts);
        }
    }
}

fn run(worlds: usize) -> BTreeMap<(u32, usize), Tally> {
    let next = AtomicUsize::new(0);
    let tallies: Mutex<BTreeMap<(u32, usize), Tally>> = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let ix = next.fetch_add(1, Ordering::Relaxed);
                    if ix >= worlds {
                        return;
                    }
                    let (rate, company) = (RATES[ix % 8], (ix / 8) % 5);
                    let tally = judge(&a_world(rate, company, 1_000 + ix as u64));
                    tallies.lock().unwrap().entry((rate, company)).or_default().add(&tally);
                }
            });
        }
    });
    tallies.into_inner().unwrap()
}

/// A share in percent, with its upper 95 % bound.
fn share(count: usize, all: usize) -> String {
    format!("{:.2} (≤ {:.2})", 100.0 * count as f64 / all.max(1) as f64, 100.0 * upper(count, all))
}

/// The table of `docs/evidence.md`.
fn table(tallies: &BTreeMap<(u32, usize), Tally>) -> String {
    let mut text = String::from(
        "| flaking | beside | worlds | networks a world | innocent cells | convicted, % | called flaky, % | told as interference, % | worlds with a wrong name, % | flaking cells: flaky, fail or broken, pass, undecided, % | pass above what it excludes, % |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut row = |name: &str, beside: &str, t: &Tally| {
        let of = |words: &[&str]| words.iter().filter_map(|word| t.flaky.get(word)).sum::<usize>();
        let all = t.flaky.values().sum::<usize>().max(1);
        let part = |count: usize| 100.0 * count as f64 / all as f64;
        writeln!(
            text,
            "| {name} | {beside} | {} | {:.1} | {} | {} | {} | {} | {:.1} | {:.0}, {:.0}, {:.0}, {:.1} | {:.2} |",
            t.worlds,
            t.networks as f64 / t.worlds as f64,
            t.innocent,
            share(t.convicted, t.innocent),
            share(t.named, t.innocent),
            share(t.false_sets, all),
            100.0 * t.wrong_worlds as f64 / t.worlds as f64,
            part(of(&["flaky"])),
            part(of(&["fail", "broken"])),
            part(of(&["pass"])),
            part(of(&["untested", "error"])),
            part(t.beyond),
        )
        .unwrap();
    };
    for rate in RATES {
        let mut all = Tally::default();
        for (_, tally) in tallies.iter().filter(|((r, _), _)| *r == rate) {
            all.add(tally);
        }
        row(&format!("{rate} %"), "all", &all);
    }
    for (company, name) in COMPANIES.iter().enumerate() {
        let mut all = Tally::default();
        for (_, tally) in tallies.iter().filter(|((_, c), _)| *c == company) {
            all.add(tally);
        }
        row("all", name, &all);
    }
    text
}

/// What is asserted of every rate: shares at most 1 %, in a long run with their 95 % bounds.
#[test]
fn error_rates_are_as_stated() {
    let worlds = std::env::var("SKEW_WORLDS").map_or(480, |n| n.parse().unwrap());
    let tallies = run(worlds);
    print!("{}", table(&tallies));
    for rate in RATES {
        let mut t = Tally::default();
        for (_, tally) in tallies.iter().filter(|((r, _), _)| *r == rate) {
            t.add(tally);
        }
        let at_most = |what: &str, count: usize, all: usize, limit: f64| {
            let found = if worlds >= 10_000 { upper(count, all) } else { count as f64 / all.max(1) as f64 };
            assert!(found <= limit, "{rate} %: {what}: {count} of {all}");
        };
        let flaking = t.flaky.values().sum::<usize>();
        at_most("innocent cells convicted", t.convicted, t.innocent, 0.01);
        at_most("innocent cells called flaky", t.named, t.innocent, 0.01);
        at_most("flaking told as an interference", t.false_sets, flaking, 0.01);
        at_most("flaking that passes above the rate that the pass excludes", t.beyond, flaking, 0.05);
        assert_eq!(t.hidden, 0, "{rate} %: a pass over failures that nothing explains");
        // What always fails never passes.
        assert_eq!(t.bad.get("pass"), None, "{rate} %: {:?}", t.bad);
    }
}

/// A worker that loses 35 % of its jobs is named, and nobody else is: whoever else was there, and whatever the seed.
#[test]
fn a_worker_that_loses_jobs_is_named_alone() {
    let mut named = 0;
    for seed in 0..200 {
        let chance = Chance { percent: 35, whole: false };
        let flaw = Flaw::FlakyParty { check: "replicates", role: "replica", version: 2, side: Side::Any, chance };
        let world = World { versions: 5, flaws: vec![flaw], shape: Shape::Replicas, seed, ..a_world(35, 0, seed) };
        let world = World { strategy: Strategy::Packed, repeats: 3, seats: 4, ..world };
        let outcome = world.sweep();
        let is_worker = |cell: &Cell| cell.subject.parties().iter().any(|party| party.to_string() == "replica@v2");
        let mut flaky = false;
        for (cell, verdict) in &outcome.decision.verdicts {
            let expected = match verdict.kind {
                VerdictKind::Pass => true,
                VerdictKind::Flaky { .. } | VerdictKind::Fail | VerdictKind::Broken { .. } => is_worker(cell),
                VerdictKind::Untested(_) => is_worker(cell),
                _ => false,
            };
            assert!(expected, "seed {seed}: {cell}: {verdict:?}");
            flaky |= matches!(verdict.kind, VerdictKind::Flaky { .. }) && is_worker(cell);
        }
        named += usize::from(flaky);
    }
    assert!(named >= 198, "the worker was flaky for {named} of 200 seeds");
}

/// Noise that is everywhere convicts nobody, and is measured.
#[test]
fn noise_everywhere_names_nobody() {
    let (mut cells, mut named, mut convicted, mut networks, mut suspected) = (0, 0, 0, 0, 0);
    for noise in [50, 200, 500] {
        for seed in 0..30 {
            let world = World { noise, flaws: vec![], versions: 6, seats: 5, repeats: 1, ..a_world(1, 0, seed) };
            let world = World { strategy: Strategy::Packed, shape: Shape::Replicas, ..world };
            let outcome = world.sweep();
            networks += outcome.networks.len();
            for verdict in outcome.decision.verdicts.values() {
                cells += 1;
                match verdict.kind {
                    VerdictKind::Pass => {}
                    VerdictKind::Flaky { .. } => named += 1,
                    VerdictKind::Untested(_) => suspected += 1,
                    _ => convicted += 1,
                }
            }
        }
    }
    // 90 sweeps of 36 cells, at 0.5, 2 and 5 %.
    assert_eq!((convicted, suspected), (0, 0), "of {cells} cells");
    assert!(named * 100 <= cells, "{named} of {cells} cells called flaky in {networks} networks");
}
