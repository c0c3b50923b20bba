//! A store with many outcomes: opened, and its report rendered, beside Python and sqlite3 that read the same journal.
//!
//! ```sh
//! cargo bench --bench report                # 10,000 and 1,000,000 outcomes
//! cargo bench --bench report -- 10000 50000 # so many
//! ```
//!
//! An outcome is what one network observed of one check between two nodes. There are 80 versions of a small system, some
//! of which do not understand others; the first night's networks are those that skew plans until every cell is settled,
//! and every night after it runs the first night's networks again, until there are enough outcomes. A report is about the
//! last night and looks back on ten before it.
//!
//! Timed are the store's opening as a sweep opens it (journal verified, index compared with it), and `skew report`, the
//! real binary: it reads the journal, looks for versions, judges, and writes `index.html` and `results.json`. The peer
//! reads the journal's lines, puts a row for each outcome into a table and counts them by cell; it verifies and judges
//! nothing and renders nothing.

mod measure;
#[path = "report/nights.rs"]
mod nights;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use skew::record::Store;

use measure::{Place, load, median, numbers, ratio, timed};
use nights::Nights;

/// For the smallest store.
const TARGET: Duration = Duration::from_secs(1);

const PEER: &str = r#"
import json, sqlite3, sys

def rows():
    for line in open(sys.argv[1], encoding="utf-8"):
        attempt = json.loads(line)["entry"].get("attempt")
        if attempt:
            versions = {seat["node"]: seat["party"]["version"] for seat in attempt["network"]["seats"]}
            for o in attempt["observations"]:
                yield o["check"], versions[o["from"]], versions[o["to"]], o["result"]

table = sqlite3.connect(":memory:")
table.execute("create table outcomes (name, a, b, result)")
table.executemany("insert into outcomes values (?, ?, ?, ?)", rows())
cells = table.execute("select name, a, b, result, count(*) from outcomes group by name, a, b, result").fetchall()
print(sum(cell[4] for cell in cells))
"#;

fn main() -> ExitCode {
    let mut sizes: Vec<usize> = numbers().collect();
    sizes.sort_unstable();
    if sizes.is_empty() {
        sizes = vec![10_000, 1_000_000];
    }
    let place = Place::new();
    let mut nights = Nights::new(&place);
    let mut first: Option<(usize, Duration)> = None;
    let mut missed = false;
    for size in sizes {
        let begun = Instant::now();
        let outcomes = nights.grow(size);
        let journal = place.join(".skew/journal.jsonl");
        let bytes = journal.metadata().expect("a journal").len();
        println!(
            "{outcomes} outcomes of {} networks in {} nights, {} MB, recorded in {:.0?}; load {}",
            nights.networks(),
            nights.count(),
            bytes / 1_000_000,
            begun.elapsed(),
            load()
        );
        let rounds = if size > 100_000 { 3 } else { 7 };
        let (mut opened, mut reported, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=rounds {
            let begun = Instant::now();
            drop(Store::open(&place.join(".skew")).expect("a store"));
            opened.push(begun.elapsed());
            reported.push(timed(&mut place.skew(&["report", "skew.toml"])));
            let begun = Instant::now();
            let counted = measure::run(place.command("python3").args(["-c", PEER]).arg(&journal));
            theirs.push(begun.elapsed());
            assert_eq!(counted.trim(), outcomes.to_string(), "the peer counts the same");
            println!(
                "round {round}: open {:.2?}, report {:.2?}; python {:.2?}",
                opened[round - 1],
                reported[round - 1],
                theirs[round - 1]
            );
        }
        let both = median(&opened) + median(&reported);
        println!(
            "{outcomes} outcomes, medians: open {:.2?}, report {:.2?}, together {both:.2?}; python {:.2?}, ratio {:.2}",
            median(&opened),
            median(&reported),
            median(&theirs),
            ratio(both, median(&theirs))
        );
        match first {
            None => {
                missed |= both > TARGET;
                println!("target: at most {TARGET:?}");
            }
            Some((few, time)) => {
                let more = outcomes as f64 / few as f64;
                missed |= ratio(both, time) > more;
                println!("{:.1} times the time for {more:.1} times the outcomes (target: no more)", ratio(both, time));
            }
        }
        first.get_or_insert((outcomes, both));
    }
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
