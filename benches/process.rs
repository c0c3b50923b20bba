//! A network of eight processes, beside the same programs under a shell script.
//!
//! ```sh
//! cargo bench --bench process -- 9  # that many rounds, 9 unless told
//! ```
//!
//! The network's time is that of the backend: opened, eight nodes started, each with an address and a directory of its
//! own, the line of each that it listens, closed and everything removed. The script makes the same directories, starts the
//! same programs at other addresses, waits for the same lines, ends them and removes the directories. Beside both stands
//! what a person waits for with the real binary, its images built before: `skew up`, which first looks for versions
//! in git and for the images, and `skew down`.

#[allow(dead_code)]
#[path = "../crates/skew-deploy/tests/backends/conformance.rs"]
mod conformance;
#[path = "../crates/skew-deploy/tests/fake_node/mod.rs"]
mod fake_node;
mod measure;
#[path = "measure/network.rs"]
mod network;

use std::process::ExitCode;

use skew_deploy::{Addressing, Backend};

use measure::{Place, added_ms, load, median, rounds, timed};

const NODES: usize = 8;

/// In milliseconds, for a network.
const TARGET: f64 = 100.0;

const SCRIPT: &str = r#"
pids=
for n in 1 2 3 4 5 6 7 8; do
  mkdir -p "loop/$n"
  files/fake_node serve "127.9.9.$n:7000" bad hang >"loop/$n/log" 2>&1 &
  pids="$pids $!"
done
for n in 1 2 3 4 5 6 7 8; do
  until grep -q "^listening" "loop/$n/log"; do sleep 0.01; done
done
kill $pids
wait || true
rm -r loop
"#;

#[tokio::main]
async fn main() -> ExitCode {
    let rounds = rounds(9);
    let place = system();
    measure::run(&mut place.skew(&["build", "skew.toml"]));
    let backend = fake_node::backend(&place.join("backend"), Addressing::detect());
    backend.ensure_images(&[fake_node::image()]).await.expect("the image");
    println!("{NODES} nodes, {rounds} rounds, load {}", load());
    let (mut ours, mut theirs, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        let up = timed(&mut place.skew(&["up", "skew.toml", "--seats", "node=v1.0.0"]));
        let down = timed(&mut place.skew(&["down", "skew.toml"]));
        let script = timed(&mut place.sh(SCRIPT));
        let (begun, ended) = network::up_and_down(&backend, &fake_node::image(), NODES).await;
        let network = begun + ended;
        println!("round {round}: skew {up:.2?} up, {down:.2?} down; script {script:.2?}; the network {network:.2?}");
        ours.push(up + down);
        theirs.push(script);
        alone.push(network);
    }
    let added = added_ms(&alone, &theirs);
    println!(
        "medians: the network {:.2?}, script {:.2?}: {added:.0} ms added (target: at most {TARGET}); with both commands \
         {:.2?}: {:.0} ms added",
        median(&alone),
        median(&theirs),
        median(&ours),
        added_ms(&ours, &theirs)
    );
    if added <= TARGET { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn system() -> Place {
    let role = r#"run = ["{{ root }}/fake_node", "serve", "{{ self.bind }}:{{ self.ports.main }}", "bad", "hang"]
ports = { main = 7000 }
ready = { log = "^listening", within = "20s" }"#;
    let place = Place::system(r#"{ kind = "prebuilt", path = "files" }"#, role, "{ count = 8 }");
    std::fs::create_dir_all(place.join("files")).expect("a directory");
    std::fs::copy(fake_node::binary(), place.join("files/fake_node")).expect("copied");
    place.write("repo/README", "one version\n");
    place.release("v1.0.0");
    place
}
