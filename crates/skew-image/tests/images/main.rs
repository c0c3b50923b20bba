//! From real repositories, by the real `git`, to images.

mod image;
#[path = "../repo/mod.rs"]
mod repo;
mod source;
mod tools;
mod worktrees;
