//! What both servers' tests share.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Polls until the condition holds; panics with the description when it never does.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// True while a process lives (a zombie does not).
pub fn alive(pid: u32) -> bool {
    let output = Command::new("ps")
        .args(["-o", "stat=", "-p", &pid.to_string()])
        .output()
        .unwrap();
    let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success() && !state.is_empty() && !state.starts_with('Z')
}

pub fn send(pid: u32, signal: &str) {
    let status = Command::new("kill")
        .args([&format!("-{signal}"), &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success(), "kill -{signal} {pid}");
}

/// Runs this test binary again as the owner of servers in `directory` (see `owner.rs`).
pub fn spawn_owner(directory: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["owner::holds_servers_until_killed", "--exact", "--ignored"])
        .env("LOCAL_STACK_OWNER_DIR", directory)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// A directory that every user can pass through, wherever TMPDIR is.
pub fn open_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    set_mode(directory.path(), 0o755);
    directory
}

pub fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}
