//! The operating system user that Postgres runs as, and what that user can reach.
//! Postgres refuses to run as root; everything else here follows from that.
//! Must not change any file.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::StackError;

/// Names tried when we are root, in order: distributions' packages make the first, every system has
/// the second.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// A user and its primary group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// True when this process is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Our effective user id.
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Who Postgres must run as: `None` for ourselves.
///
/// A cluster that an unprivileged user made earlier stays that user's, even when root starts it.
pub(crate) fn for_postgres(cluster: &Path) -> Result<Option<Account>, StackError> {
    if !is_root() {
        return Ok(None);
    }
    if let Ok(metadata) = fs::metadata(cluster)
        && metadata.uid() != 0
    {
        return Ok(Some(Account {
            name: format!("uid {}", metadata.uid()),
            uid: metadata.uid(),
            gid: metadata.gid(),
        }));
    }
    let passwd = PathBuf::from("/etc/passwd");
    let text = fs::read_to_string(&passwd).map_err(StackError::file("read", &passwd))?;
    CANDIDATES
        .iter()
        .find_map(|name| parse_passwd(&text, name))
        .map(Some)
        .ok_or_else(|| StackError::Directory {
            path: passwd,
            reason: "Postgres refuses to run as root, and there is neither a user `postgres` nor `nobody`; \
                     add one or run as an unprivileged user"
                .to_owned(),
        })
}

fn parse_passwd(text: &str, name: &str) -> Option<Account> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let mut ids = fields.skip(1).map(parse_id);
        let (uid, gid) = (ids.next()??, ids.next()??);
        // A system where these names are root's would gain nothing.
        (uid != 0).then(|| Account {
            name: name.to_owned(),
            uid,
            gid,
        })
    })
}

/// macOS writes `-2` for `nobody`.
fn parse_id(text: &str) -> Option<u32> {
    text.parse::<u32>()
        .ok()
        .or_else(|| text.parse::<i32>().ok().map(i32::cast_unsigned))
}

/// The first directory on the way to `path` (itself included) that the account cannot pass through.
/// `path` must be absolute and canonical.
pub(crate) fn blocked_at(path: &Path, account: &Account) -> Option<PathBuf> {
    let mut ancestors: Vec<&Path> = path.ancestors().collect();
    ancestors.reverse();
    ancestors
        .into_iter()
        .find(|directory| {
            fs::metadata(directory)
                .is_ok_and(|metadata| !may_traverse(metadata.mode(), metadata.uid(), metadata.gid(), account))
        })
        .map(Path::to_path_buf)
}

/// The permission check of path_resolution(7) without supplementary groups, which we drop.
fn may_traverse(mode: u32, owner: u32, group: u32, account: &Account) -> bool {
    let bit = if owner == account.uid {
        0o100
    } else if group == account.gid {
        0o010
    } else {
        0o001
    };
    mode & bit != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account {
            name: "postgres".to_owned(),
            uid: 101,
            gid: 104,
        }
    }

    #[test]
    fn account_is_read_from_passwd_and_root_is_refused() {
        let text =
            "root:x:0:0::/root:/bin/sh\nnobody:*:-2:-2::/:/bin/false\npostgres:x:101:104:,,:/var:/bin/bash\n";
        assert_eq!(parse_passwd(text, "postgres"), Some(account()));
        assert_eq!(parse_passwd(text, "nobody").map(|a| a.uid), Some(u32::MAX - 1));
        assert_eq!(parse_passwd(text, "root"), None);
        assert_eq!(parse_passwd(text, "absent"), None);
    }

    #[test]
    fn traversal_uses_the_most_specific_class_only() {
        assert!(may_traverse(0o711, 0, 0, &account()));
        assert!(!may_traverse(0o700, 0, 0, &account()));
        assert!(may_traverse(0o710, 0, 104, &account()));
        assert!(!may_traverse(0o077, 101, 104, &account()));
    }
}
