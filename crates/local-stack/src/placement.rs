//! Where a Postgres cluster lives, given the data directory that was asked for.
//!
//! Usually inside it. When we are root, Postgres runs as somebody else, and if that somebody cannot
//! pass through a parent (`/root`, a 0700 temporary directory), the cluster goes to `/var/tmp` and a
//! marker file in the data directory says where.
//!
//! Must not start anything, nor touch the files of a cluster in use.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use crate::{
    StackError,
    account::{self, Account},
    files, postgres_cluster,
};

/// Holds one line: the directory that the cluster was moved to. `./dev reset` reads it too.
const MARKER: &str = "relocated-to";
/// Every relocated cluster begins with this; nothing else is ever removed outside a data directory.
const RELOCATED_PREFIX: &str = "/var/tmp/devsignal-pg-";
/// Copies of Postgres installations that the unprivileged user cannot reach.
const BINARIES_PREFIX: &str = "/var/tmp/devsignal-pgbin-";
/// Sockets of clusters whose own path is too long.
const SOCKETS_PREFIX: &str = "/tmp/devsignal-pg-";
/// `sun_path` holds 108 bytes on Linux and 104 on macOS, with a terminating zero.
const SOCKET_PATH_LIMIT: usize = 103;
/// The longest name Postgres gives to a socket (and its lock file, which has no such limit).
const SOCKET_NAME: &str = ".s.PGSQL.65535";

/// Where everything of one Postgres is.
#[derive(Debug, Clone)]
pub(crate) struct Placement {
    /// What was asked for, absolute: lock, password, log, marker.
    pub(crate) data_dir: PathBuf,
    /// The parent of the cluster: the data directory or its stand-in.
    pub(crate) root: PathBuf,
    /// Who the server runs as; `None` for ourselves.
    pub(crate) account: Option<Account>,
}

impl Placement {
    /// Decides, and makes the directories. `data_dir` must be absolute and exist.
    pub(crate) fn resolve(data_dir: &Path) -> Result<Self, StackError> {
        let relocated = relocated(data_dir)?;
        let root = relocated.as_deref().unwrap_or(data_dir).to_path_buf();
        let account = account::for_postgres(&cluster_in(&root))?;
        let mut placement = Self {
            data_dir: data_dir.to_path_buf(),
            root,
            account,
        };
        if let Some(account) = &placement.account
            && let Some(blocked) = account::blocked_at(&placement.root, account)
        {
            if relocated.is_some() || cluster_in(data_dir).exists() {
                return Err(StackError::Directory {
                    path: cluster_in(&placement.root),
                    reason: format!(
                        "Postgres runs as {}, which cannot pass through {}; allow it (chmod o+x), or run `./dev reset` to start afresh",
                        account.name,
                        blocked.display()
                    ),
                });
            }
            let target = stand_in(data_dir);
            tracing::warn!(
                data_dir = %data_dir.display(), cluster = %target.display(), user = account.name, blocked_at = %blocked.display(),
                "Postgres cannot run as root and its user cannot reach the data directory: the cluster is kept elsewhere"
            );
            if target.exists() {
                // Left by a data directory of the same path that was removed by hand: what it held
                // was given up with it, and mixing it into a new directory would surprise.
                check_own(&target)?;
                postgres_cluster::stop_leftover(&cluster_in(&target))?;
                files::remove_tree(&target)?;
            }
            make_own_directory(&target, 0o755)?;
            files::write_private(&data_dir.join(MARKER), &format!("{}\n", target.display()))?;
            placement.root = target;
        }
        Ok(placement)
    }

    /// What is there already, for removal: makes nothing, and passes over a marker that cannot be
    /// trusted, since what it names is not ours to remove.
    pub(crate) fn existing(data_dir: &Path) -> Self {
        let stand_in = relocated(data_dir).ok().flatten();
        Self {
            root: stand_in.unwrap_or_else(|| data_dir.to_path_buf()),
            data_dir: data_dir.to_path_buf(),
            account: None,
        }
    }

    /// The directory that Postgres calls PGDATA.
    pub(crate) fn cluster(&self) -> PathBuf {
        cluster_in(&self.root)
    }

    /// A directory for the Unix socket that only the server's user can enter, short enough for a
    /// socket address.
    pub(crate) fn socket_dir(&self) -> PathBuf {
        let inside = self.root.join("run");
        if inside.as_os_str().len() + 1 + SOCKET_NAME.len() <= SOCKET_PATH_LIMIT {
            inside
        } else {
            PathBuf::from(format!(
                "{SOCKETS_PREFIX}{}-{:016x}",
                account::own_uid(),
                path_hash(&self.data_dir)
            ))
        }
    }

