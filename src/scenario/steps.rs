//! The steps of a check between some nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use minijinja::Value;
use skew_core::model::{CheckName, NodeName, Outcome};
use skew_deploy::{Cmd, For, Pace, http, printable};
use skew_spec::{Action, Check, Step, StepNode, Template};
use tokio::time::Instant;

use super::parties::Tuple;
use super::render::nonce;
use super::scene::{Scene, outcome, said};
use super::stopped::{Stopped, regex};

/// Bytes kept of a step's output.
const OUTPUT: usize = 256 * 1024;
/// Bytes of an output that are kept under a name.
const CAPTURE: usize = 16 * 1024;
/// Bytes of what was expected, and of what was got, in a detail.
const QUOTE: usize = 500;

/// What one try of a step came to.
enum Tried {
    /// It worked; its output.
    Ok(String),
    /// It did not, and may when it is tried again.
    NotYet(String),
    /// It did not, and there is no use in trying again.
    Over(Outcome, String),
}

impl Scene<'_> {
    /// Runs the steps of a check between some nodes, one after the other.
    pub(super) async fn steps(
        &self,
        check: &Check,
        steps: &[Step],
        tuple: &Tuple,
    ) -> Result<(Outcome, String), Stopped> {
        let deadline = Instant::now() + check.within;
        let mut context = self.step_context(&check.name, tuple);
        for (n, step) in steps.iter().enumerate() {
            let Some(node) = self.step_node(step, tuple) else {
                let detail = format!("step {}: there is no node to run it in", n + 1);
                return Ok((Outcome::Blocked, detail));
            };
            let own = self.renderer.context(&node);
            for key in ["self", "root", "version", "peers"] {
                context.insert(key.to_owned(), own.get(key).cloned().unwrap_or_default());
            }
            match self.step(step, &node, &context, deadline).await? {
                Tried::Ok(output) => {
                    if let Some(name) = &step.capture {
                        context.insert(name.clone(), Value::from(printable(output.trim(), CAPTURE)));
                    }
                }
                Tried::NotYet(detail) => return Ok((Outcome::Failed, format!("step {} in {node}: {detail}", n + 1))),
                Tried::Over(outcome, detail) => return Ok((outcome, format!("step {} in {node}: {detail}", n + 1))),
            }
        }
        Ok((Outcome::Ok, String::new()))
    }

    fn step_context(&self, check: &CheckName, tuple: &Tuple) -> BTreeMap<String, Value> {
        let first = tuple.from.as_ref().or_else(|| self.actors.first().map(|actor| actor.name()));
        let mut context = first.map(|node| self.renderer.context(node)).unwrap_or_default();
        if let Some(from) = &tuple.from {
            let name = if tuple.to.is_some() { "from" } else { "node" };
            context.insert(name.to_owned(), self.renderer.view(from));
        }
        if let Some(to) = &tuple.to {
            context.insert("to".to_owned(), self.renderer.view(to));
        }
        context.insert("via".to_owned(), self.renderer.via(&tuple.via));
        let mut parts = vec![check.as_str()];
        parts.extend(tuple.nodes().into_iter().map(NodeName::as_str));
        context.insert("nonce".to_owned(), Value::from(nonce(self.plan, &parts)));
        context
    }

    fn step_node(&self, step: &Step, tuple: &Tuple) -> Option<NodeName> {
        match &step.node {
            StepNode::From => tuple.from.clone(),
            StepNode::To => tuple.to.clone(),
            StepNode::Via(role) => {
                tuple.via.iter().find(|node| self.actor(node).is_some_and(|a| a.seat.party.role == *role)).cloned()
            }
            StepNode::Role(role) => self.of_role(role).next().map(|actor| actor.name().clone()),
        }
    }

    /// Tries a step: once, or until it is as expected when it has time for that.
    async fn step(
        &self,
        step: &Step,
        node: &NodeName,
        context: &BTreeMap<String, Value>,
        deadline: Instant,
    ) -> Result<Tried, Stopped> {
        let begun = Instant::now();
        let until = step.within.map_or(deadline, |within| deadline.min(begun + within));
        let repeats = step.within.is_some() && expects(&step.action);
        let mut pace = Pace::default();
        let mut last = "its time was over before it was tried".to_owned();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let tried = humantime::format_duration(Duration::from_millis(
                    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
                ));
                return Ok(Tried::Over(Outcome::Failed, format!("{last}, for {tried}")));
            }
            match self.attempt(&step.action, node, context, left).await? {
                Tried::NotYet(why) if repeats => last = why,
                tried => return Ok(tried),
            }
            // Nobody answers in the name of a node that is gone.
            if let Some(exit) = self.ear.watch.exit(node) {
                return Ok(Tried::Over(Outcome::Failed, format!("{last}; {exit} meanwhile")));
            }
            tokio::select! {
                () = pace.wait() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    async fn attempt(
        &self,
        action: &Action,
        node: &NodeName,
        context: &BTreeMap<String, Value>,
        left: Duration,
    ) -> Result<Tried, Stopped> {
        match action {
            Action::Run { run, stdout, stdout_matches } => {
                let argv = self.renderer.texts(run, context)?;
                let stdout = self.optional(stdout.as_ref(), context)?;
                let matches = self.optional(stdout_matches.as_ref(), context)?;
                self.run_step(node, argv, stdout, matches, left).await
            }
            Action::Http { method, port, path, body, status, json } => {
                let path = self.renderer.text(path, context)?;
                let body = self.optional(body.as_ref(), context)?;
                let what = format!("{method} {path}");
                let begun = tokio::time::Instant::now();
                let Ok(at) = tokio::time::timeout(left, self.network.endpoint(node, port, For::Skew)).await else {
                    return Ok(Tried::NotYet(format!("{what}: no address of {node} accepts connections")));
                };
                let (at, left) = (at?, left.saturating_sub(begun.elapsed()));
                let answer = match http::request(method, at, &path, body, left).await {
                    Ok(answer) => answer,
                    Err(why) => return Ok(Tried::NotYet(format!("{what}: {why}"))),
                };
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                if !status.map_or((200..300).contains(&answer.status), |want| answer.status == want) {
                    let want = status.map_or("200 to 299".to_owned(), |status| status.to_string());
                    let why = format!("{what}: expected status {want}, got {}: {}", answer.status, quote(&text));
                    return Ok(Tried::NotYet(why));
                }
                for (pointer, want) in json {
                    let want = self.renderer.text(want, context)?;
                    if let Err(got) = stands(&answer.body, pointer, &want) {
                        let why = format!("{what}: expected {} at {pointer:?}, got {got}", quote(&want));
                        return Ok(Tried::NotYet(why));
                    }
                }
                Ok(Tried::Ok(text))
            }
            Action::Log { matches } => {
                let pattern = regex(&self.renderer.text(matches, context)?)?;
                match tokio::time::timeout(left, self.ear.watch.line(node, &pattern)).await {
                    Ok(line) => Ok(Tried::Ok(line)),
                    Err(_) => Ok(Tried::NotYet(format!("no line of its log matches /{pattern}/"))),
                }
            }
        }
    }

    async fn run_step(
        &self,
        node: &NodeName,
        argv: Vec<String>,
        stdout: Option<String>,
        matches: Option<String>,
        left: Duration,
    ) -> Result<Tried, Stopped> {
        let cmd = Cmd { argv, env: BTreeMap::new(), stdin: Vec::new(), within: left, max_output: OUTPUT };
        let output = match self.network.exec(node, &cmd).await {
            Ok(output) => output,
            Err(error) if error.fault().is_none() => return Ok(Tried::NotYet(error.chain())),
            Err(error) => return Err(error.into()),
        };
        match outcome(&output) {
            Outcome::Ok => {}
            Outcome::Failed => return Ok(Tried::NotYet(said(&cmd.argv, &output, left))),
            other => return Ok(Tried::Over(other, said(&cmd.argv, &output, left))),
        }
        let got = String::from_utf8_lossy(&output.stdout).into_owned();
        if let Some(want) = stdout
            && got.trim() != want.trim()
        {
            return Ok(Tried::NotYet(format!("stdout: expected {}, got {}", quote(want.trim()), quote(got.trim()))));
        }
        if let Some(pattern) = matches
            && !regex(&pattern)?.is_match(&got)
        {
            return Ok(Tried::NotYet(format!("stdout: expected a match of /{pattern}/, got {}", quote(got.trim()))));
        }
        Ok(Tried::Ok(got))
    }

    fn optional(
        &self,
        template: Option<&Template>,
        context: &BTreeMap<String, Value>,
    ) -> Result<Option<String>, Stopped> {
        Ok(template.map(|template| self.renderer.text(template, context)).transpose()?)
    }
}

