//! One installation per data folder: a lock that ends with its process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, bail};

/// Held while the installation runs.
#[derive(Debug)]
pub struct PidFile {
    file: File,
}

impl PidFile {
    /// Takes the data folder, or tells who has it.
    pub fn take(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join("devsignal.pid");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid)?;
                bail!(
                    "{} is in use by process {}: stop it with `./dev down`, or choose another --data-dir",
                    data_dir.display(),
                    pid.trim()
                );
            }
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the data folder"),
        }
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())?;
        file.sync_all()?;
        Ok(Self { file })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Emptied, not removed: another process may hold the same file already.
        if let Err(error) = self.file.set_len(0) {
            tracing::warn!(%error, "the pid file was left behind");
        }
    }
}
