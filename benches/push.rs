//! A push of 20 images that share layers, beside `skopeo copy` of the same images to the same kind of registry.
//!
//! ```sh
//! cargo bench --bench push -- 3
//! ```
//!
//! Each round (3 unless told) begins with an empty registry of its own for either. Prints seconds for the first push and for
//! a second one, in which nothing has changed. Needs `docker-registry`, `htpasswd`, `openssl` and `skopeo`.

#[path = "../tests/common/mod.rs"]
mod common;
mod measure;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use rand::RngExt as _;
use skew_core::model::{Digest, RemoteAt};
use skew_image::Layout;
use skew_image::registry::{Access, Patience, Registry as Client};

use common::registry::Registry;
use measure::{median_ratio, rounds, works};

const IMAGES: usize = 20;
/// As many as `skew push` sends at once.
const AT_ONCE: usize = 8;
/// What all share, what four share, what each has alone: in bytes.
const LAYERS: [usize; 3] = [40 << 20, 4 << 20, 1 << 20];

fn main() -> ExitCode {
    let rounds = rounds(3);
    if common::registry::missing("push") || !works("skopeo", &["--version"]) {
        eprintln!("docker-registry, htpasswd, openssl and skopeo are needed");
        return ExitCode::FAILURE;
    }
    let dir = tempfile::tempdir().expect("a directory");
    images(dir.path());
    println!("{IMAGES} images of {} MiB, {} MiB in all", LAYERS.iter().sum::<usize>() >> 20, total(dir.path()) >> 20);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let (other, own) = (Registry::open(), Registry::open());
        let skopeo = [timed(|| skopeo(dir.path(), &other.host())), timed(|| skopeo(dir.path(), &other.host()))];
        let skew = [timed(|| skew(dir.path(), &own.host())), timed(|| skew(dir.path(), &own.host()))];
        println!(
            "round {round}: first: skew {:.2} s, skopeo {:.2} s; again: skew {:.2} s, skopeo {:.2} s",
            skew[0].as_secs_f64(),
            skopeo[0].as_secs_f64(),
            skew[1].as_secs_f64(),
            skopeo[1].as_secs_f64()
        );
        ours.push(skew[0]);
        theirs.push(skopeo[0]);
    }
    let median = median_ratio(&ours, &theirs);
    println!("median: skew needs {median:.2} of skopeo's time; the target is 0.50");
    if median <= 0.5 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

fn skopeo(layout: &Path, host: &str) {
    for n in 0..IMAGES {
        let copied = Command::new("skopeo")
            .args(["copy", "--quiet", "--dest-tls-verify=false"])
            .arg(format!("oci:{}:node:v{n}", layout.display()))
            .arg(format!("docker://{host}/bench/node:v{n}"))
            .status();
        assert!(copied.expect("skopeo starts").success());
    }
}

fn skew(layout: &Path, host: &str) {
    let access = Access { docker_config: None, insecure: false, patience: Patience::LONG };
    let (client, layout) = (Client::new(host, access).expect("a client"), Layout::open(layout).expect("a layout"));
    let references = layout.references().expect("an index");
    let pushes = references.iter().map(async |image| {
        let label = RemoteAt::Tag(image.name.trim_start_matches("node:").to_owned());
        client.push(&layout, &image.manifest, "bench/node", &label, &image.manifest).await
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let pushed: Vec<_> = runtime.block_on(stream::iter(pushes).buffered(AT_ONCE).collect());
    assert_eq!(pushed.into_iter().filter(|pushed| pushed.is_ok()).count(), IMAGES);
}

/// A layout with images of random layers: nothing of them compresses, so that only sending counts.
fn images(dir: &Path) {
    let blobs = dir.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).expect("a directory");
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        std::fs::write(blobs.join(digest.hex()), bytes).expect("written");
        serde_json::json!({ "digest": digest, "size": bytes.len() })
    };
    let layer = |bytes: usize| {
        let mut content = vec![0; bytes];
        rand::rng().fill(&mut content[..]);
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes as u64);
        header.set_mode(0o644);
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_data(&mut header, format!("file-{bytes}"), &content[..]).expect("appended");
        let archive = archive.into_inner().expect("finished");
        let mut layer = put(&archive);
        layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar".into();
        (layer, Digest::of(&archive))
    };
    let all = layer(LAYERS[0]);
    let groups: Vec<_> = (0..IMAGES / 4).map(|_| layer(LAYERS[1])).collect();
    let manifests: Vec<_> = (0..IMAGES)
        .map(|n| {
            let layers = [all.clone(), groups[n / 4].clone(), layer(LAYERS[2])];
            let diffs: Vec<Digest> = layers.iter().map(|(_, diff)| *diff).collect();
            let config = serde_json::json!({
                "architecture": "amd64", "os": "linux", "config": {}, "rootfs": { "type": "layers", "diff_ids": diffs },
            });
            let mut config = put(config.to_string().as_bytes());
            config["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
            let kind = "application/vnd.oci.image.manifest.v1+json";
            let layers = layers.map(|(layer, _)| layer);
            let manifest =
                serde_json::json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers });
            let mut entry = put(manifest.to_string().as_bytes());
            entry["mediaType"] = kind.into();
            entry["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": format!("node:v{n}") });
            entry
        })
        .collect();
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": manifests });
    std::fs::write(dir.join("index.json"), index.to_string()).expect("written");
    std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("written");
}

fn total(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir.join("blobs/sha256")).expect("blobs");
    files.map(|file| file.expect("a file").metadata().expect("a file").len()).sum()
}