/// Whether an action waits for something to become true, rather than only for itself to end.
fn expects(action: &Action) -> bool {
    match action {
        Action::Run { stdout, stdout_matches, .. } => stdout.is_some() || stdout_matches.is_some(),
        Action::Http { .. } | Action::Log { .. } => true,
    }
}

fn quote(text: &str) -> String {
    format!("{:?}", printable(text, QUOTE))
}

/// Whether a JSON text holds what is wanted at a pointer; else what it holds there.
fn stands(body: &[u8], pointer: &str, want: &str) -> Result<(), String> {
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))?;
    let found = value.pointer(pointer).ok_or("nothing")?;
    let same = match found {
        serde_json::Value::String(text) => text == want,
        other => serde_json::from_str::<serde_json::Value>(want).is_ok_and(|want| want == *other),
    };
    if same { Ok(()) } else { Err(quote(&found.to_string())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_compared_by_value() {
        let body = br#"{"a":{"b":[1,"x",null,true]},"n":1.50}"#;
        for (pointer, want, ok) in [
            ("/a/b/0", "1", true),
            ("/a/b/0", "2", false),
            ("/a/b/1", "x", true),
            ("/a/b/1", "\"x\"", false),
            ("/a/b/2", "null", true),
            ("/a/b/3", "true", true),
            ("/n", "1.5", true),
            ("/a", "{\"b\":[1,\"x\",null,true]}", true),
            ("/nothing", "1", false),
        ] {
            assert_eq!(stands(body, pointer, want).is_ok(), ok, "{pointer} {want}");
        }
        assert!(stands(b"<html>", "/a", "1").unwrap_err().contains("no JSON"));
    }
}
