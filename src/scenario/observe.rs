//! Reads what drivers report: one JSON object a line, among the lines of a log.
//!
//! Pure. A driver is a program of the system under test: what it says is bounded, and held against the network that it
//! says it about.

use std::collections::BTreeMap;

use serde::Deserialize;
use skew_core::model::{CheckName, NodeName, Observation, Outcome, RoleName, Scope};
use skew_deploy::printable;

/// The longest line that is read.
pub(super) const LINE_MAX: usize = 16 * 1024;
/// Bytes kept of the different results of one network; equal ones are counted and cost nothing.
pub(super) const BYTES_MAX: usize = 24 << 20;
/// What a result costs beside its names and its detail.
const OVERHEAD: usize = 200;
/// Bytes kept of a detail.
pub(super) const DETAIL_MAX: usize = 2048;
/// How many nodes an observation may name beside its two.
const VIA_MAX: usize = 16;

/// What a line of a driver's output is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Line {
    /// A line for people.
    Log,
    /// An observation.
    Said(Box<Said>),
    /// Meant to be an observation, but not one that can be read.
    Malformed(String),
}

/// An observation as a driver wrote it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Said {
    check: String,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    via: Vec<String>,
    result: SaidResult,
    #[serde(default)]
    ms: Option<f64>,
    #[serde(default)]
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SaidResult {
    Ok,
    Failed,
    Unsupported,
}

