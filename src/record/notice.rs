//! What opening a store found and mended.

use std::fmt;
use std::path::PathBuf;

/// Something that was found wrong and mended; for people, not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A writer was killed in the middle of a line that nobody was told of.
    TornLine {
        /// How many bytes were cut off.
        bytes: u64,
    },
    /// The journal was damaged. What is whole was kept.
    JournalDamaged {
        /// The first damaged line, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
        /// How many lines were lost.
        lost: u64,
        /// Where the damaged journal is kept; none when it was only read.
        kept_as: Option<PathBuf>,
    },
    /// The journal had lost lines at its end that the index still had.
    JournalRestored {
        /// How many.
        entries: u64,
    },
    /// The index was set aside and rebuilt from the journal.
    IndexRebuilt {
        /// What was wrong with it.
        why: String,
        /// Where it is kept.
        kept_as: Option<PathBuf>,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TornLine { bytes } => {
                write!(f, "the journal ended in half a line ({bytes} bytes), which was cut off")
            }
            Self::JournalDamaged { line, why, lost, kept_as } => {
                write!(f, "the journal is damaged at line {line}: {why}; ")?;
                match lost {
                    1 => write!(f, "that line is lost, every other was kept")?,
                    lost => write!(f, "{lost} lines are lost, every other was kept")?,
                }
                if let Some(path) = kept_as {
                    write!(f, "; the damaged journal is {}", path.display())?;
                }
                Ok(())
            }
            Self::JournalRestored { entries } => {
                write!(f, "the journal lacked its last {entries} lines, which were restored from the index")
            }
            Self::IndexRebuilt { why, kept_as } => {
                write!(f, "the index was rebuilt from the journal: {why}")?;
                if let Some(path) = kept_as {
                    write!(f, "; the old one is {}", path.display())?;
                }
                Ok(())
            }
        }
    }
}
