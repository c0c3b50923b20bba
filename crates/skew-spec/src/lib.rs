//! The spec: text → raw (with places) → resolved [`Spec`].
//!
//! All errors are found at once, each with its source line, a label and a hint. This room reads the spec's file and
//! the files it names (recipes, config templates, lists of revisions); it never touches git, the network or a clock.
//!
//! `tree` reads TOML and keeps every key's and value's place, `overrides` puts `--set` and `SKEW_…` into it, `decode`
//! turns it into the types of `raw` and `raw_recipe`, `definitions` applies `extends` and `[[when]]`, `resolve`
//! checks everything that one table cannot know of another, `whole` puts the [`Spec`] together, and `identity` has the
//! digests that evidence is bound to.

mod append;
mod backend;
mod decode;
mod definitions;
mod identity;
mod keys;
mod leaf;
mod load;
mod overrides;
mod problem;
mod raw;
mod raw_recipe;
mod resolve;
mod schema;
mod selector;
mod snapshot;
mod template;
#[cfg(test)]
mod tests;
mod tree;
mod types;
mod version_reads;
mod whole;

pub use append::{AppendError, KnownBlock, append_known, known_blocks};
pub use backend::{BackendKind, BackendSpec, DockerSpec, KubernetesSpec};
pub use load::{BLANK, load, parse};
pub use overrides::Overrides;
pub use problem::{SpecError, SpecErrors};
pub use schema::{recipe_schema, schema};
pub use selector::SelectorError;
pub use snapshot::{SpecSnapshot, snapshot};
pub use template::template_environment;
pub use types::*;
pub use whole::{MentionedRevisions, Spec};
