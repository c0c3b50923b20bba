//! Content ids: whether two images are the same program. Equal files and an equal runtime configuration make one id,
//! whenever and from whichever commit the files were made.

use std::io::{self, Read};

use serde_json::Value;
use skew_core::model::{Digest, DigestBuilder};

use super::store::Hashing;
use super::tree::MAX_ENTRIES;

/// The digest of the files of a layer's archive, without the times that the archive gives them: path, kind, mode, owner,
/// size and bytes, link target, device and extended attributes of each, in the order of the archive.
///
/// # Errors
/// When it is not an archive, or holds more files than any image.
pub(crate) fn files(archive: impl Read) -> io::Result<Digest> {
    let mut files = DigestBuilder::new("layer files");
    let mut archive = tar::Archive::new(archive);
    for (count, entry) in archive.entries()?.enumerate() {
        if count == MAX_ENTRIES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it holds more than {MAX_ENTRIES} files")));
        }
        let mut entry = entry?;
        files.bytes(&entry.path_bytes());
        let header = entry.header();
        let device = (header.device_major().ok().flatten(), header.device_minor().ok().flatten());
        files.bytes(&[header.entry_type().as_byte()]);
        for number in [u64::from(header.mode()? & 0o7777), header.uid()?, header.gid()?] {
            files.text(&number.to_string());
        }
        for number in [device.0, device.1] {
            files.text(&number.unwrap_or_default().to_string());
        }
        files.bytes(&entry.link_name_bytes().unwrap_or_default());
        let mut attributes = attributes(&mut entry)?;
        attributes.sort();
        files.text(&attributes.len().to_string());
        for (name, value) in &attributes {
            files.text(name).bytes(value);
        }
        let mut bytes = Hashing::new(io::sink());
        io::copy(&mut entry, &mut bytes)?;
        let (_, digest, length) = bytes.finish();
        files.text(&length.to_string()).digest(&digest);
    }
    Ok(files.finish())
}

/// The extended attributes of an archive's entry: the rights of programs are among them. Their names are those that the
/// archive gives them.
pub(crate) fn attributes<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<Vec<(String, Vec<u8>)>> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(Vec::new()) };
    let attribute = |extension: io::Result<tar::PaxExtension<'_>>| {
        let extension = extension.ok()?;
        let key = extension.key().ok()?;
        key.starts_with("SCHILY.xattr.").then(|| (key.to_owned(), extension.value_bytes().to_vec()))
    };
    Ok(extensions.filter_map(attribute).collect())
}

/// The content id of an image that skew built, from the digests of its layers' [`files`] and its runtime configuration
/// (`config` in the config document). Labels are left out: they tell where an image comes from, and no program in it
/// reads them.
pub(crate) fn own(files: &[Digest], config: &Value) -> Digest {
    let mut config = config.clone();
    if let Some(config) = config.as_object_mut() {
        config.remove("Labels");
    }
    let mut content = DigestBuilder::new("own image content");
    content.text(&files.len().to_string());
    for files in files {
        content.digest(files);
    }
    content.digest(&Digest::of_json(&config)).finish()
}

