//! What recipes need of the machine: programs that must be there, and services that must work. Looks, and builds nothing that
//! anybody asked for.

use std::collections::BTreeMap;

use super::dockerfile;
use super::nix;
use super::tools::Machine;
use crate::spec::{Recipe, RecipeKind};

/// Something that recipes need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The program's or the service's name.
    pub name: String,
    /// Where it is or which one it is; or what is wrong, and what helps.
    pub state: Result<String, (String, Remedy)>,
}

/// What helps where a need is not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The program has to be installed.
    Install,
    /// Nix is there and cannot build.
    Nix,
    /// Docker does not answer.
    Docker,
}

/// Everything that these recipes need, each once.
pub(super) fn all<'a>(
    machine: &Machine,
    docker: Option<&str>,
    recipes: impl IntoIterator<Item = &'a Recipe>,
) -> Vec<Need> {
    let mut programs = BTreeMap::new();
    let (mut nix, mut dockerfile) = (false, false);
    for recipe in recipes {
        for (name, found) in machine.programs(recipe) {
            let known = programs.entry(name).or_insert_with(|| found.clone());
            // Two recipes may look in different places.
            *known = known.take().and(found);
        }
        nix |= matches!(recipe.kind, RecipeKind::Nix(_));
        dockerfile |= matches!(recipe.kind, RecipeKind::Dockerfile(_));
    }
    let absent = || ("not on PATH".to_owned(), Remedy::Install);
    let mut needs: Vec<Need> = programs
        .into_iter()
        .map(|(name, found)| {
            let state = match found {
                Some(program) if nix && name == nix::PROGRAM => {
                    nix::probe(machine, &program).map_err(|why| (why, Remedy::Nix))
                }
                found => found.map(|program| program.display().to_string()).ok_or_else(absent),
            };
            Need { name: name.to_owned(), state }
        })
        .collect();
    if dockerfile {
        let state = dockerfile::probe(docker).map_err(|why| (why, Remedy::Docker));
        needs.push(Need { name: "docker engine".to_owned(), state });
    }
    needs
}
