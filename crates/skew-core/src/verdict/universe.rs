//! The matrix in small numbers: parties, cells and compositions as the engine sees them.
//!
//! Two versions at which a role has the same content and definition are one party here: they are the same program, so
//! evidence about one is evidence about the other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::{
    AxisPoint, Cell, CheckName, Digest, Matrix, Member, Party, RoleKind, RoleName, Scope, Seat, Subject, Unbuilt,
    VersionId,
};

use super::key::{CheckIx, Key, PartyIx, RoleIx, Sub, Tuple, VersionIx};

/// A role playing one program.
#[derive(Debug, Clone)]
pub struct PartyInfo {
    /// The role.
    pub role: RoleIx,
    /// The versions of the matrix that are this program; empty for a party that has left the matrix.
    pub versions: Vec<VersionIx>,
    /// Role and first version.
    pub label: Party,
    /// The content id.
    pub content: Digest,
    /// The definition's digest.
    pub definition: Digest,
}

/// The matrix in small numbers.
#[derive(Debug)]
pub struct Universe<'m> {
    /// The matrix itself.
    pub matrix: &'m Matrix,
    /// Every party of the matrix, then those met in evidence that have left it.
    pub parties: Vec<PartyInfo>,
    /// Every combination of axis values.
    pub points: Vec<AxisPoint>,
    by_version: HashMap<(RoleIx, VersionIx), PartyIx>,
    by_program: HashMap<(RoleIx, Digest, Digest), Vec<PartyIx>>,
    roles: HashMap<RoleName, RoleIx>,
    versions: HashMap<VersionId, VersionIx>,
    checks: HashMap<CheckName, CheckIx>,
    definitions: Vec<BTreeSet<Digest>>,
}

impl<'m> Universe<'m> {
    /// Numbers the parties of a matrix.
    pub fn new(matrix: &'m Matrix) -> Self {
        let versions: HashMap<VersionId, VersionIx> =
            matrix.versions.iter().enumerate().map(|(ix, version)| (version.id.clone(), ix)).collect();
        let mut universe = Self {
            matrix,
            parties: Vec::new(),
            points: points(matrix),
            by_version: HashMap::new(),
            by_program: HashMap::new(),
            roles: matrix.roles.iter().enumerate().map(|(ix, role)| (role.name.clone(), ix)).collect(),
            versions,
            checks: matrix.checks.iter().enumerate().map(|(ix, check)| (check.name.clone(), ix)).collect(),
            definitions: vec![BTreeSet::new(); matrix.roles.len()],
        };
        for (role_ix, role) in matrix.roles.iter().enumerate() {
            // A leader and its followers are seated together, so they are one program only if all of them are.
            let mut bundles: HashMap<Vec<(Digest, Digest)>, PartyIx> = HashMap::new();
            for (id, member) in sorted_members(matrix, role_ix) {
                let Ok(member) = member else { continue };
                let mut bundle = vec![(member.content, member.definition)];
                for follower in matrix.roles.iter().filter(|f| f.kind == RoleKind::Follows(role.name.clone())) {
                    if let Some(Ok(member)) = follower.members.get(id) {
                        bundle.push((member.content, member.definition));
                    }
                }
                universe.definitions[role_ix].insert(member.definition);
                let version = universe.versions.get(id).copied();
                let party = *bundles.entry(bundle).or_insert_with(|| {
                    universe.parties.push(PartyInfo {
                        role: role_ix,
                        versions: Vec::new(),
                        label: Party::new(&role.name, id),
                        content: member.content,
                        definition: member.definition,
                    });
                    let ix = universe.parties.len() - 1;
                    let program = (role_ix, member.content, member.definition);
                    universe.by_program.entry(program).or_default().push(ix);
                    ix
                });
                if let Some(version) = version {
                    universe.parties[party].versions.push(version);
                    universe.by_version.insert((role_ix, version), party);
                }
            }
        }
        universe
    }

    /// The index of a check.
    pub fn check_ix(&self, name: &CheckName) -> Option<CheckIx> {
        self.checks.get(name).copied()
    }

