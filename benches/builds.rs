//! What skew adds to a `sh` loop of the same build commands.
//!
//! ```sh
//! cargo bench --bench builds -- 5  # that many rounds, 5 unless told
//! ```
//!
//! Every version of a small repository is built from nothing: by the real binary with an empty state, which fetches,
//! checks out, builds, packs, records and cleans up; and by a shell loop that makes a worktree, runs the command and
//! removes the worktree. The loop builds one after another, so what skew adds is measured with `--build-jobs 1`; what
//! a person waits for, with one build for each core, stands beside it.

mod measure;

use std::time::Duration;

use measure::{Place, added_ms, load, median, rounds, timed};

const VERSIONS: usize = 30;

/// In milliseconds for each image.
const TARGET: f64 = 50.0;

/// The same builds, without skew: what each puts into `$OUT` is kept, and is not packed.
const LOOP: &str = r#"
git clone --quiet --bare repo loop/copy.git
for tag in $(git -C loop/copy.git tag); do
  export SOURCE="$PWD/loop/tree/$tag" OUT="$PWD/loop/out/$tag"
  git -C loop/copy.git worktree add --quiet --detach "$SOURCE" "$tag"
  mkdir -p "$OUT"
  (cd "$SOURCE" && sh -ec "$BUILD")
  git -C loop/copy.git worktree remove --force "$SOURCE"
done
"#;

fn main() {
    let rounds = rounds(5);
    println!("{VERSIONS} versions, {rounds} rounds, load {}", load());
    let commands = [("a copy", "cp data $OUT/data"), ("a small compilation", "cc -O1 -o $OUT/program main.c")];
    let missed = commands.iter().filter(|(name, build)| compare(name, build, rounds) > TARGET).count();
    println!("the target, at most {TARGET} ms added to each image, is {}", if missed == 0 { "met" } else { "missed" });
}

/// Milliseconds that skew adds to each image.
fn compare(name: &str, build: &str, rounds: usize) -> f64 {
    let place = repository(build);
    let (mut ours, mut parallel, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        let one = skew(&place, &["--build-jobs", "1"]);
        let many = skew(&place, &[]);
        let shell = timed(place.sh(&format!("rm -rf loop; mkdir loop; {LOOP}")).env("BUILD", build));
        println!("{name}, round {round}: skew {one:.2?}, one for each core {many:.2?}; loop {shell:.2?}");
        ours.push(one);
        parallel.push(many);
        theirs.push(shell);
    }
    let each = |times: &[Duration]| added_ms(times, &theirs) / VERSIONS as f64;
    println!(
        "{name}, medians: skew {:.2?}, one for each core {:.2?}; loop {:.2?}; added to each image {:.1} ms, with one for \
         each core {:.1} ms",
        median(&ours),
        median(&parallel),
        median(&theirs),
        each(&ours),
        each(&parallel)
    );
    each(&ours)
}

/// How long the real binary takes, from an empty state.
fn skew(place: &Place, options: &[&str]) -> Duration {
    let state = place.join(".skew");
    if state.exists() {
        std::fs::remove_dir_all(&state).expect("removed");
    }
    timed(place.skew(&["build", "skew.toml"]).args(options))
}

fn repository(build: &str) -> Place {
    let recipe = format!(r#"{{ kind = "command", run = ["sh", "-ec", "{build}"] }}"#);
    let role = r#"run = ["{{ root }}/program"]
ready = { log = "up", within = "1s" }"#;
    let place = Place::system(&recipe, role, "{ seats = 2 }");
    for version in 0..VERSIONS {
        place.write("repo/data", format!("version {version}\n").repeat(1000));
        place.write("repo/main.c", format!("int main(void) {{ return {version}; }}\n"));
        place.release(&format!("v1.{version}.0"));
    }
    place
}
