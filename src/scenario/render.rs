//! Templates with a network's values filled in.
//!
//! What stands in a template of a node: `self` (name, role, version, address, bind, ports, root, data, dir, index),
//! `nodes.ROLE` (a list, `self` included), `peers.ROLE` (the same without `self`), `root` and `version` (those of
//! `self`), `axes`, `seed`, `nonce`, `network`, `system`, and `secret('name')`: random, the same everywhere in one
//! network, and never shown. The steps of a check also have `from`, `to`, `node`, `via` (the first node that takes part;
//! `via.ROLE` for each), and what earlier steps captured.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::{Environment, Value};
use skew_core::model::{NetworkPlan, NodeName, RoleName, Seat};
use skew_core::text::shorten;
use skew_deploy::{Place, Redactor};
use skew_spec::{Template, template_environment};

/// A template that cannot be filled in; never the system's failure.
#[derive(Debug, thiserror::Error)]
#[error("fill in the template {template:?}")]
pub struct RenderError {
    template: String,
    #[source]
    source: minijinja::Error,
}

/// Fills in the templates of one network.
pub(super) struct Renderer {
    environment: Environment<'static>,
    base: BTreeMap<String, Value>,
    nodes: BTreeMap<NodeName, (RoleName, Value)>,
    peers: BTreeMap<NodeName, Value>,
}

impl Renderer {
    /// A renderer for the nodes at these places. Secrets are made when they are first named, and hidden from then on.
    pub(super) fn new(system: &str, plan: &NetworkPlan, places: &[Place], redactor: &Arc<Redactor>) -> Self {
        Self::named(system, plan, places, redactor, &|place| place.address.to_string())
    }

    /// The same, with another text as the address of a node, such as a host name.
    pub(super) fn named(
        system: &str,
        plan: &NetworkPlan,
        places: &[Place],
        redactor: &Arc<Redactor>,
        address: &dyn Fn(&Place) -> String,
    ) -> Self {
        let mut environment = template_environment();
        let (redactor, secrets) = (Arc::clone(redactor), Mutex::new(BTreeMap::<String, String>::new()));
        environment.add_function("secret", move |name: String| -> String {
            let mut secrets = secrets.lock().unwrap_or_else(PoisonError::into_inner);
            let make = || {
                let secret = data_encoding::HEXLOWER.encode(&rand::random::<[u8; 20]>());
                redactor.hide(&secret);
                secret
            };
            secrets.entry(name).or_insert_with(make).clone()
        });
        let mut nodes = BTreeMap::new();
        let mut roles: BTreeMap<RoleName, usize> = BTreeMap::new();
        for seat in &plan.seats {
            let index = roles.entry(seat.party.role.clone()).or_default();
            if let Some(place) = places.iter().find(|place| place.node == seat.node) {
                nodes.insert(seat.node.clone(), (seat.party.role.clone(), node(seat, place, &address(place), *index)));
            }
            *index += 1;
        }
        let axes: BTreeMap<String, Value> =
            plan.axes.iter().map(|(axis, value)| (axis.to_string(), Value::from(value.as_str()))).collect();
        let base = [
            ("nodes", by_role(plan, &nodes, None)),
            ("axes", Value::from(axes)),
            ("seed", Value::from(plan.seed)),
            ("nonce", Value::from(nonce(plan, &[]))),
            ("network", Value::from(plan.id.0.as_str())),
            ("system", Value::from(system)),
        ];
        let base = base.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let peers = nodes.keys().map(|node| (node.clone(), by_role(plan, &nodes, Some(node)))).collect();
        Self { environment, base, nodes, peers }
    }

    /// What a template of this node sees.
    pub(super) fn context(&self, node: &NodeName) -> BTreeMap<String, Value> {
        let mut context = self.base.clone();
        context.insert("peers".to_owned(), self.peers.get(node).cloned().unwrap_or_default());
        let view = self.view(node);
        for key in ["root", "version"] {
            context.insert(key.to_owned(), view.get_attr(key).unwrap_or_default());
        }
        context.insert("self".to_owned(), view);
        context
    }

    /// A node as templates see it.
    pub(super) fn view(&self, node: &NodeName) -> Value {
        self.nodes.get(node).map(|(_, view)| view.clone()).unwrap_or_default()
    }

    /// The nodes that take part, as templates see them: the first one's values, and each under its role.
    pub(super) fn via(&self, nodes: &[NodeName]) -> Value {
        let mut via: BTreeMap<String, Value> = BTreeMap::new();
        if let Some(first) = nodes.first() {
            let view = self.view(first);
            for key in NODE_KEYS {
                via.insert(key.to_owned(), view.get_attr(key).unwrap_or_default());
            }
        }
        for node in nodes {
            if let Some((role, view)) = self.nodes.get(node) {
                via.insert(role.to_string(), view.clone());
            }
        }
        Value::from(via)
    }

