//! The steps of a check between some nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use minijinja::Value;
use skew_core::model::{CheckName, NodeName, Outcome};
use skew_core::text::duration;
use skew_deploy::{Cmd, For, Output, Pace, http, printable};
use skew_spec::{Action, Check, Step, StepNode, Template};
use tokio::time::Instant;

use super::commands::{ended, program, unseen};
use super::parties::Tuple;
use super::render::nonce;
use super::scene::Scene;
use super::stopped::{Stopped, regex};

/// Bytes kept of a step's output.
const OUTPUT: usize = 256 * 1024;
/// Bytes of an output that are kept under a name.
const CAPTURE: usize = 16 * 1024;
/// Bytes of what was expected, and of what was found, in a detail.
const QUOTE: usize = 500;
/// Bytes shown of each output of a command.
const SHOWN: usize = 700;

/// What one try of a step came to.
enum Tried {
    /// It worked; its output.
    Ok(String),
    /// It did not, and may when it is tried again.
    NotYet(Miss),
    /// It did not, and there is no use in trying again.
    Over(Outcome, Miss),
}

/// What was expected of a step, and what was found instead.
struct Miss {
    /// `expected …, found …`.
    what: String,
    /// What was tried: a program, a request.
    of: String,
    /// The end of what a command printed, each output after a line break.
    printed: String,
    /// How much it tells of why: an answer tells more than none.
    tells: u8,
    /// Whether its time was over.
    late: bool,
}

/// How much an answer tells that is not the one that was expected; less is none.
const ANSWER: u8 = 3;

impl Miss {
    fn new(of: &str, tells: u8, what: String) -> Self {
        Self { what, of: of.to_owned(), printed: String::new(), tells, late: false }
    }

    /// A command's end, when that is not as expected.
    fn ended(of: &str, output: &Output, within: Duration) -> Self {
        Self { late: output.timed_out, ..Self::output(of, output, ended(output, within)) }
    }

    /// What a command printed, when that is not as expected.
    fn output(of: &str, output: &Output, what: String) -> Self {
        Self { printed: output.printed(SHOWN), ..Self::new(of, output.tells(), what) }
    }

