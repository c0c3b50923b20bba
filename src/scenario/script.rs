//! How a network's nodes are started, written down without starting them.

use std::collections::BTreeMap;
use std::sync::Arc;

use skew_core::model::{NetworkPlan, NodeName, Version, VersionId};
use skew_deploy::{Launch, LaunchFile, Place, Redactor};
use skew_spec::{Role, Spec};

use super::render::{RenderError, Renderer};

/// How one node is started.
#[derive(Debug, Clone)]
pub struct Start {
    /// The node.
    pub node: NodeName,
    /// Its role as it holds at its version.
    pub role: Arc<Role>,
    /// Its version.
    pub version: VersionId,
    /// What runs in it before it starts, in order.
    pub init: Vec<Vec<String>>,
    /// How it starts then.
    pub launch: Launch,
}

/// How every node of a network is started, templates filled in, in the order of its seats. Drivers are left out: they
/// speak to skew. `address` says what stands for a node's address; images are at the root of their nodes.
///
/// # Errors
/// When a template names what is not there, or a seat's role or version is not known.
pub fn starts(
    spec: &Spec,
    plan: &NetworkPlan,
    versions: &BTreeMap<VersionId, Version>,
    places: &[Place],
    address: &dyn Fn(&Place) -> String,
) -> Result<Vec<Start>, RenderError> {
    let renderer = Renderer::named(&spec.system, plan, places, &Arc::new(Redactor::default()), address);
    let mut all = Vec::new();
    for seat in &plan.seats {
        let drives = spec.drivers.iter().any(|driver| driver.role == seat.party.role);
        let (Some(version), false) = (versions.get(&seat.party.version), drives) else { continue };
        let role = spec.role_at(&seat.party.role, version);
        if !role.external.is_empty() {
            continue;
        }
        let context = renderer.context(&seat.node);
        let text = |template| renderer.text(template, &context);
        let argv = match (role.run.is_empty(), &role.recipe) {
            (true, Some(recipe)) => recipe.entrypoint.clone(),
            _ => renderer.texts(&role.run, &context)?,
        };
        let env = role.env.iter().map(|(key, value)| Ok((key.clone(), text(value)?)));
        let files = role.config.iter().map(|(path, file)| {
            let bytes = text(&file.template)?.into_bytes();
            Ok(LaunchFile { path: path.clone(), bytes, mode: file.mode, secret: file.secret })
        });
        let launch = Launch { argv, env: env.collect::<Result<_, _>>()?, files: files.collect::<Result<_, _>>()? };
        let init = role.init.iter().map(|step| renderer.texts(&step.run, &context)).collect::<Result<_, _>>()?;
        all.push(Start { node: seat.node.clone(), version: seat.party.version.clone(), role, init, launch });
    }
    Ok(all)
}
