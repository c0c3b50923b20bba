//! Images as `docker save` writes them → the layout. Layers are kept apart; their files are no younger than the commit,
//! and what only says when and where an image was made is dropped: so the same files are the same image.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::{Value, json};
use skew_core::model::Fault;
use tar::EntryType;

use super::content::attributes;
use super::error::{BuildError, ImageError};
use super::gzip::{self, Written};
use super::input::{Input, Site};
use super::oci::{DOCUMENT, timestamp};
use super::store::Blobs;

/// What an archive says about its one image.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Contents {
    config: String,
    layers: Vec<String>,
}

/// Where files of an archive are in it.
struct Places {
    files: BTreeMap<PathBuf, (u64, u64)>,
    links: BTreeMap<PathBuf, PathBuf>,
}

/// Takes the one image of an archive over: its config and its layers, lowest first.
pub(crate) fn import(archive: &Path, input: &Input<'_>, site: &Site<'_>) -> Result<(Value, Vec<Written>), BuildError> {
    let broken = |error: io::Error| -> BuildError {
        match error.kind() {
            io::ErrorKind::InvalidData => BuildError::infrastructure(Fault::Image, error.to_string()),
            _ => ImageError::read(archive)(error).into(),
        }
    };
    let mut file = File::open(archive).map_err(broken)?;
    let places = places(&file).map_err(broken)?;
    let contents: Vec<Contents> = document(&mut file, &places, "manifest.json").map_err(broken)?;
    let [contents] = contents.try_into().map_err(|_| broken(invalid("Docker saved more or less than one image")))?;
    let config: Value = document(&mut file, &places, &contents.config).map_err(broken)?;
    let mut layers = Vec::new();
    for layer in &contents.layers {
        if site.cancel.is_cancelled() {
            return Err(BuildError::infrastructure(Fault::Deadline, "the build was cancelled"));
        }
        let layer = places.open(&mut file, layer).and_then(|bytes| {
            let mut bytes = io::BufReader::new(bytes);
            let gzip = io::BufRead::fill_buf(&mut bytes)?.starts_with(&[0x1f, 0x8b]);
            let bytes: Box<dyn Read> = if gzip { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) };
            rewrite(bytes, input.facts.epoch, &site.layout.blobs)
        });
        layers.push(layer.map_err(broken)?);
    }
    Ok((runtime(&config, input, &layers), layers))
}

/// What of a config is the image's own.
fn runtime(config: &Value, input: &Input<'_>, layers: &[Written]) -> Value {
    // Docker's words for how an image was made are no part of it, nor are defaults that say nothing.
    const KEPT: [&str; 10] =
        ["Cmd", "Entrypoint", "Env", "ExposedPorts", "Labels", "StopSignal", "User", "Volumes", "WorkingDir", "Shell"];
    let says_nothing = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    let mut own = serde_json::Map::new();
    for key in KEPT {
        if let Some(value) = config["config"].get(key).filter(|value| !says_nothing(value)) {
            own.insert(key.to_owned(), value.clone());
        }
    }
    if !input.recipe.entrypoint.is_empty() {
        own.insert("Entrypoint".to_owned(), json!(input.recipe.entrypoint));
        own.remove("Cmd");
    }
    let created = timestamp(input.facts.epoch);
    let history: Vec<Value> = layers.iter().map(|_| json!({ "created": created, "created_by": "skew" })).collect();
    let mut document = json!({
        "created": created,
        "architecture": config["architecture"],
        "os": config["os"],
        "config": own,
        "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|layer| layer.diff).collect::<Vec<_>>() },
        "history": history,
    });
    if let Some(variant) = config.get("variant").filter(|value| !says_nothing(value)) {
        document["variant"] = variant.clone();
    }
    document
}

/// A layer whose files are no younger than `epoch`.
fn rewrite(layer: impl Read, epoch: i64, blobs: &Blobs) -> io::Result<Written> {
    gzip::layer(blobs, |out| rewritten(layer, epoch, out))
}

fn rewritten(layer: impl Read, epoch: i64, out: &mut dyn Write) -> io::Result<()> {
    let latest = u64::try_from(epoch).unwrap_or(0);
    let mut out = tar::Builder::new(out);
    let mut archive = tar::Archive::new(layer);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let mut header = entry.header().clone();
        header.set_mtime(header.mtime()?.min(latest));
        // Long names come with headers of their own, which are written anew.
        let path = entry.path()?.into_owned();
        let link = entry.link_name()?.map(std::borrow::Cow::into_owned);
        // Times are not among them: the header's is the one.
        let attributes = attributes(&mut entry)?;
        out.append_pax_extensions(attributes.iter().map(|(key, value)| (key.as_str(), value.as_slice())))?;
        match (header.entry_type(), link) {
            (EntryType::Symlink | EntryType::Link, Some(target)) => {
                header.set_size(0);
                out.append_link(&mut header, path, target)?;
            }
            (EntryType::XGlobalHeader, _) => {}
            _ => out.append_data(&mut header, path, &mut entry)?,
        }
    }
    out.into_inner().map(drop)
}

fn places(file: &File) -> io::Result<Places> {
    let mut places = Places { files: BTreeMap::new(), links: BTreeMap::new() };
    let mut archive = tar::Archive::new(io::BufReader::new(file));
    for entry in archive.entries()? {
        let entry = entry?;
        let path = entry.path()?.into_owned();
        match entry.header().entry_type() {
            EntryType::Symlink | EntryType::Link => {
                if let Some(target) = entry.link_name()? {
                    let beside = path.parent().unwrap_or(Path::new("")).join(target);
                    places.links.insert(path, super::tree::inside(&beside).unwrap_or_default());
                }
            }
            _ => {
                places.files.insert(path, (entry.raw_file_position(), entry.size()));
            }
        }
    }
    Ok(places)
}

impl Places {
    fn open<'f>(&self, file: &'f mut File, path: &str) -> io::Result<io::Take<&'f mut File>> {
        let path = Path::new(path);
        let place = self.files.get(self.links.get(path).map_or(path, PathBuf::as_path));
        let (at, bytes) = place.ok_or_else(|| invalid("Docker saved an image without all of its layers"))?;
        file.seek(SeekFrom::Start(*at))?;
        Ok(file.take(*bytes))
    }
}

fn document<T: serde::de::DeserializeOwned>(file: &mut File, places: &Places, path: &str) -> io::Result<T> {
    let bytes = places.open(file, path)?;
    serde_json::from_reader(bytes.take(DOCUMENT)).map_err(|_| invalid("Docker saved an image that is none"))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