    fn text(&self, place: &str) -> String {
        format!("{} ({place}: {}){}", self.what, self.of, self.printed)
    }
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
            let begun = Instant::now();
            match self.step(step, &node, &context, deadline).await? {
                Tried::Ok(output) => {
                    let Some(name) = &step.capture else { continue };
                    let output = output.trim();
                    if output.len() > CAPTURE {
                        let (most, found) = (CAPTURE >> 10, output.len().div_ceil(1024));
                        let what = format!("expected at most {most} KiB to capture as {name:?}, found {found} KiB");
                        return Ok((Outcome::Error, format!("{what} (step {} in {node})", n + 1)));
                    }
                    context.insert(name.clone(), Value::from(printable(output, CAPTURE)));
                }
                Tried::NotYet(miss) => return self.missed(Outcome::Failed, &miss, &node, n, begun),
                Tried::Over(outcome, miss) => return self.missed(outcome, &miss, &node, n, begun),
            }
        }
        Ok((Outcome::Ok, String::new()))
    }

    /// What a step came to that was not as expected, unless the machine was too slow for it.
    fn missed(
        &self,
        outcome: Outcome,
        miss: &Miss,
        node: &NodeName,
        n: usize,
        begun: Instant,
    ) -> Result<(Outcome, String), Stopped> {
        let place = format!("step {} in {node}", n + 1);
        if outcome == Outcome::Failed && miss.late {
            self.overloaded(begun.into_std(), &format!("{place}: {}", miss.what))?;
        }
        Ok((outcome, miss.text(&place)))
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
        // Of all that were not as expected, the last of those that tell most.
        let mut most = Miss::new("not tried", 0, "expected some time for it, found none left".to_owned());
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let of = format!("{}; tried for {}", most.of, duration(begun.elapsed()));
                return Ok(Tried::Over(Outcome::Failed, Miss { of, late: true, ..most }));
            }
            match self.attempt(&step.action, node, context, left).await? {
                Tried::NotYet(miss) if repeats => {
                    if miss.tells >= most.tells {
                        most = miss;
                    }
                }
                tried => return Ok(tried),
            }
            // Nobody answers in the name of a node that is gone.
            if let Some(exit) = self.ear.watch.exit(node) {
                let of = format!("{}; {exit} meanwhile", most.of);
                return Ok(Tried::Over(Outcome::Failed, Miss { of, ..most }));
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
                let what_of = format!("{method} {path}");
                let begun = tokio::time::Instant::now();
                let none = |why: &str| {
                    let what = format!("expected an answer within {}, found none: {why}", duration(left));
                    Ok(Tried::NotYet(Miss { late: true, ..Miss::new(&what_of, 0, what) }))
                };
                let Ok(at) = tokio::time::timeout(left, self.network.endpoint(node, port, For::Skew)).await else {
                    return none(&format!("no address of {node} accepts connections"));
                };
                let answer = match http::request(method, at?, &path, body, left.saturating_sub(begun.elapsed())).await {
                    Ok(answer) => answer,
                    Err(why) => return none(&why),
                };
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                if !status.map_or((200..300).contains(&answer.status), |want| answer.status == want) {
                    let want = status.map_or("200 to 299".to_owned(), |status| status.to_string());
                    let what = format!("expected status {want}, found {}: {}", answer.status, quote(&text));
                    return Ok(Tried::NotYet(Miss::new(&what_of, ANSWER, what)));
                }
                for (pointer, want) in json {
                    let want = self.renderer.text(want, context)?;
                    let Err(found) = stands(&answer.body, pointer, &want) else { continue };
                    let what = format!("expected {} at {pointer:?}, found {found}", quote(&want));
                    if !answer.whole {
                        let what = format!("{what}; skew reads no more of an answer than this");
                        return Ok(Tried::Over(Outcome::Error, Miss::new(&what_of, ANSWER, what)));
                    }
                    return Ok(Tried::NotYet(Miss::new(&what_of, ANSWER, what)));
                }
                Ok(Tried::Ok(text))
            }
            Action::Log { matches } => {
                let pattern = regex(&self.renderer.text(matches, context)?)?;
                let mut lines = 0;
                let looked = tokio::select! {
                    biased;
                    line = self.ear.watch.line(node, &pattern, &mut lines) => return Ok(Tried::Ok(line)),
                    // Its last lines came before its end.
                    _ = self.ear.watch.exited(node) => false,
                    () = tokio::time::sleep(left) => true,
                };
                let what = format!("expected a line of the log that matches /{pattern}/, found none");
                if lines > 0 {
                    let what = format!("{what}; {}", unseen(lines));
                    return Ok(Tried::Over(Outcome::Error, Miss::new("log", 0, what)));
                }
                Ok(Tried::NotYet(Miss { late: looked, ..Miss::new("log", 0, what) }))
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
        let of = program(&cmd.argv);
        let output = match self.network.exec(node, &cmd).await {
            Ok(output) => output,
            Err(error) if error.fault().is_none() => {
                let what = format!("expected the command to run, found that it does not: {}", error.chain());
                return Ok(Tried::NotYet(Miss::new(of, 0, what)));
            }
            Err(error) => return Err(error.into()),
        };
        match self.outcome(node, &output) {
            Outcome::Ok => {}
            Outcome::Failed => return Ok(Tried::NotYet(Miss::ended(of, &output, left))),
            other => return Ok(Tried::Over(other, Miss::ended(of, &output, left))),
        }
        let got = String::from_utf8_lossy(&output.stdout).into_owned();
        // What was expected and found has the standard output in it.
        let other = Output { stdout: Vec::new(), ..output.clone() };
        let miss = |what: String| Miss { tells: output.tells(), ..Miss::output(of, &other, what) };
        if let Some(want) = stdout
            && got.trim() != want.trim()
        {
            let what = format!("expected stdout {}, found {}", quote(want.trim()), quote(got.trim()));
            return Ok(Tried::NotYet(miss(what)));
        }
        if let Some(pattern) = matches
            && !regex(&pattern)?.is_match(&got)
        {
            let what = format!("expected stdout that matches /{pattern}/, found {}", quote(got.trim()));
            if output.truncated {
                let what = format!("{what}; skew reads no more than {} KiB of it", OUTPUT >> 10);
                return Ok(Tried::Over(Outcome::Error, miss(what)));
            }
            return Ok(Tried::NotYet(miss(what)));
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
