//! Raw → resolved: references, defaults, and everything that one table cannot know of another.

pub(super) mod checks;
pub(super) mod expects;
pub(super) mod known;
mod lineage;
mod recipes;
mod resolver;
pub(super) mod roles;
pub(super) mod settings;
pub(super) mod sources;
pub(super) mod steps;
pub(super) mod topology;
pub(super) mod whens;

pub(super) use resolver::Resolver;
