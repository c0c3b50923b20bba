//! Compiles the fake node once, and serves it as the only image there is.
#![allow(dead_code)] // each test binary uses its own half

use std::path::{Path, PathBuf};
use std::sync::Arc;

use skew_core::model::Digest;
use skew_deploy::{Addressing, ImageRef, ProcessBackend, ProcessConfig};

/// The fake node, as it is compiled.
pub(crate) const SOURCE: &str = include_str!("node.rs");

/// The compiled fake node.
pub(crate) fn binary() -> PathBuf {
    compiled("fake_node", &[])
}

/// The fake node for images that hold nothing else.
pub(crate) fn static_binary() -> PathBuf {
    compiled("fake_node_static", &["-C", "target-feature=+crt-static"])
}

fn compiled(name: &str, flags: &[&str]) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = dir.join(format!("{name}-{}", Digest::of(SOURCE.as_bytes()).short()));
    if !path.exists() {
        std::fs::create_dir_all(&dir).unwrap();
        let draft = tempfile::Builder::new().prefix("fake_node").tempdir_in(&dir).unwrap();
        let source = draft.path().join("node.rs");
        std::fs::write(&source, SOURCE).unwrap();
        let program = draft.path().join("fake_node");
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let status = std::process::Command::new(rustc)
            .args(["--edition", "2024", "-C", "debuginfo=0", "-C", "opt-level=1"])
            .args(flags)
            .arg("-o")
            .args([&program, &source])
            .status()
            .unwrap();
        assert!(status.success(), "the fake node does not compile");
        std::fs::rename(program, &path).unwrap();
    }
    path
}

/// The fake node's image.
pub(crate) fn image() -> ImageRef {
    ImageRef { manifest: Digest::of(SOURCE.as_bytes()), name: "fake@1".to_owned() }
}

/// A process backend below a directory, whose only image holds `fake_node`.
pub(crate) fn backend(dir: &Path, addressing: Addressing) -> ProcessBackend {
    let binary = binary();
    let unpack = move |manifest: &Digest, to: &Path| -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if *manifest != image().manifest {
            return Err(format!("there is no image {manifest}").into());
        }
        std::fs::copy(&binary, to.join("fake_node"))?;
        Ok(())
    };
    let config = ProcessConfig {
        dir: dir.join("run"),
        runtime: dir.join("runtime"),
        path: "/usr/bin:/bin".to_owned(),
        addressing,
        unpack: Arc::new(unpack),
    };
    ProcessBackend::new(config).unwrap()
}
