//! More seeds than CI has time for: the ledger's verdicts equal its truth table, whatever the seed.
//!
//! ```sh
//! cargo bench --bench ledger_seeds -- 20
//! ```
//!
//! Runs that many sweeps for each strategy (5 unless told), prints networks and seconds for each, and ends with 1 if a
//! verdict was ever not the truth.

use std::process::{Command, ExitCode};
use std::time::Instant;

fn main() -> ExitCode {
    // Cargo passes `--bench`.
    let seeds: u64 = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(5);
    let dir = std::env::temp_dir().join(format!("skew-bench-ledger-{}", std::process::id()));
    let mut wrong = 0;
    for strategy in ["packed", "candidate", "pairs"] {
        let mut seconds = Vec::new();
        for seed in 0..seeds {
            let begin = Instant::now();
            let output = Command::new(env!("CARGO_BIN_EXE_skew"))
                .args(["demo", "--fresh", "--quiet", "--format", "json", "--strategy", strategy])
                .arg("--seed")
                .arg(seed.to_string())
                .arg("--dir")
                .arg(&dir)
                .arg("--report")
                .arg(dir.join("report"))
                .output();
            let Ok(output) = output else {
                eprintln!("skew does not start");
                return ExitCode::FAILURE;
            };
            seconds.push(begin.elapsed().as_secs_f64());
            let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let differences = found["differences"].as_array().map_or(1, Vec::len);
            println!("{strategy} seed {seed}: {} networks, {differences} differences", found["networks"]);
            if differences > 0 {
                wrong += 1;
                println!("{}", found["differences"]);
            }
        }
        seconds.sort_by(f64::total_cmp);
        println!("{strategy}: median {:.1} s of {seeds}", seconds[seconds.len() / 2]);
    }
    if let Err(error) = std::fs::remove_dir_all(&dir) {
        eprintln!("failed to remove {}: {error}", dir.display());
    }
    println!("{wrong} of {} sweeps were not the truth", 3 * seeds);
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
