//! The fake node as a real image in a layout, as backends with containers want it.
#![allow(dead_code)] // each test binary uses its own half

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skew_core::model::{CommitId, SourceName, Version, VersionId};
use skew_deploy::ImageRef;
use skew_host::Cancel;
use skew_image::source::Facts;
use skew_image::{Builder, Input, Layout, Site};
use skew_spec::{PrebuiltRecipe, Recipe, RecipeKind};

/// A layout below a directory, and an image of these files in it: each a path in the image and a file.
pub(crate) fn build(dir: &Path, label: &str, files: &[(&str, PathBuf)]) -> (Arc<Layout>, ImageRef) {
    let layout = Arc::new(Layout::open(&dir.join("layout")).unwrap());
    let root = dir.join(format!("files-{label}"));
    for (path, from) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::copy(from, path).unwrap();
    }
    let recipe = Recipe {
        path: "recipe.toml".into(),
        kind: RecipeKind::Prebuilt(PrebuiltRecipe {
            path: root.to_str().unwrap().to_owned(),
            sha256: BTreeMap::new(),
            strip: 0,
        }),
        paths: Vec::new(),
        entrypoint: Vec::new(),
    };
    let version = version(label);
    let facts = Facts { trees: BTreeMap::new(), epoch: 1_600_000_000 };
    let input = Input { recipe: &recipe, version: &version, facts: &facts };
    let scratch = dir.join(format!("scratch-{label}"));
    let site = Site {
        checkout: &scratch,
        scratch: &scratch,
        caches: &dir.join("caches"),
        log: &dir.join("log"),
        log_bytes: 1 << 20,
        layout: &layout,
        cancel: &Cancel::new(),
    };
    let builder = Builder::new(std::env::vars());
    let built = builder.build(&input, &builder.key(&input).unwrap(), &site).unwrap();
    (layout, ImageRef { manifest: built.manifest, name: format!("fake@{label}") })
}

/// A version of nothing.
pub(crate) fn version(label: &str) -> Version {
    Version {
        id: VersionId::new(label),
        source: SourceName::new("fake").unwrap(),
        label: label.to_owned(),
        labels: vec![label.to_owned()],
        commit: CommitId::new(&"0".repeat(40)).unwrap(),
        semver: None,
        time: 1_600_000_000,
        order: 0,
        contains: BTreeSet::new(),
    }
}
