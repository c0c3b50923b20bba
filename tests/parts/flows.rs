//! What people copy: command lines of documents and of flows are ones that skew takes, and the files say what those who
//! read them understand.

use std::path::{Path, PathBuf};

use clap::Parser as _;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn flow(name: &str) -> String {
    read(&root().join("docs/flows").join(name))
}

/// Splits a command line as a shell does, as far as documents need it: quotes, comments, and where a command ends.
/// Variables stay as they are written.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for character in line.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '|' | '&' | ';' | '>') => break,
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            (_, _) => word.get_or_insert_default().push(character),
        }
    }
    assert_eq!(quote, None, "a quote stays open: {line}");
    words.extend(word);
    words
}

/// Why skew does not take a command line; none when it does.
fn refused(words: &[String]) -> Option<String> {
    let error = skew::cli::Cli::try_parse_from(words).err()?;
    let help = matches!(error.kind(), clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion);
    (!help).then(|| format!("{}\n{error}", words.join(" ")))
}

/// The command lines in a text that begin with skew.
fn command_lines(text: &str) -> impl Iterator<Item = Vec<String>> {
    let commands = text.lines().map(str::trim).map(|line| line.strip_prefix("$ ").unwrap_or(line));
    commands.filter(|line| line.starts_with("skew ")).map(words)
}

/// Every document, but for the reference, which is made from the program.
fn documents() -> Vec<PathBuf> {
    let guides = walkdir::WalkDir::new(root().join("docs/guides")).into_iter();
    let guides = guides.map(|entry| entry.expect("an entry").into_path());
    let mut documents: Vec<_> =
        guides.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    documents.push(root().join("README.md"));
    documents.sort();
    documents
}

/// The blocks of a document that are for a shell.
fn shell_blocks(document: &str) -> impl Iterator<Item = &str> {
    let blocks = document.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix("sh\n").or_else(|| block.strip_prefix("console\n")))
}

