//! Reports, in every form that they are written in.

mod model;
mod outputs;
#[path = "../sample/mod.rs"]
mod report_sample;
mod sentences;
