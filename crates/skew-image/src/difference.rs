//! Where two images differ first: what people want to know when two builds of a version are not the same.

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde_json::Value;
use skew_core::model::Digest;
use tar::{Entry, EntryType};

use super::layout::{Layout, LayoutError};
use super::oci::DOCUMENT;
use super::store::Hashing;

/// The first difference between two images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The file, or what of the image's config. It comes from the images: it is shown escaped.
    pub place: String,
    /// What differs there, in words.
    pub what: &'static str,
}

/// One file of an image.
#[derive(Debug, PartialEq, Eq)]
struct File {
    kind: EntryType,
    link: Option<Vec<u8>>,
    content: Digest,
    mode: u32,
    owner: (u64, u64),
    time: u64,
}

/// Files by layer and path: the same file may be in several layers.
type Files = BTreeMap<(Vec<u8>, usize), File>;

impl Layout {
    /// Where two images differ first, by path; `None` when they hold the same, however that is packed.
    ///
    /// # Errors
    /// When an image is missing or damaged.
    pub fn difference(&self, one: &Digest, two: &Digest) -> Result<Option<Difference>, LayoutError> {
        let (before, after) = (self.files(one)?, self.files(two)?);
        let differs = |place: &(Vec<u8>, usize)| {
            let what = match (before.get(place), after.get(place)) {
                (Some(before), Some(after)) => changed(before, after)?,
                (Some(_), None) => "only the first build has it",
                (None, _) => "only the second build has it",
            };
            Some(Difference { place: String::from_utf8_lossy(&place.0).into_owned(), what })
        };
        let places = before.keys().chain(after.keys()).collect::<std::collections::BTreeSet<_>>();
        if let Some(difference) = places.into_iter().find_map(differs) {
            return Ok(Some(difference));
        }
        let place = configured(&self.config(one)?, &self.config(two)?, String::new());
        Ok(place.map(|place| Difference { place: format!("the config's {place}"), what: "its value" }))
    }

    fn files(&self, image: &Digest) -> Result<Files, LayoutError> {
        let mut files = Files::new();
        for (number, layer) in self.manifest(image)?.layers.iter().enumerate() {
            let unread = |error: io::Error| LayoutError::Unpack { manifest: *image, error: Box::new(error) };
            let mut archive = tar::Archive::new(self.blobs.open_layer(&layer.digest).map_err(unread)?);
            for entry in archive.entries().map_err(unread)? {
                let (path, file) = entry.and_then(read).map_err(unread)?;
                files.insert((path, number), file);
            }
        }
        Ok(files)
    }

    /// An image's config document.
    pub(super) fn config(&self, image: &Digest) -> Result<Value, LayoutError> {
        let damaged = || LayoutError::Damaged { manifest: *image, what: "its config is missing or damaged".to_owned() };
        let text = self.blobs.read(&self.manifest(image)?.config.digest, DOCUMENT).ok_or_else(damaged)?;
        serde_json::from_slice(&text).map_err(|_| damaged())
    }
}

fn read<R: Read>(mut entry: Entry<'_, R>) -> io::Result<(Vec<u8>, File)> {
    let path = entry.path_bytes().into_owned();
    let header = entry.header();
    let (kind, mode, time) = (header.entry_type(), header.mode()?, header.mtime()?);
    let owner = (header.uid()?, header.gid()?);
    let link = entry.link_name_bytes().map(std::borrow::Cow::into_owned);
    let mut hashing = Hashing::new(io::sink());
    io::copy(&mut entry, &mut hashing)?;
    let (_, content, _) = hashing.finish();
    Ok((path, File { kind, link, content, mode, owner, time }))
}

fn changed(before: &File, after: &File) -> Option<&'static str> {
    let differs = [
        (before.kind != after.kind, "its kind"),
        (before.link != after.link, "where it leads"),
        (before.content != after.content, "its content"),
        (before.mode != after.mode, "its permissions"),
        (before.owner != after.owner, "its owner"),
        (before.time != after.time, "its time"),
    ];
    differs.into_iter().find_map(|(differs, what)| differs.then_some(what))
}

/// The first place at which two documents differ: `config.Env[0]`.
fn configured(one: &Value, two: &Value, at: String) -> Option<String> {
    match (one, two) {
        (Value::Object(one), Value::Object(two)) => {
            let keys = one.keys().chain(two.keys()).collect::<std::collections::BTreeSet<_>>();
            let below = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
            keys.into_iter().find_map(|key| {
                configured(one.get(key).unwrap_or(&Value::Null), two.get(key).unwrap_or(&Value::Null), below(key))
            })
        }
        (Value::Array(one), Value::Array(two)) if one.len() == two.len() => {
            let mut pairs = one.iter().zip(two).enumerate();
            pairs.find_map(|(n, (one, two))| configured(one, two, format!("{at}[{n}]")))
        }
        _ => (one != two).then_some(at),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_place_of_documents_is_named() {
        let one = json!({ "a": 1, "config": { "Env": ["A=1", "B=1"], "User": "1" } });
        let check = |two: Value, place: Option<&str>| {
            assert_eq!(configured(&one, &two, String::new()).as_deref(), place, "{two}");
        };
        check(one.clone(), None);
        check(json!({ "a": 1, "config": { "Env": ["A=1", "B=2"], "User": "2" } }), Some("config.Env[1]"));
        check(json!({ "a": 1, "config": { "Env": ["A=1"], "User": "1" } }), Some("config.Env"));
        check(json!({ "a": 1, "config": { "Env": ["A=1", "B=1"] } }), Some("config.User"));
        check(json!({ "config": 7 }), Some("a"));
    }

    #[test]
    fn what_weighs_most_is_said_first() {
        let file = |content: &[u8], mode, time| File {
            kind: EntryType::Regular,
            link: None,
            content: Digest::of(content),
            mode,
            owner: (0, 0),
            time,
        };
        assert_eq!(changed(&file(b"x", 1, 1), &file(b"x", 1, 1)), None);
        assert_eq!(changed(&file(b"x", 1, 1), &file(b"y", 2, 2)), Some("its content"));
        assert_eq!(changed(&file(b"x", 1, 1), &file(b"x", 2, 2)), Some("its permissions"));
        assert_eq!(changed(&file(b"x", 1, 1), &file(b"x", 1, 2)), Some("its time"));
    }
}
