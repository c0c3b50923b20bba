//! 100 MB of files made an image, beside `tar | gzip` and `docker build` of the same files.
//!
//! ```sh
//! cargo bench --bench pack -- 5  # that many rounds, 5 unless told
//! ```
//!
//! skew's time is that of the real binary from an empty state: it reads the files, finds the build key, packs,
//! compresses, hashes, writes, syncs and records. `tar | gzip` only packs and compresses, with gzip's default level and
//! with its fastest; `docker build` copies the files into a layer of its own that is not compressed. Half of the files
//! are random bytes, half are text.

mod measure;

use std::process::ExitCode;
use std::time::Duration;

use measure::{Place, load, median, median_ratio, rounds, timed, works};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const FILES: usize = 50;
/// The bytes of each file.
const SIZE: usize = 2_000_000;

/// Of the time of either.
const TARGET: f64 = 0.5;

const WORDS: &[&str] =
    &["ledger", "node", "notary", "doorman", "the", "pays", "admits", "seals", "version", "0x7f", "=", ";", "\n"];

fn main() -> ExitCode {
    let rounds = rounds(5);
    let role = r#"run = ["{{ root }}/program"]
ready = { log = "up", within = "1s" }"#;
    let place = Place::system(r#"{ kind = "prebuilt", path = "files" }"#, role, "{ seats = 2 }");
    files(&place);
    let docker = works("docker", &["info"]);
    if !docker {
        println!("SKIPPED docker build: there is no Docker here");
    }
    println!("{FILES} files of {SIZE} bytes, {rounds} rounds, load {}", load());
    let (mut ours, mut default, mut fast, mut built) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        let skew = skew(&place);
        let gzip = timed(&mut place.sh("tar -C files -cf - . | gzip >files.tar.gz"));
        let fastest = timed(&mut place.sh("tar -C files -cf - . | gzip -1 >files.tar.gz"));
        let engine = docker.then(|| docker_build(&place));
        println!(
            "round {round}: skew {skew:.2?}; tar | gzip {gzip:.2?}; tar | gzip -1 {fastest:.2?}; docker build {engine:.2?}"
        );
        ours.push(skew);
        default.push(gzip);
        fast.push(fastest);
        built.extend(engine);
    }
    let mut missed = false;
    println!("medians: skew {:.2?}, a layer of {} MB", median(&ours), layer(&place) / 1_000_000);
    for (name, times) in [("tar | gzip", default), ("tar | gzip -1", fast), ("docker build", built)] {
        if !times.is_empty() {
            let needs = median_ratio(&ours, &times);
            missed |= needs > TARGET;
            println!("{name} {:.2?}: skew needs {needs:.2} of it (target: at most {TARGET})", median(&times));
        }
    }
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The same bytes in every run.
fn files(place: &Place) {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for file in 0..FILES {
        let bytes = if file % 2 == 0 {
            let mut bytes = vec![0; SIZE];
            rng.fill(&mut bytes[..]);
            bytes
        } else {
            let mut text = String::new();
            while text.len() < SIZE {
                text.push_str(WORDS[rng.random_range(0..WORDS.len())]);
                text.push_str(&format!(" {:x} ", rng.random_range(0..5000)));
            }
            text.truncate(SIZE);
            text.into_bytes()
        };
        place.write(&format!("files/dir-{}/file-{file}", file % 7), bytes);
    }
    place.write("Dockerfile", "FROM scratch\nCOPY files /\n");
    place.write(".dockerignore", "*\n!files\n");
    place.write("repo/README", "one version\n");
    place.release("v1.0.0");
}

fn skew(place: &Place) -> Duration {
    let state = place.join(".skew");
    if state.exists() {
        std::fs::remove_dir_all(&state).expect("removed");
    }
    timed(&mut place.skew(&["build", "skew.toml"]))
}

/// The bytes of the layer that skew wrote.
fn layer(place: &Place) -> u64 {
    let blobs = std::fs::read_dir(place.join(".skew/layout/blobs/sha256")).expect("a layout");
    blobs.map(|blob| blob.expect("one").metadata().expect("a file").len()).max().unwrap_or_default()
}

fn docker_build(place: &Place) -> Duration {
    let begun = std::time::Instant::now();
    let id = measure::run(place.command("docker").args(["build", "-q", "--no-cache", "."]));
    let took = begun.elapsed();
    measure::run(place.command("docker").args(["rmi", "-f", id.trim()]));
    took
}