/// Reads one line, without its end.
pub(super) fn read(line: &[u8]) -> Line {
    #[derive(Deserialize)]
    struct Kind {
        skew: String,
    }
    let Some(start) = line.iter().position(|b| !b.is_ascii_whitespace()) else { return Line::Log };
    if line[start] != b'{' {
        return Line::Log;
    }
    // Cut lines and other JSON are told apart by the key, whatever else is wrong with them.
    let mentions =
        line.windows(13).any(|part| part == br#""observation""#) && line.windows(6).any(|part| part == br#""skew""#);
    if !mentions {
        return Line::Log;
    }
    if line.len() > LINE_MAX {
        return Line::Malformed(format!("an observation of more than {LINE_MAX} bytes"));
    }
    match serde_json::from_slice::<Kind>(line) {
        Ok(kind) if kind.skew != "observation" => return Line::Log,
        Ok(_) => {}
        Err(error) if error.is_data() => return Line::Log,
        Err(error) => return Line::Malformed(format!("not JSON: {error}")),
    }
    match serde_json::from_slice::<Said>(line) {
        Ok(said) if said.via.len() > VIA_MAX => Line::Malformed(format!("more than {VIA_MAX} nodes in `via`")),
        Ok(said) if said.ms.is_some_and(|ms| !(0.0..=1e12).contains(&ms)) => {
            Line::Malformed("`ms` is no duration".to_owned())
        }
        Ok(said) => Line::Said(Box::new(said)),
        Err(error) => Line::Malformed(error.to_string()),
    }
}

/// Who and what there is to be observed.
#[derive(Debug, Default)]
pub(super) struct Casting {
    /// The nodes and their roles.
    pub nodes: BTreeMap<NodeName, RoleName>,
    /// The checks that drivers report, with the role that does.
    pub checks: BTreeMap<CheckName, (Scope, RoleName)>,
}

impl Casting {
    /// Holds what a driver said against the network.
    ///
    /// # Errors
    /// Why it cannot be an observation of this network, in words.
    pub(super) fn accept(&self, said: &Said, reporter: &NodeName) -> Result<Observation, String> {
        let quote = |text: &str| format!("{:?}", printable(text, 80));
        let unknown = || format!("the check {} is not one that it reports", quote(&said.check));
        let role = self.nodes.get(reporter).ok_or_else(unknown)?;
        let (check, (scope, _)) = self
            .checks
            .get_key_value(said.check.as_str())
            .filter(|(_, (_, reports))| reports == role)
            .ok_or_else(unknown)?;
        let node = |name: &String| {
            let found = self.nodes.get_key_value(name.as_str());
            found.ok_or_else(|| format!("{check} names {}, which is no node of the network", quote(name)))
        };
        let (from, to) = (said.from.as_ref().map(node).transpose()?, said.to.as_ref().map(node).transpose()?);
        let mut via = said.via.iter().map(node).collect::<Result<Vec<_>, _>>()?;
        let (from, to) = match scope {
            Scope::Pair { from: acts, to: acted, via: others, symmetric } => {
                let (Some(a), Some(b)) = (from, to) else { return Err(format!("{check} needs `from` and `to`")) };
                if a.0 == b.0 {
                    return Err(format!("{check} names {} twice", a.0));
                }
                if let Some((name, role)) = via.iter().find(|(_, role)| !others.contains(role)) {
                    return Err(format!("{check} has no role {role} in `via`, as which {name} plays"));
                }
                if via.is_empty() {
                    via = self.only(others);
                }
                match (a.1 == acts && b.1 == acted, *symmetric && a.1 == acted && b.1 == acts) {
                    (true, _) => (Some(a.0), Some(b.0)),
                    (false, true) => (Some(b.0), Some(a.0)),
                    (false, false) => {
                        return Err(format!("{check} is from {acts} to {acted}, not from {} to {}", a.0, b.0));
                    }
                }
            }
            Scope::Node { roles } => {
                let Some((name, role)) = from else { return Err(format!("{check} needs `from`")) };
                if !roles.contains(role) || to.is_some() || !via.is_empty() {
                    return Err(format!("{check} is about one node of {}", join(roles)));
                }
                (Some(name), None)
            }
            Scope::Network => {
                if from.is_some() || to.is_some() || !via.is_empty() {
                    return Err(format!("{check} is about the network and names no node"));
                }
                (None, None)
            }
        };
        Ok(Observation {
            check: check.clone(),
            from: from.cloned(),
            to: to.cloned(),
            via: via.into_iter().map(|(name, _)| name.clone()).collect(),
            reporter: Some(reporter.clone()),
            result: match said.result {
                SaidResult::Ok => Outcome::Ok,
                SaidResult::Failed => Outcome::Failed,
                SaidResult::Unsupported => Outcome::Unsupported,
            },
            ms: said.ms,
            detail: printable(&said.detail, DETAIL_MAX),
            at_ms: 0,
            count: 1,
        })
    }

    /// The nodes that must have taken part: of each role the only one. None when there is a choice.
    fn only(&self, roles: &[RoleName]) -> Vec<(&NodeName, &RoleName)> {
        let of = |role: &RoleName| {
            let mut nodes = self.nodes.iter().filter(|(_, plays)| *plays == role);
            nodes.next().filter(|_| nodes.next().is_none())
        };
        roles.iter().map(of).collect::<Option<Vec<_>>>().unwrap_or_default()
    }
}

fn join(roles: &[RoleName]) -> String {
    roles.iter().map(RoleName::as_str).collect::<Vec<_>>().join(", ")
}

type Key = (CheckName, Option<NodeName>, Option<NodeName>, Vec<NodeName>, Option<NodeName>, Outcome);

/// Collects observations, equal ones as one with a count.
#[derive(Debug, Default)]
pub(super) struct Heard {
    observations: Vec<Observation>,
    /// Where each is, and the last detail of its equals.
    places: BTreeMap<Key, (usize, String)>,
    bytes: usize,
}

impl Heard {
    /// Adds an observation; `false` when there is no room for another that differs. Details are left out first.
    pub(super) fn add(&mut self, mut observation: Observation) -> bool {
        let o = &observation;
        let key = (o.check.clone(), o.from.clone(), o.to.clone(), o.via.clone(), o.reporter.clone(), o.result);
        let room_for_detail = self.bytes + o.detail.len() <= BYTES_MAX / 2;
        match self.places.get_mut(&key) {
            Some((place, last)) => {
                self.observations[*place].count = self.observations[*place].count.saturating_add(1);
                if room_for_detail {
                    self.bytes = self.bytes + observation.detail.len() - last.len();
                    *last = observation.detail;
                }
            }
            None => {
                if !room_for_detail {
                    observation.detail.clear();
                }
                let o = &observation;
                let names = o.from.iter().chain(&o.to).chain(&o.via).chain(&o.reporter).map(|node| node.as_str().len());
                let bytes = OVERHEAD + o.check.as_str().len() + names.sum::<usize>() + o.detail.len();
                if self.bytes + bytes > BYTES_MAX {
                    return false;
                }
                self.bytes += bytes;
                self.places.insert(key, (self.observations.len(), String::new()));
                self.observations.push(observation);
            }
        }
        true
    }

    /// What was collected, in the order it was first seen; details tell the first and the last of equal ones.
    pub(super) fn take(&mut self) -> Vec<Observation> {
        let mut observations = std::mem::take(&mut self.observations);
        self.bytes = 0;
        for (place, last) in std::mem::take(&mut self.places).into_values() {
            let observation = &mut observations[place];
            if !last.is_empty() && last != observation.detail {
                observation.detail = printable(&format!("{}\nlast: {last}", observation.detail), DETAIL_MAX);
            }
        }
        observations
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn casting() -> Casting {
        let role = |name: &str| RoleName::new(name).unwrap();
        let check = |name: &str| CheckName::new(name).unwrap();
        let nodes = [("node-0", "node"), ("node-1", "node"), ("notary-0", "notary"), ("driver-0", "driver")];
        let pair = |symmetric, via: &[&str]| Scope::Pair {
            from: role("node"),
            to: role("node"),
            via: via.iter().map(|name| role(name)).collect(),
            symmetric,
        };
        let reads = Scope::Pair { from: role("node"), to: role("notary"), via: vec![], symmetric: true };
        let checks = [
            ("pay", pair(false, &["notary"])),
            ("reads", reads),
            ("vault", Scope::Node { roles: vec![role("node")] }),
            ("quiet", Scope::Network),
        ];
        Casting {
            nodes: nodes.iter().map(|(name, plays)| (NodeName::new(name).unwrap(), role(plays))).collect(),
            checks: checks.into_iter().map(|(name, scope)| (check(name), (scope, role("driver")))).collect(),
        }
    }

    fn accept(line: &str, reporter: &str) -> Result<String, String> {
        let said = match read(line.as_bytes()) {
            Line::Said(said) => said,
            Line::Log => return Err("log".to_owned()),
            Line::Malformed(why) => return Err(why),
        };
        let o = casting().accept(&said, &NodeName::new(reporter).unwrap())?;
        let name = |node: Option<NodeName>| node.map_or("-".to_owned(), |node| node.to_string());
        let via: Vec<String> = o.via.iter().map(ToString::to_string).collect();
        Ok(format!("{} {} {} [{}] {} {}", o.check, name(o.from), name(o.to), via.join(","), o.result, o.detail))
    }

    #[test]
    fn observations_are_read() {
        for (line, want) in [
            (
                r#"{"skew":"observation","check":"pay","from":"node-0","to":"node-1","via":["notary-0"],"result":"failed","ms":41.2,"detail":"no"}"#,
                "pay node-0 node-1 [notary-0] failed no",
            ),
            (
                r#"  {"skew":"observation","check":"pay","from":"node-1","to":"node-0","result":"ok","generation":3}"#,
                "pay node-1 node-0 [notary-0] ok ",
            ),
            (
                r#"{"skew":"observation","check":"reads","from":"notary-0","to":"node-1","result":"ok"}"#,
                "reads node-1 notary-0 [] ok ",
            ),
            (
                r#"{"skew":"observation","check":"vault","from":"node-1","result":"unsupported"}"#,
                "vault node-1 - [] unsupported ",
            ),
            (r#"{"skew":"observation","check":"quiet","result":"ok"}"#, "quiet - - [] ok "),
        ] {
            assert_eq!(accept(line, "driver-0").as_deref(), Ok(want), "{line}");
        }
    }

    #[test]
    fn lies_are_refused() {
        let line = |rest: &str| format!(r#"{{"skew":"observation",{rest}}}"#);
        for (line, reporter, want) in [
            ("hello".to_owned(), "driver-0", "log"),
            (r#"{"level":"info"}"#.to_owned(), "driver-0", "log"),
            (r#"{"skew":"metric","of":"observation"}"#.to_owned(), "driver-0", "log"),
            (r#"{"skew":"observation","check":"pay""#.to_owned(), "driver-0", "not JSON"),
            (line(r#""check":"pay""#), "driver-0", "missing field `result`"),
            (line(r#""check":"pay","result":"great""#), "driver-0", "unknown variant"),
            (line(r#""check":"quiet","result":"ok","ms":-1"#), "driver-0", "no duration"),
            (line(r#""check":"nothing","result":"ok""#), "driver-0", "not one that it reports"),
            (line(r#""check":"quiet","result":"ok""#), "node-0", "not one that it reports"),
            (line(r#""check":"pay","from":"node-0","result":"ok""#), "driver-0", "needs `from` and `to`"),
            (line(r#""check":"pay","from":"node-0","to":"node-9","result":"ok""#), "driver-0", "no node"),
            (line(r#""check":"pay","from":"node-0","to":"node-0","result":"ok""#), "driver-0", "twice"),
            (line(r#""check":"pay","from":"notary-0","to":"node-0","result":"ok""#), "driver-0", "is from node"),
            (
                line(r#""check":"pay","from":"node-0","to":"node-1","via":["driver-0"],"result":"ok""#),
                "driver-0",
                "via",
            ),
            (line(r#""check":"vault","from":"notary-0","result":"ok""#), "driver-0", "one node of node"),
            (line(r#""check":"quiet","from":"node-0","result":"ok""#), "driver-0", "names no node"),
        ] {
            let error = accept(&line, reporter).unwrap_err();
            assert!(error.contains(want), "{line}: {error}");
        }
        let long = format!(r#"{{"skew":"observation","check":"{}"}}"#, "x".repeat(LINE_MAX));
        assert!(accept(&long, "driver-0").unwrap_err().contains("more than"));
    }

    #[test]
    fn equal_observations_are_counted() {
        let mut heard = Heard::default();
        for n in 0..3 {
            let line = format!(
                r#"{{"skew":"observation","check":"pay","from":"node-0","to":"node-1","result":"ok","detail":"{n}"}}"#
            );
            let Line::Said(said) = read(line.as_bytes()) else { panic!("{line}") };
            assert!(heard.add(casting().accept(&said, &NodeName::new("driver-0").unwrap()).unwrap()));
        }
        let observations = heard.take();
        assert_eq!(observations.len(), 1);
        assert_eq!((observations[0].count, observations[0].detail.as_str()), (3, "0\nlast: 2"));
    }

    #[test]
    fn repeats_are_not_bounded_and_what_differs_is() {
        let mut heard = Heard::default();
        let seen = |check: &str, detail: &str| {
            let check = CheckName::new(check).unwrap();
            let mut seen = super::super::scene::about(&check, None, None, &[], Outcome::Ok);
            seen.detail = detail.to_owned();
            seen
        };
        for n in 0..300_000 {
            assert!(heard.add(seen("pay", &n.to_string())));
        }
        let added = (0..200_000).take_while(|n| heard.add(seen(&format!("c{n}"), &"x".repeat(DETAIL_MAX)))).count();
        assert!((50_000..150_000).contains(&added), "{added}");
        assert!(heard.add(seen("pay", "last")), "what is known is counted on");
        let observations = heard.take();
        assert_eq!((observations[0].count, observations.len()), (300_001, added + 1));
        let details: usize = observations.iter().map(|seen| seen.detail.len()).sum();
        assert!(details <= BYTES_MAX / 2, "{details}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Line::Said(said) = read(&bytes) {
                let _ = casting().accept(&said, &NodeName::new("driver-0").unwrap());
            }
        }

        #[test]
        fn almost_observations_are_read(
            check in "(pay|vault|quiet|.{0,5})",
            from in proptest::option::of("(node-[0-2]|notary-0|.{0,5})"),
            to in proptest::option::of("(node-[0-2]|notary-0|.{0,5})"),
            via in proptest::collection::vec("(notary-0|driver-0|.{0,5})", 0..20),
            result in "(ok|failed|unsupported|.{0,5})",
            ms in any::<f64>(),
            cut in 0usize..400,
        ) {
            let line = serde_json::json!({
                "skew": "observation", "check": check, "from": from, "to": to, "via": via, "result": result, "ms": ms,
            }).to_string();
            for text in [line.as_bytes(), &line.as_bytes()[..cut.min(line.len())]] {
                if let Line::Said(said) = read(text)
                    && let Ok(observation) = casting().accept(&said, &NodeName::new("driver-0").unwrap())
                {
                    prop_assert!(observation.from != observation.to || observation.from.is_none());
                    prop_assert!(observation.via.len() <= VIA_MAX);
                }
            }
        }
    }
}
