//! What can be wrong with a simulated system.

use skew_core::model::{AxisPoint, Cell, Party, Subject};

use super::world::version_of;

/// Something that is wrong with the system.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Flaw {
    Pair {
        check: &'static str,
        from: (&'static str, usize),
        to: (&'static str, usize),
    },
    /// Nodes since this version do not understand nodes before it, both ways.
    Framing {
        since: usize,
    },
    Broken {
        check: &'static str,
        role: &'static str,
        version: usize,
    },
    Triple {
        from: usize,
        to: usize,
        via: usize,
    },
    /// Payments from one to the other fail while a node of the third version is there.
    Interference {
        from: usize,
        to: usize,
        present: usize,
    },
    /// Every second payment by a node of this version fails.
    Alternating {
        version: usize,
    },
    Unsupported {
        before: usize,
    },
    Unbuilt {
        version: usize,
    },
    /// The check between these two is never reported.
    Silent {
        from: usize,
        to: usize,
    },
    /// What this party takes part in fails with a probability.
    FlakyParty {
        check: &'static str,
        role: &'static str,
        version: usize,
        side: Side,
        chance: Chance,
    },
    /// What goes from one to the other fails with a probability.
    FlakyPair {
        check: &'static str,
        from: (&'static str, usize),
        to: (&'static str, usize),
        chance: Chance,
    },
    /// At one value of an axis this party fails, and at the other it works.
    AtValue {
        check: &'static str,
        role: &'static str,
        version: usize,
        value: &'static str,
    },
    /// The first node of this version exits after four seconds, and its network ends with it.
    ExitsLate {
        version: usize,
    },
    /// A node of this version exits in a network with this doorman, with a probability.
    Dying {
        node: usize,
        doorman: usize,
        percent: u32,
    },
}

/// As what a party flakes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Side {
    From,
    To,
    Any,
}

/// How often something fails.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Chance {
    pub percent: u32,
    /// Whether a network in which it fails fails as a whole; else each observation is drawn.
    pub whole: bool,
}

/// A role at a version.
pub(crate) type Who = (String, usize);

impl Flaw {
    /// Whether it makes a check between these fail, in a network that seats those.
    pub(crate) fn spoils(&self, check: &str, a: &Who, b: &Who, vias: &[Who], seated: &[Who]) -> bool {
        let is = |who: &Who, role: &str, version: usize| who.0 == role && who.1 == version;
        let mut ordered: Vec<(&Who, &Who)> = vec![(a, b)];
        for via in vias {
            ordered.extend([(a, via), (via, b)]);
        }
        match self {
            Self::Pair { check: c, from, to } => {
                *c == check && ordered.iter().any(|(x, y)| is(x, from.0, from.1) && is(y, to.0, to.1))
            }
            Self::Framing { since } => check == "pay" && (a.1 < *since) != (b.1 < *since),
            Self::Broken { check: c, role, version } => {
                *c == check && [a, b].into_iter().chain(vias).any(|who| is(who, role, *version))
            }
            Self::Triple { from, to, via } => {
                check == "pay"
                    && is(a, "node", *from)
                    && is(b, "node", *to)
                    && vias.iter().any(|v| is(v, "notary", *via))
            }
            Self::Interference { from, to, present } => {
                check == "pay"
                    && is(a, "node", *from)
                    && is(b, "node", *to)
                    && seated.iter().any(|who| is(who, "node", *present))
            }
            Self::Alternating { .. } | Self::Unsupported { .. } | Self::Unbuilt { .. } | Self::Silent { .. } => false,
            Self::FlakyParty { .. } | Self::FlakyPair { .. } | Self::Dying { .. } => false,
            Self::AtValue { .. } | Self::ExitsLate { .. } => false,
        }
    }

    /// Whether it makes a check between these fail at a value of the axis.
    pub(crate) fn spoils_at(&self, check: &str, who: &[&Who], axes: &AxisPoint) -> bool {
        matches!(self, Self::AtValue { check: c, role, version, value }
            if *c == check
                && axes.values().any(|at| at == value)
                && who.iter().any(|who| who.0 == *role && who.1 == *version))
    }

    /// With what chance it makes a check between these fail.
    pub(crate) fn chance(&self, check: &str, a: &Who, b: &Who, vias: &[Who]) -> Option<Chance> {
        let is = |who: &Who, role: &str, version: usize| who.0 == role && who.1 == version;
        match self {
            Self::FlakyParty { check: c, role, version, side, chance } if *c == check => {
                let strikes = match side {
                    Side::From => is(a, role, *version),
                    Side::To => is(b, role, *version),
                    Side::Any => [a, b].into_iter().chain(vias).any(|who| is(who, role, *version)),
                };
                strikes.then_some(*chance)
            }
            Self::FlakyPair { check: c, from, to, chance } if *c == check => {
                let mut ordered: Vec<(&Who, &Who)> = vec![(a, b)];
                for via in vias {
                    ordered.extend([(a, via), (via, b)]);
                }
                ordered.iter().any(|(x, y)| is(x, from.0, from.1) && is(y, to.0, to.1)).then_some(*chance)
            }
            _ => None,
        }
    }

    /// The check that it spoils.
    pub(crate) fn check(&self) -> &'static str {
        match self {
            Self::Pair { check, .. }
            | Self::Broken { check, .. }
            | Self::FlakyParty { check, .. }
            | Self::FlakyPair { check, .. } => check,
            Self::Dying { .. } | Self::ExitsLate { .. } => "exit",
            Self::Unsupported { .. } => "audit",
            _ => "pay",
        }
    }

    /// The rate in percent at which it makes a cell fail, whatever the company; 100 for what always fails.
    pub(crate) fn planted(&self, cell: &Cell) -> u32 {
        let check = cell.check.as_str();
        let who = |party: &Party| (party.role.as_str().to_owned(), version_of(party));
        let is = |who: &Who, role: &str, version: usize| who.0 == role && who.1 == version;
        match (self, &cell.subject) {
            (Self::FlakyParty { check: c, role, version, side, chance }, Subject::Ordered(a, b)) if *c == check => {
                let (a, b) = (who(a), who(b));
                let named = match side {
                    Side::From => is(&a, role, *version),
                    Side::To => is(&b, role, *version),
                    Side::Any => is(&a, role, *version) || is(&b, role, *version),
                };
                if named { chance.percent } else { 0 }
            }
            (Self::FlakyPair { check: c, from, to, chance }, Subject::Ordered(a, b))
                if *c == check && is(&who(a), from.0, from.1) && is(&who(b), to.0, to.1) =>
            {
                chance.percent
            }
            (Self::Pair { check: c, from, to }, Subject::Ordered(a, b))
                if *c == check && is(&who(a), from.0, from.1) && is(&who(b), to.0, to.1) =>
            {
                100
            }
            (Self::Broken { check: c, role, version }, subject) if *c == check => {
                let named = subject.parties().into_iter().any(|party| is(&who(party), role, *version));
                if named { 100 } else { 0 }
            }
            _ => 0,
        }
    }
}