/// The content id of an image that was built elsewhere: it is what it is there, times and labels included. `diffs` are the
/// digests of its layers before compression, since compressors differ from machine to machine.
pub(crate) fn foreign(diffs: &[Digest], config: &Value) -> Digest {
    let mut rest = config.as_object().cloned().unwrap_or_default();
    let strings = |value: Value| serde_json::from_value::<Vec<String>>(value).ok();
    let entrypoint = rest.remove("Entrypoint").and_then(strings).unwrap_or_default();
    rest.retain(|_, value| !value.is_null());
    let mut content = DigestBuilder::new("image content");
    content.text(&diffs.len().to_string());
    for diff in diffs {
        content.digest(diff);
    }
    for argument in entrypoint {
        content.text(&argument);
    }
    let content = content.finish();
    if rest.is_empty() {
        return content;
    }
    DigestBuilder::new("foreign image content").digest(&content).digest(&Digest::of_json(&Value::Object(rest))).finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn header(mode: u32, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_size(size);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1000);
        header
    }

    /// An archive of one file with a header that was changed.
    fn archive(path: &str, bytes: &[u8], change: &dyn Fn(&mut tar::Header)) -> Vec<u8> {
        let mut header = header(0o755, bytes.len() as u64);
        change(&mut header);
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_data(&mut header, path, bytes).expect("appended");
        archive.into_inner().expect("an archive")
    }

    fn of(path: &str, bytes: &[u8], change: &dyn Fn(&mut tar::Header)) -> Digest {
        files(&*archive(path, bytes, change)).expect("files")
    }

    #[test]
    fn files_are_the_same_whenever_they_were_made() {
        let plain = of("bin/tool", b"x", &|_| {});
        assert_eq!(of("bin/tool", b"x", &|header| header.set_mtime(2000)), plain);
        assert_eq!(of("bin/tool", b"x", &|header| header.set_username("me").expect("a name")), plain);
        for other in [
            of("bin/other", b"x", &|_| {}),
            of("bin/tool", b"y", &|_| {}),
            of("bin/tool", b"", &|_| {}),
            of("bin/tool", b"x", &|header| header.set_mode(0o644)),
            of("bin/tool", b"x", &|header| header.set_uid(7)),
            of("bin/tool", b"x", &|header| header.set_gid(7)),
            of("bin/tool", b"", &|header| header.set_entry_type(tar::EntryType::Directory)),
        ] {
            assert_ne!(other, plain);
        }
        assert!(files(&b"not an archive at all, but some text"[..]).is_err());
    }

    #[test]
    fn links_and_attributes_are_part_of_a_file() {
        let link = |target: &str| {
            let mut header = header(0o777, 0);
            header.set_entry_type(tar::EntryType::Symlink);
            let mut archive = tar::Builder::new(Vec::new());
            archive.append_link(&mut header, "link", target).expect("appended");
            files(&*archive.into_inner().expect("an archive")).expect("files")
        };
        let long = "d/".repeat(100);
        assert_ne!(link("a"), link("b"));
        assert_ne!(link(&format!("{long}a")), link(&format!("{long}b")));
        let with = |attributes: &[(&str, &[u8])]| {
            let mut archive = tar::Builder::new(Vec::new());
            archive.append_pax_extensions(attributes.iter().copied()).expect("appended");
            archive.append_data(&mut header(0o755, 1), "tool", &b"x"[..]).expect("appended");
            files(&*archive.into_inner().expect("an archive")).expect("files")
        };
        let a: (&str, &[u8]) = ("SCHILY.xattr.a", b"1");
        let b: (&str, &[u8]) = ("SCHILY.xattr.b", b"2");
        assert_eq!(with(&[a, b]), with(&[b, a]));
        assert_ne!(with(&[a]), with(&[b]));
        assert_eq!(with(&[a, ("mtime", b"1234.5")]), with(&[a]), "a time is no attribute");
    }

    #[test]
    fn content_is_the_program_and_nothing_else() {
        let digests =
            |texts: &[&str]| -> Vec<Digest> { texts.iter().map(|text| Digest::of(text.as_bytes())).collect() };
        for id in [own, foreign] {
            let of = |layers: &[&str], config: Value| id(&digests(layers), &config);
            let plain = of(&["x"], json!({ "Entrypoint": ["a"] }));
            assert_eq!(of(&["x"], json!({ "Entrypoint": ["a"] })), plain);
            assert_ne!(of(&["x"], json!({ "Entrypoint": ["b"] })), plain);
            assert_ne!(of(&["y"], json!({ "Entrypoint": ["a"] })), plain);
            assert_ne!(of(&["x", "y"], json!({ "Entrypoint": ["a"] })), plain);
            assert_ne!(of(&["x"], json!({ "Entrypoint": ["a"], "Env": ["A=1"] })), plain);
            assert_ne!(of(&["x"], json!({ "Entrypoint": ["a", "b"] })), of(&["x"], json!({ "Entrypoint": ["ab"] })));
        }
        let (x, labelled) = (digests(&["x"]), json!({ "Labels": { "revision": "abc" } }));
        assert_eq!(own(&x, &labelled), own(&x, &json!({})), "what skew built");
        assert_ne!(foreign(&x, &labelled), foreign(&x, &json!({})), "what was built elsewhere");
    }

    /// Evidence about images that were built elsewhere outlives every change of this file.
    #[test]
    fn images_from_elsewhere_keep_their_ids() {
        let diffs = [Digest::of(b"layer")];
        let id = |config: Value| foreign(&diffs, &config).hex();
        assert_eq!(
            [id(json!({ "Entrypoint": ["bin/tool"] })), id(json!({ "Env": ["A=1"], "Labels": { "revision": "abc" } }))],
            [
                "2e67999c19952e46542817afecd6abdea6bce1276fdedc306011935c9a3cd441",
                "1bc009952933a3b992ad376badd0efc7c0393115fe6f53746172b89761cf8029"
            ]
        );
    }
}
