//! What a driver is told about its network before it starts.

use serde_json::json;
use skew_core::model::CheckName;
use skew_deploy::{Launch, LaunchFile};

use super::scene::{Actor, Scene};
use super::stopped::Stopped;

/// The file that tells a driver about its network, below the node's directory.
const NETWORK: &str = "network.json";

impl Scene<'_> {
    /// Tells a driver about its network: `$SKEW_NETWORK` names the file.
    pub(super) fn equip(&self, actor: &Actor, launch: &mut Launch) -> Result<(), Stopped> {
        let places = self.network.places();
        let mut dir = String::new();
        let mut nodes = Vec::new();
        for place in &places {
            if place.node == *actor.name() {
                dir.clone_from(&place.dir);
            }
            let Some(other) = self.actor(&place.node) else { continue };
            nodes.push(json!({
                "name": place.node,
                "role": other.seat.party.role,
                "version": other.seat.party.version,
                "address": place.address,
                "ports": place.ports,
                "ready": self.is_ready(&place.node),
                "generation": 0,
            }));
        }
        let role = &actor.seat.party.role;
        let reports = self.spec.checks.iter().filter(|check| check.how_driver() == Some(role));
        let checks: Vec<&CheckName> = reports.map(|check| &check.name).collect();
        let network = json!({
            "network": self.plan.id,
            "system": self.spec.system,
            "seed": self.plan.seed,
            "self": actor.name(),
            "axes": self.plan.axes,
            "checks": checks,
            "nodes": nodes,
        });
        let bytes = network.to_string().into_bytes();
        launch.files.push(LaunchFile { path: NETWORK.to_owned(), bytes, mode: 0o644, secret: false });
        launch.env.insert("SKEW_NETWORK".to_owned(), format!("{dir}/{NETWORK}"));
        Ok(())
    }
}
