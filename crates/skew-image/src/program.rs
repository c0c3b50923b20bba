//! The program that runs, as an image: itself, the loader and the libraries it is linked to, and the machine's
//! certificates. So a cluster can run exactly the skew that somebody has at hand, without a compiler or a Dockerfile.
//!
//! The loader is asked what it would load, by its `--list`: it alone knows its cache, its defaults and the program's own
//! paths. In the image all libraries are in one directory, so that the same program and libraries are the same image
//! wherever a system keeps them.

use skew_core::text::shorten;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use object::elf::FileHeader64;
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{Endianness, ReadCache};
use skew_core::model::{Digest, DigestBuilder};
use skew_host::{Cancel, Guard};

use super::content;
use super::layer;
use super::layout::{Built, Layer, Layout, LayoutError};
use super::oci::{BUILD_KEY, Descriptor, Runtime, manifest, timestamp};
use super::store::Hashing;
use super::tree::{Tree, TreeError};

/// Where the program is in its image.
pub const PROGRAM: &str = "/bin/skew";

/// Where the libraries are in the image.
const LIBRARIES: &str = "lib/skew";

/// Where programs look for certificates first.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// Where systems keep their certificates, in one file.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What older C libraries load by themselves when they look names up.
const LOOKUPS: [&str; 3] = ["libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2"];

/// How long the loader may take.
const LOADER: Duration = Duration::from_secs(30);

/// How much it may say.
const LOADER_BYTES: usize = 1 << 20;

/// How the same files are packed; another way makes another image.
const EPOCH: &str = "2";

/// Why the program that runs cannot be made an image.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// Clusters run Linux programs.
    #[error("make an image of this skew: it is no program for Linux; name an image of skew with `--image`")]
    NotLinux,
    /// A file of it.
    #[error("make an image of this skew: read {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// What it is linked to.
    #[error("make an image of this skew: find its libraries: {0}; name an image of skew with `--image`")]
    Libraries(String),
    /// The image.
    #[error("make an image of this skew: write it")]
    Write(#[source] io::Error),
    /// The layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

/// Makes an image of a program, in most cases the one that runs; one that is in the layout already is not made again.
/// Beside it the build key is told, by which it is there. `certificates` are where the person says that they are.
///
/// # Errors
/// When it is no 64-bit Linux program, one of its libraries cannot be found, or the layout cannot be written.
pub fn program_image(
    layout: &Layout,
    program: &Path,
    certificates: Option<&Path>,
) -> Result<(Built, Digest), ProgramError> {
    if !cfg!(target_os = "linux") {
        return Err(ProgramError::NotLinux);
    }
    let files = files(program, certificates)?;
    let mut key = DigestBuilder::new("program image");
    key.text(EPOCH);
    for (at, from) in &files {
        key.bytes(at.as_os_str().as_bytes()).digest(&digest(from)?);
    }
    let key = key.finish();
    if let Some(built) = layout.find(&key) {
        return Ok((built, key));
    }
    let built = pack(layout, &files, &key)?;
    layout.record(&key, &built)?;
    Ok((built, key))
}

/// Every file of the image, by its place in it.
fn files(program: &Path, certificates: Option<&Path>) -> Result<BTreeMap<PathBuf, PathBuf>, ProgramError> {
    let inside = |path: &str| PathBuf::from(path.trim_start_matches('/'));
    let mut files = BTreeMap::from([(inside(PROGRAM), program.to_owned())]);
    if let Some(loader) = loader(program)? {
        for (name, path) in libraries(&loader, program)? {
            if name.starts_with("libc.so") {
                let beside = |name: &str| path.parent().map(|dir| dir.join(name)).filter(|path| path.is_file());
                let lookups = LOOKUPS.iter().filter_map(|name| Some((Path::new(LIBRARIES).join(name), beside(name)?)));
                files.extend(lookups);
            }
            files.insert(Path::new(LIBRARIES).join(name), path);
        }
        let at = loader.strip_prefix("/").unwrap_or(&loader).to_owned();
        files.insert(at, loader);
    }
    let bundles = certificates.into_iter().chain(BUNDLES.iter().map(Path::new));
    if let Some(bundle) = bundles.into_iter().find(|path| path.is_file()) {
        files.insert(CERTIFICATES.into(), bundle.to_owned());
    }
    // What is behind links: in the image everything is a file.
    let real = |(at, from): (PathBuf, PathBuf)| match fs::canonicalize(&from) {
        Ok(from) => Ok((at, from)),
        Err(error) => Err(ProgramError::Read { path: from, error }),
    };
    files.into_iter().map(real).collect()
}

/// The loader that a program names; none where it is linked statically.
fn loader(program: &Path) -> Result<Option<PathBuf>, ProgramError> {
    let file = File::open(program).map_err(|error| ProgramError::Read { path: program.to_owned(), error })?;
    let file = ReadCache::new(file);
    let header = FileHeader64::<Endianness>::parse(&file).map_err(|_| ProgramError::NotLinux)?;
    let broken = |error: object::read::Error| ProgramError::Libraries(error.to_string());
    let endian = header.endian().map_err(broken)?;
    for segment in header.program_headers(endian, &file).map_err(broken)? {
        if let Some(path) = segment.interpreter(endian, &file).map_err(broken)? {
            return Ok(Some(std::ffi::OsStr::from_bytes(path).into()));
        }
    }
    Ok(None)
}

/// What the loader would load with a program, by name.
fn libraries(loader: &Path, program: &Path) -> Result<Vec<(String, PathBuf)>, ProgramError> {
    let mut command = Command::new(loader);
    command.arg("--list").arg(program).env("LC_ALL", "C").env_remove("LD_PRELOAD");
    let guard = Guard { within: LOADER, grace: LOADER, cancel: &Cancel::new() };
    let failed = |why: String| ProgramError::Libraries(format!("{} --list: {why}", loader.display()));
    let done = skew_host::run(command, None, LOADER_BYTES, &guard).map_err(|error| failed(error.to_string()))?;
    let said = String::from_utf8_lossy(&done.stdout);
    if !done.ended.success() {
        return Err(failed(shorten(String::from_utf8_lossy(&done.stderr).trim(), 300).into_owned()));
    }
    listed(&said).map_err(failed)
}

/// Reads what a loader lists: `NAME => PATH (ADDRESS)`. The loader has a path for a name or no arrow, the
/// kernel's own has no arrow.
fn listed(text: &str) -> Result<Vec<(String, PathBuf)>, String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let Some((name, rest)) = line.trim().split_once(" => ") else { continue };
        let path = rest.rsplit_once(" (").map_or(rest, |(path, _)| path).trim();
        if name.contains('/') {
            continue;
        }
        if !path.starts_with('/') {
            return Err(format!("{name} is {path}"));
        }
        found.push((name.to_owned(), path.into()));
    }
    Ok(found)
}

