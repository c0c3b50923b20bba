//! Where things lie in the state directory, `.skew` beside the spec by default.

use std::io;
use std::path::{Path, PathBuf};

/// The state directory and its parts.
#[derive(Debug, Clone)]
pub struct State {
    dir: PathBuf,
}

impl State {
    /// Makes the directory; git is told to leave it alone.
    pub fn create(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let ignore = dir.join(".gitignore");
        if !ignore.exists() {
            std::fs::write(ignore, "*\n")?;
        }
        // Builds and nodes get paths below this one, and they run elsewhere.
        Ok(Self { dir: std::path::absolute(dir)? })
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Private clones of the sources.
    pub fn git_cache(&self) -> PathBuf {
        self.dir.join("cache/git")
    }

    /// Directories that builds keep between versions.
    pub fn build_cache(&self) -> PathBuf {
        self.dir.join("cache/build")
    }

    /// The OCI image layout.
    pub fn layout(&self) -> PathBuf {
        self.dir.join("layout")
    }

    /// What references to images in registries meant when they were last asked.
    pub fn references(&self) -> PathBuf {
        self.dir.join("references.json")
    }

    /// Networks that run, and unpacked images.
    pub fn run(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// Build logs while they are written.
    pub fn build_logs(&self) -> PathBuf {
        self.dir.join("tmp/builds")
    }

    /// The backends that its networks ran on, beside this machine's processes.
    pub fn backends(&self) -> PathBuf {
        self.dir.join("backends.json")
    }

    /// What is known of sweeps that were submitted to a cluster.
    pub fn submissions(&self) -> PathBuf {
        self.dir.join("submissions")
    }

    /// What a person needs to find networks brought up by hand.
    pub fn networks(&self) -> PathBuf {
        self.dir.join("networks")
    }
}
