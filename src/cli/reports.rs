//! Where reports land, and what goes into them.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use skew_core::model::{Attempt, BuildRecord, Cell, Digest, RoleName, SweepRecord, VersionId};
use skew_report::{Input, Judged, Model, Standings, SweepEnd};
use skew_spec::Spec;

use super::Globals;
use super::error::CliError;
use crate::sweep::{Past, now_ms};

/// `reports/SYSTEM` in the spec's project: the directory above the spec that holds `.git`, else the spec's own.
pub(super) fn default_dir(spec: &Spec) -> PathBuf {
    let path = std::path::absolute(&spec.path).unwrap_or_else(|_| spec.path.clone());
    let dir = path.parent().unwrap_or(Path::new("."));
    let root = dir.ancestors().find(|dir| dir.join(".git").exists()).unwrap_or(dir);
    root.join("reports").join(&spec.system)
}

/// What a report is about.
pub(super) struct About<'a> {
    pub system: &'a str,
    /// The spec's path.
    pub spec: &'a Path,
    pub sweep: &'a SweepRecord,
    /// How it ended.
    pub end: SweepEnd,
    pub judged: Judged<'a>,
    /// The only cell that is reported; none means all.
    pub focus: Option<&'a Cell>,
    pub attempts: &'a [Attempt],
    pub builds: &'a BTreeMap<(RoleName, VersionId), BuildRecord>,
    pub logs: &'a dyn Fn(&Digest) -> Option<Vec<u8>>,
    /// Sweeps before it, the oldest first.
    pub past: &'a [Past],
}

/// What a sweep of the past asked, and what is known of it.
pub(super) fn judged(past: &Past) -> Judged<'_> {
    Judged {
        matrix: &past.question.matrix,
        verdicts: &past.decision.verdicts,
        asked: &past.decision.asked,
        overlays: &past.overlays,
    }
}

/// What a sweep of the past came to, as much as is compared.
pub(super) fn standings(past: &Past) -> Standings {
    Standings::of(&past.record, &judged(past))
}

/// The report's model.
pub(super) fn model(globals: &Globals, about: &About<'_>) -> Model {
    let spec_path = shown(about.spec);
    let spec_words = [vec![quoted(&spec_path)], options(globals)].concat().join(" ");
    let show = format!("skew show CELL {spec_words}");
    let command = format!("skew run NETWORK {spec_words}");
    skew_report::model(&Input {
        system: about.system,
        sweep: about.sweep,
        end: about.end,
        judged: about.judged,
        focus: about.focus,
        attempts: about.attempts,
        builds: about.builds,
        spec_path: &spec_path,
        command: &command,
        show: &show,
        logs: about.logs,
        past: &about.past.iter().map(standings).collect::<Vec<_>>(),
        generated_ms: now_ms(),
    })
}

/// Makes the directory of a report, and sees that it can be written before hours are spent.
pub(super) fn reserve(dir: &Path) -> Result<(), CliError> {
    let tried = std::fs::create_dir_all(dir).and_then(|()| tempfile::tempfile_in(dir).map(drop));
    tried.map_err(|source| CliError::File { action: "write", path: dir.to_owned(), source })
}

/// Writes `index.html` and `results.json` into a directory.
pub(super) fn write(dir: &Path, model: &Model) -> Result<(), CliError> {
    let files = [("results.json", skew_report::json(model)), ("index.html", skew_report::html(model))];
    replace(dir, &files).map_err(|source| CliError::File { action: "write", path: dir.to_owned(), source })
}

/// Writes files into a directory, each replaced as a whole.
fn replace(dir: &Path, files: &[(&str, String)]) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for (name, text) in files {
        let mut file = tempfile::Builder::new().prefix(".report-").tempfile_in(dir)?;
        file.write_all(text.as_bytes())?;
        readable(file.path())?;
        file.persist(dir.join(name)).map_err(|error| error.error)?;
    }
    Ok(())
}

/// Temporary files are private; a report is for everyone.
fn readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

/// The options without which another command would not speak of the same records and versions.
fn options(globals: &Globals) -> Vec<String> {
    let state = globals.state.iter().flat_map(|dir| ["--state".to_owned(), quoted(&shown(dir))]);
    let set = globals.set.iter().flat_map(|set| ["--set".to_owned(), quoted(set)]);
    let repository = globals.repository.iter().flat_map(|text| ["--repository".to_owned(), quoted(text)]);
    let place = globals.place.words().into_iter().flat_map(|(option, value)| [option.to_owned(), quoted(&value)]);
    let registry = globals.registry.iter().flat_map(|url| ["--registry".to_owned(), quoted(url)]);
    state.chain(set).chain(repository).chain(place).chain(registry).collect()
}

/// The command line's arguments, for records.
pub(super) fn command() -> Vec<String> {
    std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect()
}

/// A path as its reader would type it here.
pub(super) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let absolute = std::path::absolute(path).ok();
    match (&here, &absolute) {
        (Some(here), Some(absolute)) => absolute.strip_prefix(here).unwrap_or(path).display().to_string(),
        (None, _) | (_, None) => path.display().to_string(),
    }
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        for (text, expect) in [("a/b.toml", "a/b.toml"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("", "''")] {
            assert_eq!(quoted(text), expect);
        }
    }

    #[test]
    fn files_are_written_whole_and_for_everyone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("reports/ledger");
        let files = |text: &str| [("results.json", "{}\n".to_owned()), ("index.html", text.to_owned())];
        replace(&to, &files("a longer page")).unwrap();
        replace(&to, &files("a page")).unwrap();
        let mut names: Vec<String> =
            std::fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["index.html", "results.json"]);
        assert_eq!(std::fs::read_to_string(to.join("index.html")).unwrap(), "a page");
        let mode = std::fs::metadata(to.join("index.html")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
    }
}
