//! An image of one static program, in a registry: what a cluster can run.

use std::path::{Path, PathBuf};
use std::process::Command;

use skew_core::model::Digest;
use skew_deploy::ImageRef;

use super::fake_node::SOURCE;

/// The fake node, linked so that it needs no other file.
pub(crate) fn static_binary() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = dir.join(format!("fake_node-static-{}", Digest::of(SOURCE.as_bytes()).short()));
    if !path.exists() {
        let draft = tempfile::Builder::new().prefix("fake_node").tempdir_in(&dir).unwrap();
        let (source, program) = (draft.path().join("node.rs"), draft.path().join("fake_node"));
        std::fs::write(&source, SOURCE).unwrap();
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let status = Command::new(rustc)
            .args(["--edition", "2024", "-C", "debuginfo=0", "-C", "opt-level=1", "-C", "strip=symbols"])
            .args(["-C", "target-feature=+crt-static", "-o"])
            .args([&program, &source])
            .status()
            .unwrap();
        assert!(status.success(), "the fake node does not link statically");
        std::fs::rename(program, &path).unwrap();
    }
    path
}

/// Writes a layout of one image `FROM scratch` with these files, mode 755; its manifest's digest.
pub(crate) fn write_layout(layout: &Path, files: &[(&str, &[u8])]) -> Digest {
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        std::fs::write(blobs.join(digest.hex()), bytes).unwrap();
        (digest, bytes.len())
    };
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, path, *bytes).unwrap();
    }
    let (layer, layer_size) = put(&tar.into_inner().unwrap());
    let platform = serde_json::json!({ "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [layer.to_string()] } });
    let (config, config_size) = put(platform.to_string().as_bytes());
    let manifest = serde_json::json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.to_string(), "size": config_size },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer.to_string(), "size": layer_size }] });
    let (manifest, size) = put(manifest.to_string().as_bytes());
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest.to_string(), "size": size }] });
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    manifest
}

/// Copies a layout's image to a registry that speaks plain HTTP, with the credentials of a Docker config, if any.
pub(crate) fn push(layout: &Path, reference: &str, login: Option<&str>) {
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["--insecure-policy", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"]);
    if let Some(login) = login {
        skopeo.args(["--dest-creds", login]);
    }
    skopeo.arg(format!("oci:{}", layout.display())).arg(format!("docker://{reference}"));
    let output = skopeo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The fake node's image, by its manifest.
pub(crate) fn fake(layout: &Path) -> ImageRef {
    let program = std::fs::read(static_binary()).unwrap();
    ImageRef { manifest: write_layout(layout, &[("fake_node", &program)]), name: "fake@1".to_owned() }
}
