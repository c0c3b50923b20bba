//! Registries: sends a layout's images there and fetches them from there, over the OCI distribution protocol. Also
//! single files, as artifacts.
//!
//! It sees hosts, repositories and tags, and decides nothing about which image is wanted; it keeps nothing on the disk but
//! what goes into the layout; it never shows a secret.
//!
//! The layer over HTTP is our own. `oci-client` sends blobs without asking whether they are there, tries nothing again and
//! knows no `Retry-After`, reads answers without a bound, and makes a mount that the registry turned into an upload (202) an
//! error; what would be left of it are names and a few structs. Credentials are found with `docker_credential`, which
//! knows Docker's config and its helpers.
//!
//! Unlike the rest of `image` it is async: many images are sent at once, and most of that is waiting.

mod answer;
mod artifact;
mod auth;
mod client;
mod error;
mod known;
mod pull;
mod push;

pub use artifact::{Artifact, ArtifactPlace, Put};
pub use auth::pull_config;
pub use client::{Access, Patience, Registry};
pub use error::{RegistryError, Trouble};
pub use push::Pushed;