    /// Makes an empty socket directory. Only called with no server running in it.
    pub(crate) fn fresh_socket_dir(&self) -> Result<PathBuf, StackError> {
        let directory = self.socket_dir();
        match fs::symlink_metadata(&directory) {
            Ok(metadata) => {
                let ours = metadata.is_dir()
                    && (metadata.uid() == account::own_uid()
                        || self.account.as_ref().is_some_and(|a| a.uid == metadata.uid()));
                if !ours {
                    return Err(not_ours(&directory));
                }
                files::remove_tree(&directory)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(StackError::file("look at", &directory)(error)),
        }
        make_own_directory(&directory, 0o700)?;
        files::give(&directory, self.account.as_ref())?;
        Ok(directory)
    }

    /// Removes the stand-in and the socket directory: everything outside the data directory.
    pub(crate) fn remove_outside(&self) -> Result<(), StackError> {
        files::remove_tree(&self.socket_dir())?;
        if self.root != self.data_dir {
            files::remove_tree(&self.root)?;
        }
        Ok(())
    }

    /// The binaries' directory as the server's user can reach it: the given one, or a copy of the
    /// whole installation when it lies, say, in a checkout under `/root`.
    pub(crate) fn reachable_bin_dir(&self, bin_dir: &Path) -> Result<PathBuf, StackError> {
        let Some(account) = &self.account else {
            return Ok(bin_dir.to_path_buf());
        };
        let Some(blocked) = account::blocked_at(bin_dir, account) else {
            return Ok(bin_dir.to_path_buf());
        };
        let installation = bin_dir.parent().filter(|prefix| is_installation(prefix));
        let Some(installation) = installation else {
            return Err(StackError::Directory {
                path: bin_dir.to_path_buf(),
                reason: format!(
                    "Postgres runs as {}, which cannot pass through {}; install Postgres where everybody can run it",
                    account.name,
                    blocked.display()
                ),
            });
        };
        let copy = PathBuf::from(format!(
            "{BINARIES_PREFIX}{}-{:016x}",
            account::own_uid(),
            path_hash(installation) ^ modified(&bin_dir.join("postgres"))
        ));
        if !copy.exists() {
            tracing::info!(from = %installation.display(), to = %copy.display(), user = account.name,
                "copying Postgres to where its user can run it");
            let unfinished = copy.with_extension(std::process::id().to_string());
            files::remove_tree(&unfinished)?;
            files::copy_tree(installation, &unfinished)?;
            // Somebody else may have been faster; theirs is as good.
            if fs::rename(&unfinished, &copy).is_err() {
                files::remove_tree(&unfinished)?;
            }
        }
        check_own(&copy)?;
        Ok(copy.join("bin"))
    }
}

/// The directory named by the marker, checked.
fn relocated(data_dir: &Path) -> Result<Option<PathBuf>, StackError> {
    let marker = data_dir.join(MARKER);
    let Some(text) = files::read_if_there(&marker)? else {
        return Ok(None);
    };
    let target = PathBuf::from(text.trim());
    if target != stand_in(data_dir) {
        return Err(StackError::Directory {
            path: marker,
            reason: format!(
                "names {}, which was not made for this directory and user (was it moved or copied?); move it back, or run `./dev reset` to start afresh",
                target.display()
            ),
        });
    }
    if !target.exists() {
        return Err(StackError::Directory {
            path: target,
            reason: format!(
                "the cluster was kept here and is gone; run `./dev reset`, or remove {}, to start afresh",
                marker.display()
            ),
        });
    }
    check_own(&target)?;
    Ok(Some(target))
}

fn cluster_in(root: &Path) -> PathBuf {
    root.join("pgdata")
}

fn stand_in(data_dir: &Path) -> PathBuf {
    PathBuf::from(format!(
        "{RELOCATED_PREFIX}{}-{:016x}",
        account::own_uid(),
        path_hash(data_dir)
    ))
}

/// A complete installation has the bootstrap catalogue.
fn is_installation(prefix: &Path) -> bool {
    ["share/postgresql/postgres.bki", "share/postgres.bki"]
        .iter()
        .any(|file| prefix.join(file).is_file())
}

fn modified(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.mtime().cast_unsigned())
}

/// Makes a directory in a place where anybody may have made one before us.
fn make_own_directory(path: &Path, mode: u32) -> Result<(), StackError> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => check_own(path)?,
        Err(error) => return Err(StackError::file("create", path)(error)),
    }
    // The umask may have taken bits away that the server's user needs.
    files::set_mode(path, mode)
}

/// Refuses a directory that another user planted.
fn check_own(path: &Path) -> Result<(), StackError> {
    let metadata = fs::symlink_metadata(path).map_err(StackError::file("look at", path))?;
    if metadata.is_dir() && metadata.uid() == account::own_uid() {
        Ok(())
    } else {
        Err(not_ours(path))
    }
}

fn not_ours(path: &Path) -> StackError {
    StackError::Directory {
        path: path.to_path_buf(),
        reason: "exists and belongs to another user; remove it".to_owned(),
    }
}

/// FNV-1a: the same in every build, unlike the standard library's hashers. Not for secrets.
fn path_hash(path: &Path) -> u64 {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(root: &str) -> Placement {
        Placement {
            data_dir: PathBuf::from(root),
            root: PathBuf::from(root),
            account: None,
        }
    }

    #[test]
    fn a_long_data_directory_gets_a_short_socket_directory() {
        assert_eq!(
            placement("/srv/data").socket_dir(),
            PathBuf::from("/srv/data/run")
        );
        let long = placement(&format!("/{}", "long/".repeat(30)));
        let socket = long.socket_dir().join(SOCKET_NAME);
        assert!(socket.as_os_str().len() <= SOCKET_PATH_LIMIT, "{socket:?}");
        assert_ne!(
            long.socket_dir(),
            placement(&format!("/{}", "longer/".repeat(30))).socket_dir()
        );
    }

    #[test]
    fn a_marker_that_names_a_foreign_directory_is_refused() {
        let data_dir = tempfile::tempdir().unwrap();
        fs::write(data_dir.path().join(MARKER), "/etc\n").unwrap();
        let message = relocated(data_dir.path()).unwrap_err().to_string();
        assert!(message.contains("was not made for this directory"), "{message}");
    }
}
