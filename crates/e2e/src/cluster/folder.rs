//! The folder of one run. Postgres may run as another user than this process, so that a private one would not do.

use std::path::{Path, PathBuf};

use anyhow::Context;
use local_stack::{Nats, Postgres};

/// A new folder, removed with everything that its servers keep elsewhere when dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one below the folder for temporary files.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("devsignal-e2e-{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Best effort: it is a folder for temporary files.
        let _ = Postgres::remove_data(&self.0.join("postgres"));
        let _ = Nats::remove_data(&self.0.join("nats"));
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
