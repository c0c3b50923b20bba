//! Checks, drivers and expectations: what is asked of the nodes of a network.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use skew_core::model::{CheckName, PortName, RoleName, Scope};

use super::{Selector, Template};

/// A named thing that must work.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Its name.
    pub name: CheckName,
    /// Whom it is about.
    #[serde(skip)]
    pub scope: Scope,
    /// Whether an ok shows that exactly the named nodes understood each other.
    pub direct: bool,
    /// Its prerequisites.
    pub after: Vec<CheckName>,
    /// The versions it exists at.
    pub since: Option<Selector>,
    /// How it is done.
    pub how: CheckHow,
    /// How long all of its steps may take between one pair of nodes.
    pub within: Duration,
}

impl Check {
    /// The role that reports it, when a driver does.
    pub fn how_driver(&self) -> Option<&RoleName> {
        match &self.how {
            CheckHow::Driver(role) => Some(role),
            CheckHow::Steps(_) | CheckHow::Init => None,
        }
    }
}

/// How a check is done.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckHow {
    /// Steps, one after the other.
    Steps(Vec<Step>),
    /// A driver reports it.
    Driver(RoleName),
    /// An `init` step of the role `from` is it.
    Init,
}

/// One step of a check.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Which node.
    pub node: StepNode,
    /// What is done.
    pub action: Action,
    /// How long it may take; it is repeated until then when it expects something.
    pub within: Option<Duration>,
    /// The name under which its output is kept for later steps.
    pub capture: Option<String>,
}

/// The node that a step is done in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepNode {
    /// The check's `from`, or the only node.
    From,
    /// The check's `to`.
    To,
    /// A node of one of the check's `via`.
    Via(RoleName),
    /// The first node of this role.
    Role(RoleName),
}

/// What a step does.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A command in the node: 0 ok, 77 unsupported, else failed; error when this machine lacks a program for it.
    Run {
        /// The program and its arguments.
        run: Vec<Template>,
        /// What its standard output must be, both trimmed.
        stdout: Option<Template>,
        /// A regular expression that its standard output must match.
        stdout_matches: Option<Template>,
    },
    /// A request to one of the node's ports.
    Http {
        /// `GET`, `POST`, …
        method: String,
        /// The port.
        port: PortName,
        /// Path and query.
        path: Template,
        /// The body.
        body: Option<Template>,
        /// The status to expect; none means 200 to 299.
        status: Option<u16>,
        /// JSON pointers of the answer and what must stand there.
        json: BTreeMap<String, Template>,
    },
    /// A line that the node's log must hold.
    Log {
        /// A regular expression.
        matches: Template,
    },
}

/// A role whose nodes drive the network and report observations.
#[derive(Debug, Clone, Serialize)]
pub struct Driver {
    /// The role.
    pub role: RoleName,
    /// Whether an observation that is missing twice is a failure.
    pub complete: bool,
    /// How long it may take; it ends by exiting with 0.
    pub within: Duration,
}

/// Something that must hold for every node of some roles.
#[derive(Debug, Clone, Serialize)]
pub struct Expect {
    /// The check that it is reported under: of its own for logs, `exit` for exits, the check itself for error rates.
    pub name: CheckName,
    /// The role; none means all.
    pub role: Option<RoleName>,
    /// What.
    pub kind: ExpectKind,
}

/// What must hold.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpectKind {
    /// No line of the log matches.
    LogNever(String),
    /// A line of the log matches in time.
    LogWithin {
        /// A regular expression.
        matches: String,
        /// How long after its start.
        within: Duration,
    },
    /// The node may exit by itself with one of these statuses.
    Exit(Vec<i32>),
    /// At most this share of a check's observations may fail, between the same nodes.
    ErrorRate {
        /// The check.
        check: CheckName,
        /// From 0 to 1.
        at_most: f64,
    },
}

impl ExpectKind {
    /// Whether it is a check of its own, with cells of its own; the others change what an existing check's
    /// observations mean.
    pub fn is_a_check(&self) -> bool {
        match self {
            Self::LogNever(_) | Self::LogWithin { .. } => true,
            Self::Exit(_) | Self::ErrorRate { .. } => false,
        }
    }
}
