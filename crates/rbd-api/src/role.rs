//! The roles of callers.

use serde::{Deserialize, Serialize};

/// What an endpoint asks for, and what a caller may have. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads everything but image data.
    Viewer,
    /// Makes, changes and deletes images, and reads their data.
    Operator,
    /// Makes and deletes pools.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The role of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// What it may do, in words.
    pub fn description(self) -> &'static str {
        match self {
            Self::Viewer => "Reads everything but image data",
            Self::Operator => "Makes, changes and deletes images, and reads their data",
            Self::Admin => "Makes and deletes pools",
        }
    }

    /// As it is written in files and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}
