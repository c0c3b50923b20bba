//! What skew decides, and the words that it decides in: values in, values out.
//!
//! Pure: no I/O, no clock, no task; a test holds that nothing below this crate has any of it. So a plan and a verdict are the
//! same wherever they are computed, and can be tested against systems whose truth is known.

pub mod event;
pub mod model;
pub mod plan;
pub mod text;
pub mod verdict;
