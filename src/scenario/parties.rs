//! Whom a check is about: the nodes of a network that it must work between.

use skew_core::model::{CheckName, NodeName, RoleName, Scope};
use skew_spec::Check;

use super::scene::{Actor, Scene};

/// The nodes that one observation of a check names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tuple {
    /// Who acts, or the only node.
    pub from: Option<NodeName>,
    /// Who is acted upon.
    pub to: Option<NodeName>,
    /// Who takes part.
    pub via: Vec<NodeName>,
}

impl Tuple {
    /// Every node it names.
    pub(super) fn nodes(&self) -> Vec<&NodeName> {
        self.from.iter().chain(&self.to).chain(&self.via).collect()
    }
}

/// Every tuple of a check, given the nodes of each role in their order.
pub(super) fn tuples(scope: &Scope, of: &dyn Fn(&RoleName) -> Vec<NodeName>) -> Vec<Tuple> {
    match scope {
        Scope::Network => vec![Tuple { from: None, to: None, via: Vec::new() }],
        Scope::Node { roles } => {
            let nodes = roles.iter().flat_map(of);
            nodes.map(|node| Tuple { from: Some(node), to: None, via: Vec::new() }).collect()
        }
        Scope::Pair { from, to, via, symmetric } => {
            let (froms, tos) = (of(from), of(to));
            let mut tuples = Vec::new();
            for (i, a) in froms.iter().enumerate() {
                for (j, b) in tos.iter().enumerate() {
                    let twice = *symmetric && from == to && j <= i;
                    if a == b || twice {
                        continue;
                    }
                    for via in combinations(via, of, &[a, b]) {
                        tuples.push(Tuple { from: Some(a.clone()), to: Some(b.clone()), via });
                    }
                }
            }
            tuples
        }
    }
}

/// One node of each role, in every way; nobody takes part twice.
fn combinations(
    roles: &[RoleName],
    of: &dyn Fn(&RoleName) -> Vec<NodeName>,
    taken: &[&NodeName],
) -> Vec<Vec<NodeName>> {
    let mut all = vec![Vec::new()];
    for role in roles {
        let mut longer = Vec::new();
        for chosen in &all {
            for node in of(role).into_iter().filter(|node| !taken.contains(&node) && !chosen.contains(node)) {
                let mut chosen: Vec<NodeName> = chosen.clone();
                chosen.push(node);
                longer.push(chosen);
            }
        }
        all = longer;
    }
    all
}

impl Scene<'_> {
    /// Every tuple of a check.
    pub(super) fn tuples(&self, scope: &Scope) -> Vec<Tuple> {
        tuples(scope, &|role| self.of_role(role).map(|actor| actor.name().clone()).collect())
    }

    /// A check as it holds between these nodes.
    pub(super) fn check_between(&self, check: &CheckName, tuple: &Tuple) -> Check {
        let nodes = tuple.nodes();
        let versions: Vec<_> = if nodes.is_empty() {
            self.actors.iter().map(|actor| &actor.version).collect()
        } else {
            nodes.iter().filter_map(|node| self.actor(node)).map(|actor| &actor.version).collect()
        };
        self.spec.check_at(check, &versions)
    }
}

/// Towards whom an `init` step of a node is an observation: the node that is acted upon, and who takes part.
pub(super) fn targets(scene: &Scene<'_>, check: &CheckName, actor: &Actor) -> Vec<(Option<NodeName>, Vec<NodeName>)> {
    let Some(check) = scene.spec.checks.iter().find(|known| known.name == *check) else { return Vec::new() };
    let own = scene.tuples(&check.scope).into_iter().filter(|tuple| match &check.scope {
        Scope::Pair { symmetric: true, .. } => tuple.nodes().contains(&actor.name()),
        Scope::Pair { .. } | Scope::Node { .. } => tuple.from.as_ref() == Some(actor.name()),
        Scope::Network => true,
    });
    own.map(|tuple| {
        let to = if tuple.to.as_ref() == Some(actor.name()) { tuple.from } else { tuple.to };
        (to, tuple.via)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(scope: &Scope) -> String {
        let of = |role: &RoleName| -> Vec<NodeName> {
            let count = match role.as_str() {
                "node" => 3,
                "notary" => 2,
                _ => 1,
            };
            (0..count).map(|n| NodeName::of(role, n)).collect()
        };
        let name = |node: &Option<NodeName>| node.as_ref().map_or(String::new(), ToString::to_string);
        let one = |tuple: &Tuple| {
            let via: String = tuple.via.iter().map(|node| format!(" via {node}")).collect();
            format!("{}>{}{via}", name(&tuple.from), name(&tuple.to))
        };
        tuples(scope, &of).iter().map(one).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn tuples_are_every_choice_of_nodes() {
        let role = |name: &str| RoleName::new(name).unwrap();
        let pair = |from, to, via: &[&str], symmetric| Scope::Pair {
            from: role(from),
            to: role(to),
            via: via.iter().map(|name| role(name)).collect(),
            symmetric,
        };
        for (scope, want) in [
            (Scope::Network, ">"),
            (Scope::Node { roles: vec![role("notary"), role("one")] }, "notary-0>, notary-1>, one-0>"),
            (pair("notary", "notary", &[], false), "notary-0>notary-1, notary-1>notary-0"),
            (pair("notary", "notary", &[], true), "notary-0>notary-1"),
            (pair("one", "notary", &[], true), "one-0>notary-0, one-0>notary-1"),
            (
                pair("one", "notary", &["node"], false).clone(),
                "one-0>notary-0 via node-0, one-0>notary-0 via node-1, one-0>notary-0 via node-2, one-0>notary-1 via node-0, one-0>notary-1 via node-1, one-0>notary-1 via node-2",
            ),
            (pair("notary", "one", &["notary"], false), "notary-0>one-0 via notary-1, notary-1>one-0 via notary-0"),
            (pair("one", "one", &[], false), ""),
        ] {
            assert_eq!(list(&scope), want, "{scope:?}");
        }
    }
}
