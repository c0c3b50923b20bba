//! The nouns in small numbers: cells, compositions, and who took part in an observation.

use std::collections::BTreeSet;

/// Index of a party in `Universe::parties`.
pub type PartyIx = usize;
/// Index of a role in `Matrix::roles`.
pub type RoleIx = usize;
/// Index of a check in `Matrix::checks`.
pub type CheckIx = usize;
/// Index of a version in `Matrix::versions`.
pub type VersionIx = usize;

/// Whom a cell is about, in small numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sub {
    /// One party.
    Alone(PartyIx),
    /// The first towards the second.
    Ordered(PartyIx, PartyIx),
    /// Both ways, smaller index first.
    Symmetric(PartyIx, PartyIx),
    /// A set seated together.
    Set(Vec<PartyIx>),
}

impl Sub {
    /// Both ways; the order of the arguments does not matter.
    pub fn symmetric(a: PartyIx, b: PartyIx) -> Self {
        Self::Symmetric(a.min(b), a.max(b))
    }

    /// The parties, each once.
    pub fn parties(&self) -> Vec<PartyIx> {
        match self {
            Self::Alone(a) => vec![*a],
            Self::Ordered(a, b) | Self::Symmetric(a, b) if a == b => vec![*a],
            Self::Ordered(a, b) | Self::Symmetric(a, b) => vec![*a, *b],
            Self::Set(set) => set.clone(),
        }
    }
}

/// A cell, in small numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Index of the axis point.
    pub point: usize,
    /// The check.
    pub check: CheckIx,
    /// Whom it is about.
    pub sub: Sub,
}

/// Who sits in a network: for every role of the matrix its parties, sorted. Pinned and following roles are left out,
/// since the others determine them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Composition(pub Vec<Vec<PartyIx>>);

impl Composition {
    /// Whether a party sits in it, and how often.
    pub fn count(&self, role: RoleIx, party: PartyIx) -> usize {
        self.0[role].iter().filter(|p| **p == party).count()
    }

    /// Whether a party sits in it, in whatever role.
    pub fn seats(&self, party: PartyIx) -> bool {
        self.0.iter().any(|seats| seats.contains(&party))
    }

    /// Every party in it, once.
    pub fn parties(&self) -> BTreeSet<PartyIx> {
        self.0.iter().flatten().copied().collect()
    }
}

/// A party's part in an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// It acted.
    From,
    /// It was acted upon.
    To,
    /// It took part.
    Via,
    /// It reported.
    Reporter,
}

/// Who took part in an observation, in small numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    /// The one that acted, or the only one.
    pub from: Option<PartyIx>,
    /// The one acted upon.
    pub to: Option<PartyIx>,
    /// Those that took part, sorted.
    pub via: Vec<PartyIx>,
    /// The one that reported it.
    pub reporter: Option<PartyIx>,
}

impl Tuple {
    /// Everyone in it, with their parts.
    pub fn parts(&self) -> Vec<(PartyIx, Part)> {
        let from = self.from.iter().map(|p| (*p, Part::From));
        let to = self.to.iter().map(|p| (*p, Part::To));
        let via = self.via.iter().map(|p| (*p, Part::Via));
        from.chain(to).chain(via).chain(self.reporter.iter().map(|p| (*p, Part::Reporter))).collect()
    }

    /// Whether a cell, as this observation names it, has a party in a part.
    pub fn names_in_part(&self, sub: &Sub, party: PartyIx, part: Part) -> bool {
        let is = |p: Option<PartyIx>, other: PartyIx| p == Some(other);
        match (sub, part) {
            (Sub::Alone(a), _) => *a == party,
            (Sub::Set(set), _) => set.contains(&party),
            (Sub::Ordered(a, b) | Sub::Symmetric(a, b), Part::From) => {
                (*a == party || (matches!(sub, Sub::Symmetric(..)) && *b == party)) && is(self.from, party)
            }
            (Sub::Ordered(a, b) | Sub::Symmetric(a, b), Part::To) => {
                (*b == party || (matches!(sub, Sub::Symmetric(..)) && *a == party)) && is(self.to, party)
            }
            (Sub::Ordered(a, b) | Sub::Symmetric(a, b), Part::Via) => {
                self.via.contains(&party) && (*a == party || *b == party)
            }
            (Sub::Ordered(a, b) | Sub::Symmetric(a, b), Part::Reporter) => {
                is(self.reporter, party) && (*a == party || *b == party)
            }
        }
    }

    /// Everyone in it, in no order, some perhaps twice.
    pub fn everyone(&self) -> impl Iterator<Item = PartyIx> + '_ {
        self.from.iter().chain(self.to.iter()).chain(self.via.iter()).chain(self.reporter.iter()).copied()
    }

    /// Everyone in it, once.
    pub fn parties(&self) -> BTreeSet<PartyIx> {
        self.everyone().collect()
    }
}
