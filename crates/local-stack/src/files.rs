//! Small file operations with the permissions that servers' files need.
//! Must not know which server a file belongs to.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, lchown},
    path::{Path, PathBuf},
};

use crate::{StackError, account::Account};

/// A log larger than this is put aside at start, so that a long-lived development directory keeps
/// at most two of them.
const LOG_LIMIT_BYTES: u64 = 16 * 1024 * 1024;

/// How much of a log is quoted in an error.
const TAIL_BYTES: u64 = 4 * 1024;

/// Bytes of entropy in a generated password.
const PASSWORD_BYTES: usize = 24;

/// Writes a file that only its owner can read, whole or not at all.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), StackError> {
    let temporary = path.with_extension("tmp");
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(StackError::file("create", &temporary))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(StackError::file("write", &temporary))?;
    fs::rename(&temporary, path).map_err(StackError::file("replace", path))
}

/// The password kept in `path`, generated at first use.
pub(crate) fn password(path: &Path) -> Result<String, StackError> {
    if let Some(text) = read_if_there(path)? {
        let text = text.trim().to_owned();
        if text.is_empty() {
            return Err(StackError::Directory {
                path: path.to_path_buf(),
                reason: "the password file is empty; restore it, or run `./dev reset` to start afresh"
                    .to_owned(),
            });
        }
        return Ok(text);
    }
    let text = random_hex(PASSWORD_BYTES)?;
    write_private(path, &text)?;
    Ok(text)
}

/// Hexadecimal text of `bytes` bytes from the system's secure generator.
fn random_hex(bytes: usize) -> Result<String, StackError> {
    let source = Path::new("/dev/urandom");
    let mut buffer = vec![0_u8; bytes];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut buffer))
        .map_err(StackError::file("read", source))?;
    Ok(buffer.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The text of a file, `None` when there is none.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>, StackError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StackError::file("read", path)(error)),
    }
}

/// The process id on the first line of a pid file, if there is one.
pub(crate) fn read_pid(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.lines().next()?.trim().parse().ok()
}

/// Opens a log for appending, private (it can quote data), after putting an overlong one aside.
pub(crate) fn open_log(path: &Path) -> Result<File, StackError> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_LIMIT_BYTES) {
        let aside = path.with_extension("log.1");
        fs::rename(path, &aside).map_err(StackError::file("put aside", path))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(StackError::file("open", path))
}

/// The end of a log, as much as helps in an error message.
pub(crate) fn log_tail(path: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().unwrap_or_else(|error| format!("(unreadable: {error})"))
}

/// Makes a directory and its parents, and returns its absolute path without symbolic links.
pub(crate) fn ensure_directory(path: &Path) -> Result<PathBuf, StackError> {
    fs::create_dir_all(path).map_err(StackError::file("create", path))?;
    fs::canonicalize(path).map_err(StackError::file("resolve", path))
}

/// Sets the permission bits.
pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), StackError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(StackError::file("set the permissions of", path))
}

/// Gives one file to the account, when there is one.
pub(crate) fn give(path: &Path, account: Option<&Account>) -> Result<(), StackError> {
    match account {
        Some(account) => lchown(path, Some(account.uid), Some(account.gid))
            .map_err(StackError::file("change the owner of", path)),
        None => Ok(()),
    }
}

/// Gives a whole tree to the account, when there is one; symbolic links are not followed.
pub(crate) fn give_tree(path: &Path, account: Option<&Account>) -> Result<(), StackError> {
    if account.is_none() {
        return Ok(());
    }
    give(path, account)?;
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        for entry in fs::read_dir(path).map_err(StackError::file("list", path))? {
            let entry = entry.map_err(StackError::file("list", path))?;
            give_tree(&entry.path(), account)?;
        }
    }
    Ok(())
}

/// Removes a tree; one that is not there is fine.
pub(crate) fn remove_tree(path: &Path) -> Result<(), StackError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StackError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Copies a tree with its symbolic links and permission bits.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> Result<(), StackError> {
    fs::create_dir(to).map_err(StackError::file("create", to))?;
    for entry in fs::read_dir(from).map_err(StackError::file("list", from))? {
        let entry = entry.map_err(StackError::file("list", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(StackError::file("look at", &source))?;
        if kind.is_dir() {
            copy_tree(&source, &target)?;
        } else if kind.is_symlink() {
            fs::read_link(&source)
                .and_then(|link| std::os::unix::fs::symlink(link, &target))
                .map_err(StackError::file("copy the link", &source))?;
        } else {
            fs::copy(&source, &target).map_err(StackError::file("copy", &source))?;
        }
    }
    Ok(())
}

/// Runs file work where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StackError> + Send + 'static,
) -> Result<T, StackError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| StackError::File {
            action: "prepare",
            path: PathBuf::from("the server's directory"),
            source: std::io::Error::other(error),
        })?
}