#[test]
fn the_commands_in_documents_are_taken() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in documents() {
        for line in shell_blocks(&read(&path)).flat_map(command_lines) {
            count += 1;
            wrong.extend(refused(&line).map(|why| format!("{}: {why}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 20, "{count}");
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&flow(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every text below a value.
fn texts(yaml: &Value) -> Vec<&str> {
    match yaml {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(map) => map.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

fn list(yaml: &Value) -> &[Value] {
    yaml.as_array().map_or(&[], Vec::as_slice)
}

/// The jobs of a workflow or a pipeline, by their names.
fn jobs(yaml: &Value) -> Vec<(&str, &Value)> {
    yaml.as_object().expect("a map").iter().map(|(name, job)| (name.as_str(), job)).collect()
}

/// Its verbs, when all of its command lines are taken.
fn verbs<'a>(name: &str, scripts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let lines: Vec<_> = scripts.into_iter().flat_map(|script| command_lines(script).collect::<Vec<_>>()).collect();
    for line in &lines {
        assert_eq!(refused(line), None, "{name}");
    }
    lines.into_iter().map(|mut line| line.swap_remove(1)).collect()
}

#[test]
fn the_github_workflow_is_one() {
    let workflow = yaml("github-actions.yml");
    assert!(workflow["on"]["schedule"][0]["cron"].as_str().is_some());
    let jobs = jobs(&workflow["jobs"]);
    for (name, job) in &jobs {
        assert!(job["runs-on"].as_str().is_some(), "{name}");
        for step in list(&job["steps"]) {
            let (runs, uses) = (step["run"].as_str(), step["uses"].as_str());
            assert!(runs.is_some() != uses.is_some(), "{name}: a step either runs or uses something: {step:?}");
            // Who names a tag or a branch must not write the script: such values come in through `env`.
            assert!(!runs.unwrap_or_default().contains("${{"), "{name}: {runs:?}");
        }
    }
    let verbs = |name: &str| {
        let (_, job) = jobs.iter().find(|(known, _)| *known == name).expect("a job");
        verbs(name, list(&job["steps"]).iter().filter_map(|step| step["run"].as_str()))
    };
    assert_eq!(verbs("nightly"), ["sweep", "push", "export"]);
    assert_eq!(verbs("pull-request"), ["sweep"]);
    assert_eq!(verbs("gate"), ["sweep"]);
    let release = jobs.iter().find(|(name, _)| *name == "release").expect("a job");
    assert_eq!(release.1["needs"].as_str(), Some("gate"));
}

#[test]
fn the_gitlab_pipeline_is_one() {
    let pipeline = yaml("gitlab-ci.yml");
    let mut seen = Vec::new();
    for (name, job) in jobs(&pipeline) {
        let scripts = [&job["before_script"], &job["script"]].into_iter().flat_map(texts);
        seen.extend(verbs(name, scripts));
        let base = job["extends"].as_str();
        assert!(name.starts_with('.') || base.is_some_and(|base| pipeline[base].is_object()), "{name}: {base:?}");
    }
    assert_eq!(seen, ["sweep", "push", "sweep", "sweep"]);
}

#[test]
fn the_cron_job_runs_commands_that_are_taken() {
    let job = yaml("cronjob.yaml");
    assert_eq!((job["apiVersion"].as_str(), job["kind"].as_str()), (Some("batch/v1"), Some("CronJob")));
    let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let volumes: Vec<_> = list(&pod["volumes"]).iter().filter_map(|volume| volume["name"].as_str()).collect();
    let mut seen = Vec::new();
    for container in list(&pod["initContainers"]).iter().chain(list(&pod["containers"])) {
        let line = [&container["command"], &container["args"]].into_iter().flat_map(texts).map(str::to_owned);
        let line: Vec<_> = line.collect();
        assert_eq!(line[0], "skew");
        assert_eq!(refused(&line), None);
        seen.push(line[1].clone());
        for mount in list(&container["volumeMounts"]) {
            assert!(volumes.contains(&mount["name"].as_str().expect("a name")), "{mount:?}");
        }
    }
    assert_eq!(seen, ["push", "sweep"]);
    // The account and the namespace are those that docs/kubernetes-submit.yaml makes.
    let made = read(&root().join("docs/kubernetes-submit.yaml"));
    let made: Vec<Value> = serde_saphyr::from_multiple(&made).expect("YAML");
    let account = made.iter().find(|object| object["kind"].as_str() == Some("ServiceAccount")).expect("an account");
    assert_eq!(account["metadata"]["name"], pod["serviceAccountName"]);
    assert_eq!(account["metadata"]["namespace"], job["metadata"]["namespace"]);
}

/// The entries of a unit file: section, key, value.
fn unit(name: &str) -> Vec<(String, String, String)> {
    let text = flow(name);
    let mut section = None;
    let mut entries = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = Some(name.to_owned());
            continue;
        }
        let (key, value) =
            line.split_once('=').unwrap_or_else(|| panic!("{name}: {line:?} is neither a section nor a key"));
        let section = section.clone().unwrap_or_else(|| panic!("{name}: {line:?} is in no section"));
        entries.push((section, key.to_owned(), value.to_owned()));
    }
    entries
}

fn value<'a>(entries: &'a [(String, String, String)], section: &str, key: &str) -> &'a str {
    let mut found = entries.iter().filter(|entry| entry.0 == section && entry.1 == key);
    let (_, _, value) = found.next().unwrap_or_else(|| panic!("[{section}] has no {key}"));
    assert!(found.next().is_none(), "[{section}] has {key} twice");
    value
}

#[test]
fn the_units_run_a_command_that_is_taken() {
    let service = unit("skew-nightly.service");
    let line = words(value(&service, "Service", "ExecStart"));
    // systemd wants the whole path.
    assert_eq!(line[0], "/usr/local/bin/skew");
    assert_eq!(refused(&line), None);
    assert_eq!(line[1], "sweep");
    // What it writes is in the directory that it may write to.
    let state = format!("/var/lib/{}/", value(&service, "Service", "StateDirectory"));
    for option in ["--state", "--report"] {
        let at = line.iter().position(|word| word == option).expect("an option");
        assert!(line[at + 1].starts_with(&state), "{option} {}", line[at + 1]);
    }
    let timer = unit("skew-nightly.timer");
    assert!(!value(&timer, "Timer", "OnCalendar").is_empty());
    assert_eq!(value(&timer, "Install", "WantedBy"), "timers.target");
}

/// systemd's own words about the units, where it is there; it wants the program to exist, so one is named that does.
#[test]
fn systemd_understands_the_units() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["skew-nightly.service", "skew-nightly.timer"] {
        let text = flow(name).replace("/usr/local/bin/skew", env!("CARGO_BIN_EXE_skew"));
        std::fs::write(dir.path().join(name), text).expect("a unit");
    }
    let units = ["skew-nightly.service", "skew-nightly.timer"].map(|name| dir.path().join(name));
    match std::process::Command::new("systemd-analyze").arg("verify").args(units).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && !said.contains("skew-nightly"), "{said}");
        }
        // Part of systemd, which a container does not have: the check above is what holds everywhere.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
}

#[test]
fn a_command_line_is_its_words() {
    for (line, expect) in [
        ("skew show 'a: b -> c'", &["skew", "show", "a: b -> c"][..]),
        ("skew push node   # or some", &["skew", "push", "node"]),
        ("skew x \"$Y\" | tail", &["skew", "x", "$Y"]),
        ("skew a#b ''", &["skew", "a#b", ""]),
    ] {
        assert_eq!(words(line), expect);
    }
    assert!(refused(&words("skew swep")).is_some());
    assert!(refused(&words("skew sweep --gaet")).is_some());
    assert_eq!(refused(&words("skew sweep --gate")), None);
}
