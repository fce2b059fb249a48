//! Ownership of a data directory: one live process at a time.
//! Must not remove the lock file: a lock on an unlinked file protects nothing.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use crate::StackError;

const LOCK_FILE: &str = "owner.lock";

/// The right to start and stop a server in a directory. The kernel gives it back when this process
/// ends, in whatever way; children do not inherit it (close-on-exec).
#[derive(Debug)]
pub(crate) struct Owned {
    _lock: File,
}

impl Owned {
    /// Takes the directory, which must exist.
    ///
    /// # Errors
    /// [`StackError::InUse`] when a live process has it.
    pub(crate) fn take(directory: &Path) -> Result<Self, StackError> {
        let path = directory.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(StackError::file("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = file.read_to_string(&mut owner);
                let owner = owner.trim();
                return Err(StackError::InUse {
                    path: directory.to_path_buf(),
                    owner: if owner.is_empty() { "unknown" } else { owner }.to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(StackError::file("lock", &path)(error)),
        }
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(file, "{}", std::process::id()))
            .map_err(StackError::file("write", &path))?;
        Ok(Self { _lock: file })
    }
}
