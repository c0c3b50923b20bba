//! Networks that a person brought up: how the verbs that use one find it.

use std::path::Path;
use std::sync::Arc;

use skew_core::model::NodeName;
use skew_deploy::{Backend, Leftover, Network, Place};

use super::Globals;
use super::error::CliError;
use crate::sweep::closest_name;

/// A network that was kept, and where it is.
pub(super) struct Kept {
    /// The network.
    pub network: Leftover,
    /// Where it runs.
    pub backend: Arc<dyn Backend>,
}

/// The networks that were kept, in the order of their names.
pub(super) async fn kept(backends: &[Arc<dyn Backend>]) -> Result<Vec<Kept>, CliError> {
    let mut kept = Vec::new();
    for backend in backends {
        let networks = backend.leftovers().await?.into_iter().filter(|network| network.kept);
        kept.extend(networks.map(|network| Kept { network, backend: Arc::clone(backend) }));
    }
    kept.sort_by(|a, b| a.network.id.cmp(&b.network.id));
    Ok(kept)
}

/// The network of that name, or the only one there is.
pub(super) async fn choose(backends: &[Arc<dyn Backend>], name: Option<&str>) -> Result<Kept, CliError> {
    let mut kept = kept(backends).await?;
    let names = || kept.iter().map(|kept| kept.network.id.clone()).collect::<Vec<_>>();
    match (name, kept.len()) {
        (_, 0) => Err(CliError::Usage {
            message: "no network is up".to_owned(),
            hint: "bring one up with `skew up`, or keep one with `skew run NETWORK --keep`".to_owned(),
        }),
        (None, 1) => Ok(kept.remove(0)),
        (None, _) => Err(CliError::Usage {
            message: format!("several networks are up: {}", names().join(", ")),
            hint: "name one with `--network`".to_owned(),
        }),
        (Some(name), _) => match kept.iter().position(|kept| kept.network.id == name) {
            Some(at) => Ok(kept.remove(at)),
            None => Err(CliError::Usage {
                message: format!("no network {name:?} is up"),
                hint: match closest_name(name, names()) {
                    Some(closest) => format!("did you mean {closest}?"),
                    None => "`skew ps` lists those that are".to_owned(),
                },
            }),
        },
    }
}

/// Attaches to the network of that name, or to the only one there is.
pub(super) async fn adopt(backends: &[Arc<dyn Backend>], name: Option<&str>) -> Result<Arc<dyn Network>, CliError> {
    let Kept { network, backend } = choose(backends, name).await?;
    Ok(backend.adopt(&network.id).await?)
}

/// Where a network's node is.
pub(super) fn place(network: &dyn Network, node: &str) -> Result<Place, CliError> {
    let places = network.places();
    let names = || places.iter().map(|place| place.node.to_string());
    places.iter().find(|place| place.node.as_str() == node).cloned().ok_or_else(|| CliError::Usage {
        message: format!("the network has no node {node:?}"),
        hint: match closest_name(node, names()) {
            Some(closest) => format!("did you mean {closest}?"),
            None => format!("its nodes are {}", names().collect::<Vec<_>>().join(", ")),
        },
    })
}

/// The nodes that were named, or all.
pub(super) fn nodes(network: &dyn Network, named: &[String]) -> Result<Vec<NodeName>, CliError> {
    if named.is_empty() {
        return Ok(network.places().into_iter().map(|place| place.node).collect());
    }
    named.iter().map(|node| Ok(place(network, node)?.node)).collect()
}

/// The backends that networks of a spec's state directory ran on, for verbs that need neither versions nor images.
pub(super) async fn backends(globals: &Globals, spec: Option<&Path>) -> Result<Vec<Arc<dyn Backend>>, CliError> {
    let state = globals.state_of(spec)?;
    let layout = Arc::new(skew_image::Layout::open(&state.layout())?);
    let mut reached = Vec::new();
    for (spec, backend) in crate::sweep::backends(&state, &globals.host(), &layout).await? {
        // Whether it answers is known when it did.
        let answers = match backend {
            Ok(backend) => backend.leftovers().await.map(|_| backend),
            Err(error) => Err(error),
        };
        match answers {
            Ok(backend) => reached.push(backend),
            Err(error) => globals.say(&format!("note: cannot reach {}: {}", spec.kind.word(), error.chain())),
        }
    }
    Ok(reached)
}
