//! The documents of an OCI image: config, manifest, index. Equal input, equal bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use skew_core::model::Digest;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The annotation that names an image in an index.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The annotation that names the build key of an image that skew built.
pub(crate) const BUILD_KEY: &str = "vnd.skew.build-key";

/// The largest document that is read.
pub(crate) const DOCUMENT: u64 = 4 << 20;

/// A blob, as a document refers to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Descriptor {
    pub digest: Digest,
    #[serde(rename = "size")]
    pub bytes: u64,
}

/// What is needed of a manifest to unpack its image, and to know whether skew built it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Manifest {
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// What of an image is its own, whatever commit it was built from.
#[derive(Debug, Clone)]
pub(crate) struct Runtime<'a> {
    /// What it runs.
    pub entrypoint: &'a [String],
    /// The digests of its layers before compression.
    pub diffs: &'a [Digest],
}

impl Runtime<'_> {
    /// The config document. `created` is in seconds since 1970.
    pub(crate) fn config(&self, created: i64) -> Value {
        let created = timestamp(created);
        let mut config = json!({});
        if !self.entrypoint.is_empty() {
            config["Entrypoint"] = json!(self.entrypoint);
        }
        json!({
            "created": created,
            "architecture": architecture(),
            "os": os(),
            "config": config,
            "rootfs": { "type": "layers", "diff_ids": self.diffs },
            "history": self.diffs.iter().map(|_| json!({ "created": created, "created_by": "skew" })).collect::<Vec<_>>(),
        })
    }
}

/// The manifest document; the annotations come in the order of their names.
pub(crate) fn manifest(config: &Descriptor, layers: &[Descriptor], annotations: &BTreeMap<&str, String>) -> Value {
    let described =
        |kind: &str, blob: &Descriptor| json!({ "mediaType": kind, "digest": blob.digest, "size": blob.bytes });
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": described(CONFIG, config),
        "layers": layers.iter().map(|layer| described(LAYER, layer)).collect::<Vec<_>>(),
        "annotations": annotations,
    })
}

/// The index document of a layout.
pub(crate) fn index<'a>(references: impl Iterator<Item = (&'a str, &'a Descriptor)>) -> Value {
    let manifests: Vec<Value> = references
        .map(|(name, manifest)| {
            json!({
                "mediaType": MANIFEST,
                "digest": manifest.digest,
                "size": manifest.bytes,
                "annotations": { REF_NAME: name },
            })
        })
        .collect();
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests })
}

/// Seconds since 1970 as OCI writes times.
pub(crate) fn timestamp(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// This machine's architecture, as Go calls it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

/// This machine's operating system, as Go calls it.
pub(crate) fn os() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_what_the_specification_says() {
        let diffs = [Digest::of(b"layer")];
        let entrypoint = ["bin/tool".to_owned()];
        let runtime = Runtime { entrypoint: &entrypoint, diffs: &diffs };
        let config = runtime.config(86400).to_string();
        let read = oci_spec::image::ImageConfiguration::from_reader(config.as_bytes()).expect("a config");
        assert_eq!(read.created().as_deref(), Some("1970-01-02T00:00:00Z"));
        assert_eq!(read.rootfs().diff_ids(), &[diffs[0].to_string()]);
        let blob = Descriptor { digest: Digest::of(b"x"), bytes: 1 };
        let annotations = BTreeMap::from([("b", "2".to_owned()), ("a", "1".to_owned())]);
        let text = manifest(&blob, std::slice::from_ref(&blob), &annotations).to_string();
        oci_spec::image::ImageManifest::from_reader(text.as_bytes()).expect("a manifest");
        assert!(text.ends_with(r#""annotations":{"a":"1","b":"2"}}"#), "{text}");
        let text = index([("node:v1", &blob)].into_iter()).to_string();
        oci_spec::image::ImageIndex::from_reader(text.as_bytes()).expect("an index");
    }
}