    /// The index of a role.
    pub fn role_ix(&self, name: &RoleName) -> Option<RoleIx> {
        self.roles.get(name).copied()
    }

    /// The index of a version.
    pub fn version_ix(&self, id: &VersionId) -> Option<VersionIx> {
        self.versions.get(id).copied()
    }

    /// The party that plays a role at a version; none when it was not built or does not exist there.
    pub fn party_at(&self, role: RoleIx, version: VersionIx) -> Option<PartyIx> {
        self.by_version.get(&(role, version)).copied()
    }

    /// The only party of a pinned role.
    pub fn pinned_party(&self, role: RoleIx) -> Option<PartyIx> {
        self.parties.iter().position(|party| party.role == role)
    }

    /// Whether a role's version is an axis of the matrix.
    pub fn is_axis(&self, role: RoleIx) -> bool {
        self.matrix.roles[role].kind == RoleKind::Matrix
    }

    /// The roles whose version is an axis.
    pub fn axis_roles(&self) -> impl Iterator<Item = RoleIx> + '_ {
        (0..self.matrix.roles.len()).filter(|role| self.is_axis(*role))
    }

    /// The party seated somewhere in recorded evidence; a program that has left the matrix gets a number of its own.
    /// `None` when the role is gone, its definition has changed, or it is pinned to another program now.
    pub fn seated(&mut self, seat: &Seat) -> Option<PartyIx> {
        let role = self.role_ix(&seat.party.role)?;
        let program = (role, seat.content, seat.definition);
        if let Some(parties) = self.by_program.get(&program) {
            let version = self.version_ix(&seat.party.version);
            let same =
                parties.iter().copied().find(|p| version.is_some_and(|v| self.parties[*p].versions.contains(&v)));
            return Some(same.unwrap_or(parties[0]));
        }
        if !self.is_axis(role) || !self.definitions[role].contains(&seat.definition) {
            return None;
        }
        self.parties.push(PartyInfo {
            role,
            versions: Vec::new(),
            label: seat.party.clone(),
            content: seat.content,
            definition: seat.definition,
        });
        let ix = self.parties.len() - 1;
        self.by_program.insert(program, vec![ix]);
        Some(ix)
    }

    /// Whether a party has left the matrix.
    pub fn is_foreign(&self, party: PartyIx) -> bool {
        self.parties[party].versions.is_empty() && self.is_axis(self.parties[party].role)
    }

    /// The versions that a cell's parties are; a pinned party has no say in it.
    pub fn versions_of(&self, sub: &Sub) -> BTreeSet<VersionIx> {
        let parties = sub.parties().into_iter().filter(|p| self.is_axis_or_follows(*p));
        parties.flat_map(|p| self.parties[p].versions.clone()).collect()
    }

    /// The cells that one observation names: every ordered pair of those who took part, or the only party.
    pub fn named(&self, point: usize, check: CheckIx, tuple: &Tuple) -> Vec<Key> {
        let key = |sub| Key { point, check, sub };
        let axis = &self.matrix.checks[check];
        let Scope::Pair { symmetric, .. } = &axis.scope else {
            return match (&axis.scope, tuple.from, tuple.to) {
                (Scope::Network, Some(a), Some(b)) => vec![key(Sub::symmetric(a, b))],
                (_, Some(a), _) => vec![key(Sub::Alone(a))],
                _ => Vec::new(),
            };
        };
        let pair = |a, b| key(if *symmetric { Sub::symmetric(a, b) } else { Sub::Ordered(a, b) });
        let mut cells = Vec::new();
        let (Some(from), Some(to)) = (tuple.from, tuple.to) else {
            return cells;
        };
        cells.push(pair(from, to));
        let takes_part = |p: &&PartyIx| self.is_axis(self.parties[**p].role);
        for via in tuple.via.iter().filter(takes_part) {
            cells.push(pair(from, *via));
            cells.push(pair(*via, to));
        }
        if let Some(reporter) = tuple.reporter.filter(|r| self.is_axis(self.parties[*r].role)) {
            for other in [from, to].iter().chain(tuple.via.iter()) {
                if *other != reporter {
                    cells.push(pair(reporter, *other));
                }
            }
        }
        cells.sort();
        cells.dedup();
        cells
    }

    /// Every cell of the matrix at one axis point, in order.
    pub fn enumerate(&self, point: usize) -> Vec<Key> {
        let mut cells = BTreeSet::new();
        for (check, axis) in self.matrix.checks.iter().enumerate() {
            let mut add = |sub| cells.insert(Key { point, check, sub });
            let of = |name: &RoleName| -> Vec<PartyIx> {
                let role = self.role_ix(name);
                (0..self.parties.len())
                    .filter(|p| Some(self.parties[*p].role) == role && !self.is_foreign(*p))
                    .collect()
            };
            match &axis.scope {
                Scope::Node { roles } => {
                    for party in roles.iter().flat_map(of).filter(|p| self.is_axis_or_follows(*p)) {
                        add(Sub::Alone(party));
                    }
                }
                Scope::Network => {
                    let main = self.main_role();
                    let parties: Vec<PartyIx> = main.map(|r| of(&self.matrix.roles[r].name)).unwrap_or_default();
                    for a in &parties {
                        for b in parties.iter().filter(|b| *b >= a) {
                            add(Sub::symmetric(*a, *b));
                        }
                    }
                }
                Scope::Pair { from, to, via, symmetric } => {
                    let mut pairs: Vec<(&RoleName, &RoleName)> = vec![(from, to)];
                    let is_matrix = |role: &&RoleName| self.role_ix(role).is_some_and(|r| self.is_axis(r));
                    for via in via.iter().filter(is_matrix) {
                        pairs.push((from, via));
                        pairs.push((via, to));
                    }
                    if let Some(reporter) = axis.reporter.as_ref().filter(is_matrix) {
                        pairs.extend([from, to].into_iter().chain(via).map(|other| (reporter, other)));
                    }
                    for (a_role, b_role) in pairs {
                        let (many_a, many_b) = (of(a_role), of(b_role));
                        for a in &many_a {
                            for b in &many_b {
                                add(if *symmetric { Sub::symmetric(*a, *b) } else { Sub::Ordered(*a, *b) });
                            }
                        }
                    }
                }
            }
        }
        cells.into_iter().collect()
    }

    fn is_axis_or_follows(&self, party: PartyIx) -> bool {
        !matches!(self.matrix.roles[self.parties[party].role].kind, RoleKind::Pinned(_))
    }

    /// The role that a check on the whole network is about: the one with the most seats.
    pub fn main_role(&self) -> Option<RoleIx> {
        self.axis_roles().max_by_key(|role| (self.matrix.roles[*role].count.get(), usize::MAX - *role))
    }

    /// Whether the check does not exist for one of the parties.
    pub fn is_unsupported(&self, key: &Key) -> bool {
        let missing = &self.matrix.checks[key.check].unsupported;
        key.sub.parties().iter().any(|p| {
            let versions = &self.parties[*p].versions;
            !versions.is_empty() && versions.iter().all(|v| missing.contains(&self.matrix.versions[*v].id))
        })
    }

    /// A cell in words, for the parties' first versions.
    pub fn cell(&self, key: &Key) -> Cell {
        let label = |p: &PartyIx| self.parties[*p].label.clone();
        let subject = match &key.sub {
            Sub::Alone(a) => Subject::Alone(label(a)),
            Sub::Ordered(a, b) => Subject::Ordered(label(a), label(b)),
            Sub::Symmetric(a, b) => Subject::symmetric(label(a), label(b)),
            Sub::Set(set) => Subject::Set(set.iter().map(label).collect()),
        };
        Cell { check: self.matrix.checks[key.check].name.clone(), subject, axes: self.points[key.point].clone() }
    }

    /// A cell in words, for every combination of versions that the parties are.
    pub fn cells(&self, key: &Key) -> Vec<Cell> {
        let labels = |p: &PartyIx| -> Vec<Party> {
            let info = &self.parties[*p];
            let role = &self.matrix.roles[info.role].name;
            match info.versions.is_empty() {
                true => vec![info.label.clone()],
                false => info.versions.iter().map(|v| Party::new(role, &self.matrix.versions[*v].id)).collect(),
            }
        };
        let subjects: Vec<Subject> = match &key.sub {
            Sub::Alone(a) => labels(a).into_iter().map(Subject::Alone).collect(),
            Sub::Ordered(a, b) => {
                let (many_a, many_b) = (labels(a), labels(b));
                many_a.iter().flat_map(|a| many_b.iter().map(|b| Subject::Ordered(a.clone(), b.clone()))).collect()
            }
            Sub::Symmetric(a, b) => {
                let (many_a, many_b) = (labels(a), labels(b));
                let pairs = many_a.iter().flat_map(|a| many_b.iter().map(|b| Subject::symmetric(a.clone(), b.clone())));
                pairs.collect::<BTreeSet<_>>().into_iter().collect()
            }
            Sub::Set(_) => vec![self.cell(key).subject],
        };
        let check = &self.matrix.checks[key.check].name;
        let axes = &self.points[key.point];
        subjects.into_iter().map(|subject| Cell { check: check.clone(), subject, axes: axes.clone() }).collect()
    }

    /// The small-number form of a cell; `None` when the matrix does not have it.
    pub fn key(&self, cell: &Cell) -> Option<Key> {
        let point = self.points.iter().position(|point| *point == cell.axes)?;
        let check = self.check_ix(&cell.check)?;
        let party = |party: &Party| -> Option<PartyIx> {
            let role = self.role_ix(&party.role)?;
            match self.version_ix(&party.version).and_then(|version| self.party_at(role, version)) {
                Some(ix) => Some(ix),
                None => self.parties.iter().position(|info| info.label == *party),
            }
        };
        let sub = match &cell.subject {
            Subject::Alone(a) => Sub::Alone(party(a)?),
            Subject::Ordered(a, b) => Sub::Ordered(party(a)?, party(b)?),
            Subject::Symmetric(a, b) => Sub::symmetric(party(a)?, party(b)?),
            Subject::Set(set) => {
                let mut parties: Vec<PartyIx> = set.iter().map(party).collect::<Option<_>>()?;
                parties.sort_unstable();
                Sub::Set(parties)
            }
        };
        Some(Key { point, check, sub })
    }

    /// Whether an ok of a check shows that exactly the named nodes understood each other.
    pub fn is_direct(&self, check: CheckIx) -> bool {
        let axis = &self.matrix.checks[check];
        axis.direct && axis.scope != Scope::Network
    }

    /// How far apart two versions are in the same source; `None` for different sources.
    pub fn distance(&self, a: VersionIx, b: VersionIx) -> Option<u32> {
        let (a, b) = (&self.matrix.versions[a], &self.matrix.versions[b]);
        (a.source == b.source).then(|| a.order.abs_diff(b.order))
    }
}

fn sorted_members(matrix: &Matrix, role: RoleIx) -> Vec<(&VersionId, &Result<Member, Unbuilt>)> {
    let place: BTreeMap<&VersionId, usize> = matrix.versions.iter().enumerate().map(|(ix, v)| (&v.id, ix)).collect();
    let mut members: Vec<_> = matrix.roles[role].members.iter().collect();
    members.sort_by_key(|(id, _)| place.get(id).copied().unwrap_or(usize::MAX));
    members
}

fn points(matrix: &Matrix) -> Vec<AxisPoint> {
    let mut points = vec![AxisPoint::new()];
    for axis in &matrix.axes {
        points = points
            .iter()
            .flat_map(|point| {
                axis.values.iter().map(|value| {
                    let mut point = point.clone();
                    point.insert(axis.name.clone(), value.clone());
                    point
                })
            })
            .collect();
    }
    points
}
