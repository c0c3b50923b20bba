//! The ids of networks that are planned, and of attempts and sweeps that are recorded.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $type(pub String);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

id!(
    /// Unique over all machines: merging records is a union of sets.
    AttemptId
);
id!(
    /// One execution of a spec's matrix: `20261121T031500Z-4f2a`, sortable by time.
    SweepId
);
id!(
    /// The stable id of a planned network: the same seats, axes, seed and ordinal give the same id.
    NetworkId
);
