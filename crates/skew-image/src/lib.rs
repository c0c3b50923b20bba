//! From a recipe and a checkout to an OCI image in a layout. Sees a directory and a commit, never a git ref.
//!
//! Everything here blocks and may be called from many threads. Who builds what, when and how many at once is decided
//! elsewhere.

mod apart;
mod beside;
mod builder;
mod command;
mod content;
mod difference;
mod digest;
mod docker;
mod dockerfile;
mod ending;
mod error;
mod extract;
mod foreign;
mod gzip;
mod input;
mod key;
mod layer;
mod layout;
mod log;
mod needs;
mod nix;
mod oci;
mod prebuilt;
mod program;
pub mod registry;
mod save;
pub mod source;
mod store;
mod tools;
mod tree;

pub use builder::{Builder, checkout};
pub use difference::Difference;
pub use error::{BuildError, ImageError, MissingTool, MissingTools};
pub use input::{Input, Site};
pub use layout::{Built, Layer, Layout, LayoutError, Reference};
pub use needs::{Need, Remedy};
pub use oci::REF_NAME;
pub use program::{PROGRAM, ProgramError, program_image};