fn digest(path: &Path) -> Result<Digest, ProgramError> {
    let read = |error| ProgramError::Read { path: path.to_owned(), error };
    let mut hashing = Hashing::new(io::sink());
    io::copy(&mut File::open(path).map_err(read)?, &mut hashing).map_err(read)?;
    Ok(hashing.digest())
}

fn pack(layout: &Layout, files: &BTreeMap<PathBuf, PathBuf>, key: &Digest) -> Result<Built, ProgramError> {
    let mut tree = Tree::default();
    for (at, from) in files {
        tree.add(from, from, at, &[]).map_err(|error| match error {
            TreeError::Read { path, error } => ProgramError::Read { path, error },
            refused @ TreeError::Refused { .. } => ProgramError::Write(io::Error::other(refused)),
        })?;
    }
    let blobs = &layout.blobs;
    // It is no version of anything: the same files are the same image on every day.
    let epoch = 0;
    let written = layer::write(&tree, epoch, blobs).map_err(ProgramError::Write)?;
    let (entrypoint, diffs) = ([PROGRAM.to_owned()], [written.diff]);
    let mut config = Runtime { entrypoint: &entrypoint, diffs: &diffs }.config(epoch);
    config["config"]["Env"] = serde_json::json!([format!("LD_LIBRARY_PATH=/{LIBRARIES}")]);
    let content = content::own(&[written.files], &config["config"]);
    let (config, bytes) = blobs.put(config.to_string().as_bytes()).map_err(ProgramError::Write)?;
    let annotations = BTreeMap::from([
        ("org.opencontainers.image.created", timestamp(epoch)),
        ("org.opencontainers.image.version", env!("CARGO_PKG_VERSION").to_owned()),
        (BUILD_KEY, key.to_string()),
    ]);
    let layer = Descriptor { digest: written.digest, bytes: written.bytes };
    let document = manifest(&Descriptor { digest: config, bytes }, &[layer], &annotations);
    let (manifest, manifest_bytes) = blobs.put(document.to_string().as_bytes()).map_err(ProgramError::Write)?;
    let layers = vec![Layer { digest: written.digest, bytes: written.bytes, diff: written.diff }];
    Ok(Built { manifest, manifest_bytes, content, layers })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_loader_lists_is_read() {
        let glibc = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibgcc_s.so.1 => /lib/x/libgcc_s.so.1 (0x00007f)\n\
                     \tlibc.so.6 => /nix/store/a b/libc.so.6 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let expect = [("libgcc_s.so.1", "/lib/x/libgcc_s.so.1"), ("libc.so.6", "/nix/store/a b/libc.so.6")];
        let expect = expect.map(|(name, path)| (name.to_owned(), PathBuf::from(path)));
        assert_eq!(listed(glibc), Ok(expect.to_vec()));
        assert_eq!(listed("\tlibx.so.1 => not found\n"), Err("libx.so.1 is not found".to_owned()));
    }

    /// The image of this test program, unpacked, is all that the program needs: its own loader finds every library there
    /// and nowhere else.
    #[cfg(target_os = "linux")]
    #[test]
    fn an_image_has_everything_that_its_program_needs() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::open(&dir.path().join("layout")).expect("opened");
        let own = std::env::current_exe().expect("a program");
        let (built, key) = program_image(&layout, &own, None).expect("made");
        assert_eq!(layout.find(&key).as_ref(), Some(&built));
        let other = Layout::open(&dir.path().join("other")).expect("opened");
        assert_eq!(program_image(&other, &own, None).expect("made"), (built.clone(), key), "the same anywhere");
        let root = dir.path().join("root");
        layout.unpack(&built.manifest, &root).expect("unpacked");
        let program = root.join(PROGRAM.trim_start_matches('/'));
        let Some(named) = loader(&program).expect("a program") else { return };
        let inside = root.join(named.strip_prefix("/").expect("absolute"));
        let listed = Command::new(inside)
            .args(["--inhibit-cache", "--library-path"])
            .arg(root.join(LIBRARIES))
            .arg("--list")
            .arg(&program)
            .output()
            .expect("the loader starts");
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        let found = super::listed(&text).expect("everything is found");
        assert!(found.iter().any(|(name, _)| name.starts_with("libc.")), "{text}");
        assert!(found.iter().all(|(_, path)| path.starts_with(&root)), "{text}");
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::open(&dir.path().join("layout")).expect("opened");
        let script = dir.path().join("script");
        fs::write(&script, "#!/bin/sh\n").expect("written");
        let error = program_image(&layout, &script, None).expect_err("it is a script");
        assert!(error.to_string().contains("--image"), "{error}");
    }
}
