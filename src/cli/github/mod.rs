//! What GitHub Actions says of itself in the environment, and what it is told.

pub(super) mod api;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::Globals;
use super::error::CliError;
use super::runtime::block_on;
use super::told::Told;
use api::{Api, PullRequest, Token};

use skew_report::{COMMENT, SUMMARY};

/// Where the API is when nobody says otherwise.
const API: &str = "https://api.github.com";

/// The least room that is worth a summary, in bytes.
const LEAST: usize = 10_000;

/// The most that is read of the event, in bytes.
const EVENT: u64 = 16 << 20;

/// Appends to the step's summary, and keeps the comment on the pull request up to date.
pub(super) fn publish(globals: &Globals, told: Told<'_>, pull_request: Option<u64>) -> Result<(), CliError> {
    match variable("GITHUB_STEP_SUMMARY") {
        Some(path) => append(globals, Path::new(&path), told)?,
        None => globals.say("note: no summary was written: GITHUB_STEP_SUMMARY is not set"),
    }
    let Some(number) = pull_request.or_else(number) else {
        globals.say("note: no comment was written: this run is for no pull request");
        return Ok(());
    };
    let Some(token) = variable("GITHUB_TOKEN") else {
        globals.say("note: no comment was written: GITHUB_TOKEN is not set");
        return Ok(());
    };
    let repository = variable("GITHUB_REPOSITORY").ok_or_else(|| CliError::Usage {
        message: "GITHUB_REPOSITORY is not set".to_owned(),
        hint: "set it to OWNER/NAME, as GitHub Actions does".to_owned(),
    })?;
    let base = variable("GITHUB_API_URL").unwrap_or_else(|| API.to_owned());
    let pull_request = PullRequest::new(&repository, number)?;
    let api = Api::new(&base, Token::new(token))?;
    // Hidden in the page, and how the comment is found again.
    let marker = format!("<!-- skew:{} -->", told.system().replace("--", "-"));
    let text = format!("{marker}\n{}", told.markdown(COMMENT - marker.len() - 1));
    let url = block_on(async { Ok(api.keep_comment(&pull_request, &marker, &text).await?) })?;
    globals.say(&format!("comment: {url}"));
    Ok(())
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The pull request that a workflow runs for.
fn number() -> Option<u64> {
    if let Some(number) = variable("GITHUB_REF").as_deref().and_then(of_ref) {
        return Some(number);
    }
    let path = variable("GITHUB_EVENT_PATH").map(PathBuf::from)?;
    if std::fs::metadata(&path).ok()?.len() > EVENT {
        return None;
    }
    of_event(&std::fs::read(path).ok()?)
}

/// `refs/pull/7/merge`
fn of_ref(text: &str) -> Option<u64> {
    text.strip_prefix("refs/pull/")?.split('/').next()?.parse().ok()
}

/// The event of a pull request, or of a comment on one.
fn of_event(json: &[u8]) -> Option<u64> {
    let event: serde_json::Value = serde_json::from_slice(json).ok()?;
    let issue = || event["issue"].get("pull_request").and_then(|_| event["issue"]["number"].as_u64());
    event["pull_request"]["number"].as_u64().or_else(issue)
}

/// Appends to a step's summary as much as still fits.
fn append(globals: &Globals, path: &Path, told: Told<'_>) -> Result<(), CliError> {
    let there = path.metadata().map_or(0, |metadata| usize::try_from(metadata.len()).unwrap_or(usize::MAX));
    let room = SUMMARY.saturating_sub(there).saturating_sub(1);
    if room < LEAST {
        globals.say("note: no summary was written: the step's summary is full");
        return Ok(());
    }
    let text = format!("{}\n", told.markdown(room));
    let file = OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| CliError::File { action: "write", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_requests_are_found() {
        for (text, expect) in
            [("refs/pull/7/merge", Some(7)), ("refs/pull/x/merge", None), ("refs/heads/main", None), ("", None)]
        {
            assert_eq!(of_ref(text), expect, "{text}");
        }
        for (json, expect) in [
            (r#"{"pull_request":{"number":12}}"#, Some(12)),
            (r#"{"issue":{"number":3,"pull_request":{}}}"#, Some(3)),
            (r#"{"issue":{"number":3}}"#, None),
            ("[]", None),
            ("{", None),
        ] {
            assert_eq!(of_event(json.as_bytes()), expect, "{json}");
        }
    }
}
