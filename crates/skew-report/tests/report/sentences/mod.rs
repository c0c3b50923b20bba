//! Every sentence of a report is true: an evaluator that shares nothing with the code that writes them parses each one by a
//! grammar of its own and holds it against the raw verdicts, for random sweeps. A sentence that the grammar does not know is
//! an error, so that a new one is added here.

mod cells;
mod exact;
mod findings;
mod markup;
mod pages;
mod summary;
mod truth;
mod windows;
mod worlds;

use skew_report::{Model, SUMMARY, html, markdown, terminal};

use pages::Reader;
use truth::Truth;
use worlds::{World, world};

/// Random sweeps: as many as `SKEW_SENTENCES` says.
const WORLDS: u64 = 1_000;

/// Wide enough that no line is broken.
const WIDTH: usize = 60_000;

/// What is not so in the three forms of a report.
fn errors(world: &World, model: &Model) -> Vec<String> {
    let truth = Truth::new(world);
    let mut errors = Vec::new();
    for form in ["terminal", "markdown", "html"] {
        let mut reader = Reader::new(&truth);
        match form {
            "terminal" => reader.terminal(&terminal(model, WIDTH, false)),
            "markdown" => reader.markdown(&markdown(model, SUMMARY)),
            _ => reader.html(&html(model)),
        }
        errors.extend(reader.errors.into_iter().map(|error| format!("{form}: {error}")));
    }
    errors
}

#[test]
fn every_sentence_of_random_sweeps_is_true() {
    let number = |name| std::env::var(name).ok().map(|n: String| n.parse::<u64>().expect("a number"));
    let worlds = number("SKEW_SENTENCES").unwrap_or(WORLDS);
    let first = number("SKEW_SENTENCES_FROM").unwrap_or(0);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let found = std::thread::scope(|scope| {
        let some = |thread: u64| {
            move || {
                let mut found = Vec::new();
                for seed in (first + thread..first + worlds).step_by(threads as usize) {
                    let world = world(seed);
                    let errors = errors(&world, &world.now.model_after(&world.standings()));
                    found.extend(errors.into_iter().map(|error| format!("world {seed}, {error}")));
                    if found.len() > 10 {
                        break;
                    }
                }
                found
            }
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(some(thread))).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<String>>()
    });
    assert!(found.is_empty(), "{} false sentences:\n{}", found.len(), found.join("\n"));
}

/// A false sentence in place of a true one is found.
#[test]
fn a_false_sentence_is_seen() {
    let mut seen = 0;
    for seed in 0..20 {
        let world = world(seed);
        let model = world.now.model_after(&world.standings());
        let falsehoods: [fn(&mut Model) -> bool; 8] = [
            |model| {
                model.headline = "Everything that was asked works: 7 cells.".to_owned();
                true
            },
            |model| {
                let windows = model.windows.iter_mut().find(|windows| windows.a == windows.b && windows.fails > 0);
                windows.is_some_and(|windows| {
                    windows.text.insert(0, format!("every {} works with every other", windows.a));
                    true
                })
            },
            |model| {
                let finding = model.findings.iter_mut().find(|finding| finding.text.contains(" and "));
                finding.is_some_and(|finding| {
                    finding.text = finding.text.replacen(" and ", " … ", 1);
                    true
                })
            },
            |model| {
                let finding = model.findings.first_mut();
                finding.is_some_and(|finding| {
                    finding.advice = "It works with node v1.0.0. Look at what changed from there to v1.1.0: git log \
                                      0101010101..0303030303"
                        .to_owned();
                    true
                })
            },
            |model| {
                let mut cells =
                    model.checks.iter_mut().flat_map(|check| check.grids.iter_mut().flat_map(|grid| &mut grid.cells));
                cells.find(|cell| cell.verdict == skew_report::Word::Flaky).is_some_and(|cell| {
                    cell.sentence = "It failed in 6 of 6 networks: a failure rate of 100 %.".to_owned();
                    true
                })
            },
            |model| {
                let mut cells =
                    model.checks.iter_mut().flat_map(|check| check.grids.iter_mut().flat_map(|grid| &mut grid.cells));
                cells.find(|cell| cell.verdict == skew_report::Word::Pass).is_some_and(|cell| {
                    cell.verdict = skew_report::Word::Fail;
                    true
                })
            },
            |model| model.findings.pop().is_some(),
            |model| {
                model.headline.push_str(" All is well.");
                true
            },
        ];
        for falsehood in falsehoods {
            let mut told = model.clone();
            if falsehood(&mut told) && told != model {
                seen += 1;
                assert_ne!(errors(&world, &told), Vec::<String>::new(), "world {seed}: {}", told.headline);
            }
        }
    }
    assert!(seen > 80, "{seen} falsehoods were tried");
}