    /// The text of a template.
    ///
    /// # Errors
    /// When it names what is not there.
    pub(super) fn text(&self, template: &Template, context: &BTreeMap<String, Value>) -> Result<String, RenderError> {
        let failed = |source| RenderError { template: shorten(&template.0, 200).into_owned(), source };
        self.environment.render_str(&template.0, Value::from(context.clone())).map_err(failed)
    }

    /// The texts of some templates: a program and its arguments. No shell ever sees them.
    ///
    /// # Errors
    /// When one names what is not there.
    pub(super) fn texts(
        &self,
        templates: &[Template],
        context: &BTreeMap<String, Value>,
    ) -> Result<Vec<String>, RenderError> {
        templates.iter().map(|template| self.text(template, context)).collect()
    }
}

const NODE_KEYS: [&str; 10] = ["name", "role", "version", "address", "bind", "ports", "root", "data", "dir", "index"];

fn node(seat: &Seat, place: &Place, address: &str, index: usize) -> Value {
    let ports: BTreeMap<String, Value> =
        place.ports.iter().map(|(name, port)| (name.to_string(), Value::from(*port))).collect();
    let value = |key: &str| match key {
        "name" => Value::from(seat.node.as_str()),
        "role" => Value::from(seat.party.role.as_str()),
        "version" => Value::from(seat.party.version.as_str()),
        "address" => Value::from(address),
        "bind" => Value::from(place.bind.to_string()),
        "ports" => Value::from(ports.clone()),
        "root" => Value::from(place.root.as_str()),
        "data" => Value::from(place.data.as_str()),
        "dir" => Value::from(place.dir.as_str()),
        _ => Value::from(index),
    };
    Value::from(NODE_KEYS.iter().map(|key| ((*key).to_owned(), value(key))).collect::<BTreeMap<_, _>>())
}

fn by_role(plan: &NetworkPlan, nodes: &BTreeMap<NodeName, (RoleName, Value)>, without: Option<&NodeName>) -> Value {
    let mut roles: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for seat in &plan.seats {
        let list = roles.entry(seat.party.role.to_string()).or_default();
        if let Some((_, view)) = nodes.get(&seat.node).filter(|_| Some(&seat.node) != without) {
            list.push(view.clone());
        }
    }
    Value::from(roles.into_iter().map(|(role, list)| (role, Value::from(list))).collect::<BTreeMap<_, _>>())
}

/// A text that no other check, pair or seed has, the same each time.
pub(super) fn nonce(plan: &NetworkPlan, parts: &[&str]) -> String {
    let mut digest = skew_core::model::DigestBuilder::new("nonce");
    digest.text(&plan.seed.to_string()).text(&plan.id.0);
    for part in parts {
        digest.text(part);
    }
    digest.finish().hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{place, plan};
    use super::*;

    fn render(text: &str, node: &str) -> Result<String, RenderError> {
        let plan = plan(&["notary-0@v1", "node-0@v1", "node-1@v2"]);
        let places: Vec<Place> = plan.seats.iter().enumerate().map(|(n, seat)| place(seat, n)).collect();
        let renderer = Renderer::new("ledger", &plan, &places, &Arc::default());
        let context = renderer.context(&NodeName::new(node).unwrap());
        renderer.text(&Template(text.to_owned()), &context)
    }

    #[test]
    fn templates_are_filled_in() {
        for (text, want) in [
            ("{{ self.bind }}:{{ self.ports.api }}", "127.64.0.3:7000"),
            ("{{ nodes.notary[0].address }}", "127.64.0.1"),
            ("{{ nodes.node | length }}/{{ peers.node | length }}/{{ peers.notary | length }}", "2/1/1"),
            ("{% for n in peers.node %}{{ n.name }}@{{ n.version }}{% endfor %}", "node-0@v1"),
            ("{{ self.index }} {{ version }} {{ root }}", "1 v2 /images/node-1"),
            ("{{ axes.database }} {{ seed }} {{ network }} {{ system }}", "h2 7 net ledger"),
            ("{{ secret('a') == secret('a') and secret('a') != secret('b') }}", "True"),
            ("<&\">\n", "<&\">\n"),
        ] {
            assert_eq!(render(text, "node-1").unwrap(), want, "{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        for text in ["{{ nothing }}", "{{ self.nothing }}", "{{ nodes.notary[3].address }}", "{{ from.name }}"] {
            assert!(render(text, "node-1").is_err(), "{text}");
        }
    }

    #[test]
    fn secrets_are_hidden_at_once() {
        let plan = plan(&["node-0@v1"]);
        let redactor = Arc::new(Redactor::default());
        let renderer = Renderer::new("ledger", &plan, &[place(&plan.seats[0], 0)], &redactor);
        let context = renderer.context(&plan.seats[0].node);
        let secret = renderer.text(&Template("{{ secret('rpc') }}".to_owned()), &context).unwrap();
        assert_eq!(redactor.redact(&format!("password={secret}")), "password=[secret]");
    }
}
