//! Other people's tools read our images: `skopeo` and `umoci`.

use std::fs;
use std::path::Path;
use std::process::Command;

use repo::{Repo, spec, tagged};
use skew_host::Cancel;
use skew_image::source::{Options, resolve};
use skew_image::{Builder, Input, Layout, Site, checkout};
use skew_spec::{Recipe, RecipeKind};
use skew_testing::needs::lacks;

use crate::repo;

fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn skopeo_and_umoci_read_every_image() {
    let name = "skopeo_and_umoci_read_every_image";
    if lacks(name, "skopeo") || lacks(name, "umoci") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    let layout = dir.path().join("layout");
    let versions = images(dir.path(), &layout, &long);
    for version in &versions {
        let image = format!("oci:{}:node:{version}", layout.display());
        let seen: serde_json::Value = serde_json::from_str(&tool("skopeo", &["inspect", &image])).unwrap();
        assert_eq!((&seen["Os"], &seen["Architecture"]), (&"linux".into(), &architecture().into()));
        assert_eq!(seen["Layers"].as_array().unwrap().len(), 1);
        let config: serde_json::Value =
            serde_json::from_str(&tool("skopeo", &["inspect", "--config", &image])).unwrap();
        assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["bin/program"]));
        assert_eq!(config["history"].as_array().unwrap().len(), 1);
        // Copying verifies every digest.
        let copy = format!("dir:{}/copy-{version}", dir.path().display());
        tool("skopeo", &["copy", "--quiet", &image, &copy]);
        let bundle = dir.path().join(format!("bundle-{version}"));
        let from = format!("{}:node:{version}", layout.display());
        tool("umoci", &["unpack", "--rootless", "--image", &from, bundle.to_str().unwrap()]);
        let root = bundle.join("rootfs");
        assert_eq!(fs::read_to_string(root.join("bin/program")).unwrap(), *version);
        assert_eq!(fs::read_link(root.join("bin/link")).unwrap(), Path::new("program"));
        assert_eq!(fs::read_to_string(root.join(&long)).unwrap(), "long\n");
        assert!(root.join("empty").is_dir());
        let epoch = fs::metadata(root.join("bin/program")).unwrap().modified().unwrap();
        let epoch = epoch.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert!((1_600_000_060..1_600_000_200).contains(&epoch), "{epoch}");
    }
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Builds an image of each of two versions, one with an awkward label.
fn images(dir: &Path, root: &Path, long: &str) -> Vec<String> {
    let repo = Repo::new(dir.join("repo"));
    let labels = ["v1.0.0", "v1.1.0-rc.1"];
    for label in labels {
        repo.commit("program", label);
        repo.tag(label);
    }
    let cache = dir.join("git");
    let options = Options { cache: &cache, offline: false, stdin: None };
    let resolved = resolve(&spec(&[("app", &repo.dir, tagged("v{version}"))]), &options).unwrap();
    let (parent, name) = long.split_once('/').unwrap();
    let script = format!(
        "mkdir -p $OUT/bin $OUT/empty $OUT/{parent}; cp program $OUT/bin/; ln -s program $OUT/bin/link
         echo long > $OUT/{parent}/{name}"
    );
    let recipe = Recipe {
        path: "recipe.toml".into(),
        kind: RecipeKind::Command(repo::command(&script)),
        paths: Vec::new(),
        entrypoint: vec!["bin/program".to_owned()],
    };
    let layout = Layout::open(root).unwrap();
    let builder = Builder::new(std::env::vars());
    let repository = &resolved.repositories["app"];
    for version in &resolved.versions {
        let worktree = repository.worktree(&version.commit, checkout(&recipe), &dir.join("trees"), "x").unwrap();
        let facts = repository.facts(&version.commit, &recipe.paths).unwrap();
        let input = Input { recipe: &recipe, version, facts: &facts };
        let site = Site {
            checkout: &worktree.checkout(),
            scratch: worktree.scratch(),
            caches: &dir.join("caches"),
            log: &dir.join("log"),
            log_bytes: 1 << 20,
            layout: &layout,
            cancel: &Cancel::new(),
        };
        let built = builder.build(&input, &builder.key(&input).unwrap(), &site).unwrap();
        layout.tag([("node".to_owned(), &version.id, built.clone())]).unwrap();
    }
    labels.map(str::to_owned).into()
}
